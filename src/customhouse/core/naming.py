"""What governed things may be called, and what a portal calls the tools and prompts of its servers.

A name in a portal depends on the server and the tool alone, so it stays the same whatever else the portal offers. Clients accept
`^[A-Za-z0-9_-]{1,64}$`; of 6,044 measured tools 8.2 % would exceed 64 characters, which is why a long name is cut and gets a suffix made of
its hash. Names are never taken apart again: calls are routed by the table that `aliases` gives, so no name can be read in two ways
(CVE-2026-30856).
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

SERVER_NAME: Final = re.compile(r"(?=.{1,40}\Z)[a-z0-9]+(-[a-z0-9]+)*")
"""Servers and portals: 1 to 40 characters of a-z, 0-9 and single hyphens between them."""
GRANTS_NAME: Final = re.compile(r"(?=.{1,80}\Z)[a-z0-9]+(?:[._-][a-z0-9]+)*")
"""A set of grants, which is named like its file without the ending."""
POLICY_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}\.cedar")
"""A policy, which is named like its file."""

MAX_LENGTH = 64

_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")
_SUFFIX_DIGITS = 8
_SUFFIXED = re.compile(r"_[0-9a-f]{8}\Z")
_SHORTEST_LIMIT = 51
"""A server name of 40 characters, two underscores and the suffix have to fit."""


def alias_of(server: str, tool: str, *, max_length: int = MAX_LENGTH) -> str:
    """The name of a server's tool (or prompt) in a portal: `<server>__<tool>`.

    It is cut to make room for a hash suffix where it is longer than `max_length`, where a character had to be replaced, and
    where the tool's own name already ends like a suffix; so a suffix is never forged. It always begins with `<server>__`. Raises
    `ValueError` if `max_length` is below 51.
    """
    if max_length < _SHORTEST_LIMIT:
        raise ValueError(f"an alias needs room for at least {_SHORTEST_LIMIT} characters")
    plain = f"{server}__{tool}"
    if len(plain) <= max_length and not _FOREIGN.search(plain) and not _SUFFIXED.search(plain):
        return plain
    digest = hashlib.sha256(f"{server}\0{tool}".encode("utf-8", "surrogatepass")).hexdigest()[:_SUFFIX_DIGITS]
    return f"{_FOREIGN.sub('_', plain)[: max_length - _SUFFIX_DIGITS - 1]}_{digest}"


def aliases(names: Iterable[tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """The routing table: alias to (server, tool). Raises `ValueError` if two of them have one alias; nobody is first."""
    table: dict[str, tuple[str, str]] = {}
    for server, tool in names:
        alias = alias_of(server, tool)
        if alias in table:
            raise ValueError(f"{table[alias]} and {(server, tool)} have the same alias {alias}")
        table[alias] = (server, tool)
    return table


@dataclass(frozen=True, slots=True)
class Addresses:
    """Which server answers for which URI (or URI template) in a portal."""

    servers: Mapping[str, str]
    """URI to the one server that offers it."""
    ambiguous: Mapping[str, tuple[str, ...]]
    """URI to the servers that all offer it, sorted; none of them is in the portal under it."""


def addresses(offers: Iterable[tuple[str, str]]) -> Addresses:
    """Sort (server, URI) pairs of one tenant. URIs keep their spelling in a portal, so one that two servers offer belongs to neither."""
    offering: dict[str, set[str]] = {}
    for server, uri in offers:
        offering.setdefault(uri, set()).add(server)
    return Addresses(
        servers={uri: next(iter(servers)) for uri, servers in offering.items() if len(servers) == 1},
        ambiguous={uri: tuple(sorted(servers)) for uri, servers in offering.items() if len(servers) > 1},
    )
