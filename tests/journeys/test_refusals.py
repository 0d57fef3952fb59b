"""What a caller is refused, seen from outside: real processes, raw requests, and the record each refusal leaves."""

import base64
import json
import threading
from typing import Any

import httpx2
import pytest

from tests.journeys.conftest import Gateway, Notes

VERSION = "2026-07-28"
META = {"io.modelcontextprotocol/protocolVersion": VERSION, "io.modelcontextprotocol/clientCapabilities": {}}


class Agent:
    """A modern client of one endpoint."""

    def __init__(self, gateway: Gateway, token: str, path: str = "/mcp") -> None:
        self.gateway, self.token, self.path = gateway, token, path

    def post(self, method: str, params: dict[str, Any], **headers: str) -> httpx2.Response:
        name = params.get("name") or params.get("uri")
        mirrored = {"Mcp-Name": name} if isinstance(name, str) else {}
        return httpx2.post(
            self.gateway.url + self.path,
            json={"jsonrpc": "2.0", "id": 7, "method": method, "params": {**params, "_meta": {**META, **params.get("_meta", {})}}},
            headers={
                "Authorization": f"Bearer {self.token}",
                "Accept": "application/json, text/event-stream",
                "MCP-Protocol-Version": VERSION,
                "Mcp-Method": method,
                **mirrored,
                **headers,
            },
            timeout=30.0,
            trust_env=False,
        )

    def call(self, tool: str, **arguments: Any) -> httpx2.Response:
        return self.post("tools/call", {"name": tool, "arguments": arguments})

    def tools(self) -> set[str]:
        listed = self.post("tools/list", {}).json()["result"]["tools"]
        return {tool["name"] for tool in listed}


@pytest.fixture(scope="module")
def alice(gateway: Gateway) -> Agent:
    return Agent(gateway, gateway.token("alice", "eng"))


def reason_of(response: httpx2.Response) -> str:
    """The machine-readable reason of a refusal."""
    reason: str = response.json()["error"]["data"]["reason"]
    return reason


def last_record(gateway: Gateway, outcome: str) -> dict[str, Any]:
    """The newest record with an outcome."""
    lines = gateway.command("audit", "tail", "-n", "1", "--json", "--outcome", outcome).splitlines()
    entry: dict[str, dict[str, Any]] = json.loads(lines[-1])
    return entry.get("record", entry)


def rewritten(token: str, **claims: Any) -> str:
    """A token with other claims and the signature it had."""
    header, payload, signature = token.split(".")
    value = json.loads(base64.urlsafe_b64decode(payload + "=="))
    changed = base64.urlsafe_b64encode(json.dumps({**value, **claims}).encode()).rstrip(b"=").decode()
    return f"{header}.{changed}.{signature}"


def unsigned(token: str) -> str:
    """The same claims, and nobody vouches for them."""
    header = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    return f"{header}.{token.split('.')[1]}."


def test_a_token_for_another_endpoint_is_challenged(gateway: Gateway) -> None:
    elsewhere = Agent(gateway, gateway.token("alice", "eng", endpoint="/servers/notes/mcp"))
    refused = elsewhere.post("tools/list", {})
    assert refused.status_code == 401
    challenge = refused.headers["www-authenticate"]
    assert challenge.startswith('Bearer error="invalid_token"')
    metadata = httpx2.get(challenge.split('resource_metadata="')[1].split('"')[0], trust_env=False).json()
    assert metadata["resource"] == f"{gateway.url}/mcp"
    assert metadata["authorization_servers"]


def test_an_expired_token_is_refused(gateway: Gateway) -> None:
    token = gateway.command("token", "--as", "alice", "--group", "eng", "--lifetime", "1")
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    stale = rewritten(token, exp=int(claims["exp"]) - 7200, iat=int(claims["exp"]) - 7300, nbf=int(claims["exp"]) - 7300)
    assert Agent(gateway, stale).post("tools/list", {}).status_code == 401
    assert "expired" in last_record(gateway, "INVALID_TOKEN")["note"]


@pytest.mark.parametrize(
    "forge", [unsigned, lambda token: rewritten(token, groups=["editors"]), lambda token: rewritten(token, iss="urn:else")]
)
def test_an_unsigned_changed_or_foreign_token_is_refused(gateway: Gateway, alice: Agent, forge: Any) -> None:
    refused = Agent(gateway, forge(alice.token)).post("tools/list", {})
    assert refused.status_code == 401
    assert reason_of(refused) == "invalid_token"


