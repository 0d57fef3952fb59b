"""May this caller do this? Cedar rules over typed entities: default deny, and every doubt is a no.

Facts: the engine's cost is linear in the rules it is handed (78 us at 5, 1 ms at 1,000), so each decision is made on the slice of rules
whose heads can match. Slice and whole set agree: a rule is satisfied only if its head matches, and its conditions, where alone errors
arise, are not read otherwise (Cedar, Authorization).
A slice in which no condition reads `context` gives one decision for all arguments of one authorisation context, so that decision is kept;
the syntax tree says so, and every other decision is made anew. Grants that end do so at moments that are known ahead; what is kept holds
between two of them. `Policy` keeps nothing but such derived values, each in a bounded map.
"""

import bisect
import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar

import cedarpy
import msgspec

from customhouse.core.flow import CLEAN, as_context
from customhouse.core.identity import Caller, known
from customhouse.core.policyarguments import project
from customhouse.core.policycheck import check
from customhouse.core.policygrants import Grant, granted
from customhouse.core.policymodel import (
    ActionRef,
    PolicyServer,
    PolicyTool,
    ServerRefs,
    Uid,
    as_json,
    caller_entities,
    caller_uid,
    caller_uids,
    policy_servers,
    ref_entities,
    sending,
)
from customhouse.core.policyrules import PolicyFinding, PolicyInvalid, Rule, Scope, read_rules
from customhouse.core.policytext import quoted

__all__ = [
    "ActionRef",
    "Decision",
    "Explanation",
    "NearMiss",
    "Policy",
    "PolicyFinding",
    "PolicyInvalid",
    "PolicyServer",
    "PolicyTool",
    "Rule",
    "ServerRefs",
    "compile_policy",
    "compile_rules",
    "policy_servers",
]

MAX_DECISIONS: Final = 65_536
"""Kept decisions and visibilities; about 200 bytes each."""
MAX_GROUNDS: Final = 8_192
"""Kept slices with their entities; about 3 KB each."""
MAX_SLICES: Final = 4_096
"""Kept sets of parsed rules."""
AFTER_ALL: Final = 2**53
"""Later than any end of a grant: who does not say when a call is made gets nothing from grants that end."""
MAX_WOULD: Final = 500
"""Characters of what a dry run would have decided."""
UNKNOWN_ARGUMENTS: Final = {"__extn": {"fn": "unknown", "arg": "arguments"}}
UNKNOWN_NOW: Final = {"__extn": {"fn": "unknown", "arg": "now"}}
UNKNOWN_FLOW: Final = {"__extn": {"fn": "unknown", "arg": "flow"}}
NEAREST: Final = 5
"""Rules that an explanation of a default deny names at most."""


class Decision(msgspec.Struct, frozen=True):
    """A yes or a no. With errors it is always a no, and the operator's fault."""

    permitted: bool
    reasons: tuple[str, ...] = ()
    """The ids of the rules that determined it, sorted; empty for a default deny."""
    errors: tuple[str, ...] = ()
    """For operators only."""
    approval: str = ""
    """The group that must approve this very call first, as the satisfied permits write it (`group` or `tenant/group`); empty: nobody. If
    they name several, all of them, sorted and joined by commas: another permit that asks nobody takes none away."""


class NearMiss(msgspec.Struct, frozen=True):
    """A permit that did not apply, and why."""

    rule: Rule
    sentence: str


class Explanation(msgspec.Struct, frozen=True):
    """The rules behind a decision."""

    decision: Decision
    sentence: str
    rules: tuple[Rule, ...]
    """The rules that determined it, with text, file and line."""
    near: tuple[NearMiss, ...] = ()
    """For a default deny: the permits that came closest, the closest first."""
    would: str = ""
    """What the rules of dry runs would have decided, if something else."""


def compile_policy(sources: Mapping[str, str], servers: Sequence[PolicyServer], grants: Sequence[Grant] = ()) -> "Policy":
    """The policy of a deployment: Cedar texts by file name, grants, and the servers they speak about. Raises `PolicyInvalid` with all
    findings."""
    return compile_rules(sources, [ServerRefs(server) for server in servers], grants)


