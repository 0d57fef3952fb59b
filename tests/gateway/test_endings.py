"""Whatever happens to a call, exactly one closing record says how it ended, and it is written before the answer goes."""

import asyncio
import logging
from typing import Any

import msgspec
import pytest

from customhouse.core.budget import Rate
from customhouse.core.record import Record
from customhouse.core.refusal import Reason, Refused
from customhouse.gateway.arrival import Arrival
from customhouse.ports.traffic import Ask, Listener, UpstreamAnswer
from tests.gateway.support import Back, World, legacy, modern, result

SEARCH = {"name": "notes__search", "arguments": {"query": "x"}}
DRAFT = {"name": "notes__add", "arguments": {"title": "t", "tag": "draft"}}


async def test_an_answered_call_leaves_one_record_with_who_what_and_why(world: World) -> None:
    back = await world.ask("tools/call", SEARCH)
    assert back.result["content"] == [{"type": "text", "text": "done"}]
    record = world.book.closing
    assert world.book.kinds() == ["closing"]
    assert (record.outcome, record.decision, record.reasons) == ("answered", "permit", ("readers-read",))
    assert (record.tenant, record.person, record.server, record.name, record.effect) == ("acme", "alice", "notes", "search", "read")
    assert record.bytes_out == len(back.body)
    assert record.policy_digest
    assert record.argument_digest
    assert record.pin_digest.startswith("sha256:")
    assert world.observed == [record]


@pytest.mark.parametrize(
    ("given", "status", "reason"),
    [
        pytest.param({"headers": {b"host": b"evil.test"}}, 403, Reason.FOREIGN_HOST, id="host"),
        pytest.param({"headers": {b"origin": b"https://evil.test"}}, 403, Reason.FOREIGN_ORIGIN, id="origin"),  # GW-01
        pytest.param({"headers": {b"content-type": b"text/plain"}}, 415, Reason.WRONG_CONTENT_TYPE, id="content type"),  # GW-06
        pytest.param({"headers": {b"content-type": None}}, 415, Reason.WRONG_CONTENT_TYPE, id="no content type"),
        pytest.param({"headers": {b"accept": b"application/json"}}, 406, Reason.NOT_ACCEPTABLE, id="accept"),  # GW-06
        pytest.param({"headers": {b"accept": None}}, 406, Reason.NOT_ACCEPTABLE, id="no accept"),
        pytest.param({"headers": {b"authorization": None}}, 401, Reason.NO_TOKEN, id="no token"),  # GW-95
        pytest.param({"headers": {b"authorization": b"Basic eA=="}}, 401, Reason.NO_TOKEN, id="another scheme"),
        pytest.param({"headers": {b"authorization": b"Bearer  "}}, 401, Reason.NO_TOKEN, id="empty token"),
        pytest.param({"query": b"Access_Token=x"}, 401, Reason.TOKEN_IN_QUERY, id="token in the query"),  # GW-96
        pytest.param({"token": b"bad"}, 401, Reason.INVALID_TOKEN, id="bad token"),  # GW-95
        pytest.param({"token": b"unknown-issuer"}, 503, Reason.ISSUER_UNAVAILABLE, id="issuer away"),
        pytest.param({"path": "/servers/foreign/mcp"}, 404, Reason.UNKNOWN_PATH, id="endpoint of another tenant"),
        pytest.param({"message": b"{"}, 400, Reason.MALFORMED_JSON, id="no JSON"),  # GW-08
        pytest.param({"message": [legacy("ping")]}, 400, Reason.INVALID_MESSAGE, id="batch"),
        pytest.param({"message": legacy("no/such")}, 200, Reason.UNKNOWN_METHOD, id="unknown method"),  # GW-43
        pytest.param({"message": legacy("tools/call", {"name": "notes__nothing"})}, 200, Reason.UNKNOWN_NAME, id="unknown tool"),
        pytest.param({"message": legacy("tools/call", {"name": ["notes__search"]})}, 200, Reason.UNKNOWN_NAME, id="name a list"),
        pytest.param({"message": legacy("tools/call", {**SEARCH, "arguments": []})}, 400, Reason.INVALID_PARAMS, id="arguments a list"),
        pytest.param({"message": legacy("tools/call", DRAFT | {"arguments": {"title": "t"}})}, 200, Reason.NOT_PERMITTED, id="policy"),
        pytest.param({"message": legacy("tools/call", {"name": "notes__scoped"})}, 403, Reason.INSUFFICIENT_SCOPE, id="scope"),  # GW-97
        pytest.param({"message": legacy("tools/list", {"cursor": ""})}, 400, Reason.INVALID_PARAMS, id="forged cursor"),  # GW-34
        pytest.param({"message": legacy("logging/setLevel", {"level": "loud"})}, 400, Reason.INVALID_PARAMS, id="level"),
        pytest.param({"message": legacy("completion/complete", {"ref": 1})}, 400, Reason.INVALID_PARAMS, id="ref"),
        pytest.param({"message": legacy("completion/complete", {"ref": {"type": "x"}})}, 400, Reason.INVALID_PARAMS, id="ref type"),
        pytest.param({"message": legacy("prompts/get", {"name": "nothing"})}, 200, Reason.UNKNOWN_NAME, id="prompt"),
        pytest.param({"message": legacy("resources/read", {"uri": "note://z"})}, 200, Reason.UNKNOWN_NAME, id="resource"),
    ],
)
async def test_each_refusal_is_answered_and_recorded_once_and_reaches_no_server(
    world: World, given: dict[str, Any], status: int, reason: Reason
) -> None:
    more = dict(given)
    back = await world.post(more.pop("message", legacy("tools/call", SEARCH)), more.pop("headers", None), **more)
    assert (back.status, back.refusal) == (status, reason.name)
    assert world.book.closing.outcome == reason.name
    assert back.answer["error"]["data"]["callId"] == world.book.closing.call_id
    assert world.servers.calls == []


