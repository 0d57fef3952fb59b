"""A token issuer for one machine: its key lives in the data directory, and a gateway that others can reach refuses it.

Tokens are signed with Ed25519 (RFC 8037; `Ed25519` is the exact name of RFC 9864) and pass the same checks as those of any issuer.
Whoever can read the key file can be anybody, so a file that others can read is refused, not repaired.
"""

import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from customhouse.adapters.privatefiles import UnsafeKeyFile, read_private, write_once
from customhouse.adapters.verifiers.claims import ClaimNames, IssuerRules
from customhouse.adapters.verifiers.documents import read_object
from customhouse.adapters.verifiers.keys import LocalKeys, VerificationKey
from customhouse.adapters.verifiers.tokens import Issuer

DEVELOPMENT_ISSUER = "urn:customhouse:development"

MAX_LIFETIME_SECONDS = 86_400
"""A day: long enough for a working session, too short to be forgotten in a configuration."""

_MAX_FILE_BYTES = 4096


class DevelopmentIssuer:
    """Mints tokens, and vouches for them as an issuer whose keys are local."""

    def __init__(self, key: OKPKey) -> None:
        self._key = key

    @classmethod
    def open(cls, path: Path) -> "DevelopmentIssuer":
        """The issuer of a key file, which is made if it is not there. Raises `UnsafeKeyFile`."""
        try:
            if not path.exists():
                write_once(path, json.dumps(OKPKey.generate_key("Ed25519", auto_kid=True).as_dict(private=True)).encode())
            return cls(_key_in(read_private(path, _MAX_FILE_BYTES), path))
        except OSError as broken:
            raise UnsafeKeyFile(f"{path} cannot be read or made: {os.strerror(broken.errno or 0)}.") from broken

    def mint(
        self,
        *,
        person: str,
        groups: Sequence[str],
        scopes: Sequence[str],
        client: str,
        tenant: str,
        resources: Sequence[str],
        lifetime_seconds: int,
        now: float,
        workload: str = "",
    ) -> str:
        """A token for these endpoints. Raises ValueError for a lifetime outside 1 second to one day."""
        if not 1 <= lifetime_seconds <= MAX_LIFETIME_SECONDS:
            raise ValueError(f"a token lives between 1 and {MAX_LIFETIME_SECONDS} seconds")
        named = {"sub": person, "workload": workload, "client_id": client, "tenant": tenant}
        claims: dict[str, Any] = {claim: value for claim, value in named.items() if value}
        claims |= {"iss": DEVELOPMENT_ISSUER, "aud": list(resources), "groups": sorted(set(groups)), "scope": " ".join(scopes)}
        claims |= {"iat": int(now), "exp": int(now) + lifetime_seconds, "jti": secrets.token_hex(16)}
        return jwt.encode({"typ": "at+jwt", "alg": "Ed25519", "kid": self._key.kid}, claims, self._key, algorithms=["Ed25519"])

    def public_keys(self) -> tuple[VerificationKey, ...]:
        """The keys that verify its tokens."""
        public = OKPKey.import_key(self._key.as_dict(private=False))
        return (VerificationKey(str(public.kid), "Ed25519", public.thumbprint(), public),)

    def issuer(self, tenant: str) -> Issuer:
        """This issuer as the verifier takes it. Its tokens say the tenant, and only this one is listed."""
        rules = IssuerRules(
            issuer=DEVELOPMENT_ISSUER,
            tenant_claim="tenant",
            tenants={tenant: tenant},
            algorithms=("Ed25519",),
            claims=ClaimNames(workload="workload"),
        )
        return Issuer(rules, LocalKeys(self.public_keys()))


def _key_in(data: bytes, path: Path) -> OKPKey:
    try:
        key = OKPKey.import_key(read_object(data))
    except (JoseError, ValueError, KeyError, TypeError) as broken:
        raise UnsafeKeyFile(f"{path} holds no private key: delete it and a new one is made.") from broken
    if not key.is_private or key.curve_name != "Ed25519" or not key.kid:
        raise UnsafeKeyFile(f"{path} holds no private Ed25519 key with an id: delete it and a new one is made.")
    return key