def test_a_call_without_a_token_names_where_to_get_one(gateway: Gateway) -> None:
    refused = httpx2.post(f"{gateway.url}/mcp", json={}, headers={"Accept": "application/json, text/event-stream"}, trust_env=False)
    assert refused.status_code == 401
    assert "error=" not in refused.headers["www-authenticate"]
    assert "/.well-known/oauth-protected-resource/mcp" in refused.headers["www-authenticate"]


def test_a_tool_without_a_grant_answers_like_one_that_does_not_exist(alice: Agent) -> None:
    hidden, unknown = alice.call("notes__delete_note", title="welcome"), alice.call("notes__no_such_tool", title="welcome")
    for response in (hidden, unknown):
        assert response.json()["error"]["code"] == -32602
        del response.json()["error"]["data"]["callId"]
    assert hidden.json()["error"]["message"] == unknown.json()["error"]["message"]
    assert "notes__delete_note" not in alice.tools()


def test_a_write_without_a_grant_is_refused_and_recorded_with_its_decision(gateway: Gateway, alice: Agent) -> None:
    refused = alice.call("notes__add_note", title="plan", text="Ship it.")
    assert refused.status_code == 200
    assert reason_of(refused) == "not_permitted"
    record = last_record(gateway, "NOT_PERMITTED")
    assert (record["person"], record["name"], record["effect"], record["decision"]) == ("alice", "add_note", "write", "deny")
    assert record["argument_digest"]
    assert "Ship it." not in json.dumps(record)


def test_arguments_that_the_pinned_schema_refuses_are_an_error_of_the_tool(alice: Agent) -> None:
    result = alice.call("notes__read_note", title=17).json()["result"]
    assert result["isError"] is True
    assert "/title" in result["content"][0]["text"]
    assert "17" not in result["content"][0]["text"]


@pytest.mark.parametrize("name", ["Title", "ＴITLE", "title\u200b"])
def test_an_argument_that_looks_like_a_declared_one_is_refused(alice: Agent, name: str) -> None:
    assert alice.call("notes__read_note", **{"title": "welcome", name: "other"}).status_code == 400


def test_a_name_in_the_header_that_differs_from_the_body_is_refused_before_anything_is_decided(gateway: Gateway, alice: Agent) -> None:
    # GW-14
    refused = alice.post("tools/call", {"name": "notes__read_note", "arguments": {"title": "welcome"}}, **{"Mcp-Name": "notes__add_note"})
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == -32020
    assert not last_record(gateway, "HEADER_MISMATCH").get("decision")


def test_the_inbound_token_never_reaches_the_server_and_every_answer_is_recorded_before(gateway: Gateway, alice: Agent) -> None:  # GW-98
    answered = alice.call("notes__read_note", title="welcome")
    assert answered.json()["result"]["isError"] is False
    record = last_record(gateway, "answered")
    assert (record["tenant"], record["person"], record["client"]) == ("local", "alice", "customhouse-cli")
    assert record["policy_digest"].startswith("sha256:")
    assert record["pin_digest"].startswith("sha256:")
    assert list(record["reasons"]) == ["engineers-read-notes"]


def test_a_server_that_dies_in_the_middle_of_an_answer_is_a_clear_refusal(gateway: Gateway, notes: Notes, alice: Agent) -> None:
    threading.Timer(1.0, notes.process.kill).start()
    counting = {"name": "notes__count_slowly", "arguments": {"steps": 50, "pause_seconds": 0.2}, "_meta": {"progressToken": "p"}}
    answered = alice.post("tools/call", counting)
    text = answered.text
    assert "upstream_died" in text
    assert "127.0.0.1" not in text
    assert last_record(gateway, "UPSTREAM_DIED")["server"] == "notes"
    away = alice.call("notes__read_note", title="welcome")
    assert reason_of(away) == "upstream_unreachable"
    notes.restart()
    assert alice.call("notes__read_note", title="welcome").json()["result"]["isError"] is False


def test_a_tool_without_a_reviewed_class_is_neither_seen_nor_called(gateway: Gateway, alice: Agent) -> None:
    definition = gateway.directory / "servers" / "notes.yaml"
    before = definition.read_text()
    definition.write_text(before.replace("  read_note: {class: read}\n", ""))
    try:
        gateway.restart()
        assert "notes__read_note" not in alice.tools()
        assert reason_of(alice.call("notes__read_note", title="welcome")) == "unknown_name"
    finally:
        definition.write_text(before)
        gateway.restart()
