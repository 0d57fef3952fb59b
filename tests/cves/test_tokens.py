"""Whose word counts: opaque and made-up tokens, older revisions, other deployments, issuers that do not answer."""

import base64
import json
import time
from pathlib import Path

import pytest

from customhouse.adapters.verifiers.claims import IssuerRules
from customhouse.adapters.verifiers.development import DevelopmentIssuer
from customhouse.adapters.verifiers.guarded import GuardedClient
from customhouse.adapters.verifiers.keys import FetchedKeys
from customhouse.adapters.verifiers.tokens import Issuer
from customhouse.core.refusal import Reason, Refused
from tests.cves.attacker import READ, WELCOME, Door, Headers, Tap, call, request
from tests.cves.cases import advisory
from tests.cves.conftest import Town
from tests.verifiers.support import RESOURCE, StillClock, ec_key, http, site, token_of, verifier_of

REVISIONS = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"]
EVERY_REVISION = pytest.mark.parametrize("revision", REVISIONS)


def parts(token: str) -> tuple[str, str, str]:
    header, claims, signature = token.split(".")
    return header, claims, signature


def written(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def claims_of(token: str) -> dict[str, object]:
    _, claims, _ = parts(token)
    found: dict[str, object] = json.loads(base64.urlsafe_b64decode(claims + "=="))
    return found


def made_up(good: str) -> dict[str, str]:
    """Tokens that somebody without a key can make, most of them from a good one."""
    header, claims, signature = parts(good)
    more = written({**claims_of(good), "groups": ["eng", "editors"]})
    return {
        "opaque": "5f2c1d7e-opaque-token",
        "one word": "admin",
        "active by its own word": written({"active": True, "sub": "alice", "scope": "*"}),
        "no signature": f"{header}.{claims}.",
        "two parts": f"{header}.{claims}",
        "alg none": f"{written({'alg': 'none', 'typ': 'at+jwt'})}.{claims}.{signature}",
        "alg None": f"{written({'alg': 'nOnE', 'typ': 'at+jwt'})}.{claims}.{signature}",
        "a shared secret": f"{written({'alg': 'HS256', 'typ': 'at+jwt'})}.{claims}.{signature}",
        "more groups": f"{header}.{more}.{signature}",
        "no issuer": f"{header}.{written({'sub': 'alice', 'active': True})}.{signature}",
        "an unknown issuer": f"{header}.{written({**claims_of(good), 'iss': 'https://evil.example'})}.{signature}",
        "five parts": f"{header}.{claims}.{signature}.{claims}.{signature}",
        "padding": f"{header}=.{claims}.{signature}",
        "a good one and more": f"{good},{good}",
    }


MADE_UP = pytest.mark.parametrize("kind", list(made_up("e30.e30.e30")))


@advisory("CVE-2026-11717", "CVE-2026-11718")
@MADE_UP
@pytest.mark.parametrize("path", ["/mcp", "/servers/notes/mcp"])
def test_what_is_no_signed_token_of_a_known_issuer_is_refused(door: Door, alice: str, path: str, kind: str) -> None:
    answer = door.say(request("tools/list"), made_up(alice)[kind], path)
    assert (answer.status, answer.reason) == (401, "invalid_token")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


@advisory("CVE-2026-11719")
@EVERY_REVISION
def test_a_grant_counts_in_every_revision(door: Door, alice: str, revision: str) -> None:  # GW-03
    assert door.say(call("notes__read_note", {"title": "welcome"}, revision), alice).text == WELCOME


@advisory("CVE-2026-11719")
@EVERY_REVISION
@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("notes__add_note", {"title": "older-marker", "text": "x"}, "not_permitted"),
        ("notes__delete_note", {"title": "older-marker"}, "unknown_name"),
    ],
)
def test_a_missing_grant_counts_in_every_revision(
    door: Door, tap: Tap, alice: str, revision: str, name: str, arguments: dict[str, str], reason: str
) -> None:
    assert door.say(call(name, arguments, revision), alice).reason == reason
    assert tap.about("older-marker") == []


@advisory("CVE-2026-11719")
@EVERY_REVISION
def test_a_token_counts_in_every_revision(door: Door, mallory: str, revision: str) -> None:
    said = call("notes__read_note", {"title": "welcome"}, revision)
    assert door.ask("POST", "/mcp", said.headers, said.body).reason == "no_token"
    assert door.say(said, "made-up").reason == "invalid_token"
    assert door.say(said, mallory).reason == "unknown_name"
    assert door.say(request("tools/list", revision=revision), mallory).message["result"]["tools"] == []


@advisory("CVE-2026-11719")
@pytest.mark.parametrize("header", ["1.0", "2023-01-01", "9999-01-01", "", "2026-07-28 ", "2025-11-25,2026-07-28"])
def test_a_version_nobody_knows_opens_nothing(door: Door, alice: str, mallory: str, header: str) -> None:
    said = call("notes__delete_note", {"title": "welcome"}, "2025-11-25")
    for token in (alice, mallory):
        answer = door.say(said, token, extra=[("MCP-Protocol-Version", header)])
        assert answer.reason in ("unsupported_version", "header_mismatch", "invalid_params", "unknown_name")


@advisory("CVE-2026-44428")
def test_a_token_of_another_deployment_is_refused(door: Door, tmp_path: Path) -> None:
    """The same product, the same name of the issuer, the same audience: another key."""
    other = Door(door.port, f"http://{door.host}", tmp_path / "development-issuer.json")
    assert door.say(READ, other.token("alice", "eng")).reason == "invalid_token"


