"""Calls that a person has to approve: asked before the server hears of them, refused while somebody thinks, used once.

Nobody is kept waiting on a socket. The first call asks and is refused with a handle, and the same call sent again later goes through, by
whatever connection or era it comes. A modern client that opens pages for its user is asked to, and its retry resumes the call; what it
answers is never the verdict, which comes from an approver alone, by the operators' door.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from customhouse.core.approval import (
    ApprovalRequest,
    BoundCall,
    FloodLimits,
    Standing,
    argument_digest,
    groups_of,
    page_of,
    request_for,
)
from customhouse.core.catalogue import Entry
from customhouse.core.instants import moment_text
from customhouse.core.manifest import Era
from customhouse.core.policy import Decision
from customhouse.core.protocol import elicitation
from customhouse.core.protocol.capabilities import declared
from customhouse.core.protocol.interaction import Question
from customhouse.core.protocol.requeststate import Approved, Asking, RequestState, bound_to
from customhouse.core.protocol.revisions import ASKS_FOR_INPUT, META_CAPABILITIES
from customhouse.core.record import Record
from customhouse.core.refusal import Reason, Refused
from customhouse.core.sealing import Seal
from customhouse.gateway.call import Call, Held
from customhouse.gateway.requeststates import RequestStates
from customhouse.gateway.rounds import Wanted
from customhouse.ports.approvals import Approvals, Unheard
from customhouse.ports.traffic import Clock, Ledger

log = logging.getLogger(__name__)

T = TypeVar("T")

SWEEP_SECONDS = 1.0
"""Between two looks for verdicts that the ledger was not told, and for requests that are over."""


class ApprovalTerms(msgspec.Struct, frozen=True):
    """How people are asked."""

    lifetime_seconds: float
    """How long a request waits, and how long a verdict is good for."""
    retry_after_seconds: int
    limits: FloodLimits
    console_url: str = ""
    """Where approvers look; empty: in the terminal, and no client is sent to a page."""


@dataclass
class Approving:
    """Asks people about calls, and lets each approved call through once."""

    opened: Callable[[], Approvals]
    """The store, opened at the first use."""
    states: RequestStates
    ledger: Ledger
    clock: Clock
    new_id: Callable[[], str]
    terms: ApprovalTerms
    in_use: bool = False
    """Whether anybody was asked since this process began."""
    _telling: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def look(self, call: Call, entry: Entry, arguments: Mapping[str, Any], decision: Decision) -> Wanted | None:
        """None if the call may go on, which then uses the approval in `call.held`; or what a modern client is to show its user.

        Raises `Refused`: APPROVAL_NEEDED, APPROVAL_DENIED, TOO_MANY_APPROVALS, POLICY_BROKE, INVALID_REQUEST_STATE.
        """
        self.in_use = True
        bound = bound_call(call, entry, arguments, decision)
        now = self.clock.now()
        fresh = request_for(bound, call.caller, arguments, entry.effect, decision.reasons, self.new_id(), now, self.terms.lifetime_seconds)
        state = self._state(call, entry)
        if state is not None and state.approved is None and not isinstance(state.waits, Asking):
            # It began before anybody had to approve it: nobody would see what its answers make of it.
            raise Seal.REQUEST_STATE.refused()
        if state is not None and state.approved is not None:
            call.held = Held(state.approved.approval_id, state.approved.chain, state.round, fresh)
            return None
        request = await self._in_thread(lambda store: store.find(bound, now)) or await self._ask(call, fresh)
        call.trail.approval = request.id
        if request.standing is not Standing.WAITING:
            await self._tell()  # a verdict stands in the ledger before what it brought about
        if request.standing is Standing.APPROVED:
            call.held = Held(request.id, call.trail.call_id, 0 if state is None else state.round, fresh)
            return None
        if request.standing is Standing.WAITING and state is None and self._opens_pages(call):
            return self._page(call, entry, request)
        raise self._refusal(request)

    async def use(self, call: Call) -> None:
        """Use up the approval that the call holds; the intent behind it names it and who approved.

        Raises `Refused`: APPROVAL_NEEDED if another call was first, INVALID_REQUEST_STATE in a chain that has no approval any more.
        """
        held = call.held
        if held is None:
            return
        trail = call.trail
        try:
            used = await self._in_thread(
                lambda store: store.consume(held.request_id, held.fresh.call, held.chain, held.round, self.clock.now())
            )
        except Refused as refused:
            if refused.reason is not Reason.APPROVAL_NEEDED:
                raise
            if held.chain != trail.call_id:
                trail.note = refused.note
                raise Seal.REQUEST_STATE.refused() from None
            again = await self._ask(call, held.fresh)
            trail.approval = again.id
            raise self._refusal(again, refused.note) from None
        trail.approval, trail.approved_by = used.id, ",".join(used.approved_by)
        call.approved = Approved(used.id, held.chain)

    async def sweep(self) -> None:
        """Tell the ledger what happened elsewhere, and end what is over."""
        await self._in_thread(lambda store: store.expire(self.clock.now()))
        await self._tell()

    async def _tell(self) -> None:
        async with self._telling:
            await self._tell_all()

    async def _tell_all(self) -> None:
        for unheard in await self._in_thread(lambda store: store.unheard()):
            for record in records_of(unheard, self.clock.now()):
                await self.ledger.append(record, durable=True)
            await self._heard(unheard.request)

    async def run(self, expected: Callable[[], bool]) -> None:
        """Sweep from time to time while anybody may be asked; `expected` says whether a rule could."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            if self.in_use or expected():
                with contextlib.suppress(Refused):  # the store or the ledger is away: calls are refused for it, the next sweep tries again
                    await self.sweep()

    async def _heard(self, request: ApprovalRequest) -> None:
        await self._in_thread(lambda store: store.hear(request.id, request.happenings))

    async def _ask(self, call: Call, fresh: ApprovalRequest) -> ApprovalRequest:
        request = await self._in_thread(lambda store: store.ask(fresh, self.terms.limits))
        if request.id == fresh.id:
            asking = msgspec.structs.replace(call.trail, kind="approval", outcome="asked", approval=request.id, at=self.clock.now())
            await self.ledger.append(asking, durable=False)
        return request

    async def _in_thread(self, act: Callable[[Approvals], T]) -> T:
        """In a worker thread, since it blocks. Raises `Refused`: a caller is never told that somebody else held the store for too long."""
        try:
            return await asyncio.to_thread(lambda: act(self.opened()))
        except Refused as refused:
            if refused.reason is not Reason.CHANGED_MEANWHILE:
                raise
            raise Refused(Reason.STORE_UNAVAILABLE, {"retryAfterSeconds": 1}, note=refused.note) from refused

    def _state(self, call: Call, entry: Entry) -> RequestState | None:
        """What a modern retry carries. Raises `Refused` INVALID_REQUEST_STATE."""
        params = call.message.params
        if call.message.era is not Era.MODERN or "requestState" not in params:
            return None
        bound = bound_to(call.caller, call.endpoint.path, call.message.method, entry.server.name, entry.name, params)
        return self.states.open(params["requestState"], bound)

    def _opens_pages(self, call: Call) -> bool:
        message = call.message
        if not self.terms.console_url or message.era is not Era.MODERN or message.method not in ASKS_FOR_INPUT:
            return False
        return "url" in declared(message.meta[META_CAPABILITIES], message.revision).get("elicitation", ())

    def _page(self, call: Call, entry: Entry, request: ApprovalRequest) -> Wanted:
        """The page of the request in the console, for whoever may decide; the requester's own yes there would be refused."""
        message = f"Somebody of {' and '.join(request.call.groups)} has to approve this first: {request.title}."
        question = Question(elicitation.METHOD, {"mode": "url", "message": message, "url": page_of(request, self.terms.console_url)})
        params = call.message.params
        bound = bound_to(call.caller, call.endpoint.path, call.message.method, entry.server.name, entry.name, params)
        until = request.expires_at + request.lifetime_seconds
        return Wanted({"approval": question}, self.states.seal(Asking(request.id), 1, until, bound))

    def _refusal(self, request: ApprovalRequest, note: str = "") -> Refused:
        detail: dict[str, object] = {
            "approvalId": request.id,
            "group": ",".join(request.call.groups),
            "expiresAt": moment_text(request.expires_at),
            "where": page_of(request, self.terms.console_url),
        }
        if request.standing is Standing.DENIED:
            because = request.verdicts[-1].note
            return Refused(Reason.APPROVAL_DENIED, {**detail, "because": because} if because else detail)
        after = 1 if request.standing is Standing.APPROVED else self.terms.retry_after_seconds
        return Refused(Reason.APPROVAL_NEEDED, {**detail, "retryAfterSeconds": after}, note=note)


