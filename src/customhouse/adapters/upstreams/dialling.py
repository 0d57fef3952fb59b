"""Connecting to the server of a definition, and to nothing else.

The name is resolved, every address is classified, and the connection goes to exactly the address that was classified, so a name that
changes its answer between check and use gains nothing. Proxy variables of the environment are not read. https, or http to loopback only.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from customhouse.core.address import may_connect
from customhouse.core.manifest import ServerDefinition
from customhouse.core.refusal import Reason, Refused
from customhouse.wire.client import ClientConnection, KnownHead


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is, taken apart once."""

    host: str
    port: int
    target: str
    """The request target: path and query."""
    host_header: str
    tls: bool

    @property
    def names_loopback(self) -> bool:
        """The operator wrote loopback itself, so loopback is where the connection may go."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def address_of(url: str) -> Address:
    """The parts of a definition's URL."""
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Address(parts.hostname or "", port, target, parts.netloc, tls)


async def dial(server: ServerDefinition, address: Address, tls: ssl.SSLContext, known_heads: dict[bytes, KnownHead]) -> ClientConnection:
    """A new connection, which shares what is known of the server's heads. Raises `Refused` ADDRESS_REFUSED or UPSTREAM_UNREACHABLE."""
    if not address.tls and not address.names_loopback:
        raise Refused(Reason.ADDRESS_REFUSED, note="plain http to a host that is not loopback")
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(server.connect_timeout_seconds):
            found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
            allowed = [
                (family, where)
                for family, _, _, _, where in found
                if may_connect(str(where[0]), networks=server.networks, loopback=address.names_loopback)
            ]
            if not allowed:
                raise Refused(Reason.ADDRESS_REFUSED, note=f"{address.host} resolves to {sorted({str(w[0]) for *_, w in found})}")
            return await _first_that_answers(allowed, address, tls, known_heads)
    except TimeoutError as slow:
        raise Refused(Reason.UPSTREAM_UNREACHABLE, note="no connection in time") from slow
    except (OSError, ssl.SSLError) as broken:
        raise Refused(Reason.UPSTREAM_UNREACHABLE, note=f"{type(broken).__name__}: {broken}") from broken


async def _first_that_answers(
    allowed: Sequence[tuple[int, tuple[object, ...]]], address: Address, tls: ssl.SSLContext, known_heads: dict[bytes, KnownHead]
) -> ClientConnection:
    loop = asyncio.get_running_loop()
    for position, (family, where) in enumerate(allowed):
        try:
            _, connection = await loop.create_connection(
                lambda: ClientConnection(loop, known_heads),
                host=str(where[0]),
                port=address.port,
                family=family,
                ssl=tls if address.tls else None,
                server_hostname=address.host if address.tls else None,
            )
            return connection
        except OSError:
            if position == len(allowed) - 1:
                raise
    raise OSError("no address")
