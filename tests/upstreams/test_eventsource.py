"""Servers over HTTP+SSE, the transport of 2024-11-05."""

import asyncio
import json
from typing import Any

import pytest

from customhouse.adapters.upstreams.eventsource import endpoint_of
from customhouse.core.manifest import Era
from customhouse.core.refusal import Reason, Refused
from tests.upstreams.programs import Person, text_of
from tests.upstreams.sse_server import Message, handshake, up
from tests.upstreams.support import SECRET


async def test_calls_go_up_as_messages_and_answers_come_down_the_stream() -> None:
    async with up() as here:
        answers = await asyncio.gather(*(here.call({"n": number}) for number in range(20)))
        assert [json.loads(text_of(answer)) for answer in answers] == [{"n": number} for number in range(20)]
        assert {answer.revision for answer in answers} == {"2024-11-05"}
        assert here.web.methods()[:2] == ["initialize", "notifications/initialized"]
        assert len(here.web.streams) == 1
        assert {message.path for message in here.web.got} == {"/messages?session=0"}
        for head in here.web.heads:
            assert f"authorization: Bearer {SECRET}".encode() in head
        assert b"GET /sse?x=1 HTTP/1.1" in here.web.heads[0]
        assert b"accept: text/event-stream" in here.web.heads[0]


async def test_the_transport_is_older_than_the_modern_era_so_nobody_asks() -> None:
    async with up() as here:
        assert not await here.server.speaks_modern(here.clock.monotonic() + 5)
        assert here.web.streams == []
        assert (await here.server.discovery(here.errand, Era.LEGACY))["serverInfo"] == {"name": "s", "version": "1"}
        with pytest.raises(Refused, match="ERA_UNSUPPORTED"):
            await here.server.discovery(here.errand, Era.MODERN)


@pytest.mark.parametrize(
    ("url", "event", "target"),
    [
        ("http://h/sse", b"/messages?a=1", "/messages?a=1"),
        ("http://h/a/sse", b"messages", "/a/messages"),
        ("http://h:80/sse", b"http://h/messages", "/messages"),
        ("https://h/sse", b"https://H:443/messages#part", "/messages"),
        ("http://h:8080/sse?x=1", b"?y=2", "/sse?y=2"),
        ("http://h/sse", b"\\\\elsewhere/messages", "/\\\\elsewhere/messages"),
    ],
)
def test_an_endpoint_is_an_address_at_the_origin_of_the_stream(url: str, event: bytes, target: str) -> None:
    assert endpoint_of(url, (b"endpoint", event)).target == target


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ((b"endpoint", b"http://elsewhere/messages"), Reason.ADDRESS_REFUSED),
        ((b"endpoint", b"//elsewhere/messages"), Reason.ADDRESS_REFUSED),
        ((b"endpoint", b"https://h/messages"), Reason.ADDRESS_REFUSED),
        ((b"endpoint", b"http://h:8080/messages"), Reason.ADDRESS_REFUSED),
        ((b"endpoint", b"http://h@elsewhere/"), Reason.ADDRESS_REFUSED),
        ((b"endpoint", b"http://user@h/"), Reason.ADDRESS_REFUSED),
        ((b"endpoint", b"file:///etc/passwd"), Reason.ADDRESS_REFUSED),
        ((b"endpoint", b"http://h:99999/"), Reason.UPSTREAM_BROKE_PROTOCOL),
        ((b"endpoint", b"http://[/"), Reason.UPSTREAM_BROKE_PROTOCOL),
        ((b"endpoint", b"/a HTTP/1.1\x0dx: y"), Reason.UPSTREAM_BROKE_PROTOCOL),
        ((b"endpoint", b"/\xc3\xa9"), Reason.UPSTREAM_BROKE_PROTOCOL),
        ((b"endpoint", b"/" + b"a" * 5_000), Reason.UPSTREAM_BROKE_PROTOCOL),
        ((b"message", b"/messages"), Reason.UPSTREAM_BROKE_PROTOCOL),
        ((b"", b""), Reason.UPSTREAM_BROKE_PROTOCOL),
    ],
)
def test_any_other_endpoint_is_refused(event: tuple[bytes, bytes], reason: Reason) -> None:  # GW-58
    with pytest.raises(Refused) as caught:
        endpoint_of("http://h/sse", event)
    assert caught.value.reason is reason


