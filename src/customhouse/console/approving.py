"""The operations of the operators' API that are about calls which wait for a person."""

from typing import Annotated, Final

import msgspec

from customhouse.console.routes import Asked, Operation
from customhouse.console.shapes import Reason
from customhouse.control.approvals import ApprovalDesk, Presented

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


class ApprovalsShown(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What waits, the gravest first."""

    approvals: list[Presented]


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
        Operation("GET", ONE, "showApproval", "One call exactly, and what became of it.", Presented, bound.show),
        Operation(
            "POST",
            ONE + "/verdicts",
            "decideApproval",
            "Say yes or no to one call.",
            Presented,
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
        return ApprovalsShown(approvals=list(self._desk.waiting(asked.caller)))

    def show(self, asked: Asked) -> Presented:
        return self._desk.show(asked.path["approval"], asked.caller)

    def decide(self, asked: Asked) -> Presented:
        said: CallVerdict = asked.body
        return self._desk.decide(asked.path["approval"], asked.caller, said.approves, note=said.note, sees_cut=said.unseen)

    def revoke(self, asked: Asked) -> RightChanged:
        self._desk.revoke(asked.body.approver, asked.caller)
        return RightChanged(approver=asked.body.approver, may_approve=False)

    def restore(self, asked: Asked) -> RightChanged:
        self._desk.restore(asked.body.approver, asked.caller)
        return RightChanged(approver=asked.body.approver, may_approve=True)
