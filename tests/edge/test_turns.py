"""One request after the other on a connection: order, reuse, half-closed sides, slow senders, slow readers, and the end."""

import asyncio
from typing import Any

import msgspec
import pytest

from customhouse.edge.protocol import sweep
from tests.edge.doors import BOUNDS, HOST, MCP, Client, Doorway, legacy, modern, read_note, request

PARTIAL = b"POST /mcp HTTP/1.1\r\nHost: " + HOST + b"\r\nX: "


def pass_time(doorway: Doorway, seconds: float) -> None:
    """What happens every second, once, this much later."""
    doorway.clock.seconds += seconds
    sweep(doorway.connections, doorway.clock.seconds, doorway.door.bounds.max_unsent_bytes)


def ids(answers: list[Any]) -> list[int]:
    """The ids of answers, in order; 0 for a refusal without one."""
    return [answer.json().get("id", 0) for answer in answers]


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    doorway = Doorway()
    client = doorway.connect()
    client.send(b"".join(legacy(message_id=number) for number in range(50)))
    assert ids(await client.answers(50)) == list(range(50))
    assert client.wire.reading


async def test_a_quick_answer_waits_for_the_slow_one_before_it() -> None:
    doorway = Doorway()
    doorway.server.release.clear()
    client = doorway.connect()
    client.send(read_note(1) + legacy(message_id=2))
    await doorway.server.called.wait()
    assert not client.wire.out
    doorway.server.release.set()
    assert ids(await client.answers(2)) == [1, 2]


async def test_an_error_in_the_middle_ends_the_connection_after_the_answers_before_it() -> None:
    doorway = Doorway()
    client = doorway.connect()
    client.send(b"".join(legacy(message_id=number) for number in range(1, 6)) + b"BROKEN\r\n\r\n" + legacy(message_id=9))
    answers = await client.answers(9)
    assert ids(answers) == [1, 2, 3, 4, 5, 0]
    assert (answers[-1].status, answers[-1].headers["connection"]) == (400, "close")
    assert "connection" not in answers[-2].headers
    await client.closed()
    assert doorway.outcomes == ["answered"] * 5 + ["MALFORMED_HTTP"]


async def test_who_asks_far_ahead_is_not_read_from_until_answers_are_out() -> None:
    doorway = Doorway()
    doorway.server.release.clear()
    client = doorway.connect()
    client.send(read_note(1))
    await doorway.server.called.wait()
    for number in range(2, 18):
        assert client.wire.reading
        client.send(legacy(message_id=number))
    assert not client.wire.reading
    doorway.server.release.set()
    assert ids(await client.answers(17)) == list(range(1, 18))
    assert client.wire.reading


async def test_a_connection_is_used_again_and_ends_when_the_client_says_so() -> None:
    client = Doorway().connect()
    for number in range(3):
        answer = await client.ask(legacy(message_id=number))
        assert "connection" not in answer.headers
    answer = await client.ask(legacy(headers=[b"Connection: close"]))
    assert answer.headers["connection"] == "close"
    await client.closed()


