"""One HTTP/1.1 connection to a server, and the pool that keeps connections warm.

Source: RFC 9112. A reply is complete by its framing only: a connection that ends earlier breaks the reply, it never shortens it.
Reading pauses while nobody takes what has arrived, so a slow reader slows the server, not the memory.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import cast

import httptools

_HIGH_WATER_BYTES = 262_144
"""What may wait for the reader of one reply before the socket is left alone: four reads of 64 KiB."""

_MAX_HEAD_BYTES = 65_536
"""Status line and headers of a reply; common servers send less than 1 KiB."""


class ReplyBroken(Exception):
    """The connection ended or sent rubbish before the reply was complete. `heard` tells whether any byte of it had arrived."""

    def __init__(self, sentence: str, *, heard: bool) -> None:
        super().__init__(sentence)
        self.heard = heard


class Reply:
    """The reply to one request, as it arrives."""

    __slots__ = ("_broken", "_chunks", "_connection", "_held", "_waiter", "complete", "head_arrived", "headers", "heard", "status")

    def __init__(self, connection: "ClientConnection") -> None:
        self._connection = connection
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._waiter: asyncio.Future[None] | None = None
        self._broken: ReplyBroken | None = None
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.heard = False
        self.head_arrived = False
        self.complete = False

    async def head(self) -> None:
        """Wait for the status and headers. Raises `ReplyBroken`."""
        while not self.head_arrived:
            await self._wait()

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
            await self._wait()

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

    def feed(self, chunk: bytes) -> int:
        """Take a piece of the body; the number of bytes that wait for the reader."""
        self._chunks.append(chunk)
        self._held += len(chunk)
        self._wake()
        return self._held

    def finish(self) -> None:
        """The framing says that this is all."""
        self.complete = True
        self._wake()

    def arrived(self) -> None:
        """Status and headers are there."""
        self.head_arrived = True
        self._wake()

    def fail(self, sentence: str) -> None:
        """Nothing more will come."""
        if not self.complete:
            self._broken = ReplyBroken(sentence, heard=self.heard)
            self._wake()

    async def _wait(self) -> None:
        if self._broken is not None:
            raise self._broken
        self._waiter = self._connection.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class ClientConnection(asyncio.Protocol):
    """A connection that carries one request at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.closed = False
        self.idle_since = 0.0
        self._transport: asyncio.Transport
        self._parser: httptools.HttpResponseParser
        self._reply: Reply | None = None
        self._reusable = False
        self._framed = False
        self._head_bytes = 0
        self._paused = False

    # What the pool's user does.

    def send(self, request: bytes) -> Reply:
        """Send one whole request; the reply fills as it arrives."""
        self._reply = Reply(self)
        self._reusable = False
        self._framed = False
        self._head_bytes = 0
        if self.closed:
            self._reply.fail("The connection was closed before the request was sent.")
        else:
            self._transport.write(request)
        return self._reply

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
        reply.heard = True
        if not reply.head_arrived:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserCallbackError, httptools.HttpParserUpgrade):
            self._break("The server sent something that is not HTTP/1.1.")
            return
        if not reply.head_arrived and self._head_bytes > _MAX_HEAD_BYTES:
            self._break("The head of the reply is too large.")

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._reply is not None and not self._reply.complete:
            if self._reply.head_arrived and not self._framed and exc is None:
                self._reply.finish()  # RFC 9112 section 6.3: without length or chunks the body ends with the connection
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
            reply.arrived()

    def on_body(self, body: bytes) -> None:
        if cast(Reply, self._reply).feed(body) > _HIGH_WATER_BYTES and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        reply = cast(Reply, self._reply)
        if reply.status < 200:
            reply.headers.clear()  # an interim reply: the real one follows
            self._framed = False
            return
        self._reusable = self._parser.should_keep_alive()
        reply.finish()

    def _break(self, sentence: str) -> None:
        cast(Reply, self._reply).fail(sentence)
        self.abort()


class Pool:
    """Idle connections to one server, the last used first."""

    def __init__(self, idle_seconds: float, max_idle: int) -> None:
        self._idle: deque[ClientConnection] = deque()
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
        if connection.reusable and len(self._idle) < self._max_idle:
            connection.idle_since = now
            self._idle.append(connection)
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
