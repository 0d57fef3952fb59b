"""The lifecycle of everything that is governed: which steps lead where, who may take them, and how many people have to agree.

A version is one state of one thing (a server with its pin, a policy, a portal), known by the digest of its content. Reviews are given to a
digest, never to a file or a number, so nothing that was not looked at can be activated, and content that was agreed on before stays agreed
on until the reviews expire. Who proposed content never counts among its reviewers (four eyes; OWASP MCP Top 10, MCP03).
"""

import enum
import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from customhouse.core.manifest import canonical_bytes
from customhouse.core.refusal import Reason, Refused


class Kind(enum.Enum):
    """What is governed."""

    SERVER = "server"
    """A definition with its pin."""
    POLICY = "policy"
    """A file of Cedar rules."""
    GRANT = "grant"
    """A file of grants: who may use what, within which arguments and until when."""
    PORTAL = "portal"
    """A set of servers offered as one endpoint."""


class State(enum.Enum):
    """Where a version stands."""

    DRAFT = "draft"
    """Written down, for its authors only."""
    PROPOSED = "proposed"
    """Somebody wants it; reviewers are asked."""
    REVIEWED = "reviewed"
    """Enough people agreed; nothing is served yet."""
    ACTIVE = "active"
    """Served."""
    DEPRECATED = "deprecated"
    """Still served beside its successor, until its window ends."""
    QUARANTINED = "quarantined"
    """Suspended: not served until somebody activates it again."""
    RETIRED = "retired"
    """Over, for good."""


class Step(enum.Enum):
    """What can be done to a version."""

    PROPOSE = "propose"
    ACCEPT = "accept"
    REJECT = "reject"
    WITHDRAW = "withdraw"
    ACTIVATE = "activate"
    DEPRECATE = "deprecate"
    SUSPEND = "suspend"
    RETIRE = "retire"


SERVED: Final = frozenset({State.ACTIVE, State.DEPRECATED})
"""What the gateway shows and calls."""

NEXT: Final[Mapping[tuple[State, Step], State]] = {
    (State.DRAFT, Step.PROPOSE): State.PROPOSED,
    (State.DRAFT, Step.RETIRE): State.RETIRED,
    (State.PROPOSED, Step.ACCEPT): State.REVIEWED,
    (State.PROPOSED, Step.REJECT): State.DRAFT,
    (State.PROPOSED, Step.WITHDRAW): State.DRAFT,
    (State.PROPOSED, Step.RETIRE): State.RETIRED,
    (State.REVIEWED, Step.ACCEPT): State.REVIEWED,
    (State.REVIEWED, Step.REJECT): State.DRAFT,
    (State.REVIEWED, Step.WITHDRAW): State.DRAFT,
    (State.REVIEWED, Step.ACTIVATE): State.ACTIVE,
    (State.REVIEWED, Step.RETIRE): State.RETIRED,
    (State.ACTIVE, Step.ACCEPT): State.ACTIVE,
    (State.ACTIVE, Step.DEPRECATE): State.DEPRECATED,
    (State.ACTIVE, Step.SUSPEND): State.QUARANTINED,
    (State.ACTIVE, Step.RETIRE): State.RETIRED,
    (State.DEPRECATED, Step.ACCEPT): State.DEPRECATED,
    (State.DEPRECATED, Step.ACTIVATE): State.ACTIVE,
    (State.DEPRECATED, Step.SUSPEND): State.QUARANTINED,
    (State.DEPRECATED, Step.RETIRE): State.RETIRED,
    (State.QUARANTINED, Step.ACCEPT): State.QUARANTINED,
    (State.QUARANTINED, Step.ACTIVATE): State.ACTIVE,
    (State.QUARANTINED, Step.RETIRE): State.RETIRED,
}
"""Every step there is. An acceptance leads from proposed to reviewed with the last one that is needed; where a version is served already,
it renews a review. A pair that is not here is refused."""

