"""One HTTP/1.1 connection to a server, and the pool that keeps connections warm.

Source: RFC 9112. A reply is complete by its framing only: a connection that ends earlier breaks the reply, it never shortens it.
Reading pauses while nobody takes what has arrived, so a slow reader slows the server, not the memory.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import cast

import httptools
import msgspec

from customhouse.wire.signal import Signal

_HIGH_WATER_BYTES = 262_144
"""What may wait for the reader of one reply before the socket is left alone: one read of the socket may bring as much."""

_MAX_HEAD_BYTES = 65_536
"""Status line and headers of a reply; common servers send less than 1 KiB."""

_MAX_KNOWN_HEADS = 64
"""Heads of replies kept per server. Those of one second differ by the length of the body alone; when there are more, all are dropped."""


class ReplyBroken(Exception):
    """The connection ended or sent rubbish before the reply was complete. `heard` tells whether any byte of it had arrived."""

    def __init__(self, sentence: str, *, heard: bool) -> None:
        super().__init__(sentence)
        self.heard = heard


class Reply:
    """The reply to one request, as it arrives."""

    __slots__ = ("_broken", "_chunks", "_connection", "_held", "_takes", "_waits", "complete", "head_arrived", "headers", "heard", "status")

    def __init__(self, connection: "ClientConnection") -> None:
        self._connection = connection
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._waits: Signal | None = None
        self._takes: Callable[[bytes], bool] | None = None
        self._broken: ReplyBroken | None = None
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.heard = False
        self.head_arrived = False
        self.complete = False

    async def head(self) -> None:
        """Wait for the status and headers. Raises `ReplyBroken`."""
        while not self.head_arrived:
            await self.more()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises `ReplyBroken` if it ends before its framing says so."""
        while True:
            while self._chunks:
                chunk = self._chunks.popleft()
                self._held -= len(chunk)
                self._connection.room(self._held)
                yield chunk
            if self.complete:
                return
            await self.more()

    @property
    def unread(self) -> bool:
        """Something has arrived and was not taken yet."""
        return bool(self._chunks)

    def arrived(self) -> bytes:
        """All that has arrived and was not taken yet."""
        chunks = self._chunks
        if not chunks:
            return b""
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self.take()
        return data

    def at_once(self, max_bytes: int) -> bytes | None:
        """The whole body, if it is complete, in one piece and no larger than `max_bytes`; it stays until `take`."""
        if self.complete and len(self._chunks) == 1 and len(self._chunks[0]) <= max_bytes:
            return self._chunks[0]
        return None

    def take(self) -> None:
        """What has arrived has been read."""
        self._chunks.clear()
        self._held = 0
        self._connection.room(0)

    async def body(self, max_bytes: int) -> bytes | None:
        """The whole body, or None if it is larger than `max_bytes`."""
        if self.complete and len(self._chunks) == 1:
            self._held = 0
            whole = self._chunks.popleft()
            self._connection.room(0)
            return whole if len(whole) <= max_bytes else None
        parts, size = [], 0
        async for chunk in self.chunks():
            parts.append(chunk)
            size += len(chunk)
            if size > max_bytes:
                return None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def whole(self, known: "KnownHead", body: bytes) -> None:
        """All of it has arrived at once, under a head that was read before."""
        self.status, self.headers = known.status, known.headers
        self._chunks.append(body)
        self._held = len(body)
        self.head_arrived = self.complete = True

    def feed(self, chunk: bytes) -> int:
        """Take a piece of the body; the number of bytes that wait for the reader."""
        self._chunks.append(chunk)
        self._held += len(chunk)
        return self._held

    def hold(self) -> None:
        """Leave the socket alone until something is taken: whoever it is for is slow."""
        self._connection.hold()

    def wake(self) -> None:
        """Run whoever waits on: something has arrived. It may send the next request on the same connection at once."""
        waits = self._waits
        if waits is not None:
            if self._takes is not None and self._chunks and not self._takes(self.arrived()) and not self.complete:
                return
            self._waits = self._takes = None
            waits.set()

    def fail(self, sentence: str) -> None:
        """Nothing more will come."""
        if not self.complete:
            self._broken = ReplyBroken(sentence, heard=self.heard)
            waits, self._waits = self._waits, None
            if waits is not None:
                waits.fail(self._broken)

    def more(self, takes: Callable[[bytes], bool] | None = None) -> Signal:
        """Await this until something more has arrived. Raises `ReplyBroken`, here or where it is awaited.

        `takes` is handed what arrives of the body, and says when whoever awaits has to run on.
        """
        if self._broken is not None:
            raise self._broken
        self._takes = takes
        waits = self._waits = Signal(self._connection.loop)
        return waits


class KnownHead(msgspec.Struct, frozen=True, gc=False):
    """The head of a reply that was read once: the same bytes at the same place mean the same again."""

    status: int
    headers: dict[bytes, bytes]
    """Shared by every reply with this head; nobody changes it."""
    body_bytes: int


