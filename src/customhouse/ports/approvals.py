"""Where requests for approvals are kept: the gateway asks and uses, people decide, maybe in another process.

Calls block: they belong in a worker thread. Each is one transaction, so of two that would use one approval exactly one does. All raise
`Refused` STORE_UNAVAILABLE, or CHANGED_MEANWHILE where somebody else held the store for too long: without the store nothing is approved.
"""

from typing import Protocol

import msgspec

from customhouse.core.approval import ApprovalRequest, BoundCall, FloodLimits
from customhouse.core.identity import Caller


class Unheard(msgspec.Struct, frozen=True):
    """A request of which more happened than the ledger was told."""

    request: ApprovalRequest
    heard: int
    """How many of its happenings the ledger knows."""


class Approvals(Protocol):
    """All requests of a deployment. What is over stands for a while, then without its arguments."""

    def find(self, call: BoundCall, now: float) -> ApprovalRequest | None:
        """The request for this very call that waits, was approved, or was denied and has not expired."""

    def get(self, request_id: str, now: float) -> ApprovalRequest:
        """The request of an id, as it stands now. Raises `Refused` NOTHING_OF_THAT_NAME."""

    def ask(self, request: ApprovalRequest, limits: FloodLimits) -> ApprovalRequest:
        """Keep a request, or hand back the one that `find` finds. Raises `Refused` TOO_MANY_APPROVALS."""

    def waiting(self, tenant: str, now: float) -> tuple[ApprovalRequest, ...]:
        """The requests of a tenant that wait, the gravest first."""

    def decide(
        self, request_id: str, approver: Caller, approves: bool, now: float, *, note: str = "", sees_cut: bool = False
    ) -> ApprovalRequest:
        """The request after a verdict. Raises `Refused` as `core.approval.decided` does, and NOTHING_OF_THAT_NAME."""

    def consume(self, request_id: str, call: BoundCall, chain: str, round_number: int, now: float) -> ApprovalRequest:
        """The request, used by this call. Raises `Refused` APPROVAL_NEEDED, also to all but one of several that come at once."""

    def expire(self, now: float) -> int:
        """End what is over and forget its arguments; how many that were. A month later the request itself goes, if the ledger was told."""

    def revoke(self, approver: str, by: str, now: float) -> None:
        """What somebody (`tenant/person`) approved and nobody used yet is void, and they approve nothing from now on."""

    def restore(self, approver: str) -> None:
        """Somebody may approve again; what became void stays so."""

    def unheard(self, limit: int = 100) -> tuple[Unheard, ...]:
        """Requests with happenings that the ledger was not told, those of the longest standing first."""

    def hear(self, request_id: str, count: int) -> None:
        """The ledger knows so many happenings of a request now."""

    def close(self) -> None:
        """Let go of files and connections."""
