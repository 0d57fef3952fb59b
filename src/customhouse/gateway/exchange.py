"""The life of one call, top to bottom: the door, who, how often, what the name means, is it allowed, write it down, ask, record.

Each step's output is the next step's input. `answer` is the one exit: whatever happened, exactly one closing record is written before the
answer's last byte, and an answer that cannot be recorded is not sent.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from customhouse.core.catalogue import Endpoint, Entry, Resource, Tool
from customhouse.core.identity import Caller
from customhouse.core.listing import greeting, listed
from customhouse.core.manifest import Era
from customhouse.core.permit import Permit, permit
from customhouse.core.protocol.envelope import InEnvelope, Message, read_message
from customhouse.core.protocol.origin import check_origin
from customhouse.core.protocol.paramheaders import headers_for, mismatch
from customhouse.core.protocol.results import answer_around, answer_bytes, refusal, relayed, relayed_error, stamped, tool_error
from customhouse.core.protocol.revisions import (
    LOG_LEVELS,
    META_CAPABILITIES,
    META_CLIENT,
    META_LOG_LEVEL,
    META_VERSION,
    NAMED_BY,
    PREFIX,
)
from customhouse.core.protocol.tracing import trace_id_of
from customhouse.core.record import Record
from customhouse.core.refusal import Reason, Refused
from customhouse.gateway.admission import Admission
from customhouse.gateway.arrival import Arrival, Reply
from customhouse.gateway.live import Live, View
from customhouse.gateway.session import Peer, Peers, severe_enough
from customhouse.gateway.trail import comes_from, intent_of, means, opened
from customhouse.ports.traffic import Ask, Clock, Ledger, Upstreams, Verifier

log = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode
_canonical = msgspec.json.Encoder(order="sorted").encode

JSON = b"content-type: application/json\r\n"

NOT_RELAYED = frozenset({"_meta", "task", "requestState"})
"""Parameters that never travel on: `_meta` is made anew; tasks are not relayed; and a state that no server gave to this caller through the
gateway was given to somebody else, whom the server could not tell apart behind the gateway's one credential."""

PLAIN_CALL = frozenset({"name", "arguments", "_meta"})
"""The parameters of most calls of tools: nothing else has to travel."""

ERA_WORD = (Era.LEGACY.value, Era.MODERN.value)
"""By whether it is the modern one."""

OF_THE_HOP = frozenset({META_VERSION, META_CAPABILITIES, META_CLIENT, META_LOG_LEVEL, "progressToken"})
"""Members of `_meta` that concern the client's connection alone."""

NOTIFICATIONS = frozenset(
    {"notifications/initialized", "notifications/cancelled", "notifications/progress", "notifications/roots/list_changed"}
)

_MAX_LISTS = 10_000
"""Encoded lists kept; when there are more, all are dropped and made again at need."""


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What goes back: HTTP status, header lines and a body."""

    status: int
    headers: bytes
    body: bytes
    rest: tuple[bytes, ...] = ()
    """What follows the body, kept apart because it is long and shared: a list is encoded once and never copied."""

    @property
    def size_bytes(self) -> int:
        """Of body and rest."""
        return len(self.body) + sum(map(len, self.rest))


class Call(msgspec.Struct, gc=False):
    """One request with everything the first steps established."""

    message: Message
    caller: Caller
    endpoint: Endpoint
    arrival: Arrival
    reply: Reply
    trail: Record
    view: View

    @property
    def peer(self) -> Peer:
        """Whom a legacy client's words between requests belong to."""
        return self.caller.context_digest, self.endpoint.path


