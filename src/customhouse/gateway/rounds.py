"""The rounds of one call: a server that asks back, and a client that answers in its own era's way.

Sources: MCP 2026-07-28, basic/patterns/mrtr; MCP 2025-11-25, client/elicitation, client/sampling, client/roots. Four cases:

- legacy client, legacy server: the server's request travels on the stream of the call, the client's answer back under the server's id;
- legacy client, modern server: each input request becomes such a request, and the server is asked again with the answers and its state;
- modern client, modern server: the result that asks passes, its state sealed for this caller and this request;
- modern client, legacy server: the call to the server goes on by itself and is parked while the client is asked; its retry takes it up.

A handle that is lost fails; nothing is ever asked of a server again because of it.
"""

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from customhouse.core.catalogue import Entry
from customhouse.core.manifest import Era
from customhouse.core.permit import Permit
from customhouse.core.protocol import elicitation
from customhouse.core.protocol.capabilities import TASKS, declared, without_tasks
from customhouse.core.protocol.interaction import (
    InputRequired,
    Question,
    asks_for_input,
    given_by,
    passed_to_legacy,
    problem_of,
    questions_of_error,
    read_input_required,
    read_questions,
    read_responses,
    retried,
    translated_question,
)
from customhouse.core.protocol.requeststate import Asking, Parked, ServersOwn, bound_to
from customhouse.core.protocol.revisions import ASKS_FOR_INPUT, ERA_OF, META_CAPABILITIES, NEWEST_LEGACY, NEWEST_MODERN, OF_TASKS
from customhouse.core.protocol.taskid import has_room
from customhouse.core.protocol.translation import URL_ELICITATION_REQUIRED
from customhouse.core.refusal import Reason, Refused
from customhouse.gateway.bridging import BridgedCall, Finished, declined
from customhouse.gateway.call import Call
from customhouse.gateway.leaving import Leaving
from customhouse.gateway.parking import Parking
from customhouse.gateway.passing import Passing
from customhouse.gateway.questions import Questions
from customhouse.gateway.requeststates import RequestStates
from customhouse.ports.traffic import Ask, Clock, UpstreamAnswer, Upstreams

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.25, 5.0
"""Between a result that only gives a state, or a page that is open already, and asking the server again; doubled each time."""

DECLARING = ASKS_FOR_INPUT | OF_TASKS
"""Requests for which a server is told what the client can do."""

Bridged = BridgedCall[UpstreamAnswer]


class RoundLimits(msgspec.Struct, frozen=True):
    """How often one call may ask, and how long a client may take to answer."""

    max_rounds: int
    answer_timeout_seconds: float


class Wanted(msgspec.Struct, frozen=True, gc=False):
    """What a modern client is asked for, and the sealed state that its retry carries."""

    questions: dict[str, Question]
    state: str


def may_ask(call: Call, entry: Entry) -> Mapping[str, Any]:
    """What the client declared, in the modern form, as far as the server of this call may use it.

    Tasks are declared within one revision alone, and only where the id of a task has room for the call's arguments.
    """
    message = call.message
    if message.era is Era.LEGACY:
        found: Mapping[str, Any] = call.session.capabilities if call.session is not None else {}
    else:
        said = message.meta[META_CAPABILITIES]
        found = declared(said, message.revision) if said else {}
    if not found or message.method not in DECLARING:
        return {}
    if TASKS in found.get("extensions", ()) and (entry.revision != call.revision or not has_room(message.params.get("arguments"))):
        found = without_tasks(found)
    crosses = ERA_OF.get(entry.revision, Era.MODERN) is not call.message.era
    return {} if crosses and not entry.server.bridges else found


