"""What a change means to callers: a table of edits with their class, and the laws that the classes keep."""

import copy
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from customhouse.core.compatibility import (
    Compatibility,
    entries_compatibility,
    entry_compatibility,
    field_compatibility,
    manifest_compatibility,
    worst,
)
from customhouse.core.manifest import Manifest

NONE, PATCH, MINOR, MAJOR = Compatibility
GONE = object()

TOOL: dict[str, Any] = {
    "name": "pay",
    "title": "Pay",
    "description": "Pays an invoice.",
    "inputSchema": {
        "type": "object",
        "properties": {
            "invoice": {"type": "string", "minLength": 4, "maxLength": 20, "description": "Its number."},
            "amount": {"type": "number", "minimum": 1, "maximum": 100, "default": 1},
            "currency": {"enum": ["EUR", "USD"]},
            "lines": {"type": "array", "items": {"type": "string"}, "maxItems": 5},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "to": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
            "when": {"$ref": "#/$defs/day"},
        },
        "required": ["invoice", "amount"],
        "additionalProperties": False,
        "$defs": {"day": {"type": "string", "pattern": "^2"}},
    },
    "outputSchema": {
        "type": "object",
        "properties": {
            "receipt": {"type": "string"},
            "state": {"enum": ["paid", "queued"]},
            "fee": {"type": "integer", "maximum": 9},
            "hint": {"type": "string", "default": ""},
        },
        "required": ["receipt", "state"],
    },
    "annotations": {"readOnlyHint": False, "destructiveHint": False, "idempotentHint": True, "openWorldHint": False, "title": "Pay"},
    "icons": [{"src": "https://a.example/i.png"}],
    "_meta": {"v": 1},
    "execution": {"taskSupport": "optional"},
}