async def test_nothing_is_sent_to_an_endpoint_elsewhere() -> None:  # GW-58
    elsewhere = b"event: endpoint\ndata: http://127.0.0.1:1/messages\n\n"
    async with up(first_event=elsewhere) as here:
        with pytest.raises(Refused, match="ADDRESS_REFUSED"):
            await here.call()
        await here.web.ended[0].wait()
        assert here.web.got == []


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"HTTP/1.1 401 X\r\ncontent-length: 0\r\n\r\n", Reason.UPSTREAM_REFUSED_CREDENTIAL),
        (b"HTTP/1.1 302 X\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n", Reason.UPSTREAM_REDIRECTED),
        (b"HTTP/1.1 503 X\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n", Reason.UPSTREAM_OVERLOADED),
        (b"HTTP/1.1 405 X\r\ncontent-length: 0\r\n\r\n", Reason.UPSTREAM_FAILED),
        (b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}", Reason.UPSTREAM_FAILED),
        (b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\n\r\ndata: {}\n\n", Reason.UPSTREAM_BROKE_PROTOCOL),
        (b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\n\r\n: nothing more\n\n", Reason.UPSTREAM_UNREACHABLE),
        (b"nonsense\r\n\r\n", Reason.UPSTREAM_DIED),
    ],
)
async def test_what_is_no_stream_opens_none(head: bytes, reason: Reason) -> None:
    async with up(stream_head=head, definition={"connect_timeout_seconds": 0.4}) as here:
        with pytest.raises(Refused) as caught:
            await here.call()
        assert caught.value.reason is reason
        await asyncio.wait_for(here.web.ended[0].wait(), 5)


async def test_a_stream_that_breaks_fails_what_is_in_flight_and_the_next_call_opens_another() -> None:
    async def script(message: Message) -> None:
        if message.body.get("method") == "tools/call" and message.stream == 0:
            if here.web.methods().count("tools/call") == 3:
                message.server.streams[0].close()
        else:
            await handshake(message)

    async with up(script) as here:
        for outcome in await asyncio.gather(*(here.call(write=True) for _ in range(3)), return_exceptions=True):
            assert isinstance(outcome, Refused)
            assert outcome.reason is Reason.UPSTREAM_DIED
        assert here.web.methods().count("tools/call") == 3
        await here.call()
        assert here.web.got[-1].path == "/messages?session=1"
        assert here.web.methods().count("initialize") == 2


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, Reason.UPSTREAM_REFUSED_CREDENTIAL),
        (429, Reason.UPSTREAM_OVERLOADED),
        (500, Reason.UPSTREAM_FAILED),
        (307, Reason.UPSTREAM_REDIRECTED),
        (400, Reason.UPSTREAM_FAILED),
    ],
)
async def test_a_message_that_is_not_taken_fails_its_call_alone(status: int, reason: Reason) -> None:
    async def script(message: Message) -> int | None:
        if message.body.get("params", {}).get("arguments") == "bad":
            return status
        await handshake(message)
        return None

    async with up(script) as here:
        await here.call()
        with pytest.raises(Refused) as caught:
            await here.call("bad")
        assert caught.value.reason is reason
        await here.call()
        assert len(here.web.streams) == 1


async def test_an_endpoint_that_the_server_forgot_means_a_new_stream() -> None:
    async def script(message: Message) -> int | None:
        if message.body.get("method") == "tools/call" and message.stream == 0:
            return 404
        await handshake(message)
        return None

    async with up(script) as here:
        with pytest.raises(Refused):
            await here.call()
        await here.call()
        assert len(here.web.streams) == 2
        await here.web.ended[0].wait()


