"""Who could reach what: read from the rules alone, for callers of whom something is known and something is not.

The engine takes action and resource and leaves of each condition what the caller and the context have to say (Cedar, partial evaluation).
What is left is a conjunction; its parts that speak of one attribute of the caller are *facts* (`principal.client == "cli"`), which can be
compared with what is known. The others are named by what they read: `arguments`, `portal` and so on, `caller` for the caller.
So an answer never leaves anybody out, and it is exact where all parts are facts; where they are not it says what it depends on.
The shipped rules are not listed: they hold for everybody, and are reckoned with by looking at one tenant alone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from customhouse.core.policy import AFTER_ALL, ActionRef, Policy
from customhouse.core.policymodel import Uid
from customhouse.core.policyrules import Rule, Scope

ATTRIBUTES: Final = ("person", "workload", "client", "issuer")
"""Attributes of a caller that have one value, if any."""

Kind = Literal["anybody", "group", "person", "workload"]


class Fact(msgspec.Struct, frozen=True, order=True):
    """One thing that a condition asks of a caller."""

    about: str
    """`person`, `workload`, `client`, `issuer` or `tenant` for its value; `group` or `scope` for having it; `has` for having any."""
    value: str

    def __str__(self) -> str:
        return f"any {self.value}" if self.about == "has" else f"{self.about} {self.value}"


class Knowledge(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a caller. An attribute of None could be anything, an empty one is absent."""

    tenant: str
    groups: frozenset[str] = frozenset()
    """Groups that the caller is in, as `tenant/group`."""
    all_groups: bool = True
    """Whether the caller is in no other ones."""
    person: str | None = None
    workload: str | None = None
    client: str | None = None
    issuer: str | None = None
    scopes: frozenset[str] | None = None
    surely: frozenset[Fact] = frozenset()
    """Facts that are known to be true beside these."""

    def holds(self, fact: Fact) -> bool | None:
        """Whether the fact is true of the caller; None if that is not known."""
        if fact in self.surely:
            return True
        if fact.about == "tenant":
            return fact.value == self.tenant
        if fact.about == "group":
            return self._is_in(fact.value)
        if fact.about == "scope":
            return None if self.scopes is None else fact.value in self.scopes
        known: str | None = getattr(self, fact.value if fact.about == "has" else fact.about)
        if known is None:
            return None
        return bool(known) if fact.about == "has" else known == fact.value

    def fits(self, scope: Scope) -> bool | None:
        """Whether the head of a rule takes the caller; None if that is not known."""
        if scope.anchors is None:
            return True
        answers = {self._fits_anchor(anchor, scope.exact) for anchor in scope.anchors}
        return True if True in answers else None if None in answers else False

    def told(self, facts: Sequence[Fact]) -> "Knowledge":
        """With facts that were not known."""
        more = msgspec.structs.replace(self, surely=self.surely.union(facts))
        for fact in facts:
            if fact.about in ATTRIBUTES:
                more = msgspec.structs.replace(more, **{fact.about: fact.value})
            elif fact.about == "group":
                more = msgspec.structs.replace(more, groups=more.groups | {fact.value})
        return more

    def _is_in(self, group: str) -> bool | None:
        if group in self.groups:
            return True
        return False if self.all_groups or not group.startswith(f"{self.tenant}/") else None

    def _fits_anchor(self, anchor: Uid, exact: bool) -> bool | None:
        kind, name = anchor
        if kind == "Caller":
            return self._is_caller(name)
        if exact:
            return False
        return self._is_in(name) if kind == "Group" else name == self.tenant

    def _is_caller(self, name: str) -> bool | None:
        """A caller is named by the person if there is one, else by the workload."""
        tenant, kind, subject = name.split("/", 2)
        if tenant != self.tenant:
            return False
        if kind == "person":
            return None if self.person is None else self.person == subject
        if self.person:
            return False
        return None if self.person is None or self.workload is None else self.workload == subject


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """That somebody can reach something, by which rules, and what it depends on."""

    always: bool
    """Whatever the arguments and the context are, as long as no rule of `unless` is met."""
    depends: tuple[str, ...]
    """Otherwise what it takes, each a way of its own: facts that are not known of the caller, parts of the context (`arguments`, `portal`),
    and `caller` for conditions on the caller that are not facts."""
    rules: tuple[str, ...]
    """The permits."""
    unless: tuple[str, ...]
    """Forbids that could say no all the same."""
    approval: str = ""
    """The groups that some of the permits ask for an approval, joined by commas."""
    until: int = 0
    """Unix seconds of the moment in which the last of the permits ends, all being grants that end; 0: not all of them do."""
    ended: bool = False
    """Whether that moment has passed, so that it is reached no more."""


