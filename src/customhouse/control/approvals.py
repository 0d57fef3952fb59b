"""What people who approve calls do: look what waits, look at one call exactly, say yes or no.

The API, the terminal and the pages are views of this. Two things make an approver: a role that allows to approve calls, where the
deployment has roles, and a group that the rule asks. Whoever is in none of the asked groups, and is not the requester, sees nothing: the
arguments of a call are as confidential as what the call does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from customhouse.core.approval import ApprovalRequest, Verdict, requester_of
from customhouse.core.exhibit import shown
from customhouse.core.identity import Caller
from customhouse.core.operators import Action, Assignment, check_action, named
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.approvals import Approvals
from customhouse.ports.traffic import Clock


class Presented(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A request as an approver sees it: every text in it is made of visible characters."""

    id: str
    title: str
    """In words of the gateway; what stands in quotes are names."""
    tier: str
    """The risk: the reviewed class of the tool, `destructive`, `write` or `read`."""
    standing: str
    """`waiting`, `approved`, `denied`, `used` or `expired`."""
    tenant: str
    requester: str
    workload: str
    client: str
    endpoint: str
    server: str
    name: str
    arguments: tuple[str, ...]
    """Each value on a line of its own behind its JSON pointer, exactly; see `core.exhibit`."""
    cut: tuple[str, ...]
    """JSON pointers of what is not shown whole: a yes has to say that this is known."""
    argument_digest: str
    pin_digest: str
    groups: tuple[str, ...]
    """All of them have to agree."""
    missing: tuple[str, ...]
    """Those of them that did not agree yet."""
    rules: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    asked_at: float
    """Unix seconds."""
    expires_at: float
    """Unix seconds."""


Allowed = Callable[[Caller, Action, str], None]
"""Raises `Refused` NOT_YOUR_ROLE unless the operator may do this in the tenant."""


def without_roles(_operator: Caller, action: Action, _tenant: str) -> None:
    """A deployment without a control process has no roles: the groups of the rules alone say who approves, and nobody takes rights away."""
    if action is not Action.APPROVE_CALL:
        raise Refused(Reason.NOT_YOUR_ROLE, {"action": action.value})


def allowed_by(assignments: Sequence[Assignment]) -> Allowed:
    """What the roles of a deployment allow."""

    def allowed(operator: Caller, action: Action, tenant: str) -> None:
        check_action(operator, action, tenant, assignments)

    return allowed


@dataclass(frozen=True)
class ApprovalDesk:
    """The requests of a deployment, for operators whose identity was verified. Blocks: it belongs in a worker thread."""

    approvals: Approvals
    clock: Clock
    allowed: Allowed

    def waiting(self, operator: Caller) -> tuple[Presented, ...]:
        """What waits for a group of the operator, the gravest first. Raises `Refused` NOT_YOUR_ROLE."""
        self.allowed(operator, Action.APPROVE_CALL, operator.tenant)
        found = self.approvals.waiting(operator.tenant, self.clock.now())
        return tuple(presented(one) for one in found if set(one.call.groups) & set(operator.groups))

    def show(self, request_id: str, operator: Caller) -> Presented:
        """One request. Raises `Refused` NOTHING_OF_THAT_NAME, also for what is none of the operator's business."""
        return presented(self._concerning(request_id, operator))

    def decide(self, request_id: str, operator: Caller, approves: bool, *, note: str = "", sees_cut: bool = False) -> Presented:
        """A yes or a no. Raises `Refused` as `core.approval.decided` does, and NOT_YOUR_ROLE."""
        self._concerning(request_id, operator)
        self.allowed(operator, Action.APPROVE_CALL, operator.tenant)
        return presented(self.approvals.decide(request_id, operator, approves, self.clock.now(), note=note.strip(), sees_cut=sees_cut))

    def revoke(self, approver: str, operator: Caller) -> None:
        """Somebody (`tenant/person`) approves nothing from now on, and what they approved and nobody used yet is void. Raises `Refused`
        NOT_YOUR_ROLE."""
        self.allowed(operator, Action.REVOKE, approver.partition("/")[0])
        self.approvals.revoke(approver, named(operator), self.clock.now())

    def restore(self, approver: str, operator: Caller) -> None:
        """Somebody may approve again; nobody says so of themselves. Raises `Refused` NOT_YOUR_ROLE."""
        self.allowed(operator, Action.REVOKE, approver.partition("/")[0])
        if approver == named(operator):
            message = "Whose right to approve was taken away does not give it back to themselves."
            raise Refused(Reason.NOT_YOUR_ROLE, {"action": Action.REVOKE.value}, message=message)
        self.approvals.restore(approver)

    def _concerning(self, request_id: str, operator: Caller) -> ApprovalRequest:
        found = self.approvals.get(request_id, self.clock.now())
        concerned = set(found.call.groups) & set(operator.groups) or found.requester == requester_of(operator)
        if found.call.tenant != operator.tenant or not concerned:
            raise Refused(Reason.NOTHING_OF_THAT_NAME)
        return found


def presented(request: ApprovalRequest) -> Presented:
    """A request as it is shown."""
    exhibit, call = shown(request.arguments), request.call
    return Presented(
        id=request.id,
        title=request.title,
        tier=request.effect,
        standing=request.standing.value,
        tenant=call.tenant,
        requester=request.requester,
        workload=request.workload,
        client=request.client,
        endpoint=call.endpoint,
        server=call.server,
        name=call.name,
        arguments=exhibit.lines,
        cut=exhibit.cut,
        argument_digest=call.argument_digest,
        pin_digest=call.pin_digest,
        groups=call.groups,
        missing=request.missing,
        rules=request.rules,
        verdicts=request.verdicts,
        asked_at=request.asked_at,
        expires_at=request.expires_at,
    )
