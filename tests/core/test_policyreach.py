"""Who could reach what: said of nobody wrongly, and of everybody who can."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from customhouse.core.identity import Caller, known
from customhouse.core.policy import ActionRef, Policy, compile_policy
from customhouse.core.policyreach import Fact, Knowledge, Reach, blast_radius, who_can
from tests.core.policy_world import SERVERS, policy
from tests.core.test_policy_laws import ACTIONS, CALLS, CONDITIONS, PRINCIPALS, RESOURCES, loads, refs_of, written

READS = 'action in Action::"read"'


def search(*rules: str) -> tuple[Policy, ActionRef]:
    one = policy(*rules)
    return one, one.tool("notes", "search")


def told(*rules: str) -> list[tuple[object, ...]]:
    one, ref = search(*rules)
    return [(who.kind, who.name, who.provided, who.reach.always, who.reach.depends, who.reach.unless) for who in who_can(one, ref)]


@pytest.mark.parametrize(
    ("head", "condition", "expected"),
    [
        ("principal", "", ("anybody", "acme", (), True, (), ())),
        ('principal in Tenant::"acme"', "", ("anybody", "acme", (), True, (), ())),
        ('principal in Group::"acme/eng"', "", ("group", "acme/eng", (), True, (), ())),
        ('principal == Caller::"acme/person/alice"', "", ("person", "alice", (), True, (), ())),
        ('principal == Caller::"acme/workload/ci"', "", ("workload", "ci", (), True, (), ())),
        ("principal", 'when { principal.client == "cli" }', ("anybody", "acme", ("client cli",), True, (), ())),
        ("principal", 'when { principal in Group::"acme/eng" }', ("anybody", "acme", ("group acme/eng",), True, (), ())),
        (
            "principal",
            'when { principal.scopes.contains("deep") && "idp" == principal.issuer }',
            ("anybody", "acme", ("issuer idp", "scope deep"), True, (), ()),
        ),
        (
            "principal",
            'when { principal has person && principal.person == "bob" }',
            ("anybody", "acme", ("any person", "person bob"), True, (), ()),
        ),
        ("principal", 'when { resource.name == "search" && resource.server == "notes" }', ("anybody", "acme", (), True, (), ())),
        ("principal", 'when { context.portal == "default" }', ("anybody", "acme", (), False, ("portal",), ())),
        (
            "principal",
            'when { context.portal == "x" && principal.client == "cli" } unless { context has arguments && context.arguments has title }',
            ("anybody", "acme", ("client cli",), False, ("arguments and portal",), ()),
        ),
        ("principal", 'unless { principal.client == "cli" }', ("anybody", "acme", (), False, ("caller",), ())),
    ],
)
def test_a_permit_names_whom_it_lets_in_and_what_that_takes(head: str, condition: str, expected: tuple[object, ...]) -> None:
    assert told(f'@id("x") permit ({head}, {READS}, resource) {condition};') == [expected]


@pytest.mark.parametrize(
    ("head", "condition"),
    [
        ('principal in Group::"other/eng"', ""),
        ('principal in Tenant::"other"', ""),
        ('principal == Caller::"other/person/alice"', ""),
        ("principal", 'when { principal.tenant == "other" }'),
        ("principal", 'when { principal in Group::"other/eng" }'),
        ("principal", 'when { resource.server == "billing" }'),
        ("principal", 'when { principal.client == "a" && principal.client == "b" }'),
        ('principal == Caller::"acme/workload/ci"', "when { principal has person }"),
        ('principal == Caller::"acme/person/bob"', 'when { principal has person && principal.person == "alice" }'),
    ],
)
def test_a_permit_that_nobody_can_meet_names_nobody(head: str, condition: str) -> None:
    assert told(f'@id("x") permit ({head}, {READS}, resource) {condition};') == []


PERMIT = f'@id("x") permit (principal in Group::"acme/eng", {READS}, resource);'


@pytest.mark.parametrize(
    ("forbid", "unless"),
    [
        ("(principal, action, resource)", None),
        ('(principal in Group::"acme/eng", action, resource)', None),
        ('(principal in Tenant::"acme", action, resource in Server::"notes")', None),
        ('(principal, action, resource) when { principal in Group::"acme/eng" }', None),
        ('(principal in Group::"acme/ops", action, resource)', ("f",)),
        ('(principal == Caller::"acme/person/bob", action, resource)', ("f",)),
        ('(principal, action, resource) when { principal.client == "cli" }', ("f",)),
        ('(principal, action, resource) when { context.portal == "x" }', ("f",)),
        ('(principal in Group::"other/eng", action, resource)', ()),
        ('(principal, action in Action::"write", resource)', ()),
        ('(principal, action, resource) when { resource.server == "billing" }', ()),
    ],
)
def test_a_forbid_takes_away_what_it_always_forbids_and_is_named_where_it_may_forbid(forbid: str, unless: tuple[str, ...] | None) -> None:
    expected = [] if unless is None else [("group", "acme/eng", (), True, (), unless)]
    assert told(PERMIT, f'@id("f") forbid {forbid};') == expected


def test_what_a_caller_could_reach_is_listed_by_server_with_rules_and_approvals() -> None:
    one = policy(
        PERMIT,
        '@id("w") @approval("leads") permit (principal in Group::"acme/eng", action in Action::"write", resource in Server::"billing");',
        '@id("a") permit (principal == Caller::"acme/person/alice", action == Action::"call:notes/purge", resource);',
    )
    member = Knowledge(tenant="acme", groups=frozenset({"acme/eng"}))
    reached = [(thing.kind, thing.server, thing.name, thing.effect) for thing in blast_radius(one, member)]
    assert reached == [
        ("tool", "billing", "refund", "write"),
        ("tool", "notes", "search", "read"),
        ("prompt", "notes", "daily", "read"),
        ("resource", "notes", "file:///a", "read"),
    ]
    refund = blast_radius(one, member)[0].reach
    assert refund == Reach(always=True, depends=(), rules=("w",), unless=(), approval="leads")
    alice = Knowledge(tenant="acme", person="alice", workload="")
    assert [thing.name for thing in blast_radius(one, alice)] == ["purge"]


def test_what_is_not_known_of_a_caller_is_said_and_not_assumed() -> None:
    one = policy(f'@id("x") permit (principal, {READS}, resource is Tool) when {{ principal.client == "cli" }};')
    (unknown,) = blast_radius(one, Knowledge(tenant="acme", person="alice", workload=""))
    assert (unknown.reach.always, unknown.reach.depends) == (False, ("client cli",))
    (fitting,) = blast_radius(one, Knowledge(tenant="acme", person="alice", workload="", client="cli"))
    assert fitting.reach.always
    assert blast_radius(one, Knowledge(tenant="acme", person="alice", workload="", client="web")) == ()


def test_names_of_any_shape_are_answered_for() -> None:
    odd = PERMIT.replace("eng", 'e\\"n\\u{0}g\\u{e9}')
    assert [row[:2] for row in told(odd)] == [("group", 'acme/e"n\x00gé')]


EVERYBODY = [
    known(
        Caller(
            issuer="https://idp.example",
            tenant=tenant,
            person=person,
            workload=workload,
            client=client,
            groups=groups,
            scopes=frozenset({"notes"} if client == "cli" else ()),
            expires_at=2e9,
        )
    )
    for tenant in ("acme", "other")
    for person, workload in (("alice", ""), ("bob", "ci"), ("", "ci"))
    for groups in ((), ("eng",), ("ops",), ("eng", "ops"))
    for client in ("cli", "web")
]
FACTUAL = (
    "",
    'when { principal.client == "cli" }',
    'when { principal has person && principal.person == "alice" }',
    'when { principal has workload && principal.workload == "ci" } when { principal.client == "web" }',
    'when { principal.scopes.contains("notes") }',
    'when { resource.server == "notes" }',
    'when { resource.server == "nowhere" }',
    'when { principal in Group::"acme/eng" && principal in Tenant::"acme" }',
)


def of(caller: Caller) -> Knowledge:
    groups = frozenset(f"{caller.tenant}/{group}" for group in caller.groups)
    return Knowledge(
        tenant=caller.tenant,
        groups=groups,
        person=caller.person,
        workload=caller.workload,
        client=caller.client,
        issuer=caller.issuer,
        scopes=caller.scopes,
    )


def answers(one: Policy, who: Caller, ref: ActionRef) -> set[bool]:
    """Without those of evaluations that failed."""
    decisions = [one.decide(who, ref, arguments, portal) for arguments in CALLS for portal in ("default", "research")]
    return {decision.permitted for decision in decisions if not decision.errors}


def named(one: Policy, ref: ActionRef) -> set[str]:
    """The callers whom `who_can` names."""
    return {
        who.context_digest
        for who, reacher in itertools.product(EVERYBODY, who_can(one, ref))
        if who.tenant == ref.tenant
        and {
            "anybody": True,
            "group": reacher.name in of(who).groups,
            "person": reacher.name == who.person,
            "workload": not who.person and reacher.name == who.workload,
        }[reacher.kind]
        and all(of(who).holds(fact(text)) for text in reacher.provided)
    }


def fact(text: str) -> Fact:
    about, value = text.split(" ", 1)
    return Fact("has" if about == "any" else about, value)


def heads(conditions: Sequence[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.tuples(*(st.sampled_from(choices) for choices in (PRINCIPALS, ("action", *ACTIONS), RESOURCES, conditions)))


def made(rules: Sequence[tuple[bool, Sequence[str]]]) -> Policy:
    texts = [text for index, (permits, head) in enumerate(rules) if loads(text := written(index, permits, head))]
    return compile_policy({"rules.cedar": "\n".join(texts)}, SERVERS)


@settings(max_examples=12, deadline=None)
@given(rules=st.lists(st.tuples(st.booleans(), heads(FACTUAL)), min_size=1, max_size=8))
def test_where_rules_state_facts_the_answer_is_that_of_every_single_decision(rules: list[tuple[bool, Sequence[str]]]) -> None:
    one = made(rules)
    listed = one.offered()
    for who in EVERYBODY:
        can = {ref.resource for ref in listed if True in answers(one, who, ref)}
        reached = blast_radius(one, of(who))
        assert {(thing.kind.capitalize(), f"{thing.server}/{thing.name}") for thing in reached} == can
        assert all(thing.reach.always for thing in reached)
    permits = made([rule for rule in rules if rule[0]])
    for ref in permits.offered():
        assert named(permits, ref) == {who.context_digest for who in EVERYBODY if True in answers(permits, who, ref)}


@settings(max_examples=15, deadline=None)
@given(rules=st.lists(st.tuples(st.booleans(), heads(CONDITIONS)), min_size=1, max_size=8))
def test_nobody_is_left_out_and_always_means_always(rules: list[tuple[bool, Sequence[str]]]) -> None:
    one = made(rules)
    listed = refs_of(one)
    names = {ref.resource: named(one, ref) for ref in listed}
    for who in EVERYBODY:
        reached = {f"{thing.server}/{thing.name}": thing.reach for thing in blast_radius(one, of(who))}
        for ref in one.offered():
            said, decided = reached.get(ref.resource[1]), answers(one, who, ref)
            assert said is not None or True not in decided
            assert who.context_digest in names.get(ref.resource, ()) or True not in decided or ref not in listed
            if said is not None and said.always and not said.unless:
                assert decided == {True}
