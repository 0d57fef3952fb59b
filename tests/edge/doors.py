"""A door in memory: the real connection and the real exchange, between a scripted transport and servers that a test holds in its hand."""

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from uvicorn import Config
from uvicorn.server import ServerState

from customhouse.adapters.sealers.aead import AeadSealer
from customhouse.adapters.sealers.keyring import first_keyring
from customhouse.config.load import load
from customhouse.config.tree import Sessions as SessionSettings
from customhouse.core.budget import Rate
from customhouse.core.identity import Caller, known
from customhouse.core.permit import Errand, Permit
from customhouse.core.record import Record
from customhouse.core.refusal import Reason, Refused
from customhouse.core.screening import Screening
from customhouse.edge.app import application
from customhouse.edge.protocol import Bounds, Connection, Door
from customhouse.gateway.admission import Admission
from customhouse.gateway.exchange import Exchange
from customhouse.gateway.live import Live, View
from customhouse.gateway.taskids import TaskIds
from customhouse.ports.traffic import Ask, Listener, UpstreamAnswer
from customhouse.wiring import build_conversations, build_view, read_deployment
from tests.gateway.support import approving_in_memory, rounds_over

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"
HOST = b"127.0.0.1:8080"
TOKEN = b"alice-of-eng"
URL = "http://127.0.0.1:8080"

BOUNDS = Bounds(
    max_head_bytes=16_384,
    max_body_bytes=65_536,
    head_timeout_seconds=10,
    body_timeout_seconds=30,
    idle_timeout_seconds=75,
    write_timeout_seconds=30,
    max_connections=100,
    keep_alive_comment_seconds=15,
)


class StillClock:
    """Time that moves when the test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> float:
        """See `ports.traffic.Clock`."""
        return self.seconds

    def monotonic(self) -> float:
        """See `ports.traffic.Clock`."""
        return self.seconds


class OneToken:
    """A verifier that knows one token, for every endpoint."""

    def __init__(self) -> None:
        facts = {"issuer": "urn:test", "tenant": "local", "person": "alice", "workload": "", "client": "test", "groups": ("eng",)}
        self._caller = known(Caller(**facts, expires_at=2e9))  # type: ignore[arg-type]

    def name_of(self, token: bytes, resource: str) -> object:
        """See `ports.traffic.Verifier`."""
        return token, resource

    def known(self, name: Any) -> Caller | None:
        """See `ports.traffic.Verifier`."""
        token, resource = name
        assert resource.startswith(URL)
        return self._caller if token == TOKEN else None

    async def verify(self, token: bytes, resource: str) -> Caller:
        """See `ports.traffic.Verifier`."""
        raise Refused(Reason.INVALID_TOKEN)


class Kept:
    """A ledger in a list."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.writable = True

    async def append(self, record: Record, *, durable: bool) -> None:
        """See `ports.traffic.Ledger`."""
        if not self.writable:
            raise Refused(Reason.LEDGER_UNAVAILABLE)
        self.records.append(record)


class HeldServer:
    """Answers calls when `release` is set, with as many bytes of text as it is told to; knows who gave up."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.release.set()
        self.called = asyncio.Event()
        self.left = asyncio.Event()
        self.text = "hello"
        self.events = 0
        self.asked: list[Ask] = []

    async def call(self, authority: Permit | Errand, ask: Ask, listener: Listener) -> UpstreamAnswer:
        """See `ports.traffic.Upstreams`."""
        self.asked.append(ask)
        self.called.set()
        try:
            for step in range(self.events):
                listener.notify("notifications/progress", {"progressToken": 1, "progress": step, "message": self.text})
                if (full := listener.room()) is not None:
                    await full
            await self.release.wait()
        except asyncio.CancelledError:
            self.left.set()
            raise
        return UpstreamAnswer({"content": msgspec.Raw(msgspec.json.encode([{"type": "text", "text": self.text}]))})


class Wire(asyncio.Transport):
    """A transport whose client reads at once, or nothing at all while it is `stuck`."""

    def __init__(self) -> None:
        super().__init__()
        self.connection: Connection
        self.out = bytearray()
        self.stuck = False
        self.reading = True
        self.ended = False
        self.closed = asyncio.Event()
        self.written = asyncio.Event()
        self.high_water_bytes = 65_536
        self._unsent = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.closed.is_set():
            return
        assert not self.ended, "written after the end"
        self.out += data
        self.written.set()
        if self.stuck:
            paused = self._unsent > self.high_water_bytes
            self._unsent += len(data)
            if self._unsent > self.high_water_bytes and not paused:
                self.connection.pause_writing()

    def drain(self) -> None:
        """The client reads again."""
        self.stuck, self._unsent = False, 0
        self.connection.resume_writing()

    def get_write_buffer_size(self) -> int:
        return self._unsent

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True
        self.written.set()

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed.is_set()

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self.closed.is_set():
            self.closed.set()
            self.written.set()
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


class Answered(msgspec.Struct, frozen=True):
    """One answer as a client reads it."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)


