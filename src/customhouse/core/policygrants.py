"""Grants: who may use what, within which arguments and until when, each written out as one Cedar permit.

A grant says in a few keys what a rule of a common shape would say, and becomes that rule by one template, so it is validated, decided,
explained and listed like any other. What is wrong with it is said about the grant, at its line.
Constraints are allow-lists: an argument that cannot be read, or is not there, meets none of them. Cedar has no loop and no case folding:
lists are compared as a whole, and a host is compared as it is written.
Sources: Cedar, Operators (`like` knows `*` alone, `\\*` is a star); RFC 3986, 3.2 (what ends a host); WHATWG URL, host parsing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Final

import msgspec

from customhouse.core.instants import end_of_day, is_day, read_moment
from customhouse.core.manifest import Effect
from customhouse.core.policyarguments import LONG_MAX, LONG_MIN, ArgumentType, Attribute
from customhouse.core.policybase import GRANT_PREFIX
from customhouse.core.policycheck import unknown
from customhouse.core.policymodel import ActionRef
from customhouse.core.policyrules import PolicyFinding, Rule, read_rule
from customhouse.core.policytext import pattern, quoted

_Long = Annotated[int, msgspec.Meta(ge=LONG_MIN, le=LONG_MAX)]
_Texts = tuple[str, ...]


class Grantee(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """To whom a grant is made: whoever is all that is named."""

    group: str = ""
    """A group, as `tenant/group`."""
    person: str = ""
    """A person, as `tenant/person`."""
    workload: str = ""
    """A program, as `tenant/workload`. Alone: where it acts for itself; with a person or a group: on behalf of those."""
    client: str = ""
    """The OAuth client that the token was issued to."""


class Granted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a grant is on: one tool, or classes at a server, in a portal or everywhere."""

    tool: str = ""
    """One tool, as `server/tool`."""
    server: str = ""
    """All of a server that is of the classes."""
    portal: str = ""
    """Only calls that come through this portal."""
    classes: tuple[Effect, ...] = ()
    """`read`, `write`, `destructive`: needed wherever no single tool is named, since classes do not contain each other."""


class Constraint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one argument may be. Several keys hold together; of several values of a key one is enough."""

    one_of: _Texts = ()
    """One of these texts; of a list of texts, each of its members."""
    prefix: _Texts = ()
    """A text that begins with this."""
    domain_of: _Texts = ()
    """An e-mail address or an https URL at this domain, or the domain itself; `*.example.org` is any domain below it."""
    under: _Texts = ()
    """This path or one below it, without `..`, backslashes and percent signs (`%2e%2e` is `..` to whoever decodes it) anywhere."""
    at_most: _Long | None = None
    """A whole number up to this."""
    at_least: _Long | None = None
    """A whole number from this on."""
    or_absent: bool = False
    """Whether a call without the argument is granted as well."""


class WrittenGrant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One entry of a file of grants."""

    to: Grantee
    """To whom it is made."""
    on: Granted
    """What it is on."""
    arguments: dict[str, Constraint] = {}
    """What arguments may be, by name; only for a single tool. An argument that is not named may be anything."""
    until: str = ""
    """The last day, as 2027-01-31 (to its end, UTC), or the moment in which it ends, as 2027-01-31T18:00:00Z. Absent: it does not end."""
    scopes: tuple[str, ...] = ()
    """OAuth scopes that the caller's token must have."""
    approval: str = ""
    """The group that must approve each call, as `group` or `tenant/group`."""
    reason: str = ""
    """Why, for whoever reads it in a year."""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """One grant, with where it stands."""

    file: str
    line: int
    id: str
    """`grant:<file>/<n>`, n from 1."""
    to: Grantee
    on: Granted
    arguments: Mapping[str, Constraint] = {}
    until: int = 0
    """Unix seconds of the first moment in which it does not hold any more; 0: it holds for good."""
    scopes: _Texts = ()
    """OAuth scopes that the token must have."""
    approval: str = ""
    """The group that must approve each call, as `group` or `tenant/group`."""