def compile_rules(
    sources: Mapping[str, str], known: Sequence[ServerRefs], grants: Sequence[Grant] = (), *, checked: bool = False
) -> "Policy":
    """The same over servers whose handles there are. `checked`: these texts and grants were found sound against these very servers
    already, so they are read and not validated. Raises `PolicyInvalid`."""
    read, unreadable = read_rules(sources)
    granting, unfit = granted(grants, {ref.resource[1]: ref for one in known for ref in one.tools.values()} if grants else {})
    rules = (*read, *granting)
    findings = [*unreadable, *unfit]
    if not checked:
        findings += check(rules, [one.server for one in known], [ref for one in known for ref in one.all])
    if findings:
        raise PolicyInvalid(findings)
    deciding, digest = [rule for rule in rules if not rule.tentative], _digest(rules, sources, known)
    beside = None if len(deciding) == len(rules) else Policy(rules, known, digest)
    return Policy(deciding, known, digest, beside)


def _digest(rules: Sequence[Rule], sources: Mapping[str, str], known: Iterable[ServerRefs]) -> str:
    """Over everything that a decision rests on, beside caller, action and arguments."""
    shipped = [rule.text for rule in rules if rule.shipped or rule.granted]
    servers = sorted((one.server.name, one.digest) for one in known)
    return "sha256:" + hashlib.sha256(msgspec.json.encode([shipped, sorted(sources.items()), servers])).hexdigest()


_V = TypeVar("_V")


class _Bounded(dict[Any, _V], Generic[_V]):
    """A map that forgets everything when it is full; what it held can be computed again."""

    __slots__ = ("limit",)

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def keep(self, key: Any, value: _V) -> _V:
        if len(self) >= self.limit:
            self.clear()
        self[key] = value
        return value


@dataclass(frozen=True, slots=True)
class _Slice:
    """The rules that can match one caller and one ref, parsed."""

    rules: tuple[Rule, ...]
    handle: cedarpy.PolicySet
    reads_context: bool
    approvals: Mapping[str, str]
    """The groups that permits ask, by the ids of those permits."""


class _ByPrincipal:
    """Rules that concern one ref, by the entity that their principal has to be in, so that a caller is compared with few of them."""

    __slots__ = ("_by_anchor", "all")

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.all = rules
        self._by_anchor: dict[Uid | None, list[int]] = {}
        for position, rule in enumerate(rules):
            for anchor in rule.principal.anchors or (None,):
                self._by_anchor.setdefault(anchor, []).append(position)

    def matching(self, own: Uid, within: frozenset[Uid]) -> tuple[Rule, ...]:
        """Those whose principal can match, in their order."""
        positions = set(itertools.chain.from_iterable(self._by_anchor.get(anchor, ()) for anchor in (None, *within)))
        found = (self.all[position] for position in sorted(positions))
        return tuple(rule for rule in found if rule.principal.matches(own, within))


@dataclass(frozen=True, slots=True)
class _Ground:
    """What a decision about one caller and one ref rests on, arguments aside."""

    slice: _Slice
    entities: cedarpy.Entities
    principal: Uid
    ref: ActionRef


