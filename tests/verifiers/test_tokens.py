"""Which tokens are accepted, and what they say about a caller."""

import base64
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, RSAKey

from customhouse.adapters.verifiers.claims import ClaimNames, IssuerRules, same_resource
from customhouse.adapters.verifiers.tokens import MAX_TOKEN_BYTES, Issuer, TokenVerifier
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.traffic import Verifier
from tests.verifiers.support import (
    ISSUER,
    NOW,
    PUBLIC_URL,
    RESOURCE,
    StillClock,
    acme,
    b64,
    ec_key,
    ed_key,
    good_claims,
    jwk_of,
    local,
    rsa_key,
    signed,
    token_of,
    verifier_of,
)

RSA, EC, ED = rsa_key(), ec_key(), ed_key()
STRANGER = ec_key("ec")
P384 = ECKey.generate_key("P-384", {"kid": "ec"})
SHORT_LIVED = "https://other-idp.example"
GOOD = token_of(EC)
HEAD, BODY, SIGNATURE = GOOD.split(b".")


def verifier(**rules: Any) -> TokenVerifier:
    return verifier_of(Issuer(acme(**rules), local(RSA, EC, ED)))


def by_ec(header: bytes | dict[str, Any], claims: bytes | dict[str, Any] | None = None) -> bytes:
    return signed(EC, good_claims() if claims is None else claims, header, "ES256")


def hmac_with(secret: bytes, algorithm: str = "HS256") -> bytes:
    header = json.dumps({"alg": algorithm, "kid": "rsa"}).encode()
    body = b64(header) + b"." + BODY
    return body + b"." + b64(hmac.digest(secret, body, {"HS256": "sha256", "HS512": "sha512"}[algorithm]))


def unsigned(algorithm: object, signature: bytes = b"") -> bytes:
    return b64(json.dumps({"alg": algorithm, "kid": "ec"}).encode()) + b"." + BODY + b"." + signature


def claims_text(old: str, new: str) -> bytes:
    text = json.dumps(good_claims())
    assert old in text
    return text.replace(old, new).encode()


JWK_HEADER = {"alg": "ES256", "kid": "ec", "jwk": jwk_of(STRANGER)}