VERDICTS: Final = frozenset({Step.ACCEPT, Step.REJECT})


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One state of one governed thing."""

    kind: Kind
    name: str
    number: int
    """1, 2, 3 and so on for each kind and name."""
    tenant: str
    """Whose thing it is; empty for what belongs to the whole deployment."""
    digest: str
    """Of its content; see `content_digest`."""
    state: State
    proposer: str
    """`tenant/person`: who wants it, and therefore cannot review it."""
    reviewers_needed: int
    """How many other people have to accept it."""
    proposed_at: float
    """Unix seconds of the last proposal."""
    activated_at: float = 0.0
    """Unix seconds of the last activation; 0 before the first."""
    until: float = 0.0
    """Unix seconds at which a deprecated version is retired; 0 where nothing is planned."""
    reason: str = ""
    """Why it was proposed, suspended or retired, in the words of whoever did it."""


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """One person's verdict on one content. The last word of each person counts."""

    digest: str
    reviewer: str
    """`tenant/person`."""
    accepts: bool
    at: float
    """Unix seconds."""
    expires_at: float
    """Unix seconds; an acceptance counts until then, and can be renewed by another one."""
    note: str = ""


class Standing(msgspec.Struct, frozen=True):
    """What the reviews of one version amount to at one moment."""

    accepted_by: tuple[str, ...]
    """Who accepts it now, sorted."""
    rejected_by: tuple[str, ...]
    """Whose last word is no, sorted."""
    missing: int
    """How many acceptances are missing."""
    holds_until: float
    """Unix seconds at which acceptances begin to be missing; 0 if they are missing already."""

    @property
    def suffices(self) -> bool:
        """Whether it may be activated, as far as people are concerned."""
        return self.missing == 0 and not self.rejected_by


def content_digest(kind: Kind, name: str, content: object) -> str:
    """`sha256:` and 64 hexadecimal digits over RFC 8785 JSON. The formula is named in what is hashed, so that a later one never agrees."""
    named = {"formula": "customhouse-content-1", "kind": kind.value, "name": name, "content": content}
    return "sha256:" + hashlib.sha256(canonical_bytes(named)).hexdigest()


def standing(version: Version, reviews: Iterable[Review], now: float) -> Standing:
    """What the reviews of the version's content amount to. The proposer's own, and expired acceptances, count for nothing."""
    last: dict[str, Review] = {}
    for review in sorted(reviews, key=lambda one: one.at):
        if review.digest == version.digest and review.reviewer != version.proposer:
            last[review.reviewer] = review
    accepting = [review for review in last.values() if review.accepts and review.expires_at > now]
    ends = sorted((review.expires_at for review in accepting), reverse=True)
    enough = len(ends) >= version.reviewers_needed
    return Standing(
        tuple(sorted(review.reviewer for review in accepting)),
        tuple(sorted(review.reviewer for review in last.values() if not review.accepts)),
        max(0, version.reviewers_needed - len(accepting)),
        ends[version.reviewers_needed - 1] if enough else 0.0,
    )


def advanced(version: Version, step: Step, actor: str, reviews: Iterable[Review], now: float, reason: str = "") -> Version:
    """The version after a step; `reviews` include the one that an acceptance or rejection adds.

    Raises `Refused`: STEP_NOT_ALLOWED for a pair outside of `NEXT`, SELF_REVIEW, REVIEWS_MISSING.
    """
    target = NEXT.get((version.state, step))
    if target is None:
        raise Refused(Reason.STEP_NOT_ALLOWED, {"state": version.state.value, "step": step.value, "possible": possible(version.state)})
    if step in VERDICTS and actor == version.proposer:
        raise Refused(Reason.SELF_REVIEW, {"proposer": version.proposer})
    stands = standing(version, reviews, now)
    if step is Step.ACCEPT and version.state is State.PROPOSED and not stands.suffices:
        target = State.PROPOSED
    if step is Step.ACTIVATE and not stands.suffices:
        raise Refused(Reason.REVIEWS_MISSING, {"missing": stands.missing, "rejectedBy": list(stands.rejected_by)})
    if step is Step.PROPOSE:
        target = State.REVIEWED if stands.suffices else State.PROPOSED
        return msgspec.structs.replace(version, state=target, proposed_at=now, reason=reason)
    if step in VERDICTS:
        return msgspec.structs.replace(version, state=target)
    if step is Step.ACTIVATE:
        return msgspec.structs.replace(version, state=target, activated_at=now, until=0.0, reason=reason)
    return msgspec.structs.replace(version, state=target, reason=reason)


def possible(state: State) -> list[str]:
    """The steps that lead somewhere from a state, in the order of `Step`."""
    return [step.value for step in Step if (state, step) in NEXT]
