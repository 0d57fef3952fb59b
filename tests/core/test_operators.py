"""Roles allow what their rules say, where they count, and nobody has one by default."""

import itertools

import pytest

from customhouse.core.identity import Caller, known
from customhouse.core.operators import Action, Assignment, Role, check_action, named, roles_of
from customhouse.core.refusal import Reason, Refused

TABLE = {
    Role.VIEWER: {Action.READ},
    Role.DEVELOPER: {Action.READ, Action.PROPOSE, Action.WITHDRAW, Action.CAPTURE},
    Role.REVIEWER: {Action.READ, Action.REVIEW, Action.CAPTURE, Action.APPROVE_CALL},
    Role.OPERATOR: {
        *(Action.READ, Action.ACTIVATE, Action.DEPRECATE, Action.SUSPEND, Action.RETIRE, Action.REVOKE, Action.CAPTURE, Action.APPROVE_CALL)
    },
    Role.APPROVER: {Action.READ, Action.APPROVE_CALL},
    Role.AUDITOR: {Action.READ, Action.READ_AUDIT},
    Role.ADMIN: set(Action),
}


def caller(person: str = "ann", *groups: str, tenant: str = "local", workload: str = "") -> Caller:
    return known(Caller(issuer="i", tenant=tenant, person=person, workload=workload, client="c", groups=groups, expires_at=1.0))


def allowed(one: Caller, action: Action, tenant: str, *assignments: Assignment) -> bool:
    try:
        check_action(one, action, tenant, assignments)
    except Refused as refused:
        return refused.reason is not Reason.NOT_YOUR_ROLE
    return True


@pytest.mark.parametrize(("role", "action"), list(itertools.product(Role, Action)))
def test_a_role_allows_what_the_table_says_and_nothing_else(role: Role, action: Action) -> None:
    assert allowed(caller(), action, "local", Assignment(role=role, people=("local/ann",))) == (action in TABLE[role])


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(Role, 2)))
def test_two_roles_allow_what_either_allows(one: Role, other: Role) -> None:
    both = [Assignment(role=role, people=("local/ann",)) for role in (one, other)]
    assert {action for action in Action if allowed(caller(), action, "local", *both)} == TABLE[one] | TABLE[other]


@pytest.mark.parametrize("action", Action)
def test_nobody_has_a_role_by_default(action: Action) -> None:
    assert not allowed(caller(), action, "local")
    assert not allowed(caller(), action, "local", Assignment(role=Role.ADMIN))


@pytest.mark.parametrize(
    ("tenants", "local", "abroad", "deployment"),
    [((), True, False, False), (("local",), True, False, False), (("abroad",), False, True, False), (("*",), True, True, True)],
)
def test_a_role_counts_where_it_was_given(tenants: tuple[str, ...], *, local: bool, abroad: bool, deployment: bool) -> None:
    given = [Assignment(role=Role.VIEWER, groups=("local/eng",), tenants=tenants)]
    found = [bool(roles_of(caller("ann", "eng"), tenant, given)) for tenant in ("local", "abroad", "")]
    assert found == [local, abroad, deployment]


def test_a_group_of_another_tenant_with_the_same_name_is_another_group() -> None:
    assert not allowed(caller("ann", "eng", tenant="abroad"), Action.READ, "local", Assignment(role=Role.ADMIN, groups=("local/eng",)))
    assert not allowed(caller("ann", tenant="abroad"), Action.READ, "abroad", Assignment(role=Role.ADMIN, people=("local/ann",)))


def test_an_operator_is_named_by_tenant_and_person_whatever_issuer_vouches() -> None:
    assert named(caller("ann")) == "local/ann"
    assert named(caller("", workload="ci")) == "local/workload/ci"


def test_a_program_named_like_a_person_has_no_role_of_that_person() -> None:
    given = Assignment(role=Role.ADMIN, people=("local/root", "local/workload/ci"))
    assert allowed(caller("root"), Action.SPAWN, "local", given)
    assert not allowed(caller("", workload="root"), Action.SPAWN, "local", given)
    assert allowed(caller("", workload="ci"), Action.SPAWN, "local", given)
