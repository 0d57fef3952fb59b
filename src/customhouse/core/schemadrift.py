"""What an edit of a JSON schema means for those who rely on it.

One row per keyword. `widened`: every value that fitted still fits, and more do. `narrowed`: values that fitted no longer do.
`schema_breaking`: what was built for the old schema is wrong for the new one (a parameter that must now be given, one that is gone, another
type). For an output schema the same words speak of the values that the server may send. The judgement is by keyword, so it can be graver
than the logic of the whole schema would demand, never milder: what is only widened accepts whatever had been accepted, if it is looked at
where a wider part makes the whole wider (`core.compatibility` sorts out the schemas in which that is not so). One convention stands beside
the logic: a parameter that an open schema names anew widens it, and one that it no longer names narrows it.
"""

import enum
from collections.abc import Callable, Mapping
from typing import Any, Final

from customhouse.core.equality import same
from customhouse.core.manifest import canonical_bytes
from customhouse.core.subschemas import KEYWORDS, Shape


class Grade(enum.Enum):
    """What kind of change something is."""

    NEW = "new"
    GONE = "gone"
    REWORDED = "reworded"
    """Texts only."""
    WIDENED = "widened"
    NARROWED = "narrowed"
    SCHEMA_BREAKING = "schema_breaking"
    ANNOTATION_FLIP = "annotation_flip"
    HIDDEN_CHARACTERS = "hidden_characters"
    """The change brings in characters that a reader does not see."""
    LOOK_ALIKE_CHARACTERS = "look_alike_characters"
    """The change brings in words whose letters pose as others."""
    RESEMBLES_ANOTHER = "resembles_another"
    """A new name that a reader takes for the name of another server's tool."""
    OTHER = "other"


Grades = set[Grade]

_SETS: Final = frozenset({"required", "enum", "type", "anyOf", "oneOf", "allOf"})
"""Schema keywords whose arrays are sets."""


def in_canonical_order(schema: Any) -> Any:
    """A schema with the arrays sorted whose order says nothing. Data inside it (`default`, `const`, `examples`) stays as it is."""
    if not isinstance(schema, dict):
        return schema
    ordered = {keyword: _ordered(keyword, value) for keyword, value in schema.items()}
    for keyword in _SETS & ordered.keys():
        if isinstance(ordered[keyword], list):
            ordered[keyword] = sorted(ordered[keyword], key=canonical_bytes)
    return ordered


def _ordered(keyword: str, value: Any) -> Any:
    shape = KEYWORDS[keyword][0] if keyword in KEYWORDS else None
    if shape is Shape.MAP and isinstance(value, dict):
        return {name: sorted(inner) if _are_names(inner) else in_canonical_order(inner) for name, inner in value.items()}
    if keyword == "dependentRequired" and isinstance(value, dict):
        return {name: sorted(inner) if _are_names(inner) else inner for name, inner in value.items()}
    if shape is not None and isinstance(value, list):
        return [in_canonical_order(inner) for inner in value]
    return in_canonical_order(value) if shape is not None else value


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def schema_grades(old: Any, new: Any) -> Grades:
    """What kinds of change there are between two schemas; none if they are equal but for order."""
    return _grades(in_canonical_order(old), in_canonical_order(new))


def _grades(old: Any, new: Any) -> Grades:
    """The same for schemas in canonical order."""
    if same(old, new):
        return set()
    if not isinstance(old, dict) or not isinstance(new, dict):
        return _boolean(old, new)
    grades = _values_listed(old, new)
    for keyword in (old.keys() | new.keys()) - {"enum", "const"}:
        before, after = old.get(keyword, _ABSENT), new.get(keyword, _ABSENT)
        if before is _ABSENT or after is _ABSENT or not same(before, after):
            beside = _BESIDE.get(keyword)
            grades |= beside(old, new) if beside else _RULES.get(keyword, _other)(before, after)
    return grades


class _Absent:
    """No such keyword."""


_ABSENT: Final = _Absent()


def _boolean(old: Any, new: Any) -> Grades:
    """`true` allows anything and is what an absent schema means; `false` allows nothing."""
    if old is False or new is True:
        return {Grade.WIDENED}
    if old is True and isinstance(new, dict):
        return _grades({}, new)
    if new is False or old is True:
        return {Grade.NARROWED}
    return _grades(old, {}) if new is True else {Grade.SCHEMA_BREAKING}


