"""Legacy sessions at a server over Streamable HTTP: opened at first use, shared as far as a reviewer allowed, opened again when they end.

Sources: MCP 2025-11-25, basic/lifecycle and basic/transports (Session Management); 2025-06-18 and 2025-03-26, the same pages.

Callers whose client offers nothing that a server may ask for share a session per authorisation context, or one for all where the server
is reviewed as stateless. What a client offers is declared in a session of its own conversation, so a question reaches nobody else.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec

from customhouse.adapters.upstreams.answers import Message, broken, decoded
from customhouse.adapters.upstreams.duplex import CLIENT_INFO, again
from customhouse.adapters.upstreams.endpoint import Endpoint, SessionGone, encode, framed, outcome_of
from customhouse.adapters.upstreams.overhearing import MAX_URIS, Overhearing
from customhouse.adapters.upstreams.questions import Asked, own_answer, refusal
from customhouse.adapters.upstreams.standing import Fate, StandingStream
from customhouse.adapters.upstreams.stream import OF_ONE_CALL
from customhouse.core.backoff import RESTED, failed
from customhouse.core.manifest import Era
from customhouse.core.protocol.capabilities import declared, declared_to
from customhouse.core.protocol.eras import next_offer
from customhouse.core.protocol.revisions import LEGACY_REVISIONS, NEWEST_LEGACY
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.traffic import Ask, Hearing, Listener, UpstreamAnswer

MAX_SESSIONS = 1_000
"""Legacy sessions kept per server, the least recently used ended first."""

MAX_PER_CALLER = 100
"""Of these for one authorisation context: whoever opens more makes room among its own, so that nobody crowds out the others."""

IDLE_SECONDS = 300.0
"""How long a session of one conversation may idle before it is ended: it holds a stream open, and a client comes back within minutes."""

STAND_SECONDS = 1.0
"""How long the first call of a conversation waits for the stream beside it; a server needs one turn of its own loop."""

NO_STREAM_SECONDS = 3_600.0
"""How long a server that has no GET stream is not asked for one again."""

_order = msgspec.json.Encoder(order="deterministic").encode

SessionKey = tuple[str, str, bytes]
"""Whose authorisation context, which conversation, and what is declared as JSON; the last two empty where nothing is declared."""


_NOBODYS: SessionKey = ("", "", b"")


class NotSpoken(Exception):
    """The server speaks no legacy revision here. `refused` is for the caller if no other way leads to the server."""

    def __init__(self, refused: Refused, status: int) -> None:
        super().__init__(refused.note)
        self.refused = refused
        self.status = status

    @property
    def may_be_older(self) -> bool:
        """The server may be one of HTTP+SSE (2026-07-28, basic/transports/streamable-http, Backward Compatibility)."""
        return self.status in _OLDER_TRANSPORT


_OLDER_TRANSPORT = frozenset({400, 404, 405})


class Session:
    """A legacy session at a server."""

    __slots__ = (
        "calls",
        "capabilities",
        "errand",
        "has_id",
        "head",
        "hold",
        "idle_since",
        "initialize_result",
        "key",
        "overhearing",
        "own_head",
        "release",
        "revision",
        "sessions",
        "stream",
    )

    def __init__(
        self,
        sessions: "LegacySessions",
        key: SessionKey,
        revision: str,
        own_head: bytes,
        result: dict[str, Any],
        capabilities: Mapping[str, Any],
    ) -> None:
        self.sessions = sessions
        self.key = key
        self.revision = revision
        self.own_head = own_head
        """The headers that name the session and its revision."""
        self.head = sessions.endpoint.head + own_head
        self.has_id = b"mcp-session-id" in own_head
        self.errand = sessions.endpoint.errand
        self.hold = sessions.endpoint.deadlines.hold
        self.release = sessions.endpoint.deadlines.release
        self.initialize_result = result
        self.capabilities: Mapping[str, Any] = declared(declared_to(capabilities, revision), revision)
        """Declared to the server, in the modern form, cut to what its revision can express."""
        self.calls: set[Asked] = set()
        """Calls in flight; kept only where the server may ask."""
        self.idle_since = sessions.endpoint.now()
        self.overhearing = Overhearing(sessions.endpoint.definition.name, sessions.hearing, lambda _: (key[0],))
        self.stream: StandingStream | None = None
        """What the server says outside of the streams of calls."""

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message whose answer nobody waits for."""
        self.sessions.tell(self, message)

    def overhear(self, method: str, params: dict[str, Any]) -> None:
        """A notification that belongs to no call."""
        self.overhearing.hear(method, params, modern=False)

    def hear(self, message: Message) -> None:
        """A message outside of the streams of calls. A question or log message belongs to the only call in flight, if there is just one."""
        method, message_id = message.method, message.id
        if not method:
            return  # an answer to something that a broken stream took along
        if message_id is None:
            if method == "notifications/cancelled":
                for call in list(self.calls):
                    call.withdraw(message.params().get("requestId"))
            elif method in OF_ONE_CALL:
                if len(self.calls) == 1:
                    (only,) = self.calls
                    only.notify(method, message.params())
            else:
                self.overhear(method, message.params())
        elif answer := own_answer(message, self.capabilities):
            self.tell({"id": message_id, **answer})
        elif len(self.calls) == 1:
            (only,) = self.calls
            only.hear(message)
        else:
            self.tell({"id": message_id, **refusal(-32602, "This belongs to no request of the client.")})


