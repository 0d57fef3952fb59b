"""Which endpoint a request means: paths, Host, redirects, names of servers that are not there."""

from importlib.metadata import version

import pytest

from tests.cves.attacker import FOREIGN_HOST, READ, WELCOME, Door, request
from tests.cves.cases import advisory
from tests.cves.conftest import Town

SPELLINGS = [
    "/mcp",
    "/mcp/",
    "//mcp",
    "/./mcp",
    "/x/../mcp",
    "/MCP",
    "/%6dcp",
    "/mcp%2f",
    "/mcp%00",
    "/mcp;jsessionid=1",
    "/mcp?a=1",
    "/mcp/default",
    "/mcp/message",
    "/mcp_message",
    "/messages",
    "/message?sessionId=1",
    "/sse",
    "/servers/notes/mcp",
    "/servers/notes/mcp/",
    "/servers/notes",
    "/servers/NOTES/mcp",
    "/servers/notes/../notes/mcp",
]


@advisory("CVE-2026-33032")
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
@pytest.mark.parametrize("target", SPELLINGS)
def test_no_spelling_of_an_endpoint_answers_without_a_token(door: Door, target: str, method: str) -> None:
    listing = request("tools/list")
    answer = door.ask(method, target, listing.headers, listing.body)
    assert answer.status in (401, 404, 405)
    assert b'"result"' not in answer.body


@advisory("CVE-2026-33032")
@pytest.mark.parametrize("target", [target for target in SPELLINGS if target not in ("/mcp", "/mcp?a=1", "/servers/notes/mcp")])
def test_an_endpoint_has_one_spelling(door: Door, alice: str, target: str) -> None:
    assert door.say(READ, alice, target).status in (404, 405)


@advisory("CVE-2026-48710")
def test_the_fixed_release_of_starlette_is_installed() -> None:
    assert tuple(int(part) for part in version("starlette").split(".")[:3]) >= (1, 0, 1)


@advisory("CVE-2026-48710")
@pytest.mark.parametrize("tail", ["/healthz?", "/mcp", "?/healthz", "#/healthz", "@x", "\\healthz", "/healthz#"])
@pytest.mark.parametrize("target", ["/mcp", "/servers/elsewhere/mcp", "/nothing", "/metrics"])
def test_a_host_with_a_path_reaches_nothing(door: Door, alice: str, target: str, tail: str) -> None:
    listing = request("tools/list")
    assert door.say(listing, alice, target, [("Host", door.host + tail)]).reason in FOREIGN_HOST
    assert door.ask("GET", target, [("Host", door.host + tail)]).reason in FOREIGN_HOST


@advisory("CVE-2026-48710")
@pytest.mark.parametrize("authority", ["evil.example", "{own}@evil.example", "evil.example:80", "user@{own}", ""])
def test_the_host_of_an_absolute_target_is_judged_too(door: Door, alice: str, authority: str) -> None:
    target = f"http://{authority.format(own=door.host)}/mcp"
    answer = door.say(READ, alice, target, [("Host", door.host)])
    assert answer.reason in FOREIGN_HOST


@advisory("CVE-2026-48710")
@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host", "Forwarded", "X-Original-URL", "X-Rewrite-URL"])
def test_addresses_in_answers_come_from_the_settings(town: Town, header: str) -> None:
    door = town.door
    value = f"localhost:{door.port}" if header == "Host" else "/healthz;host=evil.example"
    said = request("tools/list")
    challenge = door.ask("POST", "/mcp", [*said.headers, (header, value)], said.body).headers["www-authenticate"]
    metadata = door.ask("GET", "/.well-known/oauth-protected-resource/mcp", [(header, value)]).message
    assert f'resource_metadata="{town.gateway.url}/.well-known/oauth-protected-resource/mcp"' in challenge
    assert metadata["resource"] == f"{town.gateway.url}/mcp"


@advisory("CF #3891")
@pytest.mark.parametrize(
    "target",
    [
        *("/servers/nobody/mcp", "/servers//mcp", "/servers/*/mcp", "/servers/null/mcp", "/servers/None/mcp", "/servers/%2a/mcp"),
        *("/servers/0/mcp", "/servers/../mcp", "/servers/mcp", "/mcp/nobody", "/mcp/*", "/mcp/null", "/mcp/all"),
    ],
)
@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
def test_an_unknown_endpoint_is_nothing_rather_than_everything(door: Door, alice: str, target: str, revision: str) -> None:
    answer = door.say(request("tools/list", revision=revision), alice, target)
    assert (answer.status, answer.reason) == (404, "unknown_path")
    assert b"notes" not in answer.body


@advisory("CF #3891")
@pytest.mark.parametrize("name", ["", "*", "notes__", "notes__*", "__read_note", "read_note", "nobody__read_note", "notes__read_note "])
def test_an_unknown_name_is_nothing_rather_than_something_like_it(door: Door, alice: str, name: str) -> None:
    said = request("tools/call", {"name": name, "arguments": {"title": "welcome"}}, "2025-11-25")
    assert door.say(said, alice).reason == "unknown_name"


@advisory("CVE-2026-44427")
@pytest.mark.parametrize("before", ["//evil.example", "/\\evil.example", "/%5cevil.example", "///evil.example", "/.//evil.example", "/mcp"])
@pytest.mark.parametrize("after", ["", "/", "/..", "/%2e%2e/", "%0a", "%0a/", "%0d%0aLocation:%20https://evil.example/"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_no_path_is_answered_with_a_redirect(door: Door, method: str, before: str, after: str) -> None:
    answer = door.ask(method, before + after, body=b"{}" if method == "POST" else b"")
    assert answer.status in (404, 405, 415)
    assert "location" not in answer.headers


@advisory("CVE-2026-44427")
@pytest.mark.parametrize(
    "target", ["/healthz/", "/metrics/", "/healthz%0a/", "/.well-known/oauth-protected-resource/%0a/", "/servers/notes/mcp/"]
)
def test_a_slash_too_many_is_a_mistake_and_no_redirect(door: Door, target: str) -> None:
    answer = door.ask("GET", target)
    assert (answer.status, answer.reason) == (404, "unknown_path")


@advisory("CVE-2026-44429")
@pytest.mark.parametrize(
    "target", ['/"><script>alert(1)</script>', "/%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "/x%0a<script>", "/mcp?<script>"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PURGE"])
def test_no_answer_is_html_or_repeats_a_path(door: Door, method: str, target: str) -> None:
    answer = door.ask(method, target, body=b"<script>" if method == "POST" else b"")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert b"script" not in answer.body


@advisory("CVE-2026-48710")
def test_the_target_decides_and_the_own_host_passes(door: Door, alice: str) -> None:
    assert door.say(READ, alice, f"http://{door.host}/mcp", [("Host", "evil.example")]).text == WELCOME
