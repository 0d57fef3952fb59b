"""The operations of the operators' API that are about calls which wait for a person."""

from typing import Annotated, Any, Final

import msgspec

from customhouse.console.routes import Asked, Operation
from customhouse.console.shapes import Reason
from customhouse.control.approvals import ApprovalDesk, Presented
from customhouse.core.approval import Verdict

Approver = Annotated[str, msgspec.Meta(pattern=r"^[^/\s]{1,100}/\S(?:.{0,254}\S)?$", max_length=400)]


class CallVerdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """A yes or a no to one call."""

    approves: bool
    note: Reason = ""
    """Why. A yes to a destructive call needs it; that of a no is told to the requester."""
    unseen: bool = False
    """For a yes: that it is known that not every character was shown."""


class ApproverNamed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """Whose right is changed."""

    approver: Approver
    """`tenant/person`."""
    reason: Reason = ""


class VerdictShown(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What one person said."""

    approver: str
    approves: bool
    groups: list[str]
    at: float
    note: str


class ApprovalShown(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A call that waits for a person, or what became of it. Every text in it is made of visible characters."""

    id: str
    title: str
    tier: str
    """`destructive`, `write` or `read`."""
    standing: str
    """`waiting`, `approved`, `denied`, `used` or `expired`."""
    tenant: str
    requester: str
    workload: str
    client: str
    endpoint: str
    server: str
    name: str
    arguments: list[str]
    """Each value on a line of its own behind its JSON pointer."""
    cut: list[str]
    """JSON pointers of what is not shown whole."""
    argument_digest: str
    pin_digest: str
    groups: list[str]
    missing: list[str]
    """The groups that have yet to agree."""
    rules: list[str]
    verdicts: list[VerdictShown]
    asked_at: float
    expires_at: float


class ApprovalsShown(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What waits, the gravest first."""

    approvals: list[ApprovalShown]


class RightChanged(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Somebody's right to approve calls."""

    approver: str
    may_approve: bool
    """As far as it was not taken away; groups and roles decide beside it."""


ONE: Final = "/approvals/{approval}"


def approval_operations(desk: ApprovalDesk) -> tuple[Operation, ...]:
    """The rows of the table."""
    bound = _Bound(desk)
    return (
        Operation("GET", "/approvals", "listApprovals", "The calls that wait for your groups.", ApprovalsShown, bound.waiting),
        Operation("GET", ONE, "showApproval", "One call exactly, and what became of it.", ApprovalShown, bound.show),
        Operation(
            "POST",
            ONE + "/verdicts",
            "decideApproval",
            "Say yes or no to one call.",
            ApprovalShown,
            bound.decide,
            body=CallVerdict,
            refusals=(409,),
        ),
        Operation(
            "POST",
            "/approvers/revocations",
            "revokeApprover",
            "Let somebody approve nothing any more; what they approved and nobody used is void.",
            RightChanged,
            bound.revoke,
            body=ApproverNamed,
        ),
        Operation(
            "POST",
            "/approvers/restorations",
            "restoreApprover",
            "Let somebody approve again.",
            RightChanged,
            bound.restore,
            body=ApproverNamed,
        ),
    )


class _Bound:
    """What the operations call."""

    def __init__(self, desk: ApprovalDesk) -> None:
        self._desk = desk

    def waiting(self, asked: Asked) -> ApprovalsShown:
        return ApprovalsShown(approvals=[_shown(one) for one in self._desk.waiting(asked.caller)])

    def show(self, asked: Asked) -> ApprovalShown:
        return _shown(self._desk.show(asked.path["approval"], asked.caller))

    def decide(self, asked: Asked) -> ApprovalShown:
        said: CallVerdict = asked.body
        found = self._desk.decide(asked.path["approval"], asked.caller, said.approves, note=said.note, sees_cut=said.unseen)
        return _shown(found)

    def revoke(self, asked: Asked) -> RightChanged:
        self._desk.revoke(asked.body.approver, asked.caller)
        return RightChanged(approver=asked.body.approver, may_approve=False)

    def restore(self, asked: Asked) -> RightChanged:
        self._desk.restore(asked.body.approver, asked.caller)
        return RightChanged(approver=asked.body.approver, may_approve=True)


def _shown(found: Presented) -> ApprovalShown:
    members = msgspec.structs.asdict(found)
    plain: dict[str, Any] = {name: list(value) if isinstance(value, tuple) else value for name, value in members.items()}
    plain["verdicts"] = [_verdict(one) for one in found.verdicts]
    return ApprovalShown(**plain)


def _verdict(said: Verdict) -> VerdictShown:
    return VerdictShown(approver=said.approver, approves=said.approves, groups=list(said.groups), at=said.at, note=said.note)