HOSTILE: dict[str, bytes] = {
    # The audience.
    "no audience": token_of(EC, aud=None),
    "another portal of the same gateway": token_of(EC, aud=f"{PUBLIC_URL}/mcp/finance"),
    "a server of the same gateway": token_of(EC, aud=f"{PUBLIC_URL}/servers/notes/mcp"),
    "the gateway without a path": token_of(EC, aud=PUBLIC_URL),
    "the path alone": token_of(EC, aud="/mcp"),
    "a prefix of the endpoint": token_of(EC, aud=RESOURCE[:-1]),
    "the endpoint and more": token_of(EC, aud=f"{RESOURCE}x"),
    "a trailing slash": token_of(EC, aud=f"{RESOURCE}/"),
    "a query": token_of(EC, aud=f"{RESOURCE}?a=b"),
    "a fragment": token_of(EC, aud=f"{RESOURCE}#a"),
    "the path in another case": token_of(EC, aud=f"{PUBLIC_URL}/MCP"),
    "the path with an escape": token_of(EC, aud=f"{PUBLIC_URL}/%6dcp"),
    "the path with dots": token_of(EC, aud=f"{PUBLIC_URL}/x/../mcp"),
    "another scheme": token_of(EC, aud="http://gateway.example/mcp"),
    "another port": token_of(EC, aud="https://gateway.example:8443/mcp"),
    "a host that ends the same": token_of(EC, aud="https://evilgateway.example/mcp"),
    "a host that begins the same": token_of(EC, aud="https://gateway.example.evil/mcp"),
    "the host as a user": token_of(EC, aud="https://gateway.example@evil.example/mcp"),
    "a look-alike host": token_of(EC, aud="https://gatewaу.example/mcp"),
    "white space around the audience": token_of(EC, aud=f" {RESOURCE} "),
    "audiences in one string": token_of(EC, aud=f"other {RESOURCE}"),
    "an empty list of audiences": token_of(EC, aud=[]),
    "a list of other audiences": token_of(EC, aud=["a", "b"]),
    "a nested list of audiences": token_of(EC, aud=[[RESOURCE]]),
    "a list with a number": token_of(EC, aud=[RESOURCE, 1]),
    "a number as audience": token_of(EC, aud=1),
    "an object as audience": token_of(EC, aud={RESOURCE: True}),
    # Time.
    "expired": token_of(EC, exp=int(NOW) - 31),
    "expired to the second": token_of(EC, exp=int(NOW) - 30),
    "no expiry": token_of(EC, exp=None),
    "a boolean expiry": token_of(EC, exp=True),
    "an expiry in words": token_of(EC, exp=str(int(NOW) + 300)),
    "an expiry in milliseconds": token_of(EC, exp=int(NOW + 300) * 1000),
    "a negative expiry": token_of(EC, exp=-1),
    "a null expiry": by_ec({"alg": "ES256"}, claims_text(str(int(NOW) + 300), "null")),
    "an infinite expiry": by_ec({"alg": "ES256"}, claims_text(str(int(NOW) + 300), "1e999")),
    "an expiry that is no number": by_ec({"alg": "ES256"}, claims_text(str(int(NOW) + 300), "NaN")),
    "an endless integer": by_ec({"alg": "ES256"}, claims_text(str(int(NOW) + 300), "9" * 5000)),
    "not valid yet": token_of(EC, nbf=int(NOW) + 31),
    "a boolean start": token_of(EC, nbf=False),
    "issued in the future": token_of(EC, iat=int(NOW) + 31),
    "issued in words": token_of(EC, iat="now"),
    # Who signed it, and how.
    "no signature, alg none": unsigned("none"),
    "alg None": unsigned("None"),
    "alg NONE": unsigned("NONE"),
    "alg nOnE with a signature": unsigned("nOnE", SIGNATURE),
    "alg none with a signature": unsigned("none", SIGNATURE),
    "no alg": by_ec({"kid": "ec"}),
    "a null alg": by_ec({"alg": None}),
    "a list as alg": by_ec({"alg": ["ES256"]}),
    "alg in lower case": by_ec({"alg": "es256", "kid": "ec"}),
    "HS256 with the public key as PEM": hmac_with(RSA.as_pem()),
    "HS256 with the public key as DER": hmac_with(RSA.as_der()),
    "HS256 with the modulus": hmac_with(str(RSA.as_dict()["n"]).encode()),
    "HS512 with the public key": hmac_with(RSA.as_pem(), "HS512"),
    "PS256 where RS256 is allowed": signed(RSA, good_claims(), {"alg": "PS256", "kid": "rsa"}, "PS256"),
    "RS512 where RS256 is allowed": signed(RSA, good_claims(), {"alg": "RS512", "kid": "rsa"}, "RS512"),
    "ES384 where ES256 is allowed": signed(P384, good_claims(), {"alg": "ES384", "kid": "ec"}, "ES384"),
    "ES256 named over an ES384 signature": signed(P384, good_claims(), {"alg": "ES256", "kid": "ec"}, "ES384"),
    "RS256 named for an EC key": by_ec({"alg": "RS256", "kid": "ec"}),
    "ES256 named for an RSA key": signed(RSA, good_claims(), {"alg": "ES256", "kid": "rsa"}, "RS256"),
    "EdDSA named for an EC key": by_ec({"alg": "EdDSA", "kid": "ec"}),
    "a foreign key under a known id": token_of(STRANGER),
    "a foreign key without an id": token_of(STRANGER, header={"kid": ""}),
    "an embedded key": signed(STRANGER, good_claims(), JWK_HEADER, "ES256"),
    "an embedded key without an id": signed(STRANGER, good_claims(), {"alg": "ES256", "jwk": jwk_of(STRANGER)}, "ES256"),
    "a key set elsewhere": token_of(STRANGER, header={"jku": "https://evil.example/jwks"}),
    "a certificate elsewhere": token_of(STRANGER, header={"x5u": "https://evil.example/cert"}),
    "a certificate chain": token_of(STRANGER, header={"x5c": ["AAAA"]}),
    "an unknown key id": token_of(EC, header={"kid": "other"}),
    "a path as key id": token_of(EC, header={"kid": "../../../../dev/null"}),
    "a URL as key id": token_of(EC, header={"kid": "https://evil.example/jwks"}),
    "a query as key id": token_of(EC, header={"kid": "' OR 1=1 --"}),
    "a huge key id": token_of(EC, header={"kid": "a" * 257}),
    "a number as key id": token_of(EC, header={"kid": 1}),
    "a null key id": token_of(EC, header={"kid": None}),
    "a critical extension": token_of(EC, header={"crit": ["exp"]}),
    "an empty list of critical extensions": token_of(EC, header={"crit": []}),
    "an unencoded payload": token_of(EC, header={"b64": False, "crit": ["b64"]}),
    "an unencoded payload by the way": token_of(EC, header={"b64": True}),
    "an identity assertion": token_of(EC, header={"typ": "oauth-id-jag+jwt"}),
    "a logout token": token_of(EC, header={"typ": "logout+jwt"}),
    "a proof of possession": token_of(EC, header={"typ": "dpop+jwt"}),
    "a number as type": token_of(EC, header={"typ": 1}),
    # Its shape.
    "nothing": b"",
    "dots": b"..",
    "words": b"not a token",
    "an opaque token": b"2YotnFZFEjr1zCsicMWpAA",
    "a header alone": HEAD,
    "a stripped signature": HEAD + b"." + BODY + b".",
    "no signature part": HEAD + b"." + BODY,
    "a fourth part": GOOD + b".",
    "five parts, as an encrypted token has": GOOD + b".AAAA.AAAA",
    "no payload": HEAD + b".." + SIGNATURE,
    "truncated": GOOD[:-1],
    "half a signature": HEAD + b"." + BODY + b"." + b64(base64.urlsafe_b64decode(SIGNATURE + b"==")[:32]),
    "a signature of zeros": HEAD + b"." + BODY + b"." + b64(bytes(64)),
    "another token's signature": HEAD + b"." + BODY + b"." + token_of(EC, sub="bob").split(b".")[2],
    "padding": GOOD + b"==",
    "the other base64 alphabet": HEAD + b"." + BODY + b"." + b"+/" + SIGNATURE[2:],
    "white space": b" " + GOOD,
    "a line break": GOOD + b"\n",
    "NUL": GOOD + b"\0",
    "too large": token_of(EC, extra="a" * MAX_TOKEN_BYTES),
    "not JSON": b64(b"{") + b"." + BODY + b"." + SIGNATURE,
    "a list as header": by_ec(b'["ES256"]'),
    "a list as payload": by_ec({"alg": "ES256"}, b"[]"),
    "a string as payload": by_ec({"alg": "ES256"}, b'"alice"'),
    "deep nesting": by_ec({"alg": "ES256"}, b'{"a":' * 500 + b"1" + b"}" * 500),
    "a byte order mark": by_ec({"alg": "ES256"}, b"\xef\xbb\xbf" + json.dumps(good_claims()).encode()),
    "a lone surrogate": by_ec({"alg": "ES256"}, claims_text('"alice"', '"\\ud800"')),
    "bytes that are no text": by_ec({"alg": "ES256"}, b'{"a":"\xff"}'),
    "the same claim twice": by_ec({"alg": "ES256"}, claims_text('"sub": "alice"', '"sub": "mallory", "sub": "alice"')),
    "the same claim twice, once escaped": by_ec({"alg": "ES256"}, claims_text('"sub": "alice"', '"s\\u0075b": "mallory", "sub": "alice"')),
    "the same header member twice": by_ec(b'{"alg":"none","alg":"ES256","kid":"ec"}'),
    # Who it is about.
    "no issuer": token_of(EC, iss=None),
    "an issuer that is not configured": token_of(EC, iss=SHORT_LIVED),
    "the issuer with a slash": token_of(EC, iss=f"{ISSUER}/"),
    "the issuer in upper case": token_of(EC, iss=ISSUER.upper()),
    "a list of issuers": token_of(EC, iss=[ISSUER]),
    "no person": token_of(EC, sub=None),
    "an empty person": token_of(EC, sub=""),
    "a number as person": token_of(EC, sub=1),
    "a list as person": token_of(EC, sub=["alice"]),
    "a person with a line break": token_of(EC, sub="alice\nadmin"),
    "a person with an invisible character": token_of(EC, sub="ali\u200bce"),
    "a person with a space at the end": token_of(EC, sub="alice "),
    "a huge person": token_of(EC, sub="a" * 257),
    "no client": token_of(EC, client_id=None),
    "an empty client": token_of(EC, client_id=""),
    "a boolean client": token_of(EC, client_id=True),
    "a number beside azp": token_of(EC, client_id=None, azp=7),
    "groups in one string": token_of(EC, groups="eng"),
    "groups as an object": token_of(EC, groups={"eng": True}),
    "a number among the groups": token_of(EC, groups=["eng", 1]),
    "an empty group": token_of(EC, groups=[""]),
    "a group with a control character": token_of(EC, groups=["eng\x1b[0m"]),
    "too many groups": token_of(EC, groups=[str(number) for number in range(257)]),
    "a huge group": token_of(EC, groups=["a" * 257]),
    "a number as scope": token_of(EC, scope=1),
    "a tab among the scopes": token_of(EC, scope="read\twrite"),
    "too many scopes": token_of(EC, scope=" ".join(map(str, range(257)))),
    "a number as token id": token_of(EC, jti=1),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_token_that_is_not_for_us_is_refused(name: str) -> None:
    checked = verifier()
    with pytest.raises(Refused) as refused:
        await checked.verify(HOSTILE[name], RESOURCE)
    assert refused.value.reason is Reason.INVALID_TOKEN
    assert refused.value.note
    assert refused.value.detail == {}
    assert not any(word in refused.value.note for word in ("alice", "mallory", "evil", "1800000"))
    assert checked.known(checked.name_of(HOSTILE[name], RESOURCE)) is None


@pytest.mark.parametrize("key", [RSA, EC, ED], ids=["RS256", "ES256", "EdDSA"])
async def test_a_good_token_names_its_caller(key: RSAKey) -> None:
    caller = await verifier().verify(token_of(key), RESOURCE)
    assert (caller.issuer, caller.tenant, caller.person, caller.workload, caller.client) == (ISSUER, "acme", "alice", "", "editor")
    assert caller.groups == ("all", "eng")
    assert caller.scopes == {"read", "write"}
    assert caller.token_id == "token-1"
    assert caller.expires_at == NOW + 330
    assert len(caller.context_digest) == 32


@pytest.mark.parametrize(
    "token",
    [
        token_of(EC, aud=[RESOURCE]),
        token_of(EC, aud=["other", RESOURCE]),
        token_of(EC, aud="HTTPS://Gateway.EXAMPLE/mcp"),
        token_of(EC, exp=int(NOW) - 29),
        token_of(EC, exp=NOW + 0.5),
        token_of(EC, nbf=int(NOW) + 29, iat=None, jti=None),
        token_of(EC, header={"typ": "JWT"}),
        token_of(EC, header={"typ": "application/AT+jwt"}),
        by_ec({"alg": "ES256", "kid": "ec"}),
        by_ec({"alg": "ES256"}),
        token_of(EC, header={"jku": "https://idp.example/jwks", "x5t": "abc", "jwk": jwk_of(STRANGER)}),
        signed(ED, good_claims(), {"alg": "EdDSA", "kid": "ed"}, "Ed25519"),
        token_of(EC, groups=None, scope=None),
        token_of(EC, groups=[], scope=""),
        token_of(EC, scope=["read", "write"]),
        token_of(EC, client_id=None, azp="editor"),
        token_of(EC, unknown={"nested": [1, 2]}),
    ],
)
async def test_what_the_standards_leave_open_is_accepted(token: bytes) -> None:
    assert (await verifier().verify(token, RESOURCE)).person == "alice"


@pytest.mark.parametrize("algorithms", [("EdDSA",), ("Ed25519",)])
@pytest.mark.parametrize("named", ["EdDSA", "Ed25519"])
async def test_both_names_of_ed25519_mean_the_same(algorithms: tuple[str, ...], named: str) -> None:
    token = signed(ED, good_claims(), {"alg": named}, "Ed25519")
    assert (await verifier(algorithms=algorithms).verify(token, RESOURCE)).person == "alice"


async def test_an_algorithm_outside_the_issuers_list_is_refused_even_with_a_right_signature() -> None:
    with pytest.raises(Refused) as refused:
        await verifier(algorithms=("RS256",)).verify(token_of(EC), RESOURCE)
    assert "algorithm" in refused.value.note


@pytest.mark.parametrize("name", ["none", "HS256", "ES384", "", "rs256"])
def test_an_issuer_cannot_be_given_an_algorithm_that_is_not_supported(name: str) -> None:
    with pytest.raises(ValueError, match="not a supported algorithm"):
        Issuer(acme(algorithms=(name,)), local(EC))


async def test_a_token_of_one_issuer_signed_by_another_one_is_refused() -> None:
    other = Issuer(acme(issuer=SHORT_LIVED, tenant="other"), local(STRANGER))
    both = verifier_of(Issuer(acme(), local(EC)), other)
    assert (await both.verify(token_of(STRANGER, iss=SHORT_LIVED), RESOURCE)).tenant == "other"
    with pytest.raises(Refused):
        await both.verify(token_of(STRANGER), RESOURCE)
    with pytest.raises(Refused):
        await both.verify(token_of(EC, iss=SHORT_LIVED), RESOURCE)


async def test_a_fixed_audience_is_good_for_the_endpoints_it_is_mapped_to() -> None:
    checked = verifier(audiences={"api://gateway": ("/mcp", "/servers/notes/mcp")})
    token = token_of(EC, aud="api://gateway")
    for resource in (RESOURCE, f"{PUBLIC_URL}/servers/notes/mcp"):
        assert (await checked.verify(token, resource)).person == "alice"
    for resource in (f"{PUBLIC_URL}/mcp/finance", "https://elsewhere.example/mcp", "/mcp/"):
        with pytest.raises(Refused):
            await checked.verify(token, resource)
    with pytest.raises(Refused):
        await checked.verify(token_of(EC, aud="API://gateway"), RESOURCE)


async def test_a_fixed_audience_belongs_to_its_issuer_alone() -> None:
    both = verifier_of(Issuer(acme(audiences={"api://gateway": ("/mcp",)}), local(EC)), Issuer(acme(issuer=SHORT_LIVED), local(STRANGER)))
    with pytest.raises(Refused):
        await both.verify(token_of(STRANGER, iss=SHORT_LIVED, aud="api://gateway"), RESOURCE)


TENANTS = {"tenant": "", "tenant_claim": "org", "tenants": {"org-1": "acme", "org-2": "beta"}}


async def test_a_listed_value_of_the_tenant_claim_decides_the_tenant() -> None:
    assert (await verifier(**TENANTS).verify(token_of(EC, org="org-2"), RESOURCE)).tenant == "beta"


@pytest.mark.parametrize("value", ["org-3", "acme", "", None, 1, ["org-1"], "ORG-1", "org-1 "])
async def test_an_unlisted_tenant_is_refused(value: object) -> None:
    with pytest.raises(Refused):
        await verifier(**TENANTS).verify(token_of(EC, org=value), RESOURCE)


async def test_a_claim_cannot_change_the_tenant_of_an_issuer_that_has_one() -> None:
    assert (await verifier().verify(token_of(EC, tenant="other", org="org-2"), RESOURCE)).tenant == "acme"


@pytest.mark.parametrize("rules", [{"tenant": ""}, {"tenant": "acme", "tenant_claim": "org"}])
def test_an_issuer_has_one_way_to_its_tenant(rules: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either one tenant or a claim"):
        IssuerRules(issuer=ISSUER, **rules)


async def test_the_table_of_claims_says_where_each_field_comes_from() -> None:
    names = ClaimNames(person="email", workload="wl", client="appid", groups="https://acme.example/groups", scopes="scp")
    claims: dict[str, Any] = {
        "email": "al@acme.example",
        "wl": "bot",
        "appid": "app",
        "https://acme.example/groups": ["b", "a", "b"],
        "scp": "x",
    }
    caller = await verifier(claims=names).verify(token_of(EC, **claims), RESOURCE)
    assert (caller.person, caller.workload, caller.client, caller.groups, caller.scopes) == (
        "al@acme.example",
        "bot",
        "app",
        ("a", "b"),
        frozenset({"x"}),
    )


async def test_a_workload_needs_no_person() -> None:
    caller = await verifier(claims=ClaimNames(workload="wl")).verify(token_of(EC, sub=None, wl="ci-bot"), RESOURCE)
    assert (caller.person, caller.subject) == ("", "ci-bot")


async def test_a_field_without_a_claim_stays_empty() -> None:
    caller = await verifier(claims=ClaimNames(groups="", scopes="")).verify(token_of(EC), RESOURCE)
    assert (caller.groups, caller.scopes) == ((), frozenset())


async def test_a_verified_token_is_known_for_that_resource_alone() -> None:
    checked = verifier()
    assert checked.known(checked.name_of(GOOD, RESOURCE)) is None
    caller = await checked.verify(GOOD, RESOURCE)
    assert checked.known(checked.name_of(GOOD, RESOURCE)) is caller
    assert checked.known(checked.name_of(GOOD, f"{PUBLIC_URL}/mcp/finance")) is None
    assert checked.known(checked.name_of(GOOD[:-1], RESOURCE)) is None


async def test_a_known_token_is_forgotten_when_it_expires() -> None:
    clock = StillClock()
    checked = verifier_of(Issuer(acme(), local(EC)), clock=clock)
    await checked.verify(GOOD, RESOURCE)
    clock.wait(329)
    assert checked.known(checked.name_of(GOOD, RESOURCE)) is not None
    clock.wait(1)
    assert checked.known(checked.name_of(GOOD, RESOURCE)) is None
    with pytest.raises(Refused):
        await checked.verify(GOOD, RESOURCE)


async def test_the_oldest_token_makes_room_for_the_newest() -> None:
    checked = verifier_of(Issuer(acme(), local(EC)), max_entries=3)
    tokens = [token_of(EC, jti=str(number)) for number in range(5)]
    for token in tokens:
        await checked.verify(token, RESOURCE)
    assert [checked.known(checked.name_of(token, RESOURCE)) is not None for token in tokens] == [False, False, True, True, True]
    await checked.verify(tokens[2], RESOURCE)
    await checked.verify(tokens[0], RESOURCE)
    assert [checked.known(checked.name_of(token, RESOURCE)) is not None for token in tokens] == [True, False, True, False, True]


def test_the_verifier_fits_its_port() -> None:
    port: Verifier = verifier()
    assert port.known(port.name_of(b"", "")) is None


@given(st.integers(0, len(GOOD) * 8 - 1))
async def test_a_token_with_one_bit_flipped_is_refused(bit: int) -> None:
    flipped = bytearray(GOOD)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Refused) as refused:
        await verifier().verify(bytes(flipped), RESOURCE)
    assert refused.value.reason is Reason.INVALID_TOKEN


@given(st.binary(max_size=400))
async def test_any_bytes_are_refused_in_one_way(token: bytes) -> None:
    checked = verifier()
    assert checked.known(checked.name_of(token, RESOURCE)) is None
    with pytest.raises(Refused) as refused:
        await checked.verify(token, RESOURCE)
    assert refused.value.reason is Reason.INVALID_TOKEN


@given(
    st.dictionaries(
        st.sampled_from([*sorted(good_claims()), "azp", "nbf"]),
        st.recursive(
            st.none() | st.booleans() | st.integers(-1, 2**40) | st.text(max_size=9),
            lambda inner: st.lists(inner, max_size=2),
            max_leaves=3,
        ),
    )
)
async def test_claims_of_any_shape_are_accepted_or_refused_but_never_an_error(changes: dict[str, Any]) -> None:
    token = by_ec({"alg": "ES256"}, {**good_claims(), **changes})
    try:
        caller = await verifier().verify(token, RESOURCE)
    except Refused as refused:
        outcome = refused.reason is Reason.INVALID_TOKEN
    else:
        outcome = bool(caller.client and caller.subject)
    assert outcome


@given(st.text(max_size=30))
def test_only_letter_case_before_the_path_may_differ(text: str) -> None:
    assert not same_resource(text, RESOURCE)
    assert same_resource(f"{PUBLIC_URL}/{text}", f"{PUBLIC_URL.upper()}/{text}") is text.isascii()
