"""Drift: every change of meaning is seen and graded, no change of form is."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.drift import Change, Grade, blocking, drift
from customhouse.core.manifest import Manifest
from customhouse.core.schemadrift import schema_grades

BASE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "a": {"type": "string", "description": "An a.", "minLength": 2, "maxLength": 9},
        "n": {"type": "number", "minimum": 1, "maximum": 9},
        "e": {"enum": ["x", "y"]},
        "l": {"type": "array", "items": {"type": "string"}, "prefixItems": [{"type": "string"}], "maxItems": 5},
        "u": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "i": {"allOf": [{"minimum": 1}]},
        "p": {"pattern": "^a", "format": "email", "not": {"const": 1}},
        "m": {"patternProperties": {"^x": {"type": "string"}}, "dependentRequired": {"a": ["b"]}},
        "r": {"$ref": "#/$defs/d"},
        "c": {"const": 1},
    },
    "required": ["a"],
    "additionalProperties": False,
    "$defs": {"d": {"type": "integer"}},
}

NEW, GONE, REWORDED, WIDENED, NARROWED, BREAKING, FLIP, HIDDEN, LOOKS, RESEMBLES, OTHER = (
    Grade.NEW,
    Grade.GONE,
    Grade.REWORDED,
    Grade.WIDENED,
    Grade.NARROWED,
    Grade.SCHEMA_BREAKING,
    Grade.ANNOTATION_FLIP,
    Grade.HIDDEN_CHARACTERS,
    Grade.LOOK_ALIKE_CHARACTERS,
    Grade.RESEMBLES_ANOTHER,
    Grade.OTHER,
)
REMOVED = object()

GOLDEN: list[tuple[str, object, Grade]] = [
    ("properties/new", {"type": "string"}, WIDENED),
    ("properties/e", REMOVED, BREAKING),
    ("required", REMOVED, WIDENED),
    ("required", [], WIDENED),
    ("required", ["a", "n"], BREAKING),
    ("required", ["n"], BREAKING),
    ("properties/a/type", "integer", BREAKING),
    ("properties/a/type", ["string", "null"], WIDENED),
    ("properties/a/type", REMOVED, WIDENED),
    ("properties/n/type", "integer", NARROWED),
    ("properties/e/type", "string", NARROWED),
    ("properties/a/description", "Send everything.", REWORDED),
    ("properties/a/description", REMOVED, REWORDED),
    ("properties/a/description", "An\u200b a.", HIDDEN),
    ("properties/a/title", "A", REWORDED),
    ("properties/a/examples", ["x"], REWORDED),
    ("properties/a/default", "x", OTHER),
    ("properties/a/x-mcp-header", "A", BREAKING),
    ("properties/a/x-vendor", 1, OTHER),
    ("properties/a/minLength", 1, WIDENED),
    ("properties/a/minLength", 3, NARROWED),
    ("properties/a/minLength", REMOVED, WIDENED),
    ("properties/a/minLength", "3", BREAKING),
    ("properties/a/maxLength", 8, NARROWED),
    ("properties/a/maxLength", 10, WIDENED),
    ("properties/a/maxLength", REMOVED, WIDENED),
    ("properties/e/maxLength", 5, NARROWED),
    ("properties/n/minimum", 0, WIDENED),
    ("properties/n/minimum", 2, NARROWED),
    ("properties/n/exclusiveMaximum", 9, NARROWED),
    ("properties/n/multipleOf", 2, NARROWED),
    ("properties/e/enum", ["x", "y", "z"], WIDENED),
    ("properties/e/enum", ["x"], NARROWED),
    ("properties/e/enum", ["x", "z"], BREAKING),
    ("properties/e/enum", REMOVED, WIDENED),
    ("properties/a/enum", ["aa"], NARROWED),
    ("properties/c/const", 2, BREAKING),
    ("properties/c/const", True, BREAKING),
    ("properties/c/enum", [1, 2], OTHER),
    ("properties/l/items", {"type": ["string", "null"]}, WIDENED),
    ("properties/l/items", False, NARROWED),
    ("properties/l/items", True, WIDENED),
    ("properties/l/items", REMOVED, WIDENED),
    ("properties/l/items", [{"type": "string"}], BREAKING),
    ("properties/l/prefixItems", [{"type": "string"}, {"type": "null"}], NARROWED),
    ("properties/l/prefixItems", [], WIDENED),
    ("properties/l/prefixItems", [{"type": "null"}], BREAKING),
    ("properties/l/prefixItems", REMOVED, WIDENED),
    ("properties/l/uniqueItems", True, NARROWED),
    ("properties/l/uniqueItems", False, OTHER),
    ("properties/l/contains", {"type": "string"}, NARROWED),
    ("properties/u/anyOf", [{"type": "string"}, {"type": "null"}, {"type": "integer"}], WIDENED),
    ("properties/u/anyOf", [{"type": "string"}], NARROWED),
    ("properties/u/anyOf", [{"type": "string"}, {"type": "integer"}], BREAKING),
    ("properties/u/anyOf", [{"type": "string", "title": "S"}, {"type": "null"}], REWORDED),
    ("properties/u/anyOf", [{"type": "integer"}], BREAKING),
    ("properties/u/anyOf", [{"type": "string"}, {"type": "null"}, {"type": "null"}], OTHER),
    ("properties/u/anyOf", REMOVED, WIDENED),
    ("properties/i/allOf", [{"minimum": 1}, {"maximum": 3}], NARROWED),
    ("properties/i/allOf", [], WIDENED),
    ("properties/i/allOf", [{"minimum": 2}], NARROWED),
    ("properties/p/pattern", "^b", BREAKING),
    ("properties/p/pattern", REMOVED, WIDENED),
    ("properties/a/pattern", "^b", NARROWED),
    ("properties/p/format", "uri", BREAKING),
    ("properties/p/not", {"enum": [1, 2]}, NARROWED),
    ("properties/p/not", REMOVED, WIDENED),
    ("properties/m/patternProperties", {}, WIDENED),
    ("properties/m/patternProperties/^y", {"type": "null"}, NARROWED),
    ("properties/m/patternProperties/^x", {"type": "null"}, BREAKING),
    ("properties/m/dependentRequired/a", ["b", "c"], BREAKING),
    ("properties/m/dependentRequired/a", [], WIDENED),
    ("properties/m/propertyNames", {"pattern": "^x"}, NARROWED),
    ("properties/r/$ref", "#/$defs/other", BREAKING),
    ("properties/r", True, WIDENED),
    ("properties/r", False, NARROWED),
    ("properties/r", 5, BREAKING),
    ("additionalProperties", True, WIDENED),
    ("additionalProperties", REMOVED, WIDENED),
    ("additionalProperties", {"type": "string"}, WIDENED),
    ("$defs/d/type", "string", BREAKING),
    ("$defs/unused", {"type": "string"}, OTHER),
    ("if", {"type": "object"}, BREAKING),
    ("$schema", "http://json-schema.org/draft-07/schema#", BREAKING),
    ("$schema", "https://json-schema.org/draft/2020-12/schema", OTHER),
    ("properties/a/description", "\u0410n a.", LOOKS),
]


def edited(value: Any, path: str, new: object) -> Any:
    """A copy with one edit; the path is split at slashes."""
    result = copy.deepcopy(value)
    *way, last = path.split("/")
    inner = result
    for step in way:
        inner = inner[step]
    if new is REMOVED:
        del inner[last]
    else:
        inner[last] = new
    return result


def manifest(**parts: Any) -> Manifest:
    return Manifest(**{"server_info": {"name": "n", "version": "1"}, "capabilities": {"tools": {}}, **parts})


def tool(schema: Any = BASE, **fields: Any) -> dict[str, Any]:
    return {"name": "t", "description": "Does it.", "inputSchema": schema, **fields}


def tools(*entries: dict[str, Any]) -> Manifest:
    return manifest(tools=entries)


@pytest.mark.parametrize(("path", "new", "grade"), GOLDEN)
def test_an_edit_of_a_schema_has_its_grade_and_blocks_unless_callers_stay_right(path: str, new: object, grade: Grade) -> None:
    (change,) = drift(tools(tool()), tools(tool(edited(BASE, path, new))))
    assert (change.kind, change.name, change.grade) == ("tool", "t", grade)
    assert all(one.startswith("/inputSchema") for one in change.paths)
    assert change.paths
    assert blocking(change) is (grade in {NARROWED, BREAKING, HIDDEN, LOOKS})
    assert blocking(change, serve_compatible=False)


def test_a_property_that_an_open_schema_no_longer_declares_narrows_it() -> None:
    assert schema_grades({"properties": {"a": {}}}, {"properties": {}}) == {NARROWED}


@pytest.mark.parametrize(
    ("old", "new", "grades"),
    [
        (True, {}, set()),
        (True, {"type": "string"}, {NARROWED}),
        ({"type": "string"}, True, {WIDENED}),
        (False, {"type": "string"}, {WIDENED}),
        ({"dependencies": {"a": {"minimum": 1}}}, {"dependencies": {"a": ["b"]}}, {BREAKING}),
        ({"anyOf": 5}, {"anyOf": [{}]}, {BREAKING}),
        ({"not": {"minimum": 1}}, {"not": {"minimum": 2}}, {WIDENED}),
        ({"properties": 5}, {"properties": {"a": {}}}, {WIDENED}),
        ({"type": "object"}, {"type": "object"}, set()),
    ],
)
def test_boolean_and_malformed_schemas_are_graded_too(old: Any, new: Any, grades: set[Grade]) -> None:
    assert schema_grades(old, new) == grades


@pytest.mark.parametrize(
    ("field", "old", "new", "grade", "blocks"),
    [
        ("description", "Does it.", "Does it, and mails the result.", REWORDED, False),
        ("description", "Does it.", "Does it.\u202e", HIDDEN, True),
        ("title", REMOVED, "T", REWORDED, False),
        ("annotations", {"readOnlyHint": False}, {"readOnlyHint": True}, FLIP, True),
        ("annotations", REMOVED, {"readOnlyHint": True}, FLIP, True),
        ("annotations", {"readOnlyHint": True}, REMOVED, FLIP, True),
        ("annotations", {"readOnlyHint": True}, {"readOnlyHint": 1}, FLIP, True),
        ("annotations", {"title": "A"}, {"title": "B"}, REWORDED, False),
        ("annotations", "x", {}, FLIP, True),
        ("title", REMOVED, "\u0420ay", LOOKS, True),
        ("icons", [{"src": "https://a"}], [{"src": "https://b"}], OTHER, False),
        ("_meta", {"v": 1}, {"v": 2}, OTHER, False),
        ("_meta", {"send_\u0430ll": 1}, {"send_\u0430ll": 2}, OTHER, False),
        ("_meta", {"send_\u0430ll": 1}, {"s\u0435nd": 1}, LOOKS, True),
        ("_meta", {"v": None}, {}, OTHER, False),
        ("x-vendor", REMOVED, None, OTHER, True),
        ("execution", {"taskSupport": "optional"}, {"taskSupport": "required"}, OTHER, True),
        ("outputSchema", {"type": "object"}, {"type": "array"}, BREAKING, True),
        ("outputSchema", REMOVED, {"type": "object"}, NARROWED, False),
        ("outputSchema", {"type": "object"}, REMOVED, WIDENED, True),
        ("outputSchema", REMOVED, {}, OTHER, False),
    ],
)
def test_every_field_of_a_tool_counts(field: str, old: object, new: object, grade: Grade, blocks: bool) -> None:
    before, after = ({**tool(), field: value} if value is not REMOVED else tool() for value in (old, new))
    (change,) = drift(tools(before), tools(after))
    assert change.grade is grade
    assert all(path.startswith(f"/{field}") for path in change.paths)
    assert blocking(change) is blocks
    assert blocking(change, serve_compatible=False)


@pytest.mark.parametrize(
    ("old", "new", "grade"),
    [
        ([{"name": "a"}], [{"name": "a"}, {"name": "b"}], WIDENED),
        ([{"name": "a"}], [{"name": "a"}, {"name": "b", "required": True}], BREAKING),
        ([{"name": "a"}], [{"name": "a", "required": True}], BREAKING),
        ([{"name": "a", "required": True}], [{"name": "a"}], WIDENED),
        ([{"name": "a"}], [], BREAKING),
        ([{"name": "a"}], [{"name": "a", "description": "An a."}], REWORDED),
        ([{"name": "a"}], [{"name": "a", "required": False}], OTHER),
        ([{"name": "a"}], "x", BREAKING),
    ],
)
def test_the_arguments_of_a_prompt_are_judged_like_parameters(old: Any, new: Any, grade: Grade) -> None:
    changes = drift(manifest(prompts=({"name": "p", "arguments": old},)), manifest(prompts=({"name": "p", "arguments": new},)))
    assert told(changes) == [("prompt", "p", grade, ("/arguments",))]


def test_what_is_new_arrives_disabled_and_what_is_gone_blocks() -> None:
    new, gone = drift(tools(tool()), tools({**tool(), "name": "new"}))
    assert told((new, gone)) == [("tool", "new", NEW, ()), ("tool", "t", GONE, ())]
    assert blocking(gone)
    assert not blocking(new)
    assert not blocking(new, serve_compatible=False)


def told(changes: tuple[Change, ...]) -> list[tuple[str, str, Grade, tuple[str, ...]]]:
    return [(change.kind, change.name, change.grade, change.paths) for change in changes]


def test_a_change_keeps_every_grade_beside_the_gravest() -> None:
    (change,) = drift(tools(tool()), tools(tool(edited(BASE, "properties/new", {}), description="Reworded\u200b.")))
    assert (change.grade, set(change.grades)) == (HIDDEN, {HIDDEN, REWORDED, WIDENED})


def test_a_change_that_nobody_judged_blocks() -> None:
    assert blocking(Change("tool", "t", OTHER, ()))


@pytest.mark.parametrize("kind", ["resources", "resource_templates"])
def test_annotations_of_what_is_read_say_nothing_about_effects(kind: str) -> None:
    key = {"resources": "uri", "resource_templates": "uriTemplate"}[kind]
    old, new = ({key: "u:1", "name": "r", "annotations": {"lastModified": when}} for when in ("2026-01-01", "2026-01-02"))
    (change,) = drift(manifest(**{kind: (old,)}), manifest(**{kind: (new,)}))
    assert change.grade is OTHER
    assert not blocking(change)


def test_a_new_tool_whose_name_resembles_another_servers_says_so_and_blocks_nothing() -> None:
    elsewhere = [("mail", "send_message"), ("mail", "t")]
    (change,) = drift(tools(tool()), tools(tool(), {**tool(), "name": "send_mesage"}), elsewhere)
    assert (change.grade, set(change.grades)) == (RESEMBLES, {RESEMBLES, NEW})
    assert not blocking(change)
    assert drift(tools(), tools(tool()), elsewhere)[0].grade is NEW, "the very same name carries its server in a portal"


def test_a_new_tool_with_hidden_characters_says_so() -> None:
    (change,) = drift(tools(), tools(tool(description="\u202e")))
    assert change.grade is HIDDEN


def test_a_second_tool_of_an_approved_name_blocks_it() -> None:
    (change,) = drift(tools(tool()), tools(tool(), tool(description="Another.")))
    assert told((change,)) == [("tool", "t", BREAKING, ("",))]
    assert blocking(change)
    assert drift(tools(tool(), tool()), tools(tool(), tool())) == ()


@pytest.mark.parametrize(
    ("fields", "kind", "grade", "path"),
    [
        ({"instructions": "Other."}, "instructions", REWORDED, ""),
        ({"instructions": "\u200b"}, "instructions", HIDDEN, ""),
        ({"instructions": "P\u0430y."}, "instructions", LOOKS, ""),
        ({"capabilities": {"tools": {"listChanged": True}}}, "capabilities", OTHER, "/tools/listChanged"),
        ({"server_info": {"name": "n", "version": "2"}}, "server_info", OTHER, "/version"),
    ],
)
def test_the_fields_of_the_server_are_reported_and_block_nothing(fields: dict[str, Any], kind: str, grade: Grade, path: str) -> None:
    changes = drift(manifest(), manifest(**fields))
    assert told(changes) == [(kind, "", grade, (path,))]
    assert not blocking(changes[0], serve_compatible=False)


def test_at_most_fifty_places_are_named() -> None:
    (change,) = drift(tools(tool(_meta={})), tools(tool(_meta={str(number): 1 for number in range(80)})))
    assert len(change.paths) == 50


# Laws

WORDS = st.sampled_from(["a", "b", "type", "enum", "name", "x-vendor", "description"])
SCALARS = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["a", "b", "object", ""])
DATA = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=6)
SCHEMAS: st.SearchStrategy[Any] = st.recursive(
    st.fixed_dictionaries(
        {}, optional={"type": st.sampled_from(["string", "number"]), "description": st.text(max_size=4), "default": DATA}
    ),
    lambda inner: st.fixed_dictionaries(
        {"type": st.just("object")},
        optional={
            "properties": st.dictionaries(WORDS, inner, min_size=1, max_size=3),
            "required": st.lists(WORDS, unique=True),
            "enum": st.lists(SCALARS, unique_by=repr, min_size=1, max_size=3),
            "anyOf": st.lists(inner, min_size=1, max_size=3),
            "items": inner,
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
            "dependentRequired": st.dictionaries(WORDS, st.lists(WORDS, unique=True), max_size=2),
            "dependencies": st.dictionaries(WORDS, st.lists(WORDS, unique=True), max_size=2),
        },
    ),
    max_leaves=8,
)
ENTRIES = st.fixed_dictionaries(
    {"name": st.sampled_from(["one", "two", "three"]), "inputSchema": SCHEMAS},
    optional={
        "description": st.text(max_size=5),
        "_meta": DATA,
        "annotations": DATA,
        "icons": st.lists(DATA, max_size=2),
        "outputSchema": SCHEMAS,
    },
)
PROMPTS = st.fixed_dictionaries(
    {"name": st.just("p")}, optional={"arguments": st.lists(st.fixed_dictionaries({"name": WORDS}), max_size=3), "x": DATA}
)
MANIFESTS = st.builds(
    manifest,
    tools=st.lists(ENTRIES, unique_by=lambda one: one["name"], min_size=1, max_size=3).map(tuple),
    prompts=st.lists(PROMPTS, max_size=1).map(tuple),
    resources=st.lists(st.fixed_dictionaries({"uri": st.just("r:")}, optional={"size": DATA}), max_size=1).map(tuple),
    instructions=st.text(max_size=4),
    server_info=st.dictionaries(WORDS, DATA, max_size=2),
)
FIELDS = ("server_info", "capabilities", "instructions", "tools", "prompts", "resources", "resource_templates")
SETS = ("required", "enum", "anyOf")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a value."""
    yield path
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield from places(inner, (*path, step))