async def test_a_401_names_the_metadata_of_its_endpoint_and_the_scopes(world: World) -> None:  # GW-95
    for token, error in ((b"", b""), (b"bad", b'error="invalid_token", ')):
        back = await world.post(legacy("ping"), token=token, path="/servers/notes/mcp")
        metadata = b"http://gateway.test/.well-known/oauth-protected-resource/servers/notes/mcp"
        line = b'WWW-Authenticate: Bearer %bresource_metadata="%b", scope="notes:deep notes:read"' % (error, metadata)
        assert line in back.headers.split(b"\r\n")


async def test_a_missing_scope_is_challenged_with_all_of_them_and_a_broader_token_passes(world: World) -> None:  # GW-97
    back = await world.ask("tools/call", {"name": "notes__scoped"}, token=b"alice readers scope=notes:read")
    assert b'error="insufficient_scope"' in back.headers
    assert b'scope="notes:deep notes:read"' in back.headers
    assert world.book.closing.decision == "deny"
    token = b"alice readers scope=notes:read scope=notes:deep scope=more"
    assert (await world.ask("tools/call", {"name": "notes__scoped"}, token=token)).status == 200
    assert len(world.servers.calls) == 1


async def test_a_caller_over_its_rate_waits_and_others_do_not() -> None:
    world = World(rate=Rate(1, 2))
    for _ in range(2):
        assert (await world.ask("ping")).status == 200
    back = await world.ask("ping")
    assert (back.status, back.refusal) == (429, "RATE_LIMITED")
    assert b"Retry-After: 1" in back.headers
    assert (await world.ask("ping", token=b"bob readers")).status == 200
    world.clock.at += 1.0
    assert (await world.ask("ping")).status == 200


async def test_a_gateway_that_drains_takes_nothing_new(world: World) -> None:
    world.live.draining = True
    assert (await world.ask("ping")).refusal == "DRAINING"


