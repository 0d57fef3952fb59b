"""What keeps policies from loading, said with file, line, rule and a sentence."""

import pytest

from customhouse.core.policy import PolicyInvalid, PolicyServer, compile_policy
from customhouse.core.policybase import BASE_POLICY
from tests.core.policy_world import SERVERS, policy


def findings(text: str, servers: tuple[PolicyServer, ...] = SERVERS) -> list[str]:
    with pytest.raises(PolicyInvalid) as invalid:
        compile_policy({"a.cedar": text}, servers)
    return str(invalid.value).splitlines()


PERMIT = 'permit (principal, action in Action::"read", resource)'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\n\npermit (principal", "a.cedar:3: This is not a rule: unexpected end of input."),
        (f"{PERMIT};", 'a.cedar:1: Every rule needs an id of its own: put @id("...") before it.'),
        (f"@id {PERMIT};", 'a.cedar:1: Every rule needs an id of its own: put @id("...") before it.'),
        (
            f'@id("x") {PERMIT};\n@id("x") {PERMIT};',
            "a.cedar:2: x: The id is taken by the rule at a.cedar:1; every rule needs an id of its own.",
        ),
        (
            f'@id("base.x") {PERMIT};',
            "a.cedar:1: base.x: Ids that begin with `base.` are those of the shipped rules; choose another one.",
        ),
        (
            '@id("x") permit (principal, action, resource);',
            'a.cedar:1: x: A permit names what it grants: write `action in Action::"read"`, a list of classes, or single actions.',
        ),
        (
            '@id("x") permit (principal == ?principal, action in Action::"read", resource);',
            "a.cedar:1: This is not a rule: templates (?principal, ?resource) are not supported.",
        ),
        (f'@id("x") {PERMIT[:-1]} in Server::"note");', "a.cedar:1: x: There is no server `note`; did you mean `notes`?"),
        (f'@id("x") {PERMIT[:-1]} in Server::"something");', "a.cedar:1: x: There is no server `something`."),
        (f'@id("x") {PERMIT[:-1]} == Tool::"notes/serch");', "a.cedar:1: x: There is no tool `notes/serch`; did you mean `notes/search`?"),
        (
            f'@id("x") {PERMIT[:-1]} == Prompt::"notes/dayly");',
            "a.cedar:1: x: There is no prompt `notes/dayly`; did you mean `notes/daily`?",
        ),
        (f'@id("x") {PERMIT[:-1]} == Resource::"note/file:///a");', "a.cedar:1: x: There is no server `note`; did you mean `notes`?"),
        (f'@id("x") {PERMIT[:-1]} == Resource::"notes");', 'a.cedar:1: x: `notes` is not written like Resource::"server/uri".'),
        (f'@id("x") {PERMIT[:-1]} in Servr::"notes");', "a.cedar:1: x: There is no entity type `Servr`; did you mean `Server`?"),
        (
            '@id("x") permit (principal, action in Action::"reed", resource);',
            "a.cedar:1: x: There is no action `reed`; did you mean `read`?",
        ),
        ('@id("x") permit (principal, action in Action::"any:read", resource);', "a.cedar:1: x: There is no action `any:read`."),
        (
            '@id("x") permit (principal in Group::"eng", action in Action::"read", resource);',
            'a.cedar:1: x: `eng` is not written like Group::"tenant/group".',
        ),
        (
            '@id("x") permit (principal in Group::"acmee/eng", action in Action::"read", resource);',
            "a.cedar:1: x: There is no tenant `acmee`; did you mean `acme`?",
        ),
        (
            '@id("x") permit (principal == Caller::"acme/alice", action in Action::"read", resource);',
            'a.cedar:1: x: `acme/alice` is not written like Caller::"tenant/person/name".',
        ),
        (f'@id("x") {PERMIT} when {{ resource in Server::"nots" }};', "a.cedar:1: x: There is no server `nots`; did you mean `notes`?"),
        (
            '@id("x") permit (principal, action == Action::"call:notes/add", resource) when { context.arguments.count > 1 };',
            (
                "a.cedar:1: x: Unable to guarantee safety of access to optional attribute `arguments.count` "
                'in context for Action::"call:notes/add".'
            ),
        ),
        (
            '@id("x") @approval("leads") forbid (principal, action, resource);',
            "a.cedar:1: x: A forbid says no already; only a permit can ask for an approval.",
        ),
        *(
            (
                f'@id("x") @approval{value} {PERMIT};',
                'a.cedar:1: x: An approval names the group that gives it: write @approval("group") or @approval("tenant/group").',
            )
            for value in ("", '("")', '(" ")', '("leads ")', '("/leads")', '("acme/")', '("leads,owners")')
        ),
        (f'@id("x") @approval("acmee/leads") {PERMIT};', "a.cedar:1: x: There is no tenant `acmee`; did you mean `acme`?"),
        (f'@id("x") @aproval("leads") {PERMIT};', "a.cedar:1: x: There is no annotation `@aproval`; did you mean `approval`?"),
    ],
)
def test_a_text_that_does_not_load_says_why(text: str, expected: str) -> None:
    assert expected in findings(text)


