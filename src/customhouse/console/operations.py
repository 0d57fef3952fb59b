"""The operations of the operators' API, bound to what carries them out."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from customhouse.console import shapes
from customhouse.console.routes import Asked, KindName, Operation, Query
from customhouse.control.captures import Captures, Looked
from customhouse.control.evidence import Evidence
from customhouse.control.register import Register
from customhouse.control.tenants import Tenants
from customhouse.core.content import stated
from customhouse.core.merging import merged_pin
from customhouse.core.operators import EVERYWHERE, named
from customhouse.core.refusal import Reason, Refused
from customhouse.core.review import Kind, Step

MAX_CONTENT_BYTES: Final = 16_777_216
"""A definition with its pin: 512 tools with 32 KiB each."""

Page = Annotated[int, msgspec.Meta(ge=1, le=1_000)]
After = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
KIND: Final = Query(KindName, "", "Only this kind.")
NAME: Final = Query(Annotated[str, msgspec.Meta(max_length=100)], "", "Only things of this name.")

STEPS: Final[Mapping[str, Step]] = {step.value: step for step in (Step.WITHDRAW, Step.ACTIVATE, Step.DEPRECATE, Step.SUSPEND, Step.RETIRE)}


def operations(register: Register, captures: Captures, evidence: Evidence, tenants: Tenants) -> tuple[Operation, ...]:
    """The table."""
    bound = _Bound(register, captures, evidence, tenants)
    version = "/versions/{kind}/{name}/{number}"
    return (
        Operation("GET", "/whoami", "whoAmI", "Who asks, and with which roles.", shapes.Myself, bound.myself),
        Operation(
            "GET",
            "/versions",
            "listVersions",
            "The versions of everything, without contents.",
            shapes.Versions,
            bound.versions,
            query={"kind": KIND, "name": NAME},
        ),
        Operation("GET", version, "showVersion", "One version with its content.", shapes.VersionShown, bound.version),
        Operation(
            "POST",
            "/proposals",
            "propose",
            "Propose a content; what is proposed or served already is answered as it is.",
            shapes.VersionShown,
            bound.propose,
            body=shapes.Proposal,
            max_body_bytes=MAX_CONTENT_BYTES,
            refusals=(409,),
        ),
        Operation(
            "POST",
            version + "/reviews",
            "review",
            "Accept or reject a version, by the digest of its content.",
            shapes.VersionShown,
            bound.review,
            body=shapes.Verdict,
            refusals=(409,),
        ),
        Operation(
            "POST",
            version + "/steps",
            "step",
            "Withdraw, activate, deprecate, suspend or retire a version.",
            shapes.VersionShown,
            bound.step,
            body=shapes.StepTaken,
            refusals=(409,),
        ),
        Operation(
            "POST",
            version + "/rollback",
            "rollback",
            "Serve the content of an earlier version again, byte for byte.",
            shapes.VersionShown,
            bound.rollback,
            body=shapes.Because,
            refusals=(409,),
        ),
        Operation(
            "POST",
            version + "/captures",
            "capture",
            "Look at what the server of a version offers now, and compare it with the pin.",
            shapes.Captured,
            bound.capture,
            on_loop=True,
            refusals=(409, 502),
        ),
        Operation(
            "POST",
            version + "/captures/proposals",
            "proposeCapture",
            "Propose the version with what the last look found.",
            shapes.VersionShown,
            bound.propose_capture,
            body=shapes.Accepted,
            refusals=(409,),
        ),
        Operation(
            "GET",
            "/history",
            "history",
            "Who did what, when and why.",
            shapes.History,
            bound.history,
            query={
                "kind": KIND,
                "name": NAME,
                "after": Query(After, 0, "Only events with a larger sequence."),
                "limit": Query(Page, 200, "At most so many."),
            },
        ),
        Operation("GET", "/drift", "drift", "How served servers differ from their pins.", shapes.Drift, bound.drift),
        Operation("GET", "/tenants", "listTenants", "The tenants.", shapes.Tenants, bound.tenants),
        Operation(
            "POST",
            "/tenants",
            "createTenant",
            "Create a tenant.",
            shapes.TenantShown,
            bound.create_tenant,
            body=shapes.NewTenant,
            status=201,
            refusals=(409,),
        ),
        Operation("GET", "/inventory", "inventory", "Servers, clients, and what needs attention.", shapes.Inventory, bound.inventory),
        Operation(
            "GET",
            "/audit",
            "readAudit",
            "The last entries of the audit log of your tenants.",
            shapes.Records,
            bound.audit,
            query={"limit": Query(Page, 100, "At most so many.")},
        ),
    )


class _Bound:
    """What the operations call."""

    def __init__(self, register: Register, captures: Captures, evidence: Evidence, tenants: Tenants) -> None:
        self._register = register
        self._captures = captures
        self._evidence = evidence
        self._tenants = tenants

    def myself(self, asked: Asked) -> shapes.Myself:
        caller = asked.caller
        held = {tenant: self._register.roles(caller, tenant) for tenant in (caller.tenant, "")}
        return shapes.Myself(
            name=named(caller),
            tenant=caller.tenant,
            groups=list(caller.groups),
            roles={tenant or EVERYWHERE: sorted(role.value for role in roles) for tenant, roles in held.items()},
        )

    def versions(self, asked: Asked) -> shapes.Versions:
        kind = Kind(asked.query["kind"]) if asked.query["kind"] else None
        found = self._register.listing(asked.caller, kind, asked.query["name"] or None)
        return shapes.Versions(versions=[shapes.shown(one) for one in found])

    def version(self, asked: Asked) -> shapes.VersionShown:
        return shapes.shown(self._register.show(asked.caller, *which(asked)))

    def propose(self, asked: Asked) -> shapes.VersionShown:
        said = asked.body
        if said.kind not in {kind.value for kind in Kind}:
            raise Refused(Reason.CONTENT_INVALID, {"findings": [f"There is no kind `{said.kind[:40]}`."]})
        return shapes.shown(self._register.propose(asked.caller, Kind(said.kind), said.name, said.content, said.reason))

    def review(self, asked: Asked) -> shapes.VersionShown:
        said = asked.body
        kind, name, number = which(asked)
        return shapes.shown(self._register.judge(asked.caller, kind, name, number, said.digest, accepts=said.accepts, note=said.note))

    def step(self, asked: Asked) -> shapes.VersionShown:
        said = asked.body
        if said.step not in STEPS:
            raise Refused(Reason.CONTENT_INVALID, {"findings": [f"There is no step `{said.step[:40]}`: {', '.join(STEPS)}."]})
        kind, name, number = which(asked)
        return shapes.shown(
            self._register.step(asked.caller, kind, name, number, STEPS[said.step], reason=said.reason, window_seconds=said.window_seconds)
        )

    def rollback(self, asked: Asked) -> shapes.VersionShown:
        kind, name, number = which(asked)
        return shapes.shown(self._register.rollback(asked.caller, kind, name, number, asked.body.reason))

    def history(self, asked: Asked) -> shapes.History:
        query: Mapping[str, Any] = asked.query
        events, after = self._register.history(
            asked.caller, kind=query["kind"], name=query["name"], after=query["after"], limit=query["limit"]
        )
        return shapes.History(events=[shapes.event_shown(event) for event in events], next_after=after)

    async def capture(self, asked: Asked) -> shapes.Captured:
        name, number = server_of(asked)
        return _captured(await self._captures.look(asked.caller, name, number))

    def drift(self, asked: Asked) -> shapes.Drift:
        return shapes.Drift(servers=[_captured(one) for one in self._captures.last_looks(asked.caller)])

    def propose_capture(self, asked: Asked) -> shapes.VersionShown:
        name, number = server_of(asked)
        content, found = self._captures.found(asked.caller, name, number)
        pin = found.pin(name)
        if asked.body.entries is not None and content.pin is not None:
            try:
                pin = merged_pin(content.pin, pin, asked.body.entries)
            except LookupError as unknown:
                raise Refused(Reason.CONTENT_INVALID, {"findings": [str(unknown)]}) from None
        proposed = msgspec.structs.replace(content, pin=pin)
        return shapes.shown(self._register.propose(asked.caller, Kind.SERVER, name, stated(proposed), asked.body.reason))

    def tenants(self, asked: Asked) -> shapes.Tenants:
        return shapes.Tenants(tenants=[shapes.tenant_shown(one) for one in self._tenants.listing(asked.caller)])

    def create_tenant(self, asked: Asked) -> shapes.TenantShown:
        return shapes.tenant_shown(self._tenants.create(asked.caller, asked.body.name, asked.body.title))

    def inventory(self, asked: Asked) -> shapes.Inventory:
        servers, clients, attention = self._evidence.inventory(asked.caller)
        return shapes.Inventory(servers=servers, clients=clients, attention=attention)

    def audit(self, asked: Asked) -> shapes.Records:
        return shapes.Records(records=self._evidence.records(asked.caller, asked.query["limit"]))


def _captured(looked: Looked) -> shapes.Captured:
    captured = looked.captured
    changes = [
        {
            "kind": change.kind,
            "name": change.name,
            "grade": change.grade.value,
            "grades": sorted(grade.value for grade in change.grades),
            "compatibility": change.compatibility.value,
            "paths": list(change.paths),
            "blocked": (change.kind, change.name) in looked.blocked,
        }
        for change in looked.changes
    ]
    return shapes.Captured(
        server=captured.server,
        at=captured.at,
        digest=captured.digest,
        revision=captured.revision,
        left_out=list(captured.left_out),
        changes=changes,
    )


def server_of(asked: Asked) -> tuple[str, int]:
    """The version of a server that a path names. Raises `Refused` NOTHING_OF_THAT_NAME for another kind."""
    kind, name, number = which(asked)
    if kind is not Kind.SERVER:
        raise Refused(Reason.NOTHING_OF_THAT_NAME)
    return name, number


def which(asked: Asked) -> tuple[Kind, str, int]:
    """The version that a path names."""
    return Kind(asked.path["kind"]), asked.path["name"], asked.path["number"]
