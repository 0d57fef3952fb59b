"""The way back to one caller: one whole answer, or a stream of events.

Sources: RFC 9112 sections 6 and 7 (framing); WHATWG HTML, server-sent events; MCP 2026-07-28, basic/transports/streamable-http (a stream
is not buffered by proxies, comments keep it open), basic/patterns/cancellation (closing the stream cancels).
"""

import asyncio
import http
from collections.abc import Awaitable
from typing import Protocol

from customhouse.core.protocol.sse import COMMENT, event
from customhouse.edge.asgi import Response
from customhouse.edge.framing import Request
from customhouse.gateway.arrival import Keeper
from customhouse.gateway.call import JSON
from customhouse.wire.signal import Carrier, Signal

_STATUS_LINE = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus}
_FIXED = b"cache-control: no-store\r\nx-content-type-options: nosniff\r\n"
_STREAM_HEAD = b"content-type: text/event-stream\r\nx-accel-buffering: no\r\n" + _FIXED
_WORTH_NO_COPY_BYTES = 16_384
"""From here on a second write costs less than a copy of the body behind its head."""
_UNTIL_RESUMABLE_SECONDS = 1.0
"""After so long a call of a legacy session begins its stream, whose first event lets a client that loses its connection come back."""
_PROBES_SECONDS = (0.01, 0.04)
"""After a half-close: when to write to a caller that may be gone, so that the kernel finds out well within 100 ms."""


class Line(Protocol):
    """What a reply needs of its connection."""

    @property
    def connected(self) -> bool: ...
    @property
    def common_headers(self) -> bytes: ...
    @property
    def usual_head(self) -> bytes: ...
    @property
    def ends_after_this(self) -> bool: ...
    @property
    def keep_alive_comment_seconds(self) -> float: ...
    def write(self, data: bytes) -> None: ...
    def room(self) -> Awaitable[None] | None: ...
    def finished(self, reply: "CallerReply", *, keep_alive: bool) -> None: ...


def whole_head(status: int, common: bytes, headers: bytes, *, keep_alive: bool) -> bytes:
    """The head of a whole answer, up to the number of its bytes."""
    closing = b"" if keep_alive else b"connection: close\r\n"
    return b"%b%b%b%b%bcontent-length: " % (_STATUS_LINE[status], common, headers, _FIXED, closing)


