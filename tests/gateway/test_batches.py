"""Batches of 2025-03-26: every message on its own, the answers together, and no batch anywhere else."""

import json
from typing import Any

import pytest

from customhouse.core.budget import Rate
from customhouse.gateway.batches import MAX_MESSAGES
from customhouse.ports.traffic import Ask, Listener, UpstreamAnswer
from tests.gateway.support import Back, World, legacy, result

SEARCH = {"name": "notes__search", "arguments": {"query": "x"}}
PURGE = {"name": "notes__purge"}
NOTE: dict[str, Any] = {"jsonrpc": "2.0", "method": "notifications/initialized"}


async def send(world: World, *messages: Any, revision: str = "2025-03-26") -> Back:
    session = await world.open_session(revision)
    world.book.records.clear()
    return await world.post(list(messages), {b"mcp-session-id": session})


def by_id(back: Back) -> dict[Any, dict[str, Any]]:
    answers: list[dict[str, Any]] = json.loads(back.body)
    return {answer.get("id"): answer for answer in answers}


async def test_each_message_of_a_batch_is_decided_and_recorded_on_its_own(world: World) -> None:  # GW-39
    back = await send(world, legacy("tools/call", SEARCH, 1), legacy("tools/call", PURGE, "two"), NOTE, legacy("no/such", {}, 4))
    answers = by_id(back)
    assert back.status == 200
    assert set(answers) == {1, "two", 4}
    assert answers[1]["result"]["content"][0]["text"] == "done"
    assert answers["two"]["error"]["data"]["reason"] == "unknown_name"
    assert answers[4]["error"]["code"] == -32601
    ends = sorted((record.method, record.outcome) for record in world.book.records if record.kind == "closing")
    assert ends == [
        ("", "UNKNOWN_METHOD"),
        ("batch", "answered"),
        ("notifications/initialized", "accepted"),
        ("tools/call", "UNKNOWN_NAME"),
        ("tools/call", "answered"),
    ]


async def test_each_message_of_a_batch_counts_against_the_rate() -> None:  # GW-39
    world = World(rate=Rate(0.001, 4))
    back = await send(world, *[legacy("ping", {}, number) for number in range(4)])
    reasons = [answer.get("error", {}).get("data", {}).get("reason") for answer in json.loads(back.body)]
    assert reasons.count("rate_limited") == 2  # one of four was spent on initialize, one on the batch


async def test_what_is_said_meanwhile_comes_before_the_answers(world: World) -> None:
    async def talk(_: Ask, listener: Listener) -> UpstreamAnswer:
        listener.notify("notifications/progress", {"progressToken": 1, "progress": 1})
        return result({"content": []})

    world.servers.script = talk
    asked = [legacy("tools/call", {**SEARCH, "_meta": {"progressToken": f"p{number}"}}, number) for number in (1, 2)]
    back = await send(world, *asked)
    assert {event["params"]["progressToken"] for event in back.events} == {"p1", "p2"}
    assert set(by_id(back)) == {1, 2}


async def test_a_batch_of_notifications_is_taken_without_an_answer(world: World) -> None:
    back = await send(world, NOTE, NOTE)
    assert (back.status, back.body) == (202, b"")


async def test_what_is_no_message_is_refused_beside_the_others(world: World) -> None:
    back = await send(world, 7, legacy("ping", {}, 1), {"jsonrpc": "2.0", "id": None, "method": "ping"})
    answers = json.loads(back.body)
    assert [answer["error"]["code"] for answer in answers if "error" in answer] == [-32600, -32600]
    assert [answer["result"] for answer in answers if "result" in answer] == [{}]


@pytest.mark.parametrize(
    "batch",
    [[], [legacy("initialize"), legacy("ping", {}, 2)], [legacy("ping", {}, number) for number in range(MAX_MESSAGES + 1)]],
    ids=["empty", "initialize", "too-many"],
)
async def test_what_is_no_batch_is_refused_and_nothing_of_it_happens(world: World, batch: list[Any]) -> None:  # GW-39
    back = await send(world, *batch)
    assert (back.status, back.refusal) == (400, "INVALID_MESSAGE")
    assert [record.method for record in world.book.records] == ["batch"]


@pytest.mark.parametrize("revision", ["2025-11-25", "2025-06-18", "2024-11-05"])
async def test_other_revisions_have_no_batches(world: World, revision: str) -> None:  # GW-40
    back = await send(world, legacy("ping"), revision=revision)
    assert (back.status, back.refusal) == (400, "INVALID_MESSAGE")


async def test_there_is_no_batch_without_a_session(world: World) -> None:  # GW-25
    assert (await world.post([legacy("ping")])).status == 400
    assert (await world.post([legacy("ping")], {b"mcp-session-id": b"x", b"mcp-protocol-version": b"2026-07-28"})).status == 400
    assert (await world.post([legacy("ping")], {b"mcp-session-id": b"made-up"})).status == 404


async def test_a_batch_is_as_many_requests_in_flight_as_it_has_messages(world: World) -> None:
    world.admission.enter(90)
    back = await send(world, *[legacy("ping", {}, number) for number in range(11)])
    assert (back.status, back.refusal) == (503, "OVERLOADED")
    assert world.admission.in_flight == 90


async def test_a_batch_holds_no_batch(world: World) -> None:
    back = await send(world, legacy("ping", {}, 1), [legacy("ping", {}, 2)])
    assert (back.status, back.refusal) == (400, "INVALID_MESSAGE")
    assert [record.method for record in world.book.records] == ["batch"]
