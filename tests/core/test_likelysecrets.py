"""What looks like a secret is taken for one; ordinary arguments and addresses are not."""

import pytest

from customhouse.core.likelysecrets import is_likely_secret, names_secret


@pytest.mark.parametrize(
    "text",
    [
        "sk-proj-abcdefgh12345678",
        "ghp_0123456789abcdefghij",
        "xoxb-123456789012-abcdef",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "0b3f6b1e-8a56-4d0e-9f57-2f1c7a1f2d3e",
        "9f86d081884c7d659a2feaa0c55ad015",
        "aB3-xY9_kL0mN1oP2qR3sT4u",
        "Authorization: Bearer abc",
        "Bearer abc",
        "--api-key=hunter2",
        "API_KEY=hunter2",
        "X-Api-Key:hunter2",
        "/password:hunter2",
        "postgres://ann:hunter2@db.example/notes",
        "https://ann@example.com/mcp",
        "https://example.com/mcp?api_key=hunter2",
        "https://example.com/s/0b3f6b1e-8a56-4d0e-9f57-2f1c7a1f2d3e/mcp",
        "-----BEGIN PRIVATE KEY-----",
    ],
)
def test_a_likely_secret_is_taken_for_one(text: str) -> None:
    assert is_likely_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "-y", "--directory", "/srv/notes", "--port=8080", "stdio", "my-very-long-directory-name-2024", "--log-level=debug", "*.md"),
        *("https://mcp.example.com/mcp", "https://mcp.example.com/mcp?team=notes", "http://127.0.0.1:9000/mcp", "C:\\Users\\ann\\notes"),
        *("postgres://db.example/notes", "@modelcontextprotocol/server-filesystem", "2026-07-28T10:00:00Z", "desk-application-4"),
    ],
)
def test_an_ordinary_text_is_not(text: str) -> None:
    assert not is_likely_secret(text)


@pytest.mark.parametrize(
    ("name", "secret"), [("API_KEY", True), ("--access-token", True), ("passwd", True), ("LOG_LEVEL", False), ("TZ", False)]
)
def test_a_name_says_whether_it_holds_a_secret(name: str, secret: bool) -> None:
    assert names_secret(name) is secret