class Policy:
    """The compiled policy: immutable but for what it remembers of its own answers."""

    def __init__(
        self,
        rules: Sequence[Rule],
        known: Iterable[ServerRefs],
        digest: str,
        beside: "Policy | None" = None,
    ) -> None:
        self.rules: Final = tuple(rules)
        self.beside: Final = beside
        """The same with the rules of dry runs, which decide nothing; None without any."""
        self.digest: Final = digest
        """`sha256:` and 64 hexadecimal digits, over all texts in name order, grants, labels and types."""
        self._known = {one.server.name: one for one in known}
        self._by_head = _by_head(self.rules)
        self._by_id = {rule.id: rule for rule in self.rules}
        self._permits = tuple(rule for rule in self.rules if rule.permits)
        self._ends = sorted({rule.until for rule in rules if rule.until})
        self._holds_from, self._holds_until = math.inf, -math.inf
        self._mentions = frozenset().union(*(rule.mentions for rule in rules))
        self._candidates: _Bounded[_ByPrincipal] = _Bounded(MAX_GROUNDS)
        self._offered: _Bounded[cedarpy.Entities] = _Bounded(MAX_GROUNDS)
        self._unlisted: _Bounded[ActionRef] = _Bounded(MAX_GROUNDS)
        self._sending: _Bounded[ActionRef] = _Bounded(MAX_GROUNDS)
        self._slices: _Bounded[_Slice] = _Bounded(MAX_SLICES)
        self._grounds: _Bounded[_Ground] = _Bounded(MAX_GROUNDS)
        self._decisions: _Bounded[Decision] = _Bounded(MAX_DECISIONS)
        self._reads_portal = any(rule.reads_portal for rule in self.rules)
        self._visible: _Bounded[bool] = _Bounded(MAX_DECISIONS)

    def refs_of(self, server: str) -> ServerRefs:
        """The handles of a server. Raises `KeyError` for one that policies do not know."""
        return self._known[server]

    def tool(self, server: str, name: str) -> ActionRef:
        """The handle of a tool. Raises `KeyError` for one that policies do not know."""
        return self._known[server].tools[name]

    def prompt(self, server: str, name: str) -> ActionRef:
        """The handle of a prompt. Raises `KeyError` for one that policies do not know."""
        return self._known[server].prompts[name]

    def resource(self, server: str, uri: str) -> ActionRef:
        """The handle of a resource, listed or read through a template. Raises `KeyError` for an unknown server."""
        known = self._known[server]
        listed = known.resources.get(uri) or self._unlisted.get((server, uri))
        return listed or self._unlisted.keep((server, uri), known.resource(uri))

    def sending(self, ref: ActionRef) -> ActionRef:
        """The handle of a prompt or resource for a request that carries what the caller wrote: a sink in any case."""
        return ref if ref.is_sink else self._sending.get(ref) or self._sending.keep(ref, sending(ref))

    def offered(self) -> tuple[ActionRef, ...]:
        """Everything that policies know by name, in the order of servers; resources read through templates are not among it."""
        return tuple(itertools.chain.from_iterable(one.all for one in self._known.values()))

    def residuals(self, ref: ActionRef) -> tuple[tuple[Rule, Any], ...]:
        """The rules whose action and resource match, with what is left of their conditions while nothing is known of the caller and the
        context: a tree in Cedar's JSON policy format. Where the engine takes no partial question about the ref, all is left."""
        rules = self._candidates_for(ref).all
        anybody = {rule.id: {**rule.syntax, "principal": {"op": "All"}} for rule in rules}
        request = {"action": _as_cedar_text(ref.action), "resource": _as_cedar_text(ref.resource)}
        left = cedarpy.is_authorized_partial(request, _policy_set(anybody), self._offered_entities(ref)).residuals
        return tuple((rule, left[rule.id]["conditions"] if rule.id in left else rule.syntax["conditions"]) for rule in rules)

    def epoch(self, now: float) -> int:
        """How many ends of grants have passed: what is visible and decided apart from arguments changes with it alone."""
        return bisect.bisect_right(self._ends, now)

    def decide(
        self, caller: Caller, ref: ActionRef, arguments: Mapping[str, Any], portal: str, now: float = AFTER_ALL, taint: int = CLEAN
    ) -> Decision:
        """Whether the call is permitted. `arguments` are valid by the pinned schema; a prompt's or resource's are not looked at. `now` is
        in Unix seconds, `taint` what the conversation has read."""
        if not self._holds_from <= now < self._holds_until:
            self._enter_epoch(now)
        kept = self._decisions.get((caller.context_digest, ref))
        return kept if kept is not None else self._decide(_identified(caller), ref, arguments, portal, now, taint)

    def visible(self, caller: Caller, ref: ActionRef, now: float = AFTER_ALL, portal: str | None = None) -> bool:
        """Whether some call through a portal could be permitted, or through any if none is named: false only if none can."""
        if not self._holds_from <= now < self._holds_until:
            self._enter_epoch(now)
        through = portal if self._reads_portal else None
        kept = self._visible.get((caller.context_digest, ref, through))
        return kept if kept is not None else self._look(_identified(caller), ref, now, through)

    def would(
        self, caller: Caller, ref: ActionRef, arguments: Mapping[str, Any], portal: str, now: float, decided: Decision, taint: int = CLEAN
    ) -> str:
        """What the rules of dry runs would have made of the call, such as `deny:rule-id`; empty if the same. Bounded."""
        other = decided if self.beside is None else self.beside.decide(caller, ref, arguments, portal, now, taint)
        if (other.permitted, other.approval) == (decided.permitted, decided.approval):
            return ""
        return f"{_word(other)}:{','.join(other.reasons)}"[:MAX_WOULD]

    def forecast(self, caller: Caller, ref: ActionRef, portal: str, now: float) -> Decision | None:
        """The decision whatever the arguments and the scopes of the caller are; None where it rests on them."""
        try:
            ground = self._without_ended(self._ground(caller, ref), now)
            entities = self._offered_entities(ref).with_added_json_str(caller_entities(caller, unknown_scopes=True))
        except ValueError as unfit:
            return Decision(False, errors=(str(unfit),))
        context = {"portal": portal, "now": int(now), "arguments": UNKNOWN_ARGUMENTS, "flow": UNKNOWN_FLOW}
        request = {name: _as_cedar_text(uid) for name, uid in _request(ground).items()}
        preview = cedarpy.is_authorized_partial({**request, "context": context}, ground.slice.handle, entities)
        if preview.decision is cedarpy.Decision.NoDecision:
            return None
        permitted, reasons = preview.decision is cedarpy.Decision.Allow, tuple(sorted(preview.diagnostics.reasons))
        if permitted and any(ground.slice.approvals.get(residual) for residual in preview.diagnostics.nontrivial_residuals):
            return None
        return Decision(permitted, reasons, approval=_approval(ground.slice, reasons) if permitted else "")

    def explain(
        self, caller: Caller, ref: ActionRef, arguments: Mapping[str, Any], portal: str, now: float = AFTER_ALL, taint: int = CLEAN
    ) -> Explanation:
        """The decision with the rules behind it; for a default deny, the permits that came closest."""
        decision = self.decide(caller, ref, arguments, portal, now, taint)
        rules = tuple(self._by_id[reason] for reason in decision.reasons)
        near = () if rules or decision.errors else tuple(itertools.islice(self._near(caller, ref, now), NEAREST))
        return Explanation(decision, _summary(decision), rules, near, self.would(caller, ref, arguments, portal, now, decision, taint))

    def _enter_epoch(self, now: float) -> None:
        """Forget what held between two other ends of grants."""
        passed = self.epoch(now)
        self._holds_from = self._ends[passed - 1] if passed else -math.inf
        self._holds_until = self._ends[passed] if passed < len(self._ends) else math.inf
        self._decisions.clear()
        self._visible.clear()

    def _decide(self, caller: Caller, ref: ActionRef, arguments: Mapping[str, Any], portal: str, now: float, taint: int) -> Decision:
        try:
            ground = self._ground(caller, ref)
            if not ground.slice.reads_context:
                return self._decisions.keep((caller.context_digest, ref), _judge(ground, {"now": int(now)}, None))
            return _judge(ground, _context(ref, arguments, portal, now, taint), self._known[ref.server].schema)
        except ValueError as unfit:
            return Decision(False, errors=(f"{ref.action[1]} cannot be judged: {unfit}",))

    def _look(self, caller: Caller, ref: ActionRef, now: float, portal: str | None) -> bool:
        try:
            ground = self._without_ended(self._ground(caller, ref), now)
        except ValueError:
            return False
        seen = self._could_permit(ground, portal) if ground.slice.reads_context else self.decide(caller, ref, {}, "", now).permitted
        return self._visible.keep((caller.context_digest, ref, portal), seen)

    def _without_ended(self, ground: _Ground, now: float) -> _Ground:
        rules = tuple(rule for rule in ground.slice.rules if not rule.until or now < rule.until)
        return ground if len(rules) == len(ground.slice.rules) else replace(ground, slice=self._slice(rules))

    def _could_permit(self, ground: _Ground, portal: str | None) -> bool:
        """Partial evaluation with the context unknown but for the portal; it takes entities as normalised Cedar text only, so odd names
        fall back."""
        request: dict[str, Any] = {name: _as_cedar_text(uid) for name, uid in _request(ground).items()}
        if portal is not None:
            request["context"] = {"portal": portal, "now": UNKNOWN_NOW, "arguments": UNKNOWN_ARGUMENTS, "flow": UNKNOWN_FLOW}
        preview = cedarpy.is_authorized_partial(request, ground.slice.handle, ground.entities)
        if preview.decision is cedarpy.Decision.NoDecision and not preview.residuals:
            return self._could_permit_by_rules(ground)
        return preview.decision is not cedarpy.Decision.Deny

    def _could_permit_by_rules(self, ground: _Ground) -> bool:
        """Coarser: a rule that reads the context might say anything, the others say what they say."""
        fixed = self._slice(tuple(rule for rule in ground.slice.rules if not rule.reads_context))
        decision = _judge(replace(ground, slice=fixed), {"now": 0}, None)
        asking = any(rule.permits and rule.reads_context for rule in ground.slice.rules)
        return decision.permitted or (asking and not decision.reasons and not decision.errors)

    def _ground(self, caller: Caller, ref: ActionRef) -> _Ground:
        key = (caller.context_digest, ref)
        return self._grounds.get(key) or self._grounds.keep(key, self._laid_ground(caller, ref))

    def _laid_ground(self, caller: Caller, ref: ActionRef) -> _Ground:
        own, within = caller_uid(caller), caller_uids(caller)
        rules = self._candidates_for(ref).matching(own, within)
        entities = self._offered_entities(ref).with_added_json_str(caller_entities(caller))
        return _Ground(self._slice(rules), entities, own, ref)

    def _candidates_for(self, ref: ActionRef) -> "_ByPrincipal":
        """The rules whose action and resource can match, in their order."""
        return self._candidates.get(ref) or self._candidates.keep(ref, _ByPrincipal(tuple(self._selected(ref))))

    def _selected(self, ref: ActionRef) -> Iterable[Rule]:
        actions, resources = ref.actions, ref.resources
        heads = itertools.product((None, *actions), (None, *resources))
        positions = set(itertools.chain.from_iterable(self._by_head.get(head, ()) for head in heads))
        for position in sorted(positions):
            rule = self.rules[position]
            if rule.action.matches(ref.action, actions) and rule.resource.matches(ref.resource, resources):
                yield rule

    def _offered_entities(self, ref: ActionRef) -> cedarpy.Entities:
        """The ref with what conditions name: an attribute of a named server is the same in every slice."""
        return self._offered.get(ref) or self._offered.keep(ref, cedarpy.Entities.from_json_str(self._offered_text(ref)))

    def _offered_text(self, ref: ActionRef) -> str:
        refs = (self._mentioned(kind, *name.split("/", 1)) for kind, name in self._mentions if kind in _OFFERED)
        servers = (self._known[name].server for kind, name in self._mentions if kind == "Server")
        tenants = (name for kind, name in self._mentions if kind == "Tenant")
        return ref_entities([*refs, ref], servers, tenants)

    def _mentioned(self, kind: str, server: str, name: str) -> ActionRef:
        return _OFFERED[kind](self, server, name)

    def _slice(self, rules: tuple[Rule, ...]) -> _Slice:
        key = frozenset(rule.id for rule in rules)
        return self._slices.get(key) or self._slices.keep(key, _laid_slice(rules))

    def _near(self, caller: Caller, ref: ActionRef, now: float) -> Iterable[NearMiss]:
        """Permits for this very caller first, then those for others, then those for another action or another place."""
        own, within = caller_uid(caller), caller_uids(caller)
        permits = [(rule, _fit(rule, own, within, ref)) for rule in self._permits]
        for wanted, sentence in _MISSES.items():
            for rule, fit in permits:
                if fit == wanted:
                    yield NearMiss(rule, "It ended." if rule.until and rule.until <= now else sentence(rule, ref))


