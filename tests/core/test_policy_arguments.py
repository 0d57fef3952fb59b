"""Typed arguments: what of a JSON Schema becomes a Cedar type, and what of a value Cedar sees."""

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.manifest import Effect
from customhouse.core.policy import PolicyServer, PolicyTool, compile_policy
from customhouse.core.policyarguments import MAX_DEPTH, ArgumentType, Unprojectable, arguments_type, as_cedar, project
from tests.core.policy_world import caller


def typed(schema: Any, *, required: bool = False) -> dict[str, Any]:
    """The Cedar type of one property, or an empty table where there is none."""
    root = {"type": "object", "properties": {"x": schema}, "required": ["x"] if required else []}
    attributes: dict[str, Any] = as_cedar(arguments_type(root))["attributes"]
    return dict(attributes.get("x", {}))


STRINGS = {"type": "Set", "element": {"type": "String"}, "required": False}


@pytest.mark.parametrize(
    ("schema", "cedar"),
    [
        ({"type": "string"}, {"type": "String", "required": False}),
        ({"type": ["string"], "minLength": 1}, {"type": "String", "required": False}),
        ({"enum": ["a", "b"]}, {"type": "String", "required": False}),
        ({"type": "integer"}, {"type": "Long", "required": False}),
        ({"type": "boolean"}, {"type": "Boolean", "required": False}),
        ({"type": "array", "items": {"type": "string"}}, STRINGS),
        ({"type": "object"}, {"type": "Record", "attributes": {}, "required": False}),
        (
            {"type": "object", "properties": {"y": {"type": "integer"}, "z": {"type": "number"}}, "required": ["y", "z", 1]},
            {"type": "Record", "attributes": {"y": {"type": "Long", "required": True}}, "required": False},
        ),
    ],
)
def test_what_cedar_can_express_is_typed(schema: Any, cedar: dict[str, Any]) -> None:
    assert typed(schema) == cedar
    assert typed(schema, required=True) == {**cedar, "required": True}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "number"},
        {"type": "null"},
        {"type": ["string", "null"]},
        {"type": ["string", "integer"]},
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        {"enum": ["a", 1]},
        {"enum": []},
        {"const": "a"},
        {},
        True,
        False,
        {"$ref": "#/$defs/a"},
        {"$ref": "#/$defs/a", "type": "string"},
        {"$dynamicRef": "#a", "type": "string"},
        {"type": "array"},
        {"type": "array", "items": [{"type": "string"}]},
        {"type": "array", "items": {"type": "number"}},
        {"type": "array", "items": {"type": "object"}},
        {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
        {"type": "array", "prefixItems": [{"type": "integer"}], "items": {"type": "string"}},
    ],
)
def test_what_cedar_cannot_express_is_left_out(schema: Any) -> None:
    assert typed(schema) == {}


@pytest.mark.parametrize(
    "root",
    [
        {},
        {"$ref": "#/$defs/a", "properties": {"x": {"type": "string"}}},
        {"properties": []},
        {"properties": {"__entity": {"type": "string"}, "__extn": {"type": "string"}, "__": {"type": "string"}}},
    ],
)
def test_a_root_without_readable_properties_is_an_empty_record(root: dict[str, Any]) -> None:
    assert arguments_type(root) == ArgumentType("Record")
    assert project(arguments_type(root), {"x": 1, "__entity": "y"}) == {}


def test_a_required_list_of_the_wrong_shape_requires_nothing() -> None:
    assert arguments_type({"properties": {"x": {"type": "string"}}, "required": True}).attributes["x"].required is False


def test_objects_are_followed_down_to_a_bound() -> None:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(100):
        schema = {"type": "object", "properties": {"x": schema}}
    deepest, depth = arguments_type(schema), 0
    while "x" in deepest.attributes:
        deepest, depth = deepest.attributes["x"].type, depth + 1
    assert depth == MAX_DEPTH - 1


