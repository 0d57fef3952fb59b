"""Decisions: who may do what, why, and what happens in doubt."""

import msgspec
import pytest

from customhouse.core.identity import Caller
from customhouse.core.manifest import Effect, Manifest, Pin, ServerDefinition, ToolReview
from customhouse.core.policy import ActionRef, Policy, PolicyServer, PolicyTool, compile_policy, policy_servers
from tests.core.policy_world import BILLING, NOTES, SERVERS, caller, permitted, policy

READS = '@id("eng-reads") permit (principal in Group::"acme/eng", action in Action::"read", resource in Server::"notes");'
WRITES = '@id("eng-writes") permit (principal in Group::"acme/eng", action in Action::"write", resource in Server::"notes");'
DRAFTS = """@id("drafts")
permit (principal, action == Action::"call:notes/add", resource) when { context.arguments.title like "draft*" };"""


def refs(one: Policy) -> dict[str, ActionRef]:
    return {
        "search": one.tool("notes", "search"),
        "add": one.tool("notes", "add"),
        "purge": one.tool("notes", "purge"),
        "daily": one.prompt("notes", "daily"),
        "listed": one.resource("notes", "file:///a"),
        "by template": one.resource("notes", "file:///b"),
        "refund": one.tool("billing", "refund"),
        "elsewhere": one.tool("foreign", "search"),
    }


def allowed(one: Policy, who: Caller) -> set[str]:
    arguments = {"title": "x", "query": "x"}
    return {name for name, ref in refs(one).items() if permitted(one, who, ref, arguments)}


def test_without_a_grant_nothing_is_permitted() -> None:
    assert allowed(policy(), caller("alice", "eng")) == set()


def test_a_grant_of_reads_reaches_reads_alone() -> None:
    assert allowed(policy(READS), caller("alice", "eng")) == {"search", "daily", "listed", "by template"}


def test_a_grant_of_writes_names_the_class_and_grants_no_read() -> None:
    assert allowed(policy(WRITES), caller("alice", "eng")) == {"add"}


def test_a_grant_to_a_group_reaches_its_members_alone() -> None:
    assert allowed(policy(READS), caller("alice", "ops")) == set()


def test_a_group_of_the_same_name_in_another_tenant_is_another_group() -> None:
    assert allowed(policy(READS), caller("alice", "eng", tenant="other")) == set()


def test_nothing_outside_the_callers_tenant_is_reached_whatever_is_granted() -> None:
    everything = '@id("all") permit (principal, action in [Action::"read", Action::"write", Action::"destructive"], resource);'
    one = policy(everything)
    assert allowed(one, caller("alice")) == refs(one).keys() - {"elsewhere"}
    assert allowed(one, caller("alice", tenant="other")) == {"elsewhere"}
    assert one.decide(caller("alice"), one.tool("foreign", "search"), {}, "p").reasons == ("base.tenancy",)


def test_a_caller_who_is_nobody_is_refused() -> None:
    everything = '@id("all") permit (principal, action in Action::"read", resource);'
    one = policy(everything)
    decision = one.decide(caller("", workload=""), one.tool("notes", "search"), {"query": "x"}, "default")
    assert (decision.permitted, decision.reasons) == (False, ("base.somebody",))


def test_a_person_and_a_workload_of_one_name_are_two_callers() -> None:
    one = policy('@id("x") permit (principal == Caller::"acme/workload/ci", action in Action::"read", resource);')
    assert allowed(one, caller("", workload="ci"))
    assert not allowed(one, caller("ci"))
    assert not allowed(one, caller("workload/ci"))


