"""Streams that tell what happens outside of calls: acknowledged, tagged, judged again, told once, resumed, and ended."""

import asyncio
import gc
import weakref
from dataclasses import replace
from typing import Any

import pytest

from customhouse.core.budget import Rate
from customhouse.core.manifest import Effect
from customhouse.core.policygrants import Grant, Granted, Grantee
from customhouse.core.protocol.revisions import META_SUBSCRIPTION
from customhouse.core.refusal import Reason, Refused
from customhouse.gateway.listening import KEPT_FOR_SECONDS
from customhouse.gateway.live import View
from customhouse.ports.traffic import Ask, Listener, UpstreamAnswer
from tests.gateway.support import Back, Moving, World, legacy, modern, result

EVERYTHING = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True, "resourceSubscriptions": ["note://a"]}
SEARCH, ALSO = ("tool", "search"), ("tool", "shape")
CALL = {"name": "search", "arguments": {"query": "x"}}


@pytest.fixture
def world() -> World:
    """At the endpoint of one server."""
    world = World()
    world.path = "/servers/notes/mcp"
    return world


def whose(world: World) -> str:
    """The session key at the server of the caller who subscribed last."""
    return str(getattr(world.servers.calls[-1][0], "session_key", None))


def drift(world: World, *entries: tuple[str, str]) -> None:
    """These entries drifted, and a second passes."""
    world.live.block("notes", frozenset(entries))
    world.exchange.listening.sweep()


async def turns(count: int = 20) -> None:
    """What is on its way arrives."""
    for _ in range(count):
        await asyncio.sleep(0)


async def end(open_: "asyncio.Task[None]", back: Back) -> None:
    back.leave()
    await asyncio.gather(open_, return_exceptions=True)


# Modern clients


async def test_a_listen_stream_is_acknowledged_first_with_what_is_honoured_of_it(world: World) -> None:  # GW-83
    asked = {**EVERYTHING, "resourceSubscriptions": ["note://a", "note://nobody", "file:///etc/passwd"], "taskIds": ["t"]}
    open_, back = await world.subscribe_modern(asked, "first")
    (told,) = back.told
    assert told["method"] == "notifications/subscriptions/acknowledged"
    assert told["params"] == {
        "notifications": {"toolsListChanged": True, "resourceSubscriptions": ["note://a"]},
        "_meta": {META_SUBSCRIPTION: "first"},
    }
    assert [(ask.method, ask.params) for _, ask in world.servers.calls] == [("resources/subscribe", {"uri": "note://a"})]
    await end(open_, back)
    assert (world.book.closing.method, world.book.closing.outcome, world.book.closing.decision) == (
        "subscriptions/listen",
        "caller_left",
        "permit",
    )


@pytest.mark.parametrize("asked", [None, [], {"toolsListChanged": 1}, {"resourceSubscriptions": "note://a"}])
async def test_a_filter_that_is_none_is_refused(world: World, asked: Any) -> None:
    back = await world.ask_modern("subscriptions/listen", {"notifications": asked})
    assert (back.status, back.refusal) == (400, "INVALID_PARAMS")


