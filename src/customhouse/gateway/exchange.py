"""The life of one call, top to bottom: the door, who, how often, what the name means, is it allowed, write it down, ask, record.

Each step's output is the next step's input. `answer` is the one exit: whatever happened, exactly one closing record is written before the
answer's last byte, and an answer that cannot be recorded is not sent.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from customhouse.core.canaries import NO_CANARIES, Canaries
from customhouse.core.catalogue import Endpoint
from customhouse.core.identity import Caller
from customhouse.core.listing import greeting, listed
from customhouse.core.manifest import Era
from customhouse.core.protocol.envelope import Agreed, Batched, InEnvelope, Message, Said, read_message
from customhouse.core.protocol.origin import check_origin
from customhouse.core.protocol.results import answer_around, answer_bytes, refusal, stamped
from customhouse.core.protocol.revisions import ERA_OF, LEGACY_REVISIONS, LOG_LEVELS, NAMED_BY
from customhouse.core.protocol.sessionid import Session
from customhouse.core.protocol.tracing import trace_id_of
from customhouse.core.record import Record
from customhouse.core.refusal import Reason, Refused
from customhouse.gateway.admission import Admission
from customhouse.gateway.approving import Approving
from customhouse.gateway.arrival import Arrival, Reply
from customhouse.gateway.batches import answer_batch, check_batch
from customhouse.gateway.call import JSON, Answer, Call, encode
from customhouse.gateway.conversations import SESSION_HEADER, Conversations, names_session
from customhouse.gateway.kept import Kept
from customhouse.gateway.listening import Listening
from customhouse.gateway.live import Live, View
from customhouse.gateway.pairs import MESSAGES, STREAM, Pair, PairReply, Pairs, endpoint_beside
from customhouse.gateway.questions import NOT_ANSWERED
from customhouse.gateway.relay import Relay
from customhouse.gateway.rounds import Rounds
from customhouse.gateway.taskids import TaskIds
from customhouse.gateway.tasking import Tasking
from customhouse.gateway.trail import comes_from, opened
from customhouse.ports.traffic import Clock, Ledger, Verifier

log = logging.getLogger(__name__)


ERA_WORD = (Era.LEGACY.value, Era.MODERN.value)
"""By whether it is the modern one."""

NOTIFICATIONS = frozenset(
    {"notifications/initialized", "notifications/cancelled", "notifications/progress", "notifications/roots/list_changed"}
)

_MAX_LISTS = 10_000
"""Encoded lists kept; when there are more, all are dropped and made again at need."""


Carry = Callable[[Arrival, Reply, Record], Awaitable[Answer | None]]
"""The steps from a request to its answer; None where it was sent already."""


@dataclass
class Exchange:
    """Answers the requests of all MCP endpoints."""

    live: Live
    verifier: Verifier
    admission: Admission
    rounds: Rounds
    ledger: Ledger
    clock: Clock
    new_id: Callable[[], str]
    """A fresh id of 32 hexadecimal digits that nobody can guess."""
    argument_key: bytes
    public_url: str
    observe: Callable[[Record], None]
    """Hears every closing record."""
    conversations: Conversations
    task_ids: TaskIds
    approving: Approving
    canaries: Canaries = NO_CANARIES
    """Markers that no argument may carry."""

    def __post_init__(self) -> None:
        self._peers = self.conversations.peers
        relay = self._relay = Relay(
            self.live,
            self.admission,
            self.rounds,
            self.ledger,
            self.clock,
            self.argument_key,
            self._peers,
            self._challenge,
            self.task_ids,
            self.approving,
            self.rounds.leaving,
            self.canaries,
        )
        tasking = Tasking(relay, self.task_ids)
        self.listening = Listening(self.live, relay, self.admission, self.conversations, self.clock)
        self.pairs = Pairs(self.conversations, self.listening)
        self._lists: dict[tuple[tuple[int, int], str, str, str, str], bytes] = {}
        self._lists_of: object = None
        """The mark of the view that they show."""
        self._methods: Mapping[str, Callable[[Call], Awaitable[Answer | None]]] = {
            "initialize": self._open_session,
            "server/discover": self._greet,
            "ping": self._ping,
            "subscriptions/listen": self.listening.listen,
            "resources/subscribe": self.listening.subscribe,
            "resources/unsubscribe": self.listening.unsubscribe,
            "logging/setLevel": self._set_level,
            "tools/list": self._list,
            "prompts/list": self._list,
            "resources/list": self._list,
            "resources/templates/list": self._list,
            "tools/call": relay.call_tool,
            "prompts/get": relay.get_prompt,
            "resources/read": relay.read_resource,
            "completion/complete": relay.complete,
            "tasks/get": tasking.carry,
            "tasks/update": tasking.carry,
            "tasks/cancel": tasking.carry,
        }

    async def answer(self, arrival: Arrival, reply: Reply, carry: Carry | None = None) -> None:
        """Answer one request: a POST, or what `carry` makes of another one. Raises nothing but cancellation, after it was recorded."""
        trail = opened(self.new_id(), arrival.path, len(arrival.body))
        cancelled: asyncio.CancelledError | None = None
        try:
            answer = await (carry or self._carry)(arrival, reply, trail)
        except asyncio.CancelledError as left:
            cancelled, answer = left, None
            trail.outcome = "cancelled" if reply.connected else "caller_left"
        except Refused as refused:
            answer = self._refuse(refused, trail)
        except Exception:  # the one exit: a defect of the gateway is answered, recorded and logged, never swallowed
            log.exception("call %s broke the gateway", trail.call_id)
            answer = self._refuse(Refused(Reason.GATEWAY_BROKE), trail)
        try:
            await self._close(trail, arrival.started, reply.bytes_out + (answer.size_bytes if answer else 0))
        except Refused as unrecorded:
            answer = self._refuse(unrecorded, trail)
        if answer is not None:
            reply.whole(answer.status, answer.headers, answer.body, *answer.rest)
        else:
            reply.end()
        if cancelled is not None and not reply.connected:
            raise cancelled

    async def _carry(self, arrival: Arrival, reply: Reply, trail: Record) -> Answer | None:
        view = self.live.view
        # 1. The door: a page from elsewhere, a form, a client that could not read the answer.
        passed = arrival.passed
        if passed.view is not view.mark:
            check_origin(arrival.headers, view.hosts, view.origins)
            check_media(arrival)
        if self.live.draining:
            raise Refused(Reason.DRAINING)
        endpoint = _endpoint(view, arrival.path)

        # 2. Who is asking.
        caller = (self.verifier.known(passed.name) if passed.view is view.mark else None) or await self._identify(arrival, endpoint)
        comes_from(trail, caller)
        if not endpoint.serves(caller):
            raise Refused(Reason.UNKNOWN_PATH)

        # 3. How often this caller and this tenant may come.
        self.admission.take(caller, self.clock.monotonic())

        # 4. What is said, strictly read, and the headers against it.
        try:
            message = read_message(arrival.body, arrival.headers, passed.agreed)
        except Batched as batch:
            return await self._answer_batch(batch, arrival, reply, caller, endpoint, trail)
        if isinstance(message, Said):
            return await self._hear(message, arrival, caller, endpoint, trail)
        describe(trail, message)
        call = Call(message, caller, endpoint, arrival, reply, trail, view)
        del view, endpoint  # a stream may stay open for longer than they are served
        try:
            if message.era is Era.LEGACY:
                return await self._carry_legacy(call)
            if message.is_notification:
                return self._notice(call)
            reply.cancel_when_left()
            return await self._methods[message.method](call)
        except Refused as refused:
            if message.is_notification:
                raise  # its id means nothing
            raise InEnvelope(refused, message.id, message.era) from refused

    async def _carry_legacy(self, call: Call) -> Answer | None:
        if SESSION_HEADER in call.arrival.headers and call.message.method != "initialize":
            await self._enter(call)
        if call.message.is_notification:
            return self._notice(call)
        return await self._methods[call.message.method](call)

    async def _identify(self, arrival: Arrival, endpoint: Endpoint) -> Caller:
        """The caller behind the bearer token. Refusals carry the challenge of RFC 9728 section 5.1."""
        try:
            passed = arrival.passed
            if passed.view is not self.live.view.mark:
                passed.token = bearer_token(arrival)
                passed.name = self.verifier.name_of(passed.token, endpoint.resource)
                passed.view = self.live.view.mark
            return self.verifier.known(passed.name) or await self.verifier.verify(passed.token, endpoint.resource)
        except Refused as refused:
            if refused.reason.row.status == 401:
                error = "" if refused.reason is Reason.NO_TOKEN else "invalid_token"
                refused.headers = (self._challenge(endpoint, error, endpoint.scopes),)
            raise

    def _challenge(self, endpoint: Endpoint, error: str, scopes: tuple[str, ...]) -> tuple[str, str]:
        metadata = f"{self.public_url}/.well-known/oauth-protected-resource{endpoint.path}"
        parts = [f'error="{error}"'] if error else []
        parts.append(f'resource_metadata="{metadata}"')
        if scopes:
            parts.append(f'scope="{" ".join(scopes)}"')
        return "WWW-Authenticate", "Bearer " + ", ".join(parts)

    async def _hear(self, said: Said, arrival: Arrival, caller: Caller, endpoint: Endpoint, trail: Record) -> Answer:
        """What a legacy client answers to a question; an answer to nothing that its session was asked means nothing."""
        trail.method, trail.era = "response", Era.LEGACY.value
        session, _ = await self.conversations.enter(arrival.headers.get(SESSION_HEADER, b""), caller, endpoint.path)
        trail.revision = session.revision
        return self._take_answer(said, session, caller, trail)

    def _take_answer(self, said: Said, session: Session, caller: Caller, trail: Record) -> Answer:
        """What a person or a model said goes to a server like an argument, so it is decided about like one, now; what may not go there is
        no answer, and the server need not wait for another. Raises `Refused`."""
        self.canaries.check(encode(said.answer))
        question = self.rounds.questions.asked(session.key, said.id)
        if question is not None:
            try:
                self._relay.decide_about_answer(question.call, question.entry, caller, trail)
            except Refused:
                question.settle(NOT_ANSWERED)
                raise
            question.settle(said.answer)
        trail.outcome = "accepted"
        return Answer(202, b"", b"")

    async def _answer_batch(
        self, batch: Batched, arrival: Arrival, reply: Reply, caller: Caller, endpoint: Endpoint, trail: Record
    ) -> Answer:
        """Several messages at once, each carried by `answer`; refused as it stands outside of a session."""
        trail.method, trail.era = "batch", Era.LEGACY.value
        if not names_session(arrival):
            raise batch
        session, _ = await self.conversations.enter(arrival.headers[SESSION_HEADER], caller, endpoint.path)
        trail.revision = session.revision
        check_batch(batch.values, session)
        self.admission.enter(len(batch.values))
        try:
            reply.keeper = Kept(self.conversations.streams, session, self.new_id())
            answer = await answer_batch(batch.values, arrival, reply, self.answer)
        finally:
            self.admission.leave(len(batch.values))
        trail.outcome = "answered"
        return answer

    # Answered from the view

    def _notice(self, call: Call) -> Answer:
        """A notification. Only a legacy cancellation means anything; a modern client cancels by closing its stream."""
        message = call.message
        if message.era is Era.LEGACY and message.method == "notifications/cancelled":
            self._peers.cancel(call.peer, message.params.get("requestId"))
        call.trail.outcome = "accepted"
        return Answer(202, b"", b"")

    async def _enter(self, call: Call) -> None:
        """The session that the request names; it speaks the revision that was agreed, whatever the request says (2025-11-25,
        basic/transports, Protocol Version Header)."""
        session, call.remembered = await self.conversations.enter(call.arrival.headers[SESSION_HEADER], call.caller, call.endpoint.path)
        call.session = session
        if not call.message.is_notification:
            call.reply.keeper = Kept(self.conversations.streams, session, self.new_id())
        call.trail.revision = session.revision
        if call.message.revision != session.revision:
            call.message = msgspec.structs.replace(call.message, revision=session.revision)

    async def hang_up(self, arrival: Arrival, reply: Reply, trail: Record) -> Answer:
        """A client ends its session with DELETE (2025-11-25, basic/transports, Session Management 5)."""
        caller, _ = await self._without_message(arrival, trail, "DELETE", arrival.path)
        session, _ = await self.conversations.enter(arrival.headers[SESSION_HEADER], caller, arrival.path)
        trail.revision = session.revision
        await self.conversations.end(session)
        trail.outcome = "accepted"
        return Answer(200, b"", b"")

    async def open_downlink(self, arrival: Arrival, reply: Reply, trail: Record) -> None:
        """A client listens to its session with GET, or comes back for what it missed (2025-11-25, basic/transports, Listening for Messages
        from the Server, Resumability and Redelivery)."""
        caller, _ = await self._without_message(arrival, trail, "GET", arrival.path)
        accept = arrival.headers.get(b"accept", b"").lower()
        if b"text/event-stream" not in accept and b"*/*" not in accept:
            raise Refused(Reason.NOT_ACCEPTABLE)
        session, _ = await self.conversations.enter(arrival.headers[SESSION_HEADER], caller, arrival.path)
        trail.revision = session.revision
        last_event_id = arrival.headers.get(b"last-event-id", b"").decode("latin-1")
        if last_event_id:
            await self.listening.resume(session, caller, last_event_id, reply, trail)
        else:
            await self.listening.downlink(session, caller, reply, self.new_id(), trail)

    async def open_pair(self, arrival: Arrival, reply: Reply, trail: Record) -> None:
        """The stream of a client of 2024-11-05; see `gateway.pairs`."""
        path = endpoint_beside(arrival.path, STREAM, self.live.view.endpoints)
        caller, _ = await self._without_message(arrival, trail, "GET", path)
        self.admission.step_aside(caller)
        try:
            await self.pairs.open(caller, path, reply)
        finally:
            self.admission.step_back(caller)
        trail.outcome = "listened"

    async def post_to_pair(self, arrival: Arrival, reply: PairReply, trail: Record) -> Answer | None:
        """A message of such a client."""
        path = endpoint_beside(arrival.path, MESSAGES, self.live.view.endpoints)
        caller, view = await self._without_message(arrival, trail, "POST", path)
        check_content_type(arrival)
        pair = self.pairs.find(arrival, caller, path)
        try:
            message = read_message(arrival.body, arrival.headers, Agreed())
        except InEnvelope:
            reply.take(pair)  # whoever asked with an id waits for it on the stream
            raise
        if isinstance(message, Said):
            trail.method, trail.outcome = "response", "accepted"
            return Answer(202, b"", b"") if pair.session is None else self._take_answer(message, pair.session, caller, trail)
        describe(trail, message)
        if message.era is Era.MODERN:
            raise Refused(Reason.UNSUPPORTED_VERSION, {"supported": list(LEGACY_REVISIONS), "requested": message.revision})
        call = Call(message, caller, view.endpoints[path], arrival, reply, trail, view)
        if pair.session is not None:
            call.session, call.remembered = pair.session, await self.conversations.sessions.enter(pair.session)
            call.message = msgspec.structs.replace(message, revision=pair.session.revision)
            trail.revision = pair.session.revision
        if message.is_notification:
            return self._notice(call)
        reply.take(pair)
        pair.outlet.busy += 1
        try:
            if message.method == "initialize":
                return await self._open_session_of(pair, call)
            return await self._methods[message.method](call)
        except Refused as refused:
            raise InEnvelope(refused, message.id, message.era) from refused
        finally:
            pair.outlet.busy -= 1

    async def _open_session_of(self, pair: Pair, call: Call) -> Answer:
        result = self._greeting(call)
        revision = call.trail.revision = result["protocolVersion"]
        session, _ = await self.conversations.open(call.caller, call.endpoint.path, revision, call.message)
        await self.pairs.begin(pair, session)
        return self._own(call, result)

    async def _without_message(self, arrival: Arrival, trail: Record, method: str, path: str) -> tuple[Caller, View]:
        """The door, who, and how often, for a request at an endpoint that is of a legacy session or is to open one; and the view that it
        came to."""
        view = self.live.view
        trail.method, trail.era = method, Era.LEGACY.value
        if method != "POST":
            arrival.body = b""  # it means nothing, and a stream may stay open for long
        check_origin(arrival.headers, view.hosts, view.origins)
        if self.live.draining:
            raise Refused(Reason.DRAINING)
        endpoint = _endpoint(view, path)
        caller = await self._identify(arrival, endpoint)
        comes_from(trail, caller)
        if not endpoint.serves(caller):
            raise Refused(Reason.UNKNOWN_PATH)
        self.admission.take(caller, self.clock.monotonic())
        sent = arrival.headers.get(b"mcp-protocol-version", b"").decode("latin-1")
        if sent and sent not in ERA_OF:
            raise Refused(Reason.UNSUPPORTED_VERSION, {"supported": list(ERA_OF), "requested": sent})
        return caller, view

    async def _open_session(self, call: Call) -> Answer:
        result = self._greeting(call)
        revision = call.trail.revision = result["protocolVersion"]
        _, text = await self.conversations.open(call.caller, call.endpoint.path, revision, call.message)
        return self._own(call, result, JSON + b"mcp-session-id: " + text.encode() + b"\r\n")

    async def _greet(self, call: Call) -> Answer:
        return self._own(call, self._greeting(call))

    def _greeting(self, call: Call) -> dict[str, Any]:
        message = call.message
        return greeting(call.endpoint, call.caller, message.era, call.view.server_info, message.params.get("protocolVersion"))

    async def _ping(self, call: Call) -> Answer:
        return self._own(call, {})

    async def _set_level(self, call: Call) -> Answer:
        level = call.message.params.get("level")
        if level not in LOG_LEVELS:
            raise Refused(Reason.INVALID_PARAMS, message="`level` is not a log level.")
        if call.session is None:
            self._peers.set_level(call.peer, level)
        else:
            await self.conversations.sessions.set_log_level(call.session, level)
        return self._own(call, {})

    async def _list(self, call: Call) -> Answer:
        if "cursor" in call.message.params:
            raise Refused(Reason.INVALID_PARAMS, message="The cursor is not one of this gateway's: lists come whole.")
        message, view, now = call.message, call.view, self.clock.now()
        state = (self.live.drift_version, view.policy.epoch(now))
        key = (state, call.endpoint.path, message.method, call.caller.context_digest, message.revision)
        encoded = self._lists.get(key) if self._lists_of is view.mark else None
        if encoded is None:
            seen, drifted = partial(view.policy.visible, now=now, portal=call.endpoint.portal), self.live.is_drifted
            result = listed(call.endpoint, message.method, call.caller, message.era, seen, drifted, revision=message.revision)
            encoded = encode(stamped(result, message.era, message.method, view.server_info))
            if self._lists_of is not view.mark or len(self._lists) >= _MAX_LISTS:
                self._lists.clear()
                self._lists_of = view.mark
            self._lists[key] = encoded
        call.trail.outcome = "listed"
        call.trail.policy_digest = view.policy.digest
        begin, end = answer_around(message.id)
        return Answer(200, JSON, begin, (encoded, end))

    def _own(self, call: Call, result: Mapping[str, Any], headers: bytes = JSON) -> Answer:
        message = call.message
        call.trail.outcome = "answered"
        encoded = encode(stamped(result, message.era, message.method, call.view.server_info))
        return Answer(200, headers, answer_bytes(message.id, encoded))

    # The exits

    async def refuse_frame(self, refused: Refused, path: str, started: float) -> Answer:
        """Word and record a refusal of something that never became a request."""
        trail = opened(self.new_id(), path[:256], 0)
        answer = self._refuse(refused, trail)
        try:
            await self._close(trail, started, len(answer.body))
        except Refused as unrecorded:
            answer = self._refuse(unrecorded, trail)
        return answer

    def _refuse(self, refused: Refused, trail: Record) -> Answer:
        trail.outcome, trail.note = refused.reason.name, refused.note or trail.note
        message_id, era = (refused.message_id, refused.era) if isinstance(refused, InEnvelope) else (None, Era.MODERN)
        if isinstance(refused, InEnvelope):
            trail.era = era.value
        status, body = refusal(refused, message_id, era, trail.call_id)
        headers = b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in refused.headers)
        return Answer(status, JSON + headers, body)

    async def _close(self, trail: Record, started: float, bytes_out: int) -> None:
        trail.at, trail.took_us, trail.bytes_out = self.clock.now(), self._took_us(started), bytes_out
        try:
            await self.ledger.append(trail, durable=False)
        except Refused as unrecorded:
            self.observe(msgspec.structs.replace(trail, outcome=unrecorded.reason.name))
            raise
        self.observe(trail)

    def _took_us(self, started: float) -> int:
        return int((self.clock.monotonic() - started) * 1e6)


def _endpoint(view: View, path: str) -> Endpoint:
    """What the door found a moment ago. Raises `Refused` UNKNOWN_PATH where another view came between."""
    found = view.endpoints.get(path)
    if found is None:
        raise Refused(Reason.UNKNOWN_PATH)
    return found


def describe(trail: Record, message: Message) -> None:
    """What a message says of itself, for its record."""
    trail.method, trail.era, trail.revision = message.method, ERA_WORD[message.era is Era.MODERN], message.revision
    if message.is_notification and message.method not in NOTIFICATIONS:
        trail.method = "notifications/other"  # a name that a client made up stays out of labels
    trail.trace_id = trace_id_of(message.meta) or trail.call_id
    trail.name = asked_name(message)


def asked_name(message: Message) -> str:
    """The name that a message asks for, as it was sent, for the record of a call whose name means nothing; bounded."""
    name = message.params.get(NAMED_BY.get(message.method, ""))
    return name[:256] if type(name) is str else ""


def check_media(arrival: Arrival) -> None:
    """The body is declared as JSON and the client can read both forms of an answer. Raises `Refused`."""
    check_content_type(arrival)
    accept = arrival.headers.get(b"accept", b"")
    if accept == b"application/json, text/event-stream":
        return
    accept = accept.lower()
    if not (b"application/json" in accept and b"text/event-stream" in accept) and b"*/*" not in accept:
        raise Refused(Reason.NOT_ACCEPTABLE)


def check_content_type(arrival: Arrival) -> None:
    """Raises `Refused` WRONG_CONTENT_TYPE: no page of another origin can declare JSON without asking first."""
    kind = arrival.headers.get(b"content-type", b"")
    if kind != b"application/json" and kind.split(b";")[0].strip().lower() != b"application/json":
        raise Refused(Reason.WRONG_CONTENT_TYPE)


def bearer_token(arrival: Arrival) -> bytes:
    """The token of the Authorization header. Raises `Refused` NO_TOKEN or TOKEN_IN_QUERY (MCP 2026-07-28, basic/authorization)."""
    if b"access_token=" in arrival.query.lower():
        raise Refused(Reason.TOKEN_IN_QUERY)
    scheme, _, token = arrival.headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"bearer" or not token.strip():
        raise Refused(Reason.NO_TOKEN)
    return token.strip()
