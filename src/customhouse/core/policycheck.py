"""What is wrong with a set of rules, seen against the servers that exist.

Names are checked first, since the engine takes any entity id for granted: a grant on a server that does not exist would wait, silently, for
somebody to register that name. Then the engine's strict validation (Cedar, Policy validation) types every rule against every action it
can apply to, so a rule that reads an optional argument without `has` does not load.
Verdicts are kept: whoever changes what this says raises the number in `verdict.RULES`.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

import cedarpy

from customhouse.core.policymodel import ActionRef, PolicyServer, Uid, cedar_schema
from customhouse.core.policyrules import PolicyFinding, Rule, head_findings

_SUGGESTED_EDITS: Final = 3
"""A name further away than this is another name, not a slip of the hand."""


def check(rules: Sequence[Rule], servers: Iterable[PolicyServer], refs: Sequence[ActionRef]) -> list[PolicyFinding]:
    """All findings about rules that could be read; a rule whose names are wrong is not validated as well."""
    actions = {ref.action[1] for ref in refs} | {"read", "write", "destructive", "get:prompt", "read:resource"}
    names = _Names(servers, actions)
    named = [*_name_findings(rules, names), *_annotation_findings(rules, names)]
    wrong = {(finding.file, finding.line, finding.rule) for finding in named}
    sound = [rule for rule in rules if (rule.file, rule.line, rule.id) not in wrong]
    return [*head_findings(rules), *named, *_type_findings(sound, refs)]


class _Names:
    """Which entity ids exist, per type, and what is said about one that does not."""

    def __init__(self, servers: Iterable[PolicyServer], actions: Collection[str]) -> None:
        everything = tuple(servers)
        self._servers = {server.name for server in everything}
        self._tenants = {server.tenant for server in everything}
        tools = {f"{server.name}/{tool.name}" for server in everything for tool in server.tools}
        prompts = {f"{server.name}/{prompt}" for server in everything for prompt in server.prompts}
        self._judges: Mapping[str, Callable[[str], str]] = {
            "Tenant": lambda tenant: unknown("tenant", tenant, self._tenants),
            "Server": lambda server: unknown("server", server, self._servers),
            "Tool": lambda tool: unknown("tool", tool, tools),
            "Prompt": lambda prompt: unknown("prompt", prompt, prompts),
            "Resource": self._about_resource,
            "Action": lambda action: unknown("action", action, actions),
            "Group": self._about_group,
            "Caller": self._about_caller,
        }

    def about(self, uid: Uid) -> str:
        """What is wrong with the entity; empty if nothing is."""
        judge = self._judges.get(uid[0])
        return judge(uid[1]) if judge else f"There is no entity type `{uid[0]}`{_suggestion(uid[0], self._judges)}"

    def _about_resource(self, resource: str) -> str:
        """Resources are read through templates too, so their URIs cannot all be known."""
        server, slash, uri = resource.partition("/")
        return unknown("server", server, self._servers) if slash and uri else f'`{resource}` is not written like Resource::"server/uri".'

    def _about_group(self, group: str) -> str:
        """The groups of a tenant are known to its issuer alone."""
        tenant, slash, name = group.partition("/")
        return unknown("tenant", tenant, self._tenants) if slash and name else f'`{group}` is not written like Group::"tenant/group".'

    def _about_caller(self, caller: str) -> str:
        parts = _CALLER_ID.fullmatch(caller)
        return unknown("tenant", parts[1], self._tenants) if parts else f'`{caller}` is not written like Caller::"tenant/person/name".'


_CALLER_ID: Final = re.compile(r"([^/]+)/(?:person|workload)/.+", re.DOTALL)


def _name_findings(rules: Sequence[Rule], names: _Names) -> list[PolicyFinding]:
    return [rule.finding(sentence) for rule in rules for sentence in sorted({names.about(uid) for uid in _named(rule)}) if sentence]


_ANNOTATIONS: Final = frozenset({"id", "approval"})
"""Those with a meaning here. Others are the author's own, but one that looks like a slip of the hand would be lost in silence."""
_GROUP: Final = re.compile(r"(?!\s)[^/,]+(?:/[^,]+)?(?<!\s)")
"""A comma parts the groups of a decision."""


def _annotation_findings(rules: Sequence[Rule], names: _Names) -> list[PolicyFinding]:
    return [rule.finding(sentence) for rule in rules for sentence in (*_misspelt(rule), *_approval_complaints(rule, names))]


