"""A call that asks back: each question is answered once, the end is read once, and a call that was given up is never resumed."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from customhouse.core.refusal import Reason, Refused
from customhouse.gateway import bridging
from customhouse.gateway.bridging import MAX_OPEN_QUESTIONS, NEXT, BridgedCall, Finished, Question, State, Step


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for further questions, so that each step of a test is one."""
    monkeypatch.setattr("customhouse.gateway.bridging.TOGETHER_SECONDS", 0.0)


FORM = {"message": "Sure?", "requestedSchema": {"type": "object"}}
YES = {"result": {"action": "accept", "content": {}}}
CANCEL = {"result": {"action": "cancel"}}

Call = BridgedCall[str]
Work = Callable[[Call], Coroutine[Any, Any, str]]


async def settled() -> None:
    """Every task that can go on has done so."""
    for _ in range(5):
        await asyncio.sleep(0)


def started(work: Work) -> tuple[Call, list[Call]]:
    """A call, and the calls that have ended so far."""
    ended: list[Call] = []
    return BridgedCall(work, ended.append), ended


async def asks_once(call: Call) -> str:
    reply = await call.ask("elicitation/create", FORM)
    return f"heard {reply['result']['action']}"


async def asks_two_at_once(call: Call) -> str:
    one, other = await asyncio.gather(call.ask("elicitation/create", {"message": "1"}), call.ask("roots/list", {}))
    return f"{one} {other}"


def refusal(work: Callable[[], object]) -> Refused:
    with pytest.raises(Refused) as refused:
        work()
    assert refused.value.reason is Reason.PARKED_CALL_GONE
    return refused.value


async def test_a_call_without_questions_ends_with_its_answer() -> None:
    async def work(_: Call) -> str:
        return "done"

    call, ended = started(work)
    assert await call.next() == Finished("done")
    assert (call.state, ended) == (State.OVER, [call])


async def test_a_question_goes_out_and_its_answer_comes_in() -> None:
    call, ended = started(asks_once)
    assert await call.next() == (Question("q1", "elicitation/create", FORM),)
    assert (call.state, ended) == (State.ASKING, [])
    call.answer({"q1": YES})
    assert await call.next() == Finished("heard accept")
    assert ended == [call]


async def test_a_failure_of_the_call_is_raised_to_whoever_waits() -> None:
    async def work(call: Call) -> str:
        await call.ask("roots/list", {})
        raise Refused(Reason.UPSTREAM_DIED)

    call, _ = started(work)
    await call.next()
    call.answer({"q1": {"result": {"roots": []}}})
    with pytest.raises(Refused) as refused:
        await call.next()
    assert refused.value.reason is Reason.UPSTREAM_DIED


async def test_what_is_open_goes_out_together_and_what_was_not_answered_again() -> None:
    call, _ = started(asks_two_at_once)
    await settled()
    questions = await call.next()
    assert isinstance(questions, tuple)
    assert [question.key for question in questions] == ["q1", "q2"]
    call.answer({"q2": {"result": {"roots": []}}, "q9": YES})
    assert await call.next() == (Question("q1", "elicitation/create", {"message": "1"}),)
    call.answer({"q1": YES})
    assert await call.next() == Finished(f"{YES} {{'result': {{'roots': []}}}}")


async def test_no_answers_at_all_ask_again() -> None:
    call, _ = started(asks_once)
    first = await call.next()
    call.answer({})
    assert await call.next() == first


async def test_a_question_that_came_while_another_was_out_waits_for_the_next_round() -> None:
    go = asyncio.Event()

    async def work(call: Call) -> str:
        async def later() -> Any:
            await go.wait()
            return await call.ask("roots/list", {})

        return str(await asyncio.gather(call.ask("elicitation/create", FORM), later()))

    call, _ = started(work)
    await call.next()
    go.set()
    await settled()
    call.answer({"q1": YES, "q2": {"result": "for a question that it has not seen"}})
    assert await call.next() == (Question("q2", "roots/list", {}),)
    call.cancel()
    await call.ended()


async def test_a_key_is_never_used_twice() -> None:
    async def work(call: Call) -> str:
        return "".join([(await call.ask("elicitation/create", FORM))["result"]["action"] for _ in range(3)])

    call, _ = started(work)
    keys = []
    for _ in range(3):
        (question,) = await asked(call)
        keys.append(question.key)
        call.answer({question.key: YES})
    assert keys == ["q1", "q2", "q3"]
    assert await call.next() == Finished("acceptacceptaccept")


async def asked(call: Call) -> tuple[Question, ...]:
    questions = await call.next()
    assert isinstance(questions, tuple)
    return questions


async def test_an_answer_is_delivered_once() -> None:
    call, _ = started(asks_once)
    await call.next()
    call.answer({"q1": YES})
    refusal(lambda: call.answer({"q1": CANCEL}))
    assert await call.next() == Finished("heard accept")
    refusal(lambda: call.answer({"q1": YES}))