@pytest.mark.parametrize(
    "condition",
    [
        "context.arguments.tilte == 1",
        "context.arguments.title > 1",
        'context.arguments.title == "x" && principal.person == "a"',
        "context.arguments.price == 1",
        'resource.nothing == "x"',
        'context.arguments["__entity"] == "x"',
    ],
)
def test_a_rule_of_the_wrong_type_does_not_load(condition: str) -> None:
    text = f'// a comment\n@id("x")\npermit (principal, action == Action::"call:notes/add", resource)\nwhen {{ {condition} }};'
    assert all(line.startswith("a.cedar:2: x: ") for line in findings(text))


def test_a_rule_over_a_whole_class_asks_has_before_it_reads_an_argument() -> None:
    """A new tool without the argument would make it invalid otherwise; the rule that asks stays valid."""
    careless = '@id("x") forbid (principal, action in Action::"write", resource) when { context.arguments.title == "x" };'
    assert "x: " in findings(careless)[0]
    policy(careless.replace("context.arguments.title", "context.arguments has title && context.arguments.title"))


def test_a_grant_of_a_class_loads_before_the_first_tool_of_that_class_exists() -> None:
    bare = (PolicyServer("bare", "acme", "owner"),)
    policy('@id("x") permit (principal, action in Action::"destructive", resource in Server::"bare");', servers=bare)


def test_all_that_is_wrong_is_said_at_once_in_the_order_of_the_files() -> None:
    sources = {"b.cedar": f"{PERMIT};", "a.cedar": f'\n@id("x") {PERMIT}; permit'}
    with pytest.raises(PolicyInvalid) as invalid:
        compile_policy(sources, SERVERS)
    assert [(one.file, one.line) for one in invalid.value.findings] == [("a.cedar", 2), ("b.cedar", 1)]


def test_findings_are_put_to_the_right_rule_among_many() -> None:
    good = [f'@id("good-{index}") {PERMIT};' for index in range(15)]
    bad = '@id("bad") permit (principal, action in Action::"read", resource) when { principal.person == "x" };'
    found = findings("\n".join([*good[:12], bad, *good[12:]]))
    assert {line.split(" ")[1] for line in found} == {"bad:"}
    assert {line.split(" ")[0] for line in found} == {"a.cedar:13:"}


@pytest.mark.parametrize(
    "text",
    [
        '@id("x") /* no */ permit (principal, action in Action::"read", resource);',
        f'@id("x {PERMIT};',
        ";",
        f'@id("x") {PERMIT};;',
        f'\ufeff@id("x") {PERMIT};',
    ],
)
def test_a_text_outside_the_grammar_is_a_finding(text: str) -> None:
    assert findings(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "// nothing; here\n",
        f'@id("semi;colon // \\" in an id") {PERMIT};',
        f'// first; "one\n@id("x") {PERMIT}; // second; rule\r@id("y") {PERMIT};\n// the end',
        f'@id("x") {PERMIT} when {{ principal.client == "a\\\\" || 6 == 2 * 3 }};@id("y"){PERMIT};',
    ],
)
def test_strings_and_comments_may_hold_what_ends_a_rule(text: str) -> None:
    policy(text)


def test_the_shipped_rules_load_alone_and_grant_nothing() -> None:
    one = compile_policy({}, ())
    assert [(rule.id, rule.permits) for rule in one.rules] == [("base.tenancy", False), ("base.somebody", False)]
    assert "permit" not in BASE_POLICY
