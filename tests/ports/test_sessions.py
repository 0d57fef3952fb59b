"""What every implementation of the Sessions port does. Another one joins by a row in `STORES`."""

from collections.abc import Callable

import pytest

from customhouse.adapters.sessions.memory import MemorySessions, SessionLimits
from customhouse.core.identity import Caller
from customhouse.core.protocol.sessionid import Session, opened
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.sessions import Remembered, Sessions
from tests.sealers.support import Moving, person

LIMITS = SessionLimits(
    idle_seconds=60.0, max_age_seconds=600.0, max_per_caller=3, max_sessions=5, max_subscriptions=2, max_ended_per_caller=2, max_ended=4
)
STORES: dict[str, Callable[[Moving], Sessions]] = {"memory": lambda clock: MemorySessions(LIMITS, clock)}


class Store:
    """A store with its clock, and sessions of it."""

    def __init__(self, make: Callable[[Moving], Sessions]) -> None:
        self.clock = Moving()
        self.sessions = make(self.clock)
        self._nonces = iter(number.to_bytes(16, "big") for number in range(1, 10_000))

    def fresh(self, caller: Caller | str = "alice", *, age: float = 0.0) -> Session:
        who = person(caller) if isinstance(caller, str) else caller
        return opened(
            nonce=next(self._nonces),
            caller=who,
            endpoint="/mcp",
            revision="2025-11-25",
            capabilities={},
            client_info={},
            now=self.clock.now() - age,
        )

    async def begun(self, who: str = "alice") -> Session:
        session = self.fresh(who)
        await self.sessions.begin(session)
        return session

    async def refusal(self, session: Session) -> Refused:
        with pytest.raises(Refused) as refused:
            await self.sessions.enter(session)
        return refused.value

    async def is_open(self, session: Session) -> bool:
        try:
            await self.sessions.enter(session)
        except Refused as refused:
            if refused.reason is Reason.SESSION_UNKNOWN:
                return False
            raise
        return True

    def wait(self, seconds: float, *, swept: bool = True) -> None:
        """Time passes in steps, so that no session idles by the step alone."""
        self.clock.at += seconds
        if swept:
            self.sessions.sweep()


@pytest.fixture(params=list(STORES))
def store(request: pytest.FixtureRequest) -> Store:
    return Store(STORES[request.param])


# What is remembered.


async def test_a_new_session_has_said_nothing(store: Store) -> None:
    assert await store.sessions.enter(await store.begun()) == Remembered("", frozenset())


async def test_what_a_session_said_is_remembered_for_it_alone(store: Store) -> None:
    one, other = await store.begun(), await store.begun()
    await store.sessions.set_log_level(one, "error")
    await store.sessions.subscribe(one, "note://a")
    await store.sessions.subscribe(one, "note://b")
    await store.sessions.unsubscribe(one, "note://a")
    await store.sessions.unsubscribe(one, "note://never")
    assert await store.sessions.enter(one) == Remembered("error", frozenset({"note://b"}))
    assert await store.sessions.enter(other) == Remembered()


async def test_subscriptions_are_bounded_and_the_same_one_counts_once(store: Store) -> None:
    session = await store.begun()
    for uri in ("note://a", "note://b", "note://a"):
        await store.sessions.subscribe(session, uri)
    with pytest.raises(Refused) as refused:
        await store.sessions.subscribe(session, "note://c")
    assert refused.value.reason is Reason.TOO_MANY_SUBSCRIPTIONS
    await store.sessions.unsubscribe(session, "note://a")
    await store.sessions.subscribe(session, "note://c")
    assert (await store.sessions.enter(session)).subscriptions == {"note://b", "note://c"}


async def test_an_endless_uri_is_refused(store: Store) -> None:
    session = await store.begun()
    with pytest.raises(Refused) as refused:
        await store.sessions.subscribe(session, "note://" + "é" * 2_100)
    assert refused.value.reason is Reason.INVALID_PARAMS
    assert (await store.sessions.enter(session)).subscriptions == frozenset()


async def test_an_id_that_nothing_is_kept_about_is_as_good_as_a_new_one(store: Store) -> None:
    of_another_replica = store.fresh(age=300)
    assert await store.sessions.enter(of_another_replica) == Remembered()
    await store.sessions.set_log_level(of_another_replica, "debug")
    assert (await store.sessions.enter(of_another_replica)).log_level == "debug"


# How a session ends.


async def test_an_ended_session_is_unknown_until_it_would_have_expired_and_after(store: Store) -> None:
    session = await store.begun()
    await store.sessions.end(session)
    for _ in range(30):
        assert not await store.is_open(session)
        store.wait(30)


async def test_ended_idle_expired_and_second_ending_are_refused_alike(store: Store) -> None:
    ended, idle, expired = await store.begun(), await store.begun(), store.fresh(age=600)
    await store.sessions.end(ended)
    store.wait(61)
    refusals = [await store.refusal(one) for one in (ended, idle, expired)]
    for change in (store.sessions.end(ended), store.sessions.set_log_level(idle, "debug"), store.sessions.subscribe(expired, "note://a")):
        with pytest.raises(Refused) as refused:
            await change
        refusals.append(refused.value)
    assert {(one.reason, tuple(one.detail), one.message, one.note, one.headers) for one in refusals} == {
        (Reason.SESSION_UNKNOWN, (), "", "", ())
    }


