"""Servers that ask back, through the exchange: each era of client with each era of server, asked once, answered once, never run twice."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from customhouse.core.protocol.revisions import META_CAPABILITIES
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.traffic import Ask, Listener, UpstreamAnswer
from tests.gateway.support import Back, World, definition, legacy, modern, result

SEARCH = {"name": "notes__search", "arguments": {"query": "x"}}
ADD = {"name": "notes__add", "arguments": {"title": "a", "tag": "draft"}}
FORM = {"message": "Sure?", "requestedSchema": {"type": "object", "properties": {"yes": {"type": "boolean"}}}}
PAGE = {"mode": "url", "message": "Sign in", "url": "https://idp.example/in"}
CAN_FORM: Mapping[str, Any] = {META_CAPABILITIES: {"elicitation": {"form": {}}}}
CAN_ALL: Mapping[str, Any] = {META_CAPABILITIES: {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}}}
ACCEPTED = {"action": "accept", "content": {"yes": True}}
Script = Callable[[Ask, Listener], Awaitable[UpstreamAnswer]]


def wants(state: str | None = "server-state", **questions: Mapping[str, Any]) -> UpstreamAnswer:
    """A modern server's result that asks."""
    asked = {key: {"method": question.get("method", "elicitation/create"), "params": question} for key, question in questions.items()}
    value: dict[str, Any] = {"resultType": "input_required"}
    if asked:
        value["inputRequests"] = asked
    if state is not None:
        value["requestState"] = state
    answer = result(value)
    answer.revision = "2026-07-28"
    return answer


def done(text: str = "done", revision: str = "2026-07-28") -> UpstreamAnswer:
    answer = result({"content": [{"type": "text", "text": text}]})
    answer.revision = revision
    return answer


def in_turn(*answers: UpstreamAnswer) -> Script:
    left = list(answers)

    async def script(ask: Ask, listener: Listener) -> UpstreamAnswer:
        return left.pop(0)

    return script


async def asking(ask: Ask, listener: Listener) -> UpstreamAnswer:
    """A legacy server that asks once and says what it heard."""
    said = await listener.ask("elicitation/create", dict(FORM), "2025-11-25")
    return done(str(said), "2025-11-25")


def text_of(back: Back) -> str:
    return str(back.result["content"][0]["text"])


def retry(back: Back, params: Mapping[str, Any], key: str, answer: object = ACCEPTED) -> dict[str, Any]:
    return {**params, "requestState": back.result["requestState"], "inputResponses": {key: answer}}


# A modern client at a modern server


async def test_what_a_modern_server_asks_reaches_the_client_and_the_answer_goes_back_with_its_exact_state(world: World) -> None:
    world.servers.script = in_turn(wants(ask=FORM), done())
    first = await world.ask_modern("tools/call", SEARCH, CAN_FORM)
    assert first.result["resultType"] == "input_required"
    assert first.result["inputRequests"] == {"ask": {"method": "elicitation/create", "params": FORM}}
    assert "server-state" not in first.result["requestState"]
    second = await world.ask_modern("tools/call", retry(first, SEARCH, "ask"), CAN_FORM)
    assert text_of(second) == "done"
    asked = [ask for _, ask in world.servers.calls]
    assert asked[0].params == {"name": "search", "arguments": {"query": "x"}}
    assert asked[1].params == {**asked[0].params, "inputResponses": {"ask": ACCEPTED}, "requestState": "server-state"}
    assert asked[0].capabilities == {"elicitation": {"form": {}}}
    assert [record.outcome for record in world.book.records] == ["input_required", "answered"]


async def test_a_state_counts_for_its_caller_its_arguments_and_its_time_alone(world: World) -> None:  # GW-73
    world.servers.script = in_turn(wants(ask=FORM))
    first = await world.ask_modern("tools/call", SEARCH, CAN_FORM)
    again = retry(first, SEARCH, "ask")
    other_arguments = {**again, "arguments": {"query": "y"}}
    other_tool = {**again, "name": "notes__route", "arguments": {}}
    first_character = "A" if again["requestState"][0] != "A" else "B"
    tampered = {**again, "requestState": first_character + again["requestState"][1:]}
    backs = [
        await world.ask_modern("tools/call", again, CAN_FORM, token=b"bob readers"),
        await world.ask_modern("tools/call", other_arguments, CAN_FORM),
        await world.ask_modern("tools/call", other_tool, CAN_FORM),
        await world.ask_modern("tools/call", tampered, CAN_FORM),
        await world.ask_modern("tools/call", {**again, "requestState": 7}, CAN_FORM),
    ]
    world.clock.at += 61
    backs.append(await world.ask_modern("tools/call", again, CAN_FORM))
    assert [back.refusal for back in backs] == ["INVALID_REQUEST_STATE"] * 6
    assert len(world.servers.calls) == 1


