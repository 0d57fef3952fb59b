"""The one address of a server over HTTP: connections kept warm, requests out, answers in, whichever era they are of.

Sources: MCP 2026-07-28, basic/transports/streamable-http; MCP 2025-11-25, basic/transports (Sending Messages, Resumability).

A request that a server may have read is sent again only if it changes nothing. A connection is given back whole or ended.
"""

import asyncio
import itertools
import logging
import ssl
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import msgspec

from customhouse import __version__
from customhouse.adapters.upstreams.answers import answer_of, broken, judge_status, plain_result, read_answer
from customhouse.adapters.upstreams.dialling import Address, address_of
from customhouse.adapters.upstreams.duplex import SILENT, again
from customhouse.adapters.upstreams.stream import CallStream, Dialogue, StreamLost
from customhouse.core.manifest import ServerDefinition
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.traffic import Ask, Clock, Listener, Secrets, UpstreamAnswer
from customhouse.wire.client import ClientConnection, KnownHead, Pool, Reply, ReplyBroken
from customhouse.wire.deadlines import Deadlines

log = logging.getLogger(__name__)

IDLE_SECONDS = 4.0
"""How long a connection may idle: under the 5 s after which uvicorn, and so the official Python SDK, closes it."""

WRITE_IDLE_SECONDS = 1.0
"""How long a connection may have idled to carry a write: one that the server is just closing could not be told from one that it read."""

DRAIN_SECONDS = 1.0
"""How long a server may take to end a stream after its answer, if the connection is to be used again."""

RESUME_SECONDS = 1.0
"""The pause before a lost stream is taken up again, where the server did not say: what official SDK clients wait."""

LONGEST_RESUME_SECONDS = 60.0
"""A server that wants a longer pause is asked after this one."""

MAX_RESUMES = 5
"""Attempts in a row that brought nothing before a lost stream is given up."""

T = TypeVar("T")

Dial = Callable[[ServerDefinition, Address, ssl.SSLContext, dict[bytes, KnownHead]], Coroutine[Any, Any, ClientConnection]]
Connect = Callable[[ServerDefinition, Address, dict[bytes, KnownHead]], Coroutine[Any, Any, ClientConnection]]

_NO_ANSWER = frozenset({Reason.UPSTREAM_FAILED, Reason.UPSTREAM_BROKE_PROTOCOL})

encode = msgspec.json.Encoder().encode


class SessionGone(Exception):
    """The server does not know the session any more; the request was not handled."""