@dataclass
class Rounds:
    """Asks servers, and clients on their behalf."""

    upstreams: Upstreams
    parking: Parking[UpstreamAnswer]
    states: RequestStates
    questions: Questions
    clock: Clock
    limits: RoundLimits
    replica: str
    """The name of this process among those that could hold a call."""
    new_id: Callable[[], str]
    leaving: Leaving
    _passed: "weakref.WeakKeyDictionary[Bridged, BridgedPassing]" = field(default_factory=weakref.WeakKeyDictionary)

    def ask(self, call: Call, entry: Entry, granted: Permit, ask: Ask, passing: Passing) -> Coroutine[Any, Any, UpstreamAnswer | Wanted]:
        """The server's answer, or what the client has to give first. Raises `Refused`."""
        if (not ask.capabilities and "requestState" not in call.message.params) or ask.method in OF_TASKS:
            return self.upstreams.call(granted, ask, passing)
        if call.message.era is Era.LEGACY:
            return self._ask_for_legacy(call, entry, granted, ask, passing)
        return self._ask_for_modern(call, entry, granted, ask, passing)

    # A legacy client

    async def _ask_for_legacy(self, call: Call, entry: Entry, granted: Permit, ask: Ask, passing: Passing) -> UpstreamAnswer:
        asking = AskingClient(passing, self, call, entry)
        answered = await self.upstreams.call(granted, ask, asking)
        opened: set[str] = set()
        rounds, pause = 0, FIRST_PAUSE_SECONDS
        while answered.result is not None and asks_for_input(answered.result):
            rounds += 1
            self._bound_rounds(rounds)
            required = read_input_required(answered.result, ask.method, ask.capabilities)
            began = self.clock.monotonic()
            new = {key: question for key, question in required.questions.items() if question.params.get("url") not in opened}
            given: dict[str, Any] = {key: {"action": "accept"} for key in required.questions.keys() - new.keys()}
            given |= await self._put_to_legacy(call, entry, new, answered.revision or NEWEST_MODERN)
            opened |= {question.params["url"] for key, question in new.items() if _is_open(question, given[key])}
            if not new:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            took = self.clock.monotonic() - began if new else 0.0
            ask = msgspec.structs.replace(ask, params=retried(ask.params, given, required.state), deadline=ask.deadline + took)
            answered = await self.upstreams.call(granted, ask, asking)
        return answered

    async def _put_to_legacy(self, call: Call, entry: Entry, asked: Mapping[str, Question], server: str) -> dict[str, Any]:
        """Each question at once, as a person may be shown several."""
        said = await asyncio.gather(*(self.put(call, entry, question, server) for question in asked.values()))
        given: dict[str, Any] = {}
        for (key, question), reply in zip(asked.items(), said, strict=True):
            found = given_by(question, reply, call.revision, server)
            if found.failure:
                raise Refused(Reason.INPUT_NOT_GIVEN, message=found.failure)
            given[key] = found.answer
        return given

    async def put(self, call: Call, entry: Entry, question: Question, server: str) -> dict[str, Any]:
        """One question of a server of a revision to the legacy client of a call; its answer as it gave it."""
        if call.session is None:
            raise Refused(Reason.INPUT_NOT_GIVEN)
        declared_by = call.session.capabilities
        asked = self._named(call, translated_question(question, server, call.revision, declared_by, self.new_id()), entry)
        return await self.questions.put(call.session.key, call, entry, asked, self.limits.answer_timeout_seconds)

    # A modern client

    async def _ask_for_modern(self, call: Call, entry: Entry, granted: Permit, ask: Ask, passing: Passing) -> UpstreamAnswer | Wanted:
        params = call.message.params
        bound = bound_to(call.caller, call.endpoint.path, ask.method, entry.server.name, entry.name, params)
        rounds = 0
        if "requestState" in params:
            state = self.states.open(params["requestState"], bound)
            rounds = state.round
            responses = params.get("inputResponses", {})
            if type(responses) is not dict:
                raise Refused(Reason.INVALID_PARAMS, message="`inputResponses` is not an object.")
            if isinstance(state.waits, Parked):
                bridged = self._taken_up(call, state.waits, responses)
                return await self._next(call, entry, bridged, bound, rounds, passing)
            if isinstance(state.waits, Asking):  # a person was asked, whose word the gateway has from elsewhere: the server begins here
                rounds, responses, servers_own = 0, {}, None
            else:
                servers_own = state.waits.state
            ask = msgspec.structs.replace(ask, params=retried(ask.params, responses, servers_own))
        elif "inputResponses" in params and call.held is None and ERA_OF.get(entry.revision) is Era.MODERN:
            # Nobody asked for them, which is for the server to say; where a person approved the call, nobody saw them either.
            ask = msgspec.structs.replace(ask, params={**ask.params, "inputResponses": params["inputResponses"]})
        if ask.capabilities and ERA_OF.get(entry.revision) is Era.LEGACY:
            listener = BridgedPassing()
            bridged = self.parking.start(lambda work: self.upstreams.call(granted, ask, listener.of(work)))
            self._passed[bridged] = listener
            return await self._next(call, entry, bridged, bound, rounds, passing)
        return self._passed_on(call, entry, ask, await self.upstreams.call(granted, ask, passing), bound, rounds)

    def _passed_on(
        self, call: Call, entry: Entry, ask: Ask, answered: UpstreamAnswer, bound: bytes, rounds: int
    ) -> UpstreamAnswer | Wanted:
        """An answer as it is, or one that asks with its state sealed."""
        required = _required(answered, ask)
        if required is None:
            return answered
        self._bound_rounds(rounds + 1)
        server = answered.revision or NEWEST_MODERN
        asked = {key: self._asked(call, entry, question, server, ask.capabilities) for key, question in required.questions.items()}
        return Wanted(asked, self._sealed(call, ServersOwn(required.state), rounds + 1, bound))

    def _taken_up(self, call: Call, parked: Parked, responses: Mapping[str, Any]) -> Bridged:
        """The call that waits for these responses, which it now has."""
        if parked.replica != self.replica:
            raise Refused(Reason.PARKED_CALL_GONE, note=f"the call is held by {parked.replica}")
        bridged = self.parking.take(parked.handle, call.caller.context_digest)
        listener = self._passed[bridged]
        try:
            answers = read_responses(responses, listener.handed, call.revision, listener.revision)
        except Refused:
            bridged.cancel()  # its one retry is spent; the server is told that nobody answers
            raise
        bridged.answer({key: {"result": answer} for key, answer in answers.items()})
        return bridged

    async def _next(
        self, call: Call, entry: Entry, bridged: Bridged, bound: bytes, rounds: int, passing: Passing
    ) -> UpstreamAnswer | Wanted:
        """The end of a bridged call, or its next questions with the call parked behind them."""
        listener = self._passed[bridged]
        listener.now = passing
        try:
            outcome = await bridged.next()
        finally:
            listener.now = None
        if isinstance(outcome, Finished):
            return self._passed_on(call, entry, listener.asked_with(call), outcome.answer, bound, rounds)
        try:
            self._bound_rounds(rounds + 1)
            listener.handed = {one.key: Question(one.method, one.params) for one in outcome}
            declared_by = may_ask(call, entry)
            if any(problem_of(question, declared_by) for question in listener.handed.values()):
                raise Refused(Reason.INPUT_NOT_GIVEN, note="the retry declares less than the call before it")
            asked = {key: self._asked(call, entry, q, listener.revision, declared_by) for key, q in listener.handed.items()}
        except Refused:
            bridged.cancel()
            raise
        until = self.clock.monotonic() + self.limits.answer_timeout_seconds
        handle = self.parking.park(bridged, call.caller.context_digest, until)
        return Wanted(asked, self._sealed(call, Parked(self.replica, handle), rounds + 1, bound))

    def wanted_by_task(self, call: Call, entry: Entry, members: Mapping[str, msgspec.Raw]) -> dict[str, Any] | None:
        """The `inputRequests` of a modern server's task, as its client is asked; None where it wants nothing.

        Raises `Refused` UPSTREAM_BROKE_PROTOCOL for what the client did not declare with this request.
        """
        if "inputRequests" not in members:
            return None
        declared_by = may_ask(call, entry)
        questions = read_questions(members["inputRequests"], declared_by)
        return {key: self._asked(call, entry, question, call.revision, declared_by) for key, question in questions.items()}

    def _asked(self, call: Call, entry: Entry, question: Question, server: str, declared_by: Mapping[str, Any]) -> Question:
        return self._named(call, translated_question(question, server, call.revision, declared_by, ""), entry)

    def _named(self, call: Call, question: Question, entry: Entry) -> Question:
        """The question as it leaves, screened. A person who is shown a page learns whose it is (2026-07-28, client/elicitation, Safe URL
        Handling); its address stays what it is, since it would lead nowhere otherwise."""
        params = self.leaving.value(call, entry, question.params)
        if question.method != elicitation.METHOD or params.get("mode") != "url":
            return Question(question.method, params)
        return Question(question.method, elicitation.naming({**params, "url": question.params["url"]}, entry.server.name))

    def _sealed(self, call: Call, waits: ServersOwn | Parked, rounds: int, bound: bytes) -> str:
        return self.states.seal(waits, rounds, self.clock.now() + self.limits.answer_timeout_seconds, bound, call.approved)

    def _bound_rounds(self, rounds: int) -> None:
        if rounds > self.limits.max_rounds:
            raise Refused(Reason.INPUT_NOT_GIVEN, message=f"The server asked for input more than {self.limits.max_rounds} times.")


