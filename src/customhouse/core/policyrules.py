"""Rules read from Cedar text: where each one stands, whom and what its scope can match, and what is wrong with it.

The engine's errors carry no line, so a file is first cut into its rules by Cedar's own lexical grammar (`//` comments to the end of the
line, strings with backslash escapes, `;` at the end of each rule), and each rule is parsed by itself. The file is parsed as a whole too
and must give the same rules, so the cut never changes a meaning.
Scopes come from the JSON policy format (Cedar, JSON policy format): `All`, `==`, `in` and `is` with an optional `in`.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import cedarpy
import msgspec

from customhouse.core.policybase import BASE_FILE, BASE_POLICY, GRANT_PREFIX, RESERVED_PREFIX
from customhouse.core.policymodel import Uid

DRYRUN_SUFFIX: Final = ".dryrun.cedar"
"""The rules of such a file are evaluated beside the others and never decide."""


class PolicyFinding(msgspec.Struct, frozen=True, order=True):
    """One thing that keeps policies from loading."""

    file: str
    line: int
    """Where the rule begins, counted from 1."""
    rule: str
    """The `@id` of the rule, or empty."""
    sentence: str

    def __str__(self) -> str:
        rule = f"{self.rule}: " if self.rule else ""
        return f"{self.file}:{self.line}: {rule}{self.sentence}"


class PolicyInvalid(Exception):
    """Policies do not load. `findings` says all that is wrong, in file order."""

    def __init__(self, findings: Iterable[PolicyFinding]) -> None:
        self.findings = tuple(sorted(findings))
        super().__init__("\n".join(str(finding) for finding in self.findings))


class Scope(msgspec.Struct, frozen=True):
    """What the head of a rule says about the principal, the action or the resource."""

    anchors: frozenset[Uid] | None = None
    """Entities to be in, or, if `exact`, to be; None: any."""
    exact: bool = False
    entity_type: str = ""
    """The type to be of; empty: any."""

    def matches(self, own: Uid, with_ancestors: frozenset[Uid]) -> bool:
        if self.entity_type and self.entity_type != own[0]:
            return False
        if self.anchors is None:
            return True
        return own in self.anchors if self.exact else not self.anchors.isdisjoint(with_ancestors)


class Rule(msgspec.Struct, frozen=True):
    """One Cedar policy."""

    id: str
    file: str
    line: int
    text: str
    permits: bool
    principal: Scope
    action: Scope
    resource: Scope
    reads_context: bool
    """Whether a condition reads `context`; if none of a slice does, its decision holds for all arguments. The end of a grant does not
    count: it is known ahead."""
    mentions: frozenset[Uid]
    """Entities that the conditions name."""
    syntax: dict[str, Any]
    """The rule in Cedar's JSON policy format."""
    approval: str = ""
    """The group that must approve what this permit permits, as `@approval` writes it: `group` or `tenant/group`; empty: nobody."""

    until: int = 0
    """Of a grant that ends: Unix seconds of the first moment in which it permits nothing more. 0: it has no such end."""
    granted: bool = False
    """Whether it was written as a grant."""

    @property
    def reads_arguments(self) -> bool:
        """Whether a condition reads `context.arguments`, or the context as a whole."""
        return not set(self._read_of_context()) <= {"portal", "now", "flow"}

    @property
    def reads_portal(self) -> bool:
        """Whether a condition reads `context.portal`, or the context as a whole."""
        return not {"portal", ""}.isdisjoint(self._read_of_context())

    def _read_of_context(self) -> Iterator[str]:
        """The parts of the context that conditions read; empty for the context as a whole."""
        nodes = list(_nodes(self.syntax["conditions"]))
        accesses = [node.get(".") or node.get("has") for node in nodes]
        parts = [str(one["attr"]) for one in accesses if isinstance(one, Mapping) and one.get("left") == {"Var": "context"}]
        yield from parts
        if sum(node.get("Var") == "context" for node in nodes) > len(parts):
            yield ""

    @property
    def annotations(self) -> Mapping[str, str | None]:
        """By name; one without a value has None."""
        return self.syntax.get("annotations") or {}

    @property
    def tentative(self) -> bool:
        """Whether it decides nothing yet: a rule of a dry run."""
        return self.file.endswith(DRYRUN_SUFFIX)

    @property
    def shipped(self) -> bool:
        return self.file == BASE_FILE

    def finding(self, sentence: str) -> PolicyFinding:
        return PolicyFinding(self.file, self.line, self.id, sentence)


def read_rules(sources: Mapping[str, str]) -> tuple[tuple[Rule, ...], tuple[PolicyFinding, ...]]:
    """The shipped rules, then those of the sources in name order; and what keeps texts from being rules."""
    files = [(BASE_FILE, BASE_POLICY), *sorted(sources.items())]
    read = [_read_file(file, text) for file, text in files]
    rules = tuple(rule for found, _ in read for rule in found)
    return rules, tuple(finding for _, findings in read for finding in findings)


