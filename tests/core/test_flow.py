"""What a conversation has read, as values; and the rule over it that the manual offers."""

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.flow import CLEAN, CONFIDENTIAL, NOTHING_READ, PRIVATE, UNTRUSTED, Tainted, from_words, taint_of, words_of
from customhouse.core.manifest import Content, Data, Effect, ToolReview
from customhouse.core.policy import Policy, PolicyServer, PolicyTool, compile_policy
from tests.core.policy_world import caller

TAINTS = st.integers(0, 7)
TIMES = st.floats(0, 1e6)


@pytest.mark.parametrize(
    ("data", "content", "taint"),
    [
        ("public", "trusted", CLEAN),
        ("public", "untrusted", UNTRUSTED),
        ("internal", "trusted", PRIVATE),
        ("internal", "untrusted", PRIVATE | UNTRUSTED),
        ("confidential", "trusted", PRIVATE | CONFIDENTIAL),
        ("confidential", "untrusted", PRIVATE | CONFIDENTIAL | UNTRUSTED),
    ],
)
def test_what_is_read_follows_from_the_review(data: Data, content: Content, taint: int) -> None:
    assert taint_of(ToolReview(Effect.READ, data=data, content=content)) == taint
    assert from_words(words_of(taint)) == taint


def test_a_tool_that_nobody_looked_at_closer_reads_everything_but_the_confidential() -> None:
    assert words_of(taint_of(ToolReview(Effect.READ))) == ("untrusted", "private")


@given(TAINTS, TAINTS, TIMES, TIMES, TIMES)
def test_what_was_read_counts_until_its_time_and_reading_never_shortens_it(
    one: int, other: int, first: float, second: float, now: float
) -> None:
    both = NOTHING_READ.until(one, first).until(other, second)
    assert both.at(now) == (one if now < first else 0) | (other if now < second else 0)
    assert both == NOTHING_READ.until(one, first) | NOTHING_READ.until(other, second)


@given(st.builds(Tainted, TIMES, TIMES, TIMES))
def test_nothing_is_left_at_its_end(tainted: Tainted) -> None:
    assert tainted.at(tainted.ends) == CLEAN


# --- The rule that the manual offers -------------------------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs" / "manual" / "screening.md"
SERVER = PolicyServer(
    "mail",
    "acme",
    "team-mail",
    (
        PolicyTool("read_page", Effect.READ, {"type": "object"}, data="public"),
        PolicyTool("read_mail", Effect.READ, {"type": "object"}, data="confidential"),
        PolicyTool("fetch", Effect.READ, {"type": "object"}, data="public", sink=True),
        PolicyTool("send", Effect.WRITE, {"type": "object"}),
        PolicyTool("archive", Effect.WRITE, {"type": "object"}, sink=False),
    ),
    ("about", "daily"),
    ("mail://inbox",),
    frozenset({"about"}),
)
GRANT = '@id("all") permit (principal, action in [Action::"read", Action::"write"], resource in Server::"mail");'


def trifecta() -> Policy:
    (rule,) = re.findall(r'^```cedar\n(@id\("trifecta"\).*?)^```$', PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return compile_policy({"trifecta.cedar": rule, "grant.cedar": GRANT}, (SERVER,))


@pytest.mark.parametrize("tool", ["read_page", "read_mail", "fetch", "send", "archive"])
@pytest.mark.parametrize("taint", range(8))
def test_the_trifecta_is_denied_and_nothing_else(tool: str, taint: int) -> None:
    policy = trifecta()
    decision = policy.decide(caller("ada"), policy.tool("mail", tool), {}, "default", taint=taint)
    denied = tool in {"fetch", "send"} and taint & UNTRUSTED and taint & PRIVATE
    assert decision.permitted is not bool(denied)
    assert not decision.errors
    assert decision.reasons == (("trifecta",) if denied else ("all",))


def test_what_it_denies_now_is_listed_since_another_conversation_may_call_it() -> None:
    policy = trifecta()
    assert policy.visible(caller("ada"), policy.tool("mail", "send"))


def test_a_replay_cannot_tell_what_rests_on_what_was_read() -> None:
    policy = trifecta()
    assert policy.forecast(caller("ada"), policy.tool("mail", "send"), "default", 5.0) is None
    told = policy.forecast(caller("ada"), policy.tool("mail", "archive"), "default", 5.0)
    assert told is not None
    assert told.permitted


def test_a_prompt_or_resource_is_a_sink_where_the_caller_writes_something() -> None:
    policy = trifecta()
    still, about = policy.prompt("mail", "daily"), policy.prompt("mail", "about")
    listed, templated = policy.resource("mail", "mail://inbox"), policy.resource("mail", "mail://by/ada")
    permitted = {
        ref: policy.decide(caller("ada"), ref, {}, "default", taint=7).permitted
        for ref in (still, about, listed, templated, policy.sending(still), policy.sending(listed))
    }
    assert [ref for ref, yes in permitted.items() if yes] == [still, listed]
    assert policy.sending(about) is about
    assert policy.sending(still) is policy.sending(still)
    assert policy.decide(caller("ada"), policy.sending(still), {}, "default").permitted


def test_a_prompt_that_gains_arguments_moves_the_digest() -> None:
    without = msgspec.structs.replace(SERVER, prompts_with_arguments=frozenset())
    assert compile_policy({}, (SERVER,)).digest != compile_policy({}, (without,)).digest


def test_a_decision_that_reads_no_context_is_kept_whatever_was_read() -> None:
    policy = compile_policy({"grant.cedar": GRANT}, (SERVER,))
    ref = policy.tool("mail", "send")
    assert policy.decide(caller("ada"), ref, {}, "a", taint=7) is policy.decide(caller("ada"), ref, {}, "b")
