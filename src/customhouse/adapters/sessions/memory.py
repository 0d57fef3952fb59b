"""Sessions of one gateway process, in its memory.

An id says by itself that it was given to its caller, so nothing has to be kept for it to count, and a restart ends no session. What has
to be kept is which ids no longer count. Per caller that list is bounded: where it is full, the time of issue of the oldest id in it becomes
a floor below which an id counts only if its session is still open here. So an ended id never counts again, and a flood of them takes no
memory. After a restart the list is empty; an ended id then counts for its own caller again until it expires.
"""

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterable

import msgspec

from customhouse.core.protocol.sessionid import Session
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.sessions import Remembered
from customhouse.ports.traffic import Clock

MAX_URI_BYTES = 4_096
"""Of one subscription."""


class SessionLimits(msgspec.Struct, frozen=True):
    """How long sessions live and how many there may be."""

    idle_seconds: float
    max_age_seconds: float
    max_per_caller: int
    max_sessions: int
    max_subscriptions: int
    max_ended_per_caller: int = 1_000
    """Ended ids that are kept one by one, about 350 bytes each."""
    max_ended: int = 100_000
    """Of all callers together: 35 MB."""


class _Open:
    """A session that is open here."""

    __slots__ = ("holds", "remembered", "seen", "session", "watches")

    def __init__(self, session: Session, now: float) -> None:
        self.session = session
        self.seen = now
        self.remembered = Remembered()
        self.holds = 0
        self.watches: dict[object, Callable[[], None]] = {}


class _Own:
    """What is kept per caller."""

    __slots__ = ("ended", "floor", "open")

    def __init__(self) -> None:
        self.open: OrderedDict[bytes, _Open] = OrderedDict()
        """Least recently seen first."""
        self.ended: OrderedDict[bytes, int] = OrderedDict()
        """When each was issued; the first to end first."""
        self.floor = -1
        """An id issued then or earlier counts only while it is open here."""


