"""The claims of a token: from what an issuer wrote to a caller.

Sources: RFC 7519 section 4.1 (registered claims), RFC 9068 section 2.2 (access tokens), RFC 8693 section 4.2 (`scope`),
RFC 8707 section 2 (audience is the resource), RFC 3986 section 6.2.2.1 (scheme and host are not case-sensitive; paths are).
Every claim has one type; a value of another type, or a huge one, refuses the token instead of being made to fit.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from customhouse.core.identity import Caller, known
from customhouse.core.refusal import Reason, Refused

MAX_NAME_CHARACTERS = 256
"""The longest name of a person, client, group or scope. Object ids and e-mail addresses stay below 255."""

MAX_NAMES = 256
"""Groups or scopes of one token. Issuers with more send a claim that points elsewhere, which nobody follows."""

_LATEST_SECONDS = 253_402_300_800
"""The end of the year 9999; a date beyond it is not a date."""


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """Which claim fills which field of the caller. An empty name: the issuer has no such claim."""

    person: str = "sub"
    workload: str = ""
    client: str = "client_id"
    """Where the claim is absent, `azp` is read (OpenID Connect Core 1.0 section 2)."""
    groups: str = "groups"
    scopes: str = "scope"


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerRules:
    """What tokens of one issuer must look like, and what they mean here."""

    issuer: str
    """Compared with `iss` character by character."""
    tenant: str = ""
    """The tenant of the whole issuer; empty where a claim decides."""
    tenant_claim: str = ""
    tenants: Mapping[str, str] = field(default_factory=dict)
    """The tenant of each value of `tenant_claim`. A value that is not listed is refused."""
    jwks_url: str = ""
    """The key set; empty: discovered from the issuer's metadata."""
    networks: tuple[str, ...] = ()
    """Private networks that the issuer's URLs may resolve to."""
    audiences: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """A fixed `aud` and the endpoint paths it is good for, beside the endpoint's own URL."""
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")
    claims: ClaimNames = ClaimNames()

    def __post_init__(self) -> None:
        if bool(self.tenant) == bool(self.tenant_claim):
            raise ValueError("an issuer has either one tenant or a claim that names it")


def invalid(note: str) -> NoReturn:
    """Refuse the token. The note tells operators which check failed and holds nothing of the token."""
    raise Refused(Reason.INVALID_TOKEN, note=note)


def check_times(claims: Mapping[str, Any], now: float, leeway_seconds: float) -> None:
    """Refuse a token that is not valid now: `exp` is required, `nbf` and `iat` are held where present."""
    if now >= _moment(claims, "exp") + leeway_seconds:
        invalid("the token has expired")
    if "nbf" in claims and now < _moment(claims, "nbf") - leeway_seconds:
        invalid("the token is not valid yet")
    if "iat" in claims and now < _moment(claims, "iat") - leeway_seconds:
        invalid("the token was issued in the future")


def check_audience(claims: Mapping[str, Any], rules: IssuerRules, resource: str, path: str) -> None:
    """Refuse a token that was not issued for this endpoint."""
    audiences = claims.get("aud")
    if isinstance(audiences, str):
        audiences = [audiences]
    if not isinstance(audiences, list) or not all(isinstance(audience, str) for audience in audiences):
        invalid("the claim aud is neither a string nor a list of strings")
    if not any(same_resource(audience, resource) or path in rules.audiences.get(audience, ()) for audience in audiences):
        invalid("the audience of the token is not this endpoint")


def same_resource(audience: str, resource: str) -> bool:
    """Whether two URLs are one: scheme and authority in any case, everything else exactly."""
    return audience.isascii() and _in_lower_case(audience) == _in_lower_case(resource)


def caller_of(claims: Mapping[str, Any], rules: IssuerRules, leeway_seconds: float) -> Caller:
    """The caller that verified claims name."""
    names = rules.claims
    person, workload = _name(claims, names.person), _name(claims, names.workload)
    client = _name(claims, names.client) or _name(claims, "azp")
    if not person and not workload:
        invalid("the token names neither a person nor a workload")
    if not client:
        invalid("the token names no client")
    return known(
        Caller(
            issuer=rules.issuer,
            tenant=_tenant(claims, rules),
            person=person,
            workload=workload,
            client=client,
            groups=tuple(sorted(_names(claims, names.groups, claims.get(names.groups, [])))),
            scopes=_names(claims, names.scopes, _split(claims.get(names.scopes, []))),
            token_id=_name(claims, "jti"),
            expires_at=_moment(claims, "exp") + leeway_seconds,
        )
    )


def _tenant(claims: Mapping[str, Any], rules: IssuerRules) -> str:
    if rules.tenant:
        return rules.tenant
    tenant = rules.tenants.get(_name(claims, rules.tenant_claim), "")
    if not tenant:
        invalid("the tenant claim of the token has no listed value")
    return tenant


def _moment(claims: Mapping[str, Any], claim: str) -> float:
    value = claims.get(claim)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LATEST_SECONDS or not math.isfinite(value):
        invalid(f"the claim {claim} is not a date in seconds")
    return float(value)


def _name(claims: Mapping[str, Any], claim: str) -> str:
    """The text of a claim; empty where the claim has no name or is absent."""
    value = claims.get(claim, "") if claim else ""
    if not isinstance(value, str) or not is_plain(value):
        invalid("a claim that names somebody is not a short plain text")
    return value


def _names(claims: Mapping[str, Any], claim: str, values: object) -> frozenset[str]:
    if not claim or claim not in claims:
        return frozenset()
    if not isinstance(values, list) or len(values) > MAX_NAMES:
        invalid("the groups or scopes of the token are not a list of reasonable length")
    if not all(isinstance(value, str) and value and is_plain(value) for value in values):
        invalid("a group or scope of the token is not a short plain text")
    return frozenset(values)


def _split(scopes: object) -> object:
    return [scope for scope in scopes.split(" ") if scope] if isinstance(scopes, str) else scopes


def is_plain(text: str) -> bool:
    """Short, printable, and without spaces at the ends that would make two names look alike."""
    return len(text) <= MAX_NAME_CHARACTERS and text.isprintable() and text == text.strip()


def _in_lower_case(url: str) -> tuple[str, str]:
    """Scheme and authority in lower case, and the rest as it is."""
    scheme, separator, rest = url.partition("://")
    ends: Iterable[int] = (at for at in map(rest.find, "/?#") if at >= 0)
    end = min(ends, default=len(rest))
    return (scheme + separator + rest[:end]).lower(), rest[end:]