def test_a_value_is_cut_to_what_its_type_says() -> None:
    schema = {
        "properties": {
            "n": {"type": "integer"},
            "to": {"type": "object", "properties": {"city": {"type": "string"}}},
            "ids": {"type": "array", "items": {"type": "integer"}},
            "price": {"type": "number"},
        }
    }
    value = {"n": 2.0, "to": {"city": "Bonn", "zip": 5}, "ids": [1, 2.0], "price": 1.5, "extra": {}}
    projected = project(arguments_type(schema), value)
    assert projected == {"n": 2, "to": {"city": "Bonn"}, "ids": [1, 2]}
    assert isinstance(projected["n"], int)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, 1),
        ({"type": "integer"}, True),
        ({"type": "integer"}, 1.5),
        ({"type": "integer"}, float("inf")),
        ({"type": "integer"}, "1"),
        ({"type": "integer"}, 2**63),
        ({"type": "integer"}, -(2**63) - 1),
        ({"type": "integer"}, 1e300),
        ({"type": "boolean"}, 1),
        ({"type": "array", "items": {"type": "string"}}, "a"),
        ({"type": "array", "items": {"type": "string"}}, ["a", None]),
        ({"type": "object"}, []),
        ({"type": "object", "properties": {"y": {"type": "string"}}, "required": ["y"]}, {}),
    ],
)
def test_a_value_of_another_type_is_refused(schema: dict[str, Any], value: Any) -> None:
    with pytest.raises(Unprojectable):
        project(arguments_type({"properties": {"x": schema}}), {"x": value})


@pytest.mark.parametrize("edge", [2**63 - 1, -(2**63), 0])
def test_integers_of_64_bits_arrive_as_they_are(edge: int) -> None:
    tool = PolicyTool("t", Effect.READ, {"properties": {"n": {"type": "integer"}}, "required": ["n"]})
    written = str(edge) if edge > -(2**63) else "-9223372036854775808"
    rule = f'@id("x") permit (principal, action == Action::"call:s/t", resource) when {{ context.arguments.n == {written} }};'
    one = compile_policy({"a.cedar": rule}, (PolicyServer("s", "acme", "o", (tool,)),))
    assert one.decide(caller(), one.tool("s", "t"), {"n": edge}, "p").permitted


NAMES = st.sampled_from(["a", "b", 'c"', "d\n", "", "__entity", "é"])
LEAVES = st.sampled_from(
    [{"type": "string"}, {"type": "integer"}, {"type": "boolean"}, {"type": "number"}, {"type": ["string", "null"]}, {"enum": ["a"]}, True]
)


def objects(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def built(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
        return {"type": "object", "properties": properties, "required": required}

    return st.builds(built, st.dictionaries(NAMES, parts, max_size=4), st.lists(NAMES, max_size=2, unique=True))


SCHEMAS = objects(st.recursive(LEAVES, lambda parts: objects(parts) | st.builds(lambda part: {"type": "array", "items": part}, parts)))
SCALARS = st.sampled_from(["", "a", 0, 2.0, 1.5, True, None, -1])
VALUES = st.dictionaries(
    NAMES, st.recursive(SCALARS, lambda parts: st.lists(parts, max_size=3) | st.dictionaries(NAMES, parts, max_size=3)), max_size=4
)


def fitting(schema: Any) -> st.SearchStrategy[Any]:
    """Values that are mostly valid by the schema."""
    if not isinstance(schema, dict) or "enum" in schema:
        return st.just("a")
    if schema["type"] == "array":
        return st.lists(fitting(schema["items"]), max_size=2)
    if schema["type"] == "object":
        required = {name: fitting(schema["properties"].get(name, True)) for name in schema["required"]}
        optional = {name: fitting(part) for name, part in schema["properties"].items() if name not in required}
        return st.fixed_dictionaries(required, optional=optional)
    return {"string": st.text(max_size=3), "integer": st.sampled_from([0, -3, 2.0]), "boolean": st.booleans()}.get(
        str(schema["type"]), SCALARS
    )


@given(schema=SCHEMAS, data=st.data())
def test_every_schema_valid_value_projects_to_a_context_that_the_engine_accepts(schema: dict[str, Any], data: st.DataObject) -> None:
    value = data.draw(fitting(schema) | VALUES)
    if not jsonschema_rs.is_valid(schema, value):
        return
    rule = '@id("x") permit (principal, action == Action::"call:s/t", resource) when { context.portal == "p" };'
    one = compile_policy({"a.cedar": rule}, (PolicyServer("s", "acme", "o", (PolicyTool("t", Effect.READ, schema),)),))
    decision = one.decide(caller(), one.tool("s", "t"), value, "p")
    assert decision.errors == ()
    assert decision.permitted
