"""MCP servers over HTTP+SSE, the transport of 2024-11-05: a stream of events comes down, each message goes up in a POST of its own.

Source: MCP 2024-11-05, basic/transports, HTTP with SSE: the first event names the endpoint that takes messages, all others are messages.
The endpoint must have the origin of the stream: anything else would let a server aim the gateway and its credential at another host.
A stream that broke is not resumed, the transport has no ids for that; the next call opens a new one.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urljoin, urlsplit

from customhouse import __version__
from customhouse.adapters.upstreams.answers import broken, judge_status
from customhouse.adapters.upstreams.channels import Channels
from customhouse.adapters.upstreams.dialling import Address, address_of, dial
from customhouse.adapters.upstreams.duplex import Conversation
from customhouse.core.manifest import ServerDefinition
from customhouse.core.protocol.sse import EventReader, EventTooLarge
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.traffic import Clock, Hearing, Secrets
from customhouse.wire.client import ClientConnection, Pool, Reply, ReplyBroken

IDLE_SECONDS = 1.0
"""How long a connection may have idled to carry a message: one that the server is just closing could not be told from one that it read."""

MAX_REPLY_BYTES = 65_536
"""What may come back on a POST. It is dropped: answers come on the stream."""

MAX_ENDPOINT_CHARACTERS = 4_096
"""Longer than any address that a server can mean."""


class NoStream(Refused):
    """The server answers, but not with a stream: it does not speak this transport, or not any more."""


class EventSourceServer(Channels):
    """One server over HTTP+SSE; a channel is a stream and the endpoint it named."""

    may_be_modern = False

    def __init__(self, definition: ServerDefinition, secrets: Secrets, clock: Clock, hearing: Hearing, tls: ssl.SSLContext) -> None:
        super().__init__(definition, clock, hearing)
        self.pool = Pool(IDLE_SECONDS, definition.max_concurrent_calls)
        self.tls = tls
        self.clock = clock
        self._secrets = secrets
        self._address = address_of(definition.url)

    async def connect(self, conversation: Conversation) -> None:
        """Open a stream and wait for its first event. The base bounds the time."""
        connection = await dial(self.definition, self._address, self.tls, self.pool.known_heads)
        try:
            reply = connection.send(self._head("GET", self._address) + b"accept: text/event-stream\r\ncache-control: no-store\r\n\r\n")
            await reply.head()
            judge_status(reply.status, reply.headers)
            kind = reply.headers.get(b"content-type", b"").split(b";")[0].strip().lower()
            if reply.status != 200 or kind != b"text/event-stream":
                raise NoStream(Reason.UPSTREAM_FAILED, note=f"status {reply.status}, {kind.decode('latin-1')[:80]} in place of a stream")
            events = _events(reply, self.definition.max_result_bytes)
            endpoint = endpoint_of(self.definition.url, await anext(events, (b"", b"")))
        except ReplyBroken as dead:
            raise Refused(Reason.UPSTREAM_DIED, note=str(dead)) from None
        except BaseException:
            connection.abort()
            raise
        channel = Stream(self, connection, self._head("POST", endpoint) + b"content-type: application/json\r\n", conversation)
        conversation.begin(channel)
        channel.reading = self.keep(channel.read(events))

    def sweep(self, now: float) -> None:
        """See `Channels.sweep`."""
        super().sweep(now)
        self.pool.sweep(now)

    async def close(self) -> None:
        """End all streams, then all connections."""
        await super().close()
        self.pool.close()

    def _head(self, verb: str, address: Address) -> bytes:
        lines = [f"{verb} {address.target} HTTP/1.1", f"host: {address.host_header}", f"user-agent: customhouse/{__version__}"]
        if self.definition.credential is not None:
            lines.append(f"authorization: Bearer {self._secrets.read(self.definition.credential.bearer)}")
        return "".join(f"{line}\r\n" for line in lines).encode("ascii")


class Stream:
    """The channel of one stream; implements `duplex.Channel`."""

    def __init__(self, server: EventSourceServer, connection: ClientConnection, head: bytes, conversation: Conversation) -> None:
        self.reading: asyncio.Task[Any]
        self._server = server
        self._connection = connection
        self._head = head
        self._conversation = conversation

    async def send(self, message: bytes) -> None:
        """One POST; returns once the server has taken it. It is never sent twice."""
        server = self._server
        connection = server.pool.take(server.clock.monotonic(), IDLE_SECONDS)
        if connection is None:
            connection = await dial(server.definition, address_of(server.definition.url), server.tls, server.pool.known_heads)
        try:
            reply = connection.send(b"%bcontent-length: %d\r\n\r\n%b" % (self._head, len(message), message))
            await reply.head()
            judge_status(reply.status, reply.headers)
            body = await reply.body(MAX_REPLY_BYTES)
        except ReplyBroken as dead:
            raise Refused(Reason.UPSTREAM_DIED, note=str(dead)) from None
        except BaseException:
            connection.abort()
            raise
        if body is None:
            connection.abort()
        else:
            server.pool.give_back(connection, server.clock.monotonic())
        if reply.status >= 300:
            if reply.status == 404:  # the server has forgotten the stream, which it then does not use either
                self._conversation.end(Refused(Reason.UPSTREAM_DIED, note="the server does not know its own endpoint"))
            raise Refused(Reason.UPSTREAM_FAILED, note=f"status {reply.status}")

    def end(self) -> None:
        """The server sees the end of the stream and forgets it."""
        self.reading.cancel()

    async def read(self, events: AsyncIterator[tuple[bytes, bytes]]) -> None:
        """Hand on what the server says until the stream ends."""
        why = Refused(Reason.UPSTREAM_DIED, note="the stream ended")
        try:
            async for name, data in events:
                if name in (b"", b"message"):
                    self._conversation.receive(data)
                if pause := self._conversation.pause_seconds():
                    await asyncio.sleep(pause)
        except ReplyBroken as dead:
            why = Refused(Reason.UPSTREAM_DIED, note=str(dead))
        except EventTooLarge:
            why = Refused(Reason.RESULT_TOO_LARGE, {"allowedBytes": self._server.definition.max_result_bytes})
        finally:
            self._connection.abort()
        self._conversation.end(why)


class _NamedReader(EventReader):
    """Tells the name of an event beside its data, and tells events of every name."""

    by_line = True

    __slots__ = ("names",)

    def __init__(self, max_event_bytes: int) -> None:
        super().__init__(max_event_bytes)
        self.names: list[bytes] = []

    def _dispatch(self) -> bytes | None:
        name, self._event = self._event, b""
        data = super()._dispatch()
        if data is not None:
            self.names.append(name)
        return data


async def _events(reply: Reply, max_event_bytes: int) -> AsyncIterator[tuple[bytes, bytes]]:
    """Name and data of each event."""
    reader = _NamedReader(max_event_bytes)
    async for chunk in reply.chunks():
        for data in reader.feed(chunk):
            yield reader.names.pop(), data


def endpoint_of(stream_url: str, event: tuple[bytes, bytes]) -> Address:
    """Where messages go, from the first event of a stream. Raises `Refused`: it must name the endpoint, at the origin of the stream."""
    name, data = event
    if name != b"endpoint":
        raise broken("the first event of the stream names no endpoint")
    text = data.decode("latin-1")
    if len(text) > MAX_ENDPOINT_CHARACTERS or not all("!" <= character <= "~" for character in text):
        raise broken("the endpoint is no address")
    try:
        url = urljoin(stream_url, text)
        same = _origin(url) == _origin(stream_url) and urlsplit(url).username is None
    except ValueError:
        raise broken("the endpoint is no address") from None
    if not same:
        raise Refused(Reason.ADDRESS_REFUSED, note="the endpoint of the stream has another origin")
    return address_of(url)


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme)
