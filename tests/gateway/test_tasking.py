"""Tasks of modern servers through the exchange: an id that only its caller can use, and a decision made anew for every request."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from customhouse.core.permit import Permit
from customhouse.core.protocol.capabilities import TASKS
from customhouse.core.protocol.revisions import META_CAPABILITIES, META_SERVER
from customhouse.core.protocol.taskid import MAX_ARGUMENT_BYTES, MAX_SERVER_ID_BYTES
from customhouse.ports.traffic import UpstreamAnswer
from tests.gateway.support import INFO, REVIEWS, RULES, Back, World, definition, modern, result
from tests.gateway.test_asking import FORM, PAGE, in_turn
from tests.upstreams.support import Got, linked
from tests.upstreams.support import modern as speaks_modern

SEARCH = {"name": "notes__search", "arguments": {"query": "x"}}
ADD = {"name": "notes__add", "arguments": {"title": "a", "tag": "draft"}}
EXTENSION: Mapping[str, Any] = {"extensions": {TASKS: {}}}
CAN_TASKS: Mapping[str, Any] = {META_CAPABILITIES: EXTENSION}
CAN_TASKS_AND_FORMS: Mapping[str, Any] = {META_CAPABILITIES: {**EXTENSION, "elicitation": {"form": {}, "url": {}}}}
OWN_ID = "server-task-1"
BEGAN = "2026-08-01T00:00:00Z"
STATE: dict[str, Any] = {"taskId": OWN_ID, "status": "working", "createdAt": BEGAN, "lastUpdatedAt": BEGAN, "ttlMs": 60_000}
METHODS = ("tasks/get", "tasks/update", "tasks/cancel")


def said(kind: str = "complete", revision: str = "2026-07-28", **members: Any) -> UpstreamAnswer:
    answer = result({"resultType": kind, **members})
    answer.revision = revision
    return answer


def begun(**more: Any) -> UpstreamAnswer:
    return said("task", **{**STATE, **more})


def error(code: int, message: str = "no") -> UpstreamAnswer:
    return UpstreamAnswer(None, {"code": code, "message": message}, "2026-07-28")


async def task_of(world: World, *then: UpstreamAnswer, call: Mapping[str, Any] = SEARCH, first: UpstreamAnswer | None = None) -> str:
    """The id of a task that a call began; after it the server answers with `then`."""
    world.servers.script = in_turn(first or begun(), *then)
    back = await world.ask_modern("tools/call", call, CAN_TASKS)
    assert back.result["resultType"] == "task", back.answer
    return str(back.result["taskId"])


async def about(world: World, method: str, task_id: object, meta: Mapping[str, Any] = CAN_TASKS, **more: Any) -> Back:
    params: dict[str, Any] = {"taskId": task_id} | ({"inputResponses": {}} if method == "tasks/update" else {})
    return await world.ask_modern(method, params | more.pop("params", {}), meta, **more)


# How a call becomes a task


async def test_a_call_that_becomes_a_task_has_an_id_of_the_gateways_own_and_keeps_its_time_to_live(world: World) -> None:
    world.servers.script = in_turn(begun(pollIntervalMs=500, x=None, _meta={META_SERVER: {"name": "forged"}, "vendor": 1}))
    back = await world.ask_modern("tools/call", SEARCH, CAN_TASKS)
    given = back.result.pop("taskId")
    assert OWN_ID not in back.body.decode()
    assert given.isascii()
    assert given.isprintable()
    wanted = {key: value for key, value in STATE.items() if key != "taskId"}
    meta = {"vendor": 1, META_SERVER: INFO}
    answered = json.loads(back.body)["result"]
    del answered["taskId"]
    assert answered == {"resultType": "task", **wanted, "pollIntervalMs": 500, "x": None, "_meta": meta}
    assert world.servers.calls[0][1].capabilities == EXTENSION
    assert world.book.closing.outcome == "task"


async def test_a_task_that_nobody_declared_is_no_answer(world: World) -> None:
    world.servers.script = in_turn(begun(), begun())
    assert (await world.ask_modern("tools/call", SEARCH)).refusal == "UPSTREAM_BROKE_PROTOCOL"
    assert (await world.ask("tools/call", SEARCH)).refusal == "UPSTREAM_BROKE_PROTOCOL"
    assert [ask.capabilities for _, ask in world.servers.calls] == [{}, {}]


async def test_only_a_call_of_a_tool_becomes_a_task(world: World) -> None:
    world.servers.script = in_turn(begun())
    back = await world.ask_modern("prompts/get", {"name": "notes__daily"}, CAN_TASKS)
    assert back.refusal == "UPSTREAM_BROKE_PROTOCOL"


@pytest.mark.parametrize("own_id", ["", "i" * (MAX_SERVER_ID_BYTES + 1), 7, None, ["t"]])
async def test_a_task_without_a_usable_id_is_no_answer(world: World, own_id: object) -> None:
    world.servers.script = in_turn(begun(taskId=own_id))
    assert (await world.ask_modern("tools/call", SEARCH, CAN_TASKS)).refusal == "UPSTREAM_BROKE_PROTOCOL"


async def test_a_call_whose_arguments_have_no_room_in_an_id_declares_no_tasks(world: World) -> None:
    fitting = {"name": "notes__search", "arguments": {"query": "q" * (MAX_ARGUMENT_BYTES - len('{"query":""}'))}}
    given = await task_of(world, call=fitting, first=begun(taskId="i" * MAX_SERVER_ID_BYTES))
    assert len(given) < 4_600
    large = {"name": "notes__search", "arguments": {"query": "q" * MAX_ARGUMENT_BYTES}}
    world.servers.script = in_turn(said(content=[]), said(content=[]))
    assert (await world.ask_modern("tools/call", large, CAN_TASKS)).result["resultType"] == "complete"
    await world.ask_modern("tools/call", large, CAN_TASKS_AND_FORMS)
    assert [ask.capabilities for _, ask in world.servers.calls[1:]] == [{}, {"elicitation": {"form": {}, "url": {}}}]


# What is asked about it


async def test_a_request_about_a_task_goes_to_its_server_under_the_servers_own_id(world: World) -> None:
    given = await task_of(world, said(**STATE), said(), said())
    got = await about(world, "tasks/get", given)
    assert got.result == {"resultType": "complete", **STATE, "taskId": given, "_meta": {META_SERVER: INFO}}
    responses = {"ask": {"action": "accept", "content": {"yes": True}}}
    updated = await about(world, "tasks/update", given, params={"inputResponses": responses, "task": {}, "requestState": "s"})
    cancelled = await about(world, "tasks/cancel", given)
    assert updated.result == cancelled.result == {"resultType": "complete", "_meta": {META_SERVER: INFO}}
    asked = [(ask.method, ask.params, ask.capabilities) for _, ask in world.servers.calls[1:]]
    assert asked == [
        ("tasks/get", {"taskId": OWN_ID}, EXTENSION),
        ("tasks/update", {"taskId": OWN_ID, "inputResponses": responses}, EXTENSION),
        ("tasks/cancel", {"taskId": OWN_ID}, EXTENSION),
    ]
    begin, *rest = world.book.records
    assert {(record.server, record.name, record.argument_digest, record.decision) for record in rest} == {
        ("notes", "search", begin.argument_digest, "permit")
    }
    assert [record.note for record in rest] == [f"task of call {begin.call_id}"] * 3


async def test_what_came_of_a_task_passes_without_the_keys_of_the_servers_connection(world: World) -> None:
    inlined = {"content": [{"type": "text", "text": "done"}], "isError": True, "x": None}
    meta = {META_SERVER: {"name": "forged"}, "vendor": 1}
    failure = {"code": -32603, "message": "no", "data": [1]}
    given = await task_of(
        world,
        said("task", **STATE | {"status": "completed"}, result={**inlined, "_meta": meta}),
        said(**STATE | {"status": "completed"}, result=inlined),
        said(**STATE | {"status": "failed"}, error=failure),
    )
    assert (await about(world, "tasks/get", given)).result["result"] == {**inlined, "_meta": {"vendor": 1}}
    assert (await about(world, "tasks/get", given)).result["result"] == inlined
    assert (await about(world, "tasks/get", given)).result["error"] == failure


async def test_what_a_task_wants_is_held_against_what_this_very_request_declares(world: World) -> None:
    asked = {"form": {"method": "elicitation/create", "params": FORM}, "page": {"method": "elicitation/create", "params": PAGE}}
    waiting = said(**STATE | {"status": "input_required"}, inputRequests=asked)
    given = await task_of(world, waiting, waiting)
    back = await about(world, "tasks/get", given, CAN_TASKS_AND_FORMS)
    assert back.result["inputRequests"]["form"] == asked["form"]
    page = back.result["inputRequests"]["page"]["params"]
    assert page["url"] == PAGE["url"]
    assert "notes" in page["message"]
    assert (await about(world, "tasks/get", given)).refusal == "UPSTREAM_BROKE_PROTOCOL"


@pytest.mark.parametrize(
    "answer",
    [
        said(**STATE | {"taskId": "another"}),
        said(status="working"),
        said("input_required", **STATE),
        said(**STATE, result=[]),
        said(**STATE, _meta=[]),
        said(**STATE, inputRequests=[]),
    ],
    ids=["another-task", "no-id", "asks", "result-is-a-list", "meta-is-a-list", "questions-are-a-list"],
)
async def test_what_is_no_state_of_this_task_is_no_answer(world: World, answer: UpstreamAnswer) -> None:
    given = await task_of(world, answer)
    assert (await about(world, "tasks/get", given)).refusal == "UPSTREAM_BROKE_PROTOCOL"


async def test_the_answers_for_a_task_have_to_be_an_object(world: World) -> None:
    given = await task_of(world)
    assert (await about(world, "tasks/update", given, params={"inputResponses": []})).refusal == "INVALID_PARAMS"
    assert (await about(world, "tasks/update", given, params={"inputResponses": None})).refusal == "INVALID_PARAMS"
    assert len(world.servers.calls) == 1


# Whose it is


async def test_an_id_that_is_not_the_callers_own_is_refused_in_one_way_whatever_is_wrong(world: World) -> None:
    given = await task_of(world)
    altered = given[:-1] + ("A" if given[-1] != "A" else "B")
    state = "A" * 200
    backs = [
        *[await about(world, method, given, token=b"bob readers") for method in METHODS],
        *[await about(world, method, given, token=b"alice readers scope=more") for method in METHODS],
        *[await about(world, method, given, path="/servers/notes/mcp") for method in METHODS],
        *[await about(world, "tasks/get", text) for text in (altered, OWN_ID, state, "A" * 7000)],
    ]
    refused = [(back.status, back.headers, back.answer["error"]) for back in backs]
    for _, _, one in refused:
        del one["data"]["callId"]
    assert all(one == refused[0] for one in refused)
    assert (refused[0][0], refused[0][2]["code"]) == (200, -32602)
    assert backs[0].refusal == "UNKNOWN_TASK"
    assert len(world.servers.calls) == 1


async def test_an_id_is_good_at_another_process_that_has_the_keys(world: World) -> None:
    given = await task_of(world)
    other = World()
    other.exchange.task_ids._sealer = world.exchange.task_ids._sealer
    other.servers.script = in_turn(said(**STATE))
    assert (await about(other, "tasks/get", given)).result["taskId"] == given


async def test_the_id_is_repeated_in_its_header(world: World) -> None:
    given = await task_of(world, said(**STATE))
    assert (await about(world, "tasks/get", given, headers={b"mcp-name": b"another"})).refusal == "HEADER_MISMATCH"
    message, headers = modern("tasks/get", {"taskId": given}, CAN_TASKS)
    assert headers[b"mcp-name"] == given.encode()
    assert (await world.post(message, {**headers, b"mcp-name": None})).refusal == "HEADER_MISMATCH"
    assert (await world.post(message, headers)).result["taskId"] == given


@pytest.mark.parametrize("method", METHODS)
async def test_a_client_that_did_not_declare_tasks_learns_what_to_declare(world: World, method: str) -> None:
    given = await task_of(world)
    back = await about(world, method, given, {})
    assert (back.status, back.answer["error"]["code"]) == (400, -32021)
    assert back.answer["error"]["data"]["requiredCapabilities"] == EXTENSION
    assert len(world.servers.calls) == 1


async def test_a_task_that_its_server_forgot_is_like_one_that_never_was(world: World) -> None:
    given = await task_of(world, error(-32602, f"no task {OWN_ID}"), error(-32602), error(-32602, "answers do not fit"), error(-32603))
    assert (await about(world, "tasks/get", given)).refusal == "UNKNOWN_TASK"
    assert (await about(world, "tasks/cancel", given)).refusal == "UNKNOWN_TASK"
    assert (await about(world, "tasks/update", given)).answer["error"] == {"code": -32602, "message": "answers do not fit"}
    assert (await about(world, "tasks/get", given)).answer["error"] == {"code": -32603, "message": "no"}


# What is decided


def ruled(world: World, rules: str) -> None:
    """From now on these rules hold."""
    world.live.view = World(rules).live.view


@pytest.mark.parametrize("method", METHODS)
async def test_a_grant_that_was_revoked_ends_what_a_caller_can_do_with_its_task(world: World, method: str) -> None:
    given = await task_of(world)
    ruled(world, '@id("nobody") forbid (principal, action == Action::"call:notes/search", resource);' + RULES)
    assert (await about(world, method, given)).refusal == "UNKNOWN_TASK"
    forbidden = '@id("no-x") forbid (principal, action == Action::"call:notes/search", resource) when { context.arguments.query == "x" };'
    ruled(world, forbidden + RULES)
    assert (await about(world, method, given)).refusal == "NOT_PERMITTED"
    assert len(world.servers.calls) == 1
    assert [record.decision for record in world.book.records] == ["permit", "deny", "deny"]


async def test_a_request_about_a_task_is_decided_with_the_arguments_of_its_call(world: World) -> None:
    given = await task_of(world, said(**STATE), call=ADD)
    assert (await about(world, "tasks/get", given)).result["status"] == "working"


async def test_a_tool_that_drifted_takes_its_tasks_along(world: World) -> None:
    given = await task_of(world)
    world.live.block("notes", frozenset({("tool", "search")}))
    assert (await about(world, "tasks/get", given)).refusal == "DRIFTED"


async def test_a_tool_that_is_offered_no_more_has_no_tasks(world: World) -> None:
    given = await task_of(world)
    reviews = {name: review for name, review in REVIEWS.items() if name != "search"}
    world.live.view = World(notes=definition("notes", tools=reviews)).live.view
    assert (await about(world, "tasks/get", given)).refusal == "UNKNOWN_TASK"


async def test_to_answer_or_cancel_the_task_of_a_write_is_a_write_and_to_look_at_it_is_not(world: World) -> None:
    given = await task_of(world, said(**STATE), said(), said(), call=ADD)
    for method in METHODS:
        await about(world, method, given)
    kinds = [(record.method, record.kind) for record in world.book.records]
    assert kinds == [
        ("tools/call", "intent"),
        ("tools/call", "closing"),
        ("tasks/get", "closing"),
        ("tasks/update", "intent"),
        ("tasks/update", "closing"),
        ("tasks/cancel", "intent"),
        ("tasks/cancel", "closing"),
    ]
    assert world.book.durable == ["intent"] * 3
    permits = [authority.changes_things for authority, _ in world.servers.calls if isinstance(authority, Permit)]
    assert permits == [True, False, True, True]


async def test_an_update_of_a_write_that_cannot_be_recorded_does_not_reach_the_server(world: World) -> None:
    given = await task_of(world, call=ADD)
    world.book.fails_for = lambda record: record.kind == "intent"
    assert (await about(world, "tasks/update", given)).refusal == "LEDGER_UNAVAILABLE"
    assert len(world.servers.calls) == 1


# Across revisions


async def test_tasks_are_not_declared_to_a_server_of_another_era() -> None:
    old = World(pinned="2025-11-25")
    old.servers.script = in_turn(said(content=[], revision="2025-11-25"))
    await old.ask_modern("tools/call", SEARCH, CAN_TASKS)
    assert old.servers.calls[0][1].capabilities == {}


async def test_a_task_whose_server_speaks_another_era_now_is_refused_with_the_reason(world: World) -> None:
    given = await task_of(world, said(**STATE, revision="2025-11-25"))
    back = await about(world, "tasks/get", given)
    assert back.refusal == "TASK_NOT_CARRIED"
    assert (back.answer["error"]["data"]["server"], back.answer["error"]["data"]["client"]) == ("2025-11-25", "2026-07-28")
    world.live.view = World(pinned="2025-11-25").live.view
    assert (await about(world, "tasks/get", given)).refusal == "TASK_NOT_CARRIED"
    assert len(world.servers.calls) == 2


@pytest.mark.parametrize("method", ["tasks/list", "tasks/result"])
async def test_what_the_extension_does_not_have_is_not_offered(world: World, method: str) -> None:
    assert (await world.ask_modern(method, {"taskId": "t"}, CAN_TASKS)).refusal == "UNKNOWN_METHOD"


@pytest.mark.parametrize("method", [*METHODS, "tasks/list", "tasks/result"])
async def test_legacy_clients_have_no_tasks(world: World, method: str) -> None:
    assert (await world.ask(method, {"taskId": await task_of(world)})).refusal == "UNKNOWN_METHOD"


async def test_a_call_that_wants_a_task_of_2025_11_25_is_an_ordinary_call_since_none_are_offered() -> None:
    old = World(pinned="2025-11-25")
    session = await old.open_session("2025-11-25")
    assert (await old.say(session, "tools/call", {**SEARCH, "task": {"ttl": 1}})).result["content"]
    assert "task" not in old.servers.calls[0][1].params


# Over real connections


async def test_over_http_the_server_hears_its_own_id_in_body_and_header_and_the_client_its_own() -> None:
    async def script(got: Got) -> None:
        await got.result({"resultType": "task" if got.method == "tools/call" else "complete", **STATE})

    async with linked(speaks_modern(script)) as link:
        world = World(notes=definition("notes", url=link.definition.url))
        world.exchange.rounds.upstreams = link.upstreams
        world.clock.at = link.clock.monotonic()
        back = await world.ask_modern("tools/call", SEARCH, CAN_TASKS)
        given = back.result["taskId"]
        assert (await about(world, "tasks/get", given)).result["taskId"] == given != OWN_ID
        call, asked = link.server.got[-2:]
    assert (asked.method, asked.headers["mcp-method"], asked.headers["mcp-name"]) == ("tasks/get", "tasks/get", OWN_ID)
    assert asked.message["params"]["taskId"] == OWN_ID
    declared = [got.message["params"]["_meta"][META_CAPABILITIES] for got in (call, asked)]
    assert declared == [EXTENSION, EXTENSION]
