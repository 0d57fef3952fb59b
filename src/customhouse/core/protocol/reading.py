"""Strict JSON: what two parsers could read differently is refused, not interpreted.

Refused at any depth: duplicate keys, NUL in a key, NaN and infinities, lone surrogates, a byte order mark, invalid UTF-8, more nesting
than `MAX_DEPTH`, integers from 2^53 on. Parsers of the field keep the last of two equal keys without a word, and some end a key at NUL, so
a policy that reads the first and a server that reads the last see two calls (CVE-2026-27896, GHSA-q382-vc8q-7jhj, GHSA-4gph-2hhr-5mwg,
threat class T7).

The decoder does most of this at C speed. What it does not do is decided by scans that can only err towards the slow,
exact reading (`_read_slowly`); a property test holds the two equal.
"""

import json
from typing import Any

import msgspec

from customhouse.core.refusal import Reason, Refused

MAX_DEPTH = 32
"""Nesting of objects and arrays in one message; the deepest real schema measured has 18 levels."""

MAX_SAFE_INTEGER = 2**53 - 1
"""Integers beyond this are different numbers in different parsers, and RFC 8785 has no form for them (RFC 8259 section 6, RFC 7493
section 2.2)."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_DIGITS = bytes.maketrans(b"0123456789", b"0000000000")
_LONG_DIGITS = b"0" * 16
"""2^53 has 16 digits."""
_BOM = b"\xef\xbb\xbf"
_NUL = b"\\u0000"
"""The one way to write NUL in JSON; a bare one is no JSON."""


def read_json(body: bytes, max_depth: int = MAX_DEPTH) -> Any:
    """The JSON value of a body. Raises `Refused` MALFORMED_JSON; the message says which rule was broken, never what was sent."""
    try:
        value = _decode(body)
        is_plain = _encode(value) == body
    except (ValueError, RecursionError) as broken:  # msgspec's DecodeError and UnicodeDecodeError are ValueErrors
        raise _malformed(_why(body, broken)) from None
    # A body that the encoder would write in the very same bytes holds each member once: one that replaced another would be missing.
    # Such bodies are what most clients send. What they may still hold is deep nesting, long integers and NUL.
    if is_plain:
        if body.count(b"{") + body.count(b"[") <= max_depth and _LONG_DIGITS not in body.translate(_DIGITS) and _NUL not in body:
            return value
        return _read_slowly(body, max_depth)
    # Every member of an object has a quote followed by a colon or by white space. So these counts are never below the number of
    # members in the source, and if they equal the number that was decoded, no member replaced another.
    most = body.count(b'":') + body.count(b'" ') + body.count(b'"\n') + body.count(b'"\r') + body.count(b'"\t')
    if body.count(b"{") + body.count(b"[") > max_depth or _members(value) != most or _NUL in body:
        return _read_slowly(body, max_depth)
    return value


def _members(value: Any) -> int:
    """How many members the objects in a value have, all levels together; -1 or less if an integer is out of range."""
    kind = type(value)
    if kind is dict:
        count = len(value)
        for inner in value.values():
            kind = type(inner)
            if kind is dict or kind is list or kind is int:
                count += _members(inner)
        return count
    if kind is list:
        return sum([_members(inner) for inner in value if type(inner) is not str])
    if kind is int and not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
        return _OUT_OF_RANGE
    return 0


_OUT_OF_RANGE = -(2**62)
"""Smaller than minus any number of members, so that the exact reading is taken, which refuses the integer."""


def _read_slowly(body: bytes, max_depth: int) -> Any:
    """The exact reading: every object through a duplicate check, every number through a range check, depth measured."""
    try:
        value = json.loads(body, object_pairs_hook=_exact_members, parse_int=_safe_integer, parse_constant=_no_constant)
    except _Broken as broken:
        raise _malformed(str(broken)) from None
    except (ValueError, RecursionError) as broken:
        raise _malformed(_why(body, broken)) from None
    if _depth(value) > max_depth:
        raise _malformed(f"It is nested deeper than {max_depth} levels.")
    return value


class _Broken(Exception):
    """A rule of strict reading was broken; the text says which."""


def _exact_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = _without_duplicates(pairs)
    if any("\0" in key for key in value):
        raise _Broken("A key holds NUL.")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _Broken("An object has the same key twice.")
    return value


def _safe_integer(digits: str) -> int:
    if len(digits) > 17 or abs(int(digits)) > MAX_SAFE_INTEGER:
        raise _Broken("An integer is not below 2^53.")
    return int(digits)


def _no_constant(name: str) -> Any:
    raise _Broken("NaN and infinities are not JSON.")


def _depth(value: Any) -> int:
    """Levels of nesting, breadth first, so that depth costs no stack."""
    levels, layer = 0, [value]
    while layer := [inner for inner in layer if type(inner) is dict or type(inner) is list]:
        levels += 1
        layer = [inner for outer in layer for inner in (outer.values() if type(outer) is dict else outer)]
    return levels


def _why(body: bytes, broken: Exception) -> str:
    """What is wrong, in words that repeat nothing of the body."""
    if isinstance(broken, RecursionError):
        return "It is nested too deep."
    if body.startswith(_BOM):
        return "It begins with a byte order mark."
    if isinstance(broken, UnicodeDecodeError):
        return "It is not UTF-8."
    if not body.strip():
        return "It is empty."
    return "It cannot be parsed."


def _malformed(message: str) -> Refused:
    return Refused(Reason.MALFORMED_JSON, message=message)


def read_members(raw: msgspec.Raw | bytes) -> dict[str, msgspec.Raw]:
    """The members of one JSON object with their values left undecoded; the object itself has no duplicate key.

    Raises `ValueError` if it is not an object, is not UTF-8, or a key of it repeats.
    """
    source = bytes(raw)
    try:
        members = _decode_members(source)
    except RecursionError:
        raise ValueError("It is nested too deep.") from None
    if not source.isascii():
        str(source, "utf-8")  # what is left undecoded is not checked by the decoder
    if not _holds_each_once(members, source):
        _refuse_duplicates(source)
    return members


def _holds_each_once(members: dict[str, msgspec.Raw], source: bytes) -> bool:
    """Whether the source is the shortest form of these members: then it holds nothing beside them. False says nothing."""
    if len(source) < _WORTH_NO_COPY_BYTES:
        return _encode(members) == source
    return 1 + sum([len(bytes(value)) + len(key.encode()) + 4 for key, value in members.items()]) == len(source)


_WORTH_NO_COPY_BYTES = 8_192
"""From here on adding up lengths costs less than writing it all once more."""

_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _refuse_duplicates(raw: bytes) -> None:
    """Looks at the outermost object alone, as the fast comparison does: what is inside is not read here."""
    try:
        pairs = json.loads(raw, object_pairs_hook=list, parse_int=str)
    except RecursionError:
        raise ValueError("It is nested too deep.") from None
    if len(dict(pairs)) != len(pairs):
        raise ValueError("An object has the same key twice.")
