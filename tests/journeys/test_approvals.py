"""An agent asks for a write, a person approves it in the terminal, and the agent's retry succeeds once and only once, in both eras."""

import base64
import hmac
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner

from customhouse.cli.main import main
from tests.journeys.conftest import Gateway, Notes, free_port
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


SETTINGS = """
control:
  serves: files
  port: {port}
  roles: [{{role: approver, groups: [local/leads]}}, {{role: operator, groups: [local/ops]}}]
approvals:
  webhook_url: {hook}
  webhook_key: env:HOOK_KEY
"""
KEY = bytes(range(24))


class Hook:
    """Whoever is told of new requests: keeps what is POSTed."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.arrived = threading.Condition()
        hook = self

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                with hook.arrived:
                    hook.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                    hook.arrived.notify_all()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        self.server = HTTPServer(("127.0.0.1", 0), Receiver)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def told(self, approval_id: str) -> tuple[dict[str, str], bytes]:
        """The notice of a request, once it is there."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: any(headers["webhook-id"] == approval_id for headers, _ in self.got), 15.0)
            return next(one for one in self.got if one[0]["webhook-id"] == approval_id)


class Governed(Gateway):
    """The quickstart with a control process beside it."""

    def __init__(self, directory: Path, notes: Notes, hook: Hook) -> None:
        self.control_port = free_port()
        self._more = SETTINGS.format(port=self.control_port, hook=hook.url)
        super().__init__(directory, notes)

    @property
    def control_url(self) -> str:
        return f"http://127.0.0.1:{self.control_port}"

    def _started(self) -> "subprocess.Popen[bytes]":
        self.environment["HOOK_KEY"] = "whsec_" + base64.b64encode(KEY).decode()
        settings = self.directory / "customhouse.yaml"
        if self._more not in settings.read_text("utf-8"):
            settings.write_text(settings.read_text("utf-8") + self._more, "utf-8")
        return super()._started()

    def _is_ready(self) -> bool:
        try:
            return super()._is_ready() and httpx2.get(f"{self.control_url}/readyz", trust_env=False).is_success
        except httpx2.TransportError:
            return False

    def ask_operators(self, token: str, method: str, path: str, body: object = None) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx2.request(method, f"{self.control_url}/api/v1{path}", json=body, headers=headers, trust_env=False, timeout=30.0)


@pytest.fixture(scope="module")
def hook() -> Iterator[Hook]:
    receiver = Hook()
    serving = threading.Thread(target=receiver.server.serve_forever, args=(0.05,), daemon=True)
    serving.start()
    try:
        yield receiver
    finally:
        receiver.server.shutdown()
        receiver.server.server_close()
        serving.join()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, notes: Notes, hook: Hook) -> Iterator[Governed]:
    """A gateway whose agents need an approval for every write."""
    directory = tmp_path_factory.mktemp("deployment")
    (directory / "policies").mkdir()
    (directory / "policies" / "approvals.cedar").write_text(RULES)
    front = Governed(directory, notes, hook)
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


def test_the_group_is_told_and_one_of_it_approves_by_the_api(gateway: Governed, token: str, hook: Hook) -> None:
    agent = agent_of(gateway, "modern", token)
    wanted = {"title": "told", "text": "secret-words"}
    handle = refused(agent.call("notes__add_note", **wanted), "approval_needed")["approvalId"]
    headers, body = hook.told(handle)
    covered = f"{handle}.{headers['webhook-timestamp']}.".encode() + body
    assert headers["webhook-signature"] == "v1," + base64.b64encode(hmac.new(KEY, covered, "sha256").digest()).decode()
    assert b"secret-words" not in body
    assert gateway.ask_operators(token, "GET", "/approvals").status_code == 401
    lena, alice = (terminal(gateway, "token", "--operator", "--as", who, "--group", "leads").strip() for who in ("lena", "alice"))
    shown = gateway.ask_operators(lena, "GET", f"/approvals/{handle}").json()
    assert '/text: "secret-words"' in shown["arguments"]
    verdicts = f"/approvals/{handle}/verdicts"
    assert gateway.ask_operators(alice, "POST", verdicts, {"approves": True}).json()["reason"] == "SELF_APPROVAL"
    assert gateway.ask_operators(lena, "POST", verdicts, {"approves": True, "note": "ok"}).json()["standing"] == "approved"
    assert text_of(agent.call("notes__add_note", **wanted)) == "Kept 'told'."


def test_a_no_holds_and_nobody_approves_their_own_call(gateway: Gateway, token: str) -> None:
    agent = agent_of(gateway, "modern", token)
    handle = refused(agent.call("notes__delete_note", title="plan-modern"), "approval_needed")["approvalId"]
    terminal(gateway, "approvals", "approve", handle, "--note", "x", "--as", "alice", "--group", "leads", code=1)
    assert handle in terminal(gateway, "approvals", "list", *LENA)
    terminal(gateway, "approvals", "deny", handle, *LENA, "--note", "keep it")
    denied = refused(agent.call("notes__delete_note", title="plan-modern"), "approval_denied")
    assert (denied["because"], denied["retryable"]) == ("keep it", False)


def test_a_right_that_is_taken_away_in_the_terminal_is_in_the_ledger(gateway: Gateway) -> None:
    olga = ("--as", "olga", "--group", "ops")
    assert terminal(gateway, "approvals", "revoke", "local/zoe", *olga) == "local/zoe may approve nothing any more\n"
    assert terminal(gateway, "approvals", "revoke", "--restore", "local/zoe", *olga) == "local/zoe may approve again\n"
    assert "None of your roles" in terminal(gateway, "approvals", "revoke", "local/zoe", *LENA, code=1)
    terminal(gateway, "approvals", "revoke", "--restore", "local/olga", *olga, code=1)
    ledger = str(gateway.directory / "data" / "control-ledger")
    lines = [json.loads(line)["record"] for line in terminal(gateway, "audit", "tail", "--ledger", ledger, "--json").splitlines()]
    done = [(one["method"], one["person"], one["outcome"]) for one in lines if one["kind"] == "operator" and one.get("name") == "local/zoe"]
    assert done == [("revokeApprover", "olga", "done"), ("restoreApprover", "olga", "done"), ("revokeApprover", "lena", "NOT_YOUR_ROLE")]


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