class ClientConnection(asyncio.Protocol):
    """A connection that carries one request at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, known_heads: dict[bytes, KnownHead] | None = None) -> None:
        self.loop = loop
        self.closed = False
        self.idle_since = 0.0
        self._known_heads = {} if known_heads is None else known_heads
        self._transport: asyncio.Transport
        self._parser: httptools.HttpResponseParser
        self._reply: Reply | None = None
        self._reusable = False
        self._framed = False
        self._head_bytes = 0
        self._paused = False
        self._fresh = b""
        """What arrived, where it began a reply: its head is kept if the reply turns out to be all of it."""

    # What the pool's user does.

    def send(self, request: bytes) -> Reply:
        """Send one whole request; the reply fills as it arrives."""
        reply = self._reply = Reply(self)
        self._reusable = False
        self._framed = False
        self._head_bytes = 0
        if self.closed:
            reply.fail("The connection was closed before the request was sent.")
        else:
            self._transport.write(request)
        return reply

    @property
    def whole(self) -> bool:
        """The last reply is complete, and neither side has said that it was the last one."""
        return self._reusable and not self._paused and not self.closed

    @property
    def reusable(self) -> bool:
        """The last reply is complete and read, its request went out whole, and both sides keep the connection open."""
        if not self._reusable or self._paused or self.closed or self._transport.is_closing():
            return False
        return self._transport.get_write_buffer_size() == 0

    def abort(self) -> None:
        """End the connection at once; the server sees it and may stop working."""
        self.closed = True
        self._transport.abort()

    def hold(self) -> None:
        """Nobody wants more at present."""
        if not self._paused and not self.closed:
            self._paused = True
            self._transport.pause_reading()

    def room(self, held_bytes: int) -> None:
        """The reader took something."""
        if self._paused and held_bytes < _HIGH_WATER_BYTES // 2 and not self.closed:
            self._paused = False
            self._transport.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpResponseParser(self)  # for all replies: after a whole one it stands at the beginning again

    def data_received(self, data: bytes) -> None:
        reply = self._reply
        if reply is None or reply.complete:
            self.abort()  # nobody asked: a server that speaks first is not answered
            return
        if not reply.heard:
            reply.heard = True
            if self._is_known(data, reply):
                reply.wake()
                return
            self._fresh = data
        if not reply.head_arrived:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserCallbackError, httptools.HttpParserUpgrade):
            self._break("The server sent something that is not HTTP/1.1.")
            return
        if not reply.head_arrived and self._head_bytes > _MAX_HEAD_BYTES:
            self._break("The head of the reply is too large.")
            return
        self._fresh = b""
        reply.wake()

    def _is_known(self, data: bytes, reply: Reply) -> bool:
        """A whole reply whose head was read before needs no parser, which stands between two replies and stays there."""
        end = data.find(b"\r\n\r\n") + 4
        known = self._known_heads.get(data[:end])
        if known is None or len(data) - end != known.body_bytes:
            return False
        self._reusable = True
        reply.whole(known, data[end:])
        return True

    def _remember(self, reply: Reply) -> None:
        """Keep the head of a plain reply that came whole and alone."""
        data, length = self._fresh, reply.headers.get(b"content-length", b"")
        end = data.find(b"\r\n\r\n") + 4
        if end < 4 or not length.isdigit() or len(data) - end != int(length) or b"transfer-encoding" in reply.headers:
            return
        if len(self._known_heads) >= _MAX_KNOWN_HEADS:
            self._known_heads.clear()
        self._known_heads[data[:end]] = KnownHead(reply.status, reply.headers, int(length))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._reply is not None and not self._reply.complete:
            if self._reply.head_arrived and not self._framed and exc is None:
                self._reply.complete = True  # RFC 9112 section 6.3: without length or chunks the body ends with the connection
                self._reply.wake()
            else:
                self._reply.fail("The connection ended before the reply was complete.")

    # httptools

    def on_message_begin(self) -> None:
        if cast(Reply, self._reply).complete:
            raise ReplyBroken("A second reply follows that nobody asked for.", heard=True)  # the parser stops; the connection ends

    def on_header(self, name: bytes, value: bytes) -> None:
        reply = cast(Reply, self._reply)
        name = name.lower()
        if name == b"content-length" or name == b"transfer-encoding":
            self._framed = True
        reply.headers[name] = value

    def on_headers_complete(self) -> None:
        reply = cast(Reply, self._reply)
        reply.status = self._parser.get_status_code()
        if reply.status >= 200:
            reply.head_arrived = True

    def on_body(self, body: bytes) -> None:
        if cast(Reply, self._reply).feed(body) > _HIGH_WATER_BYTES and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        reply = cast(Reply, self._reply)
        if reply.status < 200:
            reply.headers.clear()  # an interim reply: the real one follows
            self._framed = False
            self._fresh = b""
            return
        self._reusable = self._parser.should_keep_alive()
        reply.complete = True
        if self._fresh and self._reusable:
            self._remember(reply)

    def _break(self, sentence: str) -> None:
        reply = cast(Reply, self._reply)
        self.abort()
        if reply.complete:
            reply.wake()
        else:
            reply.fail(sentence)


class Pool:
    """Idle connections to one server, the last used first."""

    def __init__(self, idle_seconds: float, max_idle: int) -> None:
        self._idle: deque[ClientConnection] = deque()
        self.known_heads: dict[bytes, KnownHead] = {}
        """Heads of replies that were read, shared by the connections."""
        self._idle_seconds = idle_seconds
        self._max_idle = max_idle

    def take(self, now: float, idle_seconds: float) -> ClientConnection | None:
        """A connection that is still good and idled less than `idle_seconds`, or None."""
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and now - connection.idle_since < min(idle_seconds, self._idle_seconds):
                return connection
            connection.abort()
        return None

    def give_back(self, connection: ClientConnection, now: float) -> None:
        """Keep a connection for the next call, or end it if it cannot carry one."""
        if connection.whole and len(self._idle) < self._max_idle:
            connection.idle_since = now
            self._idle.append(connection)  # `take` looks at it once more
        else:
            connection.abort()

    def sweep(self, now: float) -> None:
        """End connections that nobody used for longer than they may idle."""
        while self._idle and (now - self._idle[0].idle_since >= self._idle_seconds or not self._idle[0].reusable):
            self._idle.popleft().abort()

    def close(self) -> None:
        """End all idle connections."""
        while self._idle:
            self._idle.pop().abort()