@dataclass
class Exchange:
    """Answers the POST requests of all MCP endpoints."""

    live: Live
    verifier: Verifier
    admission: Admission
    upstreams: Upstreams
    ledger: Ledger
    clock: Clock
    new_id: Callable[[], str]
    """A fresh id of 32 hexadecimal digits that nobody can guess."""
    argument_key: bytes
    public_url: str
    observe: Callable[[Record], None]
    """Hears every closing record."""

    def __post_init__(self) -> None:
        self._peers = Peers()
        self._lists: dict[tuple[View, int, str, str, str, Era], bytes] = {}
        self._methods: Mapping[str, Callable[[Call], Awaitable[Answer | None]]] = {
            "initialize": self._greet,
            "server/discover": self._greet,
            "ping": self._ping,
            "logging/setLevel": self._set_level,
            "tools/list": self._list,
            "prompts/list": self._list,
            "resources/list": self._list,
            "resources/templates/list": self._list,
            "tools/call": self._call_tool,
            "prompts/get": self._get_prompt,
            "resources/read": self._read_resource,
            "completion/complete": self._complete,
        }

    async def answer(self, arrival: Arrival, reply: Reply) -> None:
        """Answer one request. Raises nothing but cancellation, after it was recorded."""
        trail = opened(self.new_id(), arrival.path, len(arrival.body))
        cancelled: asyncio.CancelledError | None = None
        try:
            answer = await self._carry(arrival, reply, trail)
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
        if arrival.passed.view is not view:
            check_origin(arrival.headers, view.hosts, view.origins)
            check_media(arrival)
        if self.live.draining:
            raise Refused(Reason.DRAINING)
        endpoint = view.endpoints[arrival.path]

        # 2. Who is asking.
        passed = arrival.passed
        caller = (self.verifier.known(passed.name) if passed.view is view else None) or await self._identify(arrival, endpoint)
        comes_from(trail, caller)
        if not endpoint.serves(caller):
            raise Refused(Reason.UNKNOWN_PATH)

        # 3. How often this caller and this tenant may come.
        self.admission.take(caller, self.clock.monotonic())

        # 4. What is said, strictly read, and the headers against it.
        message = read_message(arrival.body, arrival.headers, passed.agreed)
        trail.method, trail.era, trail.revision = message.method, ERA_WORD[message.era is Era.MODERN], message.revision
        if message.is_notification and message.method not in NOTIFICATIONS:
            trail.method = "notifications/other"  # a name that a client made up stays out of labels
        trail.trace_id = trace_id_of(message.meta) or trail.call_id
        trail.name = asked_name(message)
        call = Call(message, caller, endpoint, arrival, reply, trail, view)
        if message.is_notification:
            return self._notice(call)
        if message.era is Era.MODERN:
            reply.cancel_when_left()
        try:
            return await self._methods[message.method](call)
        except Refused as refused:
            raise InEnvelope(refused, message.id, message.era) from refused

    async def _identify(self, arrival: Arrival, endpoint: Endpoint) -> Caller:
        """The caller behind the bearer token. Refusals carry the challenge of RFC 9728 section 5.1."""
        try:
            passed = arrival.passed
            if passed.view is not self.live.view:
                passed.token = bearer_token(arrival)
                passed.name = self.verifier.name_of(passed.token, endpoint.resource)
                passed.view = self.live.view
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

    # Answered from the view

    def _notice(self, call: Call) -> Answer:
        """A notification. Only a legacy cancellation means anything; a modern client cancels by closing its stream."""
        message = call.message
        if message.era is Era.LEGACY and message.method == "notifications/cancelled":
            self._peers.cancel(call.peer, message.params.get("requestId"))
        call.trail.outcome = "accepted"
        return Answer(202, b"", b"")

    async def _greet(self, call: Call) -> Answer:
        info = call.view.server_info
        result = greeting(call.endpoint, call.caller, call.message.era, info, call.message.params.get("protocolVersion"))
        return self._own(call, result)

    async def _ping(self, call: Call) -> Answer:
        return self._own(call, {})

    async def _set_level(self, call: Call) -> Answer:
        level = call.message.params.get("level")
        if level not in LOG_LEVELS:
            raise Refused(Reason.INVALID_PARAMS, message="`level` is not a log level.")
        self._peers.set_level(call.peer, level)
        return self._own(call, {})

    async def _list(self, call: Call) -> Answer:
        if "cursor" in call.message.params:
            raise Refused(Reason.INVALID_PARAMS, message="The cursor is not one of this gateway's: lists come whole.")
        message, view = call.message, call.view
        key = (view, self.live.drift_version, call.endpoint.path, message.method, call.caller.context_digest, message.era)
        encoded = self._lists.get(key)
        if encoded is None:
            result = listed(call.endpoint, message.method, call.caller, message.era, view.policy.visible, self.live.is_drifted)
            encoded = _encode(stamped(result, message.era, message.method, view.server_info))
            if len(self._lists) >= _MAX_LISTS:
                self._lists.clear()
            self._lists[key] = encoded
        call.trail.outcome = "listed"
        call.trail.policy_digest = view.policy.digest
        begin, end = answer_around(message.id)
        return Answer(200, JSON, begin, (encoded, end))

    def _own(self, call: Call, result: Mapping[str, Any]) -> Answer:
        message = call.message
        call.trail.outcome = "answered"
        encoded = _encode(stamped(result, message.era, message.method, call.view.server_info))
        return Answer(200, JSON, answer_bytes(message.id, encoded))

    # Relayed

    async def _call_tool(self, call: Call) -> Answer | None:
        params = call.message.params
        tool = call.endpoint.tool(params.get("name"))
        entry = tool.entry
        self._may_see(call, entry)
        arguments = params.get("arguments")
        if arguments is None:
            arguments = {}
        if type(arguments) is not dict:
            raise Refused(Reason.INVALID_PARAMS, message="`arguments` is not an object.")
        self._digest(call, arguments)
        try:
            check_arguments(tool, arguments, call)
        except Refused as refused:
            if refused.reason is not Reason.INVALID_ARGUMENTS:
                raise
            call.trail.outcome = refused.reason.name
            return Answer(200, JSON, tool_error(refused, call.message.id, call.message.era, call.view.server_info))
        granted = self._admit(call, entry, arguments)
        mirrored = mirrored_headers(tool, arguments, call.arrival) if call.message.era is Era.MODERN else ()
        return await self._relay(call, entry, granted, travelling(params, {"name": tool.name, "arguments": arguments}), mirrored)

    async def _get_prompt(self, call: Call) -> Answer | None:
        params = call.message.params
        prompt = call.endpoint.prompt(params.get("name"))
        entry = prompt.entry
        self._may_see(call, entry)
        self._digest(call, params.get("arguments"))
        return await self._relay(call, entry, self._admit(call, entry, {}), travelling(params, {"name": prompt.name}))

    async def _read_resource(self, call: Call) -> Answer | None:
        params = call.message.params
        entry = call.endpoint.resource_at(params.get("uri")).entry(str(params.get("uri")), call.view.policy)
        self._may_see(call, entry)
        return await self._relay(call, entry, self._admit(call, entry, {}), travelling(params, {}))

    async def _complete(self, call: Call) -> Answer | None:
        """Completion of an argument: allowed to whoever may get the prompt or read the resource that it belongs to."""
        params = call.message.params
        ref = params.get("ref")
        if type(ref) is not dict:
            raise Refused(Reason.INVALID_PARAMS, message="`ref` is not an object.")
        if ref.get("type") == "ref/prompt":
            prompt = call.endpoint.prompt(ref.get("name"))
            entry = prompt.entry
            params = {**params, "ref": {**ref, "name": prompt.name}}
        elif ref.get("type") == "ref/resource":
            entry = template_or_resource(call.endpoint, ref.get("uri")).entry(str(ref.get("uri")), call.view.policy)
        else:
            raise Refused(Reason.INVALID_PARAMS, message="`ref` names neither a prompt nor a resource.")
        self._may_see(call, entry)
        self._digest(call, params.get("argument"))
        return await self._relay(call, entry, self._admit(call, entry, {}), travelling(params, {}))

    def _may_see(self, call: Call, entry: Entry) -> None:
        """What a caller may not even list answers like a name that does not exist."""
        means(call.trail, entry.server, entry.name, entry.pin_digest, entry.effect)
        if entry.server.tenant != call.caller.tenant or not call.view.policy.visible(call.caller, entry.action):
            call.trail.decision, call.trail.policy_digest = "deny", call.view.policy.digest
            raise Refused(Reason.UNKNOWN_NAME, {"uri": entry.name} if entry.kind != "tool" and entry.kind != "prompt" else {})
        if self.live.is_drifted(entry.server.name, entry.kind, entry.pinned_name):
            raise Refused(Reason.DRIFTED)

    def _digest(self, call: Call, arguments: object) -> None:
        call.trail.argument_digest = blake2b(_canonical(arguments), digest_size=32, key=self.argument_key).hexdigest()

    def _admit(self, call: Call, entry: Entry, arguments: Mapping[str, Any]) -> Permit:
        """The decision: policy, then scopes. The one place where a permit is made."""
        trail, policy = call.trail, call.view.policy
        decision = policy.decide(call.caller, entry.action, arguments, call.endpoint.portal)
        trail.policy_digest, trail.reasons = policy.digest, decision.reasons
        trail.decision = "permit" if decision.permitted else "deny"
        if decision.errors:
            trail.decision = "deny"
            raise Refused(Reason.POLICY_BROKE, note="; ".join(decision.errors)[:500])
        if not decision.permitted:
            raise Refused(Reason.NOT_PERMITTED, {"rules": decision.reasons})
        if not call.caller.scopes.issuperset(entry.scopes):
            trail.decision = "deny"
            challenge = self._challenge(call.endpoint, "insufficient_scope", tuple(sorted(entry.scopes)))
            raise Refused(Reason.INSUFFICIENT_SCOPE, {"scopes": sorted(entry.scopes)}, headers=(challenge,))
        return permit(trail.call_id, call.caller, entry.server, changes_things=entry.changes_things)

    async def _relay(self, call: Call, entry: Entry, granted: Permit, params: Mapping[str, Any], mirrored: Any = ()) -> Answer | None:
        message, trail = call.message, call.trail
        call.reply.may_wait()
        self.admission.call(entry.server)
        legacy = message.era is Era.LEGACY
        if legacy:  # a modern client cancels by leaving
            self._peers.begin(call.peer, message.id, call.reply)
        try:
            if entry.changes_things or not self.ledger.writable:
                await self.ledger.append(intent_of(trail, self.clock.now(), self._took_us(call.arrival.started)), durable=True)
            trail.upstream_era = trail.era
            least = self._least_level(call)
            ask = Ask(
                message.method,
                params,
                message.era,
                call.arrival.started + entry.call_timeout_seconds,
                {} if message.meta.keys() <= OF_THE_HOP else travelling_meta(message.meta),
                message.progress_token is not None,
                least if message.era is Era.MODERN else "",
                mirrored,
            )
            began = self.clock.monotonic()
            try:
                answered = await self.upstreams.call(granted, ask, Passing(call, least))
            finally:
                trail.upstream_us = int((self.clock.monotonic() - began) * 1e6)
        except asyncio.CancelledError:
            if call.reply.connected:  # the client gave this request up by name: it gets no answer (2025-11-25, utilities/cancellation)
                trail.outcome = "cancelled"
            raise
        finally:
            if legacy:
                self._peers.finish(call.peer, message.id, call.reply)
            self.admission.called(entry.server)
        if answered.error is not None:
            return self._relayed_error(call, answered.error)
        result, is_error = relayed(answered.result or {}, message.era, message.method, call.view.server_info)
        trail.outcome = "tool_error" if is_error else "answered"
        return Answer(200, JSON, _encode({"jsonrpc": "2.0", "id": message.id, "result": result}))

    def _least_level(self, call: Call) -> str:
        """The least severity of log messages to pass on; empty for none. A modern client gets only what it asked for in this request."""
        if call.message.era is Era.MODERN:
            level: str = call.message.meta.get(META_LOG_LEVEL, "")
            return level
        return self._peers.level(call.peer)

    def _relayed_error(self, call: Call, error: dict[str, Any]) -> Answer:
        status, translated = relayed_error(error, call.message.era)
        if error["code"] in (-32020, -32022):
            raise Refused(Reason.UPSTREAM_BROKE_PROTOCOL, note=f"error {error['code']} for the gateway's own request")
        call.trail.outcome = "server_error"
        call.trail.note = f"server error {error['code']}"
        return Answer(status, JSON, _encode({"jsonrpc": "2.0", "id": call.message.id, "error": translated}))

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


