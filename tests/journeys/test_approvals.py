"""An agent asks for a write, a person approves it in the terminal, and the agent's retry succeeds once and only once, in both eras."""

import json
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner

from customhouse.cli.main import main
from tests.journeys.conftest import Gateway, Notes
from tests.journeys.test_refusals import Agent

RULES = """
@id("agents-write-with-approval")
@approval("leads")
permit (
  principal in Group::"local/agents",
  action in [Action::"write", Action::"destructive"],
  resource in Server::"notes"
);
@id("agents-read") permit (principal in Group::"local/agents", action in Action::"read", resource in Server::"notes");
"""
LENA = ("--as", "lena", "--group", "leads")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, notes: Notes) -> Iterator[Gateway]:
    """A gateway whose agents need an approval for every write."""
    directory = tmp_path_factory.mktemp("deployment")
    (directory / "policies").mkdir()
    (directory / "policies" / "approvals.cedar").write_text(RULES)
    front = Gateway(directory, notes)
    try:
        yield front
    finally:
        front.stop()


class LegacyAgent:
    """A client that opens with `initialize`."""

    def __init__(self, gateway: Gateway, token: str) -> None:
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
        self._url = gateway.url + "/mcp"
        opened = self._post(
            "initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}
        )
        self._headers["Mcp-Session-Id"] = opened.headers["mcp-session-id"]

    def call(self, tool: str, **arguments: Any) -> httpx2.Response:
        return self._post("tools/call", {"name": tool, "arguments": arguments})

    def _post(self, method: str, params: dict[str, Any]) -> httpx2.Response:
        message = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
        return httpx2.post(self._url, json=message, headers=self._headers, timeout=30.0, trust_env=False)


def terminal(gateway: Gateway, *words: str, code: int = 0) -> str:
    """What a command prints, run by this process: starting one for each would take longer than all the rest."""
    done = CliRunner().invoke(main, [*words, "--dir", str(gateway.directory)])
    assert done.exit_code == code, done.output
    return done.output


def agent_of(gateway: Gateway, era: str, token: str) -> Agent | LegacyAgent:
    return LegacyAgent(gateway, token) if era == "legacy" else Agent(gateway, token)


@pytest.fixture(scope="module")
def token(gateway: Gateway) -> str:
    return gateway.token("alice", "agents")


def refused(answer: httpx2.Response, reason: str) -> dict[str, Any]:
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()["error"]["data"]
    assert found["reason"] == reason, answer.text
    return found


def text_of(answer: httpx2.Response) -> str:
    body = answer.text
    if answer.headers["content-type"].startswith("text/event-stream"):
        body = next(line[6:] for line in body.splitlines() if line.startswith("data: {"))
    return str(json.loads(body)["result"]["content"][0]["text"])


def records(gateway: Gateway, approval_id: str) -> list[dict[str, Any]]:
    """What the ledger says of an approval, a sweep after it was decided."""
    lines = terminal(gateway, "audit", "tail", "-n", "200", "--json").splitlines()
    found = [json.loads(line)["record"] for line in lines]
    return [record for record in found if record.get("approval") == approval_id]


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_person_approves_a_write_and_the_retry_succeeds_once_and_only_once(gateway: Gateway, token: str, era: str) -> None:
    agent = agent_of(gateway, era, token)
    wanted = {"title": f"plan-{era}", "text": "ship it"}
    asked = refused(agent.call("notes__add_note", **wanted), "approval_needed")
    handle = asked["approvalId"]
    assert asked["retryable"] is True
    assert refused(agent.call("notes__add_note", **wanted), "approval_needed")["approvalId"] == handle

    in_a_process = gateway.command if era == "legacy" else partial(terminal, gateway)
    shown = in_a_process("approvals", "approve", handle, *LENA)
    assert f'/title: "plan-{era}"' in shown
    assert "is approved" in shown
    other = refused(agent.call("notes__add_note", **{**wanted, "text": "ship it!"}), "approval_needed")
    assert other["approvalId"] != handle

    assert text_of(agent.call("notes__add_note", **wanted)) == f"Kept 'plan-{era}'."
    again = refused(agent.call("notes__add_note", **wanted), "approval_needed")
    assert again["approvalId"] not in (handle, other["approvalId"])

    told = records(gateway, handle)
    outcomes = [one.get("outcome", one["kind"]) for one in told]
    assert sorted(outcomes) == sorted(["asked", "APPROVAL_NEEDED", "APPROVAL_NEEDED", "intent", "answered", "approved"])
    (intent,) = [one for one in told if one["kind"] == "intent"]
    assert intent["approved_by"] == "local/lena"


def test_a_no_holds_and_nobody_approves_their_own_call(gateway: Gateway, token: str) -> None:
    agent = agent_of(gateway, "modern", token)
    handle = refused(agent.call("notes__delete_note", title="plan-modern"), "approval_needed")["approvalId"]
    terminal(gateway, "approvals", "approve", handle, "--note", "x", "--as", "alice", "--group", "leads", code=1)
    assert handle in terminal(gateway, "approvals", "list", *LENA)
    terminal(gateway, "approvals", "deny", handle, *LENA, "--note", "keep it")
    denied = refused(agent.call("notes__delete_note", title="plan-modern"), "approval_denied")
    assert (denied["because"], denied["retryable"]) == ("keep it", False)


def test_a_yes_that_came_too_late_is_asked_anew(gateway: Gateway, token: str) -> None:
    gateway.environment["CUSTOMHOUSE_APPROVALS__EXPIRES_SECONDS"] = "0.5"
    gateway.restart()
    agent = agent_of(gateway, "modern", token)
    wanted = {"title": "late", "text": "x"}
    handle = refused(agent.call("notes__add_note", **wanted), "approval_needed")["approvalId"]
    time.sleep(0.6)
    terminal(gateway, "approvals", "approve", handle, *LENA, code=1)
    assert refused(agent.call("notes__add_note", **wanted), "approval_needed")["approvalId"] != handle
    assert "verified" in terminal(gateway, "audit", "verify")