async def test_a_cancelled_call_is_cancelled_at_the_server() -> None:
    cancelled = asyncio.Event()
    taken = asyncio.Event()

    async def script(message: Message) -> None:
        if message.body.get("method") == "notifications/cancelled":
            cancelled.set()
        elif message.body.get("method") == "tools/call":
            taken.set()
        else:
            await handshake(message)

    async with up(script) as here:
        call = asyncio.create_task(here.call())
        await taken.wait()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await asyncio.wait_for(cancelled.wait(), 5)
        (request,) = [message for message in here.web.got if message.body.get("method") == "tools/call"]
        assert here.web.got[-1].body["params"] == {"requestId": request.body["id"]}


async def test_questions_and_progress_come_down_the_stream_too() -> None:
    async def script(message: Message) -> None:
        if message.body.get("method") == "tools/call":
            token = message.body["params"]["_meta"]["progressToken"]
            await message.say({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": 1}})
            await message.say({"jsonrpc": "2.0", "id": "q", "method": "roots/list"})
            pending.append(message)
        elif "method" not in message.body:
            await pending.pop().result({"content": [{"type": "text", "text": json.dumps(message.body)}]})
        else:
            await handshake(message)

    pending: list[Message] = []
    async with up(script) as here:
        person = Person(answers=[{"result": {"roots": []}}])
        answer = await here.call(person=person, wants_progress=True, capabilities={"roots": {}})
        assert json.loads(text_of(answer)) == {"jsonrpc": "2.0", "id": "q", "result": {"roots": []}}
        assert [params["progress"] for _, params in person.heard] == [1]


async def test_an_event_that_is_too_large_ends_the_stream() -> None:
    async def script(message: Message) -> None:
        if message.body.get("method") == "tools/call" and message.stream == 0:
            await message.result({"content": "x" * 200_000})
        else:
            await handshake(message)

    async with up(script) as here:
        with pytest.raises(Refused, match="RESULT_TOO_LARGE"):
            await here.call()
        await here.call()


async def test_other_events_and_comments_are_passed_over() -> None:
    async def script(message: Message) -> None:
        await message.server.raw(message.stream, b": ping\n\nevent: endpoint\ndata: http://elsewhere/\n\nevent: other\ndata: {}\n\n")
        await handshake(message)

    async with up(script) as here:
        await here.call()
        assert {message.path for message in here.web.got} == {"/messages?session=0"}


async def test_streams_end_when_the_gateway_ends() -> None:
    async with up() as here:
        await here.call(key="a")
        await here.call(key="b")
        await here.server.close()
        await asyncio.gather(*(asyncio.wait_for(ended.wait(), 5) for ended in here.web.ended))
        assert len(here.web.ended) == 2


async def test_a_stream_that_nobody_used_for_long_is_ended() -> None:
    async with up() as here:
        await here.call()
        here.server.sweep(here.clock.monotonic() + 299.0)
        assert not here.web.ended[0].is_set()
        here.server.sweep(here.clock.monotonic() + 301.0)
        await asyncio.wait_for(here.web.ended[0].wait(), 5)


async def test_a_message_whose_connection_breaks_may_have_been_read_and_is_not_sent_again() -> None:
    async def script(message: Message) -> None:
        if message.body.get("method") == "tools/call":
            raise ConnectionError
        await handshake(message)

    async with up(script) as here:
        call = asyncio.create_task(here.call(write=True))
        while "tools/call" not in here.web.methods():  # noqa: ASYNC110 - the server is no part of the test's events
            await asyncio.sleep(0.01)
        here.web.writers[-1].close()
        with pytest.raises(Refused, match="UPSTREAM_DIED"):
            await call
        assert here.web.methods().count("tools/call") == 1


async def test_addresses_are_judged_before_anything_is_sent() -> None:
    async with up(definition={"url": "http://10.0.0.1/sse"}) as here:
        with pytest.raises(Refused, match="ADDRESS_REFUSED"):
            await here.call()


async def test_an_updated_resource_is_told_with_the_session_it_was_subscribed_in() -> None:
    async def script(message: Message) -> None:
        if message.body.get("method") == "tools/call":
            updated: dict[str, Any] = {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "file:///a"}}
            await message.say(updated)
        await handshake(message)

    async with up(script) as here:
        await here.call(key="alice")
        assert here.noted.resources == [("sse", "alice", "file:///a")]
