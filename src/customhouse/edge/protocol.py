"""The callers' door: HTTP/1.1 on httptools, straight into the exchange.

A uvicorn protocol class: uvicorn keeps sockets, TLS, signals and shutdown. A POST at an MCP endpoint goes from the parser to the exchange
without ASGI messages; every other request goes to the ASGI application. Sources: RFC 9112; MCP 2026-07-28,
basic/transports/streamable-http.

One connection carries one request at a time; requests that a client pipelines wait their turn, bounded. After any framing error the
connection ends, since nobody knows where the next request would begin.
"""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any, cast

import httptools
import msgspec
from uvicorn import Config
from uvicorn.server import ServerState

from customhouse.core.protocol.headers import ONCE_ONLY
from customhouse.core.protocol.origin import check_origin
from customhouse.core.refusal import Reason, Refused
from customhouse.edge.asgi import ask_application
from customhouse.edge.framing import MAX_HEADS, Head, Request, head_without_upgrade, judge_frame, remembered
from customhouse.edge.reply import CallerReply, whole_head
from customhouse.gateway.admission import Admission
from customhouse.gateway.call import JSON
from customhouse.gateway.conversations import names_session
from customhouse.gateway.exchange import Exchange
from customhouse.gateway.live import Live
from customhouse.gateway.pairs import MESSAGES, STREAM, PairReply, endpoint_beside
from customhouse.ports.traffic import Clock
from customhouse.wire.signal import Carrier