async def test_answers_that_are_no_object_are_refused_before_the_server_hears_of_them(world: World) -> None:
    world.servers.script = in_turn(wants(ask=FORM))
    first = await world.ask_modern("tools/call", SEARCH, CAN_FORM)
    back = await world.ask_modern("tools/call", {**retry(first, SEARCH, "ask"), "inputResponses": []}, CAN_FORM)
    assert back.refusal == "INVALID_PARAMS"
    assert len(world.servers.calls) == 1


@pytest.mark.parametrize("asked", [PAGE, {"method": "sampling/createMessage", "messages": [], "maxTokens": 1}, {"method": "roots/list"}])
async def test_what_the_client_did_not_declare_never_reaches_it(world: World, asked: Mapping[str, Any]) -> None:  # GW-68
    world.servers.script = in_turn(wants(ask=asked))
    back = await world.ask_modern("tools/call", SEARCH, CAN_FORM)
    assert back.refusal == "UPSTREAM_BROKE_PROTOCOL"


async def test_a_server_cannot_ask_for_ever(world: World) -> None:  # GW-71
    world.servers.script = in_turn(*[wants(f"s{number}", ask=FORM) for number in range(20)])
    back = await world.ask_modern("tools/call", SEARCH, CAN_FORM)
    for _ in range(9):
        back = await world.ask_modern("tools/call", retry(back, SEARCH, "ask"), CAN_FORM)
        assert back.result["resultType"] == "input_required"
    assert (await world.ask_modern("tools/call", retry(back, SEARCH, "ask"), CAN_FORM)).refusal == "INPUT_NOT_GIVEN"


async def test_a_client_that_declares_nothing_is_asked_nothing(world: World) -> None:  # GW-67
    world.servers.script = in_turn(wants(ask=FORM))
    back = await world.ask_modern("tools/call", SEARCH)
    assert back.refusal == "FEATURE_UNSUPPORTED"
    assert world.servers.calls[0][1].capabilities == {}


async def test_a_method_that_cannot_ask_declares_nothing(world: World) -> None:
    ref = {"ref": {"type": "ref/prompt", "name": "notes__daily"}, "argument": {"name": "a", "value": "b"}}
    await world.ask_modern("completion/complete", ref, CAN_ALL)
    assert world.servers.calls[0][1].capabilities == {}


async def test_a_result_that_asks_where_nothing_can_be_asked_is_a_fault_of_the_server(world: World) -> None:  # GW-72
    world.servers.script = in_turn(wants(ask=FORM))
    ref = {"ref": {"type": "ref/prompt", "name": "notes__daily"}, "argument": {"name": "a", "value": "b"}}
    back = await world.ask_modern("completion/complete", ref, CAN_ALL)
    assert back.refusal == "UPSTREAM_BROKE_PROTOCOL"


def beside(world: World, pinned: str = "2026-07-28") -> World:
    """Another replica with the same keys."""
    other = World(pinned=pinned)
    other.exchange.rounds.states = world.exchange.rounds.states
    return other


async def test_a_state_of_a_modern_server_counts_at_every_replica_with_the_same_keys(world: World) -> None:  # GW-74
    world.servers.script = in_turn(wants(ask=FORM))
    first = await world.ask_modern("tools/call", SEARCH, CAN_FORM)
    other, stranger = beside(world), World()
    other.servers.script = in_turn(done())
    assert (await stranger.ask_modern("tools/call", retry(first, SEARCH, "ask"), CAN_FORM)).refusal == "INVALID_REQUEST_STATE"
    assert text_of(await other.ask_modern("tools/call", retry(first, SEARCH, "ask"), CAN_FORM)) == "done"
    assert other.servers.calls[0][1].params["requestState"] == "server-state"


async def test_a_person_who_is_shown_a_page_learns_whose_it_is(world: World) -> None:  # GW-80
    world.servers.script = in_turn(wants(ask=PAGE))
    back = await world.ask_modern("tools/call", SEARCH, CAN_ALL)
    asked = back.result["inputRequests"]["ask"]["params"]
    assert asked["url"] == PAGE["url"]
    assert "notes" in asked["message"]


