"""Replay: recorded calls under other policies, and what cannot be replayed."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from customhouse.core.identity import Caller
from customhouse.core.policy import compile_policy
from customhouse.core.policygrants import Constraint, Grant, Granted, Grantee
from customhouse.core.policyreplay import ARGUMENTS, GONE, GROUPS, Replayed, is_decided, replayed
from customhouse.core.record import Record
from tests.core.policy_world import SERVERS, policy
from tests.core.test_policy_laws import CALLERS, CALLS, HEADS, compiled, refs_of

READS = '@id("reads") permit (principal in Group::"acme/eng", action in Action::"read", resource in Server::"notes")'


def record(**more: Any) -> Record:
    facts: dict[str, Any] = {
        "kind": "closing",
        "at": 1_000.0,
        "endpoint": "/mcp",
        "method": "tools/call",
        "tenant": "acme",
        "person": "ada",
        "client": "cli",
        "groups": ("eng",),
        "server": "notes",
        "name": "search",
        "decision": "permit",
        "outcome": "answered",
    }
    return Record(**facts | more)


@pytest.mark.parametrize(
    ("rule", "more", "expected"),
    [
        (f"{READS};", {}, Replayed("permit", "permit", ("reads",))),
        ("", {}, Replayed("permit", "deny")),
        ("", {"decision": "deny"}, Replayed("deny", "deny")),
        ("", {"decision": "ask"}, Replayed("ask", "deny")),
        (f"{READS};", {"decision": "deny", "outcome": "INSUFFICIENT_SCOPE"}, Replayed("permit", "permit", ("reads",))),
        (f'@approval("leads") {READS};', {}, Replayed("permit", "ask", ("reads",))),
        (f'{READS} when {{ context.portal == "default" }};', {}, Replayed("permit", "permit", ("reads",))),
        (f'{READS} when {{ context.portal == "default" }};', {"endpoint": "/mcp/sse"}, Replayed("permit", "permit", ("reads",))),
        (f'{READS} when {{ context.portal == "default" }};', {"endpoint": "/mcp/lab"}, Replayed("permit", "deny")),
        (f'{READS} when {{ context.portal == "lab" }};', {"endpoint": "/mcp/lab/messages"}, Replayed("permit", "permit", ("reads",))),
        (f'{READS} when {{ context.portal == "" }};', {"endpoint": "/servers/notes/mcp"}, Replayed("permit", "permit", ("reads",))),
        (f"{READS} when {{ context.now <= 999 }};", {"took_us": 2_000_000}, Replayed("permit", "permit", ("reads",))),
        (f'{READS} when {{ principal.scopes.contains("x") }};', {}, Replayed("permit", "", why=ARGUMENTS)),
        (f"{READS} when {{ context has arguments && context.arguments has title }};", {}, Replayed("permit", "", why=ARGUMENTS)),
        (f"{READS};", {"groups_left_out": 1}, Replayed("permit", "", why=GROUPS)),
        (f"{READS};", {"name": "gone"}, Replayed("permit", "", why=GONE)),
        (f"{READS};", {"method": "prompts/get", "name": "daily"}, Replayed("permit", "permit", ("reads",))),
        (f"{READS};", {"method": "resources/read", "name": "file:///b"}, Replayed("permit", "permit", ("reads",))),
        (f"{READS};", {"method": "completion/complete", "name": "daily"}, Replayed("permit", "permit", ("reads",))),
        (f"{READS};", {"method": "completion/complete", "name": "file:///{x}"}, Replayed("permit", "permit", ("reads",))),
    ],
)
def test_a_recorded_call_is_decided_by_what_was_kept_of_it(rule: str, more: Mapping[str, Any], expected: Replayed) -> None:
    result = replayed(policy(rule), record(**more))
    assert result == expected
    assert result.differs is (expected.would_be not in ("", expected.was))


def test_a_call_is_replayed_at_the_moment_it_was_made() -> None:
    grant = Grant(file="g", line=1, id="grant:g/1", to=Grantee(group="acme/eng"), on=Granted(tool="notes/search"), until=1_000)
    one = compile_policy({}, SERVERS, (grant,))
    assert replayed(one, record(at=999.0)).would_be == "permit"
    assert replayed(one, record(at=1_000.0)).would_be == "deny"


def test_a_grant_that_limits_arguments_says_not_replayable() -> None:
    grant = Grant(
        file="g",
        line=1,
        id="grant:g/1",
        to=Grantee(group="acme/eng"),
        on=Granted(tool="notes/search"),
        arguments={"query": Constraint(one_of=("a",))},
    )
    assert replayed(compile_policy({}, SERVERS, (grant,)), record()).why == ARGUMENTS


@pytest.mark.parametrize("more", [{"kind": "intent"}, {"decision": ""}, {"server": ""}, {"kind": "errand"}])
def test_only_calls_about_which_policies_decided_are_replayed(more: dict[str, Any]) -> None:
    assert is_decided(record())
    assert not is_decided(record(**more))


@settings(max_examples=40, deadline=None)
@given(heads=st.lists(st.tuples(st.booleans(), HEADS), max_size=10), who=st.sampled_from(CALLERS), portal=st.sampled_from(["default", "x"]))
def test_what_is_foretold_is_what_is_decided_whatever_the_arguments(
    heads: list[tuple[bool, Sequence[str]]], who: Caller, portal: str
) -> None:
    one, _ = compiled(heads)
    for ref in refs_of(one):
        told = one.forecast(who, ref, portal, 5.0)
        for arguments in CALLS:
            decided = one.decide(who, ref, arguments, portal, 5.0)
            assert told is None or decided.errors or (told.permitted, told.approval) == (decided.permitted, decided.approval)
