"""A small server of the transport of 2024-11-05 on loopback: a test scripts the stream and every message that comes up."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from customhouse.adapters.upstreams.eventsource import EventSourceServer
from customhouse.core.manifest import BearerCredential, Era, ServerDefinition
from customhouse.core.permit import Errand, Permit, Purpose
from customhouse.ports.traffic import Ask, UpstreamAnswer
from tests.upstreams.programs import Person
from tests.upstreams.support import Machine, Noted, OneSecret

INITIALIZED = {"protocolVersion": "2024-11-05", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}


@dataclass
class Message:
    """One message as the server got it."""

    server: "SseServer"
    stream: int
    headers: dict[str, str]
    body: dict[str, Any]
    path: str

    async def say(self, message: object) -> None:
        await self.server.event(self.stream, message)

    async def result(self, value: object) -> None:
        await self.say({"jsonrpc": "2.0", "id": self.body["id"], "result": value})


Script = Callable[[Message], Awaitable[int | None]]


async def handshake(message: Message) -> None:
    """Greets; answers every other request with its own parameters."""
    if message.body.get("method") == "initialize":
        await message.result(INITIALIZED)
    elif "id" in message.body and "method" in message.body:
        await message.result({"content": [{"type": "text", "text": json.dumps(message.body["params"].get("arguments"))}]})


@dataclass
class SseServer:
    """Streams and messages, one connection each."""

    script: Script = handshake
    first_event: bytes = b"event: endpoint\ndata: /messages?session=%d\n\n"
    stream_head: bytes = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    port: int = 0
    streams: list[asyncio.StreamWriter] = field(default_factory=list)
    ended: list[asyncio.Event] = field(default_factory=list)
    got: list[Message] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def event(self, stream: int, message: object) -> None:
        await self.raw(stream, b"event: message\ndata: " + json.dumps(message).encode() + b"\n\n")

    async def raw(self, stream: int, data: bytes) -> None:
        self.streams[stream].write(b"%x\r\n%b\r\n" % (len(data), data))
        await self.streams[stream].drain()

    def methods(self) -> list[str]:
        return [message.body.get("method", "") for message in self.got]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                first, *lines = head.decode().strip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                if first.startswith("GET"):
                    await self._stream(reader, writer)
                    return
                body = json.loads(await reader.readexactly(int(headers["content-length"])))
                path = first.split()[1]
                number = int(path.rpartition("=")[2]) if "=" in path else len(self.streams) - 1
                message = Message(self, number, headers, body, path)
                self.got.append(message)
                status = await self.script(message)
                writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 8\r\n\r\nAccepted" % (status or 202))
                await writer.drain()

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.streams)
        self.streams.append(writer)
        self.ended.append(asyncio.Event())
        writer.write(self.stream_head)
        if b"chunked" in self.stream_head:
            await self.raw(number, self.first_event % number if b"%d" in self.first_event else self.first_event)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        self.ended[number].set()


class Up:
    """The gateway's side of one such server."""

    def __init__(self, server: SseServer, **more: Any) -> None:
        self.web = server
        self.clock = Machine()
        fixed: dict[str, Any] = {
            "name": "sse",
            "owner": "o",
            "contact": "c",
            "tenant": "acme",
            "url": f"http://127.0.0.1:{server.port}/sse?x=1",
            "credential": BearerCredential("env:TOKEN"),
            "connect_timeout_seconds": 1.0,
            "max_result_bytes": 100_000,
        }
        self.definition = ServerDefinition(**(fixed | more))
        self.errand = Errand(Purpose.PROBE, self.definition)
        self.noted = Noted()
        self.person = Person()
        self.server = EventSourceServer(self.definition, OneSecret(), self.clock, self.noted, ssl.create_default_context())

    async def call(
        self, arguments: object = None, *, key: str = "", write: bool = False, seconds: float = 5.0, **more: Any
    ) -> UpstreamAnswer:
        permit = Permit("call", self.definition, key, write)
        person = more.pop("person", self.person)
        params = {"name": "t", "arguments": arguments}
        ask = Ask("tools/call", params, more.pop("era", Era.LEGACY), self.clock.monotonic() + 5.0, **more)
        return await self.server.call(permit, ask, person)


@contextlib.asynccontextmanager
async def up(script: Script = handshake, *, definition: dict[str, Any] | None = None, **more: Any) -> AsyncIterator[Up]:
    """The gateway's side of a server with this script."""
    web = SseServer(script, **more)
    listening = await asyncio.start_server(web.serve, "127.0.0.1", 0)
    web.port = listening.sockets[0].getsockname()[1]
    here = Up(web, **(definition or {}))
    try:
        yield here
    finally:
        await here.server.close()
        listening.close()
        for writer in web.writers:
            writer.transport.abort()
        await asyncio.sleep(0)