def _misspelt(rule: Rule) -> Iterable[str]:
    for name in sorted(rule.annotations.keys() - _ANNOTATIONS):
        suggestion = _suggestion(name, _ANNOTATIONS - {"id"})
        if suggestion != ".":
            yield f"There is no annotation `@{name}`{suggestion}"


def _approval_complaints(rule: Rule, names: _Names) -> Iterable[str]:
    if "approval" not in rule.annotations:
        return
    if not rule.permits:
        yield "A forbid says no already; only a permit can ask for an approval."
    elif _GROUP.fullmatch(rule.approval) is None:
        yield 'An approval names the group that gives it: write @approval("group") or @approval("tenant/group").'
    elif "/" in rule.approval and (problem := names.about(("Group", rule.approval))):
        yield problem


def _named(rule: Rule) -> set[Uid]:
    return {uid for scope in (rule.principal, rule.action, rule.resource) for uid in scope.anchors or ()} | rule.mentions


def unknown(kind: str, name: str, known: Collection[str]) -> str:
    """What is said of a name that is not known; empty for one that is."""
    return "" if name in known else f"There is no {kind} `{name}`{_suggestion(name, known)}"


def _suggestion(name: str, known: Iterable[str]) -> str:
    distance, nearest = min(((_edits(name, one), one) for one in sorted(known)), default=(_SUGGESTED_EDITS + 1, ""))
    return f"; did you mean `{nearest}`?" if distance <= _SUGGESTED_EDITS else "."


def _edits(one: str, other: str) -> int:
    """Letters to change, insert or delete; more than `_SUGGESTED_EDITS` where the lengths alone say so."""
    if abs(len(one) - len(other)) > _SUGGESTED_EDITS:
        return _SUGGESTED_EDITS + 1
    row = list(range(len(other) + 1))
    for index, letter in enumerate(one, 1):
        above, row = row, [index]
        for column, match in enumerate(other, 1):
            row.append(min(above[column] + 1, row[-1] + 1, above[column - 1] + (letter != match)))
    return row[-1]


_POSITION: Final = re.compile(r"^for policy `policy\d+`, ")


def _type_findings(rules: Sequence[Rule], refs: Sequence[ActionRef]) -> list[PolicyFinding]:
    """The engine types a rule against each action that its head can match, which takes 20 us each. So a rule is held against the actions
    of the servers that it can concern, and a rule that reads no arguments against one stand-in per class, since the tools of a class differ
    in nothing else."""
    by_server: dict[str, list[ActionRef]] = {}
    for ref in refs:
        by_server.setdefault(ref.server, []).append(ref)
    together: dict[frozenset[str] | None, list[Rule]] = {}
    for rule in rules:
        together.setdefault(_servers_of(rule), []).append(rule)
    findings = []
    for servers, group in together.items():
        concerned = refs if servers is None else [ref for server in servers for ref in by_server.get(server, ())]
        findings += _findings_under(cedarpy.Schema.from_json_str(json.dumps(cedar_schema(concerned))), group)
    return findings


def _servers_of(rule: Rule) -> frozenset[str] | None:
    """The servers whose tools have to be known to type the rule; None for all."""
    calls = [name.removeprefix("call:") for kind, name in (*(rule.action.anchors or ()), *rule.mentions) if kind == "Action"]
    named = {name.partition("/")[0] for name in calls if "/" in name}
    single = rule.action.anchors is not None and all("/" in name for _, name in rule.action.anchors)
    if single or not rule.reads_arguments:
        return frozenset(named)
    if rule.resource.anchors is None or any(kind == "Tenant" for kind, _ in rule.resource.anchors):
        return None
    return frozenset(named | {name.partition("/")[0] for _, name in rule.resource.anchors})


def _findings_under(schema: cedarpy.Schema, rules: Sequence[Rule]) -> list[PolicyFinding]:
    """The engine numbers rules by their position in the text."""
    result = cedarpy.validate_policies("\n".join(rule.text for rule in rules), schema)
    by_position = {f"policy{index}": rule for index, rule in enumerate(rules)}
    return [by_position[error.policy_id].finding(f"{_sentence(error.error)}.") for error in result.errors]


def _sentence(error: str) -> str:
    plain = _POSITION.sub("", error)
    return plain[:1].upper() + plain[1:]
