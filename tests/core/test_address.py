"""Which addresses the gateway connects to."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.address import AddressClass, class_of, may_connect

CORPUS = {
    AddressClass.PUBLIC: (
        "1.1.1.1",
        "8.8.8.8",
        "172.15.255.255",
        "172.32.0.1",
        "100.63.255.255",
        "100.128.0.1",
        "192.0.1.1",
        "198.17.255.255",
        "198.20.0.1",
        "223.255.255.255",
        "169.253.255.255",
        "2606:4700:4700::1111",
        "2a00:1450:4001:81b::200e",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
    ),
    AddressClass.LOOPBACK: ("127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "::1%lo", "::ffff:7f00:1"),
    AddressClass.PRIVATE: (
        "10.0.0.1",
        "10.255.255.255",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "192.168.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "fc00::1",
        "fd12:3456:789a::1",
        "fec0::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::808:808",
        "2002:c0a8:1::1",
        "::10.0.0.1",
    ),
    AddressClass.LINK_LOCAL: ("169.254.0.1", "169.254.169.253", "fe80::1", "fe80::1%eth0", "febf::1", "64:ff9b::a9fe:1", "2002:a9fe:1::1"),
    AddressClass.METADATA: (
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd20:ce::254",
        "fe80::a9fe:a9fe",
        "fe80::a9fe:a9fe%eth0",
        "::ffff:169.254.169.254",
        "::ffff:0:a9fe:a9fe",
        "::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "64:ff9b:1:ffff::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "2001:0:808:808::5601:5601",
        "2001:0:a9fe:a9fe::f7f7:f7f7",
        "64:ff9b::a83f:8110",
    ),
    AddressClass.MULTICAST: (
        "224.0.0.1",
        "239.255.255.250",
        "255.255.255.255",
        "ff02::1",
        "ff0e::1",
        "::ffff:224.0.0.1",
        "64:ff9b::e000:1",
    ),
    AddressClass.UNSPECIFIED: ("0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0"),
    AddressClass.RESERVED: (
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "240.0.0.1",
        "254.255.255.255",
        "100::1",
        "2001:2::1",
        "2001:20::1",
        "2001:db8::1",
        "3fff::1",
        "4000::1",
        "5f00::1",
        "64:ff9b:2::808:808",
        "64:ff9b::7f00:1",
        "64:ff9b::",
        "2002:7f00:1::1",
        "2002:808:808::1",
        "::8.8.8.8",
        "::127.0.0.1",
        "::ffff:0:808:808",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    ),
    AddressClass.UNREADABLE: (
        "",
        "localhost",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "127.1",
        "1.2.3.4.5",
        "[::1]",
        "8.8.8.8:80",
        " 8.8.8.8",
        "８.8.8.8",
        "1.1.1.1/32",
    ),
}
NEVER = {AddressClass.METADATA, AddressClass.MULTICAST, AddressClass.UNSPECIFIED, AddressClass.UNREADABLE}
EVERYTHING = ("0.0.0.0/0", "::/0")


@pytest.mark.parametrize(("address", "kind"), [(address, kind) for kind, addresses in CORPUS.items() for address in addresses])
def test_an_address_is_of_the_class_of_what_stands_behind_it(address: str, kind: AddressClass) -> None:
    assert class_of(address) is kind


@pytest.mark.parametrize("address", [address for kind in CORPUS if kind is not AddressClass.PUBLIC for address in CORPUS[kind]])
def test_only_public_addresses_need_no_permission(address: str) -> None:
    assert not may_connect(address)


@pytest.mark.parametrize("address", CORPUS[AddressClass.PUBLIC])
def test_a_public_address_may_be_connected_to(address: str) -> None:
    assert may_connect(address)


@pytest.mark.parametrize("address", [address for kind in sorted(NEVER, key=str) for address in CORPUS[kind]])
def test_no_setting_opens_metadata_multicast_or_unspecified_addresses(address: str) -> None:
    assert not may_connect(address, networks=EVERYTHING, loopback=True)


@pytest.mark.parametrize("address", CORPUS[AddressClass.LOOPBACK])
def test_loopback_is_opened_by_its_own_switch_and_not_by_a_network(address: str) -> None:
    assert may_connect(address, loopback=True)
    assert not may_connect(address, networks=(*EVERYTHING, "127.0.0.0/8", "::1/128"))


@pytest.mark.parametrize("kind", [AddressClass.PRIVATE, AddressClass.LINK_LOCAL, AddressClass.RESERVED])
def test_a_listed_network_opens_the_addresses_inside_it(kind: AddressClass) -> None:
    assert all(may_connect(address, networks=EVERYTHING) for address in CORPUS[kind])


def test_a_listed_network_opens_nothing_outside_it() -> None:
    assert may_connect("10.1.2.3", networks=("10.1.0.0/16",))
    assert not may_connect("10.2.2.3", networks=("10.1.0.0/16",))
    assert may_connect("::ffff:10.1.2.3", networks=("10.1.0.0/16",))


def test_a_listed_ipv4_network_does_not_open_a_translation_into_it() -> None:
    assert not may_connect("64:ff9b::a01:203", networks=("10.0.0.0/8",))
    assert may_connect("64:ff9b::a01:203", networks=("64:ff9b::/96",))


def test_a_network_that_is_none_is_an_error_even_if_it_would_not_be_needed() -> None:
    with pytest.raises(ValueError, match="not-a-network"):
        may_connect("8.8.8.8", networks=("not-a-network",))


@given(st.integers(0, 2**32 - 1))
def test_a_mapped_address_is_judged_as_the_address_it_maps(number: int) -> None:
    assert class_of(f"::ffff:{IPv4Address(number)}") is class_of(str(IPv4Address(number)))


@given(st.integers(0, 2**32 - 1), st.sampled_from([(0x64FF9B << 96, 0), (0x64FF9B0001 << 80, 0), (0x2002 << 112, 80), (0xFFFF << 48, 0)]))
def test_no_carrier_makes_a_refused_address_acceptable(number: int, carrier: tuple[int, int]) -> None:
    prefix, shift_bits = carrier
    carried = str(IPv6Address(prefix | number << shift_bits))
    assert may_connect(str(IPv4Address(number))) or not may_connect(carried)


@given(st.integers(0, 2**128 - 1))
def test_what_the_standard_library_calls_not_global_is_never_public(number: int) -> None:
    address = IPv6Address(number)
    assert address.is_global or class_of(str(address)) is not AddressClass.PUBLIC


@given(st.text(max_size=60))
def test_any_text_has_a_class(text: str) -> None:
    assert class_of(text) in AddressClass
