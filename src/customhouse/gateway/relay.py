"""A call on its way to a server: what its name means, whether it is allowed, the intent on disk, the asking, and what comes back.

The steps 4 to 9 of a call's life; `exchange.py` has what comes before and the one exit behind.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from customhouse.core.canaries import Canaries
from customhouse.core.catalogue import Endpoint, Entry, Resource, Tool
from customhouse.core.flow import CLEAN, words_of
from customhouse.core.identity import Caller
from customhouse.core.manifest import Era
from customhouse.core.permit import Permit, permit
from customhouse.core.policy import Decision
from customhouse.core.protocol.capabilities import TASKS
from customhouse.core.protocol.elicitation import with_pages
from customhouse.core.protocol.interaction import input_required
from customhouse.core.protocol.paramheaders import headers_for, mismatch
from customhouse.core.protocol.results import answer_bytes, relayed, relayed_error, tool_error
from customhouse.core.protocol.revisions import ERA_NAMES, META_CAPABILITIES, META_CLIENT, META_LOG_LEVEL, META_VERSION, PREFIX
from customhouse.core.protocol.taskid import task_of
from customhouse.core.protocol.tasks import IS_TASK, refuse_task_alone, refuse_tasks_across, relayed_task, server_id_of
from customhouse.core.protocol.translation import URL_ELICITATION_REQUIRED, translated_error, translated_params, translated_result
from customhouse.core.record import Record
from customhouse.core.refusal import Reason, Refused
from customhouse.gateway.admission import Admission
from customhouse.gateway.approving import Approving
from customhouse.gateway.arrival import Arrival
from customhouse.gateway.call import JSON, Answer, Call, encode
from customhouse.gateway.leaving import Leaving, check_output
from customhouse.gateway.live import Live
from customhouse.gateway.passing import Passing
from customhouse.gateway.rounds import Rounds, Wanted, may_ask
from customhouse.gateway.session import Peers
from customhouse.gateway.taskids import TaskIds
from customhouse.gateway.trail import intent_of, means
from customhouse.ports.traffic import Ask, Clock, Ledger, UpstreamAnswer

_canonical = msgspec.json.Encoder(order="sorted").encode

NOT_RELAYED = frozenset({"_meta", "task", "requestState", "inputResponses"})
"""Parameters that never travel on: `_meta` is made anew; tasks are not relayed; and a state that no server gave to this caller through the
gateway was given to somebody else, whom the server could not tell apart behind the gateway's one credential. Answers belong to the retry
that brings such a state (2026-07-28, basic/patterns/mrtr): `Rounds` adds them once it has opened. Answers that nobody asked for travel
only where nobody had to approve the call."""

PLAIN_CALL = frozenset({"name", "arguments", "_meta"})
"""The parameters of most calls of tools: nothing else has to travel."""

OF_THE_HOP = frozenset({META_VERSION, META_CAPABILITIES, META_CLIENT, META_LOG_LEVEL, "progressToken"})
"""Members of `_meta` that concern the client's connection alone."""

OF_TRACES = frozenset({"traceparent", "tracestate", "baggage"})
"""Members of `_meta` that no server acts upon (2026-07-28, basic, `_meta`)."""

SENDS_NOTHING = frozenset({"tasks/get", "tasks/cancel"})
"""What was read since a call began says nothing about these: they carry nothing that was not decided when it began."""

Answering = Callable[[Call, Entry, UpstreamAnswer | Wanted], Answer]
"""What becomes of what came back from a server."""

Challenge = Callable[[Endpoint, str, tuple[str, ...]], tuple[str, str]]
"""The header that asks for a better token: for this endpoint, because of this error, with these scopes."""