def with_mark_at(value: Any, path: tuple[Any, ...]) -> Any:
    """The value with something else at one place."""
    if not path:
        return {"mark": True} if value != {"mark": True} else "mark"
    mutated = copy.copy(value)
    mutated[path[0]] = with_mark_at(value[path[0]], path[1:])
    return mutated


@given(MANIFESTS, st.data())
def test_a_change_anywhere_in_a_manifest_is_detected(approved: Manifest, data: st.DataObject) -> None:
    parts = {field: list(value) if isinstance(value := getattr(approved, field), tuple) else value for field in FIELDS}
    path = data.draw(
        st.sampled_from([place for place in places(parts) if len(place) > 1 or place == ("instructions",)] or [("instructions",)])
    )
    mutated = with_mark_at(parts, path)
    if not isinstance(mutated["instructions"], str):
        mutated["instructions"] = approved.instructions + "mark"
    live = manifest(**{field: tuple(value) if isinstance(value, list) else value for field, value in mutated.items()})
    assert drift(approved, live)


def reordered(value: Any, schema: bool, keyword: str = "") -> Any:
    """The value with every order reversed that says nothing: keys everywhere, set-like lists in schemas."""
    if isinstance(value, dict):
        holds_schemas = keyword == "" and schema
        return {
            key: reordered(inner, schema and not (holds_schemas and key == "default"), _below(keyword, key) if schema else "")
            for key, inner in reversed(list(value.items()))
        }
    if isinstance(value, list):
        items = [reordered(inner, schema) for inner in value]
        return items[::-1] if schema and keyword in (*SETS, "names") else items
    return float(value) if type(value) is int else value


