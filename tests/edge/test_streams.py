"""Streams that listen on real connections: opened, kept open, left, resumed, and ended."""

import asyncio
import gc
import tracemalloc
from typing import Any

import msgspec
import pytest

from customhouse.edge.protocol import sweep
from tests.edge.doors import BOUNDS, MCP, Client, Doorway, legacy, modern, request

LISTEN = {"notifications": {"toolsListChanged": True}}


def get(session: bytes, *headers: bytes) -> bytes:
    """A GET of a session's own stream."""
    accept = b"Accept: text/event-stream"
    return request(b"GET", headers=[MCP[0], accept, b"Mcp-Session-Id: " + session, *headers], body=None)


async def open_session(client: Client, revision: str = "2025-11-25") -> bytes:
    """The id of a new session."""
    answer = await client.ask(legacy("initialize", {"protocolVersion": revision, "capabilities": {}}))
    return answer.headers["mcp-session-id"].encode()


async def heard(client: Client, words: bytes) -> bytes:
    """What came, as soon as it has these words in it."""
    async with asyncio.timeout(5):
        while words not in client.wire.out:
            client.wire.written.clear()
            await client.wire.written.wait()
    return bytes(client.wire.out)


def drift(doorway: Doorway, *names: str) -> None:
    """These tools drifted, and a second passes."""
    doorway.live.block("notes", frozenset(("tool", name) for name in names))
    doorway.door.exchange.listening.sweep()


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_get_opens_a_stream_that_begins_with_an_id_and_no_data() -> None:
    doorway = Doorway()
    client, listener = doorway.connect(), doorway.connect()
    session = await open_session(client)
    listener.send(get(session))
    out = await heard(listener, b"data: \n\n")
    assert out.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-type: text/event-stream\r\nx-accel-buffering: no\r\n" in out
    drift(doorway, "read_note")
    await heard(listener, b'"notifications/tools/list_changed"')
    assert doorway.door.admission.in_flight == 0
    listener.wire.abort()
    await turns()
    assert doorway.outcomes == ["answered", "caller_left"]


@pytest.mark.parametrize("revision", ["2025-06-18", "2025-03-26"])
async def test_a_stream_of_an_earlier_revision_begins_with_a_comment(revision: str) -> None:
    doorway = Doorway()
    session = await open_session(doorway.connect(), revision)
    listener = doorway.connect()
    listener.send(get(session))
    out = await heard(listener, b"\n\n")
    assert b"data:" not in out
    assert b": keep-alive" in out


async def test_a_client_that_comes_back_gets_what_it_missed_on_a_new_connection() -> None:  # GW-41
    doorway = Doorway()
    session = await open_session(doorway.connect())
    first = doorway.connect()
    first.send(get(session))
    out = await heard(first, b"data: \n\n")
    event_id = out.split(b"id: ")[1].split(b"\n")[0]
    first.wire.abort()
    await turns()
    drift(doorway, "read_note")
    await turns()
    again = doorway.connect()
    again.send(get(session, b"Last-Event-ID: " + event_id))
    await heard(again, b"list_changed")
    drift(doorway)
    await turns()
    assert bytes(again.wire.out).count(b"list_changed") == 2
    again.wire.abort()


async def test_a_call_of_a_session_is_resumable_once_it_takes_long_and_its_answer_is_kept() -> None:  # GW-41
    doorway = Doorway()
    session = await open_session(doorway.connect())
    doorway.server.release.clear()
    client = doorway.connect()
    call: dict[str, Any] = {"name": "notes__read_note", "arguments": {"title": "welcome"}}
    client.send(legacy("tools/call", call, 9, headers=[b"Mcp-Session-Id: " + session]))
    await doorway.server.called.wait()
    assert not client.wire.out
    doorway.clock.seconds += 1.5
    sweep(doorway.connections, doorway.clock.seconds, doorway.door.bounds.max_unsent_bytes)
    event_id = (await heard(client, b"data: \n\n")).split(b"id: ")[1].split(b"\n")[0]
    client.wire.abort()
    await turns()
    assert not doorway.server.left.is_set()
    doorway.server.release.set()
    await turns()
    again = doorway.connect()
    answer = await again.ask(get(session, b"Last-Event-ID: " + event_id))
    (data,) = [line[6:] for line in answer.body.split(b"\n") if line.startswith(b"data: {")]
    assert msgspec.json.decode(data)["id"] == 9


async def test_delete_ends_the_session_and_its_streams() -> None:  # GW-37
    doorway = Doorway()
    client, listener = doorway.connect(), doorway.connect()
    session = await open_session(client)
    listener.send(get(session))
    await heard(listener, b"data: \n\n")
    gone = await client.ask(request(b"DELETE", headers=[MCP[0], b"Mcp-Session-Id: " + session], body=None))
    assert gone.status == 200
    await heard(listener, b"0\r\n\r\n")
    assert (await client.ask(legacy(headers=[b"Mcp-Session-Id: " + session]))).status == 404
    assert (await client.ask(get(session))).status == 404
    assert (await client.ask(request(b"DELETE", headers=[MCP[0], b"Mcp-Session-Id: " + session], body=None))).status == 404


