"""A small deployment that the tests of policy share: two tenants, three servers, and callers of every sort."""

from collections.abc import Mapping
from typing import Any

from customhouse.core.identity import Caller, known
from customhouse.core.manifest import Effect
from customhouse.core.policy import ActionRef, Policy, PolicyServer, PolicyTool, compile_policy

SEARCH_SCHEMA = {"type": "object", "properties": {"query": {"type": "string"}, "limit": {"type": "integer"}}, "required": ["query"]}
ADD_SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "count": {"type": "integer"},
        "urgent": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "to": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
    "required": ["title"],
}
NOTES = PolicyServer(
    "notes",
    "acme",
    "team-notes",
    (
        PolicyTool("search", Effect.READ, SEARCH_SCHEMA),
        PolicyTool("add", Effect.WRITE, ADD_SCHEMA),
        PolicyTool("purge", Effect.DESTRUCTIVE, {"type": "object"}),
    ),
    ("daily",),
    ("file:///a",),
)
BILLING = PolicyServer("billing", "acme", "team-money", (PolicyTool("refund", Effect.WRITE, ADD_SCHEMA),))
FOREIGN = PolicyServer("foreign", "other", "somebody", (PolicyTool("search", Effect.READ, SEARCH_SCHEMA),), ("daily",))
SERVERS = (NOTES, BILLING, FOREIGN)


def caller(person: str = "alice", *groups: str, tenant: str = "acme", workload: str = "", scopes: frozenset[str] = frozenset()) -> Caller:
    return known(
        Caller(
            issuer="https://idp.example",
            tenant=tenant,
            person=person,
            workload=workload,
            client="cli",
            groups=tuple(sorted(groups)),
            scopes=scopes,
            expires_at=2e9,
        )
    )


def policy(*rules: str, servers: tuple[PolicyServer, ...] = SERVERS) -> Policy:
    return compile_policy({"rules.cedar": "\n".join(rules)}, servers)


def permitted(one: Policy, who: Caller, ref: ActionRef, arguments: Mapping[str, Any] | None = None, portal: str = "default") -> bool:
    decision = one.decide(who, ref, arguments or {}, portal)
    assert not decision.errors
    return decision.permitted
