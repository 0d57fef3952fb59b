"""Sessions of legacy clients through the exchange: opened, named again, held against caller and endpoint, and ended."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from customhouse.core.protocol.sessionid import MAX_ID_CHARACTERS
from customhouse.ports.traffic import Ask, Listener, UpstreamAnswer
from tests.gateway.support import Back, World, legacy, modern, result, session_id

CALL = {"name": "notes__search", "arguments": {"query": "x"}}


@pytest.mark.parametrize("revision", ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"])
async def test_initialize_opens_a_session_that_speaks_what_was_agreed(world: World, revision: str) -> None:  # GW-05, GW-38
    session = await world.open_session(revision)
    assert 0 < len(session) <= MAX_ID_CHARACTERS
    for version in (None, b"2025-11-25", b"2025-06-18"):
        back = await world.say(session, "tools/list", headers={b"mcp-protocol-version": version})
        assert (back.status, session_id(back)) == (200, b"")
        assert world.book.records[-1].revision == revision
        tools = {tool["name"]: tool for tool in back.result["tools"]}
        assert ("execution" in tools["notes__shape"]) == (revision != "2025-11-25")  # a word of that revision alone


async def test_a_session_is_told_what_its_client_can_do_and_no_more(world: World) -> None:
    said = {"elicitation": {"url": {}}, "sampling": {}, "roots": {"listChanged": True}, "experimental": {"x": {}}}
    session = await world.open_session("2025-11-25", said)
    opened = world.conversations.ids.open(session.decode(), await world.tokens.verify(b"alice readers", ""), "/mcp")
    assert opened.capabilities == {"elicitation": {"url": {}}, "sampling": {}, "roots": {"listChanged": True}}
    assert (opened.client_name, opened.client_version) == ("ide", "1")


@pytest.mark.parametrize("version", [b"1999-01-01", b"2025"])
async def test_a_revision_that_nobody_knows_is_refused_in_a_session_too(world: World, version: bytes) -> None:  # GW-38
    session = await world.open_session()
    back = await world.say(session, "ping", headers={b"mcp-protocol-version": version})
    assert (back.status, back.refusal) == (400, "UNSUPPORTED_VERSION")
    assert (await world.hang_up(session, headers={b"mcp-protocol-version": version})).refusal == "UNSUPPORTED_VERSION"


def without_call_id(back: Back) -> Mapping[str, Any]:
    data = {key: value for key, value in back.answer["error"]["data"].items() if key != "callId"}
    return {"status": back.status, "headers": back.headers, "error": back.answer["error"] | {"data": data}, "id": back.answer.get("id")}


async def test_a_foreign_an_ended_an_expired_and_a_made_up_id_are_refused_alike(world: World) -> None:  # GW-36
    mine, ended = await world.open_session(), await world.open_session()
    assert (await world.hang_up(ended)).status == 200
    refusals = [
        await world.say(mine, "ping", token=b"bob readers"),
        await world.say(mine, "ping", path="/servers/notes/mcp"),
        await world.say(ended, "ping"),
        await world.say(b"made-up", "ping"),
    ]
    world.clock.at += 90_000
    refusals.append(await world.say(mine, "ping"))
    first = without_call_id(refusals[0])
    assert all(without_call_id(refusal) == first for refusal in refusals)
    assert (first["status"], first["id"]) == (404, 1)
    assert [record.outcome for record in world.book.records[-5:]] == ["SESSION_UNKNOWN"] * 5


async def test_ending_a_session_needs_that_very_session(world: World) -> None:  # GW-37
    session = await world.open_session()
    assert (await world.hang_up(session, token=b"bob readers")).status == 404
    assert (await world.hang_up(session, token=b"bad")).status == 401
    assert (await world.say(session, "ping")).status == 200
    assert world.forgotten == []
    assert (await world.hang_up(session)).status == 200
    assert (await world.hang_up(session)).status == 404
    assert len(world.forgotten) == 1
    assert [record.method for record in world.book.records[1:]] == ["DELETE", "DELETE", "ping", "DELETE", "DELETE"]


async def test_a_notification_of_a_session_that_ended_is_told_so(world: World) -> None:  # GW-37
    session = await world.open_session()
    note = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert (await world.post(note, {b"mcp-session-id": session})).status == 202
    await world.hang_up(session)
    gone = await world.post(note, {b"mcp-session-id": session})
    assert (gone.status, "id" in gone.answer) == (404, False)


async def test_initialize_opens_another_session_whatever_id_it_brings(world: World) -> None:
    session = await world.open_session()
    again = await world.say(session, "initialize", {"protocolVersion": "2025-06-18"})
    assert session_id(again) not in (b"", session)
    assert (await world.say(session, "ping")).status == 200


async def test_the_log_level_is_the_sessions_own(world: World) -> None:  # GW-82
    async def talk(_: Ask, listener: Listener) -> UpstreamAnswer:
        for level in ("debug", "info", "error"):
            listener.notify("notifications/message", {"level": level, "data": level})
        return result({"content": []})

    world.servers.script = talk
    loud, quiet, unsaid = [await world.open_session() for _ in range(3)]
    await world.say(loud, "logging/setLevel", {"level": "debug"})
    await world.say(quiet, "logging/setLevel", {"level": "error"})
    heard = [[event["params"]["level"] for event in (await world.say(one, "tools/call", CALL)).events] for one in (loud, quiet, unsaid)]
    assert heard == [["debug", "info", "error"], ["error"], ["info", "error"]]


async def test_a_cancellation_reaches_the_call_of_its_own_session_alone(world: World) -> None:  # GW-42
    async def wait(_: Ask, __: Listener) -> UpstreamAnswer:
        await asyncio.get_running_loop().create_future()
        return result({})

    world.servers.script = wait
    mine, other = await world.open_session(), await world.open_session()
    calls = [asyncio.create_task(world.say(one, "tools/call", CALL, 7)) for one in (mine, other)]
    await world.servers.reached_twice.wait()
    note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
    await world.post(note, {b"mcp-session-id": other})
    assert (await calls[1]).ended
    assert not calls[0].done()
    await world.post(note, {b"mcp-session-id": mine})
    assert (await calls[0]).ended


async def test_a_modern_client_has_no_session_whatever_it_sends(world: World) -> None:  # GW-04, GW-24
    message, headers = modern("tools/call", CALL)
    back = await world.post(message, {**headers, b"mcp-session-id": b"made-up"})
    assert (back.status, session_id(back)) == (200, b"")


async def test_a_legacy_client_without_an_id_is_served_without_a_session(world: World) -> None:  # GW-36
    back = await world.post(legacy("tools/call", CALL))
    assert (back.status, session_id(back)) == (200, b"")


async def test_a_session_survives_a_method_that_nobody_knows(world: World) -> None:  # GW-43
    session = await world.open_session()
    back = await world.say(session, "no/such")
    assert (back.status, back.answer["error"]["code"]) == (200, -32601)
    assert (await world.say(session, "ping")).status == 200


async def test_the_least_recently_seen_session_of_a_caller_makes_room_for_a_new_one(world: World) -> None:
    first, *rest = [await world.open_session() for _ in range(4)]
    assert (await world.say(first, "ping")).status == 404
    assert [(await world.say(one, "ping")).status for one in rest] == [200, 200, 200]