_OFFERED: Final[Mapping[str, Callable[[Policy, str, str], ActionRef]]] = {
    "Tool": Policy.tool,
    "Prompt": Policy.prompt,
    "Resource": Policy.resource,
}


def _fit(rule: Rule, own: Uid, within: frozenset[Uid], ref: ActionRef) -> tuple[bool, bool, bool]:
    """Whether the head of the rule matches the caller, the action and the resource."""
    who = rule.principal.matches(own, within)
    return who, rule.action.matches(ref.action, ref.actions), rule.resource.matches(ref.resource, ref.resources)


_MISSES: Final[Mapping[tuple[bool, bool, bool], Callable[[Rule, ActionRef], str]]] = {
    (True, True, True): lambda rule, ref: "It covers this caller and this call, but its conditions are not met.",
    (False, True, True): lambda rule, ref: f"It covers this call, but only for {_spoken(rule.principal)}.",
    (True, False, True): lambda rule, ref: (
        f"It covers this caller here, but only for {_spoken(rule.action)}; {_as_cedar_text(ref.action)} is of class `{ref.effect.value}`."
    ),
    (True, True, False): lambda rule, ref: f"It covers this caller and this class, but only on {_spoken(rule.resource)}.",
}
"""By how the head of a permit fits caller, action and resource; the order is the order of an explanation."""


