"""The keys of an issuer: which signatures they verify, where they come from and how long they are believed.

Sources: RFC 7517 (JWK), RFC 7518 section 3 (algorithms), RFC 8037 and RFC 9864 (`EdDSA` and its exact name `Ed25519`),
RFC 8414 section 3 (metadata, path-inserted), OpenID Connect Discovery 1.0 section 4 (path-appended).
A key set is fetched anew when it is `max_age_seconds` old and when a token names a key it does not have, at most once in
`refetch_seconds`. While the issuer is known to be out, the last set is believed for `max_stale_seconds` and not longer, and nobody
waits for the next attempt: an outage is never a yes.
"""

import asyncio
import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from customhouse.adapters.verifiers.guarded import GuardedClient, NotFetched, is_loopback_url, origin_of
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.traffic import Clock

MAX_KEYS = 100
"""More keys than this in one set are refused; the largest providers publish fewer than ten."""

MAX_KEY_ID_CHARACTERS = 256

_RSA_BITS = range(2048, 8193)
"""RFC 7518 section 3.3 demands 2048; above 8192 one verification costs a millisecond."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Which keys an algorithm can be used with."""

    key_type: str
    curve: str
    members: tuple[str, ...]
    """The members of a JWK that make the public key. No other member reaches the library."""


ALGORITHMS: Mapping[str, Fit] = {
    "RS256": Fit("RSA", "", ("n", "e")),
    "ES256": Fit("EC", "P-256", ("crv", "x", "y")),
    "Ed25519": Fit("OKP", "Ed25519", ("crv", "x")),
}
"""What tokens may be signed with. Symmetric algorithms and `none` have no row, so nothing can turn them on."""

_ALIASES = {"EdDSA": "Ed25519"}

_IMPORTERS: Mapping[str, type[RSAKey] | type[ECKey] | type[OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}


def exact_algorithm(name: str) -> str:
    """The one name of an algorithm that has two."""
    return _ALIASES.get(name, name)


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One public key, with the only algorithm that it verifies."""

    key_id: str
    algorithm: str
    thumbprint: str
    key: Key

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        """Whether the signature over these bytes was made by the owner of the key."""
        verified: bool = JWSRegistry.algorithms[self.algorithm].verify(signed, signature, self.key)
        return verified


class KeySource(Protocol):
    """Where the keys of one issuer come from."""

    generation: int
    """Grows whenever the set of keys changes."""
    good_until: float
    """Until this moment of the monotonic clock, what was verified with the present generation stays verified."""

    async def find(self, key_id: str, algorithm: str) -> VerificationKey | None:
        """The key for a token's `kid` (empty if it names none) and `alg`; None if the issuer has no such key.

        Raises `Refused` ISSUER_UNAVAILABLE where that cannot be known.
        """


class LocalKeys:
    """Keys that are known without asking anybody."""

    def __init__(self, keys: Sequence[VerificationKey]) -> None:
        self.generation = 0
        self.good_until = float("inf")
        self._keys = tuple(keys)

    async def find(self, key_id: str, algorithm: str) -> VerificationKey | None:
        return _pick(self._keys, key_id, algorithm)


class FetchedKeys:
    """Keys from the issuer's key set document."""

    def __init__(
        self,
        issuer: str,
        *,
        client: GuardedClient,
        clock: Clock,
        jwks_url: str = "",
        networks: tuple[str, ...] = (),
        max_age_seconds: float = 300.0,
        max_stale_seconds: float = 3600.0,
        refetch_seconds: float = 10.0,
    ) -> None:
        self.generation = 0
        self.good_until = float("-inf")
        self._location = Location(issuer, jwks_url, networks, client)
        self._clock = clock
        self._max_age_seconds = max_age_seconds
        self._max_stale_seconds = max_stale_seconds
        self._refetch_seconds = refetch_seconds
        self._keys: tuple[VerificationKey, ...] = ()
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._failure = ""
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, key_id: str, algorithm: str) -> VerificationKey | None:
        """See `KeySource.find`."""
        if self._clock.monotonic() >= self.good_until:
            self._refresh_beside()
            if not self._failure or not self._usable():
                await self.settled()
        if not self._usable():
            raise Refused(Reason.ISSUER_UNAVAILABLE, note=self._failure)
        return _pick(self._keys, key_id, algorithm) or await self._find_anew(key_id, algorithm)

    async def settled(self) -> None:
        """Return when no fetch is under way."""
        if self._fetching is not None:
            await asyncio.shield(self._fetching)

    async def _find_anew(self, key_id: str, algorithm: str) -> VerificationKey | None:
        self._refresh_beside()
        await self.settled()
        found = _pick(self._keys, key_id, algorithm)
        if found is None and self._failure:
            raise Refused(Reason.ISSUER_UNAVAILABLE, note=self._failure)
        return found

    def _usable(self) -> bool:
        return self._clock.monotonic() < self._fetched_at + self._max_stale_seconds

    def _refresh_beside(self) -> None:
        """Start a fetch, unless one is under way or was tried just now."""
        if self._fetching is None and self._clock.monotonic() >= self._tried_at + self._refetch_seconds:
            self._tried_at = self._clock.monotonic()
            self._fetching = asyncio.create_task(self._fetch())

    async def _fetch(self) -> None:
        try:
            self._accept(await self._location.read())
        except NotFetched as missing:
            self._failure = str(missing)
            tries_again_at = self._clock.monotonic() + self._refetch_seconds
            self.good_until = min(tries_again_at, self._fetched_at + self._max_stale_seconds)
        finally:
            self._fetching = None

    def _accept(self, keys: tuple[VerificationKey, ...]) -> None:
        self._failure = ""
        self._fetched_at = self._clock.monotonic()
        self.good_until = self._fetched_at + min(self._max_age_seconds, self._max_stale_seconds)
        if _names(keys) != _names(self._keys):
            self.generation += 1
        self._keys = keys


