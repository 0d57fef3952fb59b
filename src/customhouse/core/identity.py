"""Who is calling: an authenticated principal, never anonymous, never a bare token.

Absence is never privilege: no function of the gateway takes an optional caller.
"""

import hashlib

import msgspec


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated principal, as its issuer vouched for it."""

    issuer: str
    """`iss` of the token: the issuer that vouched."""
    tenant: str
    """The tenant that the issuer is mapped to; never taken from a claim that the mapping does not list."""
    person: str
    """The human on whose behalf the call is made; empty for a workload that acts for itself."""
    workload: str
    """The program that acts; empty where the token names a person only. At least one of the two is present."""
    client: str
    """The OAuth client the token was issued to."""
    groups: tuple[str, ...] = ()
    """Groups of the person or workload inside the tenant, sorted."""
    scopes: frozenset[str] = frozenset()
    """OAuth scopes of the token."""
    token_id: str = ""
    """`jti` of the token, or empty."""
    expires_at: float
    """Unix seconds; the token is not accepted later than this."""
    context_digest: str = ""
    """The authorisation context: SHA-256 over everything a decision may depend on. Filled by `known`."""
    principal: str = ""
    """Who it is, whatever they may do: SHA-256 over issuer, tenant, person, workload and client. The same under a token with other groups
    or scopes, as after a step-up. Filled by `known`."""

    @property
    def subject(self) -> str:
        """The one name for logs: the person if there is one, else the workload."""
        return self.person or self.workload


def known(caller: Caller) -> Caller:
    """The caller with its authorisation context and its principal filled in.

    Two tokens of the same person, client, groups and scopes give the same digest: expiry and token id are left out,
    since no decision depends on them.
    """
    who = (caller.issuer, caller.tenant, caller.person, caller.workload, caller.client)
    return msgspec.structs.replace(
        caller, context_digest=_digest((*who, caller.groups, sorted(caller.scopes))), principal=_digest(("principal", *who))
    )


def _digest(facts: tuple[object, ...]) -> str:
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()[:32]