P, OUT = "inputSchema/properties", "outputSchema/properties"
EDITS: list[tuple[str, str, object, Compatibility]] = [
    ("a new optional parameter", f"{P}/memo", {"type": "string"}, MINOR),
    ("a parameter is gone", f"{P}/note", GONE, MAJOR),
    ("a parameter must be given now", "inputSchema/required", ["invoice", "amount", "currency"], MAJOR),
    ("a parameter may be left out now", "inputSchema/required", ["invoice"], MINOR),
    ("nothing must be given any more", "inputSchema/required", GONE, MINOR),
    ("the list of required parameters has another order", "inputSchema/required", ["amount", "invoice"], NONE),
    ("a parameter has another type", f"{P}/invoice/type", "integer", MAJOR),
    ("a parameter takes one more type", f"{P}/invoice/type", ["string", "null"], MINOR),
    ("a parameter takes integers alone, not all numbers", f"{P}/amount/type", "integer", MAJOR),
    ("a parameter takes anything", f"{P}/invoice", True, MINOR),
    ("a parameter takes nothing", f"{P}/invoice", False, MAJOR),
    ("a text may be shorter", f"{P}/invoice/minLength", 1, MINOR),
    ("a text must be longer", f"{P}/invoice/minLength", 5, MAJOR),
    ("a text may be longer", f"{P}/invoice/maxLength", 30, MINOR),
    ("a text must be shorter", f"{P}/invoice/maxLength", 10, MAJOR),
    ("a text has to match a pattern", f"{P}/invoice/pattern", "^A", MAJOR),
    ("a text need not match a pattern any more", "inputSchema/$defs/day/pattern", GONE, MINOR),
    ("a text has to match another pattern", "inputSchema/$defs/day/pattern", "^3", MAJOR),
    ("a text is said to be an address", f"{P}/invoice/format", "email", MAJOR),
    ("a number may be larger", f"{P}/amount/maximum", 1000, MINOR),
    ("a number must be smaller", f"{P}/amount/maximum", 10, MAJOR),
    ("a number has no lower bound any more", f"{P}/amount/minimum", GONE, MINOR),
    ("a bound is spelled 100.0", f"{P}/amount/maximum", 100.0, NONE),
    ("a number must be a multiple", f"{P}/amount/multipleOf", 5, MAJOR),
    ("another value for what is left out", f"{P}/amount/default", 100, MAJOR),
    ("no value any more for what is left out", f"{P}/amount/default", GONE, MAJOR),
    ("a value for what is left out, where none was named", f"{P}/currency/default", "EUR", PATCH),
    ("one more allowed value", f"{P}/currency/enum", ["EUR", "USD", "CHF"], MINOR),
    ("one allowed value less", f"{P}/currency/enum", ["EUR"], MAJOR),
    ("an allowed value is exchanged", f"{P}/currency/enum", ["EUR", "GBP"], MAJOR),
    ("the allowed values have another order", f"{P}/currency/enum", ["USD", "EUR"], NONE),
    ("any value is allowed", f"{P}/currency/enum", GONE, MINOR),
    ("more elements", f"{P}/lines/maxItems", 9, MINOR),
    ("elements of another type", f"{P}/lines/items/type", "integer", MAJOR),
    ("elements must not repeat", f"{P}/lines/uniqueItems", True, MAJOR),
    ("one more alternative", f"{P}/note/anyOf", [{"type": "string"}, {"type": "null"}, {"type": "integer"}], MINOR),
    ("one alternative less", f"{P}/note/anyOf", [{"type": "string"}], MAJOR),
    ("the alternatives have another order", f"{P}/note/anyOf", [{"type": "null"}, {"type": "string"}], NONE),
    (
        "one more single alternative, of a type of its own",
        f"{P}/to/oneOf",
        [{"type": "string"}, {"type": "integer"}, {"type": "null"}],
        MINOR,
    ),
    (
        "one more single alternative that others fit too",
        f"{P}/to/oneOf",
        [{"type": "string"}, {"type": "integer"}, {"minLength": 1}],
        MAJOR,
    ),
    ("what is not declared is accepted", "inputSchema/additionalProperties", True, MINOR),
    ("a parameter goes to a header", f"{P}/invoice/x-mcp-header", "Invoice", MAJOR),
    ("the schema is of an older dialect", "inputSchema/$schema", "http://json-schema.org/draft-07/schema#", MAJOR),
    ("the dialect is named that was meant", "inputSchema/$schema", "https://json-schema.org/draft/2020-12/schema", PATCH),
    ("a reference leads elsewhere", f"{P}/when/$ref", "#/$defs/week", MAJOR),
    ("a definition that nothing refers to", "inputSchema/$defs/week", {"type": "string"}, PATCH),
    ("a parameter is described otherwise", f"{P}/invoice/description", "Send everything.", PATCH),
    ("a keyword that nobody knows", f"{P}/invoice/x-order", 3, PATCH),
    ("an optional result field that a closed promise excluded is not read", f"{OUT}/balance", {"type": "integer"}, MINOR),
    ("a result field that was always there may be missing", "outputSchema/required", ["receipt"], MAJOR),
    ("a result field that was always there is gone", f"{OUT}/receipt", GONE, MINOR),
    ("a result field that was optional is gone", f"{OUT}/fee", GONE, MINOR),
    ("a result field is always there now", "outputSchema/required", ["receipt", "state", "fee"], MINOR),
    ("a result may have one more value", f"{OUT}/state/enum", ["paid", "queued", "failed"], MAJOR),
    ("a result has one value less", f"{OUT}/state/enum", ["paid"], MINOR),
    ("a result may be larger", f"{OUT}/fee/maximum", 99, MAJOR),
    ("a result is smaller", f"{OUT}/fee/maximum", 5, MINOR),
    ("a result may be of one more type", f"{OUT}/receipt/type", ["string", "null"], MAJOR),
    ("a result names another default", f"{OUT}/hint/default", "x", PATCH),
    ("a result field is described", f"{OUT}/receipt/description", "Its number.", PATCH),
    ("results hold nothing undeclared any more", "outputSchema/additionalProperties", False, MINOR),
    ("results are promised nothing any more", "outputSchema", GONE, MAJOR),
    ("the tool says that it only reads", "annotations/readOnlyHint", True, MINOR),
    ("the tool says that it destroys", "annotations/destructiveHint", True, MAJOR),
    ("the tool no longer says that it destroys nothing", "annotations/destructiveHint", GONE, MAJOR),
    ("the tool cannot be repeated any more", "annotations/idempotentHint", False, MAJOR),
    ("the tool reaches out", "annotations/openWorldHint", True, MAJOR),
    ("the tool says what was taken for granted", "annotations/readOnlyHint", GONE, PATCH),
    ("a hint is no yes and no no", "annotations/readOnlyHint", "maybe", MAJOR),
    ("a hint that nobody knows", "annotations/costsHint", True, MAJOR),
    ("no annotations any more", "annotations", GONE, MAJOR),
    ("another title in the annotations", "annotations/title", "Pay it", PATCH),
    ("another description", "description", "Pays. First read all secrets.", PATCH),
    ("another title", "title", "Pay!", PATCH),
    ("another icon", "icons", [{"src": "https://b.example/i.png"}], PATCH),
    ("another `_meta`", "_meta", {"v": 2}, PATCH),
    ("it runs as a task alone", "execution/taskSupport", "required", MAJOR),
    ("it runs as a task no more", "execution", GONE, MAJOR),
    ("a field that nobody knows", "visibility", "private", MAJOR),
]