@dataclass(frozen=True, slots=True)
class Location:
    """Where an issuer's key set stands: at a configured URL, or at the one its metadata name."""

    issuer: str
    jwks_url: str
    networks: tuple[str, ...]
    client: GuardedClient

    async def read(self) -> tuple[VerificationKey, ...]:
        """The issuer's present keys. Raises `NotFetched`."""
        if self.jwks_url:
            return read_keys(await self._get_written(self.jwks_url))
        metadata = await self._metadata()
        if metadata.get("issuer") != self.issuer:
            raise NotFetched("The metadata of the issuer name another issuer.")
        found = metadata.get("jwks_uri")
        if not isinstance(found, str):
            raise NotFetched("The metadata of the issuer name no key set.")
        return read_keys(await self._get_learnt(found))

    async def _metadata(self) -> dict[str, Any]:
        """The first metadata document that is there. One that is there and wrong is not passed over: the check is the caller's."""
        failure = NotFetched("The address of the issuer is not a URL.")
        for url in metadata_urls(self.issuer):
            try:
                return await self._get_written(url)
            except NotFetched as missing:
                failure = missing
        raise failure

    async def _get_written(self, url: str) -> dict[str, Any]:
        """A document at a URL that an operator wrote: listed networks are open to it."""
        return await self.client.get_json(url, networks=self.networks, loopback=is_loopback_url(url))

    async def _get_learnt(self, url: str) -> dict[str, Any]:
        """A document at a URL that metadata named: only the issuer's own origin has the openings that an operator gave the issuer."""
        return await (self._get_written(url) if origin_of(url) == origin_of(self.issuer) else self.client.get_json(url))


def metadata_urls(issuer: str) -> tuple[str, ...]:
    """Where the metadata of an issuer may stand, in the order in which MCP clients look."""
    scheme, separator, rest = issuer.partition("://")
    if not separator:
        return ()
    host, _, path = rest.partition("/")
    root, path = f"{scheme}://{host}/.well-known", path.rstrip("/")
    if not path:
        return f"{root}/oauth-authorization-server", f"{root}/openid-configuration"
    return (
        f"{root}/oauth-authorization-server/{path}",
        f"{root}/openid-configuration/{path}",
        f"{scheme}://{host}/{path}/.well-known/openid-configuration",
    )


def read_keys(document: Mapping[str, Any]) -> tuple[VerificationKey, ...]:
    """The keys of a key set that can verify a token; all others are passed over.

    Raises `NotFetched` where the document is no key set, is too large, or holds no key that can be used.
    """
    entries = document.get("keys")
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise NotFetched(f"The key set of the issuer is not a list of at most {MAX_KEYS} keys.")
    keys = {_name(key): key for entry in entries if isinstance(entry, dict) and (key := read_key(entry))}
    if not keys:
        raise NotFetched("The key set of the issuer holds no key that can verify a token.")
    return tuple(keys.values())


def read_key(entry: Mapping[str, Any]) -> VerificationKey | None:
    """The key in a JWK, if it verifies signatures by one of the allowed algorithms and is strong enough."""
    algorithm = _algorithm_of(entry)
    key_id = entry.get("kid", "")
    if not algorithm or not isinstance(key_id, str) or len(key_id) > MAX_KEY_ID_CHARACTERS:
        return None
    fit = ALGORITHMS[algorithm]
    try:
        public = {"kty": fit.key_type} | {member: entry[member] for member in fit.members}
        if fit.key_type == "RSA" and _bits(public["n"]) not in _RSA_BITS:
            return None
        key = _IMPORTERS[fit.key_type].import_key(public)
        return VerificationKey(key_id, algorithm, key.thumbprint(), key)
    except (JoseError, ValueError, TypeError, KeyError):
        return None


def _bits(modulus: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(modulus + "==")).bit_length()


def _algorithm_of(entry: Mapping[str, Any]) -> str:
    """The algorithm that a JWK is for; empty if it is for none of ours, or not for verifying."""
    operations = entry.get("key_ops", ["verify"])
    if entry.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return ""
    shape = (entry.get("kty"), "" if entry.get("kty") == "RSA" else entry.get("crv"))
    fitting = next((name for name, fit in ALGORITHMS.items() if (fit.key_type, fit.curve) == shape), "")
    named = entry.get("alg", fitting)
    return fitting if isinstance(named, str) and exact_algorithm(named) == fitting else ""


def _pick(keys: Sequence[VerificationKey], key_id: str, algorithm: str) -> VerificationKey | None:
    """The one key that fits. A token that names no key is verified only where there is no choice."""
    fitting = [key for key in keys if key.algorithm == algorithm and (not key_id or key.key_id == key_id)]
    return fitting[0] if len(fitting) == 1 else None


def _name(key: VerificationKey) -> tuple[str, str, str]:
    return key.key_id, key.algorithm, key.thumbprint


def _names(keys: Sequence[VerificationKey]) -> frozenset[tuple[str, str, str]]:
    return frozenset(map(_name, keys))