def _values_listed(old: Mapping[str, Any], new: Mapping[str, Any]) -> Grades:
    """`enum` and `const` say the same thing: which values there are."""
    before, after = _listed(old), _listed(new)
    if before == after:
        return set()
    if before is None or after is None:
        return {Grade.NARROWED if before is None else Grade.WIDENED}
    return _as_sets(before, after)


def _listed(schema: Mapping[str, Any]) -> frozenset[bytes] | None:
    listed = frozenset(map(canonical_bytes, schema["enum"])) if isinstance(schema.get("enum"), list) else None
    if "const" not in schema:
        return listed
    constant = frozenset({canonical_bytes(schema["const"])})
    return constant if listed is None else constant & listed


def _as_sets(before: frozenset[Any], after: frozenset[Any]) -> Grades:
    if before < after:
        return {Grade.WIDENED}
    return {Grade.NARROWED if after < before else Grade.SCHEMA_BREAKING}


def _properties(old: Mapping[str, Any], new: Mapping[str, Any]) -> Grades:
    old_ones, new_ones = _object(old.get("properties")), _object(new.get("properties"))
    grades: Grades = set()
    for name in new_ones.keys() - old_ones.keys():
        grades |= {Grade.WIDENED} | _named_anew(old, new_ones[name])
    if old_ones.keys() - new_ones.keys():
        grades.add(Grade.SCHEMA_BREAKING if _closed(new) else Grade.NARROWED)
    return grades.union(*[_grades(old_ones[name], new_ones[name]) for name in old_ones.keys() & new_ones.keys()])


def _named_anew(old: Mapping[str, Any], named: Any) -> Grades:
    """A member that had no name of its own may have had a schema, by a pattern or by what holds for all others."""
    others = old.get("additionalProperties")
    grades = _grades(others, named) if isinstance(others, dict) else set()
    return grades | ({Grade.NARROWED} if _object(old.get("patternProperties")) else set())


def _closed(schema: Mapping[str, Any]) -> bool:
    return schema.get("additionalProperties") is False or schema.get("unevaluatedProperties") is False


def _patterns(old: Mapping[str, Any], new: Mapping[str, Any]) -> Grades:
    """A pattern that goes frees what it matched, or hands it over to what holds for all other members."""
    gone = _object(old.get("patternProperties")).keys() - _object(new.get("patternProperties")).keys()
    handed_over = bool(gone) and new.get("additionalProperties", True) is not True
    grades = _conditional_map(old.get("patternProperties", _ABSENT), new.get("patternProperties", _ABSENT))
    return grades | ({Grade.SCHEMA_BREAKING} if handed_over else set())


_STRICTER: Final = {Grade.NARROWED, Grade.SCHEMA_BREAKING}


def _elements(keyword: str, rest: str) -> Callable[[Mapping[str, Any], Mapping[str, Any]], Grades]:
    """A position that goes hands its element over to what holds for the rest."""

    def judge(old: Mapping[str, Any], new: Mapping[str, Any]) -> Grades:
        before, after = old.get(keyword, _ABSENT), new.get(keyword, _ABSENT)
        grades = (_inner if keyword == "items" else _positions)(before, after)
        if isinstance(before, list) and (after is _ABSENT or isinstance(after, list)):
            kept = len(after) if isinstance(after, list) else 0
            grades = grades.union(*[_grades(position, new.get(rest, True)) & _STRICTER for position in before[kept:]])
        return grades

    return judge


def _contains(old: Mapping[str, Any], new: Mapping[str, Any]) -> Grades:
    """Absent, it asks for nothing; `{}` asks for an element. With an upper bound, what fits more elements lets fewer arrays pass."""
    if "contains" not in old or "contains" not in new:
        return {Grade.WIDENED if "contains" in old else Grade.NARROWED}
    grades = _grades(old["contains"], new["contains"]) or {Grade.OTHER}
    return {Grade.SCHEMA_BREAKING} if "maxContains" in new and Grade.WIDENED in grades else grades


def _min_contains(old: Mapping[str, Any], new: Mapping[str, Any]) -> Grades:
    """Absent, it is 1."""
    return _lower_bound(old.get("minContains", 1), new.get("minContains", 1))


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _other(_: Any, __: Any) -> Grades:
    return {Grade.OTHER}


def _reworded(_: Any, __: Any) -> Grades:
    return {Grade.REWORDED}