@dataclass
class Relay:
    """Decides about calls and carries them to servers."""

    live: Live
    admission: Admission
    rounds: Rounds
    ledger: Ledger
    clock: Clock
    argument_key: bytes
    peers: Peers
    challenge: Challenge
    task_ids: TaskIds
    approving: Approving
    leaving: Leaving
    canaries: Canaries

    async def call_tool(self, call: Call) -> Answer | None:
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
        decision = self._decide(call, entry, arguments)
        if "execution" in tool.definition:
            refuse_task_alone(tool.definition, entry.revision, call.revision)
        mirrored = mirrored_headers(tool, arguments, call.arrival) if call.message.era is Era.MODERN else ()
        own = {"name": tool.name, "arguments": arguments}
        if decision.approval:
            mirrored = headers_for(tool.header_parameters, arguments) if mirrored else ()
            return await self._relay_approved(call, entry, decision, arguments, own, mirrored)
        return await self._relay(call, entry, self._permit(call, entry), travelling(params, own), mirrored)

    async def get_prompt(self, call: Call) -> Answer | None:
        params = call.message.params
        prompt = call.endpoint.prompt(params.get("name"))
        entry = prompt.entry
        self._may_see(call, entry)
        self._digest(call, params.get("arguments"))
        if params.get("arguments") or "inputResponses" in params:
            entry = sending(call, entry)
        decision = self._decide(call, entry, {})
        if decision.approval:
            arguments = params.get("arguments", {})
            if type(arguments) is not dict:
                raise Refused(Reason.INVALID_PARAMS, message="`arguments` is not an object.")
            return await self._relay_approved(call, entry, decision, arguments, {"name": prompt.name, "arguments": arguments})
        return await self._relay(call, entry, self._permit(call, entry), travelling(params, {"name": prompt.name}))

    async def read_resource(self, call: Call) -> Answer | None:
        params = call.message.params
        entry = self._readable(call, params.get("uri"))
        if "inputResponses" in params:
            entry = sending(call, entry)
        decision = self._decide(call, entry, {})
        if decision.approval:
            return await self._relay_approved(call, entry, decision, {}, {"uri": entry.name})
        return await self._relay(call, entry, self._permit(call, entry), travelling(params, {}))

    def may_read(self, call: Call, uri: object) -> tuple[Entry, Permit]:
        """The resource of a URI and the permit to read it, or to be told when it changes. Raises `Refused`."""
        entry = self._readable(call, uri)
        return entry, self._admit(call, entry, {})

    def _readable(self, call: Call, uri: object) -> Entry:
        entry = call.endpoint.resource_at(uri, call.caller.tenant).entry(str(uri), call.view.policy)
        self._may_see(call, entry)
        return entry

    async def complete(self, call: Call) -> Answer | None:
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
            found = template_or_resource(call.endpoint, ref.get("uri"), call.caller.tenant)
            entry = found.entry(str(ref.get("uri")), call.view.policy)
        else:
            raise Refused(Reason.INVALID_PARAMS, message="`ref` names neither a prompt nor a resource.")
        self._may_see(call, entry)
        self._digest(call, params.get("argument"))
        entry = sending(call, entry)
        return await self._relay(call, entry, self._admit(call, entry, {}), travelling(params, {}))

    async def ask_about(
        self, call: Call, entry: Entry, arguments: Mapping[str, Any], params: Mapping[str, Any], answering: Answering
    ) -> Answer | None:
        """A request about what a call with these arguments began: decided as that call would be now. Nobody is asked to approve it once
        more: the sealed id that leads here proves that the call which began it came through."""
        self._may_see(call, entry)
        refuse_tasks_across(call.message.method, params, entry.revision, call.revision)
        self._digest(call, arguments)
        self._decide(call, entry, arguments)
        return await self._relay(call, entry, self._permit(call, entry), params, answering=answering)

    def decide_about_answer(self, call: Call, entry: Entry, caller: Caller, trail: Record) -> None:
        """An answer of a legacy client to what the server of a call asked: decided as that call would be now, in the name of whoever
        answers. Nobody is asked to approve it once more. Raises `Refused`."""
        means(trail, entry.server, entry.name, entry.pin_digest, entry.effect)
        trail.note = f"answer for call {call.trail.call_id}"
        is_tool = entry.kind == "tool"
        arguments = call.message.params.get("arguments") if is_tool else None
        self._decide(msgspec.structs.replace(call, caller=caller, trail=trail), entry if is_tool else sending(call, entry), arguments or {})

    def _may_see(self, call: Call, entry: Entry) -> None:
        """What a caller may not even list answers like a name that does not exist."""
        means(call.trail, entry.server, entry.name, entry.pin_digest, entry.effect)
        policy, now = call.view.policy, self.clock.now()
        if entry.server.tenant != call.caller.tenant or not policy.visible(call.caller, entry.action, now, call.endpoint.portal):
            call.trail.decision, call.trail.policy_digest = "deny", policy.digest
            if policy.beside is not None and policy.beside.visible(call.caller, entry.action, now, call.endpoint.portal):
                call.trail.would = "seen"
            raise Refused(Reason.UNKNOWN_NAME, {"uri": entry.name} if entry.kind != "tool" and entry.kind != "prompt" else {})
        if self.live.is_drifted(entry.server.name, entry.kind, entry.pinned_name):
            raise Refused(Reason.DRIFTED)

    def _digest(self, call: Call, arguments: object) -> None:
        canonical = _canonical(arguments)
        call.trail.argument_digest = blake2b(canonical, digest_size=32, key=self.argument_key).hexdigest()
        self.canaries.check(canonical)
        if "inputResponses" in call.message.params:
            self.canaries.check(_canonical(call.message.params["inputResponses"]))

    def _admit(self, call: Call, entry: Entry, arguments: Mapping[str, Any]) -> Permit:
        """The decision and the permit, for a request that is too small to ask a person about."""
        decision = self._decide(call, entry, arguments)
        if decision.approval:
            raise Refused(Reason.NOT_PERMITTED, {"rules": decision.reasons}, note=f"{decision.approval} is not asked about this")
        return self._permit(call, entry)

    def _decide(self, call: Call, entry: Entry, arguments: Mapping[str, Any]) -> Decision:
        """Policy, then scopes. Raises `Refused` for a no; a yes may still ask for an approval."""
        trail, policy = call.trail, call.view.policy
        now = self.clock.now()
        taint = CLEAN if call.message.method in SENDS_NOTHING else self.leaving.taints.of(call.caller.principal)
        decision = policy.decide(call.caller, entry.action, arguments, call.endpoint.portal, now, taint)
        if policy.beside is not None:
            trail.would = policy.would(call.caller, entry.action, arguments, call.endpoint.portal, now, decision, taint)
        trail.policy_digest, trail.reasons = policy.digest, decision.reasons
        trail.decision = "permit" if decision.permitted else "deny"
        if not decision.permitted or decision.approval:
            trail.taint = words_of(taint)
        if decision.errors:
            trail.decision = "deny"
            raise Refused(Reason.POLICY_BROKE, note="; ".join(decision.errors)[:500])
        if not decision.permitted:
            raise Refused(Reason.NOT_PERMITTED, {"rules": decision.reasons})
        if decision.approval:
            trail.decision = "ask"
        if not call.caller.scopes.issuperset(entry.scopes):
            trail.decision = "deny"
            challenge = self.challenge(call.endpoint, "insufficient_scope", tuple(sorted(entry.scopes)))
            raise Refused(Reason.INSUFFICIENT_SCOPE, {"scopes": sorted(entry.scopes)}, headers=(challenge,))
        return decision

    def _permit(self, call: Call, entry: Entry) -> Permit:
        """The one place where a permit is made, behind `_decide`."""
        return permit(call.trail.call_id, call.caller, entry.server, changes_things=entry.changes_things)

    async def _relay_approved(
        self, call: Call, entry: Entry, decision: Decision, arguments: Mapping[str, Any], own: dict[str, Any], mirrored: Any = ()
    ) -> Answer | None:
        """A call that a person has to approve. What was not shown to anybody does not travel; later rounds of it bring answers."""
        call.reply.may_wait()
        wanted = await self.approving.look(call, entry, arguments, decision)
        if wanted is not None:
            return self._answer(call, entry, wanted)
        return await self._relay(call, entry, self._permit(call, entry), own, mirrored)

    async def _relay(
        self,
        call: Call,
        entry: Entry,
        granted: Permit,
        params: Mapping[str, Any],
        mirrored: Any = (),
        answering: Answering | None = None,
    ) -> Answer | None:
        message, trail = call.message, call.trail
        call.reply.may_wait()
        self.admission.call(entry.server)
        legacy = message.era is Era.LEGACY
        if legacy:  # a modern client cancels by leaving
            self.peers.begin(call.peer, message.id, call.reply)
        try:
            if call.held is not None:
                await self.approving.use(call)
            if entry.changes_things or call.held is not None or not self.ledger.writable:
                await self.ledger.append(
                    intent_of(trail, self.clock.now(), int((self.clock.monotonic() - call.arrival.started) * 1e6)), durable=True
                )
            least = self._least_level(call)
            revision = call.revision
            ask = Ask(
                message.method,
                params if revision == entry.revision else translated_params(params, message.method, entry.revision, revision),
                message.era,
                call.arrival.started + entry.call_timeout_seconds,
                {} if message.meta.keys() <= OF_THE_HOP else travelling_meta(message.meta, traces_alone=call.held is not None),
                message.progress_token is not None,
                least,
                mirrored,
                may_ask(call, entry),
                call.conversation,
            )
            began = self.clock.monotonic()
            try:
                answered = await self.rounds.ask(call, entry, granted, ask, Passing(call, entry, least, self.leaving))
            finally:
                trail.upstream_us = int((self.clock.monotonic() - began) * 1e6)
        except asyncio.CancelledError:
            if call.reply.connected:  # the client gave this request up by name: it gets no answer (2025-11-25, utilities/cancellation)
                trail.outcome = "cancelled"
            raise
        finally:
            if legacy:
                self.peers.finish(call.peer, message.id, call.reply)
            self.admission.called(entry.server)
        if answering is not None:
            return answering(call, entry, answered)
        return self._answer(call, entry, answered)

    def _answer(self, call: Call, entry: Entry, answered: UpstreamAnswer | Wanted) -> Answer:
        message, trail, info = call.message, call.trail, call.view.server_info
        if isinstance(answered, Wanted):
            trail.outcome = "input_required"
            return Answer(200, JSON, answer_bytes(message.id, encode(input_required(answered.questions, answered.state, info))))
        server = answered.revision or entry.revision
        trail.upstream_era = ERA_NAMES[server]
        if answered.error is not None:
            return self.relayed_error(call, entry, answered.error, server)
        members, revision = answered.result or {}, call.revision
        if server != revision:
            members = translated_result(members, message.method, server, revision)
        elif "taskId" in members and members.get("resultType") == IS_TASK:
            return self._begun(call, entry, members)
        result, is_error = relayed(members, message.era, message.method, info)
        check_output(entry, answered.result or {}, server)
        trail.outcome = "tool_error" if is_error else "answered"
        return Answer(200, JSON, self.leaving.result(call, entry, result))

    def _begun(self, call: Call, entry: Entry, members: Mapping[str, msgspec.Raw]) -> Answer:
        """A call that became a task, under an id of the gateway's own."""
        if call.message.method != "tools/call" or TASKS not in may_ask(call, entry).get("extensions", ()):
            raise Refused(Reason.UPSTREAM_BROKE_PROTOCOL, note="a task that nobody declared")
        arguments = call.message.params.get("arguments") or {}
        task = task_of(entry.server.name, entry.name, arguments, call.trail.call_id, server_id_of(members))
        told = relayed_task(members, call.view.server_info) or {}
        told["taskId"] = self.task_ids.seal(task, call.caller, call.endpoint.path)
        wanted = self.rounds.wanted_by_task(call, entry, members)
        if wanted is not None:
            told["inputRequests"] = wanted
        call.trail.outcome = "task"
        return Answer(200, JSON, self.leaving.result(call, entry, told))

    def _least_level(self, call: Call) -> str:
        """The least severity of log messages to pass on; empty for none. A modern client gets only what it asked for in this request."""
        if call.message.era is Era.MODERN:
            level: str = call.message.meta.get(META_LOG_LEVEL, "")
            return level
        return call.remembered.log_level or self.peers.level(call.peer)

    def relayed_error(self, call: Call, entry: Entry, error: dict[str, Any], server: str) -> Answer:
        """A server's own error as the client gets it. Raises `Refused` UPSTREAM_BROKE_PROTOCOL."""
        said = translated_error(error, call.message.method, server, call.revision, entry.name if entry.kind != "tool" else "")
        status, translated = relayed_error(said, call.message.era)
        if error["code"] in (-32020, -32022):
            raise Refused(Reason.UPSTREAM_BROKE_PROTOCOL, note=f"error {error['code']} for the gateway's own request")
        call.trail.outcome = "server_error"
        call.trail.note = f"server error {error['code']}"
        shown = self.leaving.value(call, entry, translated)
        if translated["code"] == URL_ELICITATION_REQUIRED and "data" in shown:  # a person is to open the addresses
            shown = {**shown, "data": with_pages(shown["data"], translated["data"])}
        return Answer(status, JSON, encode({"jsonrpc": "2.0", "id": call.message.id, "error": shown}))


def sending(call: Call, entry: Entry) -> Entry:
    """A prompt or resource for a request that carries words of the caller to its server: decided about as a sink, whatever was declared."""
    return msgspec.structs.replace(entry, action=call.view.policy.sending(entry.action))


def travelling(params: Mapping[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The parameters for the server: those of the client that travel on, with the judged ones in their place."""
    if params.keys() <= PLAIN_CALL and len(own) == 2:
        return own
    return {key: value for key, value in params.items() if key not in NOT_RELAYED} | own


def travelling_meta(meta: Mapping[str, Any], *, traces_alone: bool = False) -> dict[str, Any]:
    """The members of `_meta` that travel on to the server: those of vendors and of traces."""
    if traces_alone:
        return {key: value for key, value in meta.items() if key in OF_TRACES}
    return {key: value for key, value in meta.items() if not key.startswith(PREFIX) and key != "progressToken"}


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


def template_or_resource(endpoint: Endpoint, uri: object, tenant: str) -> Resource:
    """What a completion reference of a tenant names: a template by its own text, or a resource."""
    for entry in endpoint.templates:
        if entry.server.tenant == tenant and entry.definition["uriTemplate"] == uri:
            return entry
    return endpoint.resource_at(uri, tenant)