@pytest.mark.parametrize(
    ("condition", "who", "yes"),
    [
        ('principal has person && principal.person == "alice"', caller("alice"), True),
        ('principal has person && principal.person == "alice"', caller("", workload="alice"), False),
        ('principal has workload && principal.workload == "ci"', caller("", workload="ci"), True),
        ('principal.scopes.contains("notes")', caller("alice", scopes=frozenset({"notes"})), True),
        ('principal.scopes.contains("notes")', caller("alice"), False),
        ('principal.client == "cli" && principal.issuer == "https://idp.example"', caller("alice"), True),
        ('resource.server == "notes" && resource.name == "search"', caller("alice"), True),
        ('Server::"billing".owner == "team-money"', caller("alice"), True),
        ('Tool::"notes/add".name == "add"', caller("alice"), True),
        ('Prompt::"notes/daily".server == "notes"', caller("alice"), True),
        ('Resource::"notes/file:///z".name == "file:///z"', caller("alice"), True),
        ('resource in Tenant::"acme"', caller("alice"), True),
        ('resource in Tenant::"other"', caller("alice"), False),
    ],
)
def test_conditions_read_what_is_known_of_caller_and_server(condition: str, who: Caller, yes: bool) -> None:
    one = policy(f'@id("x") permit (principal, action == Action::"call:notes/search", resource) when {{ {condition} }};')
    assert permitted(one, who, one.tool("notes", "search"), {"query": "x"}) is yes


@pytest.mark.parametrize(
    ("condition", "arguments", "yes"),
    [
        ('context.arguments.title == "x"', {"title": "x"}, True),
        ('context.arguments.title == "x"', {"title": "y"}, False),
        ("context.arguments has count && context.arguments.count < 5", {"title": "x", "count": 2.0}, True),
        ("context.arguments has count && context.arguments.count < 5", {"title": "x"}, False),
        ("context.arguments has urgent && context.arguments.urgent", {"title": "x", "urgent": True}, True),
        ('context.arguments has tags && context.arguments.tags.contains("a")', {"title": "x", "tags": ["a", "b"]}, True),
        ("context.arguments has tags && context.arguments.tags.isEmpty()", {"title": "x", "tags": []}, True),
        ('context.arguments has to && context.arguments.to.city == "Bonn"', {"title": "x", "to": {"city": "Bonn", "more": None}}, True),
        ('context.portal == "default"', {"title": "x", "unknown": 1.5}, True),
        ('context.portal == "research"', {"title": "x"}, False),
    ],
)
def test_conditions_read_typed_arguments_and_the_portal(condition: str, arguments: dict[str, object], yes: bool) -> None:
    one = policy(f'@id("x") permit (principal, action == Action::"call:notes/add", resource) when {{ {condition} }};')
    assert permitted(one, caller(), one.tool("notes", "add"), arguments) is yes
    assert one.visible(caller(), one.tool("notes", "add"))


def test_a_decision_that_reads_arguments_is_made_anew_each_time() -> None:
    one = policy(DRAFTS)
    answers = [permitted(one, caller(), one.tool("notes", "add"), {"title": title}) for title in ("draft 1", "final", "draft 2")]
    assert answers == [True, False, True]


def test_a_decision_that_reads_no_arguments_is_kept() -> None:
    one = policy(READS)
    who, ref = caller("alice", "eng"), one.tool("notes", "search")
    assert one.decide(who, ref, {"query": "x"}, "a") is one.decide(who, ref, {"query": "y"}, "b")


def test_callers_without_an_authorisation_context_do_not_share_decisions() -> None:
    bare = [
        Caller(issuer="i", tenant="acme", person=name, workload="", client="c", groups=(name,), expires_at=1.0) for name in ("eng", "ops")
    ]
    one = policy(READS)
    assert [permitted(one, who, one.tool("notes", "search")) for who in bare] == [True, False]


def test_a_forbid_beats_a_permit_and_is_the_reason() -> None:
    one = policy(READS, '@id("freeze") forbid (principal, action, resource in Server::"notes");')
    decision = one.decide(caller("alice", "eng"), one.tool("notes", "search"), {}, "default")
    assert (decision.permitted, decision.reasons, decision.errors) == (False, ("freeze",), ())


ASKING = [
    '@id("ask-leads") @approval("leads") permit (principal in Group::"acme/eng", action in Action::"read", resource in Server::"notes");',
    '@id("ask-sec") @approval("acme/sec") permit (principal, action in Action::"read", resource) when { context.portal == "open" };',
    '@id("ask-too") @approval("leads") permit (principal, action == Action::"call:notes/search", resource);',
]