# A modern client at a legacy server


@pytest.fixture
def old() -> World:
    """A world whose servers were pinned in the legacy era."""
    return World(pinned="2025-11-25")


async def test_a_call_at_a_legacy_server_waits_for_its_client_and_runs_once(old: World) -> None:
    old.servers.script = asking
    first = await old.ask_modern("tools/call", SEARCH, CAN_FORM)
    ((key, asked),) = first.result["inputRequests"].items()
    assert asked == {"method": "elicitation/create", "params": FORM}
    assert len(old.exchange.rounds.parking) == 1
    second = await old.ask_modern("tools/call", retry(first, SEARCH, key), CAN_FORM)
    assert text_of(second) == str({"result": ACCEPTED})
    assert len(old.servers.calls) == 1
    assert (len(old.exchange.rounds.parking), old.exchange.rounds.parking.running) == (0, 0)
    assert [record.outcome for record in old.book.records] == ["input_required", "answered"]
    assert [record.upstream_era for record in old.book.records] == ["", "legacy"]


async def test_a_round_that_is_sent_again_fails_and_runs_nothing(old: World) -> None:  # GW-74
    old.servers.script = asking
    first = await old.ask_modern("tools/call", SEARCH, CAN_FORM)
    (key,) = first.result["inputRequests"]
    again = retry(first, SEARCH, key)
    assert text_of(await old.ask_modern("tools/call", again, CAN_FORM))
    assert (await old.ask_modern("tools/call", again, CAN_FORM)).refusal == "PARKED_CALL_GONE"
    assert len(old.servers.calls) == 1


async def test_a_waiting_call_is_gone_at_another_replica_and_never_run_again(old: World) -> None:  # GW-74
    old.servers.script = asking
    first = await old.ask_modern("tools/call", SEARCH, CAN_FORM)
    (key,) = first.result["inputRequests"]
    other = beside(old, "2025-11-25")
    assert (await other.ask_modern("tools/call", retry(first, SEARCH, key), CAN_FORM)).refusal == "PARKED_CALL_GONE"
    assert other.servers.calls == []
    assert text_of(await old.ask_modern("tools/call", retry(first, SEARCH, key), CAN_FORM)) == str({"result": ACCEPTED})


async def test_a_call_that_nobody_takes_up_is_declined_and_ends(old: World) -> None:  # GW-76
    heard: list[Any] = []

    async def script(ask: Ask, listener: Listener) -> UpstreamAnswer:
        heard.append(await listener.ask("elicitation/create", dict(FORM), "2025-11-25"))
        return done(revision="2025-11-25")

    old.servers.script = script
    first = await old.ask_modern("tools/call", SEARCH, CAN_FORM)
    old.clock.at += 61
    old.exchange.rounds.parking.sweep()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert heard == [{"result": {"action": "cancel"}}]
    assert old.exchange.rounds.parking.running == 0
    (key,) = first.result["inputRequests"]
    assert (await old.ask_modern("tools/call", retry(first, SEARCH, key), CAN_FORM)).refusal == "INVALID_REQUEST_STATE"


async def test_an_answer_that_is_not_sound_ends_the_waiting_call(old: World) -> None:
    old.servers.script = asking
    first = await old.ask_modern("tools/call", SEARCH, CAN_FORM)
    (key,) = first.result["inputRequests"]
    back = await old.ask_modern("tools/call", retry(first, SEARCH, key, {"action": "perhaps"}), CAN_FORM)
    assert back.refusal == "INVALID_PARAMS"
    async with asyncio.timeout(2):
        while old.exchange.rounds.parking.running:  # noqa: ASYNC110 - what ends is a task of nobody
            await asyncio.sleep(0)


async def test_a_client_that_leaves_while_its_call_runs_takes_it_along(old: World) -> None:
    ended = asyncio.Event()

    async def script(ask: Ask, listener: Listener) -> UpstreamAnswer:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    old.servers.script = script
    message, headers = modern("tools/call", SEARCH, CAN_FORM)
    back = Back()
    task = asyncio.create_task(old.exchange.answer(old.arrival(message, headers), back))
    await old.servers.reached.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.wait_for(ended.wait(), 2)


async def test_a_server_whose_bridge_is_off_is_told_that_nobody_can_be_asked() -> None:  # GW-75
    world = World(pinned="2025-11-25", notes=definition("notes", bridges=False))
    await world.ask_modern("tools/call", SEARCH, CAN_ALL)
    assert world.servers.calls[0][1].capabilities == {}