async def test_a_defect_of_the_gateway_is_answered_recorded_and_logged(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(world.admission, "call", broken)
    with caplog.at_level(logging.ERROR):
        back = await world.ask("tools/call", SEARCH)
    assert (back.status, back.refusal) == (500, "GATEWAY_BROKE")
    assert b"secret" not in back.body
    assert world.book.closing.outcome == "GATEWAY_BROKE"
    assert world.book.closing.call_id in caplog.text


async def test_a_tools_own_error_and_a_servers_error_are_told_apart(world: World) -> None:
    async def tool_error(*_: object) -> UpstreamAnswer:
        return result({"content": [], "isError": True})

    async def server_error(*_: object) -> UpstreamAnswer:
        return UpstreamAnswer(None, {"code": -32002, "message": "gone"})

    world.servers.script = tool_error
    assert (await world.ask("tools/call", SEARCH)).result["isError"] is True
    assert world.book.closing.outcome == "tool_error"
    world.book.records.clear()
    world.servers.script = server_error
    assert (await world.ask_modern("tools/call", SEARCH)).answer["error"] == {"code": -32602, "message": "gone"}
    assert (world.book.closing.outcome, world.book.closing.note) == ("server_error", "server error -32002")


@pytest.mark.parametrize("code", [-32020, -32022])
async def test_an_error_about_the_gateways_own_request_is_not_the_clients(world: World, code: int) -> None:
    async def mismatch(*_: object) -> UpstreamAnswer:
        return UpstreamAnswer(None, {"code": code, "message": "x"})

    world.servers.script = mismatch
    back = await world.ask_modern("tools/call", SEARCH)
    assert back.refusal == "UPSTREAM_BROKE_PROTOCOL"
    assert str(code) in world.book.closing.note


async def test_a_refusal_of_the_upstream_side_keeps_its_note_from_the_caller(world: World) -> None:
    async def away(*_: object) -> UpstreamAnswer:
        raise Refused(Reason.UPSTREAM_UNREACHABLE, note="10.0.0.7 refused")

    world.servers.script = away
    back = await world.ask("tools/call", SEARCH)
    assert back.refusal == "UPSTREAM_UNREACHABLE"
    assert b"10.0.0.7" not in back.body
    assert world.book.closing.note == "10.0.0.7 refused"


async def test_a_server_that_refuses_the_gateways_credential_challenges_no_client(world: World) -> None:  # GW-98
    async def closed(*_: object) -> UpstreamAnswer:
        raise Refused(Reason.UPSTREAM_REFUSED_CREDENTIAL)

    world.servers.script = closed
    for back in (await world.ask("tools/call", SEARCH), await world.ask_modern("tools/call", SEARCH)):
        assert back.refusal == "UPSTREAM_REFUSED_CREDENTIAL"
        assert back.status not in (401, 403)
        assert b"www-authenticate" not in back.headers.lower()


# Callers that leave


async def hang(_: Ask, __: Listener) -> UpstreamAnswer:
    await asyncio.Event().wait()
    raise AssertionError


def started(world: World, arrival: Arrival, back: Back) -> "asyncio.Task[None]":
    world.servers.script = hang
    return asyncio.get_running_loop().create_task(world.exchange.answer(arrival, back))


async def test_a_modern_caller_that_leaves_is_recorded_as_such(world: World) -> None:  # GW-29
    back = Back()
    task = started(world, world.arrival(*modern("tools/call", SEARCH)), back)
    await world.servers.reached.wait()
    assert back.cancels
    back.connected = False
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.book.closing.outcome == "caller_left"
    assert back.status == 0


async def test_a_legacy_caller_that_leaves_does_not_end_the_call(world: World) -> None:  # GW-41
    back = Back()
    release = asyncio.Event()

    async def slow(*_: object) -> UpstreamAnswer:
        await release.wait()
        return result({"content": []})

    world.servers.script = slow
    task = asyncio.get_running_loop().create_task(world.exchange.answer(world.arrival(legacy("tools/call", SEARCH)), back))
    await world.servers.reached.wait()
    assert not back.cancels
    release.set()
    await task
    assert world.book.closing.outcome == "answered"


async def test_a_legacy_cancellation_ends_the_call_of_that_id_without_an_answer(world: World) -> None:  # GW-42
    back = Back()
    task = started(world, world.arrival(legacy("tools/call", SEARCH, "call-7")), back)
    await world.servers.reached.wait()
    for params, token in (({"requestId": "other"}, b"alice readers"), ({"requestId": "call-7"}, b"bob readers"), ({}, b"alice readers")):
        note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
        assert (await world.post(note, token=token)).status == 202
    await asyncio.sleep(0)
    assert not task.done()
    await world.post({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "call-7"}})
    await task
    assert back.ended
    assert back.status == 0
    outcomes = [record.outcome for record in world.book.records]
    assert outcomes == ["accepted"] * 4 + ["cancelled"]