@pytest.mark.parametrize(
    ("rules", "portal", "approval"),
    [
        ([READS], "default", ""),
        (ASKING[:1], "default", "leads"),
        ([READS, *ASKING[:1]], "default", "leads"),
        (ASKING, "default", "leads"),
        (ASKING, "open", "acme/sec,leads"),
        ([*ASKING, '@id("freeze") forbid (principal, action, resource);'], "open", ""),
    ],
)
def test_a_yes_names_every_group_that_a_satisfied_permit_asks(rules: list[str], portal: str, approval: str) -> None:
    one = policy(*rules)
    ref = one.tool("notes", "search")
    assert one.decide(caller("alice", "eng"), ref, {"query": "x"}, portal).approval == approval
    assert ("approved" in one.explain(caller("alice", "eng"), ref, {"query": "x"}, portal).sentence) is bool(approval)


def test_what_needs_an_approval_is_visible() -> None:
    one = policy(*ASKING)
    assert one.visible(caller("alice", "eng"), one.tool("notes", "search"))


def test_an_evaluation_error_refuses_even_what_another_rule_permits() -> None:
    overflow = """@id("sum") forbid (principal, action == Action::"call:notes/add", resource)
    when { context.arguments has count && context.arguments.count + 1 < 0 };"""
    one = policy(WRITES, overflow)
    ref, who = one.tool("notes", "add"), caller("alice", "eng")
    assert permitted(one, who, ref, {"title": "x", "count": 2**53})
    broken = one.decide(who, ref, {"title": "x", "count": 2**63 - 1}, "default")
    assert not broken.permitted
    assert "overflow" in broken.errors[0]


@pytest.mark.parametrize(
    "arguments", [{}, {"title": 1}, {"title": "x", "count": 2**63}, {"title": "x", "count": 1e300}, {"title": "\ud800"}]
)
def test_arguments_that_do_not_fit_their_type_are_an_error_and_never_a_yes(arguments: dict[str, object]) -> None:
    one = policy(DRAFTS, '@id("any") permit (principal, action in Action::"write", resource);')
    decision = one.decide(caller(), one.tool("notes", "add"), arguments, "default")
    assert not decision.permitted
    assert decision.errors


def test_a_caller_whom_the_engine_cannot_read_is_refused_and_sees_nothing() -> None:
    one = policy('@id("any") permit (principal, action in Action::"read", resource);')
    ref = one.tool("notes", "search")
    bare = Caller(issuer="i", tenant="acme", person="\ud800", workload="", client="c", expires_at=1.0, context_digest="d")
    assert one.decide(bare, ref, {}, "p").errors
    assert not one.visible(bare, ref)


def test_unknown_names_have_no_handle() -> None:
    one = policy()
    with pytest.raises(KeyError):
        one.tool("notes", "nope")
    with pytest.raises(KeyError):
        one.prompt("nope", "daily")
    with pytest.raises(KeyError):
        one.resource("nope", "file:///a")


def test_a_resource_has_one_handle_however_often_it_is_read() -> None:
    one = policy()
    assert one.resource("notes", "file:///t") is one.resource("notes", "file:///t")
    assert one.resource("notes", "file:///a") is one.resource("notes", "file:///a")


@pytest.mark.parametrize(
    ("rule", "sees"),
    [
        (DRAFTS, True),
        ('@id("x") permit (principal, action == Action::"call:notes/add", resource) when { context.portal == "research" };', True),
        ('@id("x") permit (principal in Group::"acme/ops", action in Action::"write", resource) when { context.portal == "p" };', False),
        (
            '@id("x") permit (principal, action in Action::"write", resource) when { principal.client == "web" && context.portal == "p" };',
            False,
        ),
        (f'{DRAFTS} @id("no") forbid (principal, action, resource) when {{ principal.client == "cli" }};', False),
        (f'{DRAFTS} @id("no") forbid (principal, action, resource) when {{ context.portal == "p" }};', True),
    ],
)
def test_a_tool_is_visible_if_some_call_of_it_could_be_permitted(rule: str, sees: bool) -> None:
    one = policy(rule)
    assert one.visible(caller(), one.tool("notes", "add")) is sees