async def test_http_1_0_gets_one_answer_and_the_end() -> None:
    client = Doorway().connect()
    answer = await client.ask(legacy(headers=[b"Connection: keep-alive"]).replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert answer.headers["connection"] == "close"
    await client.closed()


async def test_a_stream_for_http_1_0_ends_with_the_connection() -> None:
    doorway = Doorway()
    doorway.server.events = 2
    client = doorway.connect()
    client.send(read_note().replace(b"HTTP/1.1", b"HTTP/1.0"))
    await client.closed()
    head, _, body = bytes(client.wire.out).partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert body.count(b"data: ") == 3


async def test_progress_comes_as_events_before_the_answer_and_the_connection_lives_on() -> None:  # GW-30
    doorway = Doorway()
    doorway.server.events = 3
    client = doorway.connect()
    client.send(read_note(5) + legacy(message_id=6))
    stream, after = await client.answers(2)
    events = [msgspec.json.decode(line.removeprefix(b"data: ")) for line in stream.body.split(b"\n") if line.startswith(b"data: ")]
    assert stream.headers["content-type"] == "text/event-stream"
    assert stream.headers["x-accel-buffering"] == "no"
    assert [event.get("id", event.get("method")) for event in events] == ["notifications/progress"] * 3 + [5]
    assert after.json()["id"] == 6
    assert doorway.ledger.records[0].bytes_out >= sum(len(msgspec.json.encode(event)) for event in events)


async def test_a_client_that_closes_its_side_still_gets_its_answers() -> None:
    doorway = Doorway()
    doorway.server.release.clear()
    client = doorway.connect()
    client.send(legacy("tools/call", {"name": "notes__read_note", "arguments": {"title": "a"}}, 1) + legacy(message_id=2))
    await doorway.server.called.wait()
    assert client.connection.eof_received()
    doorway.server.release.set()
    answers = await client.answers(2)
    assert ids(answers) == [1, 2]
    assert answers[-1].headers["connection"] == "close"
    await client.closed()


async def test_a_client_that_closes_its_side_without_a_request_is_let_go() -> None:
    client = Doorway().connect()
    assert not client.connection.eof_received()
    client.send(PARTIAL)
    assert not client.connection.eof_received()


@pytest.mark.parametrize("before_the_call", [True, False])
async def test_a_modern_caller_who_closed_one_side_is_written_to_and_still_answered(before_the_call: bool) -> None:
    doorway = Doorway()
    doorway.server.release.clear()
    client = doorway.connect()
    client.send(read_note(3))
    if before_the_call:
        client.connection.eof_received()
    await doorway.server.called.wait()
    if not before_the_call:
        client.connection.eof_received()
    async with asyncio.timeout(0.1):
        while client.wire.out.count(b":\n") + client.wire.out.count(b": ") < 2 or b"event-stream" not in client.wire.out:
            client.wire.written.clear()
            await client.wire.written.wait()
    doorway.server.release.set()
    stream = await client.answer()
    assert b'"id":3' in stream.body
    await client.closed()


@pytest.mark.parametrize("call", [modern, legacy], ids=["modern", "legacy"])
async def test_leaving_cancels_a_modern_call_and_no_legacy_one(call: Any) -> None:  # GW-29, GW-41
    doorway = Doorway()
    doorway.server.release.clear()
    client = doorway.connect()
    client.send(call("tools/call", {"name": "notes__read_note", "arguments": {"title": "a"}}))
    await doorway.server.called.wait()
    client.wire.abort()
    await asyncio.sleep(0)
    doorway.server.release.set()
    await asyncio.gather(*doorway.state.tasks, return_exceptions=True)
    assert doorway.server.left.is_set() == (call is modern)
    assert doorway.outcomes == ["caller_left" if call is modern else "answered"]
    assert not doorway.connections


async def test_a_slow_head_is_refused() -> None:
    doorway = Doorway()
    client = doorway.connect()
    client.send(PARTIAL)
    pass_time(doorway, BOUNDS.head_timeout_seconds - 1)
    client.send(b"a")
    assert not client.wire.out
    pass_time(doorway, 2)
    assert (await client.answer()).status == 408
    await client.closed()
    assert doorway.outcomes == ["REQUEST_TOO_SLOW"]


async def test_a_slow_body_is_refused() -> None:
    doorway = Doorway()
    client = doorway.connect()
    client.send(legacy()[:-1])
    pass_time(doorway, BOUNDS.body_timeout_seconds - 1)
    assert not client.wire.out
    pass_time(doorway, 2)
    assert (await client.answer()).status == 408


@pytest.mark.parametrize("ahead", [1, 2, 3])
async def test_a_slow_head_behind_other_requests_is_refused_too(ahead: int) -> None:
    doorway = Doorway()
    client = doorway.connect()
    client.send(b"".join(legacy(message_id=number) for number in range(ahead)) + PARTIAL)
    assert ids(await client.answers(ahead)) == list(range(ahead))
    pass_time(doorway, BOUNDS.head_timeout_seconds + 1)
    assert (await client.answer()).status == 408


async def test_a_call_may_take_longer_than_a_request() -> None:
    doorway = Doorway()
    doorway.server.release.clear()
    client = doorway.connect()
    client.send(read_note())
    await doorway.server.called.wait()
    pass_time(doorway, 10_000)
    assert client.connection.connected
    doorway.server.release.set()
    await client.answer()


async def test_an_idle_connection_is_closed_without_a_word() -> None:
    doorway = Doorway()
    fresh, used = doorway.connect(), doorway.connect()
    await used.ask(legacy())
    pass_time(doorway, BOUNDS.idle_timeout_seconds - 1)
    assert fresh.connection.connected
    assert used.connection.connected
    pass_time(doorway, 2)
    await fresh.closed()
    await used.closed()
    assert not fresh.wire.out
    assert not used.wire.out


async def test_one_connection_too_many_is_refused_and_recorded() -> None:
    doorway = Doorway(msgspec.structs.replace(BOUNDS, max_connections=2))
    first, second, third = doorway.connect(), doorway.connect(), doorway.connect()
    refused = await third.answer()
    assert (refused.status, refused.headers["retry-after"], refused.headers["connection"]) == (503, "1", "close")
    await third.closed()
    assert doorway.outcomes == ["OVERLOADED"]
    for client in (first, second):
        assert (await client.ask(legacy())).status == 200


async def test_one_request_too_many_is_refused_and_the_connection_stays() -> None:
    doorway = Doorway(max_requests_in_flight=1)
    doorway.server.release.clear()
    busy, other = doorway.connect(), doorway.connect()
    busy.send(read_note())
    await doorway.server.called.wait()
    assert (await other.ask(legacy())).status == 503
    doorway.server.release.set()
    await busy.answer()
    assert (await other.ask(legacy())).status == 200


async def test_a_reader_that_takes_nothing_is_cut_off() -> None:
    doorway = Doorway()
    doorway.server.text = "x" * 100_000
    client = doorway.connect()
    client.wire.stuck = True
    await client.ask(read_note())
    pass_time(doorway, BOUNDS.write_timeout_seconds - 1)
    assert client.connection.connected
    pass_time(doorway, 2)
    assert client.wire.closed.is_set()


async def test_a_reader_that_takes_nothing_gets_nothing_more_to_take() -> None:
    doorway = Doorway()
    doorway.server.text = "x" * 100_000
    client = doorway.connect()
    client.wire.stuck = True
    client.send(b"".join(read_note(number) for number in range(5)))
    assert ids(await client.answers(1)) == [0]
    assert not client.wire.reading
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(doorway.server.asked) == 1
    client.wire.drain()
    assert ids(await client.answers(4)) == [1, 2, 3, 4]
    assert client.wire.reading


async def test_a_stream_waits_for_a_reader_that_takes_nothing() -> None:
    doorway = Doorway()
    doorway.server.text, doorway.server.events = "x" * 50_000, 100
    client = doorway.connect()
    client.wire.stuck = True
    client.send(read_note())
    for _ in range(50):
        await asyncio.sleep(0)
    assert client.connection.unsent_bytes < 200_000
    client.wire.drain()
    assert (await client.answer()).body.count(b"data: ") == 101


async def test_broken_framing_behind_a_reader_that_takes_nothing_waits_its_turn() -> None:
    doorway = Doorway()
    doorway.server.text = "x" * 100_000
    client = doorway.connect()
    client.wire.stuck = True
    client.send(read_note(1) + read_note(2))
    await client.answer()
    client.send(b"BROKEN\r\n\r\n")
    client.wire.drain()
    assert [answer.status for answer in await client.answers(3)] == [200, 400]


async def test_the_largest_of_what_waits_for_slow_readers_goes_first() -> None:
    doorway = Doorway(msgspec.structs.replace(BOUNDS, max_unsent_bytes=500_000))
    clients: list[Client] = []
    for size in (50_000, 300_000, 200_000, 100_000):
        doorway.server.text = "x" * size
        client = doorway.connect()
        client.wire.stuck = True
        await client.ask(read_note())
        clients.append(client)
    pass_time(doorway, 1)
    assert [client.wire.closed.is_set() for client in clients] == [False, True, False, False]


async def test_a_connection_that_ends_while_its_client_reads_nothing_is_cut_off_in_the_end() -> None:
    doorway = Doorway()
    client = doorway.connect()
    client.wire.stuck = True
    client.send(b"BROKEN\r\n\r\n")
    await client.closed()
    assert not client.wire.closed.is_set()
    pass_time(doorway, BOUNDS.write_timeout_seconds + 1)
    assert client.wire.closed.is_set()


async def test_after_a_refusal_the_client_has_a_moment_to_read_it() -> None:
    doorway = Doorway()
    client = doorway.connect()
    client.send(b"BROKEN\r\n\r\n")
    await client.closed()
    assert client.wire.ended
    assert client.wire.reading
    async with asyncio.timeout(2):
        await client.wire.closed.wait()


async def test_a_long_answer_before_a_refusal_is_not_cut_short() -> None:
    doorway = Doorway()
    client = doorway.connect()
    client.wire.stuck = True
    client.wire.high_water_bytes = 10_000_000
    doorway.server.text = "x" * 100_000
    client.send(read_note() + b"BROKEN\r\n\r\n")
    await client.closed()
    await asyncio.sleep(0.7)
    assert not client.wire.closed.is_set()
    client.wire.drain()
    async with asyncio.timeout(2):
        await client.wire.closed.wait()


async def test_a_draining_gateway_ends_idle_connections_now_and_others_after_their_answer() -> None:
    doorway = Doorway()
    doorway.server.release.clear()
    idle, busy = doorway.connect(), doorway.connect()
    busy.send(read_note(1) + legacy(message_id=2))
    await doorway.server.called.wait()
    for client in (idle, busy):
        client.connection.shutdown()
    await idle.closed()
    assert busy.connection.connected
    doorway.server.release.set()
    answers = await busy.answers(2)
    assert ids(answers) == [1]
    assert answers[0].headers["connection"] == "close"


async def test_a_long_call_begins_its_stream_with_comments() -> None:  # GW-30
    doorway = Doorway()
    doorway.server.release.clear()
    client = doorway.connect()
    client.send(read_note(4))
    await doorway.server.called.wait()
    pass_time(doorway, BOUNDS.keep_alive_comment_seconds - 1)
    assert not client.wire.out
    pass_time(doorway, 2)
    assert b"text/event-stream" in client.wire.out
    doorway.server.release.set()
    stream = await client.answer()
    assert stream.body.startswith(b":")
    assert b'"id":4' in stream.body


async def test_an_upload_that_nobody_waits_for_is_not_read() -> None:
    doorway = Doorway()
    client = doorway.connect()
    client.send(request(headers=[*MCP, b"Content-Length: 60000"], body=None))
    client.wire.abort()
    await asyncio.sleep(0)
    client.send(b"x" * 60_000)
    assert doorway.outcomes == []
    assert not doorway.connections