class MemorySessions:
    """An implementation of `ports.sessions.Sessions`."""

    def __init__(self, limits: SessionLimits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._callers: dict[str, _Own] = {}
        self._open: OrderedDict[bytes, _Open] = OrderedDict()
        """Least recently seen first."""
        self._expiries: list[tuple[float, bytes, str]] = []
        """A heap of when, which, whose: for each open or ended one, and for each floor, which has no nonce."""
        self._ended = 0

    def __len__(self) -> int:
        return len(self._open)

    async def begin(self, session: Session) -> None:
        """See `ports.sessions.Sessions`."""
        self._adopt(session, is_new=True)

    async def enter(self, session: Session) -> Remembered:
        """See `ports.sessions.Sessions`."""
        return self._enter(session).remembered

    async def set_log_level(self, session: Session, level: str) -> None:
        """See `ports.sessions.Sessions`."""
        entry = self._enter(session)
        entry.remembered = msgspec.structs.replace(entry.remembered, log_level=level)

    async def subscribe(self, session: Session, uri: str) -> None:
        """See `ports.sessions.Sessions`."""
        entry = self._enter(session)
        wanted = entry.remembered.subscriptions | {uri}
        if len(wanted) > self._limits.max_subscriptions:
            raise Refused(Reason.TOO_MANY_SUBSCRIPTIONS, {"allowed": self._limits.max_subscriptions})
        if len(uri.encode()) > MAX_URI_BYTES:
            raise Refused(Reason.INVALID_PARAMS, message=f"`uri` is longer than {MAX_URI_BYTES} bytes.")
        entry.remembered = msgspec.structs.replace(entry.remembered, subscriptions=wanted)

    async def unsubscribe(self, session: Session, uri: str) -> None:
        """See `ports.sessions.Sessions`."""
        entry = self._enter(session)
        entry.remembered = msgspec.structs.replace(entry.remembered, subscriptions=entry.remembered.subscriptions - {uri})

    async def end(self, session: Session) -> None:
        """See `ports.sessions.Sessions`."""
        _tell(self._close(self._enter(session)))

    def watch(self, session: Session, ended: Callable[[], None], *, holds: bool) -> Callable[[], None]:
        """See `ports.sessions.Sessions`."""
        entry = self._open.get(session.nonce)
        if entry is None:
            ended()
            return _nothing
        mark = object()
        entry.watches[mark] = ended
        entry.holds += holds

        def unwatch() -> None:
            if entry.watches.pop(mark, None) is not None and holds:
                entry.holds -= 1
                self._saw(entry)

        return unwatch

    def sweep(self) -> None:
        """See `ports.sessions.Sessions`. One that is held goes to the end of the row, as if it had been seen."""
        now, idle_seconds = self._clock.now(), self._limits.idle_seconds
        told: list[Callable[[], None]] = []
        for _ in range(len(self._open)):
            entry = next(iter(self._open.values()))
            if entry.seen + idle_seconds > self._clock.monotonic():
                break
            if entry.holds:
                self._saw(entry)
            else:
                told += self._close(entry)
        while self._expiries and self._expiries[0][0] <= now:
            _, nonce, principal = heapq.heappop(self._expiries)
            told += self._expire(nonce, principal)
        _tell(told)

    def _enter(self, session: Session) -> _Open:
        entry = self._open.get(session.nonce)
        if entry is None:
            return self._adopt(session, is_new=False)
        if self._over(entry):
            _tell(self._close(entry))
            raise Refused(Reason.SESSION_UNKNOWN)
        self._saw(entry)
        return entry

    def _over(self, entry: _Open) -> bool:
        idle = not entry.holds and entry.seen + self._limits.idle_seconds <= self._clock.monotonic()
        return idle or entry.session.issued_at + self._limits.max_age_seconds <= self._clock.now()

    def _saw(self, entry: _Open) -> None:
        entry.seen = self._clock.monotonic()
        self._open.move_to_end(entry.session.nonce)
        self._callers[entry.session.principal].open.move_to_end(entry.session.nonce)

    def _adopt(self, session: Session, *, is_new: bool) -> _Open:
        """Take up a session that is new, or of another process, or of this one before its last start."""
        limits = self._limits
        expires_at = session.issued_at + limits.max_age_seconds
        own = self._callers.get(session.principal)
        over = own is not None and not is_new and (session.nonce in own.ended or session.issued_at <= own.floor)
        if over or expires_at <= self._clock.now():
            raise Refused(Reason.SESSION_UNKNOWN)
        told: list[Callable[[], None]] = []
        if own is not None and len(own.open) >= limits.max_per_caller:
            told = self._close(next(iter(own.open.values())))
        elif len(self._open) >= limits.max_sessions:
            raise Refused(Reason.TOO_MANY_SESSIONS, {"retryAfterSeconds": 1}, headers=(("Retry-After", "1"),))
        own = self._callers.setdefault(session.principal, _Own())
        entry = own.open[session.nonce] = self._open[session.nonce] = _Open(session, self._clock.monotonic())
        self._expect(expires_at, session.nonce, session.principal)
        _tell(told)
        return entry

    def _close(self, entry: _Open) -> list[Callable[[], None]]:
        """End a session; who is to be told of it. Its place among the expiries stays, for its id is kept as ended until then."""
        session = entry.session
        own = self._callers[session.principal]
        del self._open[session.nonce], own.open[session.nonce]
        own.ended[session.nonce] = session.issued_at
        self._ended += 1
        if len(own.ended) > self._limits.max_ended_per_caller or self._ended > self._limits.max_ended:
            own.floor = max(own.floor, own.ended.popitem(last=False)[1])
            self._ended -= 1
        watches, entry.watches, entry.holds = list(entry.watches.values()), {}, 0
        return watches

    def _expire(self, nonce: bytes, principal: str) -> list[Callable[[], None]]:
        """The id has no more to say: it is refused for its age from now on."""
        told: list[Callable[[], None]] = []
        if (entry := self._open.get(nonce)) is not None:
            told = self._close(entry)
        own = self._callers.get(principal)
        if own is not None:
            self._ended -= own.ended.pop(nonce, None) is not None
            if not own.open and not own.ended and own.floor + self._limits.max_age_seconds <= self._clock.now():
                del self._callers[principal]
        return told

    def _expect(self, at: float, nonce: bytes, principal: str) -> None:
        """Note when an id expires; made anew where most of what is noted is about ids that only a floor speaks of."""
        heapq.heappush(self._expiries, (at, nonce, principal))
        if len(self._expiries) > 2 * (len(self._open) + self._ended + len(self._callers)) + 1_000:
            age = self._limits.max_age_seconds
            self._expiries = [
                (issued_at + age, nonce, principal)
                for principal, own in self._callers.items()
                for nonce, issued_at in (
                    *own.ended.items(),
                    *((one, own.open[one].session.issued_at) for one in own.open),
                    (b"", own.floor),
                )
            ]
            heapq.heapify(self._expiries)


def _tell(watches: Iterable[Callable[[], None]]) -> None:
    """Act last, when nothing is half done: who is told may come back at once."""
    for ended in watches:
        ended()


def _nothing() -> None:
    """Takes away a watch that was over before it began."""