async def test_a_list_that_shows_something_else_is_told_once_and_tagged(world: World) -> None:  # GW-83, GW-92
    one, first = await world.subscribe_modern({"toolsListChanged": True}, 7)
    two, second = await world.subscribe_modern({"toolsListChanged": True}, "x")
    drift(world, SEARCH)
    drift(world, SEARCH, ALSO)
    await turns()
    for back, tag in ((first, 7), (second, "x")):
        _, told = back.told
        assert told == {"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {"_meta": {META_SUBSCRIPTION: tag}}}
    drift(world)
    await turns()
    assert len(first.told) == 3
    await end(one, first)
    await end(two, second)


async def test_the_end_of_a_grant_is_told_to_those_who_lost_something_by_it() -> None:
    ends = int(Moving().now()) + 60
    on = Granted(server="notes", classes=(Effect.READ,))
    world = World("", grants=(Grant(file="g", line=1, id="grant:g/1", to=Grantee(group="acme/readers"), on=on, until=ends),))
    mine, reader = await world.subscribe_modern(
        {"toolsListChanged": True, "resourceSubscriptions": ["note://a"]}, path="/servers/notes/mcp"
    )
    other, stranger = await world.subscribe_modern({"toolsListChanged": True}, token=b"bob", path="/servers/notes/mcp")
    world.clock.at += 61
    world.exchange.listening.sweep()
    await turns()
    assert [told["method"] for told in reader.told[1:]] == ["notifications/tools/list_changed"]
    assert len(stranger.told) == 1
    world.exchange.listening.updated("notes", whose(world), "note://a")
    await turns()
    assert len(reader.told) == 2
    await end(mine, reader)
    await end(other, stranger)


async def listening_session(world: World) -> tuple[Back, "asyncio.Task[None]"]:
    """A legacy session that subscribed to a resource and listens."""
    session = await world.open_session()
    open_, back = await world.listen(session)
    await world.say(session, "resources/subscribe", {"uri": "note://a"})
    return back, open_


async def swap(world: World, view: View) -> None:
    """Another view is served, and a second passes."""
    world.live.view = view
    world.exchange.listening.sweep()
    await turns()


@pytest.mark.parametrize(
    "served", [World("").live.view, replace(World().live.view, endpoints={})], ids=["nothing is granted", "nothing is served"]
)
async def test_a_swap_of_views_is_told_to_those_who_lost_something_by_it(world: World, served: View) -> None:
    open_, back = await world.subscribe_modern({"toolsListChanged": True, "resourceSubscriptions": ["note://a"]})
    await swap(world, World().live.view)
    assert len(back.told) == 1  # it shows the same
    await swap(world, served)
    assert [told["method"] for told in back.told[1:]] == ["notifications/tools/list_changed"]
    world.exchange.listening.updated("notes", whose(world), "note://a")
    await turns()
    assert len(back.told) == 2
    await end(open_, back)


async def test_a_session_is_told_of_a_swap_of_views_and_hears_no_more_than_it_may_read(world: World) -> None:
    back, open_ = await listening_session(world)
    await swap(world, World("").live.view)
    lists = ("prompts", "resources", "tools")
    assert sorted(told["method"] for told in back.told) == [f"notifications/{kind}/list_changed" for kind in lists]
    world.exchange.listening.updated("notes", whose(world), "note://a")
    await turns()
    assert len(back.told) == 3
    await end(open_, back)


async def test_neither_streams_nor_refusals_nor_lists_hold_a_view_that_is_not_served(world: World) -> None:
    modern_, listener = await world.subscribe_modern({"toolsListChanged": True, "resourceSubscriptions": ["note://a"]})
    back, legacy_ = await listening_session(world)
    gc.disable()
    try:
        for method, params in ASKED:
            await world.ask_modern(method, params)
        before = weakref.ref(world.live.view)
        await swap(world, World().live.view)
        assert before() is None
    finally:
        gc.enable()
    await end(modern_, listener)
    await end(legacy_, back)


ASKED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("tools/list", {}),
    ("tools/call", CALL),
    ("tools/call", {"name": "gone", "arguments": {}}),
    ("tools/call", {"name": "search", "arguments": {"query": 1}}),
    ("tools/call", {"name": "add", "arguments": {"tag": "final"}}),
    ("tools/call", {"name": "scoped", "arguments": {}}),
    ("prompts/list", {"cursor": "x"}),
    ("resources/read", {"uri": "note://nobody"}),
    ("no/such", {}),
)


async def test_only_those_are_told_whose_list_shows_something_else(world: World) -> None:  # GW-92
    mine, reader = await world.subscribe_modern({"toolsListChanged": True})
    other, stranger = await world.subscribe_modern({"toolsListChanged": True}, token=b"eve strangers", path="/servers/notes/mcp")
    drift(world, SEARCH)
    drift(world, SEARCH, ("tool", "unreviewed"))
    await turns()
    assert (len(reader.told), len(stranger.told)) == (2, 1)
    await end(mine, reader)
    await end(other, stranger)


async def test_what_was_not_asked_for_is_not_told(world: World) -> None:
    open_, back = await world.subscribe_modern({})
    drift(world, SEARCH)
    await turns()
    assert [message["params"]["notifications"] for message in back.told] == [{}]
    await end(open_, back)