def bound_call(call: Call, entry: Entry, arguments: Mapping[str, Any], decision: Decision) -> BoundCall:
    """What an approval of this call is bound to. Raises `Refused` POLICY_BROKE for a group that this tenant cannot ask."""
    return BoundCall(
        tenant=call.caller.tenant,
        principal=call.caller.principal,
        endpoint=call.endpoint.path,
        method=call.message.method,
        server=entry.server.name,
        name=entry.name,
        pin_digest=entry.pin_digest,
        argument_digest=argument_digest(arguments),
        groups=groups_of(decision.approval, call.caller.tenant),
    )


def records_of(unheard: Unheard, now: float) -> list[Record]:
    """A record for each happening that the ledger does not know."""
    request = unheard.request
    call = request.call
    about = Record(
        kind="approval",
        approval=request.id,
        endpoint=call.endpoint,
        method=call.method,
        tenant=call.tenant,
        server=call.server,
        name=call.name,
        effect=request.effect,
        pin_digest=call.pin_digest,
        reasons=request.rules,
        client=request.client,
    )
    told = [
        msgspec.structs.replace(
            about,
            at=verdict.at,
            outcome="approved" if verdict.approves else "denied",
            person=verdict.approver.partition("/")[2],
            approved_by=verdict.approver,
            note=verdict.note,
        )
        for verdict in request.verdicts[unheard.heard :]
    ]
    if request.standing is Standing.EXPIRED:
        told.append(msgspec.structs.replace(about, at=now, outcome="expired"))
    return told
