"""Waiting without a task behaves like waiting in one: once, to the end, cancelled where it waits."""

import asyncio
from typing import Any

import pytest

from customhouse.wire.signal import Carrier, Signal, Work, current


def carried(work: Work) -> tuple[Carrier, set[Any]]:
    others: set[Any] = set()
    carrier = Carrier(work, others)
    carrier.start()
    return carrier, others


async def test_a_coroutine_that_waits_for_nothing_ends_in_the_breath_that_starts_it() -> None:
    said: list[str] = []

    async def work() -> None:
        said.append("done")

    carrier, others = carried(work())
    assert said == ["done"]
    assert carrier.ended
    assert not others


async def test_a_signal_runs_its_coroutine_on_at_once() -> None:
    signal, said = Signal(asyncio.get_running_loop()), []

    async def work() -> None:
        await signal
        said.append("on")

    carrier, others = carried(work())
    assert others == {carrier}
    signal.set()
    assert said == ["on"]
    assert not others
    assert carrier.task is None


async def test_a_signal_that_was_set_before_is_not_waited_for() -> None:
    signal = Signal(asyncio.get_running_loop())
    signal.set()

    async def work() -> None:
        await signal

    carrier, _ = carried(work())
    assert carrier.ended


async def test_a_failure_is_raised_where_the_coroutine_waits() -> None:
    signal, caught = Signal(asyncio.get_running_loop()), []

    async def work() -> None:
        try:
            await signal
        except ValueError as error:
            caught.append(error)

    carried(work())
    error = ValueError("no")
    signal.fail(error)
    signal.set()
    assert caught == [error]


async def test_whoever_waits_for_a_future_becomes_a_task_and_ends_like_one() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    signal, seen = Signal(asyncio.get_running_loop()), []

    async def work() -> None:
        seen.append(await future)
        async with asyncio.timeout(5):  # needs a task
            await signal
        seen.append(2)

    carrier, others = carried(work())
    assert carrier.task is not None
    future.set_result(1)
    for _ in range(3):
        await asyncio.sleep(0)
    assert seen == [1]
    signal.set()
    await carrier
    assert seen == [1, 2]
    assert not others


@pytest.mark.parametrize("as_task", [False, True])
async def test_a_cancelled_coroutine_is_cancelled_where_it_waits_and_may_still_clean_up(as_task: bool) -> None:
    first, second, seen = Signal(asyncio.get_running_loop()), Signal(asyncio.get_running_loop()), []

    async def work() -> None:
        if as_task:
            await asyncio.sleep(0)
        try:
            await first
        except asyncio.CancelledError:
            seen.append("cancelled")
            await second
            seen.append("clean")
            raise

    carrier, others = carried(work())
    for _ in range(3):
        await asyncio.sleep(0)
    carrier.cancel("some reason")
    assert not seen, "in a later turn, as a task does"
    for _ in range(3):
        await asyncio.sleep(0)
    assert seen == ["cancelled"]
    first.set()
    second.set()
    await carrier
    assert seen == ["cancelled", "clean"]
    assert not others


async def test_cancelling_what_has_ended_does_nothing() -> None:
    async def work() -> None:
        return None

    carrier, _ = carried(work())
    carrier.cancel()
    await asyncio.sleep(0)
    await carrier


async def test_what_a_coroutine_raises_reaches_whoever_ran_it_on() -> None:
    signal = Signal(asyncio.get_running_loop())

    async def work() -> None:
        await signal
        raise ZeroDivisionError

    carrier, others = carried(work())
    with pytest.raises(ZeroDivisionError):
        signal.set()
    assert carrier.ended
    assert not others


async def test_an_error_of_a_future_reaches_the_coroutine_that_became_a_task() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    caught = []

    async def work() -> None:
        try:
            await future
        except ValueError:
            caught.append("value")
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            caught.append("cancelled")

    carrier, _ = carried(work())
    future.set_exception(ValueError())
    for _ in range(3):
        await asyncio.sleep(0)
    carrier.cancel()
    await carrier
    assert caught == ["value", "cancelled"]


async def test_everybody_knows_what_carries_them() -> None:
    found = []

    async def inner() -> None:
        found.append(current())

    async def work() -> None:
        found.append(current())
        other, _ = carried(inner())
        found.append(other)
        found.append(current())

    carrier, _ = carried(work())
    assert found[0] is carrier
    assert found[1] is found[2]
    assert found[3] is carrier
    assert current() is asyncio.current_task()


def test_nothing_carries_what_no_coroutine_runs() -> None:
    with pytest.raises(RuntimeError):
        current()


async def test_a_task_waits_for_a_signal_like_for_a_future() -> None:
    signal = Signal(asyncio.get_running_loop())

    async def wait() -> str:
        await signal
        return "there"

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    assert not signal.done()
    signal.set()
    assert await task == "there"
    await signal


async def test_a_cancelled_task_leaves_its_signal() -> None:
    signal = Signal(asyncio.get_running_loop())

    async def wait() -> None:
        await signal

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel("why")
    with pytest.raises(asyncio.CancelledError, match="why"):
        await task
    signal.set()
    assert not signal.cancel()


async def test_a_coroutine_that_is_cancelled_in_the_turn_in_which_it_becomes_a_task_is_cancelled_where_it_waits() -> None:
    signal, said = Signal(asyncio.get_running_loop()), []

    async def work() -> None:
        await signal
        try:
            await asyncio.sleep(60)
        finally:
            said.append("ended")

    carrier, others = carried(work())
    carrier.cancel()
    signal.set()  # runs on in this very turn, so it becomes a task that has not taken its first step when it is cancelled
    async with asyncio.timeout(2):
        await carrier
    assert said == ["ended"]
    assert not others


async def test_a_cancelling_can_be_taken_back_within_the_turn() -> None:
    signal, said = Signal(asyncio.get_running_loop()), []

    async def work() -> None:
        await signal
        said.append("on")

    carrier, _ = carried(work())
    cancelling = carrier.cancel()
    assert cancelling is not None
    cancelling.cancel()
    await asyncio.sleep(0)
    signal.set()
    assert said == ["on"]
    assert carrier.cancel() is None