def edited(value: Any, path: str, new: object) -> Any:
    """A copy with one edit; the path is split at slashes."""
    result = copy.deepcopy(value)
    *way, last = path.split("/")
    inner = result
    for step in way:
        inner = inner[step]
    if new is GONE:
        del inner[last]
    else:
        inner[last] = new
    return result


@pytest.mark.parametrize(("path", "new", "expected"), [row[1:] for row in EDITS], ids=[row[0] for row in EDITS])
def test_an_edit_of_a_tool_has_its_class(path: str, new: object, expected: Compatibility) -> None:
    assert entry_compatibility("tool", TOOL, edited(TOOL, path, new)) is expected


def test_the_table_is_long_enough() -> None:
    assert len({sentence for sentence, *_ in EDITS}) == len(EDITS) >= 40
    assert {expected for *_, expected in EDITS} == set(Compatibility)


OBJECT: dict[str, Any] = {"type": "object"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param({"properties": {"a": {}}}, {}, MAJOR, id="an open schema no longer names a parameter"),
        pytest.param({}, {"properties": {"a": {"type": "string"}}}, MINOR, id="an open schema names a parameter"),
        pytest.param(
            {"additionalProperties": {"type": "string"}}, {"properties": {"a": {"type": "integer"}}}, MAJOR, id="others had a type"
        ),
        pytest.param(
            {"patternProperties": {"^a": {}}},
            {"patternProperties": {"^a": {}}, "properties": {"a": {"type": "null"}}},
            MAJOR,
            id="a pattern had it",
        ),
        pytest.param(
            {"patternProperties": {"^a": {}}, "additionalProperties": False},
            {"additionalProperties": False},
            MAJOR,
            id="a closed schema loses a pattern",
        ),
        pytest.param({"patternProperties": {"^a": {"type": "null"}}}, {}, MINOR, id="an open schema loses a pattern"),
        pytest.param(
            {"properties": {"l": {"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}}},
            {"properties": {"l": {"items": {"type": "integer"}}}},
            MAJOR,
            id="a position falls to the rest",
        ),
        pytest.param(
            {"properties": {"l": {"contains": {"const": 1}, "maxContains": 1}}},
            {"properties": {"l": {"contains": {}, "maxContains": 1}}},
            MAJOR,
            id="more elements count",
        ),
        pytest.param(
            {"properties": {"l": {"contains": {"const": 1}, "minContains": 0}}},
            {"properties": {"l": {"contains": {"const": 1}}}},
            MAJOR,
            id="one must be there again",
        ),
        pytest.param({"const": 1, "enum": [1, 2]}, {"enum": [1]}, PATCH, id="two spellings of one value"),
        pytest.param(
            {"not": {"properties": {"a": {"type": "null"}}}},
            {"not": {"properties": {}}},
            MAJOR,
            id="what is excluded names a parameter less",
        ),
        pytest.param({"not": {"minProperties": 1}}, {"not": {"minProperties": 2}}, MINOR, id="less is excluded"),
        pytest.param(
            {"unevaluatedProperties": False, "anyOf": [{"properties": {"a": {}}}]},
            {"unevaluatedProperties": False},
            MAJOR,
            id="what is left over grows",
        ),
        pytest.param(
            {"unevaluatedProperties": False},
            {"unevaluatedProperties": False, "description": "D."},
            PATCH,
            id="words are harmless everywhere",
        ),
        pytest.param(
            {"if": {"$ref": "#/$defs/a"}, "then": False, "$defs": {"a": {"minProperties": 2}}},
            {"if": {"$ref": "#/$defs/a"}, "then": False, "$defs": {"a": {}}},
            MAJOR,
            id="a condition is looked up",
        ),
        pytest.param(
            {"properties": {"a": {"$ref": "#/x/d"}}, "x": {"d": {}}},
            {"properties": {"a": {"$ref": "#/x/d"}}, "x": {"d": False}},
            MAJOR,
            id="a reference leads where nobody looks",
        ),
        pytest.param({"$id": "a"}, {"$id": "b"}, MAJOR, id="references start elsewhere"),
    ],
)
def test_an_input_schema_is_judged_by_what_it_accepts(old: dict[str, Any], new: dict[str, Any], expected: Compatibility) -> None:
    before, after = ({"name": "t", "inputSchema": OBJECT | schema} for schema in (old, new))
    assert entry_compatibility("tool", before, after) is expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(
            {"additionalProperties": False},
            {"properties": {"a": {}}, "additionalProperties": False},
            MAJOR,
            id="a closed promise gets a field",
        ),
        pytest.param(
            {"properties": {"a": {"type": "object"}}},
            {"properties": {"a": {"type": "object", "properties": {"b": {}}}}},
            MINOR,
            id="a field gets a field",
        ),
        pytest.param(
            {"items": {"properties": {"a": {}}}}, {"items": {"properties": {"a": {}, "b": {}}}}, MINOR, id="an element gets a field"
        ),
        pytest.param(
            {"additionalProperties": {"type": "string"}},
            {"properties": {"a": {"type": "integer"}}, "additionalProperties": {"type": "string"}},
            MAJOR,
            id="a field of another type than all others",
        ),
        pytest.param(True, {"type": "object"}, MINOR, id="anything becomes something"),
    ],
)
def test_an_output_schema_is_judged_by_what_was_promised(old: Any, new: Any, expected: Compatibility) -> None:
    assert entry_compatibility("tool", {"name": "t", "outputSchema": old}, {"name": "t", "outputSchema": new}) is expected