class Passing:
    """Passes progress and log messages of one call on to its caller."""

    __slots__ = ("_call", "_least")

    def __init__(self, call: Call, least: str) -> None:
        self._call = call
        self._least = least

    def notify(self, method: str, params: dict[str, Any]) -> None:
        """See `ports.traffic.Listener`. The caller's own progress token takes the place of the gateway's."""
        if method == "notifications/progress":
            params["progressToken"] = self._call.message.progress_token
        elif not self._least or not severe_enough(params.get("level"), self._least):
            return
        self._call.reply.event(_encode({"jsonrpc": "2.0", "method": method, "params": params}))

    def room(self) -> Awaitable[None] | None:
        """See `ports.traffic.Listener`."""
        return self._call.reply.room()

    async def ask(self, method: str, params: dict[str, Any], revision: str) -> dict[str, Any]:
        """See `ports.traffic.Listener`. Nothing is declared to servers yet, so nothing gets here."""
        return {"error": {"code": -32601, "message": "The client does not offer this."}}


def travelling(params: Mapping[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The parameters for the server: those of the client that travel on, with the judged ones in their place."""
    if params.keys() <= PLAIN_CALL and len(own) == 2:
        return own
    return {key: value for key, value in params.items() if key not in NOT_RELAYED} | own


def travelling_meta(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The members of `_meta` that travel on to the server: those of vendors and of traces."""
    return {key: value for key, value in meta.items() if not key.startswith(PREFIX) and key != "progressToken"}


def asked_name(message: Message) -> str:
    """The name that a message asks for, as it was sent, for the record of a call whose name means nothing; bounded."""
    name = message.params.get(NAMED_BY.get(message.method, ""))
    return name[:256] if type(name) is str else ""


def check_media(arrival: Arrival) -> None:
    """The body is declared as JSON and the client can read both forms of an answer. Raises `Refused`."""
    headers = arrival.headers
    kind = headers.get(b"content-type", b"")
    if kind != b"application/json" and kind.split(b";")[0].strip().lower() != b"application/json":
        raise Refused(Reason.WRONG_CONTENT_TYPE)
    accept = headers.get(b"accept", b"")
    if accept == b"application/json, text/event-stream":
        return
    accept = accept.lower()
    if not (b"application/json" in accept and b"text/event-stream" in accept) and b"*/*" not in accept:
        raise Refused(Reason.NOT_ACCEPTABLE)


def bearer_token(arrival: Arrival) -> bytes:
    """The token of the Authorization header. Raises `Refused` NO_TOKEN or TOKEN_IN_QUERY (MCP 2026-07-28, basic/authorization)."""
    if b"access_token=" in arrival.query.lower():
        raise Refused(Reason.TOKEN_IN_QUERY)
    scheme, _, token = arrival.headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"bearer" or not token.strip():
        raise Refused(Reason.NO_TOKEN)
    return token.strip()


def check_arguments(tool: Tool, arguments: dict[str, Any], call: Call) -> None:
    """Arguments against the pinned schema, and mirrored headers against the arguments.

    Raises `Refused` INVALID_PARAMS for a key that looks like a declared one, HEADER_MISMATCH, or INVALID_ARGUMENTS.
    """
    if tool.schema.lookalike(arguments) is not None:
        raise Refused(Reason.INVALID_PARAMS, message="An argument's name looks like another name that the tool declares.")
    if call.message.era is Era.MODERN and tool.header_parameters:
        wrong = mismatch(tool.header_parameters, arguments, parameter_headers(call.arrival))
        if wrong is not None:
            raise Refused(Reason.HEADER_MISMATCH, message=wrong)
    problems = tool.schema.problems(arguments)
    if problems:
        raise Refused(Reason.INVALID_ARGUMENTS, {"problems": problems})


def parameter_headers(arrival: Arrival) -> dict[str, list[str]]:
    """The `Mcp-Param-*` headers of a request; the door lets each through once at most."""
    return {name.decode("latin-1"): [value.decode("latin-1")] for name, value in arrival.headers.items() if name.startswith(b"mcp-param-")}


def mirrored_headers(tool: Tool, arguments: Mapping[str, Any], arrival: Arrival) -> list[tuple[str, str]]:
    """The `Mcp-Param-*` headers for the server: those of its own parameters made anew, unknown ones as they came
    (2026-07-28, basic/transports/streamable-http, Server Behavior for Custom Headers)."""
    if not tool.header_parameters and not arrival.has_parameter_headers:
        return []
    own = headers_for(tool.header_parameters, arguments)
    known = {parameter.header_name.lower() for parameter in tool.header_parameters}
    return own + [(name, values[0]) for name, values in parameter_headers(arrival).items() if name not in known and values[0].isascii()]


def template_or_resource(endpoint: Endpoint, uri: object) -> Resource:
    """What a completion reference names: a template by its own text, or a resource."""
    for entry in endpoint.templates:
        if entry.definition["uriTemplate"] == uri:
            return entry
    return endpoint.resource_at(uri)
