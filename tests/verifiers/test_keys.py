"""Where the keys of an issuer come from, how long they are believed, and what an outage means."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey

from customhouse.adapters.verifiers.guarded import GuardedClient, NotFetched
from customhouse.adapters.verifiers.keys import MAX_KEYS, FetchedKeys, metadata_urls, read_key, read_keys
from customhouse.adapters.verifiers.tokens import Issuer, TokenVerifier, issuers_over_http
from customhouse.core.refusal import Reason, Refused
from tests.verifiers.support import (
    RESOURCE,
    Site,
    StillClock,
    acme,
    ec_key,
    ed_key,
    http,
    http_json,
    jwk_of,
    jwks,
    rsa_key,
    site,
    token_of,
    verifier_of,
)

RSA, EC, ED = rsa_key(), ec_key("first"), ed_key()
NEXT = ec_key("second")
CLIENT = GuardedClient()


@pytest.fixture
async def idp() -> AsyncIterator[Site]:
    async with site() as running:
        running.answers["/jwks"] = http_json(jwks(EC))
        yield running


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


def keys_at(idp: Site, clock: StillClock, **options: Any) -> FetchedKeys:
    return FetchedKeys("https://idp.example", client=CLIENT, clock=clock, jwks_url=f"{idp.url}/jwks", **options)


def verifier_at(idp: Site, clock: StillClock) -> TokenVerifier:
    return verifier_of(*issuers_over_http([acme(jwks_url=f"{idp.url}/jwks")], client=CLIENT, clock=clock), clock=clock)


def go_out(idp: Site) -> None:
    idp.answers.clear()


async def reason_of(verifier: TokenVerifier, token: bytes) -> Reason:
    with pytest.raises(Refused) as refused:
        await verifier.verify(token, RESOURCE)
    return refused.value.reason


# What a key set may hold.


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (EC, "ES256"), (ED, "Ed25519")])
def test_each_kind_of_key_verifies_one_algorithm(key: ECKey, algorithm: str) -> None:
    for changes in ({}, {"use": "sig"}, {"key_ops": ["verify"]}, {"alg": algorithm}, {"x5t": "abc", "unknown": 1}):
        found = read_key(jwk_of(key, **changes))
        assert found is not None
        assert (found.key_id, found.algorithm) == (key.kid, algorithm)


def test_the_old_name_of_ed25519_is_known() -> None:
    assert read_key(jwk_of(ED, alg="EdDSA")) is not None


UNUSABLE: dict[str, dict[str, Any]] = {
    "a shared secret": OctKey.generate_key(256).as_dict(),
    "a shared secret that says RS256": {**OctKey.generate_key(256).as_dict(), "alg": "RS256"},
    "another curve": ECKey.generate_key("P-384").as_dict(),
    "a curve of another family": OKPKey.generate_key("X25519").as_dict(),
    "Ed448": OKPKey.generate_key("Ed448").as_dict(),
    "encryption": jwk_of(RSA, use="enc"),
    "a use that is no text": jwk_of(RSA, use=["sig"]),
    "operations without verify": jwk_of(RSA, key_ops=["sign"]),
    "operations in one text": jwk_of(RSA, key_ops="verify"),
    "another algorithm": jwk_of(RSA, alg="RS512"),
    "another family's algorithm": jwk_of(EC, alg="RS256"),
    "HS256 on a public key": jwk_of(RSA, alg="HS256"),
    "an algorithm that is no text": jwk_of(RSA, alg=["RS256"]),
    "a null algorithm": jwk_of(RSA, alg=None),
    "an id that is no text": jwk_of(RSA, kid=1),
    "a huge id": jwk_of(RSA, kid="a" * 257),
    "no type": {"n": "AQAB"},
    "a type that is no text": jwk_of(RSA, kty=["RSA"]),
    "no modulus": {"kty": "RSA", "e": "AQAB"},
    "a modulus that is no text": jwk_of(RSA, n=5),
    "a modulus that is no base64": jwk_of(RSA, n="*" * 400),
    "a modulus outside ASCII": jwk_of(RSA, n="ä" * 400),
    "a short modulus": jwk_of(RSA, n="x" * 300),
    "a huge modulus": jwk_of(RSA, n="x" * 2000),
    "an even exponent": jwk_of(RSA, e="BA"),
    "an exponent of one": jwk_of(RSA, e="AQ"),
    "no exponent": jwk_of(RSA, e=""),
    "a point off the curve": jwk_of(EC, x=jwk_of(NEXT)["x"]),
    "half a point": {"kty": "EC", "crv": "P-256", "x": jwk_of(EC)["x"]},
    "a short point": jwk_of(ED, x="AAAA"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_key_that_cannot_verify_our_tokens_is_passed_over(name: str) -> None:
    assert read_key(UNUSABLE[name]) is None
    assert [key.key_id for key in read_keys({"keys": [UNUSABLE[name], jwk_of(EC), "no key", None]})] == ["first"]


@pytest.mark.parametrize(
    "document", [{}, {"keys": {}}, {"keys": None}, {"keys": []}, {"keys": list(UNUSABLE.values())}, {"keys": [jwk_of(EC)] * (MAX_KEYS + 1)}]
)
def test_a_document_without_a_reasonable_number_of_keys_is_no_key_set(document: dict[str, Any]) -> None:
    with pytest.raises(NotFetched, match="key set"):
        read_keys(document)


def test_a_private_key_in_a_key_set_is_read_without_its_private_part() -> None:
    found = read_key(EC.as_dict(private=True))
    assert found is not None
    assert not found.key.is_private


def test_the_same_key_twice_is_one_key() -> None:
    assert len(read_keys({"keys": [jwk_of(EC), jwk_of(EC, use="sig")]})) == 1


# Which key is taken.


async def test_a_token_without_a_key_id_is_verified_only_where_there_is_no_choice(idp: Site, clock: StillClock) -> None:
    keys = keys_at(idp, clock)
    found = await keys.find("", "ES256")
    assert found is not None
    assert found.key_id == "first"
    idp.answers["/jwks"] = http_json(jwks(EC, NEXT))
    clock.wait(300)
    assert await keys.find("", "ES256") is None
    assert await keys.find("second", "ES256") is not None
    assert await keys.find("second", "RS256") is None


async def test_two_keys_under_one_id_are_no_choice_either(idp: Site, clock: StillClock) -> None:
    idp.answers["/jwks"] = http_json(jwks(EC, ec_key("first")))
    assert await keys_at(idp, clock).find("first", "ES256") is None


# Rotation.


async def test_a_new_key_is_fetched_when_a_token_names_it(idp: Site, clock: StillClock) -> None:
    verifier = verifier_at(idp, clock)
    await verifier.verify(token_of(EC), RESOURCE)
    idp.answers["/jwks"] = http_json(jwks(EC, NEXT))
    clock.wait(10)
    assert (await verifier.verify(token_of(NEXT), RESOURCE)).person == "alice"
    assert len(idp.requests) == 2


async def test_a_withdrawn_key_drops_the_tokens_it_signed(idp: Site, clock: StillClock) -> None:
    verifier = verifier_at(idp, clock)
    old, new = token_of(EC), token_of(NEXT)
    await verifier.verify(old, RESOURCE)
    idp.answers["/jwks"] = http_json(jwks(NEXT))
    clock.wait(10)
    assert verifier.known(verifier.name_of(old, RESOURCE)) is not None
    await verifier.verify(new, RESOURCE)
    assert verifier.known(verifier.name_of(old, RESOURCE)) is None
    assert verifier.known(verifier.name_of(new, RESOURCE)) is not None
    assert await reason_of(verifier, old) is Reason.INVALID_TOKEN


async def test_a_withdrawn_key_is_noticed_without_any_new_key(idp: Site, clock: StillClock) -> None:
    verifier = verifier_at(idp, clock)
    token = token_of(EC, exp=int(clock.now()) + 3600)
    await verifier.verify(token, RESOURCE)
    idp.answers["/jwks"] = http_json(jwks(NEXT))
    clock.wait(299)
    assert verifier.known(verifier.name_of(token, RESOURCE)) is not None
    clock.wait(1)
    assert verifier.known(verifier.name_of(token, RESOURCE)) is None
    assert await reason_of(verifier, token) is Reason.INVALID_TOKEN


async def test_an_unchanged_key_set_keeps_its_tokens(idp: Site, clock: StillClock) -> None:
    verifier = verifier_at(idp, clock)
    token, other = token_of(EC, exp=int(clock.now()) + 3600), token_of(EC, exp=int(clock.now()) + 3600, jti="other")
    await verifier.verify(token, RESOURCE)
    clock.wait(300)
    await verifier.verify(other, RESOURCE)
    assert len(idp.requests) == 2
    assert verifier.known(verifier.name_of(token, RESOURCE)) is not None


async def test_a_key_with_the_same_id_and_other_numbers_is_another_key(idp: Site, clock: StillClock) -> None:
    keys = keys_at(idp, clock)
    await keys.find("first", "ES256")
    before = keys.generation
    idp.answers["/jwks"] = http_json(jwks(ec_key("first")))
    clock.wait(300)
    await keys.find("first", "ES256")
    assert keys.generation == before + 1


async def test_made_up_key_ids_cause_few_fetches(idp: Site, clock: StillClock) -> None:
    verifier = verifier_at(idp, clock)
    await verifier.verify(token_of(EC), RESOURCE)
    clock.wait(10)
    for number in range(50):
        assert await reason_of(verifier, token_of(EC, header={"kid": f"made-up-{number}"})) is Reason.INVALID_TOKEN
    assert len(idp.requests) == 2


async def test_many_callers_share_one_fetch_and_none_of_them_can_cancel_it(idp: Site, clock: StillClock) -> None:
    keys = keys_at(idp, clock)
    waiting = [asyncio.create_task(keys.find("first", "ES256")) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    found = await asyncio.gather(*waiting[1:])
    assert all(key is not None for key in found)
    assert len(idp.requests) == 1


async def test_a_hostile_token_causes_no_fetch_at_all(idp: Site, clock: StillClock) -> None:
    verifier = verifier_at(idp, clock)
    for token in (
        token_of(EC, iss="https://evil.example"),
        token_of(EC, aud="other"),
        token_of(EC, exp=1),
        b"x",
        token_of(EC, header={"alg": "none"}),
    ):
        assert await reason_of(verifier, token) is Reason.INVALID_TOKEN
    assert idp.requests == []


# Outage.


async def test_an_issuer_that_was_never_reached_is_an_outage_and_not_a_bad_token(idp: Site, clock: StillClock) -> None:
    go_out(idp)
    verifier = verifier_at(idp, clock)
    assert await reason_of(verifier, token_of(EC)) is Reason.ISSUER_UNAVAILABLE
    assert await reason_of(verifier, token_of(EC)) is Reason.ISSUER_UNAVAILABLE
    assert len(idp.requests) == 1
    idp.answers["/jwks"] = http_json(jwks(EC))
    clock.wait(10)
    assert (await verifier.verify(token_of(EC), RESOURCE)).person == "alice"


async def test_old_keys_serve_an_outage_up_to_their_bound_and_not_longer(idp: Site, clock: StillClock) -> None:
    verifier = verifier_at(idp, clock)
    token = token_of(EC, exp=int(clock.now()) + 9000)
    await verifier.verify(token, RESOURCE)
    go_out(idp)
    clock.wait(300)
    assert (await verifier.verify(token, RESOURCE)).person == "alice"
    assert verifier.known(verifier.name_of(token, RESOURCE)) is not None
    clock.wait(3299)
    assert verifier.known(verifier.name_of(token, RESOURCE)) is None
    assert (await verifier.verify(token, RESOURCE)).person == "alice"
    clock.wait(1)
    assert verifier.known(verifier.name_of(token, RESOURCE)) is None
    assert await reason_of(verifier, token) is Reason.ISSUER_UNAVAILABLE


async def test_during_a_known_outage_nobody_waits_for_the_next_attempt(idp: Site, clock: StillClock) -> None:
    keys = keys_at(idp, clock)
    await keys.find("first", "ES256")
    go_out(idp)
    clock.wait(300)
    await keys.find("first", "ES256")
    clock.wait(10)
    assert await keys.find("first", "ES256") is not None
    assert len(idp.requests) == 2
    await keys.settled()
    assert len(idp.requests) == 3


async def test_an_issuer_that_comes_back_is_believed_again(idp: Site, clock: StillClock) -> None:
    verifier = verifier_at(idp, clock)
    token = token_of(EC, exp=int(clock.now()) + 9000)
    await verifier.verify(token, RESOURCE)
    go_out(idp)
    clock.wait(4000)
    assert await reason_of(verifier, token) is Reason.ISSUER_UNAVAILABLE
    idp.answers["/jwks"] = http_json(jwks(EC))
    clock.wait(10)
    assert (await verifier.verify(token, RESOURCE)).person == "alice"


async def test_an_unknown_key_during_an_outage_is_not_called_a_bad_token(idp: Site, clock: StillClock) -> None:
    verifier = verifier_at(idp, clock)
    await verifier.verify(token_of(EC), RESOURCE)
    go_out(idp)
    clock.wait(10)
    assert await reason_of(verifier, token_of(NEXT)) is Reason.ISSUER_UNAVAILABLE


@pytest.mark.parametrize(
    "answer", [http(b"", "302 Found", "Location: /other"), http(b"[]"), http(b'{"keys":[]}'), http_json({"keys": list(UNUSABLE.values())})]
)
async def test_an_answer_that_is_no_key_set_changes_nothing(idp: Site, clock: StillClock, answer: bytes) -> None:
    keys = keys_at(idp, clock)
    await keys.find("first", "ES256")
    idp.answers["/jwks"] = answer
    clock.wait(300)
    assert await keys.find("first", "ES256") is not None
    assert keys.generation == 1


# Discovery.


def discovered(idp: Site, clock: StillClock, path: str = "") -> FetchedKeys:
    return FetchedKeys(idp.url + path, client=CLIENT, clock=clock)


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("", "/.well-known/oauth-authorization-server"),
        ("", "/.well-known/openid-configuration"),
        ("/", "/.well-known/oauth-authorization-server"),
        ("/realm/a", "/.well-known/oauth-authorization-server/realm/a"),
        ("/realm/a", "/.well-known/openid-configuration/realm/a"),
        ("/realm/a", "/realm/a/.well-known/openid-configuration"),
    ],
)
async def test_the_key_set_is_found_through_the_issuers_metadata(idp: Site, clock: StillClock, path: str, document: str) -> None:
    idp.answers[document] = http_json({"issuer": idp.url + path, "jwks_uri": f"{idp.url}/jwks"})
    assert await discovered(idp, clock, path).find("first", "ES256") is not None
    assert idp.paths()[-2:] == [document, "/jwks"]


@pytest.mark.parametrize("change", ["/", "/other", None, 1])
async def test_metadata_of_another_issuer_are_not_believed(idp: Site, clock: StillClock, change: object) -> None:
    named = idp.url + change if isinstance(change, str) else change
    idp.answers["/.well-known/oauth-authorization-server"] = http_json({"issuer": named, "jwks_uri": f"{idp.url}/jwks"})
    idp.answers["/.well-known/openid-configuration"] = http_json({"issuer": idp.url, "jwks_uri": f"{idp.url}/jwks"})
    with pytest.raises(Refused) as refused:
        await discovered(idp, clock).find("first", "ES256")
    assert refused.value.reason is Reason.ISSUER_UNAVAILABLE
    assert "another issuer" in refused.value.note
    assert len(idp.requests) == 1


@pytest.mark.parametrize(
    ("key_set", "sentence"),
    [
        (None, "no key set"),
        (["https://idp.example/jwks"], "no key set"),
        ("http://169.254.169.254/jwks", "https"),
        ("https://169.254.169.254/jwks", "metadata address"),
        ("https://10.0.0.1/jwks", "private address"),
        ("http://127.0.0.1:1/jwks", "https"),
        ("https://127.0.0.1:1/jwks", "loopback address"),
        ("file:///etc/passwd", "https"),
    ],
)
async def test_metadata_cannot_send_the_gateway_elsewhere(idp: Site, clock: StillClock, key_set: object, sentence: str) -> None:
    idp.answers["/.well-known/oauth-authorization-server"] = http_json({"issuer": idp.url, "jwks_uri": key_set})
    with pytest.raises(Refused) as refused:
        await FetchedKeys(idp.url, client=CLIENT, clock=clock, networks=("10.0.0.0/8",)).find("first", "ES256")
    assert sentence in refused.value.note


async def test_an_issuer_without_metadata_is_an_outage(idp: Site, clock: StillClock) -> None:
    with pytest.raises(Refused) as refused:
        await discovered(idp, clock, "/realm").find("first", "ES256")
    assert "HTTP status 404" in refused.value.note
    assert len(idp.requests) == 3


async def test_an_issuer_that_is_no_url_needs_a_key_set_of_its_own(clock: StillClock) -> None:
    assert metadata_urls("urn:example:issuer") == ()
    with pytest.raises(Refused) as refused:
        await FetchedKeys("urn:example:issuer", client=CLIENT, clock=clock).find("first", "ES256")
    assert "not a URL" in refused.value.note


async def test_a_token_is_verified_with_keys_found_through_metadata(idp: Site, clock: StillClock) -> None:
    idp.answers["/.well-known/openid-configuration"] = http_json({"issuer": idp.url, "jwks_uri": f"{idp.url}/jwks"})
    idp.answers["/jwks"] = http_json(jwks(RSA, EC, ED))
    verifier = verifier_of(Issuer(acme(issuer=idp.url), discovered(idp, clock)), clock=clock)
    for key in (RSA, EC, ED):
        assert (await verifier.verify(token_of(key, iss=idp.url), RESOURCE)).issuer == idp.url