async def test_a_resource_is_subscribed_once_at_its_server_however_many_listen(world: World) -> None:  # GW-83
    streams = [await world.subscribe_modern({"resourceSubscriptions": ["note://a"]}, number) for number in range(3)]
    session = await world.open_session()
    await world.say(session, "resources/subscribe", {"uri": "note://a"})
    assert [ask.method for _, ask in world.servers.calls] == ["resources/subscribe"]
    for open_, back in streams:
        await end(open_, back)
    await turns()
    assert [ask.method for _, ask in world.servers.calls] == ["resources/subscribe"]
    await world.say(session, "resources/unsubscribe", {"uri": "note://a"})
    await turns()
    assert [(ask.method, ask.params) for _, ask in world.servers.calls[1:]] == [("resources/unsubscribe", {"uri": "note://a"})]
    assert len(world.exchange.listening.subscriptions) == 0


async def test_an_update_reaches_whoever_subscribed_it_and_may_read_it(world: World) -> None:  # GW-83
    open_, back = await world.subscribe_modern({"resourceSubscriptions": ["note://a"]})
    other, elsewhere = await world.subscribe_modern({"resourceSubscriptions": ["note://a"]}, token=b"bob readers")
    key = str(getattr(world.servers.calls[0][0], "session_key", None))
    listening = world.exchange.listening
    listening.updated("notes", key, "note://a")
    listening.updated("notes", key, "note://a")
    listening.updated("notes", key, "note://other")
    listening.updated("foreign", key, "note://a")
    await turns()
    assert back.told[1:] == [
        {
            "jsonrpc": "2.0",
            "method": "notifications/resources/updated",
            "params": {"uri": "note://a", "_meta": {META_SUBSCRIPTION: 1}},
        }
    ]
    assert len(elsewhere.told) == 1
    drift(world, ("resource", "note://a"))
    await turns()
    listening.updated("notes", key, "note://a")
    await turns()
    assert len(back.told) == 2
    drift(world)
    await turns()
    listening.updated("notes", key, "note://a")
    await back.hears(b"updated")
    await turns()
    assert len(back.told) == 3
    await end(open_, back)
    await end(other, elsewhere)


async def test_a_server_that_does_not_let_subscribe_is_not_in_the_acknowledgement(world: World) -> None:  # GW-57
    async def decline(_: Ask, __: Listener) -> UpstreamAnswer:
        return UpstreamAnswer(error={"code": -32603, "message": "no"}, revision="2025-11-25")

    world.servers.script = decline
    open_, back = await world.subscribe_modern({"toolsListChanged": True, "resourceSubscriptions": ["note://a"]})
    assert back.told[0]["params"]["notifications"] == {"toolsListChanged": True}
    assert len(world.exchange.listening.subscriptions) == 0
    await end(open_, back)


async def test_a_drain_ends_a_listen_stream_with_its_result(world: World) -> None:  # GW-85
    open_, back = await world.subscribe_modern({"toolsListChanged": True}, "mine")
    world.live.draining = True
    world.exchange.listening.sweep()
    await open_
    assert back.result["_meta"][META_SUBSCRIPTION] == "mine"
    assert back.result["resultType"] == "complete"
    assert world.book.closing.outcome == "listened"
    assert (await world.ask_modern("subscriptions/listen", {"notifications": {}})).refusal == "DRAINING"


async def test_a_stream_ends_with_the_token_that_opened_it(world: World) -> None:
    open_, back = await world.subscribe_modern({"toolsListChanged": True})
    world.clock.at += 1e9
    world.exchange.listening.sweep()
    await open_
    assert back.result["resultType"] == "complete"


async def test_streams_that_listen_are_not_in_the_way_of_calls(world: World) -> None:
    open_, back = await world.subscribe_modern({"toolsListChanged": True})
    assert (world.admission.listening, world.admission.in_flight) == (1, -1)  # the door counts them in before, and out behind
    await end(open_, back)
    assert (world.admission.listening, world.admission.in_flight) == (0, 0)