async def test_a_cancellation_that_two_calls_could_mean_ends_neither(world: World) -> None:
    backs = [Back(), Back()]
    tasks = [started(world, world.arrival(legacy("tools/call", SEARCH, 1)), back) for back in backs]
    await world.servers.reached_twice.wait()
    await world.post({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
    await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks)
    assert all(back.ended for back in backs)


async def test_a_modern_notification_is_taken_and_cancels_nothing(world: World) -> None:  # GW-26
    task = started(world, world.arrival(legacy("tools/call", SEARCH, 1)), Back())
    await world.servers.reached.wait()
    note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    back = await world.post(note, {b"mcp-protocol-version": b"2026-07-28"})
    assert (back.status, back.body) == (202, b"")
    await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    await task


async def test_the_name_of_a_made_up_notification_stays_out_of_the_record(world: World) -> None:
    await world.post({"jsonrpc": "2.0", "method": "notifications/made-up-7"})
    assert (world.book.closing.method, world.book.closing.outcome) == ("notifications/other", "accepted")


async def test_a_server_has_no_more_calls_in_flight_than_its_definition_says(world: World) -> None:
    backs = [Back(), Back()]
    tasks = [started(world, world.arrival(legacy("tools/call", SEARCH, n)), back) for n, back in enumerate(backs)]
    await world.servers.reached_twice.wait()
    assert (await world.ask("tools/call", SEARCH)).refusal == "BUSY"
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks)
    world.servers.script = None
    assert (await world.ask("tools/call", SEARCH)).status == 200


# The ledger


def on(kind: str) -> Any:
    return lambda record: record.kind == kind


async def test_a_write_is_on_stable_storage_before_the_server_hears_of_it(world: World) -> None:
    seen: list[list[str]] = []

    async def look(*_: object) -> UpstreamAnswer:
        seen.append(list(world.book.durable))
        return result({"content": []})

    world.servers.script = look
    await world.ask("tools/call", DRAFT)
    assert seen == [["intent"]]
    assert world.book.kinds() == ["intent", "closing"]
    intent, closing = world.book.records
    assert (intent.call_id, intent.argument_digest, intent.outcome) == (closing.call_id, closing.argument_digest, "")


async def test_a_write_that_cannot_be_recorded_first_never_reaches_the_server(world: World) -> None:
    world.book.fails_for = on("intent")
    back = await world.ask("tools/call", DRAFT)
    assert (back.status, back.refusal) == (503, "LEDGER_UNAVAILABLE")
    assert world.servers.calls == []
    assert world.book.closing.outcome == "LEDGER_UNAVAILABLE"


async def test_a_read_waits_for_a_ledger_that_failed_before_it_asks_the_server(world: World) -> None:
    world.book.fails_for = lambda _: True
    assert (await world.ask("ping")).status == 503
    assert (await world.ask("tools/call", SEARCH)).refusal == "LEDGER_UNAVAILABLE"
    assert world.servers.calls == []
    world.book.fails_for = lambda _: False
    assert (await world.ask("tools/call", SEARCH)).status == 200
    assert world.book.writable
    assert world.book.kinds() == ["intent", "closing"]


async def test_an_answer_that_cannot_be_recorded_is_not_sent(world: World) -> None:
    world.book.fails_for = on("closing")
    for message in (legacy("tools/call", SEARCH), legacy("tools/list"), b"{"):
        back = await world.post(message)
        assert (back.status, back.refusal) == (503, "LEDGER_UNAVAILABLE")
        assert b"done" not in back.body
    assert world.book.records == []


async def test_a_refused_frame_is_recorded_and_bounded(world: World) -> None:
    answer = await world.exchange.refuse_frame(Refused(Reason.MALFORMED_HTTP), "/x" * 1000, 0.0)
    assert (answer.status, world.book.closing.outcome, len(world.book.closing.endpoint)) == (400, "MALFORMED_HTTP", 256)
    world.book.fails_for = on("closing")
    assert (await world.exchange.refuse_frame(Refused(Reason.MALFORMED_HTTP), "/", 0.0)).status == 503


async def test_the_record_of_a_call_says_how_long_it_and_its_server_took(world: World) -> None:
    async def slow(*_: object) -> UpstreamAnswer:
        world.clock.at += 0.25
        return result({"content": []})

    world.servers.script = slow
    arrival = world.arrival(legacy("tools/call", SEARCH))
    world.clock.at += 0.5
    await world.exchange.answer(arrival, Back())
    record: Record = world.book.closing
    assert (record.took_us, record.upstream_us) == (750_000, 250_000)
    assert msgspec.json.decode(msgspec.json.encode(record), type=Record) == record