class Reacher(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who can reach a thing."""

    kind: Kind
    name: str
    """`tenant/group`, or the name of a person or workload; the tenant for anybody in it."""
    provided: tuple[str, ...]
    """Facts that have to be true of them as well."""
    reach: Reach


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """A thing that somebody can reach."""

    kind: str
    """`tool`, `prompt` or `resource`."""
    server: str
    name: str
    effect: str
    reach: Reach


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A rule as it concerns one ref."""

    rule: Rule
    facts: tuple[Fact, ...]
    reads: frozenset[str]

    def verdict(self, known: Knowledge) -> bool | None:
        """Whether head and facts take the caller; None if that is not known."""
        answers = {known.fits(self.rule.principal), *(known.holds(fact) for fact in self.facts)}
        return False if False in answers else None if None in answers else True

    def ended(self, now: float) -> bool:
        """Whether it is a grant that ended."""
        return bool(self.rule.until) and self.rule.until <= now

    def takes(self, known: Knowledge) -> str:
        """What it takes beside what is known, in words; empty if nothing."""
        return " and ".join([*(str(fact) for fact in self.facts if known.holds(fact) is None), *sorted(self.reads)])


def who_can(policy: Policy, ref: ActionRef, now: float = AFTER_ALL) -> tuple[Reacher, ...]:
    """Everybody whom a permit could let reach the ref: by the heads of permits and the facts that their conditions ask for. Those whose
    grant ended are among them and marked as such."""
    permits, forbids = _patterns(policy, ref)
    found: dict[tuple[Kind, str, tuple[Fact, ...], bool], tuple[Knowledge, list[_Pattern]]] = {}
    for pattern in permits:
        for kind, name, known in _heads(pattern.rule, ref.tenant):
            missing = tuple(fact for fact in pattern.facts if known.holds(fact) is None)
            if pattern.verdict(known) is not False and _agree(missing):
                found.setdefault((kind, name, missing, pattern.ended(now)), (known.told(missing), []))[1].append(pattern)
    reachers = []
    for (kind, name, missing, ended), (known, patterns) in found.items():
        reach = _reach(known, patterns, forbids)
        if reach is not None:
            reach = msgspec.structs.replace(reach, ended=ended)
            reachers.append(Reacher(kind=kind, name=name, provided=tuple(str(fact) for fact in missing), reach=reach))
    return tuple(sorted(reachers, key=lambda one: (_ORDER[one.kind], one.name, one.provided, one.reach.ended)))


def blast_radius(policy: Policy, known: Knowledge, now: float = AFTER_ALL) -> tuple[Reached, ...]:
    """Everything that a caller of whom this is known could reach, in the order of servers and names."""
    reached = []
    for ref in policy.offered():
        if ref.tenant != known.tenant:
            continue
        permits, forbids = _patterns(policy, ref)
        fitting = [one for one in permits if not one.ended(now) and known.fits(one.rule.principal) and one.verdict(known) is not False]
        reach = _reach(known, fitting, forbids)
        if reach is not None:
            kind = ref.resource[0].lower()
            reached.append(Reached(kind=kind, server=ref.server, name=ref.name, effect=ref.effect.value, reach=reach))
    return tuple(sorted(reached, key=lambda one: (one.server, one.kind != "tool", one.kind, one.name)))


_ORDER: Final[Mapping[Kind, int]] = {"anybody": 0, "group": 1, "person": 2, "workload": 3}


def _reach(known: Knowledge, permits: Sequence[_Pattern], forbids: Iterable[_Pattern]) -> Reach | None:
    """By the permits, which may all let this caller in; None if there is none, or if a forbid always says no."""
    against = [(pattern, verdict) for pattern in forbids if (verdict := pattern.verdict(known)) is not False]
    if not permits or any(verdict and not pattern.reads for pattern, verdict in against):
        return None
    ways = {pattern.takes(known) for pattern in permits}
    return Reach(
        always="" in ways,
        depends=() if "" in ways else tuple(sorted(ways)),
        rules=tuple(sorted(pattern.rule.id for pattern in permits)),
        unless=tuple(sorted(pattern.rule.id for pattern, _ in against)),
        approval=",".join(sorted({pattern.rule.approval for pattern in permits} - {""})),
        until=max(pattern.rule.until for pattern in permits) if all(pattern.rule.until for pattern in permits) else 0,
    )


def _heads(rule: Rule, tenant: str) -> Iterator[tuple[Kind, str, Knowledge]]:
    """Whom the head of a permit names, as far as they are in the tenant."""
    anybody = Knowledge(tenant=tenant, all_groups=False)
    for kind, name in sorted(rule.principal.anchors or {("Tenant", tenant)}):
        known = anybody if kind != "Group" else msgspec.structs.replace(anybody, groups=frozenset({name}))
        if kind == "Caller":
            _, sort, subject = name.split("/", 2)
            known = msgspec.structs.replace(anybody, **({"person": subject} if sort == "person" else {"person": "", "workload": subject}))
            spoken: tuple[Kind, str] = ("person", subject) if sort == "person" else ("workload", subject)
        else:
            spoken = ("group", name) if kind == "Group" else ("anybody", name)
        if (name == tenant or name.startswith(f"{tenant}/")) and known.fits(rule.principal):
            yield (*spoken, known)


def _agree(facts: Iterable[Fact]) -> bool:
    """Whether one caller can have all of them: an attribute has one value, and nobody is in a group of another tenant."""
    single = [fact.about for fact in set(facts) if fact.about in ATTRIBUTES]
    return len(single) == len(set(single))


def _patterns(policy: Policy, ref: ActionRef) -> tuple[list[_Pattern], list[_Pattern]]:
    """The permits and the forbids that could concern the ref."""
    found: tuple[list[_Pattern], list[_Pattern]] = ([], [])
    for rule, conditions in policy.residuals(ref):
        pattern = None if rule.shipped else _pattern(rule, conditions)
        if pattern is not None:
            found[not rule.permits].append(pattern)
    return found


def _pattern(rule: Rule, conditions: Iterable[Mapping[str, Any]]) -> _Pattern | None:
    """None for a rule whose conditions are never met."""
    facts: set[Fact] = set()
    reads: set[str] = set()
    for condition in conditions:
        parts = list(_conjuncts(condition["body"])) if condition["kind"] == "when" else [{"!": {"arg": condition["body"]}}]
        if {"Value": False} in parts:
            return None
        for part in parts:
            fact = _fact(part)
            facts |= {fact} if fact else set()
            reads |= set() if fact else _read_by(part)
    return _Pattern(rule, tuple(sorted(facts)), frozenset(reads - {"now"} if rule.until else reads))


def _conjuncts(tree: Any) -> Iterator[Any]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if "&&" in node:
            waiting += [node["&&"]["right"], node["&&"]["left"]]
        elif node != {"Value": True}:
            yield node


def _fact(node: Mapping[str, Any]) -> Fact | None:
    """The fact that a part of a condition asks for; None if it is not of that kind."""
    ((operator, inner),) = node.items()
    shape = _FACTS.get(operator)
    return shape(inner) if shape is not None else None


def _equality(inner: Mapping[str, Any]) -> Fact | None:
    for one, other in ((inner["left"], inner["right"]), (inner["right"], inner["left"])):
        attribute, value = _attribute_of_principal(one), other.get("Value")
        if attribute in (*ATTRIBUTES, "tenant") and isinstance(value, str):
            return Fact(attribute, value)
    return None


def _presence(inner: Mapping[str, Any]) -> Fact | None:
    present = _names(inner["left"], "principal") and inner["attr"] in ("person", "workload")
    return Fact("has", inner["attr"]) if present else None


def _membership(inner: Mapping[str, Any]) -> Fact | None:
    group = inner["right"].get("Value")
    entity = group.get("__entity") if isinstance(group, Mapping) else None
    if not _names(inner["left"], "principal") or not isinstance(entity, Mapping):
        return None
    about = {"Group": "group", "Tenant": "tenant"}.get(entity["type"])
    return Fact(about, entity["id"]) if about else None


def _holding(inner: Mapping[str, Any]) -> Fact | None:
    value = inner["right"].get("Value")
    return Fact("scope", value) if _attribute_of_principal(inner["left"]) == "scopes" and isinstance(value, str) else None


_FACTS: Final = {"==": _equality, "has": _presence, "in": _membership, "contains": _holding}


def _attribute_of_principal(node: Mapping[str, Any]) -> str:
    access = node.get(".")
    return str(access["attr"]) if access is not None and _names(access["left"], "principal") else ""


def _names(node: Any, variable: str) -> bool:
    """The engine writes an unknown where the text had a variable."""
    return node in ({"unknown": [{"Value": variable}]}, {"Var": variable})


def _read_by(tree: Any) -> set[str]:
    """Which parts of the context a tree reads; `caller` where it reads something else that is not known."""
    found: set[str] = set()
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, Mapping):
            inner = node.get(".") or node.get("has")
            if isinstance(inner, Mapping) and _names(inner.get("left"), "context"):
                found.add(str(inner["attr"]))
            elif _names(node, "principal") or _names(node, "resource"):
                found.add("caller")
            else:
                waiting += node.values()
    return found or {"caller"}
