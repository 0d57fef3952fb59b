"""Laws of policy, against the engine itself: the whole rule set, the whole schema and every entity, nothing sliced and nothing kept."""

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

import cedarpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from customhouse.core import policy as policy_module
from customhouse.core.identity import Caller
from customhouse.core.manifest import Effect
from customhouse.core.policy import ActionRef, Decision, Policy, PolicyInvalid, PolicyServer, PolicyTool, compile_policy
from customhouse.core.policyarguments import project
from customhouse.core.policybase import BASE_POLICY
from customhouse.core.policymodel import caller_entities, cedar_schema, ref_entities
from tests.core.policy_world import SERVERS, caller

PRINCIPALS = (
    "principal",
    "principal is Caller",
    'principal == Caller::"acme/person/alice"',
    'principal == Caller::"acme/workload/ci"',
    'principal in Group::"acme/eng"',
    'principal is Caller in Group::"acme/ops"',
    'principal in Group::"other/eng"',
    'principal in Tenant::"acme"',
    'principal is Caller in Tenant::"other"',
)
ACTIONS = (
    'action in Action::"read"',
    'action in [Action::"read", Action::"write"]',
    'action in [Action::"write", Action::"destructive"]',
    'action == Action::"call:notes/add"',
    'action in [Action::"call:notes/search", Action::"get:prompt"]',
    'action == Action::"read:resource"',
    'action == Action::"get:prompt"',
    'action in [Action::"read", Action::"write", Action::"destructive"]',
)
RESOURCES = (
    "resource",
    "resource is Tool",
    'resource in Server::"notes"',
    'resource is Tool in Server::"billing"',
    'resource in Tenant::"acme"',
    'resource in Tenant::"other"',
    'resource == Tool::"notes/add"',
    'resource == Prompt::"notes/daily"',
    'resource == Resource::"notes/file:///b"',
    'resource is Resource in Server::"notes"',
)
ARGUMENTS = "context has arguments && context.arguments has"
CONDITIONS = (
    "",
    "",
    'when { principal.client == "cli" }',
    'unless { principal has person && principal.person == "alice" }',
    'when { principal.scopes.contains("notes") }',
    'when { resource.server == "notes" }',
    'when { Server::"billing".owner == "team-money" && Tool::"notes/add".name == "add" }',
    'when { Resource::"notes/file:///b".server == "notes" && principal in Tenant::"acme" }',
    'when { principal in Group::"acme/eng" && action in Action::"read" }',
    'when { context.portal == "default" }',
    "unless { context.now < 2000000000 }",
    f'when {{ {ARGUMENTS} title && context.arguments.title like "draft*" }}',
    f"when {{ {ARGUMENTS} count && context.arguments.count + 1 > 5 }}",
    f'unless {{ {ARGUMENTS} tags && context.arguments.tags.contains("a") }} when {{ principal.issuer == "https://idp.example" }}',
    f'when {{ {ARGUMENTS} to && context.arguments.to.city == "Bonn" }}',
)
HEADS = st.tuples(
    st.sampled_from(PRINCIPALS), st.sampled_from(("action", *ACTIONS)), st.sampled_from(RESOURCES), st.sampled_from(CONDITIONS)
)
CALLERS = (
    caller("alice", "eng", scopes=frozenset({"notes"})),
    caller("bob", "ops", "eng"),
    caller("carol"),
    caller("", "ops", workload="ci"),
    caller("alice", "eng", tenant="other"),
    caller("mallory", tenant="nowhere"),
    caller('q"uo\\te\n\x00é\u200b', "eng"),
)
CALLS: tuple[Mapping[str, Any], ...] = (
    {"title": "draft 1", "query": "x"},
    {"title": "x", "query": "y", "count": 4, "tags": ["a", "b"]},
    {"title": "x", "query": "z", "count": 7.0, "tags": [], "to": {"city": "Bonn", "zip": 1}, "other": None},
    {"title": "draft 2", "query": "", "count": 2**63 - 1, "to": {"city": ""}},
)


def written(index: int, permits: bool, head: Sequence[str]) -> str:
    """A rule in Cedar. A permit cannot leave the action open, so it names all classes instead."""
    principal, action, resource, conditions = head
    named = ACTIONS[-1] if permits and action == "action" else action
    return f'@id("rule-{index}") {"permit" if permits else "forbid"} ({principal}, {named}, {resource}) {conditions};'


def compiled(heads: Sequence[tuple[bool, Sequence[str]]]) -> tuple[Policy, str]:
    """The heads that the engine's validation takes, for which some action fits the resource."""
    good = [rule for index, (permits, head) in enumerate(heads) if loads(rule := written(index, permits, head))]
    text = "\n".join(good)
    return compile_policy({"rules.cedar": text}, SERVERS), text


