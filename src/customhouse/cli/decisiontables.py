"""Decision tables: what policies must decide, written beside them as `policies/*.test.yaml`, and what they decide in fact."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from customhouse.config.document import Items, Node, plain, read_file
from customhouse.config.findings import ConfigurationInvalid, Place, found
from customhouse.core.flow import from_words
from customhouse.core.identity import Caller, known
from customhouse.core.instants import read_moment
from customhouse.core.policy import ActionRef, Decision, Policy


class Who(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The caller of a case."""

    person: str = ""
    workload: str = ""
    groups: tuple[str, ...] = ()
    tenant: str = ""
    """Empty: the tenant of the server that is called."""
    client: str = ""
    issuer: str = ""
    scopes: tuple[str, ...] = ()


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"who": "as"}):
    """One row of a table."""

    who: Who
    call: str
    """`server/tool`, `prompt:server/name` or `resource:server/uri`."""
    expect: Literal["permit", "deny"]
    name: str = ""
    arguments: dict[str, Any] = {}
    portal: str = "default"
    at: str = ""
    """The moment of the call, as 2027-01-31T18:00:00Z, or the begin of a day, as 2027-01-31; empty: now."""
    because: tuple[str, ...] | None = None
    """The ids of the rules that must determine the decision, in any order; absent: whichever do."""
    flow: tuple[Literal["untrusted", "private", "confidential"], ...] = ()
    """What the conversation has read."""
    approval: str | None = None
    """The group that must approve first, several joined by commas; empty: nobody; absent: whichever."""


def read_table(path: Path, file: str) -> tuple[tuple[Place, Case], ...]:
    """The cases of a file with their places. Raises `ConfigurationInvalid` with every finding; `file` names it there."""
    document = read_file(path, file)
    if document.findings:
        raise ConfigurationInvalid(document.findings)
    if not isinstance(document.root, Items):
        raise ConfigurationInvalid([found(document.root.place, (), "A decision table is a list of cases.", "Begin each case with a dash.")])
    cases = [(node.place, _case(node)) for node in document.root.nodes]
    wrong = [found(place, (), f"{case}.", "See the manual's page on policy.") for place, case in cases if isinstance(case, str)]
    if wrong:
        raise ConfigurationInvalid(wrong)
    return tuple((place, case) for place, case in cases if isinstance(case, Case))


def misses(policy: Policy, case: Case, now: float) -> Iterator[str]:
    """How the decision differs from the expected one, in sentences; nothing if it does not."""
    try:
        ref = named_ref(policy, case.call)
    except LookupError as unknown:
        yield str(unknown.args[0])
        return
    at = read_moment(case.at) if case.at else now
    decision = policy.decide(caller_of(case.who, ref), ref, case.arguments, case.portal, at, from_words(case.flow))
    if decision.errors:
        yield f"It cannot be decided: {'; '.join(decision.errors)}."
    elif decision.permitted is not (case.expect == "permit"):
        yield f"Expected {case.expect}, decided {_spoken(decision)}."
    elif case.because is not None and set(case.because) != set(decision.reasons):
        yield f"Expected because of {_listed(case.because)}, decided {_spoken(decision)}."
    elif case.approval is not None and case.approval != decision.approval:
        yield f"Expected approval by {case.approval or 'nobody'}, decided approval by {decision.approval or 'nobody'}."


def named_ref(policy: Policy, call: str) -> ActionRef:
    """What `server/tool`, `prompt:server/name` or `resource:server/uri` stands for. Raises `LookupError` with a sentence."""
    kinds = {"prompt": policy.prompt, "resource": policy.resource}
    prefix, _, rest = call.partition(":")
    kind, path = (prefix, rest) if prefix in kinds else ("tool", call)
    server, _, name = path.partition("/")
    try:
        return kinds.get(kind, policy.tool)(server, name)
    except KeyError as unknown:
        raise LookupError(f"There is no {kind} `{path}` that is pinned and reviewed.") from unknown


def caller_of(who: Who, ref: ActionRef) -> Caller:
    """The caller as the gateway would know it."""
    return caller_in(who, who.tenant or ref.tenant)


def caller_in(who: Who, tenant: str) -> Caller:
    """The caller of a tenant."""
    return known(
        Caller(
            issuer=who.issuer,
            tenant=tenant,
            person=who.person,
            workload=who.workload,
            client=who.client,
            groups=tuple(sorted(who.groups)),
            scopes=frozenset(who.scopes),
            expires_at=0.0,
        )
    )


def _case(node: Node) -> Case | str:
    """The case, or what is wrong with it."""
    try:
        case = msgspec.convert(plain(node), Case)
    except msgspec.ValidationError as invalid:
        return str(invalid)
    if case.at:
        try:
            read_moment(case.at)
        except ValueError:
            return f"`at` is not a day or a moment: {case.at}"
    return case


def _spoken(decision: Decision) -> str:
    if not decision.reasons:
        return "deny because no rule permits it"
    return f"{'permit' if decision.permitted else 'deny'} because of {_listed(decision.reasons)}"


def _listed(ids: tuple[str, ...]) -> str:
    return ", ".join(sorted(ids)) or "no rule"
