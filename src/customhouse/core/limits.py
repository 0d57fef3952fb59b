"""What a manifest may hold. A defect takes its entry out, never the server.

Measured over 6,044 real tools: descriptions of at most 10,467 characters, schemas of at most 52.8 KB and 18 levels, 253 tools per server;
so no limit below takes out a real tool. Source of the rules: MCP 2026-07-28, server/tools (names, root of the input schema), basic (JSON
Schema Usage, icons), basic/transports/streamable-http (`x-mcp-header`). What is kept always has a canonical form (RFC 8785).
Verdicts are kept: whoever changes what is a defect, here or in what this rests on, raises the number in `verdict.RULES`.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import rfc8785

from customhouse.core.hidden import hidden_in
from customhouse.core.lookalike import folded
from customhouse.core.manifest import Manifest, canonical_bytes
from customhouse.core.pointer import shown
from customhouse.core.protocol.paramheaders import header_parameters
from customhouse.core.protocol.uritemplate import compile_template
from customhouse.core.schemas import SchemaUnusable, compile_schema

MAX_DESCRIPTION_CHARACTERS = 16_384
"""Characters, not bytes: the measured maximum is in characters, and scripts outside ASCII are not to be worse off."""
MAX_INSTRUCTIONS_CHARACTERS = 16_384
MAX_NAME_CHARACTERS = 128
MAX_URI_CHARACTERS = 2_048
MAX_ENTRY_BYTES = 262_144
"""Two schemas of 64 KiB, a description, and as much again for icons and `_meta`."""
MAX_ENTRY_LEVELS = 34
"""An entry, its schema field, and a schema of 32 levels."""
MAX_ENTRIES: Final[Mapping[str, int]] = {"tools": 512, "prompts": 512, "resources": 4_096, "resource_templates": 512}
"""A server that lists more is not captured at all: which of them to keep would be the server's choice."""


@dataclass(frozen=True, slots=True)
class Defect:
    """Why one entry of a manifest cannot be served."""

    kind: str
    """`tool`, `prompt`, `resource`, `template`, `instructions`, `server_info` or `capabilities`."""
    name: str
    """Name, URI or template as far as it can be shown; empty for the server's own fields."""
    sentence: str


@dataclass(frozen=True, slots=True)
class Defects:
    """The judgement on a manifest."""

    servable: Manifest
    """The manifest without its defective entries and fields."""
    entries: tuple[Defect, ...]
    refusals: tuple[str, ...]
    """Sentences about the manifest as a whole; if there is one, it must not be captured, and `servable` offers nothing."""


def defects(manifest: Manifest) -> Defects:
    """Everything that is wrong with a manifest, and what is left of it."""
    refusals = tuple(too_many(manifest))
    if refusals:
        return Defects(Manifest(server_info={}, capabilities={}), (), refusals)
    found: list[Defect] = []
    kept: dict[str, Any] = {}
    for part, (kind, key, checks) in _PARTS.items():
        kept[part], wrong = _sorted_out(getattr(manifest, part), kind, key, checks)
        found.extend(wrong)
    for part in ("server_info", "capabilities", "instructions"):
        value = getattr(manifest, part)
        wrong = [Defect(part, "", sentence) for sentence in _field_problems(value)]
        kept[part] = type(value)() if wrong else value
        found.extend(wrong)
    return Defects(Manifest(**kept), tuple(found), ())


def too_many(manifest: Manifest) -> Iterator[str]:
    """Why a manifest cannot be captured as a whole, a sentence each."""
    for part, most in MAX_ENTRIES.items():
        count = len(getattr(manifest, part))
        if count > most:
            yield f"The server lists {count} {part.replace('_', ' ')}; {most} are allowed."


def _sorted_out(
    entries: tuple[dict[str, Any], ...], kind: str, key: str, checks: "tuple[_Check, ...]"
) -> tuple[tuple[dict[str, Any], ...], list[Defect]]:
    """The entries that can be served, and the defects of the others."""
    named = Counter(_folded_name(entry, key) for entry in entries)
    kept, found = [], []
    for entry in entries:
        sentences = _problems_of(entry, key, checks)
        if named[_folded_name(entry, key)] > 1:
            sentences.append(f"Another {kind} has the same {key}, or one that looks like it.")
        found.extend([Defect(kind, _shown_name(entry, key), sentence) for sentence in sentences])
        if not sentences:
            kept.append(entry)
    return tuple(kept), found


def _folded_name(entry: Any, key: str) -> str:
    """What makes an entry's name unique. URIs are compared as they are: their paths are case-sensitive."""
    name = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(name, str):
        return f"\0{id(entry)}"
    return folded(name) if key == "name" else name


def _shown_name(entry: Any, key: str) -> str:
    name = entry.get(key) if isinstance(entry, dict) else None
    return shown(name[:MAX_NAME_CHARACTERS]) if isinstance(name, str) else ""


_Check = Callable[[dict[str, Any]], Iterator[str]]


def _problems_of(entry: Any, key: str, checks: tuple[_Check, ...]) -> list[str]:
    """First whether it can be read at all, then the rules."""
    if not isinstance(entry, dict):
        return ["It is not an object."]
    if _deeper_than(entry, MAX_ENTRY_LEVELS):
        return [f"It is nested deeper than {MAX_ENTRY_LEVELS} levels."]
    hidden = [f"{shown(pointer)} holds the hidden character {char}." for pointer, char in _first_few(hidden_in(entry))]
    if hidden:
        return hidden
    if _has_no_canonical_form(entry):
        return [_NO_CANONICAL_FORM]
    size = len(msgspec.json.encode(entry))
    if size > MAX_ENTRY_BYTES:
        return [f"It has {size} bytes; {MAX_ENTRY_BYTES} are allowed."]
    return [*_wrong_identity(entry, key), *_wrong_fields(entry), *[sentence for check in checks for sentence in check(entry)]]


