"""The desk of people who approve: they see what concerns them, exactly, and nobody sees more."""

from collections.abc import Callable

import pytest

from customhouse.adapters.stores.approvals import MemoryShelves, StoredApprovals
from customhouse.control.approvals import ApprovalDesk, allowed_by, without_roles
from customhouse.core.identity import Caller
from customhouse.core.operators import Assignment, Role
from customhouse.core.refusal import Reason, Refused
from tests.core.policy_world import caller
from tests.gateway.support import Moving
from tests.ports.test_approvals import ALICE, BOB, LIMITS, asking

ROLES = [
    Assignment(role=Role.APPROVER, groups=("acme/finance", "acme/security", "other/finance"), people=("acme/alice",)),
    Assignment(role=Role.OPERATOR, people=("acme/root",)),
]
ROOT = caller("root")
CARL, STRANGER = caller("carl", "security"), caller("eve", "finance", tenant="other")


@pytest.fixture
def desk() -> ApprovalDesk:
    clock = Moving()
    approvals = StoredApprovals(MemoryShelves())
    for number in (1, 2):
        approvals.ask(asking(number, at=clock.now()), LIMITS)
    return ApprovalDesk(approvals, clock, allowed_by(ROLES))


def refused(act: Callable[[], object]) -> Reason:
    with pytest.raises(Refused) as found:
        act()
    return found.value.reason


def test_what_waits_is_listed_for_the_groups_that_are_asked_alone(desk: ApprovalDesk) -> None:
    assert [one.arguments for one in desk.waiting(BOB)] == [("/amount: 1",), ("/amount: 2",)]
    assert desk.waiting(CARL) == desk.waiting(ALICE) == desk.waiting(STRANGER) == ()


@pytest.mark.parametrize(("who", "sees"), [(BOB, True), (ALICE, True), (CARL, False), (STRANGER, False)])
def test_a_call_is_shown_to_approvers_and_to_its_requester(desk: ApprovalDesk, who: Caller, sees: bool) -> None:
    if sees:
        assert desk.show(asking().id, who).title.startswith('write call of "refund" at server "billing"')
    else:
        assert refused(lambda: desk.show(asking().id, who)) is Reason.NOTHING_OF_THAT_NAME
        assert refused(lambda: desk.decide(asking().id, who, True)) is Reason.NOTHING_OF_THAT_NAME


def test_a_verdict_is_shown_with_who_gave_it_and_why(desk: ApprovalDesk) -> None:
    said = desk.decide(asking().id, BOB, True, note="  fine ")
    assert (said.standing, said.missing, said.verdicts[0].note) == ("approved", (), "fine")
    assert refused(lambda: desk.decide(asking(2).id, ALICE, True)) is Reason.SELF_APPROVAL
    assert desk.decide(asking(2).id, BOB, False).standing == "denied"


def test_a_right_is_revoked_and_restored_by_who_may(desk: ApprovalDesk) -> None:
    assert refused(lambda: desk.revoke("acme/bob", BOB)) is Reason.NOT_YOUR_ROLE
    assert refused(lambda: desk.revoke("other/eve", ROOT)) is Reason.NOT_YOUR_ROLE
    desk.revoke("acme/bob", ROOT)
    assert refused(lambda: desk.decide(asking().id, BOB, True)) is Reason.NOT_AN_APPROVER
    desk.restore("acme/bob", ROOT)
    assert desk.decide(asking().id, BOB, True).standing == "approved"


def test_whose_right_was_taken_away_does_not_give_it_back_to_themselves(desk: ApprovalDesk) -> None:
    desk.revoke("acme/root", ROOT)
    assert refused(lambda: desk.restore("acme/root", ROOT)) is Reason.NOT_YOUR_ROLE


def test_a_group_without_a_role_and_a_role_without_the_group_decide_nothing(desk: ApprovalDesk) -> None:
    roleless = ApprovalDesk(desk.approvals, desk.clock, allowed_by([]))
    assert refused(lambda: roleless.decide(asking().id, BOB, True)) is Reason.NOT_YOUR_ROLE
    assert refused(lambda: roleless.waiting(BOB)) is Reason.NOT_YOUR_ROLE
    assert refused(lambda: desk.decide(asking().id, ROOT, True)) is Reason.NOTHING_OF_THAT_NAME


def test_where_there_are_no_roles_the_group_decides_and_nobody_revokes(desk: ApprovalDesk) -> None:
    alone = ApprovalDesk(desk.approvals, desk.clock, without_roles)
    assert alone.decide(asking().id, BOB, True).standing == "approved"
    assert refused(lambda: alone.revoke("acme/bob", BOB)) is Reason.NOT_YOUR_ROLE
