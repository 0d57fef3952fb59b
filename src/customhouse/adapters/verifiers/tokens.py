"""Bearer tokens: compact JWS in, caller out.

Sources: RFC 7515 section 5.2 and RFC 8725 (best current practices for JWT), RFC 9068 section 4 (validating access tokens),
RFC 6750; MCP 2026-07-28, basic/authorization: a token must have been issued for this very resource.
The cheap checks come first and the signature last, so a made-up token costs microseconds and never a fetch of keys of an issuer that
is not configured. Keys that a header carries or points at (`jwk`, `jku`, `x5c`, `x5u`) are not looked at.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from customhouse.adapters.verifiers.claims import IssuerRules, caller_of, check_audience, check_times, invalid
from customhouse.adapters.verifiers.documents import read_object
from customhouse.adapters.verifiers.guarded import GuardedClient
from customhouse.adapters.verifiers.keys import ALGORITHMS, MAX_KEY_ID_CHARACTERS, FetchedKeys, KeySource, exact_algorithm
from customhouse.core.identity import Caller
from customhouse.ports.traffic import Clock

MAX_TOKEN_BYTES = 8192
"""Checked before anything is decoded. Tokens with a hundred groups stay below 6 KB."""

_TYPES = frozenset({"", "jwt", "at+jwt", "application/jwt", "application/at+jwt"})
"""`typ`, which is not case-sensitive (RFC 7515 section 4.1.9). Other kinds of tokens say so here and are refused."""

_UNDERSTOOD_BY_NOBODY = frozenset({"crit", "b64"})
"""Header members that change how a token is read; no extension is supported, so their presence refuses the token."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """The rules for an issuer's tokens, and where its keys come from."""

    rules: IssuerRules
    keys: KeySource

    def __post_init__(self) -> None:
        for name in self.rules.algorithms:
            if exact_algorithm(name) not in ALGORITHMS:
                raise ValueError(f"{name} is not a supported algorithm")


@dataclass(frozen=True, slots=True)
class Compact:
    """A token taken apart; nothing in it is believed yet."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """What is remembered of a verified token."""

    caller: Caller
    keys: KeySource
    generation: int


class TokenVerifier:
    """Turns bearer tokens into callers. Implements `customhouse.ports.traffic.Verifier`."""

    def __init__(
        self,
        issuers: Sequence[Issuer],
        *,
        public_url: str,
        clock: Clock,
        leeway_seconds: float = 30.0,
        max_entries: int = 10_000,
    ) -> None:
        self._issuers = {issuer.rules.issuer: issuer for issuer in issuers}
        self._public_url = public_url
        self._clock = clock
        self._leeway_seconds = leeway_seconds
        self._max_entries = max_entries
        self._entries: dict[object, Entry] = {}

    def name_of(self, token: bytes, resource: str) -> tuple[bytes, str]:
        """See `Verifier.name_of`."""
        return sha256(token).digest(), resource

    def known(self, name: object) -> Caller | None:
        """See `Verifier.known`. A token is forgotten when it expires, when its issuer's keys change, and when they grow too old."""
        entry = self._entries.get(name)
        if entry is None or entry.generation != entry.keys.generation or self._clock.monotonic() >= entry.keys.good_until:
            return None
        return entry.caller if self._clock.now() < entry.caller.expires_at else None

    async def verify(self, token: bytes, resource: str) -> Caller:
        """See `Verifier.verify`."""
        compact = take_apart(token)
        issuer = self._issuer_of(compact)
        algorithm, key_id = check_header(compact.header, issuer.rules)
        check_times(compact.claims, self._clock.now(), self._leeway_seconds)
        check_audience(compact.claims, issuer.rules, resource, resource.removeprefix(self._public_url))
        caller = caller_of(compact.claims, issuer.rules, self._leeway_seconds)

        key = await issuer.keys.find(key_id, algorithm)
        generation = issuer.keys.generation
        if key is None:
            invalid("the issuer has no key that fits the token")
        if not key.verifies(compact.signed, compact.signature):
            invalid("the signature of the token is wrong")
        self._remember(self.name_of(token, resource), Entry(caller, issuer.keys, generation))
        return caller

    def _issuer_of(self, compact: Compact) -> Issuer:
        name = compact.claims.get("iss")
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            invalid("the issuer of the token is not configured")
        return issuer

    def _remember(self, name: object, entry: Entry) -> None:
        self._entries.pop(name, None)
        if len(self._entries) >= self._max_entries:
            del self._entries[next(iter(self._entries))]
        self._entries[name] = entry


def issuers_over_http(
    rules: Sequence[IssuerRules],
    *,
    client: GuardedClient,
    clock: Clock,
    max_age_seconds: float = 300.0,
    max_stale_seconds: float = 3600.0,
) -> tuple[Issuer, ...]:
    """Issuers whose keys are fetched."""
    return tuple(
        Issuer(
            rule,
            FetchedKeys(
                rule.issuer,
                client=client,
                clock=clock,
                jwks_url=rule.jwks_url,
                networks=rule.networks,
                max_age_seconds=max_age_seconds,
                max_stale_seconds=max_stale_seconds,
            ),
        )
        for rule in rules
    )


def take_apart(token: bytes) -> Compact:
    """The parts of a compact JWS. Raises `Refused` for anything else, an encrypted token included."""
    if len(token) > MAX_TOKEN_BYTES:
        invalid("the token is larger than 8 KiB")
    parts = token.split(b".")
    if len(parts) != 3 or not all(parts):
        invalid("the token is not a compact JWS with a signature")
    header, claims, signature = (_decoded(part) for part in parts)
    return Compact(_object(header), _object(claims), token[: token.rindex(b".")], signature)


def check_header(header: Mapping[str, Any], rules: IssuerRules) -> tuple[str, str]:
    """The algorithm and the key id that a header names, if the issuer's tokens may have such a header."""
    named, key_id, kind = header.get("alg"), header.get("kid", ""), header.get("typ", "")
    if not all(isinstance(value, str) for value in (named, key_id, kind)) or len(key_id) > MAX_KEY_ID_CHARACTERS:
        invalid("alg, kid or typ in the header of the token is not a short text")
    algorithm = exact_algorithm(str(named))
    if algorithm not in map(exact_algorithm, rules.algorithms):
        invalid("the algorithm of the token is not allowed for its issuer")
    if kind.lower() not in _TYPES:
        invalid("the token is of another type than an access token")
    if not _UNDERSTOOD_BY_NOBODY.isdisjoint(header):
        invalid("the header of the token demands an extension")
    return algorithm, key_id


def _decoded(part: bytes) -> bytes:
    """Base64url without padding, in its one canonical form (RFC 4648 section 3.5)."""
    try:
        data = base64.b64decode(part + b"=" * (-len(part) % 4), b"-_", validate=True)
    except binascii.Error:
        invalid("a part of the token is not base64url")
    if base64.urlsafe_b64encode(data).rstrip(b"=") != part:
        invalid("a part of the token is not canonical base64url")
    return data


def _object(data: bytes) -> dict[str, Any]:
    try:
        return read_object(data)
    except ValueError:
        invalid("a part of the token is not one object in strict JSON")
