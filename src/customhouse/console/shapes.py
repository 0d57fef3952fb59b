"""What goes over the operators' API: bodies that are read strictly, and answers.

Member names are in camelCase on the wire. A member that is not described is refused, never ignored.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from customhouse.control.register import Shown
from customhouse.core.content import stated
from customhouse.core.refusal import Refused
from customhouse.ports.stores import Event, Tenant

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Reason = Annotated[str, msgspec.Meta(max_length=2_000)]
Digest = Annotated[str, msgspec.Meta(pattern="^sha256:[0-9a-f]{64}$")]


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """What somebody sends."""


class _Answer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What goes back."""


class Proposal(_Body, frozen=True, kw_only=True):
    """Ask for a content of a thing."""

    kind: str
    """`server`, `policy`, `grant` or `portal`."""
    name: Name
    content: dict[str, Any]
    """As `customhouse schema` describes it; without anything that only a review can say."""
    reason: Reason = ""


class Verdict(_Body, frozen=True, kw_only=True):
    """Review a version."""

    digest: Digest
    """Of the content that was looked at."""
    accepts: bool
    note: Reason = ""


class StepTaken(_Body, frozen=True, kw_only=True):
    """Take a step."""

    step: str
    """`withdraw`, `activate`, `deprecate`, `suspend` or `retire`."""
    reason: Reason = ""
    window_seconds: Annotated[float, msgspec.Meta(ge=0, le=31_622_400)] = 0.0
    """How long the version that is replaced (or this one, for `deprecate`) stays served; at most 366 days."""


class Because(_Body, frozen=True, kw_only=True):
    """Why."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]


class Accepted(_Body, frozen=True, kw_only=True):
    """Propose what a capture found."""

    entries: tuple[tuple[str, str], ...] | None = None
    """Kind and name of the entries to take over; absent: all."""
    reason: Reason = ""


class NewTenant(_Body, frozen=True, kw_only=True):
    """Create a tenant."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z0-9]+(-[a-z0-9]+)*$", max_length=40)]
    title: Annotated[str, msgspec.Meta(max_length=200)] = ""


class VersionShown(_Answer, frozen=True, kw_only=True):
    """A version and where it stands."""

    kind: str
    name: str
    number: int
    tenant: str
    digest: str
    state: str
    proposer: str
    reviewers_needed: int
    accepted_by: list[str]
    rejected_by: list[str]
    missing_reviews: int
    reviews_hold_until: float
    """Unix seconds; 0 where reviews are missing."""
    proposed_at: float
    activated_at: float
    until: float
    reason: str
    content: dict[str, Any] | None = None
    """Only where one version is asked for."""


class Versions(_Answer, frozen=True, kw_only=True):
    """Versions, by kind, name and number."""

    versions: list[VersionShown]


class EventShown(_Answer, frozen=True, kw_only=True):
    """Something that was done."""

    sequence: int
    at: float
    actor: str
    action: str
    tenant: str
    kind: str
    name: str
    number: int
    digest: str
    reason: str
    detail: Mapping[str, Any]


class History(_Answer, frozen=True, kw_only=True):
    """Events, in order."""

    events: list[EventShown]
    next_after: int
    """`after` of the next page; the same as asked where nothing followed."""


class TenantShown(_Answer, frozen=True, kw_only=True):
    """A tenant."""

    name: str
    title: str
    created_at: float
    created_by: str
    issuers: list[str]


class Tenants(_Answer, frozen=True, kw_only=True):
    """Tenants, by name."""

    tenants: list[TenantShown]


class Myself(_Answer, frozen=True, kw_only=True):
    """Who asks, as the API sees them."""

    name: str
    tenant: str
    groups: list[str]
    roles: dict[str, list[str]]
    """Roles by tenant; `*` is what belongs to the whole deployment."""


class Captured(_Answer, frozen=True, kw_only=True):
    """What a server offers now, against what is approved."""

    server: str
    at: float
    digest: str
    revision: str
    left_out: list[str]
    changes: list[dict[str, Any]]
    """Kind, name, the gravest grade and all of them, compatibility, paths and whether the entry is blocked."""


class Drift(_Answer, frozen=True, kw_only=True):
    """What the last looks at served servers found."""

    servers: list[Captured]


class Inventory(_Answer, frozen=True, kw_only=True):
    """What there is, and what needs somebody's attention."""

    servers: list[dict[str, Any]]
    clients: list[dict[str, Any]]
    attention: list[str]


class Records(_Answer, frozen=True, kw_only=True):
    """Entries of the audit log, oldest first."""

    records: list[dict[str, Any]]


class Wrong(_Answer, frozen=True, kw_only=True):
    """A refusal: one row of the manual's page of refusals."""

    reason: str
    sentence: str
    next_step: str
    retryable: bool
    detail: Mapping[str, Any]


def shown(one: Shown) -> VersionShown:
    """A version as it is answered."""
    version, stands = one.version, one.standing
    return VersionShown(
        kind=version.kind.value,
        name=version.name,
        number=version.number,
        tenant=version.tenant,
        digest=version.digest,
        state=version.state.value,
        proposer=version.proposer,
        reviewers_needed=version.reviewers_needed,
        accepted_by=list(stands.accepted_by),
        rejected_by=list(stands.rejected_by),
        missing_reviews=stands.missing,
        reviews_hold_until=stands.holds_until,
        proposed_at=version.proposed_at,
        activated_at=version.activated_at,
        until=version.until,
        reason=version.reason,
        content=None if one.content is None else stated(one.content),
    )


def event_shown(event: Event) -> EventShown:
    """An event as it is answered."""
    return EventShown(**msgspec.structs.asdict(event))


def tenant_shown(tenant: Tenant) -> TenantShown:
    """A tenant as it is answered."""
    return TenantShown(**{**msgspec.structs.asdict(tenant), "issuers": list(tenant.issuers)})


def wrong(refused: Refused) -> Wrong:
    """A refusal as it is answered."""
    row = refused.reason.row
    return Wrong(
        reason=refused.reason.name, sentence=refused.sentence, next_step=row.next_step, retryable=row.retryable, detail=dict(refused.detail)
    )