class Doorway:
    """A door with everything behind it; connections are opened with `connect`."""

    def __init__(self, bounds: Bounds = BOUNDS, *, max_requests_in_flight: int = 1000, max_streams: int = 1000) -> None:
        self.clock, self.ledger, self.server = StillClock(), Kept(), HeldServer()
        self.live = Live(quickstart_view())
        admission = Admission(Rate(1e6, 1_000_000), Rate(1e6, 1_000_000), max_requests_in_flight, max_streams)
        ids = iter(range(1 << 30))
        sealer = AeadSealer(first_keyring(self.clock.now()), self.clock)
        self.conversations = build_conversations(SessionSettings(), sealer, self.clock, lambda: f"{next(ids):032x}", lambda _: None)
        self.exchange = exchange = Exchange(
            live=self.live,
            verifier=OneToken(),
            admission=admission,
            rounds=rounds_over(self.server, self.clock, lambda: f"{next(ids):032x}"),
            ledger=self.ledger,
            clock=self.clock,
            new_id=lambda: f"{next(ids):032x}",
            argument_key=b"k" * 32,
            public_url=URL,
            observe=lambda record: None,
            conversations=self.conversations,
            task_ids=TaskIds(sealer),
            approving=approving_in_memory(sealer, self.ledger, self.clock, lambda: f"{next(ids):032x}"),
        )
        self.conditions = {"listening": True}
        app = application(self.live, issuers=["urn:test"], ready=lambda: self.conditions, metrics=lambda: b"customhouse_x 1\n")
        self.connections: set[Connection] = set()
        self.door = Door(exchange, self.live, admission, self.clock, bounds, app, self.connections)
        self.state = ServerState()
        self.state.default_headers = [(b"date", b"Thu, 01 Jan 1970 00:00:00 GMT")]

    def connect(self) -> "Client":
        """A client on a connection of its own."""
        wire = Wire()
        config = Config(app=self.door.application)
        wire.connection = Connection(self.door, config=config, server_state=self.state, app_state={})
        wire.connection.connection_made(wire)
        return Client(wire)

    @property
    def outcomes(self) -> list[str]:
        """How the exchanges ended, by the ledger."""
        return [record.outcome for record in self.ledger.records if record.kind == "closing"]