def _spoken(scope: Scope) -> str:
    entities = " or ".join(_as_cedar_text(uid) for uid in sorted(scope.anchors or ()))
    kind = f"a {scope.entity_type}" if scope.entity_type else ""
    return " in ".join(part for part in (kind, entities) if part) or "nothing"


def _word(decision: Decision) -> str:
    if decision.errors:
        return "broken"
    if decision.permitted:
        return "ask" if decision.approval else "permit"
    return "deny"


def _summary(decision: Decision) -> str:
    if decision.errors:
        return "No: the policy could not be evaluated, and every doubt is a no."
    if decision.approval:
        return f"Yes, once {decision.approval.replace(',', ' and ')} approved this very call: a rule permits it, and none forbids it."
    if decision.permitted:
        return "Yes: a rule permits it, and none forbids it."
    return "No: a rule forbids it." if decision.reasons else "No: no rule permits it."


def _identified(caller: Caller) -> Caller:
    """The authorisation context is the key of everything kept, so a caller without one is given it."""
    return caller if caller.context_digest else known(caller)


def _by_head(rules: Sequence[Rule]) -> dict[tuple[Uid | None, Uid | None], list[int]]:
    """The positions of the rules by the entities that their action and their resource have to be in; None for those that take any."""
    index: dict[tuple[Uid | None, Uid | None], list[int]] = {}
    for position, rule in enumerate(rules):
        for head in itertools.product(rule.action.anchors or (None,), rule.resource.anchors or (None,)):
            index.setdefault(head, []).append(position)
    return index


