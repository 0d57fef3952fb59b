"""The immutable part of a legacy client's session, as bytes that fit into its id.

Sources: MCP 2025-11-25, basic/transports, Session Management (an id is visible ASCII, 0x21 to 0x7E, unique and cryptographically secure)
and basic/lifecycle, Initialization (what a client says of itself); schema 2025-11-25, ClientCapabilities.

Whom the session belongs to and which endpoint it was opened at do not stand in the bytes: the id is sealed for them, so one that opens
has them. The id has at most 1,024 characters; capabilities that are too large for it are cut, by one rule and never so that they say more.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from customhouse.core.identity import Caller
from customhouse.core.sealing import bound

MAX_ID_CHARACTERS = 1_024
MAX_PACKED_BYTES = 732
"""1,024 characters are 768 bytes; key id, nonce and tag take 32 of them, four are left for a sealer that needs more."""

MAX_NAME_BYTES = 96
"""Of the client's name and version, each."""

NONCE_BYTES = 16

_KNOWN: Mapping[str, frozenset[str]] = {
    "elicitation": frozenset({"form", "url"}),
    "roots": frozenset({"listChanged"}),
    "sampling": frozenset({"context", "tools"}),
}
"""What is kept of capabilities that are too large: these, with these members."""


class Session(msgspec.Struct, frozen=True):
    """One session, as it was opened. Equal ids are equal sessions."""

    nonce: bytes
    """16 random bytes: which session it is."""
    tenant: str
    principal: str
    """Whose it is; see `Caller.principal`."""
    endpoint: str
    """The path it was opened at, and the only one it serves."""
    revision: str
    capabilities: Mapping[str, Any]
    """What the client declared, perhaps less, never more."""
    client_name: str
    client_version: str
    issued_at: int
    """Unix seconds."""

    @property
    def key(self) -> str:
        """The session's name in stores and in the keys of sessions at servers: 32 hexadecimal digits."""
        return self.nonce.hex()


class _Packed(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What stands in an id."""

    nonce: bytes
    revision: str
    capabilities: dict[str, Any]
    client_name: str
    client_version: str
    issued_at: int


_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode = msgspec.msgpack.Decoder(_Packed).decode


def bound_to(caller: Caller, endpoint: str) -> bytes:
    """What an id is sealed for: who opened the session and where."""
    return bound(caller.principal, endpoint)


def opened(
    *,
    nonce: bytes,
    caller: Caller,
    endpoint: str,
    revision: str,
    capabilities: Mapping[str, Any],
    client_info: Mapping[str, Any],
    now: float,
) -> Session:
    """The session that an `initialize` opens: what fits into an id, and no more. `nonce` are 16 random bytes."""
    name, version = _cut_text(client_info.get("name")), _cut_text(client_info.get("version"))
    session = Session(nonce, caller.tenant, caller.principal, endpoint, revision, dict(capabilities), name, version, int(now))
    if not _fits(session):
        session = msgspec.structs.replace(session, capabilities=reduced(capabilities))
    return session


def packed(session: Session) -> bytes:
    """The session as bytes for an id: at most `MAX_PACKED_BYTES` for what `opened` gave."""
    return _encode(
        _Packed(session.nonce, session.revision, dict(session.capabilities), session.client_name, session.client_version, session.issued_at)
    )


def unpacked(data: bytes, caller: Caller, endpoint: str) -> Session:
    """The session of bytes that were sealed for this caller and endpoint. Raises ValueError for bytes of another layout."""
    inside = _decode(data)
    return Session(
        inside.nonce,
        caller.tenant,
        caller.principal,
        endpoint,
        inside.revision,
        inside.capabilities,
        inside.client_name,
        inside.client_version,
        inside.issued_at,
    )


def reduced(capabilities: Mapping[str, Any]) -> dict[str, Any]:
    """Capabilities in a bounded form that never says more than the whole.

    Kept are known capabilities with their known members, each exactly as it was. One that was not empty and has nothing left is left out:
    an empty `elicitation` means forms (2025-11-25, client/elicitation, Capabilities), which its other members may not have meant.
    """
    kept: dict[str, Any] = {}
    for name, members in sorted(_KNOWN.items()):
        declared = capabilities.get(name)
        if type(declared) is not dict:
            continue
        inside = {key: declared[key] for key in sorted(members & declared.keys()) if declared[key] in (True, False, {})}
        if inside or not declared:
            kept[name] = inside
    return kept


def _fits(session: Session) -> bool:
    try:
        return len(packed(session)) <= MAX_PACKED_BYTES
    except OverflowError:  # an integer beyond 64 bits
        return False


def _cut_text(text: object) -> str:
    """Text of at most `MAX_NAME_BYTES` bytes of UTF-8, cut between characters; empty for anything but text."""
    return text.encode()[:MAX_NAME_BYTES].decode(errors="ignore") if type(text) is str else ""
