"""What other policies would have made of a recorded call.

A closing record keeps who called, in which groups, through which endpoint, what and when. It does not keep arguments, nor the scopes of the
token; where a decision would rest on them, or on anything else that was not kept, the call is said not to be replayable, and why.
"""

from typing import Final, Literal

import msgspec

from customhouse.core.identity import Caller, known
from customhouse.core.policy import ActionRef, Decision, Policy
from customhouse.core.record import Record

Verdict = Literal["permit", "ask", "deny"]


class Replayed(msgspec.Struct, frozen=True):
    """One recorded call under other policies."""

    was: Verdict
    would_be: Verdict | Literal[""]
    """Empty if it is not replayable."""
    rules: tuple[str, ...] = ()
    """The rules behind what it would be; empty for a default deny."""
    why: str = ""
    """What keeps it from being replayed."""

    @property
    def differs(self) -> bool:
        """Whether the other policies decide otherwise."""
        return bool(self.would_be) and self.would_be != self.was


ARGUMENTS: Final = "it rests on arguments or scopes, which are not kept"
GROUPS: Final = "not all groups of the caller were kept"
GONE: Final = "what was called is not offered any more"


def is_decided(record: Record) -> bool:
    """Whether a record is that of a call about which policies decided."""
    return record.kind == "closing" and bool(record.decision and record.server and record.tenant)


def replayed(policy: Policy, record: Record) -> Replayed:
    """A decided call under these policies, at the moment it was made."""
    was = _was(record)
    ref = _ref(policy, record)
    if ref is None:
        return Replayed(was, "", why=GONE)
    if record.groups_left_out:
        return Replayed(was, "", why=GROUPS)
    decision = policy.forecast(_caller(record), ref, _portal(record), record.at - record.took_us / 1e6)
    if decision is None:
        return Replayed(was, "", why=ARGUMENTS)
    return Replayed(was, _verdict(decision), decision.reasons)


def _was(record: Record) -> Verdict:
    """What policies said; a missing scope and a missing approval came after that."""
    if record.outcome == "INSUFFICIENT_SCOPE":
        return "permit"
    if record.decision == "permit":
        return "permit"
    return "ask" if record.decision == "ask" else "deny"


def _verdict(decision: Decision) -> Verdict:
    if not decision.permitted:
        return "deny"
    return "ask" if decision.approval else "permit"


def _caller(record: Record) -> Caller:
    return known(
        Caller(
            issuer=record.issuer,
            tenant=record.tenant,
            person=record.person,
            workload=record.workload,
            client=record.client,
            groups=record.groups,
            expires_at=0.0,
        )
    )


def _ref(policy: Policy, record: Record) -> ActionRef | None:
    """What was called; None if these policies do not know it. Completion names a prompt or a resource."""
    try:
        if record.method.startswith(("tools/", "tasks/")):
            return policy.tool(record.server, record.name)
        is_resource = record.method.startswith("resources/") or "://" in record.name
        ref = (policy.resource if is_resource else policy.prompt)(record.server, record.name)
        return policy.sending(ref) if record.method == "completion/complete" else ref
    except KeyError:
        return None


def _portal(record: Record) -> str:
    """The portal that an endpoint belongs to; empty for the endpoint of one server."""
    parts = record.endpoint.split("/")
    if parts[1:2] != ["mcp"]:
        return ""
    return parts[2] if len(parts) > 2 and parts[2] not in _BESIDE else "default"


_BESIDE: Final = frozenset({"sse", "messages"})
"""Last parts of the two endpoints of 2024-11-05 that lie beside an endpoint."""