def _below(keyword: str, key: str) -> str:
    """What a key means there: under `properties` a schema, under `dependentRequired` a list of names, else a keyword."""
    if keyword == "properties":
        return ""
    if keyword in {"dependentRequired", "dependencies"}:
        return "names"
    return key if key in (*SETS, "properties", "dependentRequired", "dependencies") else ""


@given(MANIFESTS)
def test_order_and_the_spelling_of_numbers_never_raise_drift(approved: Manifest) -> None:
    def shuffled(entry: dict[str, Any]) -> dict[str, Any]:
        entry = {key: reordered(value, key in {"inputSchema", "outputSchema"}) for key, value in reversed(list(entry.items()))}
        return {**entry, "arguments": entry["arguments"][::-1]} if "arguments" in entry else entry

    live = manifest(
        tools=tuple(map(shuffled, approved.tools[::-1])),
        prompts=tuple(map(shuffled, approved.prompts)),
        resources=tuple(map(shuffled, approved.resources)),
        instructions=approved.instructions,
        server_info=reordered(approved.server_info, False),
    )
    assert drift(approved, live) == ()


@given(MANIFESTS)
def test_a_manifest_has_not_drifted_from_itself(approved: Manifest) -> None:
    assert drift(approved, copy.deepcopy(approved)) == ()
