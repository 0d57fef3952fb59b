"""A legacy server asks back while it works on a call: the caller is asked, the server gets the answer, and the clock stands still."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from customhouse.adapters.upstreams.questions import MAX_QUESTIONS
from customhouse.core.manifest import Era
from customhouse.core.refusal import Reason, Refused
from tests.upstreams.support import DONE, Got, Heard, chunk, content, legacy, linked

CAN_ASK: dict[str, Any] = {"elicitation": {"form": {}}, "roots": {}, "sampling": {}}
FORM = {"message": "Which?", "requestedSchema": {"type": "object", "properties": {}}}
PAGE = {"mode": "url", "message": "Sign in", "url": "https://example.com/", "elicitationId": "e"}
ROOTS = {"roots": [{"uri": "file:///a"}]}

Answers = Callable[[str, dict[str, Any], str], Awaitable[dict[str, Any]]]


class Person(Heard):
    """Answers what a test tells it to."""

    def __init__(self, answers: Answers) -> None:
        super().__init__()
        self._answers = answers

    async def answers(self, method: str, params: dict[str, Any], revision: str) -> dict[str, Any]:
        return await self._answers(method, params, revision)


async def agree(method: str, params: dict[str, Any], revision: str) -> dict[str, Any]:
    return {"result": ROOTS}


def asks(*questions: dict[str, Any], go: asyncio.Event) -> Callable[[Got], Awaitable[None]]:
    """Asks all of these on the stream of a call, which it answers once it may."""

    async def call(got: Got) -> None:
        await got.stream()
        for question in questions:
            await got.event({"jsonrpc": "2.0", **question})
        await go.wait()
        await got.event({"jsonrpc": "2.0", "id": got.id, "result": DONE})
        await got.end()

    return call


def question(message_id: object, method: str, params: object = None) -> dict[str, Any]:
    return {"id": message_id, "method": method, **({} if params is None else {"params": params})}


async def test_a_question_reaches_the_caller_and_its_answer_the_server_within_the_session() -> None:
    go = asyncio.Event()
    async with linked(legacy(asks(question("q", "elicitation/create", FORM), go=go))) as link:
        seen: list[Any] = []

        async def accept(method: str, params: dict[str, Any], revision: str) -> dict[str, Any]:
            seen.append((method, params, revision))
            return {"result": {"action": "accept", "content": {"x": 1}}}

        answered = link.server.until(lambda got: got.id == "q")
        answered.add_done_callback(lambda _: go.set())
        answer = await link.call(Era.LEGACY, listener=Person(accept), capabilities=CAN_ASK, conversation="c")
        assert content(answer) == DONE["content"]
        assert seen == [("elicitation/create", FORM, "2025-11-25")]
        posted = await answered
        assert posted.message == {"jsonrpc": "2.0", "id": "q", "result": {"action": "accept", "content": {"x": 1}}}
        assert (posted.headers["mcp-session-id"], posted.headers["mcp-protocol-version"]) == ("s-1", "2025-11-25")


@pytest.mark.parametrize(
    ("asked", "capabilities", "code"),
    [
        (question(7, "elicitation/create", FORM), {}, -32601),
        (question(7, "elicitation/create", FORM), {"sampling": {}}, -32601),
        (question(7, "elicitation/create", PAGE), CAN_ASK, -32602),
        (question(7, "elicitation/create", {"message": 1}), CAN_ASK, -32602),
        (question(7, "sampling/createMessage", {}), CAN_ASK, -32602),
        (question(7, "roots/list"), {"sampling": {}}, -32601),
        (question(7, "tools/list"), CAN_ASK, -32601),
        (question(7, "elicitation", {}), CAN_ASK, -32601),
    ],
)
async def test_what_was_not_declared_is_never_asked(asked: dict[str, Any], capabilities: dict[str, Any], code: int) -> None:  # GW-68, GW-75
    go = asyncio.Event()
    async with linked(legacy(asks(asked, go=go))) as link:
        answered = link.server.until(lambda got: got.id == 7 and "method" not in got.message)
        answered.add_done_callback(lambda _: go.set())
        await link.call(Era.LEGACY, capabilities=capabilities, conversation="c")
        assert (await answered).message["error"]["code"] == code
        assert link.heard.said == []


async def test_a_server_asks_so_often_in_one_call_and_no_more() -> None:
    go = asyncio.Event()
    questions = [question(number, "roots/list") for number in range(1_000, 1_000 + MAX_QUESTIONS + 1)]
    async with linked(legacy(asks(*questions, go=go))) as link:
        answers: dict[Any, Any] = {}

        def count(got: Got) -> bool:
            if "method" not in got.message and "id" in got.message:
                answers[got.id] = got.message
            return len(answers) == MAX_QUESTIONS + 1

        link.server.until(count).add_done_callback(lambda _: go.set())
        await link.call(Era.LEGACY, listener=Person(agree), capabilities=CAN_ASK, conversation="c")
        assert sum("result" in answer for answer in answers.values()) == MAX_QUESTIONS
        assert answers[1_000 + MAX_QUESTIONS]["error"]["code"] == -32603


async def test_two_questions_with_one_id_end_the_call() -> None:
    async def wait(method: str, params: dict[str, Any], revision: str) -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    double = asks(question(1, "roots/list"), question(1, "roots/list"), go=asyncio.Event())
    async with linked(legacy(double)) as link:
        with pytest.raises(Refused, match="UPSTREAM_BROKE_PROTOCOL"):
            await link.call(Era.LEGACY, listener=Person(wait), capabilities=CAN_ASK, conversation="c")


async def test_the_clock_stands_still_while_somebody_is_asked_and_runs_on_afterwards() -> None:  # GW-65
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def slowly(method: str, params: dict[str, Any], revision: str) -> dict[str, Any]:
        asked.set()
        await may_answer.wait()
        return {"result": ROOTS}

    async with linked(legacy(asks(question(1, "roots/list"), question(2, "roots/list"), go=asyncio.Event()))) as link:
        told = link.server.until(lambda got: got.method == "notifications/cancelled")
        calling = asyncio.get_running_loop().create_task(
            link.call(Era.LEGACY, listener=Person(slowly), capabilities=CAN_ASK, conversation="c", seconds=0.3)
        )
        await asked.wait()
        done, _ = await asyncio.wait([calling], timeout=0.6)
        assert not done
        may_answer.set()
        with pytest.raises(Refused, match="UPSTREAM_TIMED_OUT"):
            await asyncio.wait_for(calling, 2)
        await asyncio.wait_for(told, 1)


async def test_a_withdrawn_question_is_not_asked_any_more_and_the_call_goes_on() -> None:
    asked, ended, go = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def wait(method: str, params: dict[str, Any], revision: str) -> dict[str, Any]:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async def call(got: Got) -> None:
        await got.stream()
        await got.event({"jsonrpc": "2.0", **question("q", "roots/list")})
        await asked.wait()
        await got.event({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "another"}})
        await got.event({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "q"}})
        await ended.wait()
        await got.event({"jsonrpc": "2.0", "id": got.id, "result": DONE})
        await got.end()
        go.set()

    async with linked(legacy(call)) as link:
        answer = await link.call(Era.LEGACY, listener=Person(wait), capabilities=CAN_ASK, conversation="c")
        assert content(answer) == DONE["content"]
        assert not [got for got in link.server.got if got.id == "q"]


@pytest.mark.parametrize("ends", ["answer", "cancel"])
async def test_what_is_still_being_asked_ends_with_the_call(ends: str) -> None:
    asked, ended, go = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def wait(method: str, params: dict[str, Any], revision: str) -> dict[str, Any]:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async with linked(legacy(asks(question("q", "roots/list"), go=go))) as link:
        calling = asyncio.get_running_loop().create_task(
            link.call(Era.LEGACY, listener=Person(wait), capabilities=CAN_ASK, conversation="c")
        )
        await asked.wait()
        if ends == "answer":
            go.set()
            assert content(await calling) == DONE["content"]
        else:
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling
        await asyncio.wait_for(ended.wait(), 1)


async def test_a_question_that_the_gateway_cannot_put_ends_the_call_and_the_server_is_told() -> None:
    async def refuse(method: str, params: dict[str, Any], revision: str) -> dict[str, Any]:
        raise Refused(Reason.INPUT_NOT_GIVEN)

    async with linked(legacy(asks(question("q", "roots/list"), go=asyncio.Event()))) as link:
        told = link.server.until(lambda got: got.method == "notifications/cancelled")
        answered = link.server.until(lambda got: got.id == "q")
        with pytest.raises(Refused, match="INPUT_NOT_GIVEN"):
            await link.call(Era.LEGACY, listener=Person(refuse), capabilities=CAN_ASK, conversation="c")
        assert (await answered).message["error"]["code"] == -32603
        await told


async def test_what_breaks_in_the_listener_breaks_the_call() -> None:
    async def break_down(method: str, params: dict[str, Any], revision: str) -> dict[str, Any]:
        raise ZeroDivisionError

    async with linked(legacy(asks(question("q", "roots/list"), go=asyncio.Event()))) as link:
        with pytest.raises(ZeroDivisionError):
            await link.call(Era.LEGACY, listener=Person(break_down), capabilities=CAN_ASK, conversation="c")


async def test_what_a_legacy_server_says_of_lists_on_the_stream_of_a_call_is_heard() -> None:
    async def call(got: Got) -> None:
        await got.stream()
        for method in ("notifications/tools/list_changed", "notifications/elicitation/complete", "notifications/made-up"):
            await got.event({"jsonrpc": "2.0", "method": method, "params": {}})
        await got.event({"jsonrpc": "2.0", "id": got.id, "result": DONE})
        await got.end()

    async with linked(legacy(call)) as link:
        await link.call(Era.LEGACY)
        assert link.noted.lists == [("hostile", "tools")]
        assert [method for method, _ in link.heard.said] == ["notifications/elicitation/complete"]


async def test_a_batch_on_the_stream_of_a_call_is_heard_message_by_message() -> None:
    async def call(got: Got) -> None:
        await got.stream()
        log = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x"}}
        await got.event([log, {"jsonrpc": "2.0", "id": got.id, "result": DONE}])
        await got.end()

    async with linked(legacy(call)) as link:
        assert content(await link.call(Era.LEGACY)) == DONE["content"]
        assert [method for method, _ in link.heard.said] == ["notifications/message"]


async def test_a_batch_of_rubbish_fails_the_call() -> None:
    async def call(got: Got) -> None:
        await got.stream()
        await got.send(chunk(b"data: [1, \n\n"))

    async with linked(legacy(call)) as link:
        with pytest.raises(Refused, match="UPSTREAM_BROKE_PROTOCOL"):
            await link.call(Era.LEGACY)