class CallerReply:
    """The way back to the caller of one request; see `gateway.arrival.Reply`."""

    __slots__ = (
        "_beat",
        "_cancels",
        "_connection",
        "_done",
        "_events",
        "_held",
        "_in_doubt",
        "_probes",
        "_request",
        "_streaming",
        "_waits",
        "bytes_out",
        "carrier",
        "keeper",
    )

    def __init__(self, connection: Line, request: Request) -> None:
        self._connection = connection
        self._request = request
        self._streaming = False
        self._done = False
        self._cancels = False
        self._waits = False
        self._in_doubt = False
        self._events: list[bytes] = []
        """Events that are to go out together."""
        self._beat: asyncio.TimerHandle | None = None
        self._probes: list[asyncio.TimerHandle] = []
        self._held: Signal | None = None
        self.bytes_out = 0
        self.keeper: Keeper | None = None
        """See `gateway.arrival.Reply`."""
        self.carrier: Carrier | None = None
        """Carries the exchange that this reply belongs to."""

    @property
    def connected(self) -> bool:
        """See `gateway.arrival.Reply`."""
        return self._connection.connected

    def cancel_when_left(self) -> None:
        """See `gateway.arrival.Reply`. From now on comments also keep a long call's connection open."""
        self._cancels = True
        if not self._connection.connected:
            self.lost()
        elif self._in_doubt:
            self.probe()

    def lost(self) -> None:
        """The connection is gone."""
        self._stop()
        if self._cancels and not self._done:
            self.give_up()

    def give_up(self) -> None:
        """See `gateway.arrival.Reply`."""
        if self.carrier is not None:
            self.carrier.cancel()

    def probe(self) -> None:
        """The caller half-closed its side, or went away: only writing tells which. It matters once leaving cancels."""
        self._in_doubt = True
        if self._cancels and not self._done and not self._probes:
            loop = asyncio.get_running_loop()
            self._probes = [loop.call_later(after, self._sign_of_life) for after in _PROBES_SECONDS]

    def may_wait(self) -> None:
        """See `gateway.arrival.Reply`."""
        self._waits = True

    def keep_open(self, now: float) -> None:
        """Called every second: a call that waits for long begins its stream, whose comments keep the connection open."""
        if not self._waits or self._streaming:
            return
        after = self._connection.keep_alive_comment_seconds
        if now - self._request.started > (after if self.keeper is None else min(after, _UNTIL_RESUMABLE_SECONDS)):
            self._sign_of_life()

    def _sign_of_life(self) -> None:
        if not self._done and self._connection.connected:
            if head := self._begun():
                self._connection.write(head)
            self._comment()

    def whole(self, status: int, headers: bytes, *body: bytes) -> None:
        """See `gateway.arrival.Reply`."""
        if self._streaming or self._events or (self.keeper is not None and self.keeper.began):
            self.event(b"".join(body))
            self._finish_stream()
            return
        connection, keep_alive = self._connection, self._keep_alive()
        size_bytes = len(body[0]) if len(body) == 1 else sum(map(len, body))
        if keep_alive and status == 200 and headers is JSON:
            head = b"%b%d\r\n\r\n" % (connection.usual_head, size_bytes)
        else:
            head = b"%b%d\r\n\r\n" % (whole_head(status, connection.common_headers, headers, keep_alive=keep_alive), size_bytes)
        if self._request.method == b"HEAD":
            size_bytes, body = 0, ()  # its length is told all the same (RFC 9110 section 9.3.2)
        if size_bytes < _WORTH_NO_COPY_BYTES:
            connection.write(b"".join((head, *body)))
        else:
            for part in (head, *body):
                connection.write(part)
        self.bytes_out += size_bytes
        self._finish(keep_alive)

    def respond(self, response: Response) -> None:
        """The answer of the ASGI application."""
        headers = b"".join([b"%b: %b\r\n" % header for header in response.headers if header[0].lower() != b"content-length"])
        self.whole(response.status, headers, response.body)

    def event(self, data: bytes) -> None:
        """See `gateway.arrival.Reply`."""
        self.bytes_out += len(data)
        self._events.append(event(data) if self.keeper is None else self.keeper.keep(data))

    def room(self) -> Awaitable[None] | None:
        """See `gateway.arrival.Reply`."""
        if not self._connection.connected:
            return None
        if self._events:
            self._connection.write(self._begun() + self._framed_events())
        return self._connection.room()

    def send(self, stream: bytes) -> None:
        """See `gateway.arrival.Reply`."""
        if self._done or not self._connection.connected:
            return
        self.bytes_out += len(stream)
        self._connection.write(self._begun() + self._chunk(stream))
        if self._beat is not None:
            self._beat.cancel()
        self._schedule_beat()

    def hold(self) -> Awaitable[None]:
        """See `gateway.arrival.Reply`."""
        self._held = Signal(asyncio.get_running_loop())
        return self._held

    def let_go(self) -> None:
        """See `gateway.arrival.Reply`."""
        if self._held is not None:
            self._held.set()

    @property
    def full(self) -> bool:
        """See `gateway.arrival.Reply`."""
        return self._connection.room() is not None

    def end(self) -> None:
        """See `gateway.arrival.Reply`."""
        self._finish_stream()

    def _begun(self) -> bytes:
        """The head of the stream, if it has not been sent; whoever asks sends it."""
        if self._streaming:
            return b""
        self._streaming = True
        framing = b"transfer-encoding: chunked\r\n" if self._request.chunks_allowed else b""
        closing = b"" if self._keep_alive() else b"connection: close\r\n"
        self._schedule_beat()
        head = b"%b%b%b%b%b\r\n" % (_STATUS_LINE[200], self._connection.common_headers, _STREAM_HEAD, framing, closing)
        first = b"" if self.keeper is None else self.keeper.opening()
        return head + self._chunk(first) if first else head

    def _framed_events(self) -> bytes:
        """The events so far as one chunk."""
        events = self._events
        data = events[0] if len(events) == 1 else b"".join(events)
        events.clear()
        return self._chunk(data) if data else b""

    def _keep_alive(self) -> bool:
        return self._request.keep_alive and self._request.chunks_allowed and not self._connection.ends_after_this

    def _schedule_beat(self) -> None:
        seconds = self._connection.keep_alive_comment_seconds
        self._beat = asyncio.get_running_loop().call_later(seconds, self._comment)

    def _comment(self) -> None:
        if self._done or not self._connection.connected:
            return
        self._connection.write(self._chunk(COMMENT))
        if self._beat is not None:
            self._beat.cancel()
        self._schedule_beat()

    def _chunk(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._request.chunks_allowed else data

    def _finish_stream(self) -> None:
        """The events so far, the last one among them, and the end, in one write."""
        if self._done:
            return
        head = self._begun()
        last = self._framed_events() if self._events else b""
        self._connection.write(head + last + (b"0\r\n\r\n" if self._request.chunks_allowed else b""))
        self._finish(self._keep_alive())

    def _finish(self, keep_alive: bool) -> None:
        self._done = True
        self._stop()
        if self.keeper is not None:
            self.keeper.finish()
        self._connection.finished(self, keep_alive=keep_alive)

    def _stop(self) -> None:
        for handle in (self._beat, *self._probes):
            if handle is not None:
                handle.cancel()
