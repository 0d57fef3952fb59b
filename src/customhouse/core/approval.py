"""A person's yes or no to one call: bound to the very call, good for one use, with an expiry.

A rule of the policy asks for it (`@approval("group")` on a permit); the arguments are compared as SHA-256 over their RFC 8785 form, since a
yes to one recipient is no yes to another. What a request is bound to: tenant, principal, endpoint, method, server, name, pin, arguments and
the groups that have to agree. One changed fact is another call, and needs another yes. Not bound are the digest of the policy and the
caller's groups: policy is asked anew on every call, approved or not.
Sources: threat class T21 (consent fatigue, spoofed prompts); OWASP Agentic Top 10, 09 (exploited human trust).
"""

import enum
import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from customhouse.core.exhibit import shown, visible
from customhouse.core.identity import Caller
from customhouse.core.manifest import canonical_bytes
from customhouse.core.refusal import Reason, Refused

HOUR_SECONDS: Final = 3_600.0


class Standing(enum.Enum):
    """Where a request for an approval stands."""

    WAITING = "waiting"
    APPROVED = "approved"
    """The next equal call uses it."""
    DENIED = "denied"
    """Equal calls are refused until it expires."""
    USED = "used"
    """A call went through with it; only the retries of that call's own chain may still come."""
    EXPIRED = "expired"


LIVE: Final = frozenset({Standing.WAITING, Standing.APPROVED, Standing.DENIED})
"""What an equal call meets instead of asking again."""

TIERS: Final[Mapping[str, int]] = {"destructive": 0, "write": 1, "read": 2}
"""The risk of a call, by the reviewed class of its tool: the gravest is shown first, and a yes to it needs a reason in words."""


class BoundCall(msgspec.Struct, frozen=True, kw_only=True):
    """The call that an approval is for. Equal values are the same call, whatever connection, era or token it comes by."""

    tenant: str
    principal: str
    """Of the requester: issuer, tenant, person, workload and client, as one digest."""
    endpoint: str
    method: str
    server: str
    name: str
    """The server's own name of the tool or prompt, or the URI of the resource."""
    pin_digest: str
    argument_digest: str
    """`sha256:` and 64 hexadecimal digits over the canonical arguments (RFC 8785)."""
    groups: tuple[str, ...]
    """The groups of the tenant that all have to agree, sorted."""

    @property
    def fingerprint(self) -> str:
        """One digest for all of it."""
        return hashlib.sha256(msgspec.json.encode(msgspec.structs.astuple(self))).hexdigest()


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one person said."""

    approver: str
    """`tenant/person`."""
    approves: bool
    groups: tuple[str, ...]
    """Those of the asked groups that the person was in."""
    at: float
    """Unix seconds."""
    note: str = ""
    """Why, in the person's words. That of a denial is told to the requester."""


class ApprovalRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One call that waits for a person, and what became of it."""

    id: str
    """32 hexadecimal digits that nobody can guess. It opens nothing: it is where to look."""
    call: BoundCall
    requester: str
    """`tenant/person`, or `tenant/workload` of a program that acts for itself."""
    workload: str = ""
    """The program that acts for the person."""
    client: str = ""
    effect: str = "read"
    """The reviewed class: the tier of risk."""
    arguments: Mapping[str, Any] = {}
    """For showing; gone some time after the request is over, the digest stays."""
    rules: tuple[str, ...] = ()
    """The ids of the rules that permit the call, as they were when it asked."""
    asked_at: float
    """Unix seconds."""
    lifetime_seconds: float
    """How long it waits, and how long a verdict is good for."""
    expires_at: float
    """Unix seconds."""
    standing: Standing = Standing.WAITING
    verdicts: tuple[Verdict, ...] = ()
    chain: str = ""
    """The id of the call that used it; the sealed states of that call's rounds carry it."""
    round: int = 0
    """The last round of that call which came through."""
    version: int = 0
    """Counts changes, so that of two writers one notices the other."""

    @property
    def missing(self) -> tuple[str, ...]:
        """The groups nobody of whom has agreed yet."""
        agreed = {group for verdict in self.verdicts if verdict.approves for group in verdict.groups}
        return tuple(group for group in self.call.groups if group not in agreed)

    @property
    def approved_by(self) -> tuple[str, ...]:
        """Who agreed, in the order in which they did."""
        return tuple(dict.fromkeys(verdict.approver for verdict in self.verdicts if verdict.approves))

    @property
    def happenings(self) -> int:
        """What the ledger hears of it beside the asking and the use: each verdict, and that it expired."""
        return len(self.verdicts) + (self.standing is Standing.EXPIRED)

    @property
    def decided_by(self) -> str:
        """Whose word settled it; empty while it waits."""
        return self.verdicts[-1].approver if self.verdicts and self.standing is not Standing.WAITING else ""

    @property
    def decided_at(self) -> float:
        """Unix seconds of that word; 0 while it waits."""
        return self.verdicts[-1].at if self.decided_by else 0.0

    @property
    def title(self) -> str:
        """What is asked, in words of the gateway: names are quoted and made visible, and no text of a server is in it."""
        names = (self.call.name, self.call.server, self.requester, self.client)
        name, server, requester, client = (visible(text, 120, 20)[0] for text in names)
        through = f' through client "{client}"' if client else ""
        return f'{self.effect} call of "{name}" at server "{server}", asked by "{requester}"{through}'


