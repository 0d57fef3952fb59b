"""Small hostile servers on loopback: a test scripts what each connection says, byte by byte."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from customhouse.adapters.upstreams.streamable import StreamableServer
from customhouse.adapters.upstreams.transports import TransportUpstreams
from customhouse.core.manifest import BearerCredential, Era, ServerDefinition
from customhouse.core.permit import Errand, Permit, Purpose
from customhouse.ports.traffic import Ask, UpstreamAnswer

SECRET = "the-gateways-own-secret"


class Machine:
    """The machine's clock, as the event loop reads it, moved ahead where a test says so."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return 0.0

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead


class OneSecret:
    """Knows one secret."""

    def read(self, reference: str) -> str:
        assert reference == "env:TOKEN"
        return SECRET


@dataclass
class Heard:
    """What a server of an upstream says besides its answer."""

    said: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def notify(self, method: str, params: dict[str, Any]) -> None:
        self.said.append((method, params))

    def room(self) -> Awaitable[None] | None:
        return None

    async def ask(self, method: str, params: dict[str, Any], revision: str) -> dict[str, Any]:
        self.said.append((method, params))
        return await self.answers(method, params, revision)

    async def answers(self, method: str, params: dict[str, Any], revision: str) -> dict[str, Any]:
        return {"error": {"code": -1, "message": "no"}}


@dataclass
class Noted:
    """What a server said outside of calls."""

    lists: list[tuple[str, str]] = field(default_factory=list)
    resources: list[tuple[str, str, str]] = field(default_factory=list)

    def changed(self, server: str, kind: str) -> None:
        self.lists.append((server, kind))

    def updated(self, server: str, session_key: str, uri: str) -> None:
        self.resources.append((server, session_key, uri))


@dataclass
class Got:
    """One request as the server saw it."""

    verb: str
    headers: dict[str, str]
    message: dict[str, Any]
    raw: bytes
    writer: asyncio.StreamWriter
    reader: asyncio.StreamReader
    connection: int
    ended: asyncio.Event
    """Set once the server has seen the end of the connection."""

    @property
    def method(self) -> str:
        return str(self.message.get("method", ""))

    @property
    def id(self) -> Any:
        return self.message.get("id")

    async def send(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()

    async def json(self, message: object, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        await self.send(reply(message if isinstance(message, bytes) else json.dumps(message).encode(), status, headers))

    async def result(self, value: object, headers: Mapping[str, str] | None = None) -> None:
        await self.json({"jsonrpc": "2.0", "id": self.id, "result": value}, headers=headers)

    async def error(self, code: int, status: int = 200, data: object = None) -> None:
        said = {"code": code, "message": "m"} | ({} if data is None else {"data": data})
        await self.json({"jsonrpc": "2.0", "id": self.id, "error": said}, status)

    async def stream(self) -> None:
        await self.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")

    async def event(self, message: object) -> None:
        await self.send(chunk(b"data: " + json.dumps(message).encode() + b"\n\n"))

    async def end(self) -> None:
        await self.send(b"0\r\n\r\n")

    async def gone(self) -> None:
        """Return once the client has closed the connection."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def reply(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    lines = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body


Script = Callable[[Got], Awaitable[None]]


class Hostile:
    """A server whose script answers each request; everything it saw is kept."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.got: list[Got] = []
        self.connections = 0
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._waiting: list[tuple[Callable[[Got], bool], asyncio.Future[Got]]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number, ended = self.connections, asyncio.Event()
        self._writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                first, *lines = head.decode("latin-1").strip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                message = json.loads(body) if body else {}
                got = Got(first.split()[0], headers, message, head + body, writer, reader, number, ended)
                self.got.append(got)
                for wanted, future in self._waiting:
                    if not future.done() and wanted(got):
                        future.set_result(got)
                await self.script(got)
        ended.set()

    def until(self, wanted: Callable[[Got], bool]) -> "asyncio.Future[Got]":
        """The next request that is wanted."""
        future: asyncio.Future[Got] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, future))
        return future

    def methods(self) -> list[str]:
        return [got.method or got.verb for got in self.got]

    def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


class Link:
    """The upstream side of a gateway, in front of one hostile server."""

    def __init__(self, server: Hostile, **more: Any) -> None:
        self.server = server
        self.clock = Machine()
        self.noted = Noted()
        self.upstreams = TransportUpstreams(OneSecret(), self.clock, self.noted)
        fixed: dict[str, Any] = {
            "name": "hostile",
            "owner": "o",
            "contact": "c",
            "tenant": "acme",
            "url": f"http://127.0.0.1:{server.port}/mcp?x=1",
            "credential": BearerCredential("env:TOKEN"),
            "call_timeout_seconds": 5.0,
            "connect_timeout_seconds": 1.0,
            "max_result_bytes": 100_000,
        }
        self.definition = ServerDefinition(**(fixed | more))
        self.errand = Errand(Purpose.PROBE, self.definition)
        self.heard = Heard()

    @property
    def streamable(self) -> StreamableServer:
        server = self.upstreams._servers[id(self.definition)]
        assert isinstance(server, StreamableServer)
        return server

    async def call(
        self, era: Era = Era.MODERN, *, write: bool = False, seconds: float = 5.0, key: str = "", listener: Heard | None = None, **more: Any
    ) -> UpstreamAnswer:
        permit = Permit("call", self.definition, key, write)
        ask = Ask(
            more.pop("method", "tools/call"),
            more.pop("params", {"name": "t", "arguments": {}}),
            era,
            self.clock.monotonic() + seconds,
            **more,
        )
        return await self.upstreams.call(permit, ask, listener or self.heard)


@contextlib.asynccontextmanager
async def linked(script: Script, **more: Any) -> AsyncIterator[Link]:
    """A link to a server with this script."""
    hostile = Hostile(script)
    listening = await asyncio.start_server(hostile.serve, "127.0.0.1", 0)
    hostile.port = listening.sockets[0].getsockname()[1]
    link = Link(hostile, **more)
    try:
        yield link
    finally:
        await link.upstreams.close()
        listening.close()
        hostile.close()
        await asyncio.sleep(0)


DISCOVERED = {"supportedVersions": ["2026-07-28"], "capabilities": {}, "resultType": "complete"}
INITIALIZED = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
DONE = {"content": [{"type": "text", "text": "done"}]}


def modern(call: Script) -> Script:
    """A modern server that handles calls as told."""

    async def script(got: Got) -> None:
        if got.method == "server/discover":
            await got.result(DISCOVERED)
        else:
            await call(got)

    return script


def legacy(call: Script, *, session: str = "s-1", initialized: Mapping[str, Any] | None = None) -> Script:
    """A legacy server that handles calls as told."""

    async def script(got: Got) -> None:
        if got.method == "server/discover":
            await got.error(-32601)
        elif got.verb == "GET":
            await got.json(b"", 405)
        elif got.method == "initialize":
            await got.result(initialized or INITIALIZED, {"mcp-session-id": session} if session else None)
        elif got.method.startswith("notifications/") or "method" not in got.message:  # a DELETE, too
            await got.send(reply(b"", 202, {"content-type": ""}))
        else:
            await call(got)

    return script


async def done(got: Got) -> None:
    await got.result(DONE)


def content(answer: UpstreamAnswer) -> Any:
    return msgspec.json.decode((answer.result or {})["content"])