DEMAND = UpstreamAnswer(None, {"code": -32042, "message": "m", "data": {"elicitations": [{**PAGE, "elicitationId": "e"}]}}, "2025-11-25")
"""A legacy server's answer until a person has been to a page."""


async def test_a_page_that_a_legacy_server_demands_is_asked_for_and_the_call_made_anew(old: World) -> None:  # GW-28, GW-79
    old.servers.script = in_turn(DEMAND, done(revision="2025-11-25"))
    first = await old.ask_modern("tools/call", SEARCH, CAN_ALL)
    ((key, asked),) = first.result["inputRequests"].items()
    assert asked["params"]["url"] == PAGE["url"]
    assert "elicitationId" not in asked["params"]
    second = await old.ask_modern("tools/call", retry(first, SEARCH, key, {"action": "accept"}), CAN_ALL)
    assert text_of(second) == "done"
    assert len(old.servers.calls) == 2


async def test_a_legacy_server_cannot_demand_a_page_for_ever(old: World) -> None:  # GW-71, GW-79
    old.servers.script = in_turn(*[DEMAND] * 20)
    back = await old.ask_modern("tools/call", SEARCH, CAN_ALL)
    for _ in range(9):
        (key,) = back.result["inputRequests"]
        back = await old.ask_modern("tools/call", retry(back, SEARCH, key, {"action": "accept"}), CAN_ALL)
    (key,) = back.result["inputRequests"]
    last = await old.ask_modern("tools/call", retry(back, SEARCH, key, {"action": "accept"}), CAN_ALL)
    assert last.refusal == "INPUT_NOT_GIVEN"
    assert len(old.servers.calls) == 11


# A legacy client


async def opened(world: World, revision: str = "2025-11-25", **capabilities: Any) -> bytes:
    return await world.open_session(revision, capabilities or {"elicitation": {}, "sampling": {}, "roots": {}})


async def called(world: World, session: bytes, params: Mapping[str, Any] = SEARCH) -> tuple["asyncio.Task[None]", Back]:
    """A call of a session that runs, and what has come back of it by the first question."""
    back = Back()
    arrival = world.arrival(legacy("tools/call", params, 7), {b"mcp-session-id": session})
    task = asyncio.create_task(world.exchange.answer(arrival, back))
    async with asyncio.timeout(2):
        while not back.events and not task.done():  # noqa: ASYNC110 - the reply is a list
            await asyncio.sleep(0)
    return task, back


async def answer(world: World, session: bytes, question: Mapping[str, Any], **said: Any) -> Back:
    return await world.post({"jsonrpc": "2.0", "id": question["id"], **said}, {b"mcp-session-id": session})


async def test_what_a_legacy_server_asks_is_a_request_on_the_stream_of_the_call(old: World) -> None:
    old.servers.script = asking
    session = await opened(old)
    task, back = await called(old, session)
    (question,) = back.events
    assert (question["method"], question["params"]) == ("elicitation/create", FORM)
    assert (await answer(old, session, question, result=ACCEPTED)).status == 202
    await task
    assert text_of(back) == str({"result": ACCEPTED})
    assert back.answer["id"] == 7
    assert old.servers.calls[0][1].capabilities["elicitation"] == {"form": {}}
    assert old.servers.calls[0][1].conversation


async def test_an_error_of_the_client_is_an_error_to_a_legacy_server(old: World) -> None:
    old.servers.script = asking
    session = await opened(old)
    task, back = await called(old, session)
    error = {"code": -1, "message": "User rejected"}
    await answer(old, session, back.events[0], error=error)
    await task
    assert text_of(back) == str({"error": error})


async def test_the_answer_of_another_session_means_nothing(old: World) -> None:
    old.servers.script = asking
    mine, other = await opened(old), await opened(old)
    task, back = await called(old, mine)
    assert (await answer(old, other, back.events[0], result={"action": "decline"})).status == 202
    assert not task.done()
    await answer(old, mine, back.events[0], result=ACCEPTED)
    await task
    assert text_of(back) == str({"result": ACCEPTED})


@pytest.mark.parametrize(("session", "reason"), [(b"", "SESSION_REQUIRED"), (b"made-up", "SESSION_UNKNOWN")])
async def test_an_answer_needs_a_session(world: World, session: bytes, reason: str) -> None:  # GW-36
    back = await answer(world, session, {"id": "customhouse-1"}, result={})
    assert back.refusal == reason