log = logging.getLogger(__name__)


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much and how slowly a client may send and take."""

    max_head_bytes: int
    max_body_bytes: int
    head_timeout_seconds: float
    body_timeout_seconds: float
    idle_timeout_seconds: float
    write_timeout_seconds: float
    max_connections: int
    keep_alive_comment_seconds: float
    max_unsent_bytes: int = 268_435_456
    """What may wait for slow readers, all together; beyond it the largest are cut off. 256 MiB."""


class EncodedHeaders:
    """Headers of every answer, encoded again only when uvicorn has made new ones."""

    __slots__ = ("encoded", "headers", "usual")

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.encoded = b""
        self.usual = b""
        """The head of the most usual answer, a result in JSON on a connection that stays, up to the number of its bytes."""


class Door(msgspec.Struct, frozen=True):
    """What all connections share."""

    exchange: Exchange
    live: Live
    admission: Admission
    clock: Clock
    bounds: Bounds
    application: Any
    """The ASGI application for everything that is not an MCP POST."""
    connections: "set[Connection]"
    heads: dict[bytes, Head] = msgspec.field(default_factory=dict)
    """Heads that were read and judged, by their bytes."""
    date: EncodedHeaders = msgspec.field(default_factory=EncodedHeaders)


_MAX_PIPELINED = 16
_LINGER_SECONDS = 0.5
_MAX_UNSENT_IN_KERNEL_BYTES = 131_072
"""What the kernel takes for a reader that takes nothing. Left to itself it takes 3 MB of each (measured on Linux 6.18, loopback), where
no limit of this process counts it; the bytes in flight to a quick reader do not count."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(asyncio.Protocol):
    """One client connection."""

    def __init__(
        self,
        door: Door,
        *,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._door = door
        self._loop = _loop or asyncio.get_running_loop()
        self._state = server_state
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._request: Request | None = None
        self._parts: list[bytes] = []
        self._body_bytes = 0
        self._head_bytes = 0
        self._raw_bytes = 0
        self._in_body = False
        self._fresh = b""
        """What arrived, where it began a request: its head is kept if the request turns out to be all of it."""
        self._broken = False
        self._waiting: deque[Request] = deque()
        self._reply: CallerReply | None = None
        self._closing = False
        self._half_closed = False
        self._drained: asyncio.Future[None] | None = None
        self.stalled_since = 0.0
        self.deadline = 0.0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if (own := transport.get_extra_info("socket")) is not None:
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _MAX_UNSENT_IN_KERNEL_BYTES)
        connections = self._door.connections
        connections.add(self)
        self._state.connections.add(cast(Any, self))
        self._idle()
        if len(connections) > self._door.bounds.max_connections:
            self._refuse_frame(Refused(Reason.OVERLOADED, {"retryAfterSeconds": 1}, headers=(("Retry-After", "1"),)))

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.connections.discard(self)
        self._state.connections.discard(cast(Any, self))
        self._closing = True
        self._waiting.clear()
        self.resume_writing()
        if self._reply is not None:
            self._reply.lost()

    def eof_received(self) -> bool:
        """The client sends no more. It may still read (RFC 9112 section 9.6), so what it asked for is answered first."""
        self._half_closed = True
        if self._reply is None and not self._waiting:
            return False
        if self._reply is not None:
            self._reply.probe()
        return self._transport.can_write_eof()  # over TLS there is no half of a connection

    def pause_writing(self) -> None:
        self.stalled_since = self._door.clock.monotonic()
        self._drained = self._loop.create_future()
        self._read_or_wait()

    def resume_writing(self) -> None:
        self.stalled_since = 0.0
        if self._drained is not None:
            if not self._drained.done():
                self._drained.set_result(None)
            self._drained = None
        if not self._closing:
            self._read_or_wait()
            if self._reply is None:
                self._next()

    def _read_or_wait(self) -> None:
        """Whoever does not take answers, or asks far ahead of them, is not read from."""
        if self._drained is not None or self._broken or len(self._waiting) >= _MAX_PIPELINED:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._closing or self._broken:
            return
        now = self._door.clock.monotonic()
        if self._request is None:
            if self._known(data, now):
                return
            self._begin(now)
            self._fresh = data
        if not self._in_body:
            self._head_bytes += len(data)
        self._raw_bytes += len(data)
        try:
            self._feed(data)
        except (httptools.HttpParserError, httptools.HttpParserCallbackError):
            self._break(Refused(Reason.MALFORMED_HTTP))
            return
        self._bound_raw_bytes()

    def _known(self, data: bytes, now: float) -> bool:
        """A whole request whose head was read before needs no parser: it stands between two requests, and equal bytes mean the same."""
        end = data.find(b"\r\n\r\n") + 4
        head = self._door.heads.get(data[:end])
        if head is None or len(data) - end != head.body_bytes:
            return False
        self._complete(head.request(now, data[end:]))
        return True

    def _feed(self, data: bytes) -> None:
        """Parse. A wish to switch protocols is declined by ignoring it (RFC 9110 section 7.8): the same head is read again without it,
        since the parser takes what follows such a head for another protocol."""
        rest: bytes | memoryview = data
        while rest:
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as switch:
                if self._request is None:
                    return  # its head was refused
                head = head_without_upgrade(self._request)
                self._parser = httptools.HttpRequestParser(self)
                self._parser.feed_data(head)
                rest = memoryview(rest)[switch.args[0] :]
            else:
                return

    def _bound_raw_bytes(self) -> None:
        """What the parser holds back is bounded too: an endless header, or chunk extensions without chunks."""
        bounds = self._door.bounds
        if self._request is None:
            return
        if not self._in_body and self._head_bytes > bounds.max_head_bytes:
            self._break(Refused(Reason.HEADERS_TOO_LARGE, {"allowedBytes": bounds.max_head_bytes}))
        elif self._raw_bytes > 2 * (bounds.max_head_bytes + bounds.max_body_bytes):
            self._break(Refused(Reason.BODY_TOO_LARGE, {"allowedBytes": bounds.max_body_bytes}))

    # httptools

    def on_message_begin(self) -> None:
        if self._request is None or self._request.method:
            self._begin(self._door.clock.monotonic())

    def on_url(self, target: bytes) -> None:
        cast(Request, self._request).target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        request = cast(Request, self._request)
        if self._in_body:
            return  # a trailer: dropped, never merged (RFC 9110 section 6.5.1)
        name, value = name.lower(), value.rstrip(b" \t")
        if name in request.headers:
            if name in ONCE_ONLY or name.startswith(b"mcp-"):
                request.refused = Refused(Reason.MALFORMED_HTTP, message=f"{name.decode('latin-1')} is there twice.")
            value = request.headers[name] + b", " + value
        request.headers[name] = value
        self._head_bytes_of(request)

    def _head_bytes_of(self, request: Request) -> None:
        if len(request.headers) > 128:
            request.refused = Refused(Reason.HEADERS_TOO_LARGE, {"allowedHeaders": 128})

    def on_headers_complete(self) -> None:
        request, bounds = cast(Request, self._request), self._door.bounds
        headers = request.headers
        self._in_body = True
        request.method = self._parser.get_method()
        request.version = self._parser.get_http_version()
        request.keep_alive = self._parser.should_keep_alive()
        size = sum(len(name) + len(value) + 4 for name, value in headers.items()) + len(request.target)
        if size > bounds.max_head_bytes:
            request.refused = Refused(Reason.HEADERS_TOO_LARGE, {"allowedBytes": bounds.max_head_bytes})
        elif request.refused is None:
            request.refused = judge_frame(request, bounds.max_body_bytes)
        if request.refused is not None:
            self._break(request.refused)
            return
        if self._parser.should_upgrade():
            return
        if b"expect" in headers and request.chunks_allowed and not self._waiting and self._reply is None:
            self._transport.write(_CONTINUE)
        self.deadline = self._door.clock.monotonic() + bounds.body_timeout_seconds

    def on_body(self, body: bytes) -> None:
        if self._broken:
            return
        self._body_bytes += len(body)
        if self._body_bytes > self._door.bounds.max_body_bytes:
            self._break(Refused(Reason.BODY_TOO_LARGE, {"allowedBytes": self._door.bounds.max_body_bytes}))
            return
        self._parts.append(body)

    def on_message_complete(self) -> None:
        if self._broken or self._parser.should_upgrade():
            return
        request = cast(Request, self._request)
        request.body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts = []
        path, _, request.query = request.target.partition(b"?")
        request.path = path.decode("latin-1")
        self._request = None
        if self._fresh and (known := remembered(self._fresh, request)) is not None:
            heads = self._door.heads
            if len(heads) >= MAX_HEADS:
                heads.clear()
            heads[known[0]] = known[1]
        self._fresh = b""
        self._complete(request)

    def _complete(self, request: Request) -> None:
        """A request is whole: it is answered now, or waits for its turn."""
        if self._reply is None and self._drained is None:
            self._answer(request)
            return
        self._waiting.append(request)
        self._read_or_wait()

    # One request after the other

    def _begin(self, now: float) -> None:
        self._request = Request(started=now, headers={})
        self._parts = []
        self._body_bytes = self._head_bytes = self._raw_bytes = 0
        self._in_body = False
        self._fresh = b""
        self.deadline = now + self._door.bounds.head_timeout_seconds

    def _idle(self) -> None:
        self.deadline = self._door.clock.monotonic() + self._door.bounds.idle_timeout_seconds

    def _answer(self, request: Request) -> None:
        reply = self._reply = CallerReply(self, request)
        if self._request is None:
            self.deadline = 0.0
        if self._half_closed:
            reply.probe()
        carrier = reply.carrier = Carrier(self._serve(request, reply), self._state.tasks)
        carrier.start()

    async def _serve(self, request: Request, reply: CallerReply) -> None:
        door = self._door
        try:
            door.admission.enter()
        except Refused as refused:
            await self._say_no(refused, request, reply)
            return
        try:
            if request.method == b"POST" and request.path in door.live.view.endpoints:
                await door.exchange.answer(request, reply)
                return
            if (legacy := self._of_a_legacy_client(request, reply)) is not None:
                await legacy
                return
            check_origin(request.headers, door.live.view.hosts, door.live.view.origins)
            asked = ask_application(
                door.application, request.method, request.path.encode("latin-1"), request.query, request.headers, request.body
            )
            reply.respond(await self._loop.create_task(asked))
        except Refused as refused:
            await self._say_no(refused, request, reply)
        except Exception:  # the exit of the slow routes: a defect is answered, recorded and logged, never swallowed
            log.exception("a request broke the gateway")
            await self._say_no(Refused(Reason.GATEWAY_BROKE), request, reply)
        finally:
            door.admission.leave()

    def _of_a_legacy_client(self, request: Request, reply: CallerReply) -> Coroutine[Any, Any, None] | None:
        """The exchange of a request that only legacy clients make: within a session, or at the two endpoints of 2024-11-05."""
        exchange, endpoints, path = self._door.exchange, self._door.live.view.endpoints, request.path
        if path in endpoints:
            if request.method == b"GET" and names_session(request):
                return exchange.answer(request, reply, exchange.open_downlink)
            if request.method == b"DELETE" and names_session(request):
                return exchange.answer(request, reply, exchange.hang_up)
        elif request.method == b"GET" and endpoint_beside(path, STREAM, endpoints):
            return exchange.answer(request, reply, exchange.open_pair)
        elif request.method == b"POST" and endpoint_beside(path, MESSAGES, endpoints):
            on_stream = PairReply(reply)
            return exchange.answer(request, on_stream, lambda arrival, _, trail: exchange.post_to_pair(arrival, on_stream, trail))
        return None

    async def _say_no(self, refused: Refused, request: Request, reply: CallerReply) -> None:
        path = request.target.partition(b"?")[0].decode("latin-1")
        answer = await self._door.exchange.refuse_frame(refused, path, request.started)
        reply.whole(answer.status, answer.headers, answer.body)

    def _break(self, refused: Refused) -> None:
        """The framing is broken or over a bound: refuse, and read no more from this connection."""
        if self._broken:
            return
        self._broken = True
        self._transport.pause_reading()
        request = self._request or Request(started=self._door.clock.monotonic(), headers={})
        request.refused = refused
        request.keep_alive = False
        self._request = None
        self.deadline = 0.0
        if self._reply is None and not self._waiting:
            self._refuse_frame(refused, request)
        else:
            self._waiting.append(request)

    def _refuse_frame(self, refused: Refused, request: Request | None = None) -> None:
        request = request or Request(started=self._door.clock.monotonic(), headers={})
        request.keep_alive = False
        self._broken = True
        reply = self._reply = CallerReply(self, request)
        carrier = reply.carrier = Carrier(self._say_no(refused, request, reply), self._state.tasks)
        carrier.start()

    def finished(self, reply: CallerReply, *, keep_alive: bool) -> None:
        """A reply is out; the next request, if one waits, comes now."""
        if self._reply is not reply:
            return
        self._reply = None
        if self._closing:
            return
        if not keep_alive or (self._broken and not self._waiting):
            self.close()
        elif self._drained is None:
            self._next()

    def _next(self) -> None:
        """The next request, if one waits."""
        if self._waiting:
            request = self._waiting.popleft()
            if request.refused is not None:
                self._refuse_frame(request.refused, request)
                return
            self._read_or_wait()
            self._answer(request)
        elif self._half_closed:
            self.close()
        elif self._request is None:
            self._idle()

    # What replies use

    def write(self, data: bytes) -> None:
        """Send bytes, if the connection still stands."""
        if not self._closing:
            self._transport.write(data)

    def room(self) -> Awaitable[None] | None:
        """To be awaited until the client has taken enough of what was sent; None if it has."""
        return self._drained

    @property
    def connected(self) -> bool:
        """False once the connection is gone or was given up."""
        return not self._closing and not self._transport.is_closing()

    @property
    def keep_alive_comment_seconds(self) -> float:
        """Silence on a stream after which a comment is sent."""
        return self._door.bounds.keep_alive_comment_seconds

    @property
    def common_headers(self) -> bytes:
        """Date, kept by uvicorn once a second (RFC 9110 section 6.6.1)."""
        return self._date().encoded

    @property
    def usual_head(self) -> bytes:
        """The head of a result in JSON on a connection that stays, up to the number of its bytes."""
        return self._date().usual

    def _date(self) -> EncodedHeaders:
        kept = self._door.date
        if kept.headers is not self._state.default_headers:
            kept.headers = self._state.default_headers
            kept.encoded = b"".join([b"%b: %b\r\n" % header for header in kept.headers])
            kept.usual = whole_head(200, kept.encoded, JSON, keep_alive=True)
        return kept

    @property
    def ends_after_this(self) -> bool:
        """The connection is not kept for another request."""
        return self._closing or (self._broken and not self._waiting) or (self._half_closed and not self._waiting)

    @property
    def unsent_bytes(self) -> int:
        """What waits for a slow reader."""
        return self._transport.get_write_buffer_size()

    def close(self) -> None:
        """End the connection after what was written is out. A client that is still sending is not left with a reset: see RFC 9112
        section 9.6."""
        if not self._closing:
            self._closing = True
            self.deadline = self._door.clock.monotonic() + self._door.bounds.write_timeout_seconds
            if self._broken and not self._half_closed and self._transport.can_write_eof():
                self._transport.write_eof()
                self._loop.call_later(_LINGER_SECONDS, self._linger)
                self._transport.resume_reading()
            else:
                self._transport.close()

    def _linger(self) -> None:
        """The client had a moment to read on; one that still has to read gets more of it, up to the write timeout."""
        if self._transport.get_write_buffer_size():
            self._loop.call_later(_LINGER_SECONDS, self._linger)
        else:
            self._transport.abort()

    # uvicorn

    def shutdown(self) -> None:
        """The process drains: idle connections end now, others after their answer."""
        if self._reply is None:
            self.close()
        else:
            self._broken = True
            self._waiting.clear()

    def expire(self, now: float) -> None:
        """Called every second: end what is too slow."""
        if self._reply is not None:
            self._reply.keep_open(now)
        if self.stalled_since and now - self.stalled_since > self._door.bounds.write_timeout_seconds:
            self.abort()
        elif self.deadline and now > self.deadline:
            if self._closing:
                self.abort()
            elif self._request is None:
                self.close()
            else:
                self._break(Refused(Reason.REQUEST_TOO_SLOW))

    def abort(self) -> None:
        """End the connection at once."""
        self._closing = True
        self._transport.abort()


def sweep(connections: Iterable[Connection], now: float, max_unsent_bytes: int) -> None:
    """Every second: end what is too slow, and the largest of what waits for slow readers if it is too much together."""
    waiting = []
    for connection in list(connections):
        connection.expire(now)
        if unsent_bytes := connection.unsent_bytes:
            waiting.append((unsent_bytes, connection))
    together = sum(unsent_bytes for unsent_bytes, _ in waiting)
    for unsent_bytes, connection in sorted(waiting, key=lambda one: one[0], reverse=True):
        if together <= max_unsent_bytes:
            return
        together -= unsent_bytes
        connection.abort()