class FloodLimits(msgspec.Struct, frozen=True):
    """How much people can be asked before asking is refused."""

    max_waiting_per_caller: int
    max_waiting_per_group: int
    max_per_hour_per_caller: int
    retry_after_seconds: int


class Asked(msgspec.Struct, frozen=True):
    """What is open already, as far as it counts against limits: one request."""

    tenant: str
    requester: str
    groups: tuple[str, ...]
    asked_at: float
    waits: bool


StillApprover = Callable[[str, str], bool]
"""Whether somebody (`tenant/person`) may still approve for a group."""


def argument_digest(arguments: object) -> str:
    """`sha256:` and 64 hexadecimal digits over the RFC 8785 form."""
    return "sha256:" + hashlib.sha256(canonical_bytes(arguments)).hexdigest()


def groups_of(text: str, tenant: str) -> tuple[str, ...]:
    """The groups that a decision asks, without the tenant, sorted.

    Raises `Refused` POLICY_BROKE for a group of another tenant: nobody there may learn of the call.
    """
    groups: set[str] = set()
    for written in text.split(","):
        owner, parted, group = written.strip().partition("/")
        if parted and owner != tenant:
            raise Refused(Reason.POLICY_BROKE, note=f"the group {written} that has to approve is of another tenant")
        groups.add(group if parted else owner)
    return tuple(sorted(groups))


def requester_of(caller: Caller) -> str:
    """`tenant/person` or `tenant/workload`."""
    return f"{caller.tenant}/{caller.subject}"


def request_for(
    call: BoundCall,
    caller: Caller,
    arguments: Mapping[str, Any],
    effect: str,
    rules: tuple[str, ...],
    request_id: str,
    now: float,
    seconds: float,
) -> ApprovalRequest:
    """A request that nobody was asked yet."""
    return ApprovalRequest(
        id=request_id,
        call=call,
        requester=requester_of(caller),
        workload=caller.workload if caller.person else "",
        client=caller.client,
        effect=effect,
        arguments=arguments,
        rules=rules,
        asked_at=now,
        lifetime_seconds=seconds,
        expires_at=now + seconds,
    )


def asked(request: ApprovalRequest, live: ApprovalRequest | None, others: Iterable[Asked], limits: FloodLimits) -> ApprovalRequest:
    """The request to keep: a live one for the same call, or this one.

    `others` are the requests of the tenant that wait or were asked within the hour. Raises `Refused` TOO_MANY_APPROVALS.
    """
    if live is not None and live.call == request.call and live.standing in LIVE:
        return live
    waiting_of_caller = lately_of_caller = 0
    waiting_of_groups = dict.fromkeys(request.call.groups, 0)
    for other in others:
        if other.tenant != request.call.tenant:
            continue
        own = other.requester == request.requester
        waiting_of_caller += own and other.waits
        lately_of_caller += own and other.asked_at > request.asked_at - HOUR_SECONDS
        for group in waiting_of_groups.keys() & set(other.groups):
            waiting_of_groups[group] += other.waits
    if waiting_of_caller >= limits.max_waiting_per_caller:
        raise _too_many("caller", limits.max_waiting_per_caller, limits)
    if lately_of_caller >= limits.max_per_hour_per_caller:
        raise _too_many("callerPerHour", limits.max_per_hour_per_caller, limits)
    if any(count >= limits.max_waiting_per_group for count in waiting_of_groups.values()):
        raise _too_many("group", limits.max_waiting_per_group, limits)
    return request


def settled(request: ApprovalRequest, now: float, still_approver: StillApprover) -> ApprovalRequest:
    """The request as it stands now: expired where its time is over, or where somebody who agreed may not approve any more."""
    if request.standing not in LIVE:
        return request
    if now >= request.expires_at or not _stands(request, still_approver):
        return msgspec.structs.replace(request, standing=Standing.EXPIRED, version=request.version + 1)
    return request