async def test_the_end_is_read_once() -> None:
    call, _ = started(asks_once)
    await call.next()
    call.answer({"q1": YES})
    await call.next()
    with pytest.raises(Refused):
        await call.next()


async def test_an_end_while_the_client_was_asked_waits_for_it_and_its_answer_means_nothing() -> None:
    async def work(call: Call) -> str:
        question = asyncio.create_task(call.ask("elicitation/create", FORM))
        await settled()
        question.cancel()
        return "did not wait"

    call, _ = started(work)
    await call.next()
    await call.ended()
    assert (call.state, call.size_bytes) == (State.DONE, 0)
    call.answer({"q1": YES})
    assert await call.next() == Finished("did not wait")


async def test_a_question_that_the_server_took_back_is_no_longer_open() -> None:
    async def work(call: Call) -> str:
        question = asyncio.create_task(call.ask("elicitation/create", FORM))
        await settled()
        question.cancel()
        return await asks_once(call)

    call, _ = started(work)
    await call.next()
    await settled()
    call.answer({"q1": YES})
    assert await call.next() == (Question("q2", "elicitation/create", FORM),)
    call.answer({"q2": YES})
    assert await call.next() == Finished("heard accept")


async def test_a_call_that_was_given_up_hears_that_its_person_left_and_is_never_resumed() -> None:
    heard: list[str] = []

    async def work(call: Call) -> str:
        heard.append(await asks_once(call))
        heard.append(str(await call.ask("sampling/createMessage", {})))
        return "unread"

    call, ended = started(work)
    await call.next()
    call.give_up()
    await call.ended()
    assert heard == ["heard cancel", "{'error': {'code': -32603, 'message': 'The client did not answer.'}}"]
    assert (call.state, ended) == (State.OVER, [call])
    refusal(lambda: call.answer({"q1": YES}))
    with pytest.raises(Refused):
        await call.next()


async def test_whoever_stops_waiting_cancels_the_call() -> None:
    cancelled = asyncio.Event()

    async def work(_: Call) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return "never"

    call, ended = started(work)
    waiting = asyncio.create_task(call.next())
    await settled()
    waiting.cancel()
    await call.ended()
    assert cancelled.is_set()
    assert (call.state, ended, waiting.cancelled()) == (State.OVER, [call], True)


async def test_whoever_waits_for_a_call_that_somebody_else_gives_up_is_told() -> None:
    async def work(_: Call) -> str:
        await asyncio.Event().wait()
        return "never"

    call, _ = started(work)
    waiting = asyncio.create_task(call.next())
    await settled()
    call.cancel()
    with pytest.raises(Refused):
        await waiting


async def test_more_questions_than_a_server_may_have_open_are_declined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridging, "MAX_OPEN_BYTES", 1_000)

    async def work(call: Call) -> str:
        large = await call.ask("elicitation/create", {"message": "m" * 1_000})
        many = await asyncio.gather(*(call.ask("elicitation/create", {}) for _ in range(MAX_OPEN_QUESTIONS + 2)))
        return f"{large['result']['action']} {[reply['result']['action'] for reply in many].count('cancel')}"

    call, _ = started(work)
    questions = await asked(call)
    await settled()
    call.answer({question.key: YES for question in questions})
    assert await call.next() == Finished("cancel 2")


async def test_a_failure_that_nobody_reads_is_no_warning() -> None:
    async def work(_: Call) -> str:
        raise ValueError("unread")

    call, ended = started(work)
    await call.ended()
    await settled()
    assert ended == [call]
    call.give_up()
    del call
    ended.clear()


@pytest.mark.parametrize("state", list(State), ids=lambda state: state.name)
def test_nothing_leads_back_from_the_end(state: State) -> None:
    assert {after for (before, _), after in NEXT.items() if before is State.OVER} == {State.OVER}
    assert NEXT[state, Step.GIVE_UP] is State.OVER
    assert (State.OVER, Step.ANSWER) not in NEXT
    assert (State.OVER, Step.HAND_OUT) not in NEXT
    assert (State.OVER, Step.READ) not in NEXT
    assert [before for (before, step) in NEXT if step is Step.READ] == [State.DONE]


async def test_a_question_left_open_by_a_call_that_ended_is_declined() -> None:
    open_questions: list[asyncio.Task[Any]] = []

    async def work(call: Call) -> str:
        open_questions.append(asyncio.create_task(call.ask("elicitation/create", FORM)))
        await settled()
        return "did not wait"

    call, _ = started(work)
    await call.next()
    await call.ended()
    (left,) = open_questions
    assert await left == CANCEL
    assert await call.ask("elicitation/create", FORM) == CANCEL
    assert call.size_bytes == 0