@pytest.mark.parametrize(
    ("rules", "sees"),
    [
        ([DRAFTS], True),
        ([DRAFTS, '@id("no") forbid (principal, action, resource) when { principal.client == "cli" };'], False),
        ([DRAFTS, '@id("no") forbid (principal, action, resource) when { context.portal == "p" };'], True),
        (['@id("no") forbid (principal, action, resource) when { context.portal == "p" };'], False),
        (['@id("no") forbid (principal, action, resource) when { context.portal == "p" };', WRITES], True),
    ],
)
def test_a_name_that_partial_evaluation_cannot_read_is_judged_rule_by_rule(rules: list[str], sees: bool) -> None:
    one = policy(*rules)
    assert one.visible(caller("bell\x07\u200b\u0301", "eng"), one.tool("notes", "add")) is sees


def test_the_digest_moves_with_every_fact_a_decision_rests_on() -> None:
    labelled = msgspec.structs.replace(BILLING.tools[0], data="confidential")
    retitled = PolicyTool("refund", Effect.WRITE, {"properties": {"title": {"type": "integer"}}})
    variants = [
        compile_policy({}, SERVERS),
        compile_policy({"a.cedar": READS}, (NOTES, msgspec.structs.replace(BILLING, tools=(labelled,)))),
        compile_policy({"a.cedar": READS}, SERVERS),
        compile_policy({"b.cedar": READS}, SERVERS),
        compile_policy({"a.cedar": READS + " "}, SERVERS),
        compile_policy({"a.cedar": READS}, (NOTES, BILLING)),
        compile_policy({"a.cedar": READS}, (NOTES, PolicyServer("billing", "acme", "team-money", (retitled,)))),
        compile_policy({"a.cedar": READS}, (NOTES, PolicyServer("billing", "acme", "someone", (retitled,)))),
    ]
    assert len({one.digest for one in variants}) == len(variants)
    assert (
        compile_policy({"a.cedar": READS, "b.cedar": WRITES}, SERVERS).digest
        == compile_policy({"b.cedar": WRITES, "a.cedar": READS}, SERVERS).digest
    )
    assert variants[0].digest.startswith("sha256:")


def test_a_tool_without_a_class_or_outside_the_pin_does_not_exist() -> None:
    reviews = {"a": ToolReview(Effect.READ), "gone": ToolReview(Effect.WRITE)}
    definition = ServerDefinition(name="one", owner="o", contact="c", tenant="t", url="https://one.example/mcp", tools=reviews)
    manifest = Manifest(
        server_info={},
        capabilities={},
        tools=({"name": "a", "inputSchema": {"type": "object"}}, {"name": "b"}),
        prompts=({"name": "p"}, {"name": "q", "arguments": [{"name": "of"}]}, {"name": "r", "arguments": []}),
        resources=({"uri": "u:1"},),
    )
    pin = Pin(server="one", revision="2025-11-25", digest="", manifest=manifest)
    unpinned = ServerDefinition(name="bare", owner="o", contact="c", tenant="t", url="https://two.example/mcp", tools=reviews)
    assert policy_servers([definition, unpinned], {"one": pin}) == (
        PolicyServer("bare", "t", "o"),
        PolicyServer("one", "t", "o", (PolicyTool("a", Effect.READ, {"type": "object"}),), ("p", "q", "r"), ("u:1",), frozenset("q")),
    )


