"""Input schemas of tools, compiled once and asked on every call.

Source: MCP 2026-07-28, basic, JSON Schema Usage: the dialect is 2020-12 unless `$schema` says otherwise, no network `$ref` is ever
dereferenced; depth, number of subschemas and validation time are bounded. The library would fetch a `$ref` by default, so it gets a
retriever that refuses. Regular expressions run on an engine whose time is linear in the text, so a look-around or back-reference makes a
schema unusable. Formats are annotations, not assertions (JSON Schema 2020-12, validation, section 7.2.1).

Measured over 6,044 real tools: at most 52.8 KB, 18 levels and 841 object nodes per schema, no remote `$ref`.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final, NoReturn

import jsonschema_rs
import msgspec

from customhouse.core.lookalike import folded
from customhouse.core.pointer import below, shown, shown_key
from customhouse.core.schemagraph import MAX_LEVELS, Graph, SchemaUnusable, survey

__all__ = ["MAX_SCHEMA_BYTES", "DeferredSchema", "Schema", "SchemaUnusable", "compile_schema", "declared_names", "lookalikes"]

MAX_SCHEMA_BYTES = 65_536
MAX_PROBLEMS = 5
_MAX_EXPLAINED_VALUES = 2_000
"""Collecting every problem costs 13 us per wrong value, all at once; larger arguments are told their first problem only."""
_MAX_LEVELS_KEPT = 1_024
_LONGEST_EXPECTATION = 160

_DIALECTS: Final[Mapping[str, type[jsonschema_rs.Validator]]] = {
    "json-schema.org/draft/2020-12/schema": jsonschema_rs.Draft202012Validator,
    "json-schema.org/draft/2019-09/schema": jsonschema_rs.Draft201909Validator,
    "json-schema.org/draft-07/schema": jsonschema_rs.Draft7Validator,
    "json-schema.org/draft-06/schema": jsonschema_rs.Draft6Validator,
    "json-schema.org/draft-04/schema": jsonschema_rs.Draft4Validator,
}
_PATTERNS: Final = jsonschema_rs.RegexOptions(size_limit=1_048_576, dfa_size_limit=1_048_576)


def compile_schema(schema: Mapping[str, Any]) -> "Schema":
    """A schema ready for use. Raises `SchemaUnusable` with a sentence that names the place and the rule."""
    graph = survey(schema)
    size = _size_of(schema)
    if size > MAX_SCHEMA_BYTES:
        raise SchemaUnusable(f"The schema has {size} bytes; {MAX_SCHEMA_BYTES} are allowed.")
    return Schema(_validator(_dialect(schema), schema), graph)


def declared_names(schema: Mapping[str, Any]) -> frozenset[str]:
    """Every member name that a schema declares anywhere. Raises `SchemaUnusable`."""
    return frozenset(name for node in survey(schema).nodes for name in node.members)


def lookalikes(schema: "Schema", arguments: Any) -> str | None:
    """The JSON pointer of the first key that is not declared where it stands but looks like one that is."""
    return schema.lookalike(arguments)


def _size_of(schema: Mapping[str, Any]) -> int:
    try:
        return len(msgspec.json.encode(schema))
    except UnicodeEncodeError as broken:
        raise SchemaUnusable("The schema holds a lone surrogate.") from broken


def _dialect(schema: Mapping[str, Any]) -> type[jsonschema_rs.Validator]:
    named = schema.get("$schema")
    if named is None:
        return jsonschema_rs.Draft202012Validator
    bare = named.removeprefix("https://").removeprefix("http://").removesuffix("#") if isinstance(named, str) else ""
    if bare not in _DIALECTS:
        raise SchemaUnusable("The dialect that $schema names is not known; drafts 4, 6, 7, 2019-09 and 2020-12 are.")
    return _DIALECTS[bare]


def _validator(dialect: type[jsonschema_rs.Validator], schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
    body = {key: value for key, value in schema.items() if key != "$schema"}
    try:
        return dialect(body, validate_formats=False, retriever=_refuse, pattern_options=_PATTERNS)
    except jsonschema_rs.ValidationError as broken:
        raise SchemaUnusable(_why_unusable(broken)) from None
    except ValueError as broken:
        raise SchemaUnusable("The schema cannot be compiled.") from broken


def _refuse(uri: str) -> NoReturn:
    raise LookupError(f"{uri} is outside the schema, and nothing is ever fetched")


def _why_unusable(broken: jsonschema_rs.ValidationError) -> str:
    where = shown(below("", *broken.instance_path)) or "The schema"
    if "regex" in broken.message:
        return f"{where} is not a regular expression that can be matched in linear time (no look-around, no back-reference, bounded size)."
    if not broken.instance_path:
        return "The schema refers to something that is not inside it."
    return f"{where} is not what JSON Schema allows there."


class Schema:
    """A compiled schema. It holds no argument and can be shared by every call."""

    __slots__ = ("_graph", "_levels", "_root", "_validator")

    def __init__(self, validator: jsonschema_rs.Validator, graph: Graph) -> None:
        self._validator = validator
        self._graph = graph
        self._levels: dict[frozenset[int], _Level] = {}
        self._root = self._level(frozenset({0}))

    @property
    def max_levels(self) -> int:
        """Levels of nesting that arguments may have, so that no value is looked at more often than the bound of the graph allows."""
        return self._graph.max_levels

    def problems(self, arguments: Any) -> tuple[str, ...]:
        """What does not fit, as at most five sentences that name a place and what is expected, never what was sent."""
        if self.max_levels < MAX_LEVELS and _deeper_than(arguments, self.max_levels):
            return (f"The arguments are nested deeper than the {self.max_levels} levels that this schema can be checked to.",)
        if self._validator.is_valid(arguments):
            return ()
        return tuple(_told(self._broken(arguments)))

    def lookalike(self, arguments: Any) -> str | None:
        """The JSON pointer of the first key that is not declared at its level but is equal to a declared one when folded."""
        return self._search(arguments, self._root, "")

    def _broken(self, arguments: Any) -> Iterator[jsonschema_rs.ValidationError]:
        if not _more_than(arguments, _MAX_EXPLAINED_VALUES):
            yield from self._validator.iter_errors(arguments)
            return
        try:
            self._validator.validate(arguments)
        except jsonschema_rs.ValidationError as first:
            yield first

    def _search(self, value: Any, level: "_Level", pointer: str) -> str | None:
        if type(value) is dict:
            children = level.children
            for key in value:
                if key not in children and folded(key) in level.folded:
                    return below(pointer, key)
            for key, inner in value.items():
                if (type(inner) is dict or type(inner) is list) and (
                    found := self._step(inner, children.get(key, level.others), pointer, key)
                ):
                    return found
        elif type(value) is list and level.elements:
            for index, inner in enumerate(value):
                if (type(inner) is dict or type(inner) is list) and (found := self._step(inner, level.elements, pointer, index)):
                    return found
        return None

    def _step(self, value: Any, nodes: frozenset[int], pointer: str, key: str | int) -> str | None:
        return self._search(value, self._level(nodes), below(pointer, key)) if nodes else None

    def _level(self, nodes: frozenset[int]) -> "_Level":
        known = self._levels.get(nodes)
        if known is None:
            known = _Level(self._graph, nodes)
            if len(self._levels) < _MAX_LEVELS_KEPT:
                self._levels[nodes] = known
        return known


class _Level:
    """What all schemas that speak about one value declare together."""

    __slots__ = ("children", "elements", "folded", "others")

    def __init__(self, graph: Graph, entries: frozenset[int]) -> None:
        here = [graph.nodes[index] for index in sorted({index for entry in entries for index in graph.same_value(entry)})]
        matched = frozenset(index for node in here for index in node.matched)
        names = dict.fromkeys(name for node in here for name in node.members)
        self.children: dict[str, frozenset[int]] = {
            name: matched.union(*[node.members.get(name, node.other) for node in here]) for name in names
        }
        """Declared name to the schemas of its value."""
        self.folded = frozenset(folded(name) for name in names)
        self.others = matched.union(*[node.other for node in here])
        """The schemas of a value whose name nobody declared."""
        self.elements = frozenset(index for node in here for index in node.elements)


class DeferredSchema:
    """A schema that is compiled when it is first asked. Its methods are those of `Schema`, and raise `SchemaUnusable` too."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema

    @cached_property
    def compiled(self) -> Schema:
        """The compiled schema."""
        return compile_schema(self._schema)

    def problems(self, arguments: Any) -> tuple[str, ...]:
        """See `Schema.problems`."""
        return self.compiled.problems(arguments)

    def lookalike(self, arguments: Any) -> str | None:
        """See `Schema.lookalike`."""
        return self.compiled.lookalike(arguments)