def _breaking(_: Any, __: Any) -> Grades:
    return {Grade.SCHEMA_BREAKING}


def _default(before: Any, after: Any) -> Grades:
    """A call that leaves a parameter out means something else with another default."""
    return {Grade.OTHER if before is _ABSENT else Grade.SCHEMA_BREAKING}


def _dialect(before: Any, after: Any) -> Grades:
    """One vocabulary has several spellings; another one reads the same keywords differently."""
    return {Grade.OTHER if _spelled(before) == _spelled(after) else Grade.SCHEMA_BREAKING}


def _spelled(dialect: Any) -> str:
    """Absent, it is 2020-12 (MCP 2026-07-28, basic, JSON Schema Usage)."""
    if dialect is _ABSENT:
        return "json-schema.org/draft/2020-12/schema"
    return str(dialect).removeprefix("https://").removeprefix("http://").removesuffix("#")


def _required(before: Any, after: Any) -> Grades:
    old_ones, new_ones = _names(before), _names(after)
    grades = {Grade.SCHEMA_BREAKING} if new_ones - old_ones else set()
    return grades | ({Grade.WIDENED} if old_ones - new_ones else set())


def _names(value: Any) -> frozenset[str]:
    return frozenset(filter(_is_text, value)) if isinstance(value, list) else frozenset()


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_ALL_TYPES: Final = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})


def _type(before: Any, after: Any) -> Grades:
    return _as_sets(_types(before), _types(after))


def _types(value: Any) -> frozenset[str]:
    """The types a keyword admits; every number may be an integer."""
    named = _ALL_TYPES if value is _ABSENT else frozenset({value}) if isinstance(value, str) else _names(value)
    return named | {"integer"} if "number" in named else named


def _lower_bound(before: Any, after: Any) -> Grades:
    if before is _ABSENT or after is _ABSENT:
        return {Grade.NARROWED if before is _ABSENT else Grade.WIDENED}
    if not _is_number(before) or not _is_number(after):
        return {Grade.SCHEMA_BREAKING}
    return {Grade.NARROWED if after > before else Grade.WIDENED}


def _upper_bound(before: Any, after: Any) -> Grades:
    if _is_number(before) and _is_number(after):
        return _lower_bound(after, before)
    return _lower_bound(before, after)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _condition(before: Any, after: Any) -> Grades:
    """A condition that is there or not, and of which two forms cannot be compared."""
    was, remains = (value is not _ABSENT and value is not False for value in (before, after))
    if was and remains:
        return {Grade.SCHEMA_BREAKING}
    if was or remains:
        return {Grade.NARROWED if remains else Grade.WIDENED}
    return {Grade.OTHER}


def _inner(before: Any, after: Any) -> Grades:
    """A schema about a part of the value; absent means anything."""
    if isinstance(before, list) or isinstance(after, list):
        return _positions(before, after)
    return _grades(True if before is _ABSENT else before, True if after is _ABSENT else after) or {Grade.OTHER}


def _positions(before: Any, after: Any) -> Grades:
    """Schemas of elements by position."""
    if not isinstance(before, list) or not isinstance(after, list):
        return _condition(before, after)
    shared = [grade for old, new in zip(before, after, strict=False) for grade in _grades(old, new)]
    longer = set() if len(before) == len(after) else {Grade.NARROWED if len(after) > len(before) else Grade.WIDENED}
    return longer.union(shared)


_FLIPPED: Final = {Grade.WIDENED: Grade.NARROWED, Grade.NARROWED: Grade.WIDENED}


def _negated(before: Any, after: Any) -> Grades:
    if before is _ABSENT or after is _ABSENT:
        return _condition(before, after)
    if _has_parts(before) or _has_parts(after):
        return _condition(before, after)
    return {_FLIPPED.get(grade, grade) for grade in _grades(before, after)}


def _has_parts(schema: Any) -> bool:
    """What is judged by its parts may be judged graver than it is, and that cannot be turned round."""
    return isinstance(schema, dict) and not KEYWORDS.keys().isdisjoint(schema)


def _alternatives(before: Any, after: Any) -> Grades:
    return _members(before, after, more=Grade.WIDENED, fewer=Grade.NARROWED)