def test_labels_come_from_the_review_and_a_sink_is_what_changes_things_unless_somebody_said_otherwise() -> None:
    quiet = ToolReview(Effect.WRITE, idempotent=True, data="confidential", content="trusted", sink=False)
    reviews = {"fetch": ToolReview(Effect.READ, sink=True), "look": ToolReview(Effect.READ), "send": ToolReview(Effect.WRITE), "set": quiet}
    definition = ServerDefinition(name="one", owner="o", contact="c", tenant="t", url="https://one.example/mcp", tools=reviews)
    manifest = Manifest(server_info={}, capabilities={}, tools=tuple({"name": name} for name in reviews))
    (server,) = policy_servers([definition], {"one": Pin(server="one", revision="2025-11-25", digest="", manifest=manifest)})
    plain = {"idempotent": False, "data": "internal", "untrusted": True}
    assert {tool.name: tool.labels for tool in server.tools} == {
        "fetch": {**plain, "sink": True},
        "look": {**plain, "sink": False},
        "send": {**plain, "sink": True},
        "set": {"idempotent": True, "data": "confidential", "untrusted": False, "sink": False},
    }
    assert {name: review.is_sink for name, review in reviews.items()} == {tool.name: tool.labels["sink"] for tool in server.tools}


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ('resource.data == "confidential"', {"ledger"}),
        ("resource.sink", {"fetch", "post"}),
        ("resource.idempotent", {"ledger"}),
        ("resource.untrusted", {"fetch", "post"}),
        ('Tool::"lab/ledger".data == "confidential"', {"fetch", "ledger", "post"}),
    ],
)
def test_rules_read_the_labels_of_a_tool(condition: str, names: set[str]) -> None:
    tools = (
        PolicyTool("fetch", Effect.READ, {}, data="public", sink=True),
        PolicyTool("ledger", Effect.READ, {}, idempotent=True, data="confidential", untrusted=False),
        PolicyTool("post", Effect.WRITE, {}),
    )
    classes = 'action in [Action::"read", Action::"write"]'
    rule = f'@id("x") permit (principal, {classes}, resource is Tool) when {{ {condition} }};'
    one = policy(rule, servers=(PolicyServer("lab", "acme", "o", tools),))
    assert {tool.name for tool in tools if permitted(one, caller(), one.tool("lab", tool.name))} == names


def test_an_explanation_of_a_yes_names_the_rule_with_text_and_place() -> None:
    one = policy("// who reads", READS)
    told = one.explain(caller("alice", "eng"), one.tool("notes", "search"), {}, "default")
    assert told.sentence.startswith("Yes")
    assert [(rule.id, rule.file, rule.line) for rule in told.rules] == [("eng-reads", "rules.cedar", 2)]
    assert told.rules[0].text == f"// who reads\n{READS}"
    assert told.near == ()


def test_an_explanation_of_a_forbid_names_the_forbid() -> None:
    one = policy(READS, '@id("freeze") forbid (principal, action, resource in Server::"notes");')
    told = one.explain(caller("alice", "eng"), one.tool("notes", "search"), {}, "default")
    assert (told.sentence, [rule.id for rule in told.rules]) == ("No: a rule forbids it.", ["freeze"])


def test_an_explanation_of_a_broken_rule_says_so() -> None:
    one = policy(DRAFTS)
    assert one.explain(caller(), one.tool("notes", "add"), {}, "default").sentence.startswith("No: the policy could not be evaluated")


def test_an_explanation_of_a_default_deny_names_the_permits_that_came_closest_first() -> None:
    one = policy(
        READS,
        DRAFTS,
        '@id("ops") permit (principal in Group::"acme/ops", action in Action::"write", resource);',
        '@id("money") permit (principal is Caller, action in Action::"write", resource is Tool in Server::"billing");',
        '@id("far") permit (principal in Group::"acme/ops", action in Action::"read", resource in Server::"billing");',
    )
    told = one.explain(caller("alice", "eng"), one.tool("notes", "add"), {"title": "final"}, "default")
    assert told.sentence == "No: no rule permits it."
    assert [(near.rule.id, near.sentence) for near in told.near] == [
        ("drafts", "It covers this caller and this call, but its conditions are not met."),
        ("ops", 'It covers this call, but only for Group::"acme/ops".'),
        ("eng-reads", 'It covers this caller here, but only for Action::"read"; Action::"call:notes/add" is of class `write`.'),
        ("money", 'It covers this caller and this class, but only on a Tool in Server::"billing".'),
    ]