def _deeper_than(value: Any, levels: int) -> bool:
    layer = [value]
    for _ in range(levels + 1):
        layer = [
            inner for outer in layer if isinstance(outer, dict | list) for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(layer)


def _more_than(value: Any, count: int) -> bool:
    waiting = [value]
    while waiting and count >= 0:
        one = waiting.pop()
        count -= 1
        if isinstance(one, dict | list):
            count -= len(one)
            waiting.extend(one.values() if isinstance(one, dict) else one)
    return count < 0


def _told(broken: Iterator[jsonschema_rs.ValidationError]) -> list[str]:
    """One sentence each, the same sentence once."""
    sentences: dict[str, None] = {}
    for error in broken:
        sentences[_sentence(error)] = None
        if len(sentences) == MAX_PROBLEMS:
            break
    return list(sentences)


def _sentence(error: jsonschema_rs.ValidationError) -> str:
    where = shown(below("", *error.instance_path)) or "The value as a whole"
    return f"{where} {_expectation(error)}."


def _expectation(error: jsonschema_rs.ValidationError) -> str:
    kind = error.kind.name
    if kind == "falseSchema" and error.schema_path[-1:] == ["additionalProperties"] != error.instance_path[-1:]:
        return "has members that are not allowed"  # an object schema with nothing but this keyword: the library blames the object
    expected = _EXPECTED.get(kind)
    return expected(error.kind.as_dict()) if expected else f"breaks the rule {kind}"


def _unexpected(detail: Mapping[str, Any]) -> str:
    return f"has members that are not allowed: {', '.join([shown_key(key) for key in detail['unexpected'][:3]])}"


def _alternatives(detail: Mapping[str, Any]) -> str:
    """Where every alternative asks for another type, the types; else only how many fit. A branch without errors is one that fits."""
    if [branch for branch in detail["context"] if not branch]:
        return "fits more than one of the alternatives"
    kinds = [branch[0].kind.as_dict().get("types") for branch in detail["context"]]
    if kinds and all(kinds):
        return f"must be {_listed([name for types in kinds if types for name in types])}"
    return "fits none of the allowed alternatives"


def _listed(names: list[str]) -> str:
    return " or ".join(dict.fromkeys(names))


def _literal(value: Any) -> str:
    """A value of the schema as JSON, cut to a readable length."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST_EXPECTATION else f"{text[:_LONGEST_EXPECTATION]}..."


_EXPECTED: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "type": lambda detail: f"must be {_listed(detail['types'])}",
    "required": lambda detail: f"needs the member {shown_key(detail['property'])}",
    "additionalProperties": _unexpected,
    "unevaluatedProperties": _unexpected,
    "unevaluatedItems": lambda _: "has more elements than are allowed",
    "additionalItems": lambda detail: f"must have at most {detail['limit']} elements",
    "enum": lambda detail: f"must be one of {_literal(detail['options'])}",
    "const": lambda detail: f"must be {_literal(detail['expected_value'])}",
    "minimum": lambda detail: f"must be at least {detail['limit']}",
    "maximum": lambda detail: f"must be at most {detail['limit']}",
    "exclusiveMinimum": lambda detail: f"must be above {detail['limit']}",
    "exclusiveMaximum": lambda detail: f"must be below {detail['limit']}",
    "multipleOf": lambda detail: f"must be a multiple of {detail['multiple_of']}",
    "minLength": lambda detail: f"must have at least {detail['limit']} characters",
    "maxLength": lambda detail: f"must have at most {detail['limit']} characters",
    "minItems": lambda detail: f"must have at least {detail['limit']} elements",
    "maxItems": lambda detail: f"must have at most {detail['limit']} elements",
    "minProperties": lambda detail: f"must have at least {detail['limit']} members",
    "maxProperties": lambda detail: f"must have at most {detail['limit']} members",
    "uniqueItems": lambda _: "must not have equal elements",
    "contains": lambda _: "lacks an element that is asked for",
    "pattern": lambda detail: f"must match {_literal(detail['pattern'])}",
    "propertyNames": lambda _: "has a member whose name is not allowed",
    "anyOf": _alternatives,
    "oneOf": _alternatives,
    "not": lambda _: "is what the schema excludes",
    "falseSchema": lambda _: "must be left out",
}
"""What a broken rule expects, in words that come from the schema alone; only unexpected keys are repeated, cut and made printable."""