async def test_a_caller_has_so_many_streams_and_no_more(world: World) -> None:
    session = await world.open_session()
    streams = [await world.subscribe_modern({}, number) for number in range(4)]
    streams.append(await world.listen(session))
    _, refused = await world.subscribe_modern({})
    assert (refused.status, refused.refusal) == (429, "TOO_MANY_STREAMS")
    event_id = streams[-1][1].stream.split(b"id: ")[1].split(b"\n")[0]
    assert (await world.listen(session))[1].status == (await world.listen(session, event_id))[1].status == 429
    other, of_bob = await world.subscribe_modern({}, token=b"bob readers")
    assert of_bob.told
    await end(*streams.pop(0))
    streams.append(await world.subscribe_modern({}))
    assert streams[-1][1].told
    for open_, back in [*streams, (other, of_bob)]:
        await end(open_, back)
    assert (world.admission.listening, world.admission._streams) == (0, {})


async def test_a_client_that_takes_nothing_is_told_once_it_does(world: World) -> None:
    open_, back = await world.subscribe_modern({"toolsListChanged": True})
    back.full = True
    drift(world, SEARCH)
    await turns()
    drift(world)
    await turns()
    assert len(back.told) == 1
    back.full = False
    world.exchange.listening.sweep()
    await turns()
    assert len(back.told) == 2
    await end(open_, back)


async def test_a_subscription_that_was_given_up_while_its_server_thought_is_taken_back(world: World) -> None:
    thinks, goes_on = asyncio.Event(), asyncio.Event()

    async def think(ask: Ask, _: Listener) -> UpstreamAnswer:
        if ask.method == "resources/subscribe":
            thinks.set()
            await goes_on.wait()
        return result({})

    world.servers.script = think
    session = await world.open_session()
    subscribing = asyncio.create_task(world.say(session, "resources/subscribe", {"uri": "note://a"}))
    await thinks.wait()
    await world.say(session, "resources/unsubscribe", {"uri": "note://a"})
    goes_on.set()
    assert (await subscribing).result == {}
    await turns()
    assert [ask.method for _, ask in world.servers.calls] == ["resources/subscribe", "resources/unsubscribe"]
    assert len(world.exchange.listening.subscriptions) == 0


async def test_who_comes_while_a_subscription_ends_gets_a_new_one_behind_it(world: World) -> None:
    ending, goes_on = asyncio.Event(), asyncio.Event()

    async def slow(ask: Ask, _: Listener) -> UpstreamAnswer:
        if ask.method == "resources/unsubscribe":
            ending.set()
            await goes_on.wait()
        return result({})

    world.servers.script = slow
    one, first = await world.subscribe_modern({"resourceSubscriptions": ["note://a"]})
    await end(one, first)
    await ending.wait()
    message, headers = modern("subscriptions/listen", {"notifications": {"resourceSubscriptions": ["note://a"]}})
    second = Back()
    two = asyncio.create_task(world.exchange.answer(world.arrival(message, headers), second))
    await turns()
    assert not second.told
    goes_on.set()
    await second.hears(b"acknowledged")
    assert [ask.method for _, ask in world.servers.calls] == ["resources/subscribe", "resources/unsubscribe", "resources/subscribe"]
    await end(two, second)


async def test_a_subscription_whose_client_leaves_meanwhile_is_nobodys(world: World) -> None:
    thinks = asyncio.Event()

    async def think(ask: Ask, _: Listener) -> UpstreamAnswer:
        thinks.set()
        await asyncio.get_running_loop().create_future()
        return result({})

    world.servers.script = think
    message, headers = modern("subscriptions/listen", {"notifications": {"resourceSubscriptions": ["note://a"]}})
    back = Back()
    open_ = asyncio.create_task(world.exchange.answer(world.arrival(message, headers), back))
    await thinks.wait()
    back.leave()
    await asyncio.gather(open_, return_exceptions=True)
    await turns()
    assert (len(world.exchange.listening.subscriptions), world.admission.listening) == (0, 0)
    assert world.book.closing.outcome == "caller_left"


# Legacy sessions


