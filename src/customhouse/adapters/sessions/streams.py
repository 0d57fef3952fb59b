"""Events of streams in the memory of one gateway process, bounded per stream, per session and altogether; the oldest go first.

Source: MCP 2025-11-25, basic/transports, Resumability and Redelivery. After a restart nothing is kept, and since the names of streams are
random, an id from before it finds nothing.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator

import msgspec

from customhouse.core.protocol.replay import EventId, Replay, StoredEvent, read_event_id
from customhouse.core.protocol.sessionid import Session
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.sessions import Appended
from customhouse.ports.traffic import Clock


class StreamLimits(msgspec.Struct, frozen=True):
    """How much is kept for how long."""

    kept_seconds: float
    """After a stream finished."""
    max_events_per_stream: int
    max_bytes_per_stream: int
    max_bytes_per_session: int
    max_bytes: int
    max_streams_per_session: int = 100
    max_streams: int = 20_000


class _Stream:
    """One stream: its events, and who follows it."""

    __slots__ = ("follower", "of", "over", "replay")

    def __init__(self, of: "_Own", replay: Replay) -> None:
        self.of = of
        self.replay = replay
        self.over = False
        """Nothing more comes: it finished, or is no longer kept."""
        self.follower: asyncio.Event | None = None

    def wake(self) -> None:
        if self.follower is not None:
            self.follower.set()


class _Own:
    """What is kept of one session."""

    __slots__ = ("events", "finished", "session", "size_bytes", "streams")

    def __init__(self, session: str) -> None:
        self.session = session
        self.streams: dict[str, _Stream] = {}
        self.finished: OrderedDict[str, None] = OrderedDict()
        self.events: OrderedDict[EventId, _Stream] = OrderedDict()
        self.size_bytes = 0


class MemoryStreams:
    """An implementation of `ports.sessions.Streams`."""

    def __init__(self, limits: StreamLimits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._sessions: dict[str, _Own] = {}
        self._streams = 0
        self._finished: OrderedDict[str, tuple[float, _Stream]] = OrderedDict()
        self._events: OrderedDict[EventId, _Stream] = OrderedDict()
        self.size_bytes = 0
        """What all kept events count."""

    def __len__(self) -> int:
        return self._streams

    def begin(self, session: Session, stream: str) -> None:
        """See `ports.sessions.Streams`. Where no other stream has finished, the new one is not kept."""
        limits = self._limits
        own = self._sessions.get(session.key)
        if own is not None and len(own.streams) >= limits.max_streams_per_session and not self._drop_first(own.finished):
            return
        if self._streams >= limits.max_streams and not self._drop_first(self._finished):
            return
        own = self._sessions.setdefault(session.key, _Own(session.key))
        own.streams[stream] = _Stream(own, Replay(stream, limits.max_events_per_stream, limits.max_bytes_per_stream))
        self._streams += 1

    def append(self, session: Session, stream: str, data: bytes) -> Appended | None:
        """See `ports.sessions.Streams`."""
        found = self._find(session, stream)
        if found is None or found.over:
            return None
        stored, dropped = found.replay.append(data)
        self._count(found, stored)
        for event in dropped:
            self._uncount(found, event)
        while found.of.size_bytes > self._limits.max_bytes_per_session:
            self._drop_oldest(found.of.events)
        while self.size_bytes > self._limits.max_bytes:
            self._drop_oldest(self._events)
        found.wake()
        return Appended(stored, found.follower is not None)

    def finish(self, session: Session, stream: str) -> None:
        """See `ports.sessions.Streams`."""
        found = self._find(session, stream)
        if found is not None and not found.over:
            found.over = True
            found.of.finished[stream] = None
            self._finished[stream] = (self._clock.monotonic() + self._limits.kept_seconds, found)
            found.wake()

    async def follow(self, session: Session, last_event_id: str) -> AsyncGenerator[StoredEvent, None]:
        """See `ports.sessions.Streams`."""
        at = read_event_id(last_event_id)
        found = None if at is None else self._find(session, at.stream)
        if at is None or found is None or found.replay.after(at.number) is None:
            raise Refused(Reason.EVENTS_GONE)
        found.wake()
        found.follower = own = asyncio.Event()
        return _following(found, own, at.number)

    async def forget(self, session: Session) -> None:
        """See `ports.sessions.Streams`."""
        own = self._sessions.get(session.key)
        for stream in [] if own is None else list(own.streams.values()):
            self._drop(stream)

    def sweep(self) -> None:
        """See `ports.sessions.Streams`."""
        while self._finished:
            until, stream = next(iter(self._finished.values()))
            if until > self._clock.monotonic():
                break
            self._drop(stream)

    def _find(self, session: Session, stream: str) -> _Stream | None:
        own = self._sessions.get(session.key)
        return None if own is None else own.streams.get(stream)

    def _drop_first(self, finished: "OrderedDict[str, None] | OrderedDict[str, tuple[float, _Stream]]") -> bool:
        """Let the stream go that finished first; whether there was one."""
        if not finished:
            return False
        _, stream = self._finished[next(iter(finished))]
        self._drop(stream)
        return True

    def _drop(self, stream: _Stream) -> None:
        while stream.replay:
            self._uncount(stream, stream.replay.drop_oldest())
        own, name = stream.of, stream.replay.stream
        del own.streams[name]
        own.finished.pop(name, None)
        self._finished.pop(name, None)
        self._streams -= 1
        if not own.streams:
            del self._sessions[own.session]
        stream.over = True
        stream.wake()

    def _drop_oldest(self, events: OrderedDict[EventId, _Stream]) -> None:
        """The oldest event of a session, or of all, is the oldest of its stream too."""
        stream = next(iter(events.values()))
        self._uncount(stream, stream.replay.drop_oldest())

    def _count(self, stream: _Stream, event: StoredEvent) -> None:
        self._events[event.id] = stream.of.events[event.id] = stream
        stream.of.size_bytes += event.size_bytes
        self.size_bytes += event.size_bytes

    def _uncount(self, stream: _Stream, event: StoredEvent) -> None:
        del self._events[event.id], stream.of.events[event.id]
        stream.of.size_bytes -= event.size_bytes
        self.size_bytes -= event.size_bytes


async def _following(stream: _Stream, own: asyncio.Event, number: int) -> AsyncGenerator[StoredEvent, None]:
    """What a stream sends after a number, as long as nobody else follows it."""
    try:
        while True:
            own.clear()
            events = stream.replay.after(number)
            if events is None:
                raise Refused(Reason.EVENTS_GONE)
            for event in events:
                if stream.follower is not own:
                    return
                yield event
                number = event.id.number
            if stream.follower is not own or (stream.over and stream.replay.last == number):
                return
            if stream.replay.last == number:
                await own.wait()
    finally:
        if stream.follower is own:
            stream.follower = None
