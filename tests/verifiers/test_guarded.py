"""The client for documents of issuers goes where it may, and no further."""

import asyncio
import datetime
import gzip
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from customhouse.adapters.verifiers.guarded import GuardedClient, NotFetched, is_loopback_url, origin_of, resolved
from tests.verifiers.support import Site, http, http_json, site


class Answers:
    """A resolver that gives one prepared answer after the other, and then the last one again."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> tuple[str, ...]:
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


@pytest.fixture
async def idp() -> AsyncIterator[Site]:
    async with site() as running:
        running.answers["/"] = http_json({"ok": True})
        yield running


@pytest.fixture(scope="module")
def client() -> GuardedClient:
    return GuardedClient()


async def test_a_document_is_read_from_loopback_where_that_is_allowed(client: GuardedClient, idp: Site) -> None:
    assert await client.get_json(idp.url, loopback=True) == {"ok": True}
    assert b"accept-encoding: identity" in idp.requests[0].lower()


async def test_loopback_is_closed_unless_it_is_asked_for(client: GuardedClient, idp: Site) -> None:
    with pytest.raises(NotFetched, match="loopback"):
        await client.get_json(f"https://127.0.0.1:{idp.port}")
    assert idp.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "http://idp.example/",
        "ftp://idp.example/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "/jwks",
        "",
        "https://",
        "https://user:secret@idp.example/",
        "https://idp.example/#part",
        "https://idp.example:port/",
        "https://[::1",
    ],
)
async def test_only_https_urls_without_extras_are_fetched(url: str) -> None:
    resolver = Answers(("8.8.8.8",))
    with pytest.raises(NotFetched, match="The address of the document") as refused:
        await GuardedClient(resolve=resolver).get_json(url)
    assert resolver.asked == 0
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "10.0.0.1", "127.0.0.1", "::1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::1", "fec0::1"],
)
async def test_a_name_with_one_refused_address_is_refused(address: str) -> None:
    with pytest.raises(NotFetched, match="not allowed"):
        await GuardedClient(resolve=Answers(("8.8.8.8", address))).get_json("https://idp.example/")


async def test_plain_http_goes_to_loopback_only_even_to_a_public_address() -> None:
    with pytest.raises(NotFetched, match="Plain HTTP"):
        await GuardedClient(resolve=Answers(("8.8.8.8",))).get_json("http://idp.example/", loopback=True)


async def test_the_connection_goes_to_the_address_that_was_classified_and_the_name_is_not_resolved_again(idp: Site) -> None:
    resolver = Answers(("127.0.0.1",), ("169.254.169.254",))
    assert await GuardedClient(resolve=resolver).get_json(f"http://idp.example:{idp.port}/", loopback=True) == {"ok": True}
    assert resolver.asked == 1
    assert f"host: idp.example:{idp.port}\r\n".encode() in idp.requests[0].lower()


async def test_a_name_that_moves_to_a_refused_address_is_refused_at_the_next_fetch(idp: Site) -> None:
    rebinding = GuardedClient(resolve=Answers(("127.0.0.1",), ("169.254.169.254",)))
    await rebinding.get_json(f"http://idp.example:{idp.port}/", loopback=True)
    with pytest.raises(NotFetched, match="metadata"):
        await rebinding.get_json(f"http://idp.example:{idp.port}/", loopback=True)


async def test_the_next_address_is_tried_where_one_does_not_answer(idp: Site) -> None:
    resolver = Answers(("127.0.0.2", "127.0.0.1"))
    assert await GuardedClient(resolve=resolver).get_json(f"http://idp.example:{idp.port}/", loopback=True) == {"ok": True}


@pytest.mark.parametrize("target", ["http://169.254.169.254/latest/meta-data/", "/elsewhere", "https://idp.example/"])
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent", "304 Not Modified"])
async def test_no_redirect_is_followed(client: GuardedClient, idp: Site, target: str, status: str) -> None:
    idp.answers["/"] = http(b"", status, f"Location: {target}")
    with pytest.raises(NotFetched, match="redirect"):
        await client.get_json(idp.url, loopback=True)
    assert len(idp.requests) == 1


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (http(b"secret detail", "500 Broken"), "HTTP status 500"),
        (http(b"", "204 No Content"), "HTTP status 204"),
        (http(b"<html>"), "not one JSON object"),
        (http(b"[]"), "not one JSON object"),
        (http(b'{"a":1,"a":2}'), "not one JSON object"),
        (http(b'{"a":NaN}'), "not one JSON object"),
        (http(b'{"a":' * 5000), "not one JSON object"),
        (http(b"\xff\xfe{}"), "not one JSON object"),
        (http(b"{}" + b" " * 1000), "larger than 1000 bytes"),
        (http(gzip.compress(b"{}"), "200 OK", "Content-Encoding: gzip"), "compressed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}", "connection broke"),
        (b"not http at all\r\n\r\n", "connection broke"),
        (b"", "connection broke"),
    ],
)
async def test_an_answer_that_is_no_document_is_refused_without_repeating_it(
    client: GuardedClient, idp: Site, answer: bytes, sentence: str
) -> None:
    idp.answers["/"] = answer
    with pytest.raises(NotFetched, match=sentence) as refused:
        await client.get_json(idp.url, loopback=True, max_bytes=1000 if b"  " in answer else 262_144)
    assert "secret" not in str(refused.value)


async def test_a_slow_body_is_cut_by_the_total_time(client: GuardedClient, idp: Site) -> None:
    idp.pause_seconds = 0.02
    with pytest.raises(NotFetched, match="in time"):
        await client.get_json(idp.url, loopback=True, timeout_seconds=0.3)


async def test_a_body_without_an_end_is_cut_by_its_size(client: GuardedClient, idp: Site) -> None:
    idp.answers["/"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"ffff\r\n" + b" " * 0xFFFF + b"\r\n"
    with pytest.raises(NotFetched, match="larger"):
        await client.get_json(idp.url, loopback=True, max_bytes=1000)


async def test_a_closed_port_is_an_outage(client: GuardedClient) -> None:
    async with site() as gone:
        pass
    with pytest.raises(NotFetched, match="No connection"):
        await client.get_json(gone.url, loopback=True)


async def test_a_name_without_an_address_is_an_outage() -> None:
    async def nowhere(host: str, port: int) -> tuple[str, ...]:
        raise OSError("no such host")

    with pytest.raises(NotFetched, match="no address"):
        await GuardedClient(resolve=nowhere).get_json("https://idp.example/")
    with pytest.raises(NotFetched, match="No connection"):
        await GuardedClient(resolve=Answers(())).get_json("https://idp.example/")


async def test_no_cookie_comes_back(client: GuardedClient, idp: Site) -> None:
    idp.answers["/"] = http(b"{}", "200 OK", "Set-Cookie: a=b; Path=/")
    await client.get_json(idp.url, loopback=True)
    await client.get_json(idp.url, loopback=True)
    assert b"cookie" not in idp.requests[1].lower()


async def test_proxies_of_the_environment_are_not_used(client: GuardedClient, idp: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    assert await client.get_json(idp.url, loopback=True) == {"ok": True}


@pytest.mark.parametrize("text", ["127.0.0.1", "127.1", "0x7f000001", "2130706433"])
async def test_any_spelling_of_loopback_resolves_to_an_address_that_is_classified(text: str) -> None:
    assert await resolved(text, 443) == ("127.0.0.1",)
    with pytest.raises(NotFetched, match="loopback"):
        await GuardedClient().get_json(f"https://{text}/")


@pytest.mark.parametrize(
    ("url", "names_loopback"),
    [
        ("http://127.0.0.1:8080/x", True),
        ("http://localhost/", True),
        ("http://[::1]:1/", True),
        ("https://idp.example/", False),
        ("http://localhost.example/", False),
        ("http://[::1", False),
    ],
)
def test_a_url_names_loopback_only_if_its_host_is_loopback(url: str, names_loopback: bool) -> None:
    assert is_loopback_url(url) is names_loopback


def test_an_origin_has_a_port_even_if_the_url_has_none() -> None:
    assert origin_of("https://idp.example/a") == origin_of("https://IDP.example:443/b") != origin_of("http://idp.example/a")
    assert origin_of("https://[::1") == ("", "", 0)


def certificate_for(name: str, folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return certificate_file, key_file


async def test_tls_is_verified_for_the_name_although_the_connection_goes_to_an_address(tmp_path: Path) -> None:
    certificate_file, key_file = certificate_for("idp.example", tmp_path)
    names: list[str | None] = []
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate_file, key_file)
    server_side.sni_callback = lambda _socket, name, _context: names.append(name)
    client = GuardedClient(resolve=Answers(("127.0.0.1",)), tls=ssl.create_default_context(cafile=str(certificate_file)))
    async with site(ssl=server_side) as idp:
        idp.answers["/"] = http_json({"ok": True})
        assert await client.get_json(f"https://idp.example:{idp.port}/", loopback=True) == {"ok": True}
        assert names == ["idp.example"]
        with pytest.raises(NotFetched, match="No connection"):
            await client.get_json(f"https://other.example:{idp.port}/", loopback=True)
        with pytest.raises(NotFetched, match="No connection"):
            await GuardedClient(resolve=Answers(("127.0.0.1",))).get_json(f"https://idp.example:{idp.port}/", loopback=True)
        await asyncio.sleep(0)