async def test_a_get_opens_the_stream_of_a_session_and_tells_it_what_changed(world: World) -> None:  # GW-44
    session = await world.open_session()
    one, older = await world.listen(session)
    two, newer = await world.listen(session)
    drift(world, SEARCH)
    await newer.hears(b"list_changed")
    await turns()
    assert (older.told, newer.told) == ([], [{"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}])
    await end(two, newer)
    drift(world)
    await older.hears(b"list_changed")
    await end(one, older)
    assert [record.method for record in world.book.records] == ["initialize", "GET", "GET"]


async def test_a_get_is_held_against_caller_session_and_media(world: World) -> None:
    session = await world.open_session()
    assert (await world.listen(session, token=b"bob readers"))[1].status == 404
    assert (await world.listen(b"made-up"))[1].status == 404
    assert (await world.listen(session, token=b"bad"))[1].status == 401
    assert (await world.listen(session, headers={b"accept": b"application/json"}))[1].status == 406
    assert (await world.listen(session, headers={b"origin": b"https://evil.example"}))[1].status == 403


async def test_what_came_while_a_client_was_away_is_there_when_it_comes_back_and_nothing_else(world: World) -> None:  # GW-41
    session = await world.open_session()
    open_, back = await world.listen(session)
    drift(world, SEARCH)
    await back.hears(b"list_changed")
    ids = [line[4:] for line in back.stream.split(b"\n") if line.startswith(b"id: ")]
    await end(open_, back)
    drift(world)
    await turns()
    again, later = await world.listen(session, ids[0])
    await later.hears(ids[1])
    await turns()
    assert later.stream.count(b"list_changed") == 2
    drift(world, SEARCH)
    await turns(60)
    assert later.stream.count(b"list_changed") == 3
    await end(again, later)
    last, rest = await world.listen(session, ids[1])
    assert b"data: {" in await rest.hears(b"list_changed")
    assert rest.stream.count(b"list_changed") == 2
    await end(last, rest)


async def test_events_that_are_gone_or_of_another_session_are_refused(world: World) -> None:  # GW-41
    mine, other = await world.open_session(), await world.open_session()
    open_, back = await world.listen(mine)
    (event_id,) = [line[4:] for line in back.stream.split(b"\n") if line.startswith(b"id: ")]
    for session, last in ((other, event_id), (mine, b"0" * 32 + b".1"), (mine, b"rubbish")):
        _, refused = await world.listen(session, last)
        assert (refused.status, refused.refusal) == (410, "EVENTS_GONE")
    await end(open_, back)


async def test_a_stream_nobody_comes_back_for_is_forgotten(world: World) -> None:
    session = await world.open_session()
    open_, back = await world.listen(session)
    await end(open_, back)
    assert len(world.exchange.listening) == 1
    world.clock.at += KEPT_FOR_SECONDS
    world.exchange.listening.sweep()
    assert len(world.exchange.listening) == 0


async def test_the_end_of_a_session_ends_its_streams_and_subscriptions(world: World) -> None:  # GW-37
    session = await world.open_session()
    open_, back = await world.listen(session)
    await world.say(session, "resources/subscribe", {"uri": "note://a"})
    await world.hang_up(session)
    await open_
    assert back.ended
    await turns()
    assert [ask.method for _, ask in world.servers.calls] == ["resources/subscribe", "resources/unsubscribe"]
    assert len(world.exchange.listening) == 0


async def test_a_session_hears_of_the_resources_it_subscribed(world: World) -> None:  # GW-84
    session = await world.open_session()
    open_, back = await world.listen(session)
    assert (await world.say(session, "resources/subscribe", {"uri": "note://a"})).result == {}
    world.exchange.listening.updated("notes", whose(world), "note://a")
    await back.hears(b"updated")
    assert back.told == [{"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "note://a"}}]
    await world.say(session, "resources/unsubscribe", {"uri": "note://a"})
    world.exchange.listening.updated("notes", whose(world), "note://a")
    await turns()
    assert len(back.told) == 1
    await end(open_, back)


async def test_a_subscription_is_decided_like_a_read(world: World) -> None:  # GW-36
    session = await world.open_session()
    assert (await world.say(session, "resources/subscribe", {"uri": "note://nobody"})).refusal == "UNKNOWN_NAME"
    stranger = await world.open_session(token=b"eve strangers")
    assert (await world.say(stranger, "resources/subscribe", {"uri": "note://a"}, token=b"eve strangers")).refusal == "UNKNOWN_NAME"
    assert world.servers.calls == []
    without = await world.post(legacy("resources/subscribe", {"uri": "note://a"}))
    assert (without.status, without.refusal) == (400, "SESSION_REQUIRED")
    assert (await world.post(legacy("resources/unsubscribe", {"uri": "note://a"}))).refusal == "SESSION_REQUIRED"


async def test_a_servers_no_is_the_answer_and_nothing_is_remembered(world: World) -> None:
    async def decline(_: Ask, __: Listener) -> UpstreamAnswer:
        return UpstreamAnswer(error={"code": -32000, "message": "full"}, revision="2026-07-28")

    world.servers.script = decline
    session = await world.open_session()
    back = await world.say(session, "resources/subscribe", {"uri": "note://a"})
    assert back.answer["error"]["message"] == "full"
    world.servers.script = None
    assert (await world.say(session, "resources/subscribe", {"uri": "note://a"})).result == {}
    assert len(world.servers.calls) == 2


async def test_a_drain_ends_a_stream_that_was_resumed(world: World) -> None:
    session = await world.open_session()
    open_, back = await world.listen(session)
    event_id = back.stream.split(b"id: ")[1].split(b"\n")[0]
    await end(open_, back)
    again, later = await world.listen(session, event_id)
    world.live.draining = True
    world.exchange.listening.sweep()
    await again
    assert later.ended
    assert [record.outcome for record in world.book.records] == ["answered", "caller_left", "listened"]


async def test_a_subscription_that_a_server_cannot_take_is_refused_and_not_remembered(world: World) -> None:
    async def away(_: Ask, __: Listener) -> UpstreamAnswer:
        raise Refused(Reason.UPSTREAM_UNREACHABLE)

    world.servers.script = away
    session = await world.open_session()
    assert (await world.say(session, "resources/subscribe", {"uri": "note://a"})).refusal == "UPSTREAM_UNREACHABLE"
    world.servers.script = None
    assert (await world.say(session, "resources/subscribe", {"uri": "note://a"})).result == {}
    world.servers.script = away
    await world.say(session, "resources/unsubscribe", {"uri": "note://a"})
    await turns()
    assert len(world.exchange.listening.subscriptions) == 0


@pytest.mark.parametrize("uri", [None, 7, ["note://a"]])
async def test_a_subscription_names_a_uri(world: World, uri: Any) -> None:
    session = await world.open_session()
    assert (await world.say(session, "resources/subscribe", {"uri": uri})).refusal == "UNKNOWN_NAME"
    assert (await world.say(session, "resources/unsubscribe", {"uri": uri})).refusal == "INVALID_PARAMS"


async def test_a_session_that_is_subscribed_to_nothing_may_unsubscribe(world: World) -> None:
    session = await world.open_session()
    assert (await world.say(session, "resources/unsubscribe", {"uri": "note://a"})).result == {}


async def test_an_update_below_what_was_subscribed_is_told_where_it_may_be_read(world: World) -> None:
    open_, back = await world.subscribe_modern({"resourceSubscriptions": ["note://by/alice"]})
    key = whose(world)
    world.exchange.listening.updated("notes", key, "note://by/alice/secret")  # nothing the pin offers
    await turns()
    assert len(back.told) == 1
    world.exchange.listening.updated("notes", key, "note://by/alice")
    await back.hears(b"updated")
    await end(open_, back)


async def test_the_gateway_ends_without_waiting_for_a_server_that_does_not_answer(world: World) -> None:
    async def hang(ask: Ask, _: Listener) -> UpstreamAnswer:
        if ask.method == "resources/unsubscribe":
            await asyncio.get_running_loop().create_future()
        return result({})

    world.servers.script = hang
    open_, back = await world.subscribe_modern({"resourceSubscriptions": ["note://a"]})
    await end(open_, back)
    await turns()
    async with asyncio.timeout(5):
        await world.exchange.listening.close()


# Streams of calls


async def test_the_answer_of_a_call_whose_client_lost_its_connection_is_kept_for_it(world: World) -> None:  # GW-41
    going_on = asyncio.Event()

    async def slow(_: Ask, listener: Listener) -> UpstreamAnswer:
        listener.notify("notifications/message", {"level": "error", "data": "before"})
        await going_on.wait()
        return result({"content": []})

    world.servers.script = slow
    session = await world.open_session()
    back = Back()
    arrival = world.arrival(legacy("tools/call", CALL, 5), {b"mcp-session-id": session})
    call = asyncio.create_task(world.exchange.answer(arrival, back))
    await back.hears(b"before")
    (first,) = [line[4:] for line in back.stream.split(b"\n") if line.startswith(b"id: ")]
    back.leave()
    again, later = await world.listen(session, first)
    going_on.set()
    await call
    await later.hears(b'"result"')
    await again
    assert [message["id"] for message in later.told] == [5]
    assert later.ended
    assert [record.outcome for record in world.book.records] == ["answered", "answered", "listened"]


async def test_a_resumed_stream_ends_with_the_token_that_resumed_it(world: World) -> None:
    session = await world.open_session()
    open_, back = await world.listen(session)
    (event_id,) = [line[4:] for line in back.stream.split(b"\n") if line.startswith(b"id: ")]
    await end(open_, back)
    again, later = await world.listen(session, event_id)
    world.clock.at += 1e9
    world.exchange.listening.sweep()
    await asyncio.wait([again], timeout=5)
    assert again.done()
    assert later.ended
    drift(world, SEARCH)
    await turns()
    assert b"list_changed" not in later.stream


@pytest.mark.parametrize("resumed", [True, False])
async def test_whoever_listens_with_a_lesser_token_hears_no_more_than_that_token_may_read(world: World, resumed: bool) -> None:
    session = await world.open_session()
    open_, back = await world.listen(session)
    await world.say(session, "resources/subscribe", {"uri": "note://a"})
    (event_id,) = [line[4:] for line in back.stream.split(b"\n") if line.startswith(b"id: ")]
    await end(open_, back)
    again, later = await world.listen(session, event_id if resumed else b"", token=b"alice strangers")
    world.exchange.listening.updated("notes", whose(world), "note://a")
    await turns()
    assert later.told == []
    await end(again, later)
    last, restored = await world.listen(session)
    world.exchange.listening.updated("notes", whose(world), "note://a")
    await restored.hears(b"updated")
    await end(last, restored)


async def test_each_resource_of_a_filter_counts_against_the_rate_of_its_caller() -> None:
    world = World(rate=Rate(20, 10))
    world.path = "/servers/notes/mcp"
    back, uris = Back(), [f"note://by/{number}" for number in range(30)]
    message, headers = modern("subscriptions/listen", {"notifications": {"resourceSubscriptions": uris}})
    open_ = asyncio.create_task(world.exchange.answer(world.arrival(message, headers), back))
    await turns(100)
    assert len(world.servers.calls) == 9  # the request itself is the tenth
    assert back.told == []
    async with asyncio.timeout(10):
        while not back.told:
            world.clock.at += 1
            await asyncio.sleep(0.01)
    assert len(back.told[0]["params"]["notifications"]["resourceSubscriptions"]) == 30
    await end(open_, back)


async def test_a_subscription_on_its_way_is_a_call_in_flight_at_its_server(world: World) -> None:
    going_on = asyncio.Event()

    async def slow(_: Ask, __: Listener) -> UpstreamAnswer:
        await going_on.wait()
        return result({})

    world.servers.script = slow
    session = await world.open_session()
    first = asyncio.create_task(world.say(session, "resources/subscribe", {"uri": "note://by/1"}))
    second = asyncio.create_task(world.say(session, "resources/subscribe", {"uri": "note://by/2"}, 2))
    await world.servers.reached_twice.wait()
    assert (await world.say(session, "resources/subscribe", {"uri": "note://by/3"}, 3)).refusal == "BUSY"
    going_on.set()
    assert [(await one).result for one in (first, second)] == [{}, {}]
    assert (await world.say(session, "resources/subscribe", {"uri": "note://by/3"}, 3)).result == {}
