"""Events of one stream that a client may have missed: their ids, and the bounded row of them that is kept.

Source: MCP 2025-11-25, basic/transports, Resumability and Redelivery: ids are unique across all streams of a session; a client resumes with
GET and `Last-Event-ID`; only messages of the stream it was cut off from may be sent again; a server may open a stream with an id and empty
data, and say with `retry` how long to wait. WHATWG HTML, server-sent events: `id` and `retry` fields.

An id is `<stream>.<number>`. The stream's part is random, so an id of a stream that a process no longer knows, as after a restart, never
means an event of another one.
"""

import re
from collections import deque

import msgspec

from customhouse.core.protocol.sse import event

EVENT_OVERHEAD_BYTES = 300
"""What an event takes beside its data, so that empty ones are not free: measured with tracemalloc on CPython 3.11, in memory."""

_ID = re.compile(r"(?P<stream>[0-9a-f]{32})\.(?P<number>0|[1-9][0-9]{0,11})", re.ASCII)


class EventId(msgspec.Struct, frozen=True, gc=False):
    """Where in which stream an event stands."""

    stream: str
    """32 hexadecimal digits."""
    number: int
    """1 for the first event; 0 stands before it, for a stream that was opened and has sent nothing."""

    def __str__(self) -> str:
        return f"{self.stream}.{self.number}"


class StoredEvent(msgspec.Struct, frozen=True, gc=False):
    """One event that was sent."""

    id: EventId
    data: bytes
    """The JSON-RPC message."""

    @property
    def size_bytes(self) -> int:
        """What it counts against the bounds."""
        return len(self.data) + EVENT_OVERHEAD_BYTES


def read_event_id(text: str) -> EventId | None:
    """The event id of a `Last-Event-ID` header; None for what no stream ever gave."""
    read = _ID.fullmatch(text)
    return None if read is None else EventId(read["stream"], int(read["number"]))


def identified(stored: StoredEvent) -> bytes:
    """An event with its id, as bytes of a stream."""
    return b"id: " + str(stored.id).encode() + b"\n" + event(stored.data)


def opening(stream: str, retry_ms: int) -> bytes:
    """The first event of a stream: an id to resume from before anything was sent, and how long to wait before it."""
    return f"id: {EventId(stream, 0)}\nretry: {retry_ms}\ndata: \n\n".encode()


class Replay:
    """The last events of one stream, bounded in number and bytes; the oldest go first."""

    __slots__ = ("_bytes", "_events", "_last", "_max_bytes", "_max_events", "stream")

    def __init__(self, stream: str, max_events: int, max_bytes: int) -> None:
        self.stream = stream
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._events: deque[StoredEvent] = deque()
        self._bytes = 0
        self._last = 0

    @property
    def size_bytes(self) -> int:
        """What the kept events count."""
        return self._bytes

    @property
    def last(self) -> int:
        """The number of the newest event; 0 before the first."""
        return self._last

    def append(self, data: bytes) -> tuple[StoredEvent, list[StoredEvent]]:
        """The new event, and the old ones that had to go for it. An event larger than the bound goes at once: it is sent, never again."""
        self._last += 1
        stored = StoredEvent(EventId(self.stream, self._last), data)
        self._events.append(stored)
        self._bytes += stored.size_bytes
        dropped = []
        while len(self._events) > self._max_events or self._bytes > self._max_bytes:
            dropped.append(self.drop_oldest())
        return stored, dropped

    def drop_oldest(self) -> StoredEvent:
        """Let the oldest kept event go. Raises IndexError where none is kept."""
        oldest = self._events.popleft()
        self._bytes -= oldest.size_bytes
        return oldest

    def after(self, number: int) -> list[StoredEvent] | None:
        """Every event after this number, in order; None if one of them is no longer kept, or the number never was."""
        first = self._last - len(self._events) + 1
        if not first - 1 <= number <= self._last:
            return None
        return [stored for stored in self._events if stored.id.number > number]

    def __len__(self) -> int:
        return len(self._events)
