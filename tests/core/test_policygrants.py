"""Grants: what each lets through, what it does not, and what keeps one from loading."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from customhouse.core.instants import DAY_SECONDS as DAY
from customhouse.core.manifest import Effect
from customhouse.core.policy import Policy, PolicyInvalid, PolicyServer, PolicyTool, compile_policy
from customhouse.core.policygrants import Constraint, Grant, Granted, Grantee, WrittenGrant, grant_of
from customhouse.core.policyreach import who_can
from tests.core.policy_world import NOTES, SERVERS, caller

STRING, NUMBER = {"type": "string"}, {"type": "integer"}
SCHEMA = {
    "type": "object",
    "properties": {
        "to": STRING,
        "path": STRING,
        "amount": NUMBER,
        "tags": {"type": "array", "items": STRING},
        "sizes": {"type": "array", "items": NUMBER},
        "urgent": {"type": "boolean"},
        "where": {"type": "object"},
        'o"dd* name\\': STRING,
    },
    "required": ["to"],
}
MAIL = PolicyServer("mail", "acme", "team-mail", (PolicyTool("send", Effect.WRITE, SCHEMA),))
ENG = Grantee(group="acme/eng")
SEND = Granted(tool="mail/send")


def grant(to: Grantee = ENG, on: Granted = SEND, number: int = 1, **more: Any) -> Grant:
    return Grant(file="grants/a.yaml", line=number * 10, id=f"grant:a/{number}", to=to, on=on, **more)


def compiled(*grants: Grant, rules: str = "") -> Policy:
    return compile_policy({"rules.cedar": rules}, (MAIL, *SERVERS), grants)


def permits(constraint: Constraint, name: str, arguments: Mapping[str, Any]) -> bool:
    one = compiled(grant(arguments={name: constraint}))
    decision = one.decide(caller("ada", "eng"), one.tool("mail", "send"), {"to": "x", **arguments}, "default")
    assert not decision.errors
    return decision.permitted


@pytest.mark.parametrize(
    ("to", "who", "permitted"),
    [
        (ENG, caller("ada", "eng"), True),
        (ENG, caller("ada", "ops"), False),
        (ENG, caller("", "eng", workload="ci"), True),
        (Grantee(person="acme/ada"), caller("ada"), True),
        (Grantee(person="acme/ada"), caller("bob"), False),
        (Grantee(person="acme/ada"), caller("", workload="ada"), False),
        (Grantee(workload="acme/ci"), caller("", workload="ci"), True),
        (Grantee(workload="acme/ci"), caller("ada", workload="ci"), False),
        (Grantee(group="acme/eng", workload="acme/ci"), caller("ada", "eng", workload="ci"), True),
        (Grantee(group="acme/eng", workload="acme/ci"), caller("ada", "eng"), False),
        (Grantee(client="cli"), caller("ada"), True),
        (Grantee(client="web"), caller("ada"), False),
        (Grantee(client="cli"), caller("ada", tenant="other"), False),
        (Grantee(group="acme/eng", person="acme/ada", client="cli"), caller("ada", "eng"), True),
        (Grantee(group="acme/eng", person="acme/ada"), caller("ada"), False),
    ],
)
def test_a_grant_is_for_whoever_is_all_that_it_names(to: Grantee, who: Any, permitted: bool) -> None:
    one = compiled(grant(to))
    decision = one.decide(who, one.tool("mail", "send"), {"to": "x"}, "default")
    assert decision.permitted is permitted
    assert not permitted or decision.reasons == ("grant:a/1",)


def test_a_grant_on_classes_reaches_them_at_its_server_and_through_its_portal_alone() -> None:
    def reached(on: Granted, portal: str = "default") -> set[str]:
        one = compiled(grant(on=on))
        refs = [one.tool(server.name, tool.name) for server in (MAIL, *SERVERS) for tool in server.tools]
        arguments = {"to": "x", "title": "x", "query": "x"}
        return {ref.resource[1] for ref in refs if one.decide(caller("ada", "eng"), ref, arguments, portal).permitted}

    assert reached(Granted(server="notes", classes=(Effect.READ,))) == {"notes/search"}
    assert reached(Granted(classes=(Effect.WRITE, Effect.DESTRUCTIVE))) == {"mail/send", "notes/add", "notes/purge", "billing/refund"}
    assert reached(Granted(portal="research", classes=(Effect.READ,))) == set()
    assert reached(Granted(portal="research", classes=(Effect.READ,)), "research") == {"notes/search"}
    assert reached(Granted(portal="research", tool="mail/send"), "research") == {"mail/send"}


@pytest.mark.parametrize(
    ("constraint", "name", "good", "bad"),
    [
        (Constraint(one_of=("a", 'b"\\*')), "to", ["a", 'b"\\*'], ["", "b", "A", "a "]),
        (Constraint(one_of=("a", "b")), "tags", [["a"], ["b", "a"], []], [["a", "c"], ["c"]]),
        (Constraint(prefix=("draft*", "note ")), "to", ["draft*", "draft*!", "note x"], ["draft", "a draft*", "note"]),
        (Constraint(at_most=5), "amount", [5, -9, 5.0], [6, 2**62]),
        (Constraint(at_least=-1, at_most=5), "amount", [-1, 0, 5], [-2, 6]),
        (
            Constraint(under=("/srv/shared/",)),
            "path",
            ["/srv/shared", "/srv/shared/", "/srv/shared/a/b"],
            [
                "/srv/sharedx",
                "/srv",
                "/srv/shared/../x",
                "/srv/shared/..",
                "/srv/shared/a\\..\\b",
                "srv/shared/a",
                "",
                "/srv/shared/%2e%2e/x",
                "/srv/shared/.%2E/x",
            ],
        ),
        (
            Constraint(under=("file:///srv",)),
            "path",
            ["file:///srv/a"],
            ["file:///srv/%2e%2e/etc", "file:///srv/%2E%2E", "file:///etc", "FILE:///srv/a"],
        ),
        (Constraint(one_of=("x",)), 'o"dd* name\\', ["x"], ["y"]),
    ],
)
def test_a_constraint_is_a_list_of_what_may_be(constraint: Constraint, name: str, good: list[Any], bad: list[Any]) -> None:
    assert [value for value in good if not permits(constraint, name, {name: value})] == []
    assert [value for value in bad if permits(constraint, name, {name: value})] == []


EXACT = Constraint(domain_of=("example.org",))
BELOW = Constraint(domain_of=("*.example.org",))


@pytest.mark.parametrize(
    "good",
    [
        *(
            (EXACT, value)
            for value in ("ada@example.org", "example.org", "https://example.org", "https://example.org/a@b", "a+b@example.org")
        ),
        *((EXACT, value) for value in ("https://example.org?q=@evil.test", "https://example.org#x")),
        *((BELOW, value) for value in ("ada@mail.example.org", "a.example.org", "https://a.b.example.org/x", "https://a.example.org?x")),
    ],
)
def test_a_recipient_at_the_domain_is_let_through(good: tuple[Constraint, str]) -> None:
    assert permits(good[0], "to", {"to": good[1]})


@pytest.mark.parametrize(
    "bad",
    [
        "ada@evil.test",
        "ada@example.org.evil.test",
        "ada@evil-example.org",
        "ada@EXAMPLE.ORG.evil.test",
        "eve@evil.test, ada@example.org",
        "eve@evil.test;ada@example.org",
        "eve@evil.test ada@example.org",
        "eve@evil.test\nada@example.org",
        "<eve@evil.test> ada@example.org",
        '"eve@evil.test"@example.org',
        "https://example.org.evil.test/",
        "https://example.org@evil.test/",
        "https://example.org:secret@evil.test/",
        "https://example.org\\@evil.test/",
        "https://evil.test/example.org",
        "https://evil.test/a.example.org/",
        "https://evil.test?a.example.org/",
        "https://evil.test#a.example.org/",
        "https://evil.test\\a.example.org/",
        "https://evil.test%2f.example.org/",
        "https://eve@a.example.org/",
        "https://evil.test:x.example.org/",
        "https://evil.test:443.example.org/",
        "http://example.org/",
        "ftp://a.example.org/",
        "//example.org/",
        "javascript:x//a.example.org",
        "evil.test/a.example.org",
        "",
    ],
)
@pytest.mark.parametrize("constraint", [EXACT, BELOW])
def test_a_recipient_elsewhere_is_not(constraint: Constraint, bad: str) -> None:
    assert not permits(constraint, "to", {"to": bad})


PIECES = st.lists(
    st.sampled_from(["https://", "a", "example.org", ".", "/", "@", "?", "#", "\\", ":", "%2f", " ", "\t", "evil.test"]), max_size=9
)
BY_DOMAIN = {constraint: compiled(grant(arguments={"to": constraint})) for constraint in (EXACT, BELOW)}


@settings(max_examples=300, deadline=None)
@given(pieces=PIECES, constraint=st.sampled_from([EXACT, BELOW]))
def test_whatever_a_domain_lets_through_leads_there(pieces: list[str], constraint: Constraint) -> None:
    text, one = "".join(pieces), BY_DOMAIN[constraint]
    if one.decide(caller("ada", "eng"), one.tool("mail", "send"), {"to": text}, "default").permitted:
        host = urlsplit(text).hostname if text.startswith("https://") else text.rpartition("@")[2]
        assert host is not None
        assert host == "example.org" if constraint is EXACT else host.endswith(".example.org")


def test_an_absent_argument_meets_a_constraint_only_where_the_grant_says_so() -> None:
    assert not permits(Constraint(at_most=5), "amount", {})
    assert permits(Constraint(at_most=5, or_absent=True), "amount", {})
    assert not permits(Constraint(at_most=5, or_absent=True), "amount", {"amount": 6})
    assert permits(Constraint(one_of=("x",), or_absent=True), "to", {"to": "x"})


def test_a_grant_asks_for_scopes_and_for_an_approval() -> None:
    one = compiled(grant(scopes=("mail.send", "mail.bulk"), approval="acme/leads"))
    ref = one.tool("mail", "send")
    assert not one.decide(caller("ada", "eng", scopes=frozenset({"mail.send"})), ref, {"to": "x"}, "p").permitted
    decision = one.decide(caller("ada", "eng", scopes=frozenset({"mail.send", "mail.bulk"})), ref, {"to": "x"}, "p")
    assert (decision.permitted, decision.approval) == (True, "acme/leads")


ENDING = grant(on=Granted(server="mail", classes=(Effect.WRITE,)), until=10 * DAY)


@pytest.mark.parametrize("other", [(), (grant(number=2, until=5 * DAY),), (grant(number=2, arguments={"amount": Constraint(at_most=1)}),)])
def test_a_grant_ends_at_its_moment_for_decisions_and_lists(other: tuple[Grant, ...]) -> None:
    one = compiled(ENDING, *other)
    who, ref = caller("ada", "eng"), one.tool("mail", "send")
    for _ in range(2):
        for now, holds in ((0.0, True), (10 * DAY - 0.01, True), (10.0 * DAY, False), (11.0 * DAY, False), (4.0 * DAY, True)):
            assert one.decide(who, ref, {"to": "x"}, "p", now).permitted is holds
            assert one.visible(who, ref, now) is (holds or (bool(other) and not other[0].until))
    assert not one.decide(who, ref, {"to": "x"}, "p").permitted, "who does not say when it is gets nothing that ends"


@pytest.mark.parametrize(
    ("until", "ends"),
    [("", 0), ("1970-01-10", 10 * DAY), ("1970-01-10T00:00:00Z", 9 * DAY), ("1970-01-01T00:00:00Z", 1), ("1969-01-01", 1)],
)
def test_a_grant_that_has_an_end_is_never_taken_for_one_without(until: str, ends: int) -> None:
    assert grant_of(WrittenGrant(to=ENG, on=SEND, until=until), "a", 1, "grants/a.yaml", 10).until == ends


def test_a_decision_is_kept_between_two_ends() -> None:
    one = compiled(ENDING)
    who, ref = caller("ada", "eng"), one.tool("mail", "send")
    assert one.decide(who, ref, {"to": "x"}, "p", 1.0) is one.decide(who, ref, {"to": "y"}, "q", 2.0)
    assert [one.epoch(now) for now in (0.0, 10.0 * DAY - 1, 10.0 * DAY)] == [0, 0, 1]


def test_an_explanation_says_that_a_grant_ended() -> None:
    one = compiled(ENDING)
    told = one.explain(caller("ada", "eng"), one.tool("mail", "send"), {"to": "x"}, "p", 11.0 * DAY)
    assert [(near.rule.id, near.sentence) for near in told.near] == [("grant:a/1", "It ended.")]


def test_who_can_says_until_when_and_names_those_whose_grant_ended() -> None:
    one = compiled(ENDING, grant(Grantee(person="acme/bob"), number=2))
    ref = one.tool("mail", "send")
    before = [(who.name, who.reach.always, who.reach.until, who.reach.ended) for who in who_can(one, ref, 1.0)]
    assert before == [("acme/eng", True, 10 * DAY, False), ("bob", True, 0, False)]
    after = [(who.name, who.reach.ended) for who in who_can(one, ref, 11.0 * DAY)]
    assert after == [("acme/eng", True), ("bob", False)]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (grant(on=Granted(tool="mail/sned")), "There is no tool `mail/sned`; did you mean `mail/send`?"),
        (grant(on=Granted(server="mial", classes=(Effect.READ,))), "There is no server `mial`; did you mean `mail`?"),
        (grant(Grantee(group="acmee/eng")), "There is no tenant `acmee`; did you mean `acme`?"),
        (
            grant(arguments={"amuont": Constraint(at_most=1)}),
            "There is no argument that policies can read with the name `amuont`; did you mean `amount`?",
        ),
        (grant(arguments={"to": Constraint(at_most=1)}), "`at_most` is for a whole number, but the argument `to` is text."),
        (grant(arguments={"tags": Constraint(prefix=("a",))}), "`prefix` is for text, but the argument `tags` is a list of texts."),
        (
            grant(arguments={"sizes": Constraint(one_of=("1",))}),
            "`one_of` is for text or a list of texts, but the argument `sizes` is a list of something else.",
        ),
        (
            grant(arguments={"urgent": Constraint(one_of=("true",))}),
            "`one_of` is for text or a list of texts, but the argument `urgent` is true or false.",
        ),
        (
            grant(arguments={"where": Constraint(one_of=("true",))}),
            "`one_of` is for text or a list of texts, but the argument `where` is an object.",
        ),
        (grant(approval="acmee/leads"), "There is no tenant `acmee`; did you mean `acme`?"),
    ],
)
def test_what_is_wrong_with_a_grant_is_said_at_its_line_in_its_words(wrong: Grant, sentence: str) -> None:
    with pytest.raises(PolicyInvalid) as invalid:
        compiled(wrong)
    assert str(invalid.value) == f"grants/a.yaml:10: grant:a/1: {sentence}"


def test_a_written_rule_cannot_take_the_id_of_a_grant() -> None:
    with pytest.raises(PolicyInvalid, match="are those of grants"):
        compiled(rules='@id("grant:a/1") permit (principal, action in Action::"read", resource);')


def test_the_digest_covers_grants() -> None:
    digests = {compiled(*grants).digest for grants in ((), (grant(),), (ENDING,), (grant(), grant(number=2)))}
    assert len(digests) == 4
    assert compile_policy({}, (NOTES,)).digest == compile_policy({}, (NOTES,), ()).digest


@given(text=st.text(min_size=1, max_size=8), other=st.text(max_size=8))
def test_no_text_of_a_grant_ends_the_literal_it_stands_in(text: str, other: str) -> None:
    one = compiled(grant(Grantee(group=f"acme/{text}"), arguments={"to": Constraint(one_of=(text,)), "path": Constraint(prefix=(text,))}))
    ref, arguments = one.tool("mail", "send"), {"to": text, "path": text + other}
    assert one.decide(caller("ada", text), ref, arguments, "p").permitted
    assert one.decide(caller("ada", text), ref, {**arguments, "to": other}, "p").permitted is (other == text)
    assert one.decide(caller("ada", text), ref, {**arguments, "path": other}, "p").permitted is other.startswith(text)
    assert not one.decide(caller("ada", f"{text}!"), ref, arguments, "p").permitted
