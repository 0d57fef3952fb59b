"""The arguments of a tool as Cedar sees them: a record type from the pinned input schema, and values of that type.

Cedar knows strings, 64-bit integers, booleans, sets and records with optional attributes (Cedar, Data types). What JSON
Schema says beyond that (numbers, unions, null, references, open objects) is left out of the type, and then out of every
value: strict validation refuses a rule that mentions it, so no rule can rest on an argument that it cannot see.
Facts used: `type`, `properties`, `required`, `items` and `enum` are conjunctive with every other keyword in all drafts, except
beside `$ref`, which hides its siblings up to draft 7 (JSON Schema draft-07, 8.3), and beside `prefixItems` or an `items` list,
which leave `items` to the rest of the array. Names that begin with two underscores are left out: Cedar's JSON reads
`__entity` and `__extn` as escapes.
Verdicts are kept: whoever changes what this says raises the number in `verdict.RULES`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

MAX_DEPTH: Final = 16
"""Objects nested deeper than this are left out; real tools stay below 8, and Cedar's own parsers recurse."""

LONG_MIN: Final = -(2**63)
LONG_MAX: Final = 2**63 - 1

_REFERENCES: Final = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})


class Unprojectable(ValueError):
    """Arguments that do not have the type of their tool; the call is refused, never judged with a part missing."""


class ArgumentType(msgspec.Struct, frozen=True):
    """A Cedar type: `String`, `Long`, `Boolean`, a `Set` of `element`, or a `Record` of `attributes`."""

    kind: str
    element: "ArgumentType | None" = None
    attributes: dict[str, "Attribute"] = {}


class Attribute(msgspec.Struct, frozen=True):
    """An attribute of a record; a rule reads an optional one only behind `has`."""

    type: ArgumentType
    required: bool


def arguments_type(input_schema: Mapping[str, Any]) -> ArgumentType:
    """The record of all arguments. Arguments are an object always (MCP, Tools), so the root needs no `type`."""
    if _REFERENCES & input_schema.keys():
        return ArgumentType("Record")
    return ArgumentType("Record", attributes=_attributes(input_schema, depth=1))


def as_cedar(argument_type: ArgumentType) -> dict[str, Any]:
    """The type in Cedar's JSON schema format, in which names need no quoting."""
    if argument_type.element is not None:
        return {"type": "Set", "element": as_cedar(argument_type.element)}
    if argument_type.kind == "Record":
        attributes = {name: {**as_cedar(one.type), "required": one.required} for name, one in argument_type.attributes.items()}
        return {"type": "Record", "attributes": attributes}
    return {"type": argument_type.kind}


def project(argument_type: ArgumentType, value: Any) -> Any:
    """The part of a schema-valid value that Cedar sees. Raises `Unprojectable` if the value does not have the type."""
    if argument_type.kind == "Record":
        return _projected_record(argument_type, value)
    if argument_type.element is not None:
        return _projected_set(argument_type.element, value)
    return _SCALARS[argument_type.kind](value)


def _attributes(schema: Mapping[str, Any], depth: int) -> dict[str, Attribute]:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return {}
    required = schema.get("required")
    names = {name for name in required if isinstance(name, str)} if isinstance(required, list | tuple) else set()
    types = {name: _type_of(part, depth) for name, part in properties.items() if not name.startswith("__")}
    return {name: Attribute(one, name in names) for name, one in types.items() if one is not None}


def _type_of(schema: Any, depth: int) -> ArgumentType | None:
    if not isinstance(schema, Mapping) or _REFERENCES & schema.keys():
        return None
    name = _type_name(schema)
    if name in _CEDAR_NAMES:
        return ArgumentType(_CEDAR_NAMES[name])
    if name == "array":
        return _set_of(schema)
    if name == "object" and depth < MAX_DEPTH:
        return ArgumentType("Record", attributes=_attributes(schema, depth + 1))
    return None


_CEDAR_NAMES: Final[Mapping[str, str]] = {"string": "String", "integer": "Long", "boolean": "Boolean"}


def _type_name(schema: Mapping[str, Any]) -> str:
    """The one JSON type that values of the schema have, or the empty string if there is no such thing."""
    name = schema.get("type")
    if isinstance(name, list) and len(name) == 1:
        name = name[0]
    if name is None and _lists_strings_only(schema.get("enum")):
        return "string"
    return name if isinstance(name, str) else ""


def _lists_strings_only(choices: Any) -> bool:
    return isinstance(choices, list) and bool(choices) and all(isinstance(choice, str) for choice in choices)


def _set_of(schema: Mapping[str, Any]) -> ArgumentType | None:
    """A set of scalars; Cedar reads sets as a whole, so sets of records would be of no use to a rule."""
    items = schema.get("items")
    if "prefixItems" in schema or not isinstance(items, Mapping):
        return None
    element = _type_of(items, MAX_DEPTH)
    return ArgumentType("Set", element=element) if element is not None and element.kind in _SCALARS else None


def _projected_record(record: ArgumentType, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise Unprojectable("an object is expected")
    missing = [name for name, attribute in record.attributes.items() if attribute.required and name not in value]
    if missing:
        raise Unprojectable(f"the argument {missing[0]!r} is missing")
    return {name: project(attribute.type, value[name]) for name, attribute in record.attributes.items() if name in value}


def _projected_set(element: ArgumentType, value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise Unprojectable("an array is expected")
    return [project(element, member) for member in value]


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise Unprojectable("a string is expected")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Unprojectable("a boolean is expected")
    return value


def _long(value: Any) -> int:
    """JSON Schema counts 2.0 among the integers (2020-12, 6.1.1); Cedar's Long has 64 bits."""
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    if not isinstance(whole, int) or isinstance(whole, bool):
        raise Unprojectable("an integer is expected")
    if not LONG_MIN <= whole <= LONG_MAX:
        raise Unprojectable("an integer is outside 64 bits")
    return whole


_SCALARS: Final[Mapping[str, Callable[[Any], Any]]] = {"String": _string, "Long": _long, "Boolean": _boolean}
