"""Server-sent events: bytes in, data of whole events out, and back.

Source: WHATWG HTML, server-sent events, Parsing an event stream: lines end in LF, CR or CRLF; `data` lines of one event are joined by
LF; comments begin with a colon; an unfinished event at the end of the stream is dropped.
"""

from collections.abc import Iterator

_USUAL = b"event: message\ndata: "

_MAX_ID_BYTES = 1_024
"""An id is sent back in a header; a longer one is as good as none."""

_RETRY_DIGITS = 7
"""Digits of `retry` that are believed: less than three hours."""


class EventTooLarge(Exception):
    """One event is larger than allowed."""


class EventReader:
    """Collects chunks and yields the data of each complete `message` event. Bounded by `max_event_bytes`."""

    by_line = False
    """For readers that look at more than the data of an event."""

    __slots__ = ("_after_cr", "_buffer", "_data", "_event", "_id", "_max_event_bytes", "_seen", "last_event_id", "retry_ms")

    def __init__(self, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._buffer = b""
        self._after_cr = False
        self._data: list[bytes] = []
        self._event = b""
        self._id = b""
        self._seen = 0
        self.last_event_id = b""
        """Where the stream may be taken up again; empty until an event carried an id."""
        self.retry_ms: int | None = None
        """How long to wait before that, if the server said so."""

    def restart(self) -> None:
        """The stream broke off and goes on after the last whole event: what was begun is forgotten."""
        self._buffer, self._data, self._event, self._seen, self._after_cr = b"", [], b"", 0, False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The data of the events that this chunk completes. Raises `EventTooLarge`."""
        if (
            not self.by_line
            and not self._buffer
            and not self._data
            and not self._event
            and chunk.endswith(b"\n\n")
            and b"\r" not in chunk
            and not self._after_cr
        ):
            yield from self._whole_events(chunk)
            return
        # A CR ends its line at once; if it was the first half of a CRLF, the other half ends nothing.
        begun_by_cr, self._after_cr = self._after_cr, chunk.endswith(b"\r")
        if begun_by_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        if len(self._buffer) + self._seen > self._max_event_bytes:
            raise EventTooLarge
        for line in lines:
            if line:
                self._line(line)
            elif (data := self._dispatch()) is not None:
                yield data

    def _whole_events(self, chunk: bytes) -> Iterator[bytes]:
        """Events that begin and end with the chunk; the usual form, one line of data, needs no line by line reading."""
        position = 0
        while position < len(chunk):  # one event at a time: a caller that is slow leaves the rest where it is
            end = chunk.index(b"\n\n", position)
            block, position = chunk[position:end], end + 2
            start = 6 if block.startswith(b"data: ") else 21 if block.startswith(_USUAL) else 0
            if start and block.find(b"\n", start) < 0 and start < len(block) <= self._max_event_bytes:
                yield block[start:]
                continue
            for line in block.split(b"\n"):
                if line:
                    self._line(line)
            if (data := self._dispatch()) is not None:
                yield data

    def _line(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if field == b"data":
            self._data.append(value)
            self._seen += len(value) + 1  # the line break counts too, or empty lines would cost nothing
            if self._seen > self._max_event_bytes + 1:
                raise EventTooLarge
        elif field == b"event":
            self._event = value
        elif field == b"id":
            if b"\0" not in value and len(value) <= _MAX_ID_BYTES:
                self._id = value
        elif field == b"retry" and value.isdigit() and len(value) <= _RETRY_DIGITS:
            self.retry_ms = int(value)

    def _dispatch(self) -> bytes | None:
        data, event = self._data, self._event
        self.last_event_id = self._id
        self._data, self._event, self._seen = [], b"", 0
        if not data or event not in (b"", b"message"):
            return None
        joined = b"\n".join(data)
        return joined or None


def event(data: bytes) -> bytes:
    """One `message` event. A line break in JSON is white space between tokens, so a space takes its place."""
    if b"\n" in data or b"\r" in data:
        data = data.translate(_IN_ONE_LINE)
    return b"event: message\ndata: " + data + b"\n\n"


_IN_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


COMMENT = b": keep-alive\n\n"
"""Keeps idle connections open; clients ignore comments (2026-07-28, basic/transports/streamable-http)."""