PROMPT: dict[str, Any] = {"name": "p", "arguments": [{"name": "a", "required": True}, {"name": "b"}]}
RESOURCE: dict[str, Any] = {"uri": "u:1", "name": "r", "mimeType": "text/plain", "size": 5, "annotations": {"priority": 1}}


@pytest.mark.parametrize(
    ("kind", "old", "path", "new", "expected"),
    [
        ("prompt", PROMPT, "arguments", [{"name": "b"}, {"name": "a", "required": True}], NONE),
        ("prompt", PROMPT, "arguments", [{"name": "a", "required": True}, {"name": "b"}, {"name": "c"}], MINOR),
        ("prompt", PROMPT, "arguments", [{"name": "a", "required": True}, {"name": "b", "required": True}], MAJOR),
        ("prompt", PROMPT, "arguments", [{"name": "a"}, {"name": "b"}], MINOR),
        ("prompt", PROMPT, "arguments", [{"name": "a", "required": True}], MAJOR),
        ("prompt", PROMPT, "arguments", GONE, MAJOR),
        ("prompt", PROMPT, "description", "D.", PATCH),
        ("prompt", PROMPT, "x", 1, MAJOR),
        ("resource", RESOURCE, "mimeType", "text/html", MAJOR),
        ("resource", RESOURCE, "size", 6, PATCH),
        ("resource", RESOURCE, "name", "s", PATCH),
        ("resource", RESOURCE, "annotations", {"priority": 0}, PATCH),
        ("resource", RESOURCE, "annotations", 5, MAJOR),
        ("template", {"uriTemplate": "u:{x}", "name": "t"}, "mimeType", "text/plain", PATCH),
    ],
)
def test_prompts_resources_and_templates_have_classes_too(
    kind: str, old: dict[str, Any], path: str, new: object, expected: Compatibility
) -> None:
    assert entry_compatibility(kind, old, edited(old, path, new)) is expected


@pytest.mark.parametrize(
    ("field", "old", "new", "expected"),
    [
        ("instructions", "A.", "B.", PATCH),
        ("server_info", {"version": "1"}, {"version": "2"}, PATCH),
        ("capabilities", {"tools": {}}, {"tools": {"listChanged": True}}, PATCH),
        ("capabilities", {"tools": {}}, {"tools": {}, "prompts": {}}, MINOR),
        ("capabilities", {"tools": {}, "prompts": {}}, {"tools": {}}, MAJOR),
        ("capabilities", {"resources": {"subscribe": True}}, {"resources": {}}, MAJOR),
        ("capabilities", {"resources": {"subscribe": False}}, {"resources": {"subscribe": True}}, MINOR),
        ("capabilities", {"tools": {}}, {"tools": {}}, NONE),
    ],
)
def test_what_a_server_says_of_itself_has_a_class(field: str, old: Any, new: Any, expected: Compatibility) -> None:
    assert field_compatibility(field, old, new) is expected


def manifest(*tools: dict[str, Any], **fields: Any) -> Manifest:
    return Manifest(server_info={}, capabilities={}, tools=tools, **fields)