@advisory("CVE-2026-44428")
@pytest.mark.parametrize("public_url", ["https://other.example", "http://localhost:{port}", "http://127.0.0.1:1"])
def test_a_token_for_another_audience_is_refused_whoever_signed_it(door: Door, public_url: str) -> None:
    """Two deployments may share an issuer and its key."""
    assert door.say(READ, door.token("alice", "eng", public_url=public_url.format(port=door.port))).reason == "invalid_token"


@advisory("CVE-2026-44428")
@pytest.mark.parametrize(
    "paths", [[], [""], ["/"], ["/mcp/"], ["/mcp/x"], ["/servers/notes/mcp"], ["/servers/lies/mcp"], ["/mcp#"], ["/MCP"]]
)
def test_a_token_for_another_endpoint_is_refused(door: Door, paths: list[str]) -> None:  # GW-96
    assert door.say(READ, door.token("alice", "eng", paths=paths)).reason == "invalid_token"


OTHER_CREDENTIALS: list[Headers] = [
    [("X-Api-Key", "{good}")],
    [("X-Litellm-Api-Key", "Bearer {good}")],
    [("X-Mcp-Auth", "Bearer {good}")],
    [("Proxy-Authorization", "Bearer {good}")],
    [("Cookie", "token={good}; Authorization=Bearer {good}")],
    [("X-Mcp-Lies-Authorization", "Bearer {good}")],
    [("X-Pass-Through", "true"), ("X-Mcp-Client-Side-Auth", "true")],
    [("X-Forwarded-Access-Token", "{good}")],
]


@advisory("CVE-2026-59822")
@pytest.mark.parametrize("others", OTHER_CREDENTIALS, ids=lambda others: others[0][0])
def test_a_failed_validation_ends_the_call_whatever_else_comes_along(door: Door, tap: Tap, alice: str, others: Headers) -> None:
    said = call("notes__read_note", {"title": "fallback-marker"})
    filled = [(name, value.format(good=alice)) for name, value in others]
    assert door.say(said, "made-up", extra=filled).reason == "invalid_token"
    assert door.ask("POST", "/mcp", [*said.headers, *filled], said.body).reason == "no_token"
    assert tap.about("fallback-marker") == []


@advisory("CVE-2026-59822")
@pytest.mark.parametrize(
    "scheme", ["Basic {good}", "Token {good}", "{good}", "Bearer", "Bearer ", "Bearer{good}", "Negotiate {good}", "null"]
)
def test_no_other_scheme_stands_in_for_a_bearer_token(door: Door, alice: str, scheme: str) -> None:
    answer = door.say(READ, "", extra=[("Authorization", scheme.format(good=alice))])
    assert (answer.status, answer.reason) == (401, "no_token")


@advisory("CVE-2026-59822")
@pytest.mark.parametrize("first", ["good", "made up"])
def test_two_credentials_are_none(door: Door, alice: str, first: str) -> None:  # GW-16
    both = [("Authorization", f"Bearer {alice}"), ("Authorization", "Bearer made-up")]
    said = [*READ.headers, *(both if first == "good" else reversed(both))]
    assert door.ask("POST", "/mcp", said, READ.body).reason == "malformed_http"


@advisory("CVE-2026-59822")
@pytest.mark.parametrize("query", ["access_token={good}", "ACCESS_TOKEN={good}", "a=b&access_token={good}"])
def test_a_token_in_the_query_spoils_a_good_one(door: Door, alice: str, query: str) -> None:  # GW-96
    assert door.say(READ, alice, "/mcp?" + query.format(good=alice)).reason == "token_in_query"


@advisory("CVE-2026-45781")
@pytest.mark.parametrize("status", ["429 Too Many Requests", "403 Forbidden", "404 Not Found", "500 Internal Server Error", "503 Busy"])
async def test_keys_that_cannot_be_read_verify_nothing(status: str) -> None:
    """A good token of a configured issuer; only its keys are not to be had."""
    key = ec_key()
    async with site() as idp:
        idp.answers["/jwks"] = http(b"slow down", status)
        clock = StillClock()
        rules = IssuerRules(issuer=idp.url, tenant="acme", jwks_url=f"{idp.url}/jwks")
        verifier = verifier_of(
            Issuer(rules, FetchedKeys(idp.url, client=GuardedClient(), clock=clock, jwks_url=rules.jwks_url)), clock=clock
        )
        for _ in range(2):
            with pytest.raises(Refused) as refused:
                await verifier.verify(token_of(key, iss=idp.url), RESOURCE)
            assert refused.value.reason is Reason.ISSUER_UNAVAILABLE
        assert verifier.known(verifier.name_of(token_of(key, iss=idp.url), RESOURCE)) is None


@advisory("CVE-2026-44428")
def test_the_development_issuer_vouches_for_its_own_tenant_only(town: Town) -> None:
    for tenant in ("abroad", "", "LOCAL"):
        forged = DevelopmentIssuer.open(town.door.key_file).mint(
            person="alice",
            groups=["eng"],
            scopes=[],
            client="attacker",
            tenant=tenant,
            resources=[town.gateway.url + "/mcp"],
            lifetime_seconds=60,
            now=time.time(),
        )
        assert town.door.say(READ, forged).reason == "invalid_token"
