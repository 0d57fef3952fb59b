"""Clients that nobody here wrote list and call through the gateway: the official SDKs of both majors, FastMCP and the Inspector.

Each client is a process of its own, driven by a small script in `clients/`. Clients whose packages do not go together with the development
environment live in environments of their own, locked by hash.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from customhouse.core.refusal import Reason
from scripts.conformance_kit import Tools, npm_packages, python_packages, set_up, tools
from tests.journeys.conftest import COMMAND_TIMEOUT_SECONDS, ROOT, Gateway

pytestmark = [pytest.mark.apart, pytest.mark.timeout(900)]

CLIENTS = Path(__file__).parent / "clients"
VISIBLE_TOOLS = ("add_note", "count_slowly", "list_notes", "read_note")
"""What a member of `eng` could be permitted to call: `add_note` for drafts only, `delete_note` never, so that is not listed."""

NOT_PERMITTED = Reason.NOT_PERMITTED.row


@dataclass(frozen=True)
class Endpoint:
    """A way in: its path, and what it puts before the names of tools and prompts."""

    path: str
    prefix: str


PORTAL = Endpoint("/mcp", "notes__")
OWN_NAMES = Endpoint("/servers/notes/mcp", "")
ENDPOINTS = pytest.mark.parametrize("endpoint", [PORTAL, OWN_NAMES], ids=["portal", "server"])


@pytest.fixture(scope="session")
def sdk_1() -> Path:
    """The Python of an environment with the official SDK 1.x."""
    locked = ROOT / "requirements" / "mcp1.txt"
    return set_up("client-mcp1", [locked], lambda home: python_packages(home, locked)) / "bin" / "python"


@pytest.fixture(scope="session")
def fastmcp() -> Path:
    """The Python of an environment with FastMCP 4."""
    locked = ROOT / "requirements" / "fastmcp.txt"
    return set_up("client-fastmcp", [locked], lambda home: python_packages(home, locked)) / "bin" / "python"


@dataclass(frozen=True)
class Inspector:
    """The MCP Inspector as a command."""

    node: Tools
    program: Path
    home: Path

    def ask(self, url: str, token: str, era: str, *words: str) -> dict[str, Any]:
        """What it prints for one method: its result, or its error."""
        command = [str(self.node.node), str(self.program), "--cli", "--server-url", url, "--transport", "http", "--protocol-era", era]
        done = subprocess.run(
            [*command, "--format", "json", "--header", f"Authorization: Bearer {token}", *words],
            env={**self.node.environment, "HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_SECONDS,
            check=False,
        )
        printed: dict[str, Any] = json.loads(done.stdout or done.stderr)
        return printed


@pytest.fixture(scope="session")
def inspector(tmp_path_factory: pytest.TempPathFactory) -> Inspector:
    node = tools()
    locks = [CLIENTS / "package.json", CLIENTS / "package-lock.json"]
    packages = set_up("client-inspector", locks, lambda home: npm_packages(node, CLIENTS, home))
    return Inspector(node, packages / "node_modules" / ".bin" / "mcp-inspector", tmp_path_factory.mktemp("home"))


def driven(python: Path | str, script: str, gateway: Gateway, endpoint: Endpoint, *words: str, at: str = "") -> dict[str, Any]:
    """What a driver saw through the gateway as alice of `eng`."""
    done = subprocess.run(
        [str(python), str(CLIENTS / script), gateway.url + endpoint.path + at, endpoint.prefix, *words],
        env={
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "CUSTOMHOUSE_TOKEN": gateway.token("alice", "eng", endpoint=endpoint.path),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def check(seen: dict[str, Any], endpoint: Endpoint) -> None:
    """A reader sees the tools of its class, reads, follows progress, and is refused a write."""
    assert seen["tools"] == [endpoint.prefix + name for name in VISIBLE_TOOLS]
    assert seen["read"] == "Every call to this notebook goes through the gateway."
    assert seen["note"] == "Bread, apples, coffee."
    assert "Summarise these notes" in seen["prompt"]
    assert seen["index"] == "shopping\nwelcome"
    assert (seen["counted"], seen["progress"]) == ("Counted to 3.", [1.0, 2.0, 3.0])
    assert (seen["code"], seen["refusal"]) == (NOT_PERMITTED.code, NOT_PERMITTED.sentence)


@ENDPOINTS
@pytest.mark.parametrize("mode", ["legacy", "auto", "2026-07-28"])
def test_the_official_sdk_2_lists_and_calls_in_every_mode(gateway: Gateway, endpoint: Endpoint, mode: str) -> None:
    seen = driven(sys.executable, "mcp2.py", gateway, endpoint, mode)
    check(seen, endpoint)
    assert seen["logs"] == ["Counting to 3."]


@ENDPOINTS
def test_the_official_sdk_1_lists_and_calls(gateway: Gateway, sdk_1: Path, endpoint: Endpoint) -> None:
    seen = driven(sdk_1, "mcp1.py", gateway, endpoint)
    check(seen, endpoint)
    assert seen["logs"] == ["Counting to 3."]


@ENDPOINTS
def test_the_official_sdk_1_lists_and_calls_over_the_transport_of_2024(gateway: Gateway, sdk_1: Path, endpoint: Endpoint) -> None:  # GW-45
    check(driven(sdk_1, "mcp1.py", gateway, endpoint, at="/sse"), endpoint)


@ENDPOINTS
@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_the_fastmcp_client_lists_and_calls(gateway: Gateway, fastmcp: Path, endpoint: Endpoint, mode: str) -> None:
    check(driven(fastmcp, "fastmcp4.py", gateway, endpoint, mode), endpoint)


@ENDPOINTS
@pytest.mark.parametrize("era", ["legacy", "auto", "modern"])
def test_the_inspector_lists_and_calls(gateway: Gateway, inspector: Inspector, endpoint: Endpoint, era: str) -> None:
    url, token = gateway.url + endpoint.path, gateway.token("alice", "eng", endpoint=endpoint.path)

    def ask(*words: str) -> dict[str, Any]:
        return inspector.ask(url, token, era, *words)

    listed = ask("--method", "tools/list")["result"]["tools"]
    assert sorted(tool["name"] for tool in listed) == [endpoint.prefix + name for name in VISIBLE_TOOLS]
    read = ask("--method", "tools/call", "--tool-name", f"{endpoint.prefix}read_note", "--tool-arg", "title=shopping")
    assert read["result"]["content"][0]["text"] == "Bread, apples, coffee."
    prompt = ask("--method", "prompts/get", "--prompt-name", f"{endpoint.prefix}summarise_notes")
    assert "Summarise these notes" in prompt["result"]["messages"][0]["content"]["text"]
    index = ask("--method", "resources/read", "--uri", "notes://index")
    assert index["result"]["contents"][0]["text"] == "shopping\nwelcome"
    refused = ask("--method", "tools/call", "--tool-name", f"{endpoint.prefix}add_note", "--tool-arg", "title=x", "text=y")
    assert NOT_PERMITTED.sentence in refused["error"]["message"]
