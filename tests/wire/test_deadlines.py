"""One timer keeps many deadlines, and each cancels its own wait alone."""

import asyncio

import pytest

from customhouse.wire.deadlines import Deadlines
from customhouse.wire.signal import Carrier, Signal


def now() -> float:
    return asyncio.get_running_loop().time()


async def bounded(deadlines: Deadlines, seconds: float, signal: Signal) -> str:
    wait = deadlines.begin(now() + seconds)
    try:
        await signal
    except asyncio.CancelledError:
        if wait.forgiven():
            return "late"
        raise
    finally:
        deadlines.end(wait)
    return "there"


@pytest.mark.parametrize("order", [(0.01, 5.0), (5.0, 0.01)])
async def test_a_deadline_ends_its_own_wait_and_no_other(order: tuple[float, float]) -> None:
    deadlines = Deadlines(now)
    signals = {seconds: Signal(asyncio.get_running_loop()) for seconds in order}
    tasks = {seconds: asyncio.create_task(bounded(deadlines, seconds, signals[seconds])) for seconds in order}
    assert await asyncio.wait_for(tasks[0.01], 2) == "late"
    signals[5.0].set()
    assert await tasks[5.0] == "there"


async def test_a_wait_that_ends_in_time_is_not_disturbed_later() -> None:
    deadlines, signal = Deadlines(now), Signal(asyncio.get_running_loop())
    task = asyncio.create_task(bounded(deadlines, 0.02, signal))
    await asyncio.sleep(0)
    signal.set()
    assert await task == "there"
    await asyncio.sleep(0.03)
    assert await bounded(deadlines, 0.01, Signal(asyncio.get_running_loop())) == "late"


async def test_a_deadline_reaches_a_coroutine_without_a_task() -> None:
    deadlines, said = Deadlines(now), []

    async def work() -> None:
        said.append(await bounded(deadlines, 0.01, Signal(asyncio.get_running_loop())))

    carrier = Carrier(work(), set())
    carrier.start()
    await asyncio.wait_for(_ended(carrier), 2)
    assert said == ["late"]


async def _ended(carrier: Carrier) -> None:
    await carrier


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    deadlines, signal = Deadlines(now), Signal(asyncio.get_running_loop())
    task = asyncio.create_task(bounded(deadlines, 5.0, signal))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_deadlines_one_after_the_other_each_fire() -> None:
    deadlines = Deadlines(now)
    waits = [bounded(deadlines, seconds, Signal(asyncio.get_running_loop())) for seconds in (0.01, 0.02, 0.03)]
    assert await asyncio.wait_for(asyncio.gather(*waits), 2) == ["late"] * 3


async def test_the_clock_of_a_wait_that_is_held_stands_still() -> None:
    deadlines, signal = Deadlines(now), Signal(asyncio.get_running_loop())
    wait = None

    async def held() -> str:
        nonlocal wait
        wait = deadlines.begin(now() + 0.02)
        deadlines.hold(wait)
        try:
            await signal
        except asyncio.CancelledError:
            assert wait.forgiven()
            return "late"
        finally:
            deadlines.end(wait)
        return "there"

    task = asyncio.create_task(held())
    done, _ = await asyncio.wait([task], timeout=0.06)
    assert not done
    assert wait is not None
    deadlines.release(wait)
    assert await asyncio.wait_for(task, 2) == "late"
    deadlines.release(wait)  # it is over: nothing is set for it
    assert await bounded(deadlines, 0.01, Signal(asyncio.get_running_loop())) == "late"


async def test_a_coroutine_whose_wait_ends_in_the_turn_in_which_it_is_too_late_goes_on_undisturbed() -> None:
    deadlines, loop = Deadlines(now), asyncio.get_running_loop()
    first, second, said = Signal(loop), Signal(loop), []
    waits = []

    async def work() -> None:
        waits.append(deadlines.begin(now() + 60))
        try:
            await first
        finally:
            deadlines.end(waits[0])
        await second
        said.append("on")

    carrier = Carrier(work(), set())
    carrier.start()
    waits[0].expire()
    first.set()
    await asyncio.sleep(0)
    second.set()
    assert said == ["on"]