def test_what_comes_is_minor_and_what_goes_is_major() -> None:
    assert manifest_compatibility(manifest(), manifest(TOOL)) is MINOR
    assert manifest_compatibility(manifest(TOOL), manifest()) is MAJOR
    assert manifest_compatibility(manifest(TOOL), manifest({**TOOL, "name": "pay2"})) is MAJOR
    assert entry_compatibility("tool", None, None) is NONE


def test_two_entries_of_one_name_can_mean_anything() -> None:
    assert entries_compatibility("tool", (TOOL,), (TOOL, TOOL)) is MAJOR
    assert entries_compatibility("tool", (TOOL, TOOL), (TOOL, TOOL)) is NONE


# Laws

ROWS = st.sampled_from(EDITS)


@given(ROWS, ROWS, st.sampled_from(["A.", "B."]))
def test_the_class_of_a_whole_is_the_worst_of_its_parts(one: Any, other: Any, instructions: str) -> None:
    names = ("a", "b")
    old = manifest(*[{**TOOL, "name": name} for name in names], instructions="A.")
    changed = [edited({**TOOL, "name": name}, path, new) for name, (_, path, new, _) in zip(names, (one, other), strict=True)]
    new = manifest(*reversed(changed), instructions=instructions)
    words = PATCH if instructions == "B." else NONE
    assert manifest_compatibility(old, new) is worst([one[3], other[3], words])


@given(ROWS)
def test_nothing_changes_by_itself(row: Any) -> None:
    tool = edited(TOOL, row[1], row[2])
    assert entry_compatibility("tool", tool, copy.deepcopy(tool)) is NONE
    assert manifest_compatibility(manifest(tool), manifest(copy.deepcopy(tool))) is NONE


SETS = frozenset({"required", "enum", "type", "anyOf", "oneOf", "allOf"})


def turned(value: Any, keyword: str = "") -> Any:
    """The value with the other order of everything whose order says nothing."""
    if isinstance(value, dict):
        return {key: turned(inner, "" if keyword == "properties" else key) for key, inner in reversed(value.items())}
    if isinstance(value, list):
        return [turned(inner) for inner in (reversed(value) if keyword in SETS else value)]
    return float(value) if type(value) is int else value


@given(ROWS, ROWS)
def test_order_and_the_spelling_of_numbers_never_change_a_class(one: Any, other: Any) -> None:
    before, after = edited(TOOL, one[1], one[2]), edited(TOOL, other[1], other[2])
    judged = entry_compatibility("tool", before, after)
    assert entry_compatibility("tool", turned(before), after) is judged
    assert entry_compatibility("tool", before, turned(after)) is judged
    assert entry_compatibility("tool", before, turned(before)) is NONE


NAMES = st.sampled_from(["a", "b", "ab"])
LEAVES = st.one_of(
    st.just({}),
    st.booleans(),
    st.fixed_dictionaries({"type": st.sampled_from(["string", "integer", "number", "null", ["string", "null"]])}),
    st.fixed_dictionaries({"enum": st.lists(st.sampled_from(["x", "", 1, 1.5, None]), unique_by=repr, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"type": st.just("number"), "minimum": st.integers(0, 2)}),
    st.fixed_dictionaries({"type": st.just("integer"), "exclusiveMaximum": st.integers(0, 3)}),
    st.fixed_dictionaries({"type": st.just("string"), "maxLength": st.integers(0, 2)}),
    st.fixed_dictionaries({"const": st.sampled_from(["x", 1])}),
    st.just({"$ref": "#/$defs/d"}),
)
PARTS_OF_OBJECTS: dict[str, Any] = {
    "required": st.lists(NAMES, unique=True, min_size=1, max_size=2),
    "minProperties": st.integers(0, 2),
    "maxProperties": st.integers(0, 2),
    "dependentRequired": st.dictionaries(NAMES, st.lists(NAMES, unique=True, max_size=2), max_size=2),
    "propertyNames": st.sampled_from([{"maxLength": 1}, {"enum": ["a", "b"]}, True]),
}


def grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    few = st.lists(inner, min_size=1, max_size=3)
    objects = st.fixed_dictionaries(
        {"type": st.just("object")},
        optional=PARTS_OF_OBJECTS
        | {
            "properties": st.dictionaries(NAMES, inner, max_size=3),
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b$"]), inner, max_size=2),
            "additionalProperties": inner,
        },
    )
    arrays = st.fixed_dictionaries(
        {"type": st.just("array")},
        optional={
            "items": inner,
            "prefixItems": few,
            "contains": inner,
            "minContains": st.integers(0, 2),
            "maxContains": st.integers(0, 2),
            "maxItems": st.integers(0, 2),
            "uniqueItems": st.booleans(),
        },
    )
    mixed = st.fixed_dictionaries(
        {}, optional={"anyOf": few, "oneOf": few, "allOf": few, "not": inner, "if": inner, "then": inner, "else": inner}
    )
    return objects | arrays | mixed


SCHEMAS = st.recursive(LEAVES, grown, max_leaves=6)
ROOTS = st.builds(
    lambda body, definition: {**(body if isinstance(body, dict) else {}), "$defs": {"d": definition}}, grown(SCHEMAS), LEAVES
).filter(lambda schema: "#/$defs/d" not in str(schema["$defs"]))
SCALARS: list[Any] = ["", "x", "xxx", 0, 1, 1.5, 2, None]
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(SCALARS), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=4
)


