"""Request headers as the gateway reads them, and how they must agree with the body.

Source: MCP 2026-07-28, basic/transports/streamable-http, Server Validation and Value Encoding; RFC 9110 section 5.3.
Decisions are made on the body alone: a header only ever confirms it.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from customhouse.core.protocol.revisions import META_VERSION, NAMED_BY
from customhouse.core.refusal import Reason, Refused

ONCE_ONLY = frozenset(
    {
        b"authorization",
        b"content-type",
        b"host",
        b"origin",
        b"mcp-protocol-version",
        b"mcp-method",
        b"mcp-name",
        b"mcp-session-id",
        b"sec-fetch-site",
    }
)
"""Headers that decide something: sent twice, two parsers could read two requests."""

_OPEN, _CLOSE = "=?base64?", "?="


def decoded(value: bytes) -> str:
    """The text of a mirrored header value, with the `=?base64?...?=` form opened. Raises `ValueError` on malformed forms."""
    text = value.decode("latin-1").strip(" \t")
    if not text.isascii():
        raise ValueError("it holds bytes that are not ASCII")
    if not (text.startswith(_OPEN) and text.endswith(_CLOSE)):
        return text
    try:
        return base64.b64decode(text[len(_OPEN) : -len(_CLOSE)], validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError) as broken:
        raise ValueError("its base64 form is malformed") from broken


def encoded(text: str) -> str:
    """A value for a mirrored header: plain where that is safe and unambiguous, else in the base64 form."""
    plain = text.isascii() and text.isprintable() and text == text.strip() and not (text.startswith(_OPEN) and text.endswith(_CLOSE))
    return text if plain else f"{_OPEN}{base64.b64encode(text.encode()).decode()}{_CLOSE}"


def check_version(headers: Mapping[bytes, bytes], meta: Mapping[str, Any]) -> None:
    """`MCP-Protocol-Version` is there and repeats the body's. Raises `Refused` HEADER_MISMATCH."""
    sent = headers.get(b"mcp-protocol-version")
    if sent is None:
        raise _mismatch("MCP-Protocol-Version is missing.")
    if sent.decode("latin-1") != meta.get(META_VERSION):
        raise _mismatch("MCP-Protocol-Version differs from the body.")


def check_names(headers: Mapping[bytes, bytes], method: str, params: Mapping[str, Any], *, required: bool) -> None:
    """`Mcp-Method` and `Mcp-Name` repeat the body. Raises `Refused` HEADER_MISMATCH.

    With `required` they must be there (a modern request); without, only what is there must agree (a notification).
    """
    _agree(headers, b"mcp-method", "Mcp-Method", method, required=required)
    if parameter := NAMED_BY.get(method):
        name = params.get(parameter)
        _agree(headers, b"mcp-name", "Mcp-Name", name if isinstance(name, str) else None, required=required)


def _agree(headers: Mapping[bytes, bytes], key: bytes, shown: str, value: str | None, *, required: bool) -> None:
    sent = headers.get(key)
    if sent is None:
        if required:
            raise _mismatch(f"{shown} is missing.")
        return
    if value is not None and sent == value.encode("utf-8", "replace") and not sent.startswith(b"=") and sent.isascii():
        return  # plain and the same; everything else is decoded first
    try:
        text = decoded(sent)
    except ValueError as broken:
        raise _mismatch(f"{shown} cannot be read: {broken}.") from None
    if text != value:
        raise _mismatch(f"{shown} differs from the body.")


def _mismatch(message: str) -> Refused:
    return Refused(Reason.HEADER_MISMATCH, message=message)
