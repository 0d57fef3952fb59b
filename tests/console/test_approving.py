"""The rows of the operators' API for calls that wait for a person."""

from typing import Any

import msgspec
import pytest

from customhouse.adapters.stores.approvals import MemoryShelves, StoredApprovals
from customhouse.console.approving import ApproverNamed, CallVerdict, approval_operations
from customhouse.console.routes import PARAMETERS, Asked
from customhouse.control.approvals import ApprovalDesk, allowed_by
from customhouse.core.identity import Caller
from customhouse.core.operators import Assignment, Role
from customhouse.core.refusal import Reason, Refused
from tests.core.policy_world import caller
from tests.gateway.support import Moving
from tests.ports.test_approvals import BOB, LIMITS, asking

ROLES = [Assignment(role=Role.APPROVER, groups=("acme/finance",)), Assignment(role=Role.ADMIN, people=("acme/root",))]
ROOT = caller("root")


class Door:
    """The operations over a store in memory, with one request in it."""

    def __init__(self) -> None:
        clock, store = Moving(), StoredApprovals(MemoryShelves())
        store.ask(asking(at=clock.now()), LIMITS)
        self.rows = {row.name: row for row in approval_operations(ApprovalDesk(store, clock, allowed_by(ROLES)))}

    def carry(self, name: str, who: Caller = BOB, body: Any = None, **path: Any) -> Any:
        """The answer as it goes over the wire."""
        return msgspec.json.decode(msgspec.json.encode(self.rows[name].carry(Asked(who, path, {}, body))))


@pytest.fixture
def door() -> Door:
    return Door()


def test_what_waits_is_listed_shown_and_decided(door: Door) -> None:
    (waiting,) = door.carry("listApprovals")["approvals"]
    assert waiting == door.carry("showApproval", approval=asking().id)
    assert (waiting["arguments"], waiting["argumentDigest"][:7], waiting["missing"]) == (["/amount: 1"], "sha256:", ["finance"])
    decided = door.carry("decideApproval", body=CallVerdict(approves=True, note="fine"), approval=asking().id)
    assert (decided["standing"], decided["verdicts"][0]["approver"], decided["missing"]) == ("approved", "acme/bob", [])
    assert door.carry("listApprovals")["approvals"] == []


def test_a_right_is_taken_away_and_given_back(door: Door) -> None:
    named = ApproverNamed(approver="acme/bob")
    assert door.carry("revokeApprover", ROOT, named) == {"approver": "acme/bob", "mayApprove": False}
    with pytest.raises(Refused) as refused:
        door.carry("decideApproval", body=CallVerdict(approves=True), approval=asking().id)
    assert refused.value.reason is Reason.NOT_AN_APPROVER
    assert door.carry("restoreApprover", ROOT, named) == {"approver": "acme/bob", "mayApprove": True}
    assert door.carry("decideApproval", body=CallVerdict(approves=False), approval=asking().id)["standing"] == "denied"


def test_everything_but_a_look_is_written_down_before_it_is_done(door: Door) -> None:
    assert {name for name, row in door.rows.items() if not row.changes_things} == {"listApprovals", "showApproval"}


@pytest.mark.parametrize("text", ["", "x", "A" * 32, "0" * 31, "0" * 33, "../" + "0" * 29])
def test_an_id_is_32_digits(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, PARAMETERS["approval"])


@pytest.mark.parametrize("text", ["", "bob", "/bob", "acme/", "acme/ bob", "ac me/bob"])
def test_somebody_is_named_by_tenant_and_person(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"approver": text}, ApproverNamed)