def decided(
    request: ApprovalRequest, approver: Caller, approves: bool, now: float, *, note: str = "", sees_cut: bool = False
) -> ApprovalRequest:
    """The request after a person's verdict. One no is a no; a yes counts for each asked group that the person is in.

    Raises `Refused`: NOTHING_OF_THAT_NAME for another tenant's, SELF_APPROVAL, NOT_AN_APPROVER, APPROVAL_OVER, and for a yes
    ARGUMENTS_CUT and REASON_MISSING.
    """
    if approver.tenant != request.call.tenant:
        raise Refused(Reason.NOTHING_OF_THAT_NAME)
    if not approver.person or approver.workload:
        raise Refused(Reason.NOT_AN_APPROVER, message="A program cannot approve, for nobody.")
    if approver.principal == request.call.principal or f"{approver.tenant}/{approver.person}" == request.requester:
        raise Refused(Reason.SELF_APPROVAL)
    groups = tuple(group for group in request.call.groups if group in approver.groups)
    if not groups:
        raise Refused(Reason.NOT_AN_APPROVER, {"groups": list(request.call.groups)})
    if request.standing is not Standing.WAITING or now >= request.expires_at:
        raise Refused(Reason.APPROVAL_OVER, {"standing": (request.standing if now < request.expires_at else Standing.EXPIRED).value})
    if approves:
        _check_yes(request, note, sees_cut)
    verdict = Verdict(approver=f"{approver.tenant}/{approver.person}", approves=approves, groups=groups, at=now, note=note)
    said = msgspec.structs.replace(request, verdicts=(*request.verdicts, verdict), version=request.version + 1)
    if approves and said.missing:
        return said
    standing = Standing.APPROVED if approves else Standing.DENIED
    return msgspec.structs.replace(said, standing=standing, expires_at=now + request.lifetime_seconds)


def consumed(
    request: ApprovalRequest, call: BoundCall, chain: str, round_number: int, now: float, still_approver: StillApprover
) -> ApprovalRequest:
    """The request after a call used it; `round_number` is 0 for a call, and counts up in the retries of its chain.

    Whoever uses it first names the chain; later rounds of that chain pass once each. Raises `Refused` APPROVAL_NEEDED with a note.
    """
    if request.call != call:
        raise _unusable("it is for another call")
    if not _stands(request, still_approver):
        raise _unusable("somebody who approved may not approve any more")
    if request.standing is Standing.USED and round_number > 0:
        if chain != request.chain:
            raise _unusable("another call used it")
        if round_number <= request.round:
            raise _unusable("this round of the call came through before")
        return msgspec.structs.replace(request, round=round_number, version=request.version + 1)
    if request.standing is not Standing.APPROVED:
        raise _unusable(f"it is {request.standing.value}")
    if now >= request.expires_at:
        raise _unusable("it has expired")
    return msgspec.structs.replace(request, standing=Standing.USED, chain=chain, round=round_number, version=request.version + 1)


def forgotten(request: ApprovalRequest) -> ApprovalRequest:
    """The request without the arguments themselves, once it is over; their digest stays."""
    return msgspec.structs.replace(request, arguments={}, version=request.version + 1)


def page_of(request: ApprovalRequest, console_url: str) -> str:
    """Where somebody decides: a page of the console, or the command where there are no pages."""
    return f"{console_url}/approvals/{request.id}" if console_url else f"customhouse approvals show {request.id}"


def needs_flag(request: ApprovalRequest) -> bool:
    """Whether an approver does not see every character, so that a yes has to say that this is known."""
    return bool(shown(request.arguments).cut)


def in_order(requests: Iterable[ApprovalRequest]) -> list[ApprovalRequest]:
    """The gravest first, and among equals the one that waits longest."""
    return sorted(requests, key=lambda one: (TIERS.get(one.effect, 0), one.asked_at, one.id))


def _check_yes(request: ApprovalRequest, note: str, sees_cut: bool) -> None:
    if request.effect == "destructive" and not note.strip():
        raise Refused(Reason.REASON_MISSING)
    if not sees_cut and needs_flag(request):
        raise Refused(Reason.ARGUMENTS_CUT, {"cut": list(shown(request.arguments).cut)})


def _stands(request: ApprovalRequest, still_approver: StillApprover) -> bool:
    return all(still_approver(verdict.approver, group) for verdict in request.verdicts if verdict.approves for group in verdict.groups)


def _unusable(why: str) -> Refused:
    return Refused(Reason.APPROVAL_NEEDED, note=f"the approval cannot be used: {why}")


def _too_many(scope: str, allowed: int, limits: FloodLimits) -> Refused:
    return Refused(Reason.TOO_MANY_APPROVALS, {"scope": scope, "allowed": allowed, "retryAfterSeconds": limits.retry_after_seconds})
