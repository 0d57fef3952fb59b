"""Where the gateway connects to: addresses that hide others, addresses that a stranger names, addresses in configuration."""

import asyncio
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.adapters.secrets.references import ReferencedSecrets
from customhouse.adapters.upstreams.transports import TransportUpstreams
from customhouse.adapters.verifiers.guarded import GuardedClient, NotFetched
from customhouse.adapters.verifiers.keys import Location
from customhouse.config.definitions import read_definitions
from customhouse.config.findings import ConfigurationInvalid
from customhouse.config.tree import Settings
from customhouse.core.address import AddressClass, class_of, may_connect
from customhouse.core.manifest import ServerDefinition
from customhouse.core.permit import Errand, Purpose
from customhouse.core.refusal import Reason, Refused
from tests.config.deployments import NOTES, refused, write
from tests.cves.cases import advisory
from tests.upstreams.support import Noted
from tests.verifiers.support import StillClock, http_json, site

INNER = [
    *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "168.63.129.16"),
    *("192.0.0.192", "0.0.0.0"),
]
NAT64 = [0x0064_FF9B << 96, 0x0064_FF9B_0001 << 80]
EVERY_INNER = pytest.mark.parametrize("inner", INNER)


def six_to_four(inner: str) -> str:
    return str(IPv6Address(0x2002 << 112 | int(IPv4Address(inner)) << 80 | 1))


def in_nat64(prefix: int, inner: str) -> str:
    return str(IPv6Address(prefix | int(IPv4Address(inner))))


@advisory("CVE-2026-44430")
@EVERY_INNER
def test_an_embedded_address_is_refused_for_what_it_carries(inner: str) -> None:
    hidden = [six_to_four(inner), f"::ffff:{inner}", f"::{inner}", f"::ffff:0:{inner}", in_nat64(NAT64[0], inner)]
    assert [address for address in hidden if may_connect(address)] == []


@advisory("CVE-2026-44430")
@pytest.mark.parametrize(
    "address", ["fec0::1", "feff:ffff::1", "fec0::a9fe:a9fe", "fc00::1", "fe80::1", "2002:a9fe:a9fe::1", "2001:0:a9fe:a9fe::1"]
)
def test_site_local_and_tunnels_are_not_public(address: str) -> None:
    assert not may_connect(address)


@advisory("CVE-2026-44430")
@given(st.integers(0, 2**32 - 1))
def test_no_embedding_is_more_public_than_what_it_carries(number: int) -> None:
    inner = str(IPv4Address(number))
    if not may_connect(inner):
        assert not any(map(may_connect, [six_to_four(inner), *[in_nat64(prefix, inner) for prefix in NAT64], f"::ffff:{inner}"]))


@advisory("CVE-2026-54450")
@EVERY_INNER
@pytest.mark.parametrize("prefix", NAT64)
def test_both_prefixes_of_nat64_are_judged_by_what_they_carry(prefix: int, inner: str) -> None:
    assert not may_connect(in_nat64(prefix, inner))


@advisory("CVE-2026-54450")
def test_the_prefix_of_the_local_network_is_private_whatever_it_carries() -> None:
    assert class_of(in_nat64(NAT64[1], "8.8.8.8")) is AddressClass.PRIVATE
    assert class_of(in_nat64(NAT64[0], "8.8.8.8")) is AddressClass.PUBLIC


@advisory("CVE-2026-54450", "CVE-2026-58196")
@pytest.mark.parametrize(
    "address", ["64:ff9b::7f00:1", "64:ff9b:1::a9fe:a9fe", "2002:7f00:1::1", "fec0::1", "169.254.169.254", "10.0.0.1", "127.0.0.1"]
)
async def test_a_name_that_resolves_inwards_is_not_asked(address: str) -> None:  # GW-100
    async def resolve(host: str, port: int) -> tuple[str, ...]:
        del host, port
        return ("8.8.8.8", address)

    with pytest.raises(NotFetched, match="not allowed"):
        await GuardedClient(resolve=resolve).get_json("https://idp.example/.well-known/oauth-authorization-server")


HOSTILE_KEY_SETS = [
    "https://127.0.0.1:{bait}/jwks",
    "http://127.0.0.1:{bait}/jwks",
    "https://localhost:{bait}/jwks",
    "https://[::ffff:127.0.0.1]:{bait}/jwks",
    "https://2130706433:{bait}/jwks",
    "https://169.254.169.254/latest/meta-data/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://user@127.0.0.1:{bait}/jwks",
]
UNSPEAKABLE = [
    "file:///etc/passwd",
    "javascript:alert(1)",
    "data:application/json,{}",
    "gopher://127.0.0.1:{bait}/_x",
    "$(touch pwned)",
    "`touch pwned`",
    "a:$(touch pwned)",
    "https://127.0.0.1:{bait}/$(touch pwned)",
    "-oProxyCommand=touch pwned",
    "| touch pwned",
    "\\\\evil.example\\share",
    "",
]