_NO_CANONICAL_FORM: Final = "It holds a number that not every JSON parser reads alike (beyond 2^53, or not finite)."


def _has_no_canonical_form(value: Any) -> bool:
    try:
        canonical_bytes(value)
    except rfc8785.CanonicalizationError:
        return True
    return False


def _first_few(found: Iterator[tuple[str, str]]) -> list[tuple[str, str]]:
    return [one for one, _ in zip(found, range(3), strict=False)]


def _deeper_than(value: Any, levels: int) -> bool:
    layer = [value]
    for _ in range(levels):
        layer = [
            inner
            for outer in layer
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list | tuple)
        ]
    return bool(layer)


def _wrong_identity(entry: dict[str, Any], key: str) -> Iterator[str]:
    most = MAX_NAME_CHARACTERS if key == "name" else MAX_URI_CHARACTERS
    name = entry.get(key)
    if not isinstance(name, str) or not name.strip():
        yield f"It has no {key}."
    elif len(name) > most:
        yield f"Its {key} has {len(name)} characters; {most} are allowed."


_FIELD_TYPES: Final[Mapping[str, tuple[type, str]]] = {
    "name": (str, "a string"),
    "title": (str, "a string"),
    "description": (str, "a string"),
    "annotations": (dict, "an object"),
    "_meta": (dict, "an object"),
    "icons": (list, "an array"),
}
_ICON_SCHEMES = ("https:", "data:")


def _wrong_fields(entry: dict[str, Any]) -> Iterator[str]:
    for field, (expected, words) in _FIELD_TYPES.items():
        if field in entry and not isinstance(entry[field], expected):
            yield f"Its {field} is not {words}."
    for field in ("title", "description"):
        text = entry.get(field)
        if isinstance(text, str) and len(text) > MAX_DESCRIPTION_CHARACTERS:
            yield f"Its {field} has {len(text)} characters; {MAX_DESCRIPTION_CHARACTERS} are allowed."
    icons = entry.get("icons")
    if isinstance(icons, list) and not all(map(_is_safe_icon, icons)):
        yield "An icon of it is not an https or data URI."


def _is_safe_icon(icon: Any) -> bool:
    source = icon.get("src") if isinstance(icon, dict) else None
    return isinstance(source, str) and source.lower().startswith(_ICON_SCHEMES)


def _wrong_input_schema(tool: dict[str, Any]) -> Iterator[str]:
    schema = tool.get("inputSchema")
    if not isinstance(schema, dict):
        yield "It has no inputSchema."
        return
    if schema.get("type") != "object":
        yield "The type at the root of its inputSchema is not object."
    try:
        compile_schema(schema)
        header_parameters(schema)
    except SchemaUnusable as broken:
        yield f"Its inputSchema cannot be used: {broken}"
    except ValueError as broken:
        yield f"Its x-mcp-header annotations cannot be used: {broken}"


def _wrong_output_schema(tool: dict[str, Any]) -> Iterator[str]:
    if "outputSchema" not in tool or isinstance(tool["outputSchema"], bool):
        return
    if not isinstance(tool["outputSchema"], dict):
        yield "Its outputSchema is not a schema."
        return
    try:
        compile_schema(tool["outputSchema"])
    except SchemaUnusable as broken:
        yield f"Its outputSchema cannot be used: {broken}"


def _wrong_prompt_arguments(prompt: dict[str, Any]) -> Iterator[str]:
    arguments = prompt.get("arguments", [])
    names = [one.get("name") if isinstance(one, dict) else None for one in arguments] if isinstance(arguments, list) else [None]
    if not all(isinstance(name, str) and name for name in names):
        yield "An argument of it has no name."
    elif len({folded(name) for name in names if name}) < len(names):
        yield "Two arguments of it have the same name, or names that look alike."


def _wrong_template(template: dict[str, Any]) -> Iterator[str]:
    text = template.get("uriTemplate")
    if isinstance(text, str):
        try:
            compile_template(text)
        except ValueError as broken:
            yield f"Its uriTemplate cannot be used: {broken}."


_PARTS: Final[Mapping[str, tuple[str, str, tuple[_Check, ...]]]] = {
    "tools": ("tool", "name", (_wrong_input_schema, _wrong_output_schema)),
    "prompts": ("prompt", "name", (_wrong_prompt_arguments,)),
    "resources": ("resource", "uri", ()),
    "resource_templates": ("template", "uriTemplate", (_wrong_template,)),
}


def _field_problems(value: Any) -> Iterator[str]:
    """What is wrong with a field of the server itself."""
    if isinstance(value, str):
        if len(value) > MAX_INSTRUCTIONS_CHARACTERS:
            yield f"They have {len(value)} characters; {MAX_INSTRUCTIONS_CHARACTERS} are allowed."
    elif _deeper_than(value, MAX_ENTRY_LEVELS):
        yield f"It is nested deeper than {MAX_ENTRY_LEVELS} levels."
        return
    for pointer, char in _first_few(hidden_in(value)):
        yield f"{shown(pointer) or 'The text'} holds the hidden character {char}."
        return
    if _has_no_canonical_form(value):
        yield _NO_CANONICAL_FORM