def size_of_answer(answered: UpstreamAnswer) -> int:
    """The bytes that an answer holds while nobody has read it."""
    if answered.result is not None:
        return sum(len(bytes(value)) for value in answered.result.values())
    return len(msgspec.json.encode(answered.error))


def _required(answered: UpstreamAnswer, ask: Ask) -> InputRequired | None:
    """What an answer asks for, in either era's way; None if it is one."""
    if answered.result is not None:
        return read_input_required(answered.result, ask.method, ask.capabilities) if asks_for_input(answered.result) else None
    if answered.error is not None and answered.error["code"] == URL_ELICITATION_REQUIRED:
        return questions_of_error(answered.error, ask.method, ask.capabilities)
    return None


def _is_open(question: Question, given: Mapping[str, Any]) -> bool:
    return question.params.get("mode") == "url" and given.get("action") == "accept"


class AskingClient:
    """Passes on what a server says, and puts what a legacy server asks to the legacy client of the call."""

    __slots__ = ("_call", "_entry", "_passing", "_rounds")

    def __init__(self, passing: Passing, rounds: Rounds, call: Call, entry: Entry) -> None:
        self._passing = passing
        self._rounds = rounds
        self._call = call
        self._entry = entry

    def notify(self, method: str, params: dict[str, Any]) -> None:
        """See `ports.traffic.Listener`."""
        self._passing.notify(method, params)

    def room(self) -> Awaitable[None] | None:
        """See `ports.traffic.Listener`."""
        return self._passing.room()

    async def ask(self, method: str, params: dict[str, Any], revision: str) -> dict[str, Any]:
        """See `ports.traffic.Listener`."""
        question = Question(method, params)
        said = await self._rounds.put(self._call, self._entry, question, revision)
        return passed_to_legacy(question, said, self._call.revision, revision)