def head_findings(rules: Sequence[Rule]) -> list[PolicyFinding]:
    """Rules without an id of their own, and permits that name no class."""
    first: dict[str, Rule] = {}
    findings = []
    for rule in rules:
        holder = first.setdefault(rule.id, rule)
        if not rule.id:
            findings.append(rule.finding('Every rule needs an id of its own: put @id("...") before it.'))
        elif holder is not rule:
            findings.append(rule.finding(f"The id is taken by the rule at {holder.file}:{holder.line}; every rule needs an id of its own."))
        findings += [rule.finding(sentence) for complaint, sentence in _HEAD_COMPLAINTS if complaint(rule)]
    return findings


_HEAD_COMPLAINTS: Final[Sequence[tuple[Callable[[Rule], bool], str]]] = (
    (
        lambda rule: rule.id.startswith(RESERVED_PREFIX) and not rule.shipped,
        f"Ids that begin with `{RESERVED_PREFIX}` are those of the shipped rules; choose another one.",
    ),
    (
        lambda rule: rule.id.startswith(GRANT_PREFIX) and not rule.granted,
        f"Ids that begin with `{GRANT_PREFIX}` are those of grants; choose another one.",
    ),
    (
        lambda rule: rule.permits and rule.action.anchors is None,
        'A permit names what it grants: write `action in Action::"read"`, a list of classes, or single actions.',
    ),
)


def _read_file(file: str, text: str) -> tuple[list[Rule], list[PolicyFinding]]:
    rules, findings = [], []
    for line, statement in _statements(text):
        try:
            rules.append(_rule(file, line, statement))
        except ValueError as unreadable:
            findings.append(PolicyFinding(file, line, "", f"This is not a rule: {unreadable}."))
    if not findings and not _same_as_a_whole(text, rules):
        findings.append(
            PolicyFinding(file, 1, "", "The file as a whole does not read like its single rules; look for a stray quote or comment.")
        )
    return rules, findings


_LEXEME: Final = re.compile(r'//[^\n\r]*|"(?:[^"\\]|\\.)*"|;|\s+|[^;"/\s]+|.', re.DOTALL)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each rule's text, with the comments before it, and the line of its first word."""
    start, first, end = 0, -1, 0
    for lexeme in _LEXEME.finditer(text):
        end = lexeme.end()
        if first < 0 and not lexeme[0].isspace() and not lexeme[0].startswith("//"):
            first = lexeme.start()
        if lexeme[0] == ";":
            yield text.count("\n", 0, first) + 1, text[start:end].strip()
            start, first = end, -1
    if first >= 0:
        yield text.count("\n", 0, first) + 1, text[start:end].strip()


def read_rule(file: str, line: int, statement: str, *, until: int) -> Rule:
    """The rule that a grant was written out as. Raises `ValueError` for anything that is not one rule."""
    rule = _rule(file, line, statement)
    readings = sum(node == {"Var": "context"} for node in _nodes(rule.syntax["conditions"]))
    return msgspec.structs.replace(rule, until=until, granted=True, reads_context=readings > bool(until))


def _rule(file: str, line: int, statement: str) -> Rule:
    parsed = json.loads(cedarpy.policies_to_json_str(statement))
    if parsed["templates"]:
        raise ValueError("templates (?principal, ?resource) are not supported")
    (syntax,) = parsed["staticPolicies"].values()
    conditions, annotations = syntax["conditions"], syntax.get("annotations", {})
    return Rule(
        id=annotations.get("id") or "",
        file=file,
        line=line,
        text=statement,
        permits=syntax["effect"] == "permit",
        principal=_scope(syntax["principal"]),
        action=_scope(syntax["action"]),
        resource=_scope(syntax["resource"]),
        reads_context=any(node.get("Var") == "context" for node in _nodes(conditions)),
        mentions=frozenset(_uid(node["__entity"]) for node in _nodes(conditions) if _is_entity(node.get("__entity"))),
        syntax=syntax,
        approval=annotations.get("approval") or "",
    )


def _same_as_a_whole(text: str, rules: Sequence[Rule]) -> bool:
    try:
        parsed = json.loads(cedarpy.policies_to_json_str(text))
    except ValueError:
        return False
    expected = {f"policy{index}": rule.syntax for index, rule in enumerate(rules)}
    return bool(parsed["staticPolicies"] == expected and not parsed["templates"])


def _scope(head: Mapping[str, Any]) -> Scope:
    return _SCOPES[head["op"]](head)


def _scope_is(head: Mapping[str, Any]) -> Scope:
    anchors = frozenset({_uid(head["in"]["entity"])}) if "in" in head else None
    return Scope(anchors, entity_type=head["entity_type"])


_SCOPES: Final[Mapping[str, Callable[[Mapping[str, Any]], Scope]]] = {
    "All": lambda _: Scope(),
    "==": lambda head: Scope(frozenset({_uid(head["entity"])}), exact=True),
    "in": lambda head: Scope(frozenset(_uid(one) for one in (head["entities"] if "entities" in head else [head["entity"]]))),
    "is": _scope_is,
}


def _uid(entity: Mapping[str, str]) -> Uid:
    return (entity["type"], entity["id"])


def _is_entity(value: Any) -> bool:
    return isinstance(value, Mapping) and value.keys() == {"type", "id"}


def _nodes(syntax: Any) -> Iterator[Mapping[str, Any]]:
    """Every object of a syntax tree; iterative, since trees are as deep as their author likes."""
    waiting = [syntax]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
