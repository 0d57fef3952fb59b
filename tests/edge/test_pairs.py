"""The two endpoints of 2024-11-05 on real connections: an address for the caller alone, 202 for what is taken, answers on the stream."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from customhouse.core.canaries import Canaries
from tests.edge.doors import MCP, TOKEN, Answered, Doorway, request
from tests.edge.test_streams import drift, heard, turns

CALL = {"name": "notes__read_note", "arguments": {"title": "welcome"}}


class Pair:
    """A client with its open stream."""

    def __init__(self, doorway: Doorway, path: bytes = b"/mcp") -> None:
        self.doorway = doorway
        self.stream, self.sender = doorway.connect(), doorway.connect()
        self.stream.send(request(b"GET", path + b"/sse", [MCP[0], b"Accept: text/event-stream"], None))
        self.address = b""

    async def opened(self) -> "Pair":
        out = await heard(self.stream, b"\n\n")
        event, data = out.split(b"\r\n")[-2].split(b"\n")[:2]
        assert event == b"event: endpoint"
        self.address = data.removeprefix(b"data: ")
        return self

    async def post(self, message: object, *, address: bytes = b"", headers: tuple[bytes, ...] = MCP[:2]) -> Answered:
        return await self.sender.ask(request(b"POST", address or self.address, headers, msgspec.json.encode(message)))

    async def ask(self, method: str, params: Mapping[str, Any] | None = None, message_id: int = 1) -> dict[str, Any]:
        """The answer on the stream."""
        taken = await self.post({"jsonrpc": "2.0", "id": message_id, "method": method, "params": params or {}})
        assert (taken.status, taken.body) == (202, b"")
        mark = b'"id":%d' % message_id
        lines = (await heard(self.stream, mark)).split(b"\n")
        answer: dict[str, Any] = msgspec.json.decode(next(line[6:] for line in lines if line.startswith(b"data: {") and mark in line))
        return answer

    async def initialized(self, revision: str = "2024-11-05") -> "Pair":
        await self.opened()
        said = await self.ask("initialize", {"protocolVersion": revision, "capabilities": {}}, 1000)
        assert said["result"]["protocolVersion"] == revision
        assert (await self.post({"jsonrpc": "2.0", "method": "notifications/initialized"})).status == 202
        return self


async def test_the_first_event_names_an_address_at_the_same_origin() -> None:  # GW-45
    pair = await Pair(Doorway()).opened()
    assert pair.address.startswith(b"/mcp/messages?session=")
    assert TOKEN not in pair.address


async def test_a_message_is_taken_with_202_and_answered_on_the_stream_and_recorded() -> None:
    doorway = Doorway()
    pair = await Pair(doorway).initialized()
    assert (await pair.ask("tools/call", CALL, 2))["result"]["content"][0]["text"] == "hello"
    assert (await pair.ask("no/such", {}, 3))["error"]["code"] == -32601
    assert (await pair.ask("ping", {}, 4))["result"] == {}
    assert [(record.method, record.revision) for record in doorway.ledger.records if record.method][:3] == [
        ("initialize", "2024-11-05"),
        ("notifications/initialized", "2024-11-05"),
        ("tools/call", "2024-11-05"),
    ]
    assert doorway.door.admission.in_flight == 0


@pytest.mark.parametrize("path", [b"/mcp", b"/servers/notes/mcp"])
async def test_progress_and_changes_come_on_the_stream(path: bytes) -> None:
    doorway = Doorway()
    pair = await Pair(doorway, path).opened()
    drift(doorway, "add_note")
    await turns()
    assert b"list_changed" not in pair.stream.wire.out  # nothing before initialize
    await pair.initialized()
    doorway.server.events = 2
    name = "read_note" if path != b"/mcp" else "notes__read_note"
    await pair.ask("tools/call", {**CALL, "name": name, "_meta": {"progressToken": "p"}}, 2)
    assert bytes(pair.stream.wire.out).count(b"notifications/progress") == 2
    drift(doorway)
    await heard(pair.stream, b"notifications/tools/list_changed")


async def test_the_address_is_worth_nothing_without_the_token_or_the_stream() -> None:  # GW-45
    doorway = Doorway()
    pair = await Pair(doorway).initialized()
    ping = {"jsonrpc": "2.0", "id": 9, "method": "ping"}
    assert (await pair.post(ping, headers=(MCP[1],))).status == 401
    assert (await pair.post(ping, headers=(MCP[0], b"Content-Type: text/plain"))).status == 415
    assert (await pair.post(ping, headers=(*MCP[:2], b"Origin: https://evil.example"))).status == 403
    assert (await pair.post(ping, address=b"/mcp/messages")).status == 400
    assert (await pair.post(ping, address=b"/mcp/messages?session=made-up")).status == 404
    assert (await pair.post(ping, address=pair.address + b"&" + pair.address.partition(b"?")[2])).status == 400
    assert (await pair.post(ping, address=pair.address.replace(b"/mcp/", b"/servers/notes/mcp/"))).status == 404
    pair.stream.wire.abort()
    await turns()
    assert (await pair.post(ping)).status == 404
    assert len(doorway.door.exchange.listening) == 0


async def test_the_stream_needs_a_token_and_an_endpoint() -> None:
    client = Doorway().connect()
    refused = await client.ask(request(b"GET", b"/mcp/sse", [b"Accept: text/event-stream"], None))
    assert (refused.status, "/.well-known/oauth-protected-resource/mcp" in refused.headers["www-authenticate"]) == (401, True)
    page = await client.ask(request(b"GET", b"/mcp/sse", [MCP[0], b"Origin: https://evil.example"], None))
    assert page.status == 403
    assert (await client.ask(request(b"GET", b"/nothing/sse", MCP, None))).status == 404
    assert (await client.ask(request(b"POST", b"/mcp/sse", MCP))).status == 404


async def test_a_session_ends_with_its_stream() -> None:  # GW-45
    doorway = Doorway()
    pair = await Pair(doorway).initialized()
    sessions: Any = doorway.conversations.sessions
    assert len(sessions) == 1
    pair.stream.wire.abort()
    await turns()
    assert len(sessions) == 0


async def test_a_cancellation_reaches_a_call_of_the_pair() -> None:  # GW-42
    doorway = Doorway()
    pair = await Pair(doorway).initialized()
    doorway.server.release.clear()
    await pair.post({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": CALL})
    await doorway.server.called.wait()
    await pair.post({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}})
    await doorway.server.left.wait()
    await turns()
    assert b'"id":5' not in pair.stream.wire.out
    assert "cancelled" in doorway.outcomes


async def test_a_drain_waits_for_answers_and_then_ends_the_stream() -> None:
    doorway = Doorway()
    pair = await Pair(doorway).initialized()
    doorway.server.release.clear()
    await pair.post({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": CALL})
    await doorway.server.called.wait()
    doorway.live.draining = True
    doorway.door.exchange.listening.sweep()
    doorway.server.release.set()
    await heard(pair.stream, b'"id":5')
    await turns()
    doorway.door.exchange.listening.sweep()
    await heard(pair.stream, b"0\r\n\r\n")


async def test_a_modern_message_has_no_place_here() -> None:
    pair = await Pair(Doorway()).initialized()
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
    headers = (*MCP[:2], b"MCP-Protocol-Version: 2026-07-28", b"Mcp-Method: tools/list")
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
    refused = await pair.post(message, headers=headers)
    assert (refused.status, refused.json()["error"]["data"]["reason"]) == (400, "unsupported_version")


async def test_an_answer_to_nothing_that_was_asked_is_taken_and_means_nothing() -> None:
    doorway = Doorway()
    pair = await Pair(doorway).opened()
    answer = {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert (await pair.post(answer)).status == 202
    await pair.initialized()
    assert (await pair.post(answer)).status == 202
    assert [record.outcome for record in doorway.ledger.records if record.method == "response"] == ["accepted", "accepted"]


async def test_an_answer_to_a_question_carries_no_canary_out() -> None:  # T14
    doorway = Doorway()
    doorway.exchange.canaries = Canaries(["canary-7f3a9c21d4"])
    pair = await Pair(doorway).initialized()
    refused = await pair.post({"jsonrpc": "2.0", "id": "1", "result": {"action": "accept", "content": {"why": "canary-7f3a9c21d4"}}})
    assert refused.json()["error"]["data"]["reason"] == "canary_found"


async def test_a_batch_has_no_place_here() -> None:
    pair = await Pair(Doorway()).initialized("2025-03-26")
    assert (await pair.post([{"jsonrpc": "2.0", "id": 1, "method": "ping"}])).status == 400


async def test_a_second_initialize_opens_another_session_in_the_place_of_the_first() -> None:
    doorway = Doorway()
    pair = await Pair(doorway).initialized()
    said = await pair.ask("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}}, 7)
    assert said["result"]["protocolVersion"] == "2025-06-18"
    assert len(doorway.conversations.sessions) == 1  # type: ignore[arg-type]


async def test_a_server_that_talks_fast_waits_for_a_client_that_reads_slowly() -> None:
    doorway = Doorway()
    pair = await Pair(doorway).initialized()
    doorway.server.events = 200
    pair.stream.wire.stuck = True
    wordy = {**CALL, "_meta": {"progressToken": "p" * 10_000}}
    taken = await pair.post({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": wordy})
    assert taken.status == 202
    await turns()
    await turns()
    held = pair.stream.wire.get_write_buffer_size()
    pair.stream.wire.drain()
    await heard(pair.stream, b'"id":2')
    assert held < 200 * 10_000
    assert bytes(pair.stream.wire.out).count(b"notifications/progress") == 200