async def test_a_modern_server_that_asks_a_legacy_client_gets_the_answers_and_its_exact_state(world: World) -> None:  # GW-69, GW-70
    world.servers.script = in_turn(wants("one", a=FORM), wants(None, b=FORM), done())
    session = await opened(world)
    task, back = await called(world, session)
    await answer(world, session, back.events[0], result=ACCEPTED)
    async with asyncio.timeout(2):
        while len(back.events) < 2:  # noqa: ASYNC110 - the reply is a list
            await asyncio.sleep(0)
    await answer(world, session, back.events[1], error={"code": -1, "message": "no"})
    await task
    assert text_of(back) == "done"
    asked = [ask.params for _, ask in world.servers.calls]
    assert asked[1] == {**asked[0], "inputResponses": {"a": ACCEPTED}, "requestState": "one"}
    assert asked[2] == {**asked[0], "inputResponses": {"b": {"action": "cancel"}}}
    assert len({event["id"] for event in back.events}) == 2
    assert [record.outcome for record in world.book.records][-1] == "answered"


async def test_a_model_that_cannot_be_asked_ends_the_call_of_a_legacy_client(world: World) -> None:  # GW-70
    world.servers.script = in_turn(wants(a={"method": "sampling/createMessage", "messages": [], "maxTokens": 1}))
    session = await opened(world)
    task, back = await called(world, session)
    await answer(world, session, back.events[0], error={"code": -1, "message": "no"})
    await task
    assert back.refusal == "INPUT_NOT_GIVEN"


async def test_a_page_that_is_open_already_is_not_shown_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("customhouse.gateway.rounds.FIRST_PAUSE_SECONDS", 0.0)
    world.servers.script = in_turn(wants("1", a=PAGE), wants("2", a=PAGE), done())
    session = await opened(world, elicitation={"form": {}, "url": {}})
    task, back = await called(world, session)
    assert back.events[0]["params"]["elicitationId"]
    await answer(world, session, back.events[0], result={"action": "accept"})
    await task
    assert len(back.events) == 1
    assert world.servers.calls[2][1].params["inputResponses"] == {"a": {"action": "accept"}}


async def test_a_state_without_questions_is_sent_again_after_a_pause(world: World, monkeypatch: pytest.MonkeyPatch) -> None:  # GW-71
    monkeypatch.setattr("customhouse.gateway.rounds.FIRST_PAUSE_SECONDS", 0.0)
    world.servers.script = in_turn(wants("1"), done())
    session = await opened(world)
    back = await world.say(session, "tools/call", SEARCH)
    assert text_of(back) == "done"
    assert world.servers.calls[1][1].params["requestState"] == "1"


async def test_a_client_without_a_session_is_asked_nothing(world: World) -> None:  # GW-67
    await world.ask("tools/call", SEARCH)
    assert world.servers.calls[0][1].capabilities == {}


async def test_the_clock_of_a_call_stands_still_while_a_person_is_asked(world: World) -> None:
    world.servers.script = in_turn(wants("1", a=FORM), done())
    session = await opened(world)
    task, back = await called(world, session)
    world.clock.at += 50
    await answer(world, session, back.events[0], result=ACCEPTED)
    await task
    first, second = (ask.deadline for _, ask in world.servers.calls)
    assert second == first + 50


async def test_a_write_that_asks_has_one_intent_for_each_exchange_and_each_is_closed(old: World) -> None:
    old.servers.script = asking
    first = await old.ask_modern("tools/call", ADD, CAN_FORM)
    (key,) = first.result["inputRequests"]
    await old.ask_modern("tools/call", retry(first, ADD, key), CAN_FORM)
    assert old.book.kinds() == ["intent", "closing", "intent", "closing"]
    calls = [record.call_id for record in old.book.records]
    assert calls[0] == calls[1] != calls[2] == calls[3]


async def test_a_refusal_of_the_server_side_reaches_the_client_of_a_bridged_call(old: World) -> None:
    async def script(ask: Ask, listener: Listener) -> UpstreamAnswer:
        await listener.ask("elicitation/create", dict(FORM), "2025-11-25")
        raise Refused(Reason.UPSTREAM_DIED)

    old.servers.script = script
    first = await old.ask_modern("tools/call", SEARCH, CAN_FORM)
    (key,) = first.result["inputRequests"]
    assert (await old.ask_modern("tools/call", retry(first, SEARCH, key), CAN_FORM)).refusal == "UPSTREAM_DIED"


