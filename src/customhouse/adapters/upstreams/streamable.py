"""MCP servers over Streamable HTTP, in both eras: one upstream request per call once warm.

Sources: MCP 2026-07-28, basic/transports/streamable-http and basic/versioning; MCP 2025-11-25, basic/transports and basic/lifecycle.

Connections are pooled per server. Legacy sessions are opened at first use and kept per caller's authorisation context, or shared where a
reviewer marked the server stateless. A request that a server may have read is sent again only if it changes nothing.
"""

import asyncio
import itertools
import logging
import ssl
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import msgspec

from customhouse import __version__
from customhouse.adapters.upstreams.answers import (
    MODERN_ERRORS,
    Message,
    answer_of,
    broken,
    decoded,
    judge_status,
    plain_result,
    read_answer,
)
from customhouse.adapters.upstreams.dialling import Address, address_of, dial
from customhouse.adapters.upstreams.stream import CallStream
from customhouse.core.manifest import Era, ServerDefinition
from customhouse.core.permit import Errand, Permit
from customhouse.core.protocol.paramheaders import encode_value
from customhouse.core.protocol.revisions import (
    LEGACY_REVISIONS,
    META_CAPABILITIES,
    META_CLIENT,
    META_LOG_LEVEL,
    META_VERSION,
    MODERN_REVISIONS,
    NAMED_BY,
    NEWEST_LEGACY,
    NEWEST_MODERN,
)
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.traffic import Ask, Clock, Listener, Secrets, UpstreamAnswer
from customhouse.wire.client import ClientConnection, KnownHead, Pool, Reply, ReplyBroken
from customhouse.wire.deadlines import Deadlines

log = logging.getLogger(__name__)

CLIENT_INFO = {"name": "customhouse", "version": __version__}

IDLE_SECONDS = 4.0
"""How long a connection may idle: under the 5 s after which uvicorn, and so the official Python SDK, closes it."""

WRITE_IDLE_SECONDS = 1.0
"""How long a connection may have idled to carry a write: one that the server is just closing could not be told from one that it read."""

DRAIN_SECONDS = 1.0
"""How long a server may take to end a stream after its answer, if the connection is to be used again."""

VERDICT_SECONDS = 300.0
"""How long a server that did not speak an era is not asked again."""

MAX_SESSIONS = 1_000
"""Legacy sessions kept per server, the least recently used ended first."""

MAX_HEADS = 1_024
"""Request heads kept per server; when there are more, all are made again at need."""

_PLAIN_META = msgspec.Raw(msgspec.json.encode({META_VERSION: NEWEST_MODERN, META_CAPABILITIES: {}, META_CLIENT: CLIENT_INFO}))


Dial = Callable[[ServerDefinition, Address, ssl.SSLContext, dict[bytes, KnownHead]], Coroutine[Any, Any, ClientConnection]]
Connect = Callable[[ServerDefinition, Address, dict[bytes, KnownHead]], Coroutine[Any, Any, ClientConnection]]


class StreamableUpstreams:
    """All servers of a deployment, by the definition in the authority."""

    def __init__(self, secrets: Secrets, clock: Clock, dialled: Dial = dial) -> None:
        """`dialled` makes connections; a bench hands in its own, which goes nowhere."""
        self._secrets = secrets
        self._dialled = dialled
        self._clock = clock
        self._servers: dict[str, StreamableServer] = {}
        self._deadlines = Deadlines(clock.monotonic)
        self._tls = ssl.create_default_context()  # one for all: building one costs 5 to 25 ms

    def call(self, authority: Permit | Errand, ask: Ask, listener: Listener) -> Coroutine[Any, Any, UpstreamAnswer]:
        """See `ports.traffic.Upstreams`."""
        return self._server(authority.server).call(authority, ask, listener)

    async def era_of(self, errand: Errand) -> Era:
        """The era to capture a server in: modern if it speaks it, else legacy. Raises `Refused` if it speaks neither or is away."""
        server = self._server(errand.server)
        deadline = self._clock.monotonic() + errand.server.call_timeout_seconds
        return Era.MODERN if await server.speaks_modern(deadline) else Era.LEGACY

    async def discovery(self, errand: Errand, era: Era) -> dict[str, Any]:
        """What the server says of itself: its DiscoverResult or InitializeResult, decoded strictly."""
        server = self._server(errand.server)
        deadline = self._clock.monotonic() + errand.server.call_timeout_seconds
        if era is Era.LEGACY:
            return (await server.session("", deadline)).initialize_result
        answer = await self.call(errand, Ask("server/discover", {}, era, deadline), SILENT)
        return decoded(answer.result or {})

    def sweep(self) -> None:
        """End idle connections; called once a second."""
        for server in self._servers.values():
            server.pool.sweep(self._clock.monotonic())

    async def close(self) -> None:
        """End all sessions and connections."""
        for server in self._servers.values():
            await server.close()

    def _connect(
        self, server: ServerDefinition, address: Address, known_heads: dict[bytes, KnownHead]
    ) -> Coroutine[Any, Any, ClientConnection]:
        return self._dialled(server, address, self._tls, known_heads)

    def _server(self, definition: ServerDefinition) -> "StreamableServer":
        server = self._servers.get(definition.name)
        if server is None or server.definition is not definition:
            server = self._servers[definition.name] = StreamableServer(
                definition, self._secrets, self._clock, self._deadlines, self._connect
            )
        return server


