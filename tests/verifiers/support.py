"""What the tests of identity share: a clock that stands still, an issuer on loopback, and tokens signed by hand."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from customhouse.adapters.verifiers.claims import IssuerRules
from customhouse.adapters.verifiers.keys import LocalKeys, VerificationKey, read_keys
from customhouse.adapters.verifiers.tokens import Issuer, TokenVerifier

PUBLIC_URL = "https://gateway.example"
RESOURCE = f"{PUBLIC_URL}/mcp"
ISSUER = "https://idp.example"
NOW = 1_800_000_000.0

AnyKey = RSAKey | ECKey | OKPKey


class StillClock:
    """Time that moves by `wait` alone."""

    def __init__(self) -> None:
        self.seconds = NOW

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds - NOW + 1000

    def wait(self, seconds: float) -> None:
        self.seconds += seconds


def rsa_key(key_id: str = "rsa", bits: int = 2048) -> RSAKey:
    return RSAKey.generate_key(bits, {"kid": key_id})


def ec_key(key_id: str = "ec") -> ECKey:
    return ECKey.generate_key("P-256", {"kid": key_id})


def ed_key(key_id: str = "ed") -> OKPKey:
    return OKPKey.generate_key("Ed25519", {"kid": key_id})


def jwk_of(key: AnyKey, **changes: object) -> dict[str, Any]:
    return {**key.as_dict(private=False), **changes}


def jwks(*keys: AnyKey) -> dict[str, Any]:
    return {"keys": [jwk_of(key) for key in keys]}


def local(*keys: AnyKey) -> LocalKeys:
    return LocalKeys(read_keys(jwks(*keys)))


def public(key: AnyKey) -> VerificationKey:
    return read_keys(jwks(key))[0]


def good_claims(**changes: object) -> dict[str, Any]:
    """Claims that are accepted; a change of None takes a claim away."""
    claims = {
        "iss": ISSUER,
        "aud": RESOURCE,
        "sub": "alice",
        "client_id": "editor",
        "groups": ["eng", "all"],
        "scope": "read write",
        "iat": int(NOW),
        "exp": int(NOW) + 300,
        "jti": "token-1",
        **changes,
    }
    return {claim: value for claim, value in claims.items() if value is not None}


def b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def signed(key: AnyKey, claims: bytes | dict[str, Any], header: bytes | dict[str, Any], algorithm: str) -> bytes:
    """A compact JWS with exactly this header, whatever it says."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
    body = b".".join(map(b64, parts))
    return body + b"." + b64(JWSRegistry.algorithms[algorithm].sign(body, key))


def token_of(key: AnyKey, *, header: dict[str, Any] | None = None, **changes: object) -> bytes:
    """A token that is accepted, but for the changes."""
    algorithm = {"RSA": "RS256", "EC": "ES256", "OKP": "Ed25519"}[key.key_type]
    return signed(key, good_claims(**changes), {"alg": algorithm, "kid": key.kid, "typ": "at+jwt", **(header or {})}, algorithm)


def verifier_of(*issuers: Issuer, clock: StillClock | None = None, max_entries: int = 10_000) -> TokenVerifier:
    return TokenVerifier(issuers, public_url=PUBLIC_URL, clock=clock or StillClock(), max_entries=max_entries)


def acme(**changes: Any) -> IssuerRules:
    return IssuerRules(**{"issuer": ISSUER, "tenant": "acme", **changes})


Answer = Callable[[str], bytes]


@dataclass
class Site:
    """A web server on loopback that answers every path from a table, and counts."""

    answers: dict[str, bytes] = field(default_factory=dict)
    requests: list[bytes] = field(default_factory=list)
    port: int = 0
    pause_seconds: float = 0.0
    """Between the bytes of an answer."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def paths(self) -> list[str]:
        return [request.split(b" ")[1].decode() for request in self.requests]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(request)
            answer = self.answers.get(request.split(b" ")[1].decode(), http(b"", "404 Not Found"))
            for piece in [answer] if not self.pause_seconds else [answer[at : at + 1] for at in range(len(answer))]:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(self.pause_seconds)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def http_json(value: object) -> bytes:
    return http(json.dumps(value).encode(), "200 OK", "Content-Type: application/json")


@asynccontextmanager
async def site(port: int = 0, **options: Any) -> AsyncIterator[Site]:
    """A site that runs for the block."""
    running = Site()
    server = await asyncio.start_server(running.serve, "127.0.0.1", port, **options)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        server.close()
        await server.wait_closed()