class LegacySessions:
    """All sessions at one server."""

    def __init__(self, endpoint: Endpoint, hearing: Hearing) -> None:
        self.endpoint = endpoint
        self.hearing = hearing
        self._sessions: OrderedDict[SessionKey, Session] = OrderedDict()
        self._opening: dict[SessionKey, asyncio.Task[Session]] = {}
        self._subscribed: dict[SessionKey, set[str]] = {}
        """What callers subscribed to, also while their session is away."""
        self.attended = False
        """The gateway itself wants to hear of changed lists, in the session that is nobody's."""
        self._no_stream_until = 0.0
        self._reopening = RESTED

    # Calls

    async def call(self, session_key: str, ask: Ask, listener: Listener, *, once: bool) -> UpstreamAnswer:
        """One request and its answer. Raises `Refused`, or `NotSpoken` before anything but a greeting was sent."""
        session = await self.session(session_key, ask)
        try:
            return await self._in_session(session, ask, listener, once=once)
        except SessionGone:
            # MCP 2025-11-25, Session Management 4: a 404 for a session id means a new session; the request was not handled.
            self._forget(session)
        try:
            return await self._in_session(await self.session(session_key, ask), ask, listener, once=once)
        except SessionGone:
            raise Refused(Reason.UPSTREAM_FAILED, note="status 404 for a session that was just opened") from None

    async def _in_session(self, session: Session, ask: Ask, listener: Listener, *, once: bool) -> UpstreamAnswer:
        own_id = next(self.endpoint.ids)
        params = dict(ask.params)
        meta = dict(ask.meta)
        if ask.wants_progress:
            meta["progressToken"] = own_id
        if meta:
            params["_meta"] = meta
        body = encode({"jsonrpc": "2.0", "id": own_id, "method": ask.method, "params": params})
        dialogue = Asked(session, listener)
        if session.capabilities:
            session.calls.add(dialogue)
        try:
            request = framed(session.head, body)
            return await self.endpoint.exchange(request, own_id, ask, listener, dialogue, session.revision, once=once)
        except asyncio.CancelledError:
            session.tell({"method": "notifications/cancelled", "params": {"requestId": own_id}})
            raise
        except Refused as refused:
            if refused.reason is Reason.UPSTREAM_TIMED_OUT or refused is dialogue.failure:
                session.tell({"method": "notifications/cancelled", "params": {"requestId": own_id}})
            raise
        finally:
            dialogue.close()
            if session.capabilities:
                session.calls.discard(dialogue)
                session.idle_since = self.endpoint.now()

    # Sessions

    async def session(self, session_key: str, ask: Ask) -> Session:
        """The warm session for a request; opened once, however many calls wait for it. Raises `Refused` or `NotSpoken`."""
        key = (session_key, ask.conversation, _order(ask.capabilities)) if ask.capabilities else (session_key, "", b"")
        if (session := self._sessions.get(key)) is not None:
            self._sessions.move_to_end(key)
            return session
        opening = self._opening.get(key) or self._begin_opening(key, ask.capabilities, ask.deadline)
        try:
            return await outcome_of(opening, ask.deadline - self.endpoint.now())
        except NotSpoken as unspoken:
            raise NotSpoken(again(unspoken.refused), unspoken.status) from None

    def _begin_opening(self, key: SessionKey, capabilities: Mapping[str, Any], deadline: float) -> "asyncio.Task[Session]":
        opening = self._opening[key] = asyncio.get_running_loop().create_task(self._open(key, capabilities, deadline))
        opening.add_done_callback(partial(self._opened, key))
        return opening

    async def _open(self, key: SessionKey, capabilities: Mapping[str, Any], deadline: float) -> Session:
        session = await self._greet(key, NEWEST_LEGACY, capabilities, deadline)
        self._sessions[key] = session
        self._make_room(key[0])
        await self._post(session, {"method": "notifications/initialized"}, deadline)
        offered = session.initialize_result.get("capabilities")
        if isinstance(offered, dict) and "logging" in offered:
            level = {"id": next(self.endpoint.ids), "method": "logging/setLevel", "params": {"level": "debug"}}
            await self._post(session, level, deadline)
        if (session.capabilities or key in self._wanted()) and (stream := self._hearken(session)) is not None:
            await asyncio.wait([stream.tried], timeout=STAND_SECONDS)  # what a server asks before it stands is lost with some SDKs
        for uri in self._subscribed.get(key, ()):
            self.tell(session, {"id": next(self.endpoint.ids), "method": "resources/subscribe", "params": {"uri": uri}})
        return session

    async def _greet(self, key: SessionKey, offer: str, capabilities: Mapping[str, Any], deadline: float) -> Session:
        """`initialize`, once more if the server names a revision that it can speak. Raises `Refused` or `NotSpoken`."""
        params = {"protocolVersion": offer, "capabilities": declared_to(capabilities, offer), "clientInfo": CLIENT_INFO}
        own_id = next(self.endpoint.ids)
        body = encode({"jsonrpc": "2.0", "id": own_id, "method": "initialize", "params": params})
        asked = Ask("initialize", params, Era.LEGACY, deadline)
        status, headers, answer = await self.endpoint.greet(framed(self.endpoint.head, body), own_id, asked)
        if isinstance(answer, Refused):
            raise NotSpoken(answer, status)
        if answer.result is None:
            if offer == NEWEST_LEGACY and (other := next_offer(answer.error, offer)):
                return await self._greet(key, other, capabilities, deadline)
            code = (answer.error or {}).get("code")
            raise NotSpoken(Refused(Reason.ERA_UNSUPPORTED, {"speaks": "modern"}, note=f"initialize: {code}"), status)
        result = decoded(answer.result)
        revision = result.get("protocolVersion")
        if revision not in LEGACY_REVISIONS:
            raise Refused(Reason.ERA_UNSUPPORTED, note="initialize answered with an unknown revision")
        return Session(self, key, revision, _own_head(revision, headers.get(b"mcp-session-id")), result, capabilities)

    def _make_room(self, session_key: str) -> None:
        """Behind a session that was just opened, end the least recently used one if there are too many: one that works on no call, if
        there is one."""
        rest = list(self._sessions.values())
        own = [session for session in rest if session.key[0] == session_key] if session_key else []
        crowd = own if len(own) > MAX_PER_CALLER else rest if len(rest) > MAX_SESSIONS else []
        if crowd:
            self._end(next((session for session in crowd[:-1] if not session.calls), crowd[0]))

    def _opened(self, key: SessionKey, opening: "asyncio.Task[Session]") -> None:
        self._opening.pop(key, None)
        if not opening.cancelled():
            now = self.endpoint.now()
            self._reopening = RESTED if opening.exception() is None else failed(self._reopening, 0.0, now)

    def _forget(self, session: Session) -> None:
        """The server does not know the session any more."""
        if self._sessions.get(session.key) is session:
            del self._sessions[session.key]
        if session.stream is not None:
            session.stream.end()

    def _end(self, session: Session) -> None:
        """The gateway needs the session no more."""
        self._forget(session)
        if session.has_id:
            request = self.endpoint.delete_head + session.own_head + b"\r\n"
            self.endpoint.errand(self.endpoint.deliver(request, self._soon()))

    # What the gateway says beside calls

    def tell(self, session: Session, message: dict[str, Any]) -> None:
        """Send a message whose answer nobody waits for."""
        self.endpoint.errand(self._post(session, message, self._soon()))

    async def _post(self, session: Session, message: dict[str, Any], deadline: float) -> None:
        """One message, its answer read and dropped. A server that does not take it hears no more of it: nothing rests on the answer."""
        await self.endpoint.deliver(framed(session.head, encode({"jsonrpc": "2.0", **message})), deadline)

    def _soon(self) -> float:
        return self.endpoint.now() + self.endpoint.definition.connect_timeout_seconds

    # What the server says beside calls

    async def subscribe(self, session_key: str, ask: Ask, listener: Listener) -> UpstreamAnswer:
        """Begin or end to hear of changes of a resource. Subscriptions of a caller are in the session that its conversations share.

        A server without a stream to tell them on is not subscribed to: the answer is an error.
        """
        plain = msgspec.structs.replace(ask, capabilities={})
        session = await self.session(session_key, plain)
        if ask.method == "resources/subscribe" and not await self._can_tell(session, ask.deadline):
            untold = {"code": -32602, "message": "The server does not tell changes of this resource."}
            return UpstreamAnswer(None, untold, session.revision)
        answer = await self.call(session_key, plain, listener, once=False)
        uri = ask.params.get("uri")
        if answer.error is None and type(uri) is str:
            self._note_subscription(session.key, uri, begins=ask.method == "resources/subscribe")
        return answer

    def _note_subscription(self, key: SessionKey, uri: str, *, begins: bool) -> None:
        uris = self._subscribed.setdefault(key, set())
        if not begins:
            uris.discard(uri)
        elif len(uris) < MAX_URIS:
            uris.add(uri)
        if not uris:
            del self._subscribed[key]

    async def _can_tell(self, session: Session, deadline: float) -> bool:
        """Whether the server has a stream for what it says outside of calls, as far as it has answered."""
        stream = self._hearken(session)
        if stream is None:
            return False
        await asyncio.wait([stream.tried], timeout=max(0.0, deadline - self.endpoint.now()))
        return stream.fate is not Fate.UNOFFERED

    def _hearken(self, session: Session) -> StandingStream | None:
        """Open the stream of a session, if the server is not known to have none."""
        if session.stream is None and self.endpoint.now() >= self._no_stream_until:
            head = self.endpoint.get_head + session.own_head
            session.stream = StandingStream(
                self.endpoint,
                lambda last: b"%b%b\r\n" % (head, b"last-event-id: %b\r\n" % last if last else b""),
                session.hear,
                partial(self._unheard, session),
                has_session=session.has_id,
            )
        return session.stream

    @property
    def is_heard(self) -> bool:
        """Whether a stream stands on which the server says what belongs to no call."""
        return any(session.stream is not None and session.stream.stands for session in self._sessions.values())

    def _unheard(self, session: Session, fate: Fate) -> None:
        session.stream = None
        if fate is Fate.UNOFFERED:
            self._no_stream_until = self.endpoint.now() + NO_STREAM_SECONDS
        else:
            self._forget(session)

    # Housekeeping

    def forget(self, conversation: str) -> None:
        """The sessions of this conversation have been used for the last time."""
        for session in self._sessions.values():
            if session.key[1] == conversation:
                session.idle_since = -math.inf

    def sweep(self, now: float) -> None:
        """Pass on what was held back, and end conversations that nobody used for long; called once a second."""
        for session in list(self._sessions.values()):
            session.overhearing.sweep()
            if session.key[2] and not session.calls and now - session.idle_since >= IDLE_SECONDS:
                self._end(session)
        if self._reopening.wait_seconds(now) > 0.0:
            return
        for key in self._wanted():
            if (standing := self._sessions.get(key)) is not None:
                self._hearken(standing)
            elif key not in self._opening:
                self._begin_opening(key, {}, self._soon())

    def _wanted(self) -> list[SessionKey]:
        """Sessions that somebody listens to."""
        return [*self._subscribed, *([_NOBODYS] if self.attended and _NOBODYS not in self._subscribed else [])]

    def close(self) -> None:
        """End all sessions at the server."""
        self._subscribed.clear()
        self.attended = False
        for opening in self._opening.values():
            opening.cancel()
        for session in list(self._sessions.values()):
            self._end(session)


def _own_head(revision: str, session_id: bytes | None) -> bytes:
    """The headers that name a session and its revision."""
    head = b"mcp-protocol-version: " + revision.encode() + b"\r\n"
    if session_id is None:
        return head
    if not all(0x21 <= byte <= 0x7E for byte in session_id) or len(session_id) > _MAX_SESSION_ID_BYTES:
        raise broken("a session id that is not visible ASCII")
    return head + b"mcp-session-id: " + session_id + b"\r\n"


_MAX_SESSION_ID_BYTES = 1_024
