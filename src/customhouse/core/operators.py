"""Who may do what in the control plane: shipped roles as Cedar rules, given to groups and people per tenant.

Every action of an operator is asked about here, also by those who may do everything. Default deny: without a role there is no action. Only
an admin may cause a program to be started, previews and captures of stdio servers included (CVE-2026-42271).
"""

import enum
import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import cedarpy
import msgspec

from customhouse.core.identity import Caller
from customhouse.core.refusal import Reason, Refused

EVERYWHERE: Final = "*"
"""All tenants, and what belongs to none of them."""


class Role(enum.Enum):
    """What somebody is for."""

    VIEWER = "viewer"
    DEVELOPER = "developer"
    REVIEWER = "reviewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    AUDITOR = "auditor"
    ADMIN = "admin"


class Action(enum.Enum):
    """What can be done through the operators' API."""

    READ = "read"
    PROPOSE = "propose"
    WITHDRAW = "withdraw"
    CAPTURE = "capture"
    REVIEW = "review"
    ACTIVATE = "activate"
    DEPRECATE = "deprecate"
    SUSPEND = "suspend"
    RETIRE = "retire"
    REVOKE = "revoke"
    APPROVE_CALL = "approve-call"
    READ_AUDIT = "read-audit"
    SPAWN = "spawn"
    MANAGE_TENANTS = "manage-tenants"


RULES: Final = """
@id("viewers-read")
permit (principal in Role::"viewer", action == Action::"read", resource);
@id("developers-propose")
permit (principal in Role::"developer", action in [Action::"propose", Action::"withdraw", Action::"capture"], resource);
@id("reviewers-review")
permit (principal in Role::"reviewer", action in [Action::"review", Action::"capture", Action::"approve-call"], resource);
@id("operators-operate")
permit (principal in Role::"operator",
        action in [Action::"activate", Action::"deprecate", Action::"suspend", Action::"retire", Action::"revoke", Action::"capture",
                   Action::"approve-call"],
        resource);
@id("approvers-approve-calls")
permit (principal in Role::"approver", action == Action::"approve-call", resource);
@id("auditors-read-the-audit")
permit (principal in Role::"auditor", action == Action::"read-audit", resource);
@id("admins-do-everything")
permit (principal in Role::"admin", action, resource);
"""
"""The shipped roles. Nobody is given one by this text; whoever has any of them is a viewer as well."""

_POLICY: Final = cedarpy.PolicySet.from_str(RULES)


class Assignment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A role given to groups and people."""

    role: Role
    """What they may do there: viewer, developer, reviewer, operator, approver, auditor or admin."""
    groups: tuple[str, ...] = ()
    """`tenant/group`, as tokens of that tenant name it."""
    people: tuple[str, ...] = ()
    """`tenant/person`, or `tenant/workload/name`."""
    tenants: tuple[str, ...] = ()
    """Where the role counts; empty: in the tenant of whoever has it. `*` is everywhere."""


def named(caller: Caller) -> str:
    """What an operator is called in reviews and in the history: `tenant/person`, or `tenant/workload/name` for a program that acts for
    itself, so that no program is taken for a person of its name.

    Two issuers of one tenant that vouch for the same name vouch for the same person: four eyes are never two accounts of one.
    """
    return f"{caller.tenant}/{caller.person}" if caller.person else f"{caller.tenant}/workload/{caller.workload}"


def roles_of(caller: Caller, tenant: str, assignments: Iterable[Assignment]) -> frozenset[Role]:
    """The roles of a caller that count in a tenant; the empty tenant is the whole deployment, where only roles for everywhere count."""
    own = {named(caller)}
    groups = {f"{caller.tenant}/{group}" for group in caller.groups}
    held = (one for one in assignments if own & set(one.people) or groups & set(one.groups))
    return frozenset(one.role for one in held if _counts(one, caller, tenant))


def check_action(caller: Caller, action: Action, tenant: str, assignments: Iterable[Assignment]) -> None:
    """Raises `Refused` NOT_YOUR_ROLE unless some role of the caller allows the action in the tenant."""
    roles = roles_of(caller, tenant, assignments)
    if not roles or not _permitted(roles, action):
        detail = {"action": action.value, "tenant": tenant, "roles": sorted(role.value for role in roles)}
        raise Refused(Reason.NOT_YOUR_ROLE, detail)


def _counts(assignment: Assignment, caller: Caller, tenant: str) -> bool:
    if EVERYWHERE in assignment.tenants:
        return True
    return bool(tenant) and tenant in (assignment.tenants or (caller.tenant,))


@functools.cache
def _permitted(roles: frozenset[Role], action: Action) -> bool:
    """What the rules say; there are 128 sets of roles by 14 actions at most."""
    entities = [_entity("Operator", "it", [role.value for role in roles]), *(_entity("Role", role.value, _ABOVE[role]) for role in Role)]
    request = {"principal": 'Operator::"it"', "action": f'Action::"{action.value}"', "resource": 'Deployment::"it"', "context": {}}
    return bool(cedarpy.is_authorized(request, _POLICY, json.dumps(entities)).allowed)


_ABOVE: Final[Mapping[Role, list[str]]] = {role: [] if role is Role.VIEWER else [Role.VIEWER.value] for role in Role}


def _entity(kind: str, name: str, roles: Iterable[str]) -> Mapping[str, Any]:
    return {"uid": {"type": kind, "id": name}, "attrs": {}, "parents": [{"type": "Role", "id": role} for role in sorted(roles)]}