def _single_alternatives(before: Any, after: Any) -> Grades:
    """Exactly one has to fit: a wider or a further one can fit beside it, unless their types keep them apart."""
    grades = _alternatives(before, after)
    if _repeats(before) or _repeats(after):
        return {Grade.SCHEMA_BREAKING}
    if Grade.WIDENED not in grades or after is _ABSENT or _apart(after):
        return grades
    return {Grade.SCHEMA_BREAKING}


def _repeats(schemas: Any) -> bool:
    """What stands there twice never is the only one."""
    return isinstance(schemas, list) and len({canonical_bytes(one) for one in schemas}) < len(schemas)


def _apart(schemas: Any) -> bool:
    types = [_types(one.get("type", _ABSENT)) if isinstance(one, dict) else _ALL_TYPES for one in schemas]
    return sum(map(len, types)) == len(frozenset().union(*types))


def _conjunction(before: Any, after: Any) -> Grades:
    return _members(before, after, more=Grade.NARROWED, fewer=Grade.WIDENED)


def _members(before: Any, after: Any, *, more: Grade, fewer: Grade) -> Grades:
    """Schemas in a set: what both have says nothing; as many gone as come are compared one by one."""
    if not isinstance(before, list) or not isinstance(after, list):
        return _condition(before, after)
    old_ones = {canonical_bytes(one): one for one in before}
    new_ones = {canonical_bytes(one): one for one in after}
    gone = [one for key, one in old_ones.items() if key not in new_ones]
    come = [one for key, one in new_ones.items() if key not in old_ones]
    if not gone or not come:
        return {more if come else fewer} if gone or come else {Grade.OTHER}
    if len(gone) != len(come):
        return {Grade.SCHEMA_BREAKING}
    return set().union(*map(_grades, gone, come))


def _conditional_map(before: Any, after: Any) -> Grades:
    """Schemas, or lists of names, that hold under a condition named by their key."""
    old_ones, new_ones = _object(before), _object(after)
    grades: Grades = set()
    if new_ones.keys() - old_ones.keys():
        grades.add(Grade.NARROWED)
    if old_ones.keys() - new_ones.keys():
        grades.add(Grade.WIDENED)
    return grades.union(*[_conditional(old_ones[name], new_ones[name]) for name in old_ones.keys() & new_ones.keys()])


def _conditional(old: Any, new: Any) -> Grades:
    if isinstance(old, list) and isinstance(new, list):
        return _required(old, new)
    return _grades(old, new)


def _definitions(before: Any, after: Any) -> Grades:
    """Definitions that nothing refers to change nothing by themselves; what refers to them is judged by them."""
    old_ones, new_ones = _object(before), _object(after)
    grades: Grades = {Grade.OTHER} if old_ones.keys() != new_ones.keys() else set()
    return grades.union(*[_grades(old_ones[name], new_ones[name]) for name in old_ones.keys() & new_ones.keys()])


_RULES: Final[Mapping[str, Callable[[Any, Any], Grades]]] = {
    **dict.fromkeys(("title", "description", "$comment", "examples"), _reworded),
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), _lower_bound),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains"), _upper_bound),
    **dict.fromkeys(("pattern", "format", "multipleOf", "uniqueItems", "contentEncoding", "contentMediaType"), _condition),
    **dict.fromkeys(("additionalProperties", "unevaluatedProperties", "propertyNames", "then", "else", "contentSchema"), _inner),
    **dict.fromkeys(("additionalItems", "unevaluatedItems"), _inner),
    **dict.fromkeys(("dependentSchemas", "dependentRequired", "dependencies"), _conditional_map),
    **dict.fromkeys(("$defs", "definitions"), _definitions),
    **dict.fromkeys(("$ref", "$dynamicRef", "$recursiveRef", "if", "x-mcp-header"), _breaking),
    **dict.fromkeys(("$id", "id", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "$vocabulary"), _breaking),
    "$schema": _dialect,
    "allOf": _conjunction,
    "anyOf": _alternatives,
    "default": _default,
    "not": _negated,
    "oneOf": _single_alternatives,
    "required": _required,
    "type": _type,
}
"""How a keyword that changed is judged; the others (vendor keywords, `deprecated`) are `other`."""

_BESIDE: Final[Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Grades]]] = {
    "contains": _contains,
    "items": _elements("items", "additionalItems"),
    "minContains": _min_contains,
    "patternProperties": _patterns,
    "prefixItems": _elements("prefixItems", "items"),
    "properties": _properties,
}
"""The same for keywords whose meaning depends on their neighbours; asked with the whole schemas."""
