"""The two endpoints of 2024-11-05 beside each MCP endpoint: a stream that everything comes on, and an address that everything is sent to.

Source: MCP 2024-11-05, basic/transports, HTTP with SSE: the first event of the stream is `endpoint`, whose data is where the client sends
its messages; each is taken with 202 and answered on the stream. The address carries an id that is sealed for the caller, and counts while
the stream is open at this very process; both requests need the caller's token all the same.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Mapping

from customhouse.core.identity import Caller
from customhouse.core.protocol.sessionid import Session
from customhouse.core.protocol.sse import event
from customhouse.core.refusal import Refused
from customhouse.core.sealing import Seal
from customhouse.gateway.arrival import Arrival, Keeper, Reply
from customhouse.gateway.conversations import Conversations
from customhouse.gateway.listening import Listening
from customhouse.gateway.outlets import Outlet

STREAM, MESSAGES = "/sse", "/messages"
"""Behind the path of an endpoint."""

REVISION = "2024-11-05"

_QUERY = b"session="


def endpoint_beside(path: str, suffix: str, endpoints: Mapping[str, object]) -> str:
    """The path of the endpoint that a path with this suffix stands beside; empty if there is none."""
    base = path.removesuffix(suffix)
    return base if base != path and base in endpoints else ""


class Pair:
    """One open stream and who may send to it."""

    __slots__ = ("outlet", "reply", "session", "unwatch")

    def __init__(self, reply: Reply, outlet: Outlet) -> None:
        self.reply = reply
        self.outlet = outlet
        self.session: Session | None = None
        """What `initialize` opened."""
        self.unwatch = _nothing


class Pairs:
    """All pairs of this process, by the id in their address."""

    def __init__(self, conversations: Conversations, listening: Listening) -> None:
        self._conversations = conversations
        self._listening = listening
        self._open: dict[str, Pair] = {}

    async def open(self, caller: Caller, path: str, reply: Reply) -> None:
        """The stream, until its client leaves or the gateway ends it; its session ends with it."""
        pair = Pair(reply, Outlet(caller, path, reply, frozenset()))
        named, text = self._conversations.ids.mint(caller, path, REVISION, {}, {})
        self._open[named.key] = pair
        reply.cancel_when_left()
        reply.send(f"event: endpoint\ndata: {path}{MESSAGES}?session={text}\n\n".encode())
        try:
            await self._listening.hold(pair.outlet, reply)
        finally:
            del self._open[named.key]
            await self._end(pair)

    def find(self, arrival: Arrival, caller: Caller, path: str) -> Pair:
        """The pair that a message is sent to. Raises `Refused` SESSION_REQUIRED or SESSION_UNKNOWN."""
        texts = [part[len(_QUERY) :] for part in arrival.query.split(b"&") if part.startswith(_QUERY)]
        named = self._conversations.ids.open(texts[0].decode("latin-1") if len(texts) == 1 else "", caller, path)
        pair = self._open.get(named.key)
        if pair is None:
            raise Seal.SESSION.refused()
        return pair

    async def begin(self, pair: Pair, session: Session) -> None:
        """`initialize` opened a session; what happens outside of calls is told from now on. An earlier session of the pair ends."""
        await self._end(pair)
        pair.session = session
        pair.unwatch = self._conversations.sessions.watch(session, pair.reply.let_go, holds=True)
        self._listening.attach(pair.outlet, session)

    async def _end(self, pair: Pair) -> None:
        session, pair.session = pair.session, None
        pair.unwatch()
        if session is not None:
            self._listening.detach(pair.outlet)
            with contextlib.suppress(Refused):  # it had expired
                await self._conversations.end(session)


class PairReply:
    """The way back of one message: HTTP statuses until it is taken, then the stream of its pair."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._pair: Pair | None = None
        self.keeper: Keeper | None = None
        self.bytes_out = 0

    def take(self, pair: Pair) -> None:
        """The message is taken; what comes back comes on the stream."""
        self._reply.whole(202, b"")
        self._pair = pair

    def whole(self, status: int, headers: bytes, *body: bytes) -> None:
        """See `gateway.arrival.Reply`. Status and headers have no place on the stream."""
        if self._pair is None:
            self._reply.whole(status, headers, *body)
        else:
            self.event(b"".join(body))

    def event(self, data: bytes) -> None:
        """See `gateway.arrival.Reply`."""
        self.bytes_out += len(data)
        if self._pair is not None:
            self._pair.reply.send(event(data))

    def send(self, stream: bytes) -> None:
        """See `gateway.arrival.Reply`."""
        if self._pair is not None:
            self._pair.reply.send(stream)

    def room(self) -> Awaitable[None] | None:
        """See `gateway.arrival.Reply`."""
        return None if self._pair is None else self._pair.reply.room()

    def hold(self) -> Awaitable[None]:
        """See `gateway.arrival.Reply`. Nothing that listens is asked for here."""
        return asyncio.get_running_loop().create_future()

    def let_go(self) -> None:
        """See `gateway.arrival.Reply`."""

    @property
    def full(self) -> bool:
        """See `gateway.arrival.Reply`."""
        return self._pair is not None and self._pair.reply.full

    def end(self) -> None:
        """See `gateway.arrival.Reply`. What was cancelled has no answer on the stream."""
        if self._pair is None:
            self._reply.end()

    def may_wait(self) -> None:
        """See `gateway.arrival.Reply`. The stream is kept open by itself."""

    def cancel_when_left(self) -> None:
        """See `gateway.arrival.Reply`. A client of that revision cancels by saying so."""

    def give_up(self) -> None:
        """See `gateway.arrival.Reply`."""
        self._reply.give_up()

    @property
    def connected(self) -> bool:
        """See `gateway.arrival.Reply`."""
        return (self._reply if self._pair is None else self._pair.reply).connected


def _nothing() -> None:
    """Nothing is watched yet."""