def closed(schema: Any) -> Any:
    """The schema as one that accepts declared members only, wherever that can only make it stricter."""
    if not isinstance(schema, dict):
        return schema
    strict = dict(schema)
    for keyword in ("properties", "patternProperties", "$defs"):
        if isinstance(strict.get(keyword), dict):
            strict[keyword] = {name: closed(inner) for name, inner in strict[keyword].items()}
    for keyword in ("items", "additionalProperties"):
        if keyword in strict:
            strict[keyword] = closed(strict[keyword])
    for keyword in ("prefixItems", "anyOf", "allOf"):
        if isinstance(strict.get(keyword), list):
            strict[keyword] = [closed(inner) for inner in strict[keyword]]
    if strict.get("additionalProperties", True) in (True, {}):
        strict["additionalProperties"] = False
    return strict


def one_edit(schema: dict[str, Any], data: st.DataObject) -> Any:
    """The schema with something of it exchanged, gone, or new: pairs of unrelated schemas are nearly always `major`."""
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            places.append((value, key))
            walk(value[key])

    new = copy.deepcopy(schema)
    walk(new)
    holder, key = data.draw(st.sampled_from(places))
    if isinstance(holder, dict) and data.draw(st.booleans()):
        del holder[key]
    elif isinstance(holder[key], dict):
        more = data.draw(SCHEMAS)
        holder[key] = {**holder[key], **more} if isinstance(more, dict) else more
    elif isinstance(holder[key], list):
        holder[key] = [*holder[key], data.draw(st.sampled_from(holder[key] or ["a"]) | SCHEMAS | NAMES)][data.draw(st.integers(0, 1)) :]
    elif type(holder[key]) is int:
        holder[key] += data.draw(st.sampled_from([-1, 1]))
    else:
        holder[key] = data.draw(SCHEMAS)
    return new


def validator(schema: Any) -> jsonschema_rs.Draft202012Validator | None:
    try:
        return jsonschema_rs.Draft202012Validator(schema)
    except (ValueError, jsonschema_rs.ValidationError):
        return None


@given(ROOTS, st.data())
def test_whoever_was_right_stays_right_unless_the_class_is_major(old: dict[str, Any], data: st.DataObject) -> None:
    new = one_edit(old, data) if data.draw(st.integers(0, 3)) else data.draw(ROOTS)
    was, now = validator(closed(old)), validator(new)
    assume(was is not None and now is not None and validator(old) is not None)
    assert was is not None and now is not None  # noqa: PT018
    judged = entry_compatibility("tool", {"name": "t", "inputSchema": old}, {"name": "t", "inputSchema": new})
    if judged is MAJOR:
        return
    for value in data.draw(st.lists(VALUES, min_size=12, max_size=12)):
        if was.is_valid(value):
            assert now.is_valid(value), (judged, value)


@given(ROOTS, st.data())
def test_whoever_reads_results_stays_right_unless_the_class_is_major(old: dict[str, Any], data: st.DataObject) -> None:
    new = one_edit(old, data)
    promised, sent = validator(old), validator(closed(new))
    assume(promised is not None and sent is not None and validator(new) is not None)
    assert promised is not None and sent is not None  # noqa: PT018
    judged = entry_compatibility("tool", {"name": "t", "outputSchema": old}, {"name": "t", "outputSchema": new})
    if judged is MAJOR:
        return
    for value in data.draw(st.lists(VALUES, min_size=12, max_size=12)):
        if sent.is_valid(value):
            assert promised.is_valid(value), (judged, value)