class Session(msgspec.Struct):
    """A legacy session at a server."""

    revision: str
    head: bytes
    """The request head with the session's own headers."""
    initialize_result: dict[str, Any]


class StreamableServer:
    """One server: its address, its credential, its warm connections and sessions."""

    def __init__(self, definition: ServerDefinition, secrets: Secrets, clock: Clock, deadlines: Deadlines, connect: Connect) -> None:
        self.definition = definition
        self._deadlines = deadlines
        self._connect = connect
        self.pool = Pool(IDLE_SECONDS, definition.max_concurrent_calls)
        self._secrets = secrets
        self._clock = clock
        self._address = address_of(definition.url)
        self._ids = itertools.count(1)
        self._head = self._build_head()
        self._heads: dict[tuple[str, str], bytes] = {}
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._opening: dict[str, asyncio.Task[Session]] = {}
        self._modern: bool | None = None
        self._probing: asyncio.Task[bool] | None = None
        self._no_legacy_until = 0.0
        self._no_modern_until = 0.0
        self._errands: set[asyncio.Task[None]] = set()

    async def call(self, authority: Permit | Errand, ask: Ask, listener: Listener) -> UpstreamAnswer:
        """One request and its answer, in the era of the ask."""
        once = isinstance(authority, Permit) and authority.changes_things
        if ask.era is Era.MODERN:
            if not self._modern and not await self.speaks_modern(ask.deadline):
                raise Refused(Reason.ERA_UNSUPPORTED, {"speaks": "legacy"})
            request, own_id = self._modern_request(ask)
            return await self._exchange(request, own_id, ask, listener, None, once=once)
        return await self._legacy_call(authority.session_key if isinstance(authority, Permit) else "", ask, listener, once=once)

    # Eras

    async def speaks_modern(self, deadline: float) -> bool:
        """Whether the server speaks the modern era: asked once with `server/discover`, the answer kept. Raises `Refused` if it is away."""
        if self._modern is None or (not self._modern and self._clock.monotonic() > self._no_modern_until):
            if self._probing is None or self._probing.done():
                self._probing = asyncio.get_running_loop().create_task(self._probe(deadline))
            self._modern = await asyncio.shield(self._probing)
            self._no_modern_until = self._clock.monotonic() + VERDICT_SECONDS
        return self._modern

    async def _probe(self, deadline: float) -> bool:
        """MCP 2026-07-28, streamable-http, Backward Compatibility. 401, 403, 5xx and silence decide nothing: they are refusals."""
        request, own_id = self._modern_request(Ask("server/discover", {}, Era.MODERN, deadline))
        try:
            answer = await self._exchange(request, own_id, Ask("server/discover", {}, Era.MODERN, deadline), SILENT, None, once=False)
            said = decoded(answer.result or {})
        except Refused as refused:
            if refused.reason in (Reason.UPSTREAM_BROKE_PROTOCOL, Reason.UPSTREAM_FAILED) and not refused.note.startswith("status 5"):
                return False
            raise
        if answer.error is not None:
            return answer.error["code"] in MODERN_ERRORS
        versions = said.get("supportedVersions")
        return isinstance(versions, list) and not set(MODERN_REVISIONS).isdisjoint(map(str, versions))

    # Modern requests

    def _modern_request(self, ask: Ask) -> tuple[bytes, int]:
        own_id = next(self._ids)
        meta: Any = _PLAIN_META
        if ask.meta or ask.wants_progress or ask.log_level:
            meta = {**ask.meta, META_VERSION: NEWEST_MODERN, META_CAPABILITIES: {}, META_CLIENT: CLIENT_INFO}
            if ask.wants_progress:
                meta["progressToken"] = own_id
            if ask.log_level:
                meta[META_LOG_LEVEL] = ask.log_level
        body = _encode({"jsonrpc": "2.0", "id": own_id, "method": ask.method, "params": {**ask.params, "_meta": meta}})
        parameter = NAMED_BY.get(ask.method)
        return self._framed(self._modern_head(ask, str(ask.params[parameter]) if parameter else ""), body), own_id

    def _modern_head(self, ask: Ask, name: str) -> bytes:
        """The head for one method and name, made once: the same few tools are called again and again."""
        head = self._heads.get((ask.method, name))
        if head is None:
            head = self._head + f"mcp-protocol-version: {NEWEST_MODERN}\r\nmcp-method: {ask.method}\r\n".encode()
            if name:
                head += f"mcp-name: {encode_value(name)}\r\n".encode()
            if len(self._heads) >= MAX_HEADS:
                self._heads.clear()
            self._heads[ask.method, name] = head
        for header, value in ask.mirrored_headers:
            head += f"{header}: {value}\r\n".encode()
        return head

    # Legacy requests

    async def _legacy_call(self, session_key: str, ask: Ask, listener: Listener, *, once: bool) -> UpstreamAnswer:
        session = await self.session(session_key, ask.deadline)
        try:
            return await self._in_session(session, ask, listener, once=once)
        except SessionGone:
            # MCP 2025-11-25, Session Management 4: a 404 for a session id means a new session; the request was not handled.
            if self._sessions.get(session_key) is session:
                del self._sessions[session_key]
        try:
            return await self._in_session(await self.session(session_key, ask.deadline), ask, listener, once=once)
        except SessionGone:
            raise Refused(Reason.UPSTREAM_FAILED, note="status 404 for a session that was just opened") from None

    async def _in_session(self, session: Session, ask: Ask, listener: Listener, *, once: bool) -> UpstreamAnswer:
        own_id = next(self._ids)
        params = dict(ask.params)
        meta = dict(ask.meta)
        if ask.wants_progress:
            meta["progressToken"] = own_id
        if meta:
            params["_meta"] = meta
        body = _encode({"jsonrpc": "2.0", "id": own_id, "method": ask.method, "params": params})
        request = self._framed(session.head, body)
        try:
            return await self._exchange(request, own_id, ask, listener, session, once=once)
        except asyncio.CancelledError:
            self._tell(session, {"method": "notifications/cancelled", "params": {"requestId": own_id}})
            raise
        except Refused as refused:
            if refused.reason is Reason.UPSTREAM_TIMED_OUT:
                self._tell(session, {"method": "notifications/cancelled", "params": {"requestId": own_id}})
            raise

    async def session(self, session_key: str, deadline: float) -> Session:
        """The warm session of a key; opened once, however many calls wait for it."""
        if (session := self._sessions.get(session_key)) is not None:
            self._sessions.move_to_end(session_key)
            return session
        if self._clock.monotonic() < self._no_legacy_until:
            raise Refused(Reason.ERA_UNSUPPORTED, {"speaks": "modern"})
        opening = self._opening.get(session_key)
        if opening is None:
            opening = self._opening[session_key] = asyncio.get_running_loop().create_task(self._open(session_key, deadline))
            opening.add_done_callback(lambda _: self._opening.pop(session_key, None))
        return await asyncio.shield(opening)

    async def _open(self, session_key: str, deadline: float) -> Session:
        params = {"protocolVersion": NEWEST_LEGACY, "capabilities": {}, "clientInfo": CLIENT_INFO}
        own_id = next(self._ids)
        ask = Ask("initialize", params, Era.LEGACY, deadline)
        body = _encode({"jsonrpc": "2.0", "id": own_id, "method": "initialize", "params": params})
        connection: ClientConnection | None = None
        try:
            async with asyncio.timeout(deadline - self._clock.monotonic()):
                connection, reply = await self._send(self._framed(self._head, body), once=False)
                judge_status(reply.status, reply.headers)
                answer = await self._read(reply, own_id, ask, SILENT, None)
        except ReplyBroken as dead:
            raise Refused(Reason.UPSTREAM_DIED, note=str(dead)) from dead
        except BaseException as ended:
            if connection is not None:
                connection.abort()
            if isinstance(ended, TimeoutError):
                raise Refused(Reason.UPSTREAM_TIMED_OUT) from ended
            raise
        self.pool.give_back(connection, self._clock.monotonic())
        if answer.result is None:
            self._no_legacy_until = self._clock.monotonic() + VERDICT_SECONDS
            raise Refused(Reason.ERA_UNSUPPORTED, {"speaks": "modern"}, note=f"initialize: {(answer.error or {}).get('code')}")
        session = self._new_session(decoded(answer.result), reply.headers.get(b"mcp-session-id"))
        self._sessions[session_key] = session
        while len(self._sessions) > MAX_SESSIONS:
            self._end(self._sessions.popitem(last=False)[1])
        await self._post(session, {"method": "notifications/initialized"}, deadline)
        capabilities = session.initialize_result.get("capabilities")
        if isinstance(capabilities, dict) and "logging" in capabilities:
            await self._post(session, {"id": next(self._ids), "method": "logging/setLevel", "params": {"level": "debug"}}, deadline)
        return session

    def _new_session(self, result: dict[str, Any], session_id: bytes | None) -> Session:
        revision = result.get("protocolVersion")
        if revision not in LEGACY_REVISIONS:
            raise Refused(Reason.ERA_UNSUPPORTED, note="initialize answered with an unknown revision")
        head = self._head + b"mcp-protocol-version: " + revision.encode() + b"\r\n"
        if session_id is not None:
            if not all(0x21 <= byte <= 0x7E for byte in session_id) or len(session_id) > 1024:
                raise broken("a session id that is not visible ASCII")
            head += b"mcp-session-id: " + session_id + b"\r\n"
        return Session(revision, head, result)

    def _tell(self, session: Session, message: dict[str, Any]) -> None:
        """Send a message whose answer nobody waits for."""
        self._errand(self._post(session, message, self._clock.monotonic() + self.definition.connect_timeout_seconds))

    def _end(self, session: Session) -> None:
        if b"mcp-session-id" in session.head:
            self._errand(self._delete(session))

    def _errand(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def _post(self, session: Session, message: dict[str, Any], deadline: float) -> None:
        """One message, its answer read and dropped. A server that does not take it hears no more of it: nothing rests on the answer."""
        await self._drop_answer(self._framed(session.head, _encode({"jsonrpc": "2.0", **message})), deadline)

    async def _delete(self, session: Session) -> None:
        request = b"DELETE" + session.head.removeprefix(b"POST") + b"\r\n"
        await self._drop_answer(request, self._clock.monotonic() + self.definition.connect_timeout_seconds)

    async def _drop_answer(self, request: bytes, deadline: float) -> None:
        connection: ClientConnection | None = None
        try:
            async with asyncio.timeout(deadline - self._clock.monotonic()):
                connection, reply = await self._send(request, once=False)
                await reply.body(self.definition.max_result_bytes)
        except (Refused, ReplyBroken, TimeoutError) as failed:
            if connection is not None:
                connection.abort()
            log.info("a message to %s was not taken: %s", self.definition.name, failed)
            return
        self.pool.give_back(connection, self._clock.monotonic())

    # Sending and reading, both eras

    async def _exchange(
        self, request: bytes, own_id: int, ask: Ask, listener: Listener, session: Session | None, *, once: bool
    ) -> UpstreamAnswer:
        """Send one request and read its answer, within the deadline. The connection is given back whole or ended."""
        connection: ClientConnection | None = None
        wait = self._deadlines.begin(ask.deadline)
        try:
            connection, reply = await self._send(request, once=once)
            if session is not None and reply.status == 404 and b"mcp-session-id" in session.head:
                raise SessionGone
            if reply.status != 200:
                judge_status(reply.status, reply.headers)
            answer = self._read_whole(reply, own_id) or await self._read(reply, own_id, ask, listener, session)
        except asyncio.CancelledError:
            if connection is not None:
                connection.abort()
            if wait.forgiven():
                raise Refused(Reason.UPSTREAM_TIMED_OUT) from None
            raise
        except ReplyBroken as dead:
            raise Refused(Reason.UPSTREAM_DIED, note=str(dead)) from None
        except BaseException:
            if connection is not None:
                connection.abort()
            raise
        finally:
            self._deadlines.end(wait)
        if reply.complete:
            self.pool.give_back(connection, self._clock.monotonic())
        else:
            self._errand(self._drain(connection, reply))
        return answer

    async def _drain(self, connection: ClientConnection, reply: Reply) -> None:
        """The answer is there but its stream is still open: the server has a moment to end it, then the connection goes."""
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                async for _ in reply.chunks():
                    pass
        except (ReplyBroken, TimeoutError):
            connection.abort()
            return
        self.pool.give_back(connection, self._clock.monotonic())

    async def _send(self, request: bytes, *, once: bool) -> tuple[ClientConnection, Reply]:
        """Send on a warm connection, or on a new one if a warm one turns out to be dead before it answered and the request may be
        repeated. The caller bounds the time."""
        connection = self.pool.take(self._clock.monotonic(), WRITE_IDLE_SECONDS if once else IDLE_SECONDS)
        if connection is not None:
            reply = connection.send(request)
            try:
                while not reply.head_arrived:
                    await reply.more()
            except ReplyBroken as dead:
                if once or dead.heard:
                    raise
            except BaseException:
                connection.abort()
                raise
            else:
                return connection, reply
        return await self._send_anew(request)

    async def _send_anew(self, request: bytes) -> tuple[ClientConnection, Reply]:
        """Send on a new connection."""
        dialling = self._connect(self.definition, self._address, self.pool.known_heads)
        connection = await asyncio.get_running_loop().create_task(dialling)  # what bounds it in time needs a task
        reply = connection.send(request)
        try:
            while not reply.head_arrived:
                await reply.more()
        except BaseException:
            connection.abort()
            raise
        return connection, reply

    def _read_whole(self, reply: Reply, own_id: int) -> UpstreamAnswer | None:
        """The answer in its most usual form: a plain result in JSON that arrived at once. None: read it the long way."""
        if reply.status == 200 and reply.complete and reply.headers.get(b"content-type") == b"application/json":
            body = reply.at_once(self.definition.max_result_bytes)
            if body is not None and (result := plain_result(body, own_id)) is not None:
                reply.take()
                return UpstreamAnswer(result)
        return None

    async def _read(self, reply: Reply, own_id: int, ask: Ask, listener: Listener, session: Session | None) -> UpstreamAnswer:
        kind = reply.headers.get(b"content-type", b"")
        if kind != b"application/json":
            kind = kind.split(b";")[0].strip().lower()
        if kind == b"text/event-stream" and reply.status == 200:
            answered_by = None if session is None else partial(self._answer_server, session)
            return await CallStream(own_id, ask, listener, self.definition.max_result_bytes, answered_by).read(reply)
        body = await reply.body(self.definition.max_result_bytes)
        if body is None:
            raise Refused(Reason.RESULT_TOO_LARGE, {"allowedBytes": self.definition.max_result_bytes})
        if kind != b"application/json":
            raise Refused(Reason.UPSTREAM_FAILED, note=f"status {reply.status}, {kind.decode('latin-1')[:80]}")
        if reply.status == 200 and (result := plain_result(body, own_id)) is not None:
            return UpstreamAnswer(result)
        message = read_answer(body)
        if reply.status != 200 and message.id is None and "error" in message.members:
            return UpstreamAnswer(None, message.error())  # an error that no request id could be read for
        if message.method or message.id != own_id:
            raise broken("the answer is for another request")
        return answer_of(message)

    def _answer_server(self, session: Session, asked: Message) -> None:
        self._tell(session, _reply_to(asked.id, asked.method))

    def _framed(self, head: bytes, body: bytes) -> bytes:
        return b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)

    def _build_head(self) -> bytes:
        lines = [
            f"POST {self._address.target} HTTP/1.1",
            f"host: {self._address.host_header}",
            f"user-agent: customhouse/{__version__}",
            "accept: application/json, text/event-stream",
            "content-type: application/json",
        ]
        if self.definition.credential is not None:
            lines.append(f"authorization: Bearer {self._secrets.read(self.definition.credential.bearer)}")
        return "".join(f"{line}\r\n" for line in lines).encode("ascii")

    async def close(self) -> None:
        """End sessions at the server, then all connections."""
        for session in self._sessions.values():
            self._end(session)
        self._sessions.clear()
        if self._errands:
            await asyncio.wait(self._errands, timeout=1.0)
        self.pool.close()


class SessionGone(Exception):
    """The server does not know the session any more."""


class _Silent:
    """Hears nothing; for requests whose progress nobody wants."""

    def notify(self, method: str, params: dict[str, Any]) -> None:
        """Nobody listens."""

    def room(self) -> None:
        """Nobody is slow."""

    async def ask(self, method: str, params: dict[str, Any], revision: str) -> dict[str, Any]:
        """Nobody answers; with no capabilities declared, nothing gets here."""
        return {"error": {"code": -32601, "message": "The client does not offer this."}}


SILENT: Listener = _Silent()

_encode = msgspec.json.Encoder().encode


def _reply_to(message_id: str | int | None, method: str) -> dict[str, Any]:
    """The gateway's own answer to a request of a server: it is alive, and asks nobody anything yet."""
    if method == "ping":
        return {"id": message_id, "result": {}}
    return {"id": message_id, "error": {"code": -32601, "message": "The client does not offer this."}}