def granted(grants: Iterable[Grant], tools: Mapping[str, ActionRef]) -> tuple[list[Rule], list[PolicyFinding]]:
    """The rules that grants are, and what keeps grants from being rules. `tools` by `server/tool`."""
    rules: list[Rule] = []
    findings: list[PolicyFinding] = []
    for grant in grants:
        sentences = list(_complaints(grant, tools))
        if sentences:
            findings += [PolicyFinding(grant.file, grant.line, grant.id, sentence) for sentence in sentences]
        else:
            rules.append(read_rule(grant.file, grant.line, written(grant, tools), until=grant.until))
    return rules, findings


def grant_of(written: WrittenGrant, stem: str, number: int, file: str, line: int) -> Grant:
    """The n-th entry of a file, from 1, as a grant."""
    return Grant(
        file=file,
        line=line,
        id=grant_id(stem, number),
        to=written.to,
        on=written.on,
        arguments=written.arguments,
        until=_end(written.until) if written.until else 0,
        scopes=written.scopes,
        approval=written.approval,
    )


def _end(until: str) -> int:
    """The first moment after a last day, or the moment itself."""
    ends = end_of_day(until) if is_day(until) else read_moment(until)
    return max(1, ends)  # 0 would be for good


def grant_id(stem: str, number: int) -> str:
    """The id of the n-th grant of a file, from 1."""
    return f"{GRANT_PREFIX}{stem}/{number}"


def written(grant: Grant, tools: Mapping[str, ActionRef]) -> str:
    """The grant as a Cedar permit."""
    head, conditions = _principal(grant.to)
    action, resource = _object(grant.on)
    conditions += [f"context.portal == {quoted(grant.on.portal)}"] if grant.on.portal else []
    conditions += [f"principal.scopes.contains({quoted(scope)})" for scope in grant.scopes]
    for name, constraint in grant.arguments.items():
        conditions.append(_argument(name, _attributes(tools[grant.on.tool])[name], constraint))
    conditions += [f"context.now < {grant.until}"] if grant.until else []
    annotations = [f"@id({quoted(grant.id)})", *([f"@approval({quoted(grant.approval)})"] if grant.approval else [])]
    body = f"permit (\n  {head},\n  {action},\n  {resource}\n)"
    when = "\nwhen {\n  " + " &&\n  ".join(conditions) + "\n}" if conditions else ""
    return "\n".join([*annotations, f"{body}{when};"])


def _principal(to: Grantee) -> tuple[str, list[str]]:
    """The head of the permit, and the conditions for what is named beside it."""
    conditions = []
    head = "principal"
    if to.person:
        tenant, _, person = to.person.partition("/")
        head = f"principal == Caller::{quoted(f'{tenant}/person/{person}')}"
        conditions += [f"principal in Group::{quoted(to.group)}"] if to.group else []
    elif to.group:
        head = f"principal in Group::{quoted(to.group)}"
    if to.workload:
        tenant, _, workload = to.workload.partition("/")
        if to.person or to.group:
            conditions.append(f"principal has workload && principal.workload == {quoted(workload)}")
        else:
            head = f"principal == Caller::{quoted(f'{tenant}/workload/{workload}')}"
    conditions += [f"principal.client == {quoted(to.client)}"] if to.client else []
    return head, conditions


def _object(on: Granted) -> tuple[str, str]:
    if on.tool:
        return f"action == Action::{quoted(f'call:{on.tool}')}", f"resource == Tool::{quoted(on.tool)}"
    classes = ", ".join(f"Action::{quoted(effect.value)}" for effect in on.classes)
    return f"action in [{classes}]", f"resource in Server::{quoted(on.server)}" if on.server else "resource"


def _argument(name: str, attribute: Attribute, constraint: Constraint) -> str:
    present, value = f"context.arguments has {quoted(name)}", f"context.arguments[{quoted(name)}]"
    met = " && ".join(_met(value, attribute.type, constraint))
    if attribute.required:
        return met
    return f"(if {present} then {met} else true)" if constraint.or_absent else f"{present} && {met}"


def _met(value: str, kind: ArgumentType, constraint: Constraint) -> Iterator[str]:
    if constraint.one_of:
        listed = f"[{', '.join(quoted(one) for one in constraint.one_of)}]"
        yield f"{listed}.containsAll({value})" if kind.element else f"{listed}.contains({value})"
    if constraint.prefix:
        yield _any(f"{value} like {pattern(one)}" for one in _with_star(constraint.prefix))
    if constraint.domain_of:
        yield _any(form for domain in constraint.domain_of for form in _at_domain(value, domain))
    if constraint.under:
        yield _any(form for path in constraint.under for form in _below(value, path))
        yield _none(value, [("..",), ("\\",), ("%",)])
    if constraint.at_most is not None:
        yield f"{value} <= {constraint.at_most}"
    if constraint.at_least is not None:
        yield f"{value} >= {constraint.at_least}"