class Client:
    """Sends raw bytes and reads answers."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.connection = wire.connection

    def send(self, data: bytes) -> None:
        """Bytes on their way to the gateway, as one segment."""
        self.connection.data_received(data)

    async def answers(self, count: int, *, methods: Sequence[bytes] = ()) -> list[Answered]:
        """The next answers, in order; fewer if the connection ends before."""
        found: list[Answered] = []
        while len(found) < count:
            self.wire.written.clear()
            answer = self._next(methods[len(found)] if methods else b"POST")
            if answer is not None:
                found.append(answer)
            elif self.wire.closed.is_set() or self.wire.ended:
                break
            else:
                async with asyncio.timeout(5):
                    await self.wire.written.wait()
        return found

    async def answer(self, method: bytes = b"POST") -> Answered:
        """The next answer."""
        (only,) = await self.answers(1, methods=[method])
        return only

    async def ask(self, data: bytes) -> Answered:
        """Send one request and read its answer."""
        self.send(data)
        return await self.answer(data.partition(b" ")[0])

    async def closed(self) -> None:
        """Returns when the gateway has ended the connection, or at least its side of it."""
        async with asyncio.timeout(5):
            while not (self.wire.ended or self.wire.closed.is_set()):
                self.wire.written.clear()
                await self.wire.written.wait()

    def _next(self, method: bytes) -> Answered | None:
        taken = parse_answer(bytes(self.wire.out), method)
        if taken is None:
            return None
        answer, size = taken
        del self.wire.out[:size]
        return answer


def parse_answer(data: bytes, method: bytes = b"POST") -> tuple[Answered, int] | None:
    """The first whole answer in these bytes and its size, or None; strict about what it takes."""
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None
    status_line, *lines = head.decode("ascii").split("\r\n")
    version, status, _ = status_line.split(" ", 2)
    assert version == "HTTP/1.1"
    pairs = [line.split(": ", 1) for line in lines]
    headers = {name.lower(): value for name, value in pairs}
    assert len(headers) == len(pairs), f"a header twice: {head!r}"
    size = len(head) + 4
    if status == "100" or method == b"HEAD":
        return Answered(int(status), headers, b""), size
    if headers.get("transfer-encoding") == "chunked":
        unchunked = parse_chunks(rest)
        return None if unchunked is None else (Answered(int(status), headers, unchunked[0]), size + unchunked[1])
    length = int(headers["content-length"])
    return None if len(rest) < length else (Answered(int(status), headers, rest[:length]), size + length)


def parse_chunks(data: bytes) -> tuple[bytes, int] | None:
    """A chunked body and its size on the wire, or None if it is not whole."""
    body, position = b"", 0
    while True:
        line, end, _ = data[position:].partition(b"\r\n")
        if not end:
            return None
        size = int(line, 16)
        position += len(line) + 2
        if len(data) < position + size + 2:
            return None
        body += data[position : position + size]
        assert data[position + size : position + size + 2] == b"\r\n"
        position += size + 2
        if size == 0:
            return body, position


def request(
    method: bytes = b"POST", target: bytes = b"/mcp", headers: Sequence[bytes] = (), body: bytes | None = b"{}", *, host: bytes = HOST
) -> bytes:
    """A plain request; a body comes with its length."""
    lines = [method + b" " + target + b" HTTP/1.1", b"Host: " + host, *headers]
    if body is not None:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


MCP = (b"Authorization: Bearer " + TOKEN, b"Content-Type: application/json", b"Accept: application/json, text/event-stream")


def legacy(method: str = "ping", params: Mapping[str, Any] | None = None, message_id: int = 1, headers: Sequence[bytes] = ()) -> bytes:
    """A whole request in the legacy era."""
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": message_id, "method": method, "params": params or {}})
    return request(headers=[*MCP, b"MCP-Protocol-Version: 2025-11-25", *headers], body=body)


def modern(
    method: str = "tools/list", params: Mapping[str, Any] | None = None, message_id: int = 1, headers: Sequence[bytes] = ()
) -> bytes:
    """A whole request in the modern era."""
    prefix = "io.modelcontextprotocol/"
    meta = {f"{prefix}protocolVersion": "2026-07-28", f"{prefix}clientCapabilities": {}, "progressToken": "p"}
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": message_id, "method": method, "params": {**(params or {}), "_meta": meta}})
    named = [b"Mcp-Name: " + str(params["name"]).encode()] if params and "name" in params else []
    own = [b"MCP-Protocol-Version: 2026-07-28", b"Mcp-Method: " + method.encode(), *named]
    return request(headers=[*MCP, *own, *headers], body=body)


def read_note(message_id: int = 1) -> bytes:
    """A call of a tool, in the modern era."""
    return modern("tools/call", {"name": "notes__read_note", "arguments": {"title": "welcome"}}, message_id)


@cache
def quickstart_view() -> View:
    """The view of the quickstart's deployment; its server's answers are about the wire, not about what the tools declare."""
    deployment = read_deployment(load(QUICKSTART, {}))
    lenient = tuple(msgspec.structs.replace(one, screening=Screening(output="pass")) for one in deployment.definitions)
    return build_view(dataclasses.replace(deployment, definitions=lenient))
