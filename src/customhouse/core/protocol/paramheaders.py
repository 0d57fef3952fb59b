"""Tool parameters that a client repeats in `Mcp-Param-*` headers.

Source: MCP 2026-07-28, basic/transports/streamable-http, Custom Headers from Tool Parameters; SEP-2243. `x-mcp-header` in an input schema
names a header: an HTTP token (RFC 9110 section 5.6.2), unique whatever its case, on a string, integer or boolean that a chain of
`properties` leads to. A parameter that is null or absent has no header. Decisions are made on the body; the header only has to agree.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from customhouse.core.pointer import below, shown
from customhouse.core.protocol.headers import decoded, encoded
from customhouse.core.subschemas import Place, parts

ANNOTATION = "x-mcp-header"
PREFIX = "Mcp-Param-"

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,15})(?:\.0{1,16})?")
_TYPES = frozenset({"string", "integer", "boolean"})
_MAX_SAFE_INTEGER: Final = 2**53 - 1
_BOOLEANS: Final[Mapping[bool, str]] = {True: "true", False: "false"}


@dataclass(frozen=True, slots=True)
class HeaderParameter:
    """One annotated parameter."""

    header_name: str
    """With its prefix, spelled as the schema spells it."""
    path: tuple[str, ...]
    """Member names from the arguments to the value."""
    type: str
    """`string`, `integer` or `boolean`."""


def header_parameters(schema: Mapping[str, Any]) -> tuple[HeaderParameter, ...]:
    """The annotated parameters of an input schema. Raises `ValueError` with a sentence where an annotation breaks a rule."""
    found = tuple(_annotated(schema, (), "", reachable=True))
    names = [one.header_name.lower() for one in found]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"Two parameters share the header {name}.")
    return found


def _annotated(schema: Mapping[str, Any], path: tuple[str, ...], pointer: str, *, reachable: bool) -> Iterator[HeaderParameter]:
    if ANNOTATION in schema:
        yield _parameter(schema, path, shown(pointer) or "The root", reachable=reachable)
    for part in parts(schema):
        if isinstance(part.schema, dict):
            through = part.place is Place.MEMBER
            inner = (*path, part.name) if through else path
            yield from _annotated(part.schema, inner, below(pointer, *part.path), reachable=reachable and through)


def _parameter(schema: Mapping[str, Any], path: tuple[str, ...], where: str, *, reachable: bool) -> HeaderParameter:
    name, kind = schema[ANNOTATION], schema.get("type")
    if not reachable or not path:
        raise ValueError(f"{where} is not reached by properties alone.")
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise ValueError(f"{where} names a header that is not an HTTP token.")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise ValueError(f"{where} is not a string, integer or boolean.")
    return HeaderParameter(PREFIX + name, path, kind)


def encode_value(value: object) -> str:
    """A parameter as header text. Raises `ValueError` for what no header can carry."""
    if isinstance(value, bool):
        return _BOOLEANS[value]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and abs(value) <= _MAX_SAFE_INTEGER:
        return str(value)
    if isinstance(value, str):
        return encoded(value)
    raise ValueError("only strings, booleans and integers within 2^53 fit into a header")


def decode_value(text: str) -> str:
    """The text behind a header value. Raises `ValueError` on a malformed base64 form and on characters that no header may hold."""
    plain = text.strip(" \t")
    if not (plain.isascii() and plain.replace("\t", " ").isprintable()):
        raise ValueError("it holds characters that are not allowed in a header")
    return decoded(plain.encode("ascii"))


def agree(header_text: str, value: object, type: str) -> bool:  # noqa: A002  the word of JSON Schema
    """Whether a header says what the body says: integers by value (42 is 42.0), everything else by its text."""
    try:
        text = decode_value(header_text)
    except ValueError:
        return False
    if type == "string":
        return isinstance(value, str) and text == value
    if type == "boolean":
        return isinstance(value, bool) and text == _BOOLEANS[value]
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > _MAX_SAFE_INTEGER or not _NUMBER.fullmatch(text):
        return False
    return int(text.partition(".")[0]) == value


def headers_for(parameters: tuple[HeaderParameter, ...], arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The headers of a call to the upstream. Raises `ValueError` for a value that its schema would have refused."""
    values = [(one.header_name, _value(one.path, arguments)) for one in parameters]
    return [(name, encode_value(value)) for name, value in values if value is not None]


def mismatch(parameters: tuple[HeaderParameter, ...], arguments: Mapping[str, Any], headers: Mapping[str, list[str]]) -> str | None:
    """What is wrong with the parameter headers of a call, as a sentence that names the header; None if they agree with the body.

    `headers` maps lower-case names to all values sent. Headers that no parameter asks for are left alone.
    """
    for one in parameters:
        value, sent = _value(one.path, arguments), headers.get(one.header_name.lower(), [])
        if value is None and not sent:
            continue
        if value is None or (sent and not agree(sent[0], value, one.type)):
            return f"{one.header_name} differs from the body."
        if len(sent) != 1:
            return f"{one.header_name} is {'sent more than once' if sent else 'missing'}."
    return None


def _value(path: tuple[str, ...], arguments: Any) -> Any:
    """The value of a parameter; None where it, or an object on the way to it, is null or absent."""
    for name in path:
        if not isinstance(arguments, dict):
            return None
        arguments = arguments.get(name)
    return arguments
