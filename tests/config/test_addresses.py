"""Web addresses and hosts have one meaning or none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.config.addresses import is_host, is_network, names_loopback, web_address


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port", "authority"),
    [
        ("https://a.example", "https", "a.example", 443, "a.example"),
        ("https://A.example:8443/x?y=1", "https", "a.example", 8443, "a.example:8443"),
        ("http://127.0.0.1:80", "http", "127.0.0.1", 80, "127.0.0.1"),
        ("http://[::1]:8080/mcp", "http", "::1", 8080, "[::1]:8080"),
    ],
)
def test_an_address_is_read_into_its_parts(text: str, scheme: str, host: str, port: int, authority: str) -> None:
    address = web_address(text)
    assert (address.scheme, address.host, address.port, address.authority) == (scheme, host, port, authority)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.example",
        "//a.example",
        "https:a.example",
        "https://",
        "https:///x",
        "ftp://a.example",
        "javascript:alert(1)",
        "https://a b.example",
        "https://a.example\n",
        "https://a.example\\@b.example",
        "https://ä.example",
        "https://a..example",
        "https://.example",
        "https://a.example.",
        "https://a.example:0",
        "https://a.example:x",
        "https://a.example:99999",
        "https://[::1",
        "https://[fe80::1%25eth0]/",
        "https://127.1",
        "https://2130706433",
        "https://0x7f000001",
        "https://0177.0.0.1",
        "https://1.2.3.4.5",
        "https://%31.example",
    ],
)
def test_an_address_that_readers_disagree_about_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+\."):
        web_address(text)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("127.0.0.1", True),
        ("127.255.0.1", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("127.1", False),
        ("::ffff:10.0.0.1", False),
        ("", False),
    ],
)
def test_loopback_is_known_by_its_text(host: str, loopback: bool) -> None:
    assert names_loopback(host) is loopback


@pytest.mark.parametrize(
    ("text", "fits"), [("10.0.0.0/8", True), ("fd00::/8", True), ("10.0.0.1/8", False), ("10.0.0.0", False), ("x/8", False)]
)
def test_a_network_has_a_prefix_length_and_no_host_bits(text: str, fits: bool) -> None:
    assert is_network(text) is fits


@pytest.mark.parametrize("text", ["a" * 64, "a." * 127 + "a", "", "-a", "a-", "a_b.1", "*"])
def test_what_dns_cannot_hold_is_no_host(text: str) -> None:
    assert not is_host(text)


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    for candidate in (text, f"https://{text}"):
        try:
            address = web_address(candidate)
        except ValueError:
            continue
        assert is_host(address.host)
        assert address.query_names is not None
