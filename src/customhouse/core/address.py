"""Classes of IP addresses, and whether the gateway may connect to one.

Sources: the IANA special-purpose address registries (RFC 6890 and its successors), RFC 6052 and RFC 8215 (NAT64), RFC 3056
and RFC 7526 (6to4), RFC 4380 (Teredo), RFC 4291 (mapped and compatible forms), RFC 2765 (translated form).
`ipaddress.is_global` says yes to 192.0.0.192, 168.63.129.16, fec0::1 and 2002:a9fe:a9fe::1 on Python 3.11, so it is asked
last and never alone. A name resolver turns `0x7f000001` and `127.1` into addresses: classify what was resolved, not its text.
"""

import enum
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network


class AddressClass(enum.Enum):
    """What stands behind an address."""

    PUBLIC = "public"
    LOOPBACK = "loopback"
    PRIVATE = "private"
    """RFC 1918, carrier-grade NAT, unique local and site-local addresses, local NAT64."""
    LINK_LOCAL = "link-local"
    METADATA = "metadata"
    """A cloud's instance service: it hands out credentials to whoever connects."""
    MULTICAST = "multicast"
    UNSPECIFIED = "unspecified"
    """`0.0.0.0/8` and `::`, which a kernel may take for the machine itself."""
    RESERVED = "reserved"
    UNREADABLE = "unreadable"
    """The text is not an address."""


_LISTABLE = frozenset({AddressClass.PRIVATE, AddressClass.LINK_LOCAL, AddressClass.RESERVED})
"""The classes that an operator may open by listing a network that contains the address."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """An IPv6 network whose addresses carry an IPv4 address."""

    network: IPv6Network
    shift_bits: int
    """How far the IPv4 address stands from the right end."""
    inverted: bool
    around_public: AddressClass
    """The class where the carried address is public."""


_METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",  # most clouds
        "169.254.170.2",  # Amazon ECS task credentials
        "169.254.170.23",  # Amazon EKS pod identity
        "169.254.0.23",  # Tencent Cloud
        "169.254.42.42",  # Scaleway
        "100.100.100.200",  # Alibaba Cloud
        "168.63.129.16",  # Azure
        "192.0.0.192",  # Oracle Cloud
        "fd00:ec2::254",  # Amazon EC2
        "fd00:ec2::23",  # Amazon EKS pod identity
        "fd20:ce::254",  # Google Cloud
        "fd00:42::42",  # Scaleway
        "fe80::a9fe:a9fe",  # OpenStack
    )
)

_V4_CLASSES: tuple[tuple[IPv4Network, AddressClass], ...] = tuple(
    (IPv4Network(text), kind)
    for text, kind in (
        ("0.0.0.0/8", AddressClass.UNSPECIFIED),
        ("10.0.0.0/8", AddressClass.PRIVATE),
        ("100.64.0.0/10", AddressClass.PRIVATE),
        ("127.0.0.0/8", AddressClass.LOOPBACK),
        ("169.254.0.0/16", AddressClass.LINK_LOCAL),
        ("172.16.0.0/12", AddressClass.PRIVATE),
        ("192.0.0.0/24", AddressClass.RESERVED),
        ("192.0.2.0/24", AddressClass.RESERVED),
        ("192.88.99.0/24", AddressClass.RESERVED),
        ("192.168.0.0/16", AddressClass.PRIVATE),
        ("198.18.0.0/15", AddressClass.RESERVED),
        ("198.51.100.0/24", AddressClass.RESERVED),
        ("203.0.113.0/24", AddressClass.RESERVED),
        ("224.0.0.0/4", AddressClass.MULTICAST),
        ("255.255.255.255/32", AddressClass.MULTICAST),
        ("240.0.0.0/4", AddressClass.RESERVED),
    )
)

_V6_CLASSES: tuple[tuple[IPv6Network, AddressClass], ...] = tuple(
    (IPv6Network(text), kind)
    for text, kind in (
        ("::1/128", AddressClass.LOOPBACK),
        ("::/128", AddressClass.UNSPECIFIED),
        ("fc00::/7", AddressClass.PRIVATE),
        ("fec0::/10", AddressClass.PRIVATE),
        ("fe80::/10", AddressClass.LINK_LOCAL),
        ("ff00::/8", AddressClass.MULTICAST),
        ("2001::/23", AddressClass.RESERVED),
        ("2001:db8::/32", AddressClass.RESERVED),
        ("3fff::/20", AddressClass.RESERVED),
    )
)

_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""The only part of IPv6 that is assigned to the public Internet."""

