"""A parked call is taken once by its owner or not at all, what nobody takes ends, and nothing is left over."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from customhouse.core.refusal import Reason, Refused
from customhouse.gateway.bridging import BridgedCall, Finished, State
from customhouse.gateway.parking import GRACE_SECONDS, Parking, ParkingLimits
from tests.sealers.support import Moving


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for further questions, so that each step of a test is one."""
    monkeypatch.setattr("customhouse.gateway.bridging.TOGETHER_SECONDS", 0.0)


LIMITS = ParkingLimits(max_per_caller=2, max_calls=3, max_bytes_per_caller=1_000, max_bytes=1_200)
FORM = {"message": "Sure?"}
YES = {"result": {"action": "accept"}}

Call = BridgedCall[str]
T = TypeVar("T")


async def settled() -> None:
    """Every task that can go on has done so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def asks_once(call: Call) -> str:
    return str((await call.ask("elicitation/create", FORM))["result"]["action"])


def asks(size: int) -> Callable[[Call], Coroutine[Any, Any, str]]:
    async def work(call: Call) -> str:
        return str(await call.ask("elicitation/create", {"message": "m" * size}))

    return work


class Lot:
    """A parking store whose clock a test moves."""

    def __init__(self) -> None:
        self.clock = Moving()
        ids = iter(f"{number:032x}" for number in range(1, 100_000))
        self.parking: Parking[str] = Parking(LIMITS, self.clock, lambda: next(ids), len)

    async def parked(self, owner: str = "alice", work: Callable[[Call], Coroutine[Any, Any, str]] = asks_once, seconds: float = 60) -> str:
        call = self.parking.start(work)
        await call.next()
        return self.parking.park(call, owner, self.clock.monotonic() + seconds)

    async def refusal_to_park(self, owner: str, work: Callable[[Call], Coroutine[Any, Any, str]] = asks_once) -> Reason:
        with pytest.raises(Refused) as refused:
            await self.parked(owner, work)
        return refused.value.reason

    def refusal_to_take(self, handle: str, owner: str = "alice") -> Reason:
        with pytest.raises(Refused) as refused:
            self.parking.take(handle, owner)
        return refused.value.reason


@pytest.fixture
async def lot() -> Lot:
    return Lot()


async def test_the_retry_takes_the_call_and_answers_it(lot: Lot) -> None:
    handle = await lot.parked()
    assert len(lot.parking) == 1
    call = lot.parking.take(handle, "alice")
    call.answer({"q1": YES})
    assert await call.next() == Finished("accept")
    assert (len(lot.parking), lot.parking.running) == (0, 0)


async def test_a_handle_is_good_for_one_round(lot: Lot) -> None:
    async def work(call: Call) -> str:
        return await asks_once(call) + await asks_once(call)

    first = await lot.parked(work=work)
    call = lot.parking.take(first, "alice")
    call.answer({"q1": YES})
    await call.next()
    second = lot.parking.park(call, "alice", lot.clock.monotonic() + 60)
    assert second != first
    assert lot.refusal_to_take(first) is Reason.PARKED_CALL_GONE
    call = lot.parking.take(second, "alice")
    call.answer({"q2": YES})
    assert await call.next() == Finished("acceptaccept")
    assert lot.refusal_to_take(second) is Reason.PARKED_CALL_GONE


async def test_anothers_handle_is_gone_for_others_and_stays_for_its_owner(lot: Lot) -> None:
    handle = await lot.parked()
    assert lot.refusal_to_take(handle, "bob") is Reason.PARKED_CALL_GONE
    assert lot.refusal_to_take("f" * 32) is Reason.PARKED_CALL_GONE
    assert lot.parking.take(handle, "alice").state is State.ASKING
    await lot.parking.close()


@pytest.mark.parametrize("swept", [True, False])
async def test_what_was_not_taken_in_time_is_gone(lot: Lot, swept: bool) -> None:
    handle = await lot.parked(seconds=60)
    lot.clock.at += 60
    if swept:
        lot.parking.sweep()
    assert lot.refusal_to_take(handle) is Reason.PARKED_CALL_GONE
    lot.parking.sweep()
    await settled()
    assert (len(lot.parking), lot.parking.running) == (0, 0)


async def test_an_expired_call_hears_that_its_person_left_and_may_end_in_its_own_words(lot: Lot) -> None:  # GW-76
    heard: list[str] = []

    async def work(call: Call) -> str:
        heard.append(await asks_once(call))
        await asyncio.sleep(0)
        heard.append("cleaned up")
        return "unread"

    await lot.parked(work=work)
    lot.clock.at += 60
    lot.parking.sweep()
    await settled()
    lot.clock.at += GRACE_SECONDS
    lot.parking.sweep()
    assert heard == ["cancel", "cleaned up"]
    assert lot.parking.running == 0


async def test_an_expired_call_that_does_not_end_is_cancelled_at_its_server(lot: Lot) -> None:  # GW-76
    heard: list[str] = []

    async def work(call: Call) -> str:
        heard.append(await asks_once(call))
        try:
            await asyncio.Event().wait()
        finally:
            heard.append("cancelled")
        return "never"

    await lot.parked(work=work)
    lot.clock.at += 60
    lot.parking.sweep()
    lot.clock.at += GRACE_SECONDS - 1
    lot.parking.sweep()
    await settled()
    assert (heard, lot.parking.running) == (["cancel"], 1)
    lot.clock.at += 1
    lot.parking.sweep()
    await settled()
    assert (heard, lot.parking.running) == (["cancel", "cancelled"], 0)


async def test_a_call_whose_questions_went_out_and_that_nobody_parked_ends(lot: Lot) -> None:
    forgotten, late = lot.parking.start(asks_once), lot.parking.start(asks_once)
    await forgotten.next()
    await late.next()
    lot.parking.sweep()
    handle = lot.parking.park(late, "alice", lot.clock.monotonic() + 60)
    lot.clock.at += GRACE_SECONDS
    lot.parking.sweep()
    await settled()
    assert (forgotten.state, lot.parking.running) == (State.OVER, 1)
    assert lot.parking.take(handle, "alice").state is State.ASKING
    await lot.parking.close()


async def test_calls_that_wait_are_bounded_per_caller_and_altogether(lot: Lot) -> None:
    first = await lot.parked("alice")
    await lot.parked("alice")
    assert await lot.refusal_to_park("alice") is Reason.PARKING_FULL
    await lot.parked("bob")
    assert await lot.refusal_to_park("carol") is Reason.PARKING_FULL
    await settled()
    assert (len(lot.parking), lot.parking.running) == (3, 3), "what found no place was cancelled"
    lot.parking.take(first, "alice")
    await lot.parked("carol")
    await lot.parking.close()


async def test_questions_that_wait_are_bounded_in_bytes_per_caller_and_altogether(lot: Lot) -> None:
    first = await lot.parked("alice", asks(700))
    assert await lot.refusal_to_park("alice", asks(300)) is Reason.PARKING_FULL
    assert await lot.refusal_to_park("bob", asks(500)) is Reason.PARKING_FULL
    await lot.parked("bob", asks(300))
    lot.parking.take(first, "alice")
    await lot.parked("alice", asks(700))
    await lot.parking.close()


@pytest.mark.parametrize(("size", "kept"), [(900, True), (1_100, False)])
async def test_an_end_that_nobody_has_read_counts_as_questions_do(lot: Lot, size: int, kept: bool) -> None:
    async def work(call: Call) -> str:
        question = asyncio.create_task(call.ask("elicitation/create", FORM))
        await settled()
        question.cancel()
        return "r" * size

    handle = await lot.parked(work=work)
    await settled()
    assert lot.parking.running == 0
    if kept:
        assert await lot.refusal_to_park("alice", asks(100)) is Reason.PARKING_FULL
        call = lot.parking.take(handle, "alice")
        call.answer({"q1": YES})
        assert await call.next() == Finished("r" * size)
    else:
        assert lot.refusal_to_take(handle) is Reason.PARKED_CALL_GONE
    assert len(lot.parking) == 0


async def test_an_end_that_nobody_reads_in_time_is_dropped(lot: Lot) -> None:
    async def work(call: Call) -> str:
        question = asyncio.create_task(call.ask("elicitation/create", FORM))
        await settled()
        question.cancel()
        return "unread"

    handle = await lot.parked(work=work)
    await settled()
    lot.clock.at += 60
    lot.parking.sweep()
    assert lot.refusal_to_take(handle) is Reason.PARKED_CALL_GONE
    assert (len(lot.parking), lot.parking.running) == (0, 0)


async def test_a_failure_while_the_client_was_asked_is_told_at_the_retry(lot: Lot) -> None:
    async def work(call: Call) -> str:
        question = asyncio.create_task(call.ask("elicitation/create", FORM))
        await settled()
        question.cancel()
        raise Refused(Reason.UPSTREAM_DIED)

    handle = await lot.parked(work=work)
    await settled()
    call = lot.parking.take(handle, "alice")
    call.answer({"q1": YES})
    with pytest.raises(Refused) as refused:
        await call.next()
    assert refused.value.reason is Reason.UPSTREAM_DIED


async def test_closing_ends_every_call_and_begins_none(lot: Lot) -> None:
    ended: list[str] = []

    async def work(call: Call) -> str:
        try:
            return await asks_once(call)
        finally:
            ended.append("ended")

    handle = await lot.parked(work=work)
    running = lot.parking.start(work)
    waiting = asyncio.create_task(running.next())
    await settled()
    await lot.parking.close()
    assert ended == ["ended", "ended"]
    assert (len(lot.parking), lot.parking.running) == (0, 0)
    assert isinstance(await waiting, tuple)
    assert lot.refusal_to_take(handle) is Reason.PARKED_CALL_GONE
    with pytest.raises(Refused) as refused:
        lot.parking.start(work)
    assert refused.value.reason is Reason.DRAINING
    with pytest.raises(Refused) as refused:
        lot.parking.park(running, "alice", lot.clock.monotonic() + 60)
    assert refused.value.reason is Reason.DRAINING


class AnyOrder(RuleBasedStateMachine):
    """Calls that ask a number of times, clients that answer, leave or come late, and a store that is swept in between."""

    handles = Bundle("handles")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.lot = Lot()
        self.parking = self.lot.parking
        self.heard: dict[int, list[str]] = {}
        self.sent: dict[int, list[str]] = {}
        self.ended: set[int] = set()
        self.gone: set[str] = set()
        self.count = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    async def _work(self, call: Call, number: int, rounds: int) -> str:
        try:
            for _ in range(rounds):
                self.heard[number].append((await call.ask("elicitation/create", FORM))["result"]["action"])
            return f"end {number}"
        finally:
            self.ended.add(number)

    async def _start(self, number: int, rounds: int, owner: str, seconds: float) -> tuple[str, str, int] | None:
        call = self.parking.start(lambda call: self._work(call, number, rounds))
        return await self._park_or_read(call, number, owner, seconds)

    async def _park_or_read(self, call: Call, number: int, owner: str, seconds: float) -> tuple[str, str, int] | None:
        outcome = await call.next()
        if isinstance(outcome, Finished):
            assert outcome.answer == f"end {number}"
            return None
        try:
            return self.parking.park(call, owner, self.lot.clock.monotonic() + seconds), owner, number
        except Refused as refused:
            if refused.reason is not Reason.PARKING_FULL:
                raise
            return None

    @rule(target=handles, owner=st.sampled_from(["alice", "bob"]), rounds=st.integers(0, 3), seconds=st.sampled_from([10.0, 100.0]))
    def start(self, owner: str, rounds: int, seconds: float) -> tuple[str, str, int] | None:
        self.count += 1
        number = self.count
        self.heard[number], self.sent[number] = [], []
        return self.run(self._start(number, rounds, owner, seconds))

    @rule(target=handles, parked=handles, answer=st.sampled_from(["accept", "decline"]))
    def retry(self, parked: tuple[str, str, int] | None, answer: str) -> tuple[str, str, int] | None:
        if parked is None:
            return None
        handle, owner, number = parked
        try:
            call = self.parking.take(handle, owner)
        except Refused as refused:
            self.gone.add(handle)
            if refused.reason is Reason.PARKED_CALL_GONE:
                return None
            raise
        assert handle not in self.gone, "a call came back"
        self.gone.add(handle)
        self.sent[number].append(answer)
        call.answer({f"q{len(self.sent[number])}": {"result": {"action": answer}}})
        return self.run(self._park_or_read(call, number, owner, 10.0))

    @rule(parked=handles)
    def somebody_else_tries(self, parked: tuple[str, str, int] | None) -> None:
        if parked is not None:
            assert self.lot.refusal_to_take(parked[0], "mallory") is Reason.PARKED_CALL_GONE

    @rule(parked=consumes(handles))
    def leave_during_the_retry(self, parked: tuple[str, str, int] | None) -> None:
        if parked is not None and parked[0] not in self.gone:
            self.gone.add(parked[0])
            try:
                call = self.parking.take(parked[0], parked[1])
            except Refused:
                return
            call.cancel()
            self.run(call.ended())

    @rule(parked=consumes(handles))
    def break_during_the_retry(self, parked: tuple[str, str, int] | None) -> None:
        if parked is not None:
            self.gone.add(parked[0])
            with contextlib.suppress(Refused):
                self.parking.take(parked[0], parked[1])

    @rule(seconds=st.sampled_from([1.0, 5.0, 20.0, 200.0]))
    def wait(self, seconds: float) -> None:
        self.lot.clock.at += seconds
        self.parking.sweep()
        self.run(settled())

    @invariant()
    def an_answer_is_heard_once_and_in_order(self) -> None:
        for number, heard in self.heard.items():
            assert [action for action in heard if action != "cancel"] == self.sent[number][: len(heard) - heard.count("cancel")]
            assert "cancel" not in heard or heard.index("cancel") >= len(self.sent[number])

    @invariant()
    def what_waits_is_bounded_and_counted(self) -> None:
        parked = self.parking._parked.values()
        assert len(parked) <= LIMITS.max_calls
        assert self.parking._size_bytes == sum(one.size_bytes for one in parked) <= LIMITS.max_bytes
        assert {owner: use.calls for owner, use in self.parking._uses.items()} == {
            owner: sum(one.owner == owner for one in parked) for owner in {one.owner for one in parked}
        }
        assert len(self.parking._handles) == len(parked)

    def teardown(self) -> None:
        """After closing, nothing is left of anything."""
        self.run(self.parking.close())
        self.run(settled())
        assert self.ended == set(self.heard)
        kept = (self.parking._parked, self.parking._running, self.parking._uses, self.parking._handles, self.parking._leaving)
        assert [len(one) for one in kept] == [0] * 5
        assert self.parking._size_bytes == 0
        assert not asyncio.all_tasks(self.loop)
        self.loop.close()


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=100, stateful_step_count=30)