class BridgedPassing:
    """The listener of a call that outlives the exchanges of its modern client: what is said between two of them is heard by nobody."""

    def __init__(self) -> None:
        self.now: Passing | None = None
        """The exchange that waits at present."""
        self.handed: dict[str, Question] = {}
        """The questions that are with the client."""
        self.revision = NEWEST_LEGACY
        self._bridged: weakref.ref[Bridged]
        """Weak, since this listener is kept for as long as somebody holds the call."""

    def of(self, bridged: Bridged) -> "BridgedPassing":
        """This listener, whose questions are those of a call."""
        self._bridged = weakref.ref(bridged)
        return self

    def asked_with(self, call: Call) -> Ask:
        """What an answer of this call is held against."""
        return Ask(call.message.method, {}, Era.MODERN, 0.0, capabilities=declared(call.message.meta[META_CAPABILITIES], call.revision))

    def notify(self, method: str, params: dict[str, Any]) -> None:
        """See `ports.traffic.Listener`."""
        if self.now is not None:
            self.now.notify(method, params)

    def room(self) -> Awaitable[None] | None:
        """See `ports.traffic.Listener`."""
        return None if self.now is None else self.now.room()

    async def ask(self, method: str, params: dict[str, Any], revision: str) -> dict[str, Any]:
        """See `ports.traffic.Listener`."""
        self.revision = revision
        bridged = self._bridged()
        return declined(method) if bridged is None else await bridged.ask(method, params)
