"""Streams and sessions of a real gateway: changes of a real server arrive, a restart ends no session, a stop ends no stream silently."""

import contextlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.journeys.conftest import Gateway, Notes

LISTEN = {"toolsListChanged": True}
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
PATIENT = httpx2.Timeout(30.0)


@pytest.fixture
def watchful(tmp_path: Path, notes: Notes) -> Iterator[Gateway]:
    """A gateway that looks at its server every second."""
    gateway = Gateway(tmp_path, notes)
    with (tmp_path / "customhouse.yaml").open("a") as settings:
        settings.write("\ncaptures: {interval_seconds: 1}\n")
    gateway.restart()
    try:
        yield gateway
    finally:
        gateway.stop()


class Client:
    """A client of the portal, in whichever era."""

    def __init__(self, gateway: Gateway) -> None:
        self.url = gateway.url + "/mcp"
        self.headers = {
            "authorization": f"Bearer {gateway.token('alice', 'eng')}",
            "accept": "application/json, text/event-stream",
            "content-type": "application/json",
        }

    def ask(self, method: str, params: dict[str, Any] | None = None, session: str = "") -> httpx2.Response:
        headers = {**self.headers, **({"mcp-session-id": session} if session else {})}
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
        return httpx2.post(self.url, json=message, headers=headers, trust_env=False, timeout=PATIENT)

    def open_session(self) -> str:
        answer = self.ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}})
        session: str = answer.headers["mcp-session-id"]
        return session

    @contextlib.contextmanager
    def listening(self) -> Iterator[Iterator[dict[str, Any]]]:
        """What a modern listen stream says."""
        message = {"jsonrpc": "2.0", "id": "l", "method": "subscriptions/listen", "params": {"notifications": LISTEN, "_meta": META}}
        headers = {**self.headers, "mcp-protocol-version": "2026-07-28", "mcp-method": "subscriptions/listen"}
        with httpx2.stream("POST", self.url, json=message, headers=headers, trust_env=False, timeout=PATIENT) as stream:
            yield events(stream)

    @contextlib.contextmanager
    def hearing(self, session: str) -> Iterator[Iterator[dict[str, Any]]]:
        """What the stream of a session says."""
        headers = {**self.headers, "mcp-session-id": session}
        with httpx2.stream("GET", self.url, headers=headers, trust_env=False, timeout=PATIENT) as stream:
            assert stream.status_code == 200
            yield events(stream)


def events(stream: httpx2.Response) -> Iterator[dict[str, Any]]:
    for line in stream.iter_lines():
        if line.startswith("data: {"):
            yield json.loads(line[6:])


def test_a_change_of_the_server_reaches_both_eras_and_the_end_of_the_gateway_too(watchful: Gateway, notes: Notes) -> None:
    client = Client(watchful)
    session = client.open_session()
    with client.listening() as modern, client.hearing(session) as legacy:
        assert next(modern)["method"] == "notifications/subscriptions/acknowledged"
        notes.restart("--demanding")
        assert next(modern)["method"] == next(legacy)["method"] == "notifications/tools/list_changed"
        tools = client.ask("tools/list", session=session).json()["result"]["tools"]
        assert "notes__read_note" not in [tool["name"] for tool in tools]
        watchful.process.send_signal(signal.SIGTERM)
        assert next(modern)["id"] == "l"
        assert next(modern, None) is next(legacy, None) is None
    assert watchful.process.wait(30) == 0
    notes.restart()
    closed = [json.loads(line) for line in watchful.command("audit", "tail", "-n", "6", "--json").splitlines()]
    outcomes = {record["record"]["method"]: record["record"]["outcome"] for record in closed if record["record"].get("method")}
    assert (outcomes["subscriptions/listen"], outcomes["GET"]) == ("listened", "listened")


def test_a_restart_ends_no_session(gateway: Gateway) -> None:
    client = Client(gateway)
    session = client.open_session()
    gateway.restart()
    assert client.ask("ping", session=session).json()["result"] == {}
    assert httpx2.delete(client.url, headers={**client.headers, "mcp-session-id": session}, trust_env=False).status_code == 200
    assert client.ask("ping", session=session).status_code == 404
