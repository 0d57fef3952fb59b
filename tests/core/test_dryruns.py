"""Rules of dry runs: they change no decision, and what they would have changed is said."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from customhouse.core.policy import AFTER_ALL, PolicyInvalid, compile_policy
from customhouse.core.policyreach import who_can
from tests.core.policy_world import SERVERS, caller, policy
from tests.core.test_policy_laws import CALLERS, CALLS, HEADS, loads, refs_of, written

Heads = list[tuple[bool, Sequence[str]]]
DECIDES = '@id("reads") permit (principal, action in Action::"read", resource in Server::"notes");'
TRIES = '@id("no-ops") forbid (principal in Group::"acme/ops", action, resource);'


@settings(max_examples=25, deadline=None)
@given(now=st.lists(st.tuples(st.booleans(), HEADS), max_size=5), tried=st.lists(st.tuples(st.booleans(), HEADS), min_size=1, max_size=4))
def test_a_dry_run_decides_nothing_and_says_how_the_whole_set_would_differ(now: Heads, tried: Heads) -> None:
    def text(heads: Heads, start: int) -> str:
        rules = [written(start + index, permits, head) for index, (permits, head) in enumerate(heads)]
        return "\n".join(rule for rule in rules if loads(rule))

    deciding, trying = text(now, 0), text(tried, 100)
    dry = compile_policy({"a.cedar": deciding, "b.dryrun.cedar": trying}, SERVERS)
    plain, whole = compile_policy({"a.cedar": deciding}, SERVERS), compile_policy({"a.cedar": deciding, "b.cedar": trying}, SERVERS)
    for who in CALLERS:
        for one, before, after in zip(*(refs_of(each) for each in (dry, plain, whole)), strict=True):
            for arguments in CALLS[:2]:
                decided = dry.decide(who, one, arguments, "default")
                assert decided == plain.decide(who, before, arguments, "default")
                assert dry.visible(who, one) == plain.visible(who, before)
                told = dry.would(who, one, arguments, "default", AFTER_ALL, decided)
                assert bool(told) is (whole.decide(who, after, arguments, "default").permitted is not decided.permitted)


@pytest.mark.parametrize(("groups", "would"), [(("ops",), "deny:no-ops"), (("eng",), "")])
def test_an_explanation_says_what_a_dry_run_would_decide(groups: tuple[str, ...], would: str) -> None:
    one = compile_policy({"a.cedar": DECIDES, "b.dryrun.cedar": TRIES}, SERVERS)
    told = one.explain(caller("ada", *groups), one.tool("notes", "search"), {"query": "x"}, "p")
    assert (told.decision.permitted, told.would) == (True, would)
    assert [who.reach.unless for who in who_can(one, one.tool("notes", "search"))] == [()]


def test_a_rule_of_a_dry_run_is_validated_and_needs_an_id_of_its_own() -> None:
    sources: Mapping[str, Any] = {"a.cedar": DECIDES, "b.dryrun.cedar": DECIDES}
    with pytest.raises(PolicyInvalid, match=r"b.dryrun.cedar:1: reads: The id is taken"):
        compile_policy(sources, SERVERS)


def test_without_dry_runs_nothing_is_kept_beside() -> None:
    assert policy(DECIDES).beside is None
