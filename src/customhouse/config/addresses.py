"""Web addresses and hosts in configuration, read strictly: what an operator wrote has one meaning or none.

RFC 3986 leaves numeric hosts such as `127.1` and `2130706433` to the resolver, which reads them as IPv4 addresses (inet_aton);
WHATWG URL, host parsing, calls a host numeric when its last label is. Both are refused here unless they are dotted quads.
"""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class WebAddress:
    """A web address in its parts; `host` is lower case and without brackets."""

    scheme: str
    host: str
    port: int
    path: str
    query: str
    fragment: bool
    userinfo: bool

    @property
    def on_loopback(self) -> bool:
        return names_loopback(self.host)

    @property
    def authority(self) -> str:
        """Host and port as they stand in a URL; a port that the scheme implies is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def query_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in parse_qsl(self.query, keep_blank_values=True))


def web_address(text: str) -> WebAddress:
    """The parts of an http or https address. Raises `ValueError` with a sentence that names what is wrong."""
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise ValueError("The address holds characters that a URL cannot hold.")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("The text is not a web address.") from None
    if parts.scheme not in _PORTS:
        raise ValueError("The address starts with neither https:// nor http://.")
    if not parts.hostname or not is_host(parts.hostname):
        raise ValueError("The address names no valid host.")
    if port == 0:
        raise ValueError("Port 0 cannot be connected to.")
    return WebAddress(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or _PORTS[parts.scheme],
        path=parts.path,
        query=parts.query,
        fragment="#" in text,
        userinfo="@" in parts.netloc,
    )


def is_host(text: str) -> bool:
    """Whether this is a DNS name or an IP address, without brackets and port."""
    if is_ip_address(text):
        return True
    return len(text) <= 253 and _NAME.fullmatch(text) is not None and _NUMERIC_LABEL.fullmatch(text.rsplit(".", 1)[-1]) is None


def is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def names_loopback(host: str) -> bool:
    """Whether this host is the machine itself, by its text alone: `localhost`, 127.0.0.0/8 or ::1."""
    if host.lower() == "localhost":
        return True
    return is_ip_address(host) and ipaddress.ip_address(host).is_loopback


def is_network(text: str) -> bool:
    """Whether this is a network in CIDR form, with a prefix length and no host bits."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return "/" in text and "%" not in text