@pytest.mark.parametrize("swept", [True, False])
async def test_a_session_idles_out_and_a_request_keeps_it(store: Store, swept: bool) -> None:
    quiet, busy = await store.begun(), await store.begun()
    for _ in range(3):
        store.wait(25, swept=swept)
        assert await store.is_open(busy)
    assert not await store.is_open(quiet)
    store.wait(59, swept=swept)
    assert await store.is_open(busy)
    store.wait(60, swept=swept)
    assert not await store.is_open(busy)


@pytest.mark.parametrize("swept", [True, False])
async def test_a_session_expires_whatever_it_does(store: Store, swept: bool) -> None:
    session = await store.begun()
    for _ in range(19):
        store.wait(30, swept=swept)
        assert await store.is_open(session)
    store.wait(30, swept=swept)
    assert not await store.is_open(session)


# How many there may be.


async def test_one_session_too_many_ends_the_callers_own_that_was_seen_least_recently(store: Store) -> None:
    first, second, third = [await store.begun() for _ in range(3)]
    bob = await store.begun("bob")
    await store.sessions.enter(first)
    fourth = await store.begun()
    assert [await store.is_open(one) for one in (first, second, third, fourth, bob)] == [True, False, True, True, True]


async def test_the_gateway_holds_so_many_and_no_more(store: Store) -> None:
    for who in ("alice", "bob"):
        for _ in range(2):
            await store.begun(who)
    fifth = await store.begun("carol")
    with pytest.raises(Refused) as refused:
        await store.begun("dave")
    assert refused.value.reason is Reason.TOO_MANY_SESSIONS
    assert refused.value.reason.row.retryable
    await store.sessions.end(fifth)
    await store.begun("dave")


async def test_a_flood_of_endings_brings_no_ended_session_back(store: Store) -> None:
    kept = await store.begun()
    ended = []
    for _ in range(20):
        ended.append(await store.begun())
        await store.sessions.end(ended[-1])
        await store.sessions.enter(kept)
        store.wait(1)
    assert [one for one in ended if await store.is_open(one)] == []
    assert await store.is_open(kept)
    assert await store.is_open(await store.begun())


async def test_a_flood_of_one_caller_ends_nobody_elses_session(store: Store) -> None:
    of_another_replica = store.fresh("bob", age=5)
    for _ in range(20):
        await store.sessions.end(await store.begun("alice"))
    assert await store.is_open(of_another_replica)


# Who is told.


async def test_whoever_watches_is_told_once_whatever_the_end(store: Store) -> None:
    told: list[str] = []
    ended, idle = await store.begun("alice"), await store.begun("bob")
    evicted = await store.begun("carol")
    for name, session in (("ended", ended), ("idle", idle), ("evicted", evicted), ("evicted", evicted)):
        store.sessions.watch(session, lambda name=name: told.append(name), holds=False)  # type: ignore[misc]
    await store.sessions.end(ended)
    assert told == ["ended"]
    for _ in range(3):
        await store.begun("carol")
    assert told == ["ended", "evicted", "evicted"]
    store.wait(61)
    store.wait(1_000)
    assert told == ["ended", "evicted", "evicted", "idle"]


async def test_a_watch_that_was_taken_away_hears_nothing(store: Store) -> None:
    told: list[int] = []
    session = await store.begun()
    unwatch = store.sessions.watch(session, lambda: told.append(1), holds=True)
    unwatch()
    unwatch()
    store.wait(61)
    assert (told, await store.is_open(session)) == ([], False)


async def test_a_watch_on_a_session_that_is_over_is_told_at_once(store: Store) -> None:
    told: list[int] = []
    session = await store.begun()
    await store.sessions.end(session)
    store.sessions.watch(session, lambda: told.append(1), holds=True)()
    assert told == [1]


async def test_whoever_is_told_may_come_back_at_once(store: Store) -> None:
    session = await store.begun()
    told: list[str] = []

    def come_back() -> None:
        unwatch()
        store.sessions.sweep()
        store.sessions.watch(session, lambda: told.append("again"), holds=True)
        told.append("once")

    unwatch = store.sessions.watch(session, come_back, holds=True)
    await store.sessions.end(session)
    assert told == ["again", "once"]
    assert not await store.is_open(session)


async def test_an_open_stream_keeps_a_session_from_idling_and_not_from_expiring(store: Store) -> None:
    told: list[str] = []
    session = await store.begun()
    unwatch = store.sessions.watch(session, lambda: told.append("ended"), holds=True)
    store.wait(200)
    assert await store.is_open(session)
    store.wait(59)
    unwatch()
    store.wait(59)
    assert await store.is_open(session), "the end of a stream counts as seen"
    store.sessions.watch(session, lambda: told.append("ended"), holds=True)
    store.wait(282)
    assert told == ["ended"]
    assert not await store.is_open(session)
