"""Whatever happens in whatever order: an ended session stays ended, an open one stays open, and what is kept is bounded."""

from collections.abc import Coroutine
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from customhouse.adapters.sessions.memory import MemorySessions, SessionLimits
from customhouse.core.protocol.sessionid import Session, opened
from customhouse.core.refusal import Reason, Refused
from tests.sealers.support import Moving, person

LIMITS = SessionLimits(
    idle_seconds=50.0, max_age_seconds=300.0, max_per_caller=3, max_sessions=6, max_subscriptions=2, max_ended_per_caller=2, max_ended=3
)
PEOPLE = {name: person(name) for name in ("alice", "bob", "carol")}


def at_once(work: Coroutine[Any, Any, object]) -> Reason | None:
    """Why it was refused, or None. The store in memory waits for nothing."""
    try:
        work.send(None)
    except StopIteration:
        return None
    except Refused as refused:
        return refused.reason
    raise AssertionError("it waits for something")


class AnyOrder(RuleBasedStateMachine):
    """A store and what is known for certain about its sessions."""

    opened = Bundle("opened")

    def __init__(self) -> None:
        super().__init__()
        self.clock = Moving()
        self.store = MemorySessions(LIMITS, self.clock)
        self.count = 0
        self.over: set[bytes] = set()
        self.told: dict[bytes, int] = {}
        self.watched: set[bytes] = set()

    @rule(target=opened, who=st.sampled_from(sorted(PEOPLE)), known=st.booleans())
    def begin(self, who: str, known: bool) -> Session:
        self.count += 1
        session = opened(
            nonce=self.count.to_bytes(16, "big"),
            caller=PEOPLE[who],
            endpoint="/mcp",
            revision="2025-11-25",
            capabilities={},
            client_info={},
            now=self.clock.now(),
        )
        if known and at_once(self.store.begin(session)) is None:
            self.watched.add(session.nonce)
            self.told[session.nonce] = 0
            self.store.watch(session, lambda: self.hear(session), holds=False)
        return session

    def hear(self, session: Session) -> None:
        self.told[session.nonce] += 1
        self.over.add(session.nonce)

    @rule(session=opened)
    def enter(self, session: Session) -> None:
        refused = at_once(self.store.enter(session))
        assert refused in (None, Reason.SESSION_UNKNOWN, Reason.TOO_MANY_SESSIONS)
        if session.nonce in self.over:
            assert refused is Reason.SESSION_UNKNOWN
        elif session.nonce in self.watched:
            assert refused is None, "nobody was told that it ended"

    @rule(session=consumes(opened))
    def end_and_forget(self, session: Session) -> None:
        self.end(session)

    @rule(session=opened)
    def end(self, session: Session) -> None:
        if at_once(self.store.end(session)) is None:
            self.over.add(session.nonce)

    @rule(seconds=st.sampled_from([0.1, 1.0, 20.0, 60.0, 400.0]))
    def wait(self, seconds: float) -> None:
        self.clock.at += seconds
        self.store.sweep()

    @invariant()
    def it_is_told_once(self) -> None:
        assert set(self.told.values()) <= {0, 1}
        assert {nonce for nonce, times in self.told.items() if times} == self.over & self.watched

    @invariant()
    def what_is_kept_is_bounded(self) -> None:
        assert len(self.store) <= LIMITS.max_sessions
        kept = self.store._callers.values()
        assert all(len(own.open) <= LIMITS.max_per_caller for own in kept)
        assert all(len(own.ended) <= LIMITS.max_ended_per_caller for own in kept)
        assert sum(len(own.ended) for own in kept) == self.store._ended <= LIMITS.max_ended
        assert sum(len(own.open) for own in kept) == len(self.store)

    def teardown(self) -> None:
        """Once everything has expired, nothing is kept."""
        self.wait(60.0)
        self.wait(400.0)
        assert not self.store._callers
        assert not self.store._expiries


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=100, stateful_step_count=40)


def test_a_flood_of_endings_takes_no_memory() -> None:
    clock = Moving()
    store = MemorySessions(LIMITS, clock)
    for number in range(5_000):
        session = opened(
            nonce=number.to_bytes(16, "big"),
            caller=PEOPLE["alice"],
            endpoint="/mcp",
            revision="2025-11-25",
            capabilities={},
            client_info={},
            now=clock.now(),
        )
        at_once(store.begin(session))
        at_once(store.end(session))
    assert len(store._expiries) < 1_100
    clock.at += 301
    store.sweep()
    assert not store._callers
    assert not store._expiries