def _with_star(prefixes: Iterable[str]) -> Iterator[tuple[str, ...]]:
    yield from ((prefix, "") for prefix in prefixes)


def _below(value: str, path: str) -> Iterator[str]:
    bare = path.rstrip("/")
    yield f"{value} == {quoted(bare or '/')}"
    yield f"{value} like {pattern((f'{bare}/', ''))}"


_NOT_IN_ADDRESSES: Final = (" ", "\t", "\n", "\r", ",", ";", "<", ">", '"', "(", ")", "\\")
"""What could make one text several addresses, or hide the address behind a name."""
_ENDS_A_HOST: Final = ("/", "?", "#", "@", "\\", ":", "%", " ", "\t", "\n", "\r")
"""What ends a host or means something else in front of it."""


def _at_domain(value: str, domain: str) -> Iterator[str]:
    """The domain, an address at it, and a URL at it. A star stands for the beginning of a host, so nothing that ends a host may precede
    the domain."""
    below = domain.startswith("*.")
    host = domain.removeprefix("*")
    mail = pattern(("", "@", host)) if below else pattern(("", f"@{host}"))
    single = _none(value, [("@", "@"), *((mark,) for mark in _NOT_IN_ADDRESSES)])
    yield f"({value} like {mail} && {single})"
    if not below:
        yield f"{value} == {quoted(host)}"
        yield from (f"{value} like {pattern((f'https://{host}{end}', ''))}" for end in ("/", "?", "#"))
        yield f"{value} == {quoted(f'https://{host}')}"
        return
    yield f"({value} like {pattern(('', host))} && {_none(value, [(mark,) for mark in _ENDS_A_HOST])})"
    for end in ("/", "?", "#"):
        clean = " && ".join(f"!({value} like {pattern(('https://', mark, f'{host}{end}', ''))})" for mark in _ENDS_A_HOST)
        yield f"({value} like {pattern(('https://', f'{host}{end}', ''))} && {clean})"


def _any(forms: Iterable[str]) -> str:
    return f"({' || '.join(forms)})"


def _none(value: str, marks: Iterable[Sequence[str]]) -> str:
    """That the value holds nowhere these marks, one after the other."""
    return " && ".join(f"!({value} like {pattern(('', *mark, ''))})" for mark in marks)


def _attributes(ref: ActionRef) -> Mapping[str, Attribute]:
    return ref.arguments.attributes if ref.arguments is not None else {}


def _complaints(grant: Grant, tools: Mapping[str, ActionRef]) -> Iterator[str]:
    """What is wrong with it that its rule would not say as well."""
    if not grant.on.tool:
        return
    if grant.on.tool not in tools:
        yield unknown("tool", grant.on.tool, tools)
        return
    known = _attributes(tools[grant.on.tool])
    for name, constraint in grant.arguments.items():
        if name not in known:
            yield unknown("argument that policies can read with the name", name, known)
            continue
        for key, kinds in _KINDS.items():
            spoken = _spoken(known[name].type)
            if getattr(constraint, key) not in ((), None) and spoken not in kinds:
                yield f"`{key}` is for {' or '.join(kinds)}, but the argument `{name}` is {spoken}."


_TEXT, _LIST, _NUMBER = "text", "a list of texts", "a whole number"
_KINDS: Final[Mapping[str, Sequence[str]]] = {
    "one_of": (_TEXT, _LIST),
    "prefix": (_TEXT,),
    "domain_of": (_TEXT,),
    "under": (_TEXT,),
    "at_most": (_NUMBER,),
    "at_least": (_NUMBER,),
}


def _spoken(kind: ArgumentType) -> str:
    if kind.element is not None:
        return _LIST if kind.element.kind == "String" else "a list of something else"
    return {"String": _TEXT, "Long": _NUMBER, "Boolean": "true or false"}.get(kind.kind, "an object")
