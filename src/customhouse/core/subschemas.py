"""The anatomy of a JSON schema: which keywords hold schemas, and which part of a value those speak about.

Source: JSON Schema 2020-12, core sections 10 and 11, and the older spellings of draft 4 to 2019-09.
"""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


class Place(enum.Enum):
    """Which part of a value a subschema speaks about."""

    SAME = "the value itself"
    MEMBER = "the member of that name"
    MATCHED = "members whose name matches a pattern"
    OTHER = "members that nothing else names"
    NAME = "the names of the members"
    ELEMENT = "elements of an array"
    NOWHERE = "nothing until something refers to it"


class Shape(enum.Enum):
    """How a keyword holds its schemas."""

    ONE = "a schema"
    LIST = "an array of schemas"
    MAP = "an object of schemas"
    ONE_OR_LIST = "a schema or an array of schemas"


KEYWORDS: Mapping[str, tuple[Shape, Place]] = {
    "allOf": (Shape.LIST, Place.SAME),
    "anyOf": (Shape.LIST, Place.SAME),
    "oneOf": (Shape.LIST, Place.SAME),
    "not": (Shape.ONE, Place.SAME),
    "if": (Shape.ONE, Place.SAME),
    "then": (Shape.ONE, Place.SAME),
    "else": (Shape.ONE, Place.SAME),
    "dependentSchemas": (Shape.MAP, Place.SAME),
    "dependencies": (Shape.MAP, Place.SAME),
    "properties": (Shape.MAP, Place.MEMBER),
    "patternProperties": (Shape.MAP, Place.MATCHED),
    "additionalProperties": (Shape.ONE, Place.OTHER),
    "unevaluatedProperties": (Shape.ONE, Place.OTHER),
    "propertyNames": (Shape.ONE, Place.NAME),
    "items": (Shape.ONE_OR_LIST, Place.ELEMENT),
    "prefixItems": (Shape.LIST, Place.ELEMENT),
    "additionalItems": (Shape.ONE, Place.ELEMENT),
    "unevaluatedItems": (Shape.ONE, Place.ELEMENT),
    "contains": (Shape.ONE, Place.ELEMENT),
    "contentSchema": (Shape.ONE, Place.NOWHERE),
    "$defs": (Shape.MAP, Place.NOWHERE),
    "definitions": (Shape.MAP, Place.NOWHERE),
}
"""Every keyword that holds schemas. `dependencies` holds lists of names beside them, which are no schemas."""


@dataclass(frozen=True, slots=True)
class Part:
    """A schema inside a schema."""

    keyword: str
    place: Place
    path: tuple[str | int, ...]
    """From the outer schema to this one."""
    schema: Any
    """As written; only an object has parts of its own."""

    @property
    def name(self) -> str:
        """The name under the keyword, for keywords that hold an object of schemas."""
        return str(self.path[-1])


def parts(schema: Mapping[str, Any]) -> Iterator[Part]:
    """The schemas directly inside a schema."""
    for keyword, value in schema.items():
        if known := KEYWORDS.get(keyword):
            shape, place = known
            for path, inner in _held(keyword, shape, value):
                if not (keyword == "dependencies" and isinstance(inner, list)):
                    yield Part(keyword, place, path, inner)


def _held(keyword: str, shape: Shape, value: Any) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """The schemas that one keyword holds, with the path to each; what is malformed is left to the compiler to refuse."""
    if shape is Shape.MAP:
        if isinstance(value, dict):
            yield from (((keyword, name), inner) for name, inner in value.items())
    elif isinstance(value, list) and shape is not Shape.ONE:
        yield from (((keyword, index), inner) for index, inner in enumerate(value))
    elif shape is not Shape.LIST:
        yield (keyword,), value
