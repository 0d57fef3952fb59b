"""One yes is for one call, by somebody else, once."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.approval import (
    ApprovalRequest,
    Asked,
    BoundCall,
    FloodLimits,
    Standing,
    argument_digest,
    asked,
    consumed,
    decided,
    groups_of,
    in_order,
    request_for,
    settled,
)
from customhouse.core.identity import Caller
from customhouse.core.refusal import Reason, Refused
from tests.core.policy_world import caller

ALICE, BOB = caller("alice", "support"), caller("bob", "finance")
SECURITY, BOTH = caller("carl", "security"), caller("dora", "finance", "security")
ARGUMENTS: dict[str, Any] = {"to": "a@example.org", "amount": 5}
CHAIN = "c" * 32


def everybody(_approver: str, _group: str) -> bool:
    return True


def call(*groups: str, **other: str) -> BoundCall:
    fixed = {
        "tenant": "acme",
        "principal": ALICE.principal,
        "endpoint": "/mcp",
        "method": "tools/call",
        "server": "billing",
        "name": "refund",
        "pin_digest": "sha256:pin",
        "argument_digest": argument_digest(ARGUMENTS),
    }
    return BoundCall(**(fixed | other), groups=groups or ("finance",))


def request(*groups: str, who: Caller = ALICE, effect: str = "write", arguments: dict[str, Any] | None = None) -> ApprovalRequest:
    return request_for(call(*groups), who, arguments or ARGUMENTS, effect, ("r1",), "a" * 32, 1000.0, 900.0)


def yes(asking: ApprovalRequest, who: Caller = BOB, now: float = 1010.0, **more: Any) -> ApprovalRequest:
    return decided(asking, who, True, now, **more)


def refusal(asking: ApprovalRequest, who: Caller, approves: bool = True, now: float = 1010.0, **more: Any) -> Reason:
    with pytest.raises(Refused) as refused:
        decided(asking, who, approves, now, **more)
    return refused.value.reason


def unusable(asking: ApprovalRequest, wanted: BoundCall | None = None, **more: Any) -> str:
    given_: dict[str, Any] = {"chain": CHAIN, "round_number": 0, "now": 1020.0, "still_approver": everybody} | more
    with pytest.raises(Refused) as refused:
        consumed(asking, wanted or asking.call, **given_)
    assert refused.value.reason is Reason.APPROVAL_NEEDED
    return refused.value.note


# Who may say what


def test_somebody_else_of_the_group_approves_and_the_yes_is_good_for_as_long_again() -> None:
    approved = yes(request())
    assert (approved.standing, approved.decided_by, approved.approved_by) == (Standing.APPROVED, "acme/bob", ("acme/bob",))
    assert (approved.expires_at, approved.decided_at) == (1910.0, 1010.0)


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        (caller("alice", "finance"), Reason.SELF_APPROVAL),
        (msgspec.structs.replace(caller("alice", "finance"), client="another", principal="p2"), Reason.SELF_APPROVAL),
        (caller("carl"), Reason.NOT_AN_APPROVER),
        (caller("eve", "finance", tenant="other"), Reason.NOTHING_OF_THAT_NAME),
        (msgspec.structs.replace(BOB, person="", workload="bot"), Reason.NOT_AN_APPROVER),
        (msgspec.structs.replace(BOB, workload="bot"), Reason.NOT_AN_APPROVER),
    ],
)
def test_the_requester_strangers_programs_and_other_tenants_decide_nothing(who: Caller, reason: Reason) -> None:
    assert refusal(request(), who) is reason
    assert refusal(request(), who, approves=False) is reason


def test_a_program_that_acts_for_somebody_is_that_somebody() -> None:
    through = msgspec.structs.replace(ALICE, workload="agent", principal="p2")
    assert refusal(request(who=through), caller("alice", "finance")) is Reason.SELF_APPROVAL


def test_nothing_is_decided_twice_or_too_late() -> None:
    assert refusal(yes(request()), BOTH) is Reason.APPROVAL_OVER
    assert refusal(decided(request(), BOB, False, 1010.0), BOTH) is Reason.APPROVAL_OVER
    assert refusal(request(), BOB, now=1900.0) is Reason.APPROVAL_OVER


def test_each_group_has_to_agree_and_one_no_is_enough() -> None:
    asking = request("finance", "security")
    half = yes(asking)
    assert (half.standing, half.missing, half.decided_by) == (Standing.WAITING, ("security",), "")
    assert yes(half, SECURITY).approved_by == ("acme/bob", "acme/carl")
    assert yes(asking, BOTH).standing is Standing.APPROVED
    denied = decided(half, SECURITY, False, 1010.0, note="not this customer")
    assert (denied.standing, denied.decided_by) == (Standing.DENIED, "acme/carl")
    assert yes(yes(half), SECURITY).approved_by == ("acme/bob", "acme/carl")


def test_a_yes_to_a_destructive_call_needs_a_reason() -> None:
    assert refusal(request(effect="destructive"), BOB, note="  ") is Reason.REASON_MISSING
    assert yes(request(effect="destructive"), note="agreed with the customer").standing is Standing.APPROVED
    assert decided(request(effect="destructive"), BOB, False, 1010.0).standing is Standing.DENIED


def test_a_yes_to_what_is_not_shown_whole_has_to_say_so() -> None:
    long = request(arguments={"body": "x" * 5_000})
    assert refusal(long, BOB) is Reason.ARGUMENTS_CUT
    assert yes(long, sees_cut=True).standing is Standing.APPROVED
    assert decided(long, BOB, False, 1010.0).standing is Standing.DENIED


# What a yes is good for


def test_the_very_call_uses_it_once() -> None:
    used = consumed(yes(request()), call(), CHAIN, 0, 1020.0, everybody)
    assert (used.standing, used.chain) == (Standing.USED, CHAIN)
    assert "used" in unusable(used)


@pytest.mark.parametrize("field", [name for name in msgspec.structs.asdict(call()) if name != "groups"])
def test_one_changed_fact_is_another_call(field: str) -> None:
    other = call(**{field: "another"})
    assert other.fingerprint != call().fingerprint
    assert "another call" in unusable(yes(request()), other)


def test_a_rule_that_asks_another_group_now_is_not_satisfied() -> None:
    assert call("finance", "security").fingerprint != call().fingerprint
    assert "another call" in unusable(yes(request()), call("finance", "security"))


@pytest.mark.parametrize("standing", [one for one in Standing if one is not Standing.APPROVED])
def test_only_an_approved_one_can_be_used(standing: Standing) -> None:
    assert unusable(msgspec.structs.replace(yes(request()), standing=standing))


def test_an_expired_one_and_one_of_a_revoked_approver_cannot_be_used() -> None:
    assert "expired" in unusable(yes(request()), now=1910.0)
    assert "may not approve" in unusable(yes(request()), still_approver=lambda who, group: (who, group) != ("acme/bob", "finance"))


def test_the_rounds_of_one_chain_pass_once_each_and_no_other_chain() -> None:
    used = consumed(yes(request()), call(), CHAIN, 0, 1020.0, everybody)
    second = consumed(used, call(), CHAIN, 1, 5000.0, everybody)
    assert "before" in unusable(second, round_number=1)
    assert "another call used it" in unusable(second, chain="d" * 32, round_number=2)
    assert unusable(second, round_number=2, still_approver=lambda _who, _group: False)
    assert consumed(second, call(), CHAIN, 2, 5000.0, everybody).round == 2


def test_what_stands_changes_with_time_and_with_who_may_approve() -> None:
    assert settled(request(), 1899.0, everybody).standing is Standing.WAITING
    assert settled(request(), 1900.0, everybody).standing is Standing.EXPIRED
    assert settled(yes(request()), 1020.0, lambda _who, _group: False).standing is Standing.EXPIRED
    used = consumed(yes(request()), call(), CHAIN, 0, 1020.0, everybody)
    assert settled(used, 9e9, everybody) is used


# How much is asked

LIMITS = FloodLimits(2, 3, 4, 10)


def other(
    requester: str = "acme/alice", at: float = 999.0, waits: bool = True, groups: tuple[str, ...] = ("finance",), tenant: str = "acme"
) -> Asked:
    return Asked(tenant, requester, groups, at, waits)


@pytest.mark.parametrize(
    ("others", "scope"),
    [
        ([other()], ""),
        ([other(), other()], "caller"),
        ([other("acme/bob"), other("acme/bob"), other("acme/carl")], "group"),
        ([other("acme/bob", groups=("x",))] * 9, ""),
        ([other("acme/alice", tenant="other")] * 9, ""),
        ([other(waits=False)] * 4, "callerPerHour"),
        ([other(waits=False, at=1000.0 - 3600.0)] * 4, ""),
    ],
)
def test_a_flood_is_refused_and_nobody_else_pays_for_it(others: list[Asked], scope: str) -> None:
    if not scope:
        assert asked(request(), None, others, LIMITS) == request()
        return
    with pytest.raises(Refused) as refused:
        asked(request(), None, others, LIMITS)
    assert (refused.value.reason, refused.value.detail["scope"]) == (Reason.TOO_MANY_APPROVALS, scope)


@pytest.mark.parametrize("standing", [Standing.WAITING, Standing.APPROVED, Standing.DENIED])
def test_an_equal_call_is_no_second_question(standing: Standing) -> None:
    live = msgspec.structs.replace(request(), id="b" * 32, standing=standing)
    assert asked(request(), live, [other()] * 9, LIMITS) is live


@pytest.mark.parametrize("standing", [Standing.USED, Standing.EXPIRED])
def test_what_is_over_is_asked_anew(standing: Standing) -> None:
    over = msgspec.structs.replace(request(), id="b" * 32, standing=standing)
    assert asked(request(), over, [], LIMITS).id == "a" * 32


# Words


def test_groups_are_those_of_the_tenant() -> None:
    assert groups_of("acme/security,finance,acme/finance", "acme") == ("finance", "security")
    with pytest.raises(Refused) as refused:
        groups_of("other/finance", "acme")
    assert refused.value.reason is Reason.POLICY_BROKE


def test_a_title_quotes_every_name_and_shows_what_hides_in_it() -> None:
    spoofed = msgspec.structs.replace(
        request(), call=call(name='refund" (approved by acme/boss)\n\u202e'), requester="acme/al\u200bice", client="ide"
    )
    assert spoofed.title == (
        'write call of "refund\\" (approved by acme/boss)⟨1 x newline⟩⟨U+202E⟩" at server "billing", '
        'asked by "acme/al⟨U+200B⟩ice" through client "ide"'
    )


def test_the_gravest_stands_first() -> None:
    read, write, destructive = request(effect="read"), request(), request(effect="destructive")
    assert in_order([read, write, destructive]) == [destructive, write, read]


JSON = st.dictionaries(st.text(max_size=4), st.integers(-9, 9) | st.text(max_size=4) | st.booleans(), max_size=3)


@given(JSON, JSON)
def test_equal_arguments_have_one_digest_in_any_order_and_others_another(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert argument_digest(dict(reversed(list(one.items())))) == argument_digest(one)
    same = msgspec.json.encode(one, order="sorted") == msgspec.json.encode(two, order="sorted")
    assert (argument_digest(one) == argument_digest(two)) == same