_MAPPED = IPv6Network("::ffff:0:0/96")

_EMBEDDINGS: tuple[Embedding, ...] = (
    Embedding(IPv6Network("64:ff9b::/96"), 0, False, AddressClass.PUBLIC),  # NAT64, well-known prefix
    Embedding(IPv6Network("64:ff9b:1::/48"), 0, False, AddressClass.PRIVATE),  # NAT64 of the local network
    Embedding(IPv6Network("2002::/16"), 80, False, AddressClass.RESERVED),  # 6to4, its relays are retired
    Embedding(IPv6Network("2001::/32"), 0, True, AddressClass.RESERVED),  # Teredo, the client
    Embedding(IPv6Network("2001::/32"), 64, False, AddressClass.RESERVED),  # Teredo, the server
    Embedding(IPv6Network("::ffff:0:0:0/96"), 0, False, AddressClass.RESERVED),  # translated
    Embedding(IPv6Network("::/96"), 0, False, AddressClass.RESERVED),  # compatible
)


def may_connect(address: str, *, networks: tuple[str, ...] = (), loopback: bool = False) -> bool:
    """Whether the gateway may open a connection to a resolved address.

    `networks` are CIDR networks that an operator listed; they open private, link-local and reserved addresses and nothing
    else. Raises ValueError if one of them is not a network.
    """
    listed = _read_networks(networks)
    kind = class_of(address)
    if kind in _LISTABLE:
        return any(_read(address) in network for network in listed)
    return kind is AddressClass.PUBLIC or (loopback and kind is AddressClass.LOOPBACK)


def class_of(address: str) -> AddressClass:
    """The class of an address in its usual text form; forms that carry an IPv4 address are judged by what they carry."""
    try:
        parsed = _read(address)
    except ValueError:
        return AddressClass.UNREADABLE
    return _class_of_v4(parsed) if isinstance(parsed, IPv4Address) else _class_of_v6(parsed)


@lru_cache(maxsize=256)
def _read_networks(networks: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(text) for text in networks)


def _read(address: str) -> IPv4Address | IPv6Address:
    """The address without its zone; a mapped address is the IPv4 address it stands for."""
    text, _, _ = address.partition("%")
    parsed = ip_address(text)
    return IPv4Address(int(parsed) & 0xFFFFFFFF) if parsed in _MAPPED else parsed


def _class_of_v4(address: IPv4Address) -> AddressClass:
    if address in _METADATA:
        return AddressClass.METADATA
    for network, kind in _V4_CLASSES:
        if address in network:
            return kind
    return AddressClass.PUBLIC if address.is_global else AddressClass.RESERVED


def _class_of_v6(address: IPv6Address) -> AddressClass:
    if address in _METADATA:
        return AddressClass.METADATA
    carried = [embedding for embedding in _EMBEDDINGS if address in embedding.network]
    if carried and int(address) > 1:
        return _gravest([_class_of_carried(address, embedding) for embedding in carried])
    for network, kind in _V6_CLASSES:
        if address in network:
            return kind
    return AddressClass.PUBLIC if address in _GLOBAL_UNICAST and address.is_global else AddressClass.RESERVED


def _class_of_carried(address: IPv6Address, embedding: Embedding) -> AddressClass:
    number = int(address) >> embedding.shift_bits & 0xFFFFFFFF
    inner = _class_of_v4(IPv4Address(number ^ 0xFFFFFFFF if embedding.inverted else number))
    return _CARRIED.get(inner, embedding.around_public if inner is AddressClass.PUBLIC else inner)


_CARRIED = {AddressClass.LOOPBACK: AddressClass.RESERVED, AddressClass.UNSPECIFIED: AddressClass.RESERVED}
"""A translator's own loopback is not this machine's, so it never counts as loopback."""

_GRAVITY = (
    AddressClass.METADATA,
    AddressClass.MULTICAST,
    AddressClass.LINK_LOCAL,
    AddressClass.PRIVATE,
    AddressClass.RESERVED,
    AddressClass.PUBLIC,
)


def _gravest(kinds: list[AddressClass]) -> AddressClass:
    return min(kinds, key=_GRAVITY.index)
