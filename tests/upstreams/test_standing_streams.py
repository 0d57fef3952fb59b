"""What a server says outside of calls, on a stream that is kept open as long as somebody wants to hear it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from customhouse.core.manifest import Era
from customhouse.core.protocol.revisions import META_SUBSCRIPTION
from customhouse.core.refusal import Refused
from tests.upstreams.programs import until
from tests.upstreams.support import DISCOVERED, DONE, Got, Link, Script, chunk, content, done, legacy, linked
from tests.upstreams.test_questions import CAN_ASK, Person, agree, question

SUBSCRIBE: dict[str, Any] = {"method": "resources/subscribe", "params": {"uri": "u://1"}}
UNSUBSCRIBE: dict[str, Any] = {"method": "resources/unsubscribe", "params": {"uri": "u://1"}}


async def empty(got: Got) -> None:
    await got.result({})


def with_stream(get: Script, call: Script = empty) -> Script:
    """A legacy server with a GET stream."""
    base = legacy(call)

    async def script(got: Got) -> None:
        await (get(got) if got.verb == "GET" else base(got))

    return script


async def still(got: Got) -> None:
    await got.stream()


def note(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": params}


def gets(link: Link) -> list[Got]:
    return [got for got in link.server.got if got.verb == "GET"]


# Legacy


async def test_a_stream_is_opened_when_somebody_subscribes_and_not_before() -> None:
    async with linked(with_stream(still)) as link:
        await link.call(Era.LEGACY, key="alice")
        assert gets(link) == []
        assert (await link.call(Era.LEGACY, key="alice", **SUBSCRIBE)).result == {}
        (stream,) = gets(link)
        assert (stream.headers["mcp-session-id"], stream.headers["accept"]) == ("s-1", "text/event-stream")
        await stream.event(note("notifications/resources/updated", uri="u://1"))
        await stream.event(note("notifications/resources/list_changed"))
        await until(lambda: bool(link.noted.lists))
        assert link.noted.resources == [("hostile", "alice", "u://1")]
        assert link.noted.lists == [("hostile", "resources")]
        assert (await link.call(Era.LEGACY, key="alice", **UNSUBSCRIBE)).result == {}
        assert [got.method for got in link.server.got if got.method.startswith("resources/")] == [
            "resources/subscribe",
            "resources/unsubscribe",
        ]


async def test_a_storm_of_changes_is_told_twice() -> None:
    async def storm(got: Got) -> None:
        await got.stream()
        for _ in range(500):
            await got.event(note("notifications/tools/list_changed"))
        await got.event(note("notifications/prompts/list_changed"))

    async with linked(with_stream(storm)) as link:
        await link.call(Era.LEGACY, **SUBSCRIBE)
        await until(lambda: ("hostile", "prompts") in link.noted.lists)
        assert link.noted.lists == [("hostile", "tools"), ("hostile", "prompts")]
        link.upstreams.sweep()
        assert link.noted.lists == [("hostile", "tools"), ("hostile", "prompts"), ("hostile", "tools")]


@pytest.mark.parametrize("status", [405, 404, 400, 501])
async def test_a_server_without_a_stream_is_not_subscribed_to_and_not_asked_again(status: int) -> None:  # GW-57
    async def none(got: Got) -> None:
        await got.json(b"", status)

    async with linked(with_stream(none)) as link:
        for key in ("alice", "bob") if status != 404 else ("alice",):
            answer = await link.call(Era.LEGACY, key=key, **SUBSCRIBE)
            assert status == 404 or (answer.error or {})["code"] == -32602
        assert len(gets(link)) == 1
        assert status == 404 or "resources/subscribe" not in link.server.methods()
        assert (await link.call(Era.LEGACY, key="alice", **UNSUBSCRIBE)).error is None


async def test_a_stream_that_ends_is_opened_again_where_it_ended() -> None:
    async def ends(got: Got) -> None:
        await got.stream()
        if len(gets(link)) == 1:
            await got.send(chunk(b"retry: 10\nid: e-7\ndata: " + b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n\n'))
            await got.end()

    async with linked(with_stream(ends)) as link:
        await link.call(Era.LEGACY, **SUBSCRIBE)
        await until(lambda: len(gets(link)) == 2)
        first, second = gets(link)
        assert "last-event-id" not in first.headers
        assert second.headers["last-event-id"] == "e-7"
        await second.event(note("notifications/prompts/list_changed"))
        await until(lambda: ("hostile", "prompts") in link.noted.lists)


async def test_a_session_that_a_stream_finds_gone_is_opened_again_with_its_subscriptions() -> None:
    names = iter(("s-1", "s-2"))

    async def get(got: Got) -> None:
        await (got.json(b"", 404) if got.headers["mcp-session-id"] == "s-1" and len(gets(link)) > 1 else got.stream())
        if len(gets(link)) == 1:
            await got.end()

    async def script(got: Got) -> None:
        await (get(got) if got.verb == "GET" else legacy(empty, session=next(names) if got.method == "initialize" else "")(got))

    async with linked(script) as link:
        await link.call(Era.LEGACY, key="alice", **SUBSCRIBE)
        again = link.server.until(lambda got: got.method == "resources/subscribe" and got.headers["mcp-session-id"] == "s-2")
        await until(lambda: len(gets(link)) == 2)
        await asyncio.sleep(0.01)
        link.upstreams.sweep()
        assert (await asyncio.wait_for(again, 2)).message["params"] == {"uri": "u://1"}


async def test_a_stream_of_rubbish_is_left_and_opened_again() -> None:
    async def get(got: Got) -> None:
        await got.stream()
        if len(gets(link)) == 1:
            await got.send(chunk(b"data: [1, 2\n\n"))

    async with linked(with_stream(get)) as link:
        await link.call(Era.LEGACY, **SUBSCRIBE)
        await until(lambda: len(gets(link)) == 2)
        await asyncio.wait_for(gets(link)[0].ended.wait(), 1)


async def test_a_question_on_the_stream_belongs_to_the_only_call_in_flight() -> None:  # GW-77
    go = asyncio.Event()

    async def wait(got: Got) -> None:
        await go.wait()
        await got.result(DONE)

    async with linked(with_stream(still, wait)) as link:
        person = Person(agree)
        calling = asyncio.create_task(link.call(Era.LEGACY, listener=person, capabilities=CAN_ASK, conversation="c"))
        await until(lambda: bool(gets(link)) and "tools/call" in link.server.methods())
        answered = link.server.until(lambda got: got.id == "q")
        await gets(link)[0].event({"jsonrpc": "2.0", **question("q", "roots/list")})
        assert (await answered).message["result"] == (await agree("", {}, ""))["result"]
        go.set()
        assert content(await calling) == DONE["content"]


async def test_the_stream_stands_before_the_first_call_of_a_conversation_that_may_be_asked() -> None:
    async with linked(with_stream(still)) as link:
        await link.call(Era.LEGACY, capabilities=CAN_ASK, conversation="c")
        assert [got.method or got.verb for got in link.server.got] == ["initialize", "notifications/initialized", "GET", "tools/call"]


async def test_a_stream_that_takes_its_time_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("customhouse.adapters.upstreams.legacysessions.STAND_SECONDS", 0.02)

    async def silent(got: Got) -> None:
        await got.gone()

    async with linked(with_stream(silent)) as link:
        answer = await asyncio.wait_for(link.call(Era.LEGACY, capabilities=CAN_ASK, conversation="c"), 0.5)
        assert answer.result == {}


@pytest.mark.parametrize(("calls", "heard"), [(1, ["notifications/message"]), (2, [])])
async def test_a_log_message_on_the_stream_belongs_to_the_only_call_in_flight(calls: int, heard: list[str]) -> None:
    go = asyncio.Event()

    async def wait(got: Got) -> None:
        await go.wait()
        await got.result(DONE)

    async with linked(with_stream(still, wait)) as link:
        more: dict[str, Any] = {"capabilities": CAN_ASK, "conversation": "c"}
        calling = [asyncio.create_task(link.call(Era.LEGACY, **more)) for _ in range(calls)]
        await until(lambda: bool(gets(link)) and link.server.methods().count("tools/call") == calls)
        await gets(link)[0].event(note("notifications/message", level="info", data="x"))
        await gets(link)[0].event(note("notifications/tools/list_changed"))
        await until(lambda: bool(link.noted.lists))
        assert [method for method, _ in link.heard.said] == heard
        go.set()
        await asyncio.gather(*calling)


@pytest.mark.parametrize("calls", [0, 2])
async def test_a_question_that_belongs_to_no_one_call_is_answered_here(calls: int) -> None:  # GW-78
    go = asyncio.Event()

    async def wait(got: Got) -> None:
        if calls and link.server.methods().count("tools/call") > 1:
            await go.wait()
        await got.result(DONE)

    async with linked(with_stream(still, wait)) as link:
        persons = [Person(agree) for _ in range(calls + 1)]
        more: dict[str, Any] = {"capabilities": CAN_ASK, "conversation": "c"}
        await link.call(Era.LEGACY, listener=persons[0], **more)
        calling = [asyncio.create_task(link.call(Era.LEGACY, listener=person, **more)) for person in persons[1:]]
        await until(lambda: bool(gets(link)) and link.server.methods().count("tools/call") == calls + 1)
        answered = link.server.until(lambda got: got.id == "q")
        await gets(link)[0].event({"jsonrpc": "2.0", **question("q", "roots/list")})
        assert (await answered).message["error"]["code"] == -32602
        pinged = link.server.until(lambda got: got.id == "p")
        await gets(link)[0].event({"jsonrpc": "2.0", **question("p", "ping")})
        assert (await pinged).message["result"] == {}
        go.set()
        await asyncio.gather(*calling)
        assert all(person.said == [] for person in persons)


async def test_an_attended_server_is_heard_without_a_caller() -> None:
    async with linked(with_stream(still)) as link:
        link.upstreams.attend(link.definition)
        await link.upstreams.era_of(link.errand)
        link.upstreams.sweep()
        await until(lambda: bool(gets(link)))
        await gets(link)[0].event(note("notifications/tools/list_changed"))
        await until(lambda: link.noted.lists == [("hostile", "tools")])


# A call's own stream, lost and taken up again


def lost_after(event_id: bytes, then: Callable[[Got], Awaitable[None]], *, retry: bytes = b"retry: 10\n") -> Script:
    async def call(got: Got) -> None:
        link_ids.append(got.id)
        await got.stream()
        await got.send(chunk(retry + b"id: " + event_id + b"\ndata: \n\n"))
        await got.end()

    link_ids: list[Any] = []

    async def get(got: Got) -> None:
        got.message["id"] = link_ids[0]
        await then(got)

    return with_stream(get, call)


async def the_answer(got: Got) -> None:
    await got.stream()
    await got.event({"jsonrpc": "2.0", "id": got.id, "result": DONE})


@pytest.mark.parametrize("write", [False, True])
async def test_a_stream_that_was_lost_after_an_event_id_is_taken_up_again(write: bool) -> None:  # GW-56
    async with linked(lost_after(b"e-1", the_answer)) as link:
        answer = await link.call(Era.LEGACY, write=write)
        assert (content(answer), answer.revision) == (DONE["content"], "2025-11-25")
        (resumed,) = gets(link)
        assert (resumed.headers["last-event-id"], resumed.headers["mcp-session-id"]) == ("e-1", "s-1")
        assert link.server.methods().count("tools/call") == 1


async def test_a_lost_stream_waits_as_long_as_the_server_said() -> None:  # GW-56
    async with linked(lost_after(b"e-1", the_answer, retry=b"retry: 150\n")) as link:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await link.call(Era.LEGACY)
        assert loop.time() - began >= 0.15


@pytest.mark.parametrize("status", [400, 404, 405])
async def test_a_lost_stream_that_cannot_be_taken_up_again_fails_the_call(status: int) -> None:
    async def refuse(got: Got) -> None:
        await got.json(b"", status)

    async with linked(lost_after(b"e-1", refuse)) as link:
        with pytest.raises(Refused, match="UPSTREAM_DIED"):
            await link.call(Era.LEGACY)
        assert link.server.methods().count("tools/call") == 1


async def test_a_stream_that_is_lost_again_and_again_is_given_up() -> None:  # GW-56
    async def lose(got: Got) -> None:
        await got.stream()
        await got.end()

    async with linked(lost_after(b"e-1", lose)) as link:
        with pytest.raises(Refused, match="UPSTREAM_DIED"):
            await link.call(Era.LEGACY)
        assert len(gets(link)) == 5


async def test_a_call_that_waits_to_take_its_stream_up_again_ends_at_its_deadline() -> None:
    async with linked(lost_after(b"e-1", the_answer, retry=b"retry: 60000\n")) as link:
        told = link.server.until(lambda got: got.method == "notifications/cancelled")
        with pytest.raises(Refused, match="UPSTREAM_TIMED_OUT"):
            await link.call(Era.LEGACY, seconds=0.1)
        await told


async def test_a_stream_without_event_ids_is_not_taken_up_again() -> None:  # GW-56
    async def call(got: Got) -> None:
        await got.stream()
        await got.end()

    async with linked(with_stream(still, call)) as link:
        with pytest.raises(Refused, match="UPSTREAM_DIED"):
            await link.call(Era.LEGACY)
        assert gets(link) == []


# Modern


class Listened:
    """A modern server with subscriptions."""

    def __init__(self, agrees: bool = True) -> None:
        self.agrees = agrees
        self.streams: list[Got] = []
        self.capabilities: dict[str, Any] = {"tools": {"listChanged": True}, "resources": {"subscribe": True}}

    async def __call__(self, got: Got) -> None:
        if got.method == "server/discover":
            await got.result({**DISCOVERED, "capabilities": self.capabilities})
        elif got.method == "subscriptions/listen":
            self.streams.append(got)
            await got.stream()
            await self.say(got, "notifications/subscriptions/acknowledged", notifications=self.wanted(got) if self.agrees else {})
        else:
            await done(got)

    @staticmethod
    def wanted(got: Got) -> dict[str, Any]:
        wanted: dict[str, Any] = got.message["params"]["notifications"]
        return wanted

    @staticmethod
    async def say(got: Got, method: str, **params: Any) -> None:
        await got.event(note(method, _meta={META_SUBSCRIPTION: got.id}, **params))


async def test_a_modern_server_is_listened_to_once_for_all_and_tells_each_what_it_wants() -> None:  # GW-84
    server = Listened()
    async with linked(server) as link:
        assert (await link.call(key="alice", **SUBSCRIBE)).result == {}
        assert (await link.call(key="bob", **SUBSCRIBE)).result == {}
        assert len(server.streams) == 1
        assert server.streams[0].headers["mcp-method"] == "subscriptions/listen"
        other: dict[str, Any] = {"method": "resources/subscribe", "params": {"uri": "u://2"}}
        assert (await link.call(key="bob", **other)).result == {}
        assert [server.wanted(got) for got in server.streams] == [
            {"toolsListChanged": True, "resourceSubscriptions": ["u://1"]},
            {"toolsListChanged": True, "resourceSubscriptions": ["u://1", "u://2"]},
        ]
        await asyncio.wait_for(server.streams[0].ended.wait(), 1)
        await server.say(server.streams[1], "notifications/resources/updated", uri="u://1")
        await server.say(server.streams[1], "notifications/resources/updated", uri="u://2/below")
        await server.streams[1].event(note("notifications/prompts/list_changed", _meta={META_SUBSCRIPTION: "forged"}))
        await server.say(server.streams[1], "notifications/tools/list_changed")
        await until(lambda: bool(link.noted.lists))
        assert sorted(link.noted.resources) == [
            ("hostile", "alice", "u://1"),
            ("hostile", "bob", "u://1"),
            ("hostile", "bob", "u://2/below"),
        ]
        assert link.noted.lists == [("hostile", "tools")]
        for key, ask in (("alice", UNSUBSCRIBE), ("bob", UNSUBSCRIBE), ("bob", {**other, "method": "resources/unsubscribe"})):
            assert (await link.call(key=key, **ask)).result == {}
        await asyncio.wait_for(server.streams[-1].ended.wait(), 1)
        assert len(server.streams) == 3


async def test_a_modern_server_that_does_not_agree_is_not_subscribed_to() -> None:
    async with linked(Listened(agrees=False)) as link:
        answer = await link.call(**SUBSCRIBE)
        assert (answer.error or {})["code"] == -32602
        assert answer.revision == "2026-07-28"


@pytest.mark.parametrize("status", [200, 404])
async def test_a_modern_server_without_subscriptions_is_told_so_at_once(status: int) -> None:
    async def script(got: Got) -> None:
        await (got.result(DISCOVERED) if got.method == "server/discover" else got.error(-32601, status))

    async with linked(script) as link:
        assert ((await link.call(**SUBSCRIBE)).error or {})["code"] == -32602


async def test_a_modern_server_that_says_nothing_to_a_subscription_fails_it_in_time() -> None:
    async def script(got: Got) -> None:
        await (got.result(DISCOVERED) if got.method == "server/discover" else got.stream())

    async with linked(script) as link:
        with pytest.raises(Refused, match="UPSTREAM_TIMED_OUT"):
            await link.call(seconds=0.1, **SUBSCRIBE)
        await asyncio.wait_for(link.server.got[-1].ended.wait(), 1)


async def test_a_subscription_that_ended_is_made_again() -> None:
    server = Listened()
    async with linked(server) as link:
        await link.call(key="alice", **SUBSCRIBE)
        await server.streams[0].event({"jsonrpc": "2.0", "id": server.streams[0].id, "result": {}})
        await server.streams[0].end()
        await until(lambda: len(server.streams) == 2)
        assert server.streams[0].id != server.streams[1].id
        await server.say(server.streams[1], "notifications/resources/updated", uri="u://1")
        await until(lambda: link.noted.resources == [("hostile", "alice", "u://1")])


async def test_an_attended_modern_server_is_listened_to_without_a_caller() -> None:
    server = Listened()
    async with linked(server) as link:
        link.upstreams.attend(link.definition)
        await link.upstreams.era_of(link.errand)
        link.upstreams.sweep()
        await until(lambda: len(server.streams) == 1)
        assert server.wanted(server.streams[0]) == {"toolsListChanged": True}
        await server.say(server.streams[0], "notifications/tools/list_changed")
        await until(lambda: link.noted.lists == [("hostile", "tools")])


async def test_a_server_that_offers_no_changes_is_not_attended_to() -> None:
    server = Listened()
    server.capabilities = {"tools": {}}
    async with linked(server) as link:
        link.upstreams.attend(link.definition)
        await link.upstreams.era_of(link.errand)
        link.upstreams.sweep()
        await link.call()
        assert server.streams == []


async def test_a_subscription_at_a_server_of_the_other_era_is_made_in_its_own() -> None:
    async with linked(with_stream(still)) as link:
        answer = await link.call(Era.MODERN, **SUBSCRIBE)
        assert (answer.result, answer.revision) == ({}, "2025-11-25")
    server = Listened()

    async def script(got: Got) -> None:
        await (got.error(-32601, 404) if got.method == "initialize" else server(got))

    async with linked(script) as link:
        for _ in range(2):
            answer = await link.call(Era.LEGACY, **SUBSCRIBE)
            assert (answer.result, answer.revision) == ({}, "2026-07-28")
        assert link.server.methods().count("initialize") == 1