class Endpoint:
    """A server's address, the gateway's credential there, and its warm connections."""

    def __init__(self, definition: ServerDefinition, secrets: Secrets, clock: Clock, deadlines: Deadlines, connect: Connect) -> None:
        self.definition = definition
        self.pool = Pool(IDLE_SECONDS, definition.max_concurrent_calls)
        self.now = clock.monotonic
        self.ids = itertools.count(1)
        self.deadlines = deadlines
        self._connect = connect
        self._address = address_of(definition.url)
        common = self._common_head(secrets)
        self.head = f"POST {self._address.target} HTTP/1.1\r\n".encode() + common + b"accept: application/json, text/event-stream\r\n"
        self.head += b"content-type: application/json\r\n"
        """Of every request that carries a message, without the headers of an era or a session."""
        self.get_head = f"GET {self._address.target} HTTP/1.1\r\n".encode() + common + b"accept: text/event-stream\r\n"
        self.delete_head = f"DELETE {self._address.target} HTTP/1.1\r\n".encode() + common
        self._errands: set[asyncio.Task[None]] = set()

    def _common_head(self, secrets: Secrets) -> bytes:
        lines = [f"host: {self._address.host_header}", f"user-agent: customhouse/{__version__}"]
        if self.definition.credential is not None:
            lines.append(f"authorization: Bearer {secrets.read(self.definition.credential.bearer)}")
        return "".join(f"{line}\r\n" for line in lines).encode("ascii")

    # Requests whose answer somebody waits for

    async def exchange(
        self, request: bytes, own_id: int, ask: Ask, listener: Listener, dialogue: Dialogue | None, revision: str, *, once: bool
    ) -> UpstreamAnswer:
        """Send one request and read its answer, within the deadline. `dialogue` is what a legacy server may do meanwhile.

        Raises `Refused`, or `SessionGone`.
        """
        connection: ClientConnection | None = None
        wait = self.deadlines.begin(ask.deadline)
        if dialogue is not None:
            dialogue.wait = wait
        try:
            connection, reply = await self._send(request, once=once)
            if reply.status != 200:
                if reply.status == 404 and dialogue is not None and dialogue.has_session:
                    raise SessionGone
                judge_status(reply.status, reply.headers)
            answer = self._read_whole(reply, own_id) or await self._read(reply, own_id, ask, listener, dialogue)
            answer.revision = revision
        except asyncio.CancelledError:
            if connection is not None:
                connection.abort()
            if wait.forgiven():
                raise (None if dialogue is None else dialogue.failure) or Refused(Reason.UPSTREAM_TIMED_OUT) from None
            raise
        except ReplyBroken as dead:
            raise Refused(Reason.UPSTREAM_DIED, note=str(dead)) from None
        except BaseException:
            if connection is not None:
                connection.abort()
            raise
        finally:
            self.deadlines.end(wait)
        if reply.complete:
            self.pool.give_back(connection, self.now())
        else:
            self.errand(self._drain(connection, reply))
        return answer

    async def greet(self, request: bytes, own_id: int, ask: Ask) -> tuple[int, dict[bytes, bytes], UpstreamAnswer | Refused]:
        """Send `initialize`: status, headers, and the answer, or the refusal of one that is none. Raises `Refused` for an outage."""
        connection: ClientConnection | None = None
        try:
            async with asyncio.timeout(ask.deadline - self.now()):
                connection, reply = await self._send(request, once=False)
                judge_status(reply.status, reply.headers)
                answer = await self._understood(reply, own_id, ask)
        except ReplyBroken as dead:
            raise Refused(Reason.UPSTREAM_DIED, note=str(dead)) from dead
        except BaseException as ended:
            if connection is not None:
                connection.abort()
            if isinstance(ended, TimeoutError):
                raise Refused(Reason.UPSTREAM_TIMED_OUT) from ended
            raise
        self.pool.give_back(connection, self.now())
        return reply.status, reply.headers, answer

    async def _understood(self, reply: Reply, own_id: int, ask: Ask) -> UpstreamAnswer | Refused:
        try:
            return await self._read(reply, own_id, ask, SILENT, None)
        except Refused as refused:
            if not 400 <= reply.status < 500 or refused.reason not in _NO_ANSWER:
                raise
            return refused

    async def _drain(self, connection: ClientConnection, reply: Reply) -> None:
        """The answer is there but its stream is still open: the server has a moment to end it, then the connection goes."""
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                async for _ in reply.chunks():
                    pass
        except (ReplyBroken, TimeoutError):
            connection.abort()
            return
        self.pool.give_back(connection, self.now())

    async def _send(self, request: bytes, *, once: bool) -> tuple[ClientConnection, Reply]:
        """Send on a warm connection, or on a new one if a warm one turns out to be dead before it answered and the request may be
        repeated. The caller bounds the time."""
        connection = self.pool.take(self.now(), WRITE_IDLE_SECONDS if once else IDLE_SECONDS)
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
        return await self.send_anew(request)

    async def send_anew(self, request: bytes) -> tuple[ClientConnection, Reply]:
        """Send on a new connection and wait for the head of the reply. The caller bounds the time."""
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

    async def _read(self, reply: Reply, own_id: int, ask: Ask, listener: Listener, dialogue: Dialogue | None) -> UpstreamAnswer:
        kind = reply.headers.get(b"content-type", b"")
        if kind != b"application/json":
            kind = kind.split(b";")[0].strip().lower()
        if kind == b"text/event-stream" and reply.status == 200:
            return await self._read_stream(reply, CallStream(own_id, ask, listener, self.definition.max_result_bytes, dialogue))
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

    async def _read_stream(self, reply: Reply, stream: CallStream) -> UpstreamAnswer:
        try:
            return await stream.read(reply)
        except (StreamLost, ReplyBroken) as lost:
            if not stream.may_be_resumed:
                raise Refused(Reason.UPSTREAM_DIED, note=str(lost)) from None
        return await self._resumed(stream)

    async def _resumed(self, stream: CallStream) -> UpstreamAnswer:
        """Take a lost stream up again where it ended, as often as that brings something. The caller bounds the time.

        MCP 2025-11-25, basic/transports, Resumability: GET with `Last-Event-ID`, after the pause that the server asked for.
        """
        fruitless = 0
        while fruitless < MAX_RESUMES:
            asked_for = RESUME_SECONDS if stream.retry_ms is None else stream.retry_ms / 1_000
            await asyncio.sleep(min(asked_for, LONGEST_RESUME_SECONDS))
            heard = stream.last_event_id
            try:
                return await self._taken_up(stream)
            except (StreamLost, ReplyBroken):
                fruitless = fruitless + 1 if stream.last_event_id == heard else 0
            except Refused as refused:
                if refused.reason is not Reason.UPSTREAM_UNREACHABLE:
                    raise
                fruitless += 1
        raise Refused(Reason.UPSTREAM_DIED, note=f"the stream was lost, and {MAX_RESUMES} attempts to take it up again brought nothing")

    async def _taken_up(self, stream: CallStream) -> UpstreamAnswer:
        connection, reply = await self.send_anew(stream.resuming_request(self.get_head))
        try:
            judge_status(reply.status, reply.headers)
            if reply.status != 200 or not is_event_stream(reply):
                raise Refused(Reason.UPSTREAM_DIED, note=f"the stream was lost, and status {reply.status} answers to taking it up again")
            return await stream.read(reply)
        finally:
            connection.abort()

    # Messages whose answer nobody waits for

    def errand(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Do something that ends by itself; `close` waits a moment for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
        return task

    async def deliver(self, request: bytes, deadline: float) -> None:
        """Send a request whose answer is read and dropped: nothing rests on it."""
        connection: ClientConnection | None = None
        try:
            async with asyncio.timeout(deadline - self.now()):
                connection, reply = await self._send(request, once=False)
                await reply.body(self.definition.max_result_bytes)
        except (Refused, ReplyBroken, TimeoutError) as failed:
            if connection is not None:
                connection.abort()
            log.info("a message to %s was not taken: %s", self.definition.name, failed)
            return
        self.pool.give_back(connection, self.now())

    def sweep(self, now: float) -> None:
        """End idle connections; called once a second."""
        self.pool.sweep(now)

    async def close(self) -> None:
        """Wait a moment for errands, then end all connections."""
        if self._errands:
            await asyncio.wait(self._errands, timeout=1.0)
        self.pool.close()


async def outcome_of(shared: "asyncio.Task[T]", seconds: float) -> T:
    """What comes of something that others wait for too, within a time. Raises `Refused`; it needs no task to be called in."""
    await asyncio.wait([shared], timeout=max(0.0, seconds))
    if not shared.done():
        raise Refused(Reason.UPSTREAM_TIMED_OUT)
    if shared.cancelled():
        raise Refused(Reason.DRAINING, note="the gateway is shutting down")
    try:
        return shared.result()
    except Refused as refused:
        raise again(refused) from None


def framed(head: bytes, body: bytes) -> bytes:
    """A request with a body."""
    return b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)


def is_event_stream(reply: Reply) -> bool:
    """Whether a reply says that it is one."""
    return reply.headers.get(b"content-type", b"").split(b";")[0].strip().lower() == b"text/event-stream"
