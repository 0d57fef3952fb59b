"""Calls over stdio: each hears what is its own, and what a server does wrong hurts no more than it must."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from customhouse.core.refusal import Reason, Refused
from tests.upstreams.programs import Person, alive, behind, text_of, until

ERAS = pytest.mark.parametrize("era", ["legacy", "modern"])


@ERAS
async def test_a_hundred_calls_at_once_get_their_own_answers(era: str, tmp_path: Path) -> None:
    async with behind(tmp_path, era) as here:
        answers = await asyncio.gather(*(here.said("echo", {"n": number}) for number in range(100)))
        assert answers == [json.dumps({"n": number}) for number in range(100)]
        ids = [message["id"] for _, message in here.read() if message.get("method") == "tools/call"]
        assert len(set(ids)) == 100


async def test_an_answer_is_matched_by_its_exact_id(tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        assert await here.said("another-id") == "yes"
        assert await here.said("twice") == "first"
        assert await here.said("echo") == "{}"


async def test_a_batch_is_read_message_by_message(tmp_path: Path) -> None:
    async with behind(tmp_path, "speaks=2025-03-26") as here:
        assert await here.said("batch") == "batched"
        assert here.person.heard == [("notifications/message", {"level": "info", "data": "in a batch"})]


async def test_errors_of_a_server_pass_but_not_what_it_thinks_of_the_gateways_request(tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        answer = await here.call("error", {"code": -32602, "more": {"data": {"x": 1}}})
        assert answer.error == {"code": -32602, "message": "m", "data": {"x": 1}}
        for code in (-32600, -32700):
            with pytest.raises(Refused, match="UPSTREAM_BROKE_PROTOCOL"):
                await here.call("error", {"code": code})
        assert await here.said("echo") == "{}"


async def test_a_result_that_is_no_object_fails_its_call_alone(tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        held = asyncio.create_task(here.said("hold"))
        await here.until_read("tools/call")
        for line in ('{"jsonrpc":"2.0","id":%d,"result":[]}', '{"jsonrpc":"2.0","id":%d,"result":{},"error":{}}', '{"id":%d,"error":7}'):
            with pytest.raises(Refused, match="UPSTREAM_BROKE_PROTOCOL"):
                await here.call("say", {"lines": [line % (last_id(here.read()) + 1)]})
        await here.call("release")
        assert await held == "released"


def last_id(read: list[tuple[int, dict[str, Any]]]) -> int:
    return max(int(message["id"]) for _, message in read if "id" in message and message.get("method") in ("tools/call", "initialize"))


# Progress and log messages


@ERAS
async def test_progress_reaches_the_call_whose_token_it_carries(era: str, tmp_path: Path) -> None:  # GW-10
    async with behind(tmp_path, era) as here:
        people = [Person() for _ in range(3)]
        await asyncio.gather(*(here.call("progress", wants_progress=True, person=person) for person in people))
        for person in people:
            assert [params["progress"] for _, params in person.heard] == [0, 1, 2]
        silent = Person()
        await here.call("progress", person=silent)
        assert silent.heard == []


async def test_log_messages_reach_a_call_only_if_no_other_is_unfinished(tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        alone, crowded = Person(), Person()
        await here.call("log", person=alone)
        assert alone.heard == [("notifications/message", {"level": "info", "data": "hello"})]
        held = asyncio.create_task(here.call("hold"))
        await until(lambda: here.methods().count("tools/call") == 2)
        await here.call("log", person=crowded)
        held.cancel()
        await asyncio.gather(held, return_exceptions=True)
        await here.call("log", person=crowded)  # the cancelled call may still be the one that logs
        assert crowded.heard == []
        here.clock.ahead = 61.0
        await here.call("log", person=crowded)
        assert len(crowded.heard) == 1


async def test_the_process_of_a_conversation_ends_with_it(tmp_path: Path) -> None:  # GW-37
    async with behind(tmp_path) as here:
        for conversation in ("one", "two"):
            await here.call("echo", conversation=conversation, capabilities={"roots": {}})
        here.server.forget("one")
        here.server.sweep(here.clock.monotonic())
        await until(lambda: sum(program.ended.done() for program in here.programs) == 1)
        assert here.programs[0].ended.done()


async def test_a_legacy_server_is_told_the_most_verbose_level_that_any_call_wanted(tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        for level in ("error", "warning", "error", "debug", "info"):
            await here.call("echo", log_level=level)
        levels = [message["params"]["level"] for _, message in here.read() if message.get("method") == "logging/setLevel"]
        assert levels == ["error", "warning", "debug"]


async def test_a_slow_caller_holds_up_nobody_else_and_misses_the_oldest_progress(tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        slow = Person(slow=True)
        call = asyncio.create_task(here.call("progress", {"steps": 500}, wants_progress=True, person=slow))
        await slow.asked.wait()
        assert await here.said("echo") == "{}"
        slow.may.set()
        await call
        steps = [params["progress"] for _, params in slow.heard]
        assert steps == sorted(steps)
        assert steps[0] == 0
        assert steps[-1] == 499
        assert len(steps) <= 66


async def test_the_deadline_holds_even_while_the_caller_takes_nothing(tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        await here.call("echo")
        with pytest.raises(Refused, match="UPSTREAM_TIMED_OUT"):
            await here.call("progress", wants_progress=True, person=Person(slow=True), seconds=0.3)


# Cancelling


@ERAS
async def test_a_cancelled_call_is_cancelled_at_the_server_and_its_late_answer_dropped(era: str, tmp_path: Path) -> None:  # GW-42
    async with behind(tmp_path, era, "answers-late") as here:
        held = asyncio.create_task(here.call("hold"))
        request = await here.until_read("tools/call")
        held.cancel()
        with pytest.raises(asyncio.CancelledError):
            await held
        cancelled = await here.until_read("notifications/cancelled")
        assert cancelled["params"] == {"requestId": request["id"]}
        assert await here.said("echo") == "{}"
        assert len({pid for pid, message in here.read() if message.get("method") == "tools/call"}) == 1


async def test_a_call_that_is_late_is_cancelled_at_the_server(tmp_path: Path) -> None:  # GW-65
    async with behind(tmp_path) as here:
        await here.call("echo")
        other = asyncio.create_task(here.said("hold"))
        with pytest.raises(Refused, match="UPSTREAM_TIMED_OUT"):
            await here.call("hold", seconds=0.3)
        await here.until_read("notifications/cancelled")
        await here.call("release")
        assert await other == "released"


async def test_a_greeting_is_never_cancelled(tmp_path: Path) -> None:  # GW-42
    async with behind(tmp_path, "silent-greeting", "stubborn", connect_timeout_seconds=0.5) as here:
        with pytest.raises(Refused, match="UPSTREAM_UNREACHABLE"):
            await here.call("echo")
        await asyncio.shield(here.programs[-1].ended)
        assert here.methods() == ["server/discover", "initialize"]


async def test_a_server_that_says_not_a_word_until_the_deadline_is_replaced(tmp_path: Path) -> None:
    async with behind(tmp_path, "modern") as here:
        await here.call("deaf")
        with pytest.raises(Refused, match="UPSTREAM_TIMED_OUT"):
            await here.call("echo", seconds=0.3)
        assert await here.said("echo") == "{}"
        assert len(here.programs) == 2


# What a server does wrong


@ERAS
async def test_a_greeting_page_on_stdout_is_not_minded(era: str, tmp_path: Path) -> None:
    async with behind(tmp_path, era, "greets") as here:
        assert await here.said("echo") == "{}"


async def test_rubbish_between_messages_is_counted_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rubbish = [
        "",
        "hello",
        "{",
        "7",
        "null",
        "[]",
        "[1]",
        "{}",
        '{"jsonrpc":"2.0","id":99999,"result":{}}',
        '{"id":1e999,"result":{}}',
        "\ufffd",
    ]
    async with behind(tmp_path) as here:
        assert await here.said("say", {"lines": rubbish, "then": "done"}) == "done"
        assert await here.said("echo") == "{}"
    assert "(4 in a row)" in caplog.text
    assert "hello" not in caplog.text


@ERAS
async def test_a_flood_of_rubbish_ends_the_process_and_fails_what_is_in_flight_once(era: str, tmp_path: Path) -> None:  # GW-59
    async with behind(tmp_path, era) as here:
        held = asyncio.create_task(here.call("hold"))
        await here.until_read("tools/call")
        with pytest.raises(Refused, match="UPSTREAM_BROKE_PROTOCOL"):
            await here.call("flood", {"lines": 100_000, "line": "rubbish"})
        with pytest.raises(Refused, match="UPSTREAM_BROKE_PROTOCOL"):
            await held
        assert await here.said("echo") == "{}"
        assert here.methods().count("tools/call") == 3  # nothing was sent twice


async def test_a_storm_of_changed_lists_is_told_twice_and_the_calls_go_on(tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        assert await here.said("flood", {"lines": 900}) == "done"
        assert here.noted.lists == [("odd", "tools")]
        here.server.sweep(here.clock.monotonic())
        here.server.sweep(here.clock.monotonic())
        assert here.noted.lists == [("odd", "tools")] * 2


async def test_a_server_that_only_talks_is_held(tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        await here.call("echo")
        started = asyncio.get_running_loop().time()
        assert await here.said("flood", {"lines": 3_000}) == "done"
        assert asyncio.get_running_loop().time() - started > 1.5


@ERAS
@pytest.mark.parametrize("manner", ["die", "die-in-the-middle", "close-stdout"])
async def test_a_server_that_ends_fails_everything_in_flight_once_and_is_started_again(era: str, manner: str, tmp_path: Path) -> None:
    # GW-59
    async with behind(tmp_path, era) as here:
        held = [asyncio.create_task(here.call("hold")) for _ in range(5)]
        await until(lambda: here.methods().count("tools/call") == 5)
        with pytest.raises(Refused) as caught:
            await here.call(manner, write=True)
        assert caught.value.reason is Reason.UPSTREAM_DIED
        for outcome in await asyncio.gather(*held, return_exceptions=True):
            assert isinstance(outcome, Refused)
            assert outcome.reason is Reason.UPSTREAM_DIED
        first = here.programs[-1]
        assert await here.said("echo") == "{}"
        assert [message["params"]["name"] for _, message in here.read() if message.get("method") == "tools/call"].count(manner) == 1
        await asyncio.wait_for(asyncio.shield(first.ended), 10)


async def test_the_last_words_of_a_server_are_in_the_log_and_its_status_in_the_note(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with behind(tmp_path) as here:
        with pytest.raises(Refused) as caught:
            await here.call("die", {"words": "out of cheese"})
        assert "status 3" in caught.value.note
    assert "out of cheese" in caplog.text


async def test_an_answer_that_is_too_large_fails_what_is_in_flight(tmp_path: Path) -> None:
    async with behind(tmp_path, "modern", max_result_bytes=1_000_000) as here:
        assert len(await here.said("big", {"bytes": 900_000})) == 900_000
        with pytest.raises(Refused, match="RESULT_TOO_LARGE"):
            await here.call("big", {"bytes": 10_000_000})
        assert await here.said("echo") == "{}"


async def test_a_server_that_crashes_again_and_again_rests_before_it_is_started_again(tmp_path: Path) -> None:  # GW-59
    async with behind(tmp_path) as here:
        for _ in range(3):
            with pytest.raises(Refused, match="UPSTREAM_DIED"):
                await here.call("die")
            here.clock.ahead += 1.0
        here.clock.ahead -= 1.0
        with pytest.raises(Refused) as caught:
            await here.call("echo")
        assert caught.value.reason is Reason.UPSTREAM_UNREACHABLE
        assert caught.value.detail == {"retryAfterSeconds": 1}
        here.clock.ahead += 1.0
        assert await here.said("echo") == "{}"


async def test_the_crash_of_one_callers_process_makes_nobody_else_wait(tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        for _ in range(2):
            with pytest.raises(Refused, match="UPSTREAM_DIED"):
                await here.call("die", key="alice")
        with pytest.raises(Refused, match="UPSTREAM_UNREACHABLE"):
            await here.call("echo", key="alice")
        assert await here.said("echo", key="bob") == "{}"


# Questions of a server

FORM = {"message": "Sure?", "requestedSchema": {"type": "object", "properties": {}}}
ELICITATION = {"method": "elicitation/create", "params": FORM}


@pytest.mark.parametrize("own_id", ["q-1", 7, 0, ""])
@pytest.mark.parametrize("reply", [{"result": {"action": "accept", "content": {}}}, {"error": {"code": -1, "message": "no"}}])
async def test_a_question_reaches_the_caller_and_the_answer_the_server_under_its_own_id(own_id: object, reply: Any, tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        here.person.answers = [reply]
        said = await here.said("ask", {**ELICITATION, "id": own_id}, capabilities={"elicitation": {}})
        assert json.loads(said) == {"id": own_id, **reply}
        assert here.person.questions == [("elicitation/create", FORM)]
        (greeting,) = [message for _, message in here.read() if message.get("method") == "initialize"]
        assert greeting["params"]["capabilities"] == {"elicitation": {}}


@pytest.mark.parametrize(
    ("capabilities", "method", "params", "code"),
    [
        ({}, "elicitation/create", FORM, -32601),
        ({}, "roots/list", {}, -32601),
        ({"roots": {}}, "sampling/createMessage", {}, -32601),
        ({"roots": {}}, "unknown/method", {}, -32601),
        ({"elicitation": {}}, "elicitation/create", {"mode": "url"}, -32602),  # GW-68
        ({"elicitation": {"form": {}}}, "elicitation/create", {"mode": "url"}, -32602),
        ({"elicitation": {"url": {}}}, "elicitation/create", FORM, -32602),
        ({"elicitation": {}}, "elicitation/create", {"mode": "another"}, -32602),
        ({"sampling": {}}, "sampling/createMessage", {"tools": []}, -32602),
    ],
)
async def test_what_was_not_declared_is_answered_without_the_caller(
    capabilities: Any, method: str, params: Any, code: int, tmp_path: Path
) -> None:
    async with behind(tmp_path) as here:
        said = await here.said("ask", {"method": method, "params": params}, capabilities=capabilities)
        assert json.loads(said)["error"]["code"] == code
        assert here.person.questions == []


@ERAS
async def test_a_ping_of_the_server_is_answered_by_the_gateway(era: str, tmp_path: Path) -> None:
    async with behind(tmp_path, era) as here:
        assert json.loads(await here.said("ask", {"method": "ping", "id": 3})) == {"id": 3, "result": {}}


async def test_a_server_that_asks_for_the_roots_at_once_knows_them_before_the_first_call(tmp_path: Path) -> None:
    async with behind(tmp_path, "asks-at-once") as here:
        listed = {"roots": [{"uri": "file:///a"}]}
        here.person.answers = [{"result": listed}]
        for _ in range(2):
            assert json.loads(await here.said("roots", capabilities={"roots": {}}, conversation="1")) == [listed]
        assert here.person.questions == [("roots/list", {})]
        assert here.methods().count("ping") == 1


async def test_a_server_that_answers_no_ping_is_called_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("customhouse.adapters.upstreams.duplex.SETTLE_SECONDS", 0.05)
    async with behind(tmp_path, "deaf-to-pings") as here:
        for _ in range(2):
            assert await here.said("echo", capabilities={"roots": {}}, conversation="1") == "{}"
        assert here.methods().count("initialize") == 1


async def test_the_questions_of_two_calls_never_cross(tmp_path: Path) -> None:  # GW-77
    async with behind(tmp_path) as here:
        people = {name: Person(answers=[{"result": {"roots": [name]}}] * 3) for name in ("alice", "bob")}

        async def calls(name: str, conversation: str) -> list[str]:
            asking = [
                here.said(
                    "ask",
                    {"method": "roots/list", "id": name},
                    key=name,
                    conversation=conversation,
                    capabilities={"roots": {}},
                    person=people[name],
                )
                for _ in range(3)
            ]
            return await asyncio.gather(*asking)

        for name, said in zip(people, await asyncio.gather(calls("alice", "1"), calls("bob", "1")), strict=True):
            assert [json.loads(text)["result"]["roots"] for text in said] == [[name]] * 3
            assert len(people[name].questions) == 3
        assert here.methods().count("initialize") == 2


async def test_calls_of_one_conversation_go_one_after_the_other_and_those_of_two_beside_each_other(tmp_path: Path) -> None:  # GW-77
    async with behind(tmp_path) as here:
        first = Person()
        more: dict[str, Any] = {"capabilities": {"roots": {}}, "key": "alice"}
        asking = asyncio.create_task(here.said("ask", {"method": "roots/list"}, conversation="1", person=first, **more))
        await first.asked.wait()
        with pytest.raises(Refused, match="BUSY"):
            await here.call("echo", conversation="1", seconds=0.2, **more)
        assert await here.said("echo", conversation="2", **more) == "{}"
        assert await here.said("echo", key="alice") == "{}"  # declares nothing, so it shares a channel that nobody asks on
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert first.withdrawn.is_set()


async def test_a_question_that_belongs_to_no_call_is_answered_by_the_gateway(tmp_path: Path) -> None:  # GW-78
    async with behind(tmp_path) as here:
        question = json.dumps({"jsonrpc": "2.0", "id": "stray", "method": "roots/list"})
        late = json.dumps({"jsonrpc": "2.0", "id": 5, "result": {}})
        await here.call("echo", capabilities={"roots": {}}, conversation="1")
        await here.call("say", {"lines": [late], "then": "x"}, capabilities={"roots": {}}, conversation="1")
        (line,) = [line for line in here.server._lines.values() if line.key.capabilities]
        line.conversation.receive(question.encode())
        await until(lambda: [message for _, message in here.read() if message.get("id") == "stray"])
        (reply,) = [message for _, message in here.read() if message.get("id") == "stray"]
        assert reply["error"]["code"] == -32602
        assert here.person.questions == []


async def test_the_clock_stands_still_while_a_person_is_asked(tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        more: dict[str, Any] = {"capabilities": {"roots": {}}}
        await here.call("echo", **more)
        call = asyncio.create_task(here.said("ask", {"method": "roots/list"}, seconds=0.5, **more))
        await here.person.asked.wait()
        await asyncio.sleep(0.8)
        assert not call.done()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)


async def test_a_call_that_is_over_cancels_nothing_that_its_task_does_later(tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        more: dict[str, Any] = {"capabilities": {"roots": {}}}
        await here.call("echo", **more)

        async def asks_and_goes_on() -> str:
            with pytest.raises(asyncio.CancelledError):
                await here.call("ask", {"method": "roots/list"}, seconds=0.2, **more)
            own = asyncio.current_task()
            assert own is not None
            own.uncancel()
            await asyncio.sleep(0.5)
            return "went on"

        task = asyncio.create_task(asks_and_goes_on())
        await here.person.asked.wait()
        task.cancel()
        assert await task == "went on"


async def test_a_call_asks_a_hundred_questions_at_most(tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        here.person.answers = [{"result": {"roots": []}}] * 200
        await here.call("ask-often", {"times": 103}, capabilities={"roots": {}})
        assert len(here.person.questions) == 100
        await until(lambda: len([1 for _, message in here.read() if message.get("error")]) == 3)


async def test_a_question_that_the_server_withdraws_is_taken_back_from_the_caller(tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        here.person.answers = [{"result": {"action": "decline"}}]
        assert await here.said("ask-and-withdraw", ELICITATION, capabilities={"elicitation": {}}) == "never mind"
        await asyncio.wait_for(here.person.withdrawn.wait(), 5)
        await here.said("echo", capabilities={"elicitation": {}})
        assert "second" not in [message["id"] for _, message in here.read() if "method" not in message]


async def test_a_refused_question_ends_the_call_and_the_server_hears_of_it(tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        here.person.answers = [Refused(Reason.FEATURE_UNSUPPORTED)]
        with pytest.raises(Refused, match="FEATURE_UNSUPPORTED"):
            await here.call("ask", {"method": "roots/list", "id": "mine"}, capabilities={"roots": {}})
        await until(lambda: [message for _, message in here.read() if message.get("id") == "mine"])


async def test_a_listener_that_breaks_breaks_its_call(tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        here.person.answers = [ValueError("broken")]
        with pytest.raises(ValueError, match="broken"):
            await here.call("ask", {"method": "roots/list"}, capabilities={"roots": {}})


async def test_after_a_cancelled_call_that_was_never_answered_a_conversation_gets_a_new_process(tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        more: dict[str, Any] = {"capabilities": {"roots": {}}, "conversation": "1"}
        before = await here.said("pid", **more)
        held = asyncio.create_task(here.call("hold", **more))
        await until(lambda: here.methods().count("tools/call") == 2)
        held.cancel()
        await asyncio.gather(held, return_exceptions=True)
        after = await here.said("pid", **more)
        assert after != before
        await asyncio.wait_for(asyncio.shield(here.programs[1].ended), 10)
        assert not alive(int(before))


async def test_a_modern_server_that_asks_is_not_answered(tmp_path: Path) -> None:
    async with behind(tmp_path, "modern") as here:
        with pytest.raises(Refused, match="UPSTREAM_TIMED_OUT"):
            await here.call("ask", {"method": "roots/list"}, capabilities={"roots": {}}, seconds=0.3)
        assert here.person.questions == []


async def test_a_modern_server_is_asked_to_tell_what_changes(tmp_path: Path) -> None:
    async with behind(tmp_path, "modern") as here:
        await here.call("echo")
        listen = await here.until_read("subscriptions/listen")
        assert listen["params"]["notifications"] == {"toolsListChanged": True}
        assert text_of(await here.call("echo")) == "{}"
        assert here.noted.lists == [("odd", "tools")]
        await here.call("flood", {"lines": 3})  # without the id of the subscription
        here.server.sweep(here.clock.monotonic())
        assert here.noted.lists == [("odd", "tools")]


async def test_an_updated_resource_is_told_with_the_session_it_was_subscribed_in(tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        updated = {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "file:///a"}}
        assert await here.said("say", {"lines": [json.dumps(updated)], "then": "done"}, key="alice") == "done"
        assert here.noted.resources == [("odd", "alice", "file:///a")]