async def key_set_at(address: str, *, name: str = "jwks_uri") -> list[str]:
    """The paths asked for at a bystander on loopback after an issuer's metadata named this address; reading has to fail."""
    async with site() as idp, site() as bystander:
        named = address.replace("{bait}", str(bystander.port))
        idp.answers["/.well-known/oauth-authorization-server"] = http_json({"issuer": idp.url, name: named})
        with pytest.raises(NotFetched):
            await Location(idp.url, "", (), GuardedClient()).read()
        return bystander.paths()


@advisory("CVE-2026-58196")
@pytest.mark.parametrize("address", HOSTILE_KEY_SETS)
async def test_an_address_that_an_issuer_names_gets_no_more_than_a_strangers(address: str) -> None:  # GW-100
    """The operator opened loopback for this issuer, not for what it points at."""
    assert await key_set_at(address) == []


@advisory("CVE-2026-58196")
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"])
async def test_discovery_follows_no_redirect(status: str) -> None:  # GW-100
    async with site() as idp, site() as bystander:
        head = f"HTTP/1.1 {status}\r\nLocation: {bystander.url}/jwks\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        idp.answers["/.well-known/oauth-authorization-server"] = idp.answers["/.well-known/openid-configuration"] = head.encode()
        with pytest.raises(NotFetched, match="redirect"):
            await Location(idp.url, "", (), GuardedClient()).read()
        assert bystander.requests == []


@advisory("CVE-2025-6514")
@pytest.mark.parametrize("address", UNSPEAKABLE)
async def test_a_discovered_address_is_fetched_over_https_or_not_at_all(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert await key_set_at(address) == []
    assert await key_set_at(address, name="authorization_endpoint") == []
    assert list(tmp_path.iterdir()) == []


# --- What an operator writes ---------------------------------------------------------------------------------------------

BAD_URLS = [
    "file:///etc/passwd",
    "gopher://127.0.0.1/",
    "javascript:alert(1)",
    "ftp://notes.example/mcp",
    "notes.example/mcp",
    "//notes.example/mcp",
    "http://notes.example/mcp",
    "http://169.254.169.254/latest/meta-data/",
    "http://10.0.0.1/mcp",
    "https://2130706433/mcp",
    "https://0x7f000001/mcp",
    "https://127.1/mcp",
    "https://user:secret@notes.example/mcp",
    "https://notes.example\\@evil.example/mcp",
    "https://notes.example/mcp#x",
    "https:///mcp",
    "https://notes.example:0/mcp",
    "https://notes.example:99999/mcp",
    "https://not es.example/mcp",
    "https://n\u043etes.example/mcp",
]
ISSUER = "identity: {{issuers: [{{issuer: {issuer}, tenant: acme, jwks_url: {jwks}}}]}}"


@advisory("CF #5601")
@pytest.mark.parametrize("url", BAD_URLS)
def test_a_bad_address_of_a_server_is_found_when_it_is_read(tmp_path: Path, url: str) -> None:
    write(tmp_path, {"servers/notes.yaml": NOTES.replace("https://notes.example/mcp", f"'{url}'")})
    with pytest.raises(ConfigurationInvalid) as invalid:
        read_definitions(tmp_path, Settings())
    assert [finding.key for finding in invalid.value.findings] == ["url"]


@advisory("CF #5601")
@pytest.mark.parametrize("url", BAD_URLS)
def test_a_bad_address_of_an_issuer_or_of_its_keys_is_found_when_it_is_read(tmp_path: Path, url: str) -> None:
    for issuer, jwks in ((f"'{url}'", "https://idp.example/jwks"), ("https://idp.example", f"'{url}'")):
        assert refused(tmp_path, ISSUER.format(issuer=issuer, jwks=jwks))


@advisory("CF #5601")
@pytest.mark.parametrize("url", [url for url in BAD_URLS if "#" not in url])
def test_a_bad_address_of_the_gateway_or_of_an_origin_is_found_when_it_is_read(tmp_path: Path, url: str) -> None:
    assert refused(tmp_path, f"public_url: '{url}'")
    if not url.startswith("http://1"):  # a page on a private address may be an origin
        assert refused(tmp_path, f"listen: {{allowed_origins: ['{url}']}}")


def definition(url: str) -> ServerDefinition:
    return ServerDefinition(name="lab", owner="o", contact="c", tenant="local", url=url, connect_timeout_seconds=2.0)


@advisory("CF #4281")
@pytest.mark.parametrize(
    "host",
    [
        *("169.254.169.254", "10.0.0.1", "192.168.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "0.0.0.0"),
        *("[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::1]", "[fec0::1]", "[fd00:ec2::254]", "[::]", "[64:ff9b::7f00:1]", "[::7f00:1]"),
        *("2130706433", "0x7f000001", "127.1", "0177.0.0.1"),
    ],
)
@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_an_address_is_judged_again_when_it_is_connected_to(host: str, scheme: str) -> None:
    """Whatever got past the reading of a definition: the resolved address decides."""
    upstreams = TransportUpstreams(ReferencedSecrets(Path(), {}), StillClock(), Noted())
    with pytest.raises(Refused) as no:
        await asyncio.wait_for(upstreams.era_of(Errand(Purpose.PROBE, definition(f"{scheme}://{host}/mcp"))), 5.0)
    await upstreams.close()
    assert no.value.reason is Reason.ADDRESS_REFUSED