def loads(rule: str) -> bool:
    return cedarpy.validate_policies(rule, SCHEMA).validation_passed


def refs_of(one: Policy) -> list[ActionRef]:
    offered = [one.tool(server.name, tool.name) for server in SERVERS for tool in server.tools]
    return [*offered, one.prompt("notes", "daily"), one.prompt("foreign", "daily"), *(one.resource("notes", f"file:///{x}") for x in "ab")]


EMPTY = compile_policy({}, SERVERS)
SCHEMA = cedarpy.Schema.from_json_str(json.dumps(cedar_schema(refs_of(EMPTY))))
EVERYTHING = cedarpy.Entities.from_json_str(ref_entities(refs_of(EMPTY), SERVERS, ()))


def engine(text: str, who: Caller, ref: ActionRef, arguments: Mapping[str, Any], portal: str) -> Decision:
    nothing_read = {"untrusted": False, "private": False, "confidential": False}
    context = {"portal": portal, "now": policy_module.AFTER_ALL, "flow": nothing_read} | (
        {} if ref.arguments is None else {"arguments": project(ref.arguments, arguments)}
    )
    kind = f"{who.tenant}/{'person' if who.person else 'workload'}/{who.subject}"
    request = {
        "principal": {"type": "Caller", "id": kind},
        "action": {"type": ref.action[0], "id": ref.action[1]},
        "resource": {"type": ref.resource[0], "id": ref.resource[1]},
        "context": context,
    }
    result = cedarpy.is_authorized(
        request, cedarpy.PolicySet.from_str(f"{BASE_POLICY}{text}"), EVERYTHING.with_added_json_str(caller_entities(who)), SCHEMA
    )
    reasons = tuple(sorted(result.diagnostics.id_annotations_by_reason.values()))
    return Decision(result.allowed and not result.diagnostics.errors, reasons, tuple(result.diagnostics.errors))


def same(ours: Decision, theirs: Decision) -> bool:
    """Errors name rules by position there and by id here, so they are counted."""
    return (ours.permitted, ours.reasons, len(ours.errors)) == (theirs.permitted, theirs.reasons, len(theirs.errors))


@settings(max_examples=150)
@given(heads=st.lists(st.tuples(st.booleans(), HEADS), max_size=12), who=st.sampled_from(CALLERS), data=st.data())
def test_the_slice_decides_as_the_whole_set_does(heads: list[tuple[bool, Sequence[str]]], who: Caller, data: st.DataObject) -> None:
    one, text = compiled(heads)
    for _ in range(3):
        ref, arguments = data.draw(st.sampled_from(refs_of(one))), data.draw(st.sampled_from(CALLS))
        portal = data.draw(st.sampled_from(["default", "research"]))
        assert same(one.decide(who, ref, arguments, portal), engine(text, who, ref, arguments, portal))


def test_the_slice_decides_as_the_whole_set_does_with_hundreds_of_rules() -> None:
    """Four hundred rules that each concern few, so that permits, forbids, default denies and errors all come up; every decision twice."""
    dice = random.Random(7)
    heads = [
        (dice.random() < 0.85, (dice.choice(PRINCIPALS[1:]), dice.choice(ACTIONS), dice.choice(RESOURCES[1:]), dice.choice(CONDITIONS[2:])))
        for _ in range(400)
    ]
    one, text = compiled(heads)
    assert len(one.rules) > 200
    for who in CALLERS:
        for ref in refs_of(one):
            for arguments in dice.sample(CALLS, 2):
                theirs = engine(text, who, ref, arguments, "default")
                assert same(one.decide(who, ref, arguments, "default"), theirs)
                assert same(one.decide(who, ref, arguments, "default"), theirs)


@given(heads=st.lists(st.tuples(st.booleans(), HEADS), min_size=1, max_size=8))
def test_what_can_be_permitted_is_visible_and_a_plain_no_is_not(heads: list[tuple[bool, Sequence[str]]]) -> None:
    one, _ = compiled(heads)
    for who in CALLERS:
        for ref in refs_of(one):
            answers = [one.decide(who, ref, arguments, portal) for arguments in CALLS for portal in ("default", "research")]
            sees = one.visible(who, ref)
            assert sees or not any(answer.permitted for answer in answers)
            if len({id(answer) for answer in answers}) == 1:
                assert sees is answers[0].permitted
            for portal in ("default", "research"):
                through = one.visible(who, ref, portal=portal)
                assert sees or not through
                assert through or not any(one.decide(who, ref, arguments, portal).permitted for arguments in CALLS)


PORTAL_RULES = """
@id("in-research") permit (principal, action in Action::"read", resource) when { context.portal == "research" };
@id("never-in-closed") forbid (principal, action, resource) when { context.portal == "closed" };
"""