def _laid_slice(rules: tuple[Rule, ...]) -> _Slice:
    approvals = {rule.id: rule.approval for rule in rules if rule.approval}
    return _Slice(rules, _parsed(rules), any(rule.reads_context for rule in rules), approvals)


def _parsed(rules: Iterable[Rule]) -> cedarpy.PolicySet:
    """The engine's own ids become those of the rules."""
    return _policy_set({rule.id: rule.syntax for rule in rules})


def _policy_set(policies: Mapping[str, Any]) -> cedarpy.PolicySet:
    return cedarpy.PolicySet.from_json_str(json.dumps({"templates": {}, "staticPolicies": policies, "templateLinks": []}))


def _context(ref: ActionRef, arguments: Mapping[str, Any], portal: str, now: float, taint: int) -> dict[str, Any]:
    context: dict[str, Any] = {"portal": portal, "now": int(now), "flow": as_context(taint)}
    return context if ref.arguments is None else {**context, "arguments": project(ref.arguments, arguments)}


def _request(ground: _Ground) -> dict[str, Uid]:
    return {"principal": ground.principal, "action": ground.ref.action, "resource": ground.ref.resource}


def _judge(ground: _Ground, context: Mapping[str, Any], schema: cedarpy.Schema | None) -> Decision:
    """One evaluation. With a schema the engine checks the type of the context once more; an error of any rule makes it a no."""
    request = {name: as_json(uid) for name, uid in _request(ground).items()}
    result = cedarpy.is_authorized({**request, "context": context}, ground.slice.handle, ground.entities, schema)
    errors = tuple(result.diagnostics.errors)
    if result.decision is cedarpy.Decision.NoDecision:
        return Decision(False, errors=errors or ("the engine made no decision",))
    permitted, reasons = result.allowed and not errors, tuple(sorted(result.diagnostics.reasons))
    return Decision(permitted, reasons, errors, _approval(ground.slice, reasons) if permitted else "")


def _approval(rules: _Slice, reasons: Iterable[str]) -> str:
    asked = rules.approvals
    return ",".join(sorted({asked[reason] for reason in reasons if reason in asked})) if asked else ""


def _as_cedar_text(uid: Uid) -> str:
    return f"{uid[0]}::{quoted(uid[1])}"