# What differs between the eras


async def test_a_missing_resource_has_the_code_of_the_clients_era(old: World) -> None:  # GW-28
    old.servers.script = in_turn(*[UpstreamAnswer(None, {"code": -32002, "message": "no"}, "2025-11-25")] * 2)
    back = await old.ask_modern("resources/read", {"uri": "note://a"}, path="/servers/notes/mcp")
    assert (back.answer["error"]["code"], back.answer["error"]["data"]["uri"]) == (-32602, "note://a")
    back = await old.ask("resources/read", {"uri": "note://a"}, path="/servers/notes/mcp")
    assert back.answer["error"]["code"] == -32002


async def test_the_record_says_which_era_the_server_spoke(world: World) -> None:
    world.servers.script = in_turn(done(revision="2025-06-18"), done(revision="2026-07-28"))
    await world.ask("tools/call", SEARCH)
    await world.ask("tools/call", SEARCH)
    assert [record.upstream_era for record in world.book.records] == ["legacy", "modern"]


async def test_a_tool_that_is_a_task_alone_is_neither_listed_nor_called_where_there_are_none(
    old: World, monkeypatch: pytest.MonkeyPatch
) -> None:  # GW-90
    tool = old.live.view.endpoints["/mcp"].tools["notes__search"]
    monkeypatch.setattr(tool, "definition", {**tool.definition, "execution": {"taskSupport": "required"}})
    listed = (await old.ask_modern("tools/list")).result["tools"]
    assert "notes__search" not in [entry["name"] for entry in listed]
    back = await old.ask_modern("tools/call", SEARCH)
    assert (back.refusal, old.servers.calls) == ("TASK_NOT_CARRIED", [])
    assert old.book.records[-1].decision == "permit"


async def test_what_a_legacy_server_asks_at_about_the_same_time_is_one_round(old: World) -> None:
    async def script(ask: Ask, listener: Listener) -> UpstreamAnswer:
        async def later() -> Any:
            await asyncio.sleep(0.002)
            return await listener.ask("roots/list", {}, "2025-11-25")

        said = await asyncio.gather(listener.ask("elicitation/create", dict(FORM), "2025-11-25"), later())
        return done(str(len(said)), "2025-11-25")

    old.servers.script = script
    first = await old.ask_modern("tools/call", SEARCH, CAN_ALL)
    asked = first.result["inputRequests"]
    assert {one["method"] for one in asked.values()} == {"elicitation/create", "roots/list"}
    answers: dict[str, Any] = {key: ACCEPTED if one["method"] == "elicitation/create" else {"roots": []} for key, one in asked.items()}
    again = {**SEARCH, "requestState": first.result["requestState"], "inputResponses": answers}
    assert text_of(await old.ask_modern("tools/call", again, CAN_ALL)) == "2"


@pytest.mark.parametrize("asked", ["elicitation/create", "sampling/createMessage", "roots/list"])
async def test_a_retry_that_declares_less_is_not_asked_what_it_does_not_declare(old: World, asked: str) -> None:
    heard: list[Any] = []
    each: dict[str, dict[str, Any]] = {"elicitation/create": FORM, "sampling/createMessage": {"messages": [], "maxTokens": 1}}

    async def script(ask: Ask, listener: Listener) -> UpstreamAnswer:
        heard.append(await listener.ask(asked, dict(each.get(asked, {})), "2025-06-18"))
        return done(revision="2025-06-18")

    old.servers.script = script
    first = await old.ask_modern("tools/call", SEARCH, CAN_ALL)
    without = {**SEARCH, "requestState": first.result["requestState"]}
    assert (await old.ask_modern("tools/call", without)).refusal == "INPUT_NOT_GIVEN"
    async with asyncio.timeout(2):
        while old.exchange.rounds.parking.running:  # noqa: ASYNC110 - what ends is a task of nobody
            await asyncio.sleep(0)
    assert len(old.exchange.rounds.parking) == 0


async def test_callers_who_can_be_asked_share_no_conversation_even_at_a_server_that_remembers_nobody() -> None:
    world = World(pinned="2025-11-25", notes=definition("notes", stateless=True))
    for token in (b"alice readers", b"bob readers", b"alice readers"):
        await world.ask_modern("tools/call", SEARCH, CAN_FORM, token=token)
    alice, bob, again = [(getattr(authority, "session_key", None), ask.conversation) for authority, ask in world.servers.calls]
    assert alice == again
    assert alice != bob
