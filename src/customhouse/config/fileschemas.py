"""JSON Schemas of the files of a deployment, for editors: what the structs say, and of the rules what a schema can say.

A schema is a help while writing. What counts is the strict reader, which knows more: names that must exist, addresses, dates. Whatever a
schema refuses the reader refuses too, but for a key that is written out although it holds nothing.
Source: JSON Schema 2020-12; ids are URNs (RFC 8141), since no host answers for them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from customhouse.config.definitions import MAX_CALL_TIMEOUT_SECONDS, MAX_CONNECT_TIMEOUT_SECONDS
from customhouse.config.meanings import field_meanings
from customhouse.config.tree import Portal as PortalOfSettings
from customhouse.config.tree import Settings, Tls
from customhouse.core.content import Portal
from customhouse.core.manifest import (
    UNAUTHENTICATED_WRITES,
    UNSANDBOXED_STDIO,
    BearerCredential,
    Effect,
    Manifest,
    Package,
    Pin,
    ServerDefinition,
    StdioProgram,
    ToolReview,
    Waiver,
)
from customhouse.core.policygrants import WrittenGrant

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

Part = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Form:
    """A kind of file."""

    files: str
    """Which files of a deployment directory have this form."""
    title: str
    shape: Any
    """The type of what stands in such a file."""
    named_by_file: bool = False
    """Whether the field `name` is filled from the name of the file."""


FORMS: Final[Mapping[str, Form]] = {
    "settings": Form("customhouse.yaml", "Settings of a Customhouse deployment", Settings),
    "definition": Form("servers/*.yaml", "Definition of a server", ServerDefinition, named_by_file=True),
    "pin": Form("servers/*.pin.json", "Pin of a server", Pin),
    "portal": Form("portals/*.yaml", "Portal", Portal),
    "grants": Form("grants/*.yaml", "Grants", tuple[WrittenGrant, ...]),
}
"""A row for every file that is YAML or JSON."""


def file_schema(name: str, form: Form) -> Part:
    """The schema of a form, with a stable `$id`."""
    root, parts = msgspec.json.schema_components([form.shape], ref_template="#/$defs/{name}")
    schema, structs = dict(root[0]), {struct.__name__: struct for struct in _structs(form.shape)}
    for part_name in parts.keys() & structs.keys():  # enums need nothing more
        _refine(parts[part_name], structs[part_name])
    if form.named_by_file:
        parts[form.shape.__name__]["required"].remove("name")
    return {
        "$schema": DIALECT,
        "$id": f"urn:customhouse:schema:{name}:1",
        "title": form.title,
        **schema,
        "$defs": dict(sorted(parts.items())),
    }


def _structs(shape: Any) -> set[type[msgspec.Struct]]:
    """Every struct that a shape is made of."""
    found: set[type[msgspec.Struct]] = set()
    waiting = [msgspec.inspect.type_info(shape)]
    while waiting:
        match waiting.pop():
            case msgspec.inspect.StructType(cls=struct, fields=fields) if struct not in found:
                found.add(struct)
                waiting += [field.type for field in fields]
            case msgspec.inspect.CollectionType(item_type=inner) | msgspec.inspect.DictType(value_type=inner):
                waiting.append(inner)
            case msgspec.inspect.UnionType(types=types):
                waiting += types
            case _:
                pass
    return found


def _refine(part: Part, struct: type[msgspec.Struct]) -> None:
    """Add meanings and rules to what msgspec says of a struct."""
    meanings = field_meanings(struct)
    for field in msgspec.structs.fields(struct):
        held = part["properties"][field.encode_name]
        if meaning := meanings.get(field.name):
            held["description"] = " ".join(meaning.split())
        for value in _values(held):
            value |= _bounds(field.encode_name, value)  # noqa: PLW2901 - changes the part in place
        for name, more in _RULES.get(struct, {}).items():
            if name == field.encode_name:
                held |= more
    part |= _TOGETHER.get(struct, {})


def _values(held: Part) -> Iterator[Part]:
    """The schemas of the single values that a field holds: its own, those of list entries and table values, and of choices."""
    yield held
    for inner in (held.get("items"), held.get("additionalProperties"), *held.get("anyOf", [])):
        if isinstance(inner, dict):
            yield from _values(inner)


_VISIBLE: Final = "[^\\u0000-\\u001f\\u007f-\\u009f]"
_LINE: Final = f"^{_VISIBLE}*$"
_FILLED: Final = f"^{_VISIBLE}*[^\\s\\u0000-\\u001f\\u007f-\\u009f]{_VISIBLE}*$"
_NAME: Final[Part] = {"type": "string", "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$", "maxLength": 40}
_DIGEST: Final = "^sha256:[0-9a-f]{64}$"
_REFERENCE: Final = "^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$"
_VARIABLE: Final = "^[A-Za-z_][A-Za-z0-9_]*$"
_PATH: Final = "^/.+$"


def _bounds(name: str, value: Part) -> Part:
    """What holds for every text and every quantity, as in `conversion`."""
    if value.get("type") == "string" and "enum" not in value:
        return {"pattern": _FILLED if value.get("minLength") else _LINE}
    quantity = name.endswith(("_seconds", "_bytes")) or name.startswith("max_")
    if value.get("type") in {"integer", "number"} and quantity and not {"minimum", "exclusiveMinimum"} & value.keys():
        return {"exclusiveMinimum": 0}
    return {}


def _text(pattern: str) -> Part:
    return {"type": "string", "pattern": pattern}


_RULES: Final[Mapping[type, Mapping[str, Part]]] = {
    Tls: {"certificate_file": {"pattern": _FILLED}, "key_file": {"pattern": _FILLED}},
    Settings: {"portals": {"propertyNames": _NAME}},
    PortalOfSettings: {"servers": {"uniqueItems": True, "items": _NAME}},
    Portal: {"servers": {"uniqueItems": True, "items": _NAME}},
    ServerDefinition: {
        "name": _NAME,
        "owner": {"pattern": _FILLED},
        "contact": {"pattern": _FILLED},
        "tenant": {"pattern": _FILLED},
        "review_by": {"pattern": "^$|^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"},
        "url": {"pattern": "^$|^https?://[^\\s#@]+$"},
        "tools": {"propertyNames": {"pattern": "\\S"}},
        "call_timeout_seconds": {"maximum": MAX_CALL_TIMEOUT_SECONDS},
        "connect_timeout_seconds": {"maximum": MAX_CONNECT_TIMEOUT_SECONDS},
    },
    ToolReview: {
        "scopes": {"items": _text("^[\\u0021\\u0023-\\u005b\\u005d-\\u007e]+$")},
        "call_timeout_seconds": {"maximum": MAX_CALL_TIMEOUT_SECONDS},
    },
    BearerCredential: {"bearer": {"pattern": _REFERENCE}},
    Waiver: {
        "rule": {"enum": [UNAUTHENTICATED_WRITES, UNSANDBOXED_STDIO]},
        "reason": {"pattern": _FILLED},
        "granted_by": {"pattern": _FILLED},
    },
    Package: {"version": {"pattern": "^[0-9][A-Za-z0-9.+!_-]{0,127}$"}, "digest": {"pattern": _DIGEST}},
    StdioProgram: {
        "argv": {"minItems": 1},
        "environment": {"propertyNames": {"pattern": _VARIABLE}},
        "secrets": {"propertyNames": {"pattern": _VARIABLE}, "additionalProperties": _text(_REFERENCE)},
        "read_only_paths": {"items": _text(_PATH), "uniqueItems": True},
        "writable_paths": {"items": _text(_PATH), "uniqueItems": True},
        "hosts": {"maxItems": 0},
    },
    Pin: {"digest": {"pattern": _DIGEST}, "revision": {"minLength": 1}, "server": _NAME},
}
"""What the rules of `definitions`, `programs`, `portals` and `rules` say about one field, where a schema can say it."""

_WITHOUT_CREDENTIAL: Final[Part] = {
    "not": {
        "anyOf": [
            {"required": ["stdio"]},
            {"required": ["credential"], "properties": {"credential": {"type": "object"}}},
            {
                "required": ["waivers"],
                "properties": {"waivers": {"contains": {"required": ["rule"], "properties": {"rule": {"const": UNAUTHENTICATED_WRITES}}}}},
            },
        ]
    }
}
_TOGETHER: Final[Mapping[type, Part]] = {
    ServerDefinition: {
        "oneOf": [
            {"required": ["url"]},
            {"required": ["stdio"], "properties": {"networks": {"maxItems": 0}, "credential": {"type": "null"}}},
        ],
        "if": _WITHOUT_CREDENTIAL,
        "then": {"properties": {"tools": {"additionalProperties": {"properties": {"class": {"const": Effect.READ.value}}}}}},
    },
    Pin: {"additionalProperties": False},
    Manifest: {"additionalProperties": False},
}
"""What the rules say about several fields of one struct. A pin is written by the gateway alone and holds nothing else."""