def test_what_a_rule_permits_in_one_portal_is_listed_in_that_portal_alone() -> None:
    """Names that Cedar writes with escapes are seen more coarsely."""
    one = compile_policy({"rules.cedar": PORTAL_RULES}, SERVERS)
    for who in [each for each in CALLERS if each.subject.isprintable()]:
        for ref in refs_of(one):
            seen = {portal: one.visible(who, ref, portal=portal) for portal in ("", "default", "research", "closed")}
            may = {portal: any(one.decide(who, ref, arguments, portal).permitted for arguments in CALLS) for portal in seen}
            assert seen == may
            assert one.visible(who, ref) is may["research"]


@given(heads=st.lists(st.tuples(st.booleans(), HEADS), min_size=1, max_size=8))
def test_every_decision_can_be_explained_by_its_own_rules(heads: list[tuple[bool, Sequence[str]]]) -> None:
    one, _ = compiled(heads)
    for who in CALLERS[:3]:
        for ref in refs_of(one):
            told = one.explain(who, ref, CALLS[1], "default")
            assert {rule.id for rule in told.rules} == set(told.decision.reasons)
            assert not (told.near and (told.rules or told.decision.permitted))


@settings(max_examples=20)
@given(heads=st.lists(st.tuples(st.booleans(), HEADS), min_size=1, max_size=8))
def test_forgetting_changes_no_decision(heads: list[tuple[bool, Sequence[str]]]) -> None:
    roomy, text = compiled(heads)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MAX_DECISIONS", "MAX_GROUNDS", "MAX_SLICES"):
            patch.setattr(policy_module, name, 2)
        tight = compile_policy({"rules.cedar": text}, SERVERS)
    for _ in range(2):
        for who in CALLERS:
            pairs = zip(refs_of(roomy), refs_of(tight), strict=True)
            assert all(roomy.decide(who, one, CALLS[0], "p") == tight.decide(who, other, CALLS[0], "p") for one, other in pairs)


ODD = st.text(min_size=1, max_size=6)


@given(tool=ODD, prompt=ODD, uri=ODD, attribute=ODD, value=st.text(max_size=6), group=ODD, person=ODD, owner=ODD)
def test_names_of_any_shape_neither_break_a_decision_nor_widen_it(
    tool: str, prompt: str, uri: str, attribute: str, value: str, group: str, person: str, owner: str
) -> None:
    schema = {"type": "object", "properties": {attribute: {"type": "string"}}, "required": [attribute]}
    server = PolicyServer("odd", "acme", owner, (PolicyTool(tool, Effect.WRITE, schema),), (prompt,), (uri,))
    rule = f'@id("x") permit (principal in Group::"acme/eng", {ACTIONS[1]}, resource) when {{ context.portal == "p" }};'
    one = compile_policy({"rules.cedar": rule}, (server,))
    member, outsider = caller(person, group, "eng"), caller(person, f"{group}!")
    for ref in (one.tool("odd", tool), one.prompt("odd", prompt), one.resource("odd", uri), one.resource("odd", f"{uri}/more")):
        assert one.decide(member, ref, {attribute: value}, "p") == Decision(True, ("x",))
        assert one.decide(outsider, ref, {attribute: value}, "p") == Decision(False)
        assert one.visible(member, ref)
        assert not one.visible(outsider, ref)


CARELESS = (
    "when { context.arguments.count > 1 }",
    'when { context.arguments.title == "x" }',
    'when { principal.person == "x" }',
    "when { context.portal > 1 }",
    "when { context has arguments && context.arguments has nothing && context.arguments.nothing }",
    'when { resource.data == "public" }',
    'when { action == Action::"call:billing/refund" && context.arguments.title == "x" }',
    'when { action in Action::"read" && resource == Tool::"foreign/search" }',
)


@settings(max_examples=120, deadline=None)
@given(
    permits=st.booleans(),
    head=st.tuples(
        st.sampled_from(PRINCIPALS),
        st.sampled_from(("action", *ACTIONS)),
        st.sampled_from(RESOURCES),
        st.sampled_from(CONDITIONS + CARELESS),
    ),
)
def test_a_rule_loads_where_the_engine_takes_it_and_what_loads_is_typed_for_all_it_can_concern(permits: bool, head: Sequence[str]) -> None:
    """Rules are held against a part of the schema. What that takes and the whole does not is evaluated without an error of type."""
    rule = written(0, permits, head)
    try:
        one = compile_policy({"rules.cedar": rule}, SERVERS)
    except PolicyInvalid:
        assert not loads(rule)
        return
    for who in CALLERS if not loads(rule) else ():
        for ref in refs_of(one):
            for arguments in CALLS:
                assert [error for error in one.decide(who, ref, arguments, "p").errors if "overflow" not in error] == []