@pytest.mark.parametrize("method", [b"GET", b"DELETE"])
@pytest.mark.parametrize("headers", [[], [b"Mcp-Session-Id: x", b"MCP-Protocol-Version: 2026-07-28"]])
async def test_without_a_legacy_session_there_is_nothing_but_post(method: bytes, headers: list[bytes]) -> None:  # GW-23, GW-24
    answer = await Doorway().connect().ask(request(method, headers=[*MCP, *headers], body=None))
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


async def test_a_listen_stream_is_kept_open_with_comments_and_ends_with_a_result() -> None:  # GW-85, GW-30
    doorway = Doorway()
    client = doorway.connect()
    client.send(modern("subscriptions/listen", LISTEN, 4))
    await heard(client, b"notifications/subscriptions/acknowledged")
    drift(doorway, "read_note")
    await heard(client, b"notifications/tools/list_changed")
    doorway.live.draining = True
    doorway.door.exchange.listening.sweep()
    stream = await client.answer()
    events = [msgspec.json.decode(line[6:]) for line in stream.body.split(b"\n") if line.startswith(b"data: ")]
    assert [event.get("method", event.get("id")) for event in events] == [
        "notifications/subscriptions/acknowledged",
        "notifications/tools/list_changed",
        4,
    ]
    assert doorway.outcomes == ["listened"]


async def test_a_client_that_leaves_ends_its_listen_stream() -> None:
    doorway = Doorway()
    client = doorway.connect()
    client.send(modern("subscriptions/listen", LISTEN))
    await heard(client, b"acknowledged")
    assert len(doorway.door.exchange.listening) == doorway.door.admission.listening == 1
    assert not [one for one in doorway.state.tasks if getattr(one, "task", None)]  # nothing runs while nothing happens
    client.wire.abort()
    await turns()
    assert doorway.outcomes == ["caller_left"]
    assert len(doorway.door.exchange.listening) == doorway.door.admission.listening == 0


def long_filter() -> bytes:
    """Nearly all that a filter may say, of nothing that is there."""
    asked = {"resourceSubscriptions": [f"note://{number}/" + "x" * 900 for number in range(1_000)]}
    return modern("subscriptions/listen", {"notifications": asked})


def long_get(target: bytes, *headers: bytes) -> bytes:
    return request(b"GET", target, [MCP[0], b"Accept: text/event-stream", *headers], b"x" * 900_000)


def long_meta(number: int = 0) -> bytes:
    """A request with much in `_meta`, under a head of its own."""
    return with_meta("subscriptions/listen", LISTEN, {"example.org/x": ["x"] * 10_000, "n": number}, [b"X-Number: %d" % number])


def with_meta(method: str, params: dict[str, Any], more: dict[str, Any], headers: list[bytes]) -> bytes:
    head, _, body = modern(method, params, headers=headers).partition(b"\r\n\r\n")
    message = msgspec.json.decode(body)
    message["params"]["_meta"] |= more
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    body = msgspec.json.encode(message)
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body)]) + b"\r\n\r\n" + body


async def test_what_a_client_says_in_meta_is_not_kept_with_the_heads_of_its_requests() -> None:
    doorway = Doorway()
    client = doorway.connect()
    await client.ask(with_meta("tools/list", {}, {}, []))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(20):
            more = {"example.org/x": ["x"] * 10_000}
            assert (await client.ask(with_meta("tools/list", {}, more, [b"X-Number: %d" % number]))).status == 200
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept - before < 500_000


@pytest.mark.parametrize("way", ["filter", "meta", "get", "pair"])
async def test_an_open_stream_keeps_nothing_of_what_asked_for_it(way: str) -> None:
    doorway = Doorway(msgspec.structs.replace(BOUNDS, max_body_bytes=1_048_576))
    session = await open_session(doorway.connect())
    asked = {
        "filter": long_filter(),
        "meta": long_meta(),
        "get": long_get(b"/mcp", b"Mcp-Session-Id: " + session),
        "pair": long_get(b"/mcp/sse"),
    }[way]
    clients = [doorway.connect() for _ in range(10)]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for client in clients:
            client.send(asked)
            await heard(client, b"\n\n")
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(doorway.door.exchange.listening) == 10
    assert kept - before < 400_000
    for client in clients:
        client.wire.abort()
    await turns()


async def test_a_caller_holds_so_many_streams_open_and_no_more() -> None:
    doorway = Doorway(max_streams=3)
    session = await open_session(doorway.connect())
    pair = request(b"GET", b"/mcp/sse", [MCP[0], b"Accept: text/event-stream"], None)
    ways = (modern("subscriptions/listen", LISTEN), get(session), pair)
    held = [doorway.connect() for _ in ways]
    for client, way in zip(held, ways, strict=True):
        client.send(way)
        await heard(client, b"\n\n")
    event_id = next(line[4:] for line in (await heard(held[1], b"id: ")).split(b"\n") if line.startswith(b"id: "))
    for way in (*ways, get(session, b"Last-Event-ID: " + event_id)):
        refused = await doorway.connect().ask(way)
        assert refused.json()["error"]["data"]["reason"] == "too_many_streams"
        assert refused.headers["retry-after"] == "1"
    assert (await doorway.connect().ask(legacy())).status == 200
    held[0].wire.abort()
    await turns()
    held[0] = doorway.connect()
    held[0].send(pair)
    await heard(held[0], b"event: endpoint")
    for client in held:
        client.wire.abort()
    await turns()
