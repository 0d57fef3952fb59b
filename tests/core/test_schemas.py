"""Schemas judge arguments, fetch nothing, and never cost more than they may."""

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core import schemas
from customhouse.core.schemas import DeferredSchema, SchemaUnusable, compile_schema, declared_names, lookalikes

NOTE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "minLength": 1},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
        "when": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "kind": {"enum": ["a", "b"]},
    },
    "required": ["title"],
    "additionalProperties": False,
    "$defs": {"tag": {"type": "object", "properties": {"label": {"type": "string"}, "under": {"$ref": "#/$defs/tag"}}}},
}


def test_arguments_that_fit_have_no_problem() -> None:
    assert compile_schema(NOTE).problems({"title": "x", "tags": [{"label": "y"}], "when": None, "kind": "a"}) == ()


@pytest.mark.parametrize(
    ("rule", "value", "sentence"),
    [
        ({"type": "string"}, 5, "/a must be string."),
        ({"type": ["string", "null"]}, 5, "/a must be null or string."),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "x", "/a must be integer or null."),
        ({"oneOf": [{"type": "integer"}, {"type": "null"}]}, "x", "/a must be integer or null."),
        ({"anyOf": [{"minimum": 5}, {"type": "null"}]}, 1, "/a fits none of the allowed alternatives."),
        ({"oneOf": [{"type": "integer"}, {"minimum": 1}]}, 3, "/a fits more than one of the alternatives."),
        ({"enum": ["x", "y"]}, "z", '/a must be one of ["x","y"].'),
        ({"const": {"k": 1}}, 1, '/a must be {"k":1}.'),
        ({"minimum": 5}, 1, "/a must be at least 5."),
        ({"maximum": 5}, 9, "/a must be at most 5."),
        ({"exclusiveMinimum": 5}, 5, "/a must be above 5."),
        ({"exclusiveMaximum": 5}, 5, "/a must be below 5."),
        ({"multipleOf": 2}, 5, "/a must be a multiple of 2."),
        ({"minLength": 3}, "x", "/a must have at least 3 characters."),
        ({"maxLength": 3}, "xxxx", "/a must have at most 3 characters."),
        ({"minItems": 1}, [], "/a must have at least 1 elements."),
        ({"maxItems": 1}, [1, 2], "/a must have at most 1 elements."),
        ({"minProperties": 1}, {}, "/a must have at least 1 members."),
        ({"maxProperties": 0}, {"x": 1}, "/a must have at most 0 members."),
        ({"uniqueItems": True}, [1, 1], "/a must not have equal elements."),
        ({"contains": {"type": "string"}}, [1], "/a lacks an element that is asked for."),
        ({"pattern": "^z"}, "x", '/a must match "^z".'),
        ({"propertyNames": {"maxLength": 1}}, {"xx": 1}, "/a has a member whose name is not allowed."),
        ({"not": {"type": "string"}}, "x", "/a is what the schema excludes."),
        (False, 1, "/a must be left out."),
        ({"required": ["b"]}, {}, "/a needs the member b."),
        ({"additionalProperties": False}, {"b": 1}, "/a has members that are not allowed."),
        ({"properties": {}, "additionalProperties": False}, {"b": 1}, "/a has members that are not allowed: b."),
        ({"properties": {"additionalProperties": False}}, {"additionalProperties": 1}, "/a/additionalProperties must be left out."),
        ({"unevaluatedProperties": False}, {"b\n": 1}, "/a has members that are not allowed: b\\u000a."),
        ({"prefixItems": [True], "unevaluatedItems": False}, [1, 2], "/a has more elements than are allowed."),
        ({"prefixItems": [True], "items": False}, [1, 2], "/a/1 must be left out."),
        ({"dependentRequired": {"b": ["c"]}}, {"b": 1}, "/a needs the member c."),
    ],
)
def test_a_problem_names_the_place_and_what_is_expected(rule: Any, value: Any, sentence: str) -> None:
    assert compile_schema({"properties": {"a": rule}}).problems({"a": value}) == (sentence,)


def test_draft_7_tuples_are_told_how_many_elements_fit() -> None:
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", "items": [True], "additionalItems": False}
    assert compile_schema(schema).problems([1, 2]) == ("The value as a whole must have at most 1 elements.",)


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.just("SECRET"))


@given(st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)))
def test_no_problem_repeats_a_value_and_there_are_at_most_five(arguments: Any) -> None:
    rule: dict[str, Any] = {
        "properties": {name: {"$ref": "#"} for name in "abc"},
        "items": {"$ref": "#"},
        "enum": [{}, [], 1],
        "minLength": 99,
    }
    problems = compile_schema(rule).problems(arguments)
    assert len(problems) <= 5
    assert not [one for one in problems if "SECRET" in one]
    assert bool(problems) is not jsonschema_rs.is_valid(rule, arguments)


def test_long_keys_and_long_rules_are_cut() -> None:
    (problem,) = compile_schema({"additionalProperties": {"enum": ["x" * 500]}}).problems({"k" * 5_000: 1})
    assert len(problem) < 400


def test_large_arguments_are_told_their_first_problem_only() -> None:
    assert compile_schema({"items": {"type": "string"}}).problems([1] * 3_000) == ("/0 must be string.",)


def test_equal_sentences_are_said_once() -> None:
    assert len(compile_schema({"allOf": [{"type": "string"}, {"type": "string"}]}).problems(1)) == 1


def test_formats_are_annotations() -> None:
    assert compile_schema({"properties": {"a": {"format": "email"}}}).problems({"a": "no address"}) == ()


def test_a_rule_of_an_unknown_kind_is_named() -> None:
    assert compile_schema({"contains": {"type": "string"}, "minContains": 2}).problems(["x"])[0].startswith("The value as a whole")


@pytest.mark.parametrize(
    "draft", ["draft/2020-12/schema", "draft/2019-09/schema", "draft-07/schema#", "draft-06/schema", "draft-04/schema#"]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_known_dialect_is_respected(draft: str, scheme: str) -> None:
    schema = compile_schema({"$schema": f"{scheme}://json-schema.org/{draft}", "type": "object", "required": ["a"]})
    assert schema.problems({}) == ("The value as a whole needs the member a.",)


def test_draft_4_keeps_its_boolean_bounds() -> None:
    schema = {"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 5, "exclusiveMinimum": True}
    assert compile_schema(schema).problems(5)


DOUBLING = {f"a{step}": {"anyOf": [{"$ref": f"#/$defs/a{step + 1}"}] * 2} for step in range(30)}


@pytest.mark.parametrize(
    ("schema", "part"),
    [
        ({"$ref": "http://127.0.0.1:9/x"}, "outside the schema"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "/properties/a/\\$ref refers to something outside"),
        ({"items": {"$ref": "other.json#/x"}}, "outside the schema"),
        ({"$id": "http://127.0.0.1:9/a", "items": {"$ref": "b"}}, "outside the schema"),
        ({"$ref": "https://json-schema.org/draft/2020-12/schema"}, "outside the schema"),
        ({"$dynamicRef": "http://127.0.0.1:9/x"}, "\\$dynamicRef"),
        ({"$recursiveRef": "#"}, "\\$recursiveRef"),
        ({"properties": {"a": {"$id": "http://127.0.0.1:9/a"}}}, "\\$id of its own"),
        ({"$schema": "http://127.0.0.1:9/dialect"}, "dialect"),
        ({"$schema": 5}, "dialect"),
        ({"properties": {"a": {"$schema": "http://127.0.0.1:9/x", "$id": "#x"}}}, "not"),
        ({"$ref": "#/$defs/none"}, "not there"),
        ({"$ref": "#nowhere"}, "not there"),
        ({"$ref": "#/allOf/7", "allOf": [{}]}, "not there"),
        ({"$ref": "#/type/x", "type": "object"}, "not there"),
        ({"$ref": "#"}, "never end"),
        ({"allOf": [{"anyOf": [{"$ref": "#"}]}]}, "never end"),
        ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, "never end"),
        ({"$ref": "#/$defs/a0", "$defs": DOUBLING | {"a30": {}}}, "more than 4096 times"),
        (
            {"properties": {"x": {"$ref": "#/$defs/a19"}}, "$defs": {k: v for k, v in DOUBLING.items() if k > "a18"} | {"a30": {}}},
            "not there|4096",
        ),
        ({"anyOf": [{"properties": {"x": {"anyOf": [True, {}] + [{"type": "null"}] * 70}}}] * 60}, "more than 4096 times"),
        ({"$defs": {f"c{step}": {"$ref": f"#/$defs/c{step + 1}"} for step in range(70)} | {"c70": {}}}, "in a row"),
        ({"anyOf": [{"enum": [number]} for number in range(4_100)]}, "more than 4096 schemas"),
        ({"pattern": "(?=x)"}, "linear time"),
        ({"properties": {"a": {"pattern": "(a)\\1"}}}, "/properties/a/pattern .*linear time"),
        ({"pattern": "(a{1000}){1000}"}, "linear time"),
        ({"patternProperties": {"(?!x)": {}}}, "linear time|not what"),
        ({"type": "text"}, "/type is not what JSON Schema allows"),
        ({"properties": []}, "/properties"),
        ({"description": "x" * 65_536}, "65536 are allowed"),
        ({"description": "\ud800"}, "surrogate"),
    ],
)
def test_a_schema_that_cannot_be_used_says_where_and_why(schema: dict[str, Any], part: str) -> None:
    with pytest.raises(SchemaUnusable, match=part):
        compile_schema(schema)


def test_a_schema_nested_too_deep_is_refused_without_recursion() -> None:  # GW-66
    schema: dict[str, Any] = {}
    for _ in range(50_000):
        schema = {"not": schema}
    with pytest.raises(SchemaUnusable, match="32 levels"):
        compile_schema(schema)


def test_the_retriever_of_last_resort_refuses_everything() -> None:  # GW-66
    with pytest.raises(LookupError, match="nothing is ever fetched"):
        schemas._refuse("http://127.0.0.1:9/x")


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"a b/~": {"type": "null"}}, "$ref": "#/$defs/a%20b~1~0"},
        {"$defs": {"a": {"$anchor": "here", "type": "null"}}, "$ref": "#here"},
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "definitions": {"a": {"$id": "#here", "type": "null"}},
            "allOf": [{"$ref": "#here"}],
        },
        {"allOf": [{"$ref": "#/anyOf/1"}], "anyOf": [True, {"type": "null"}]},
        {"$ref": "#/x-vendor/deep", "x-vendor": {"deep": {"type": "null"}}},
        {"$id": "https://example.com/root", "$ref": "#/$defs/a", "$defs": {"a": {"type": "null"}}},
        {"properties": {"$ref": {"type": "string"}}, "default": {"$ref": "http://127.0.0.1:9/x"}, "type": "null"},
        {"$ref": "#/$defs/a", "$defs": {"a": False}},
    ],
)
def test_references_inside_the_schema_are_followed(schema: dict[str, Any]) -> None:
    assert compile_schema(schema).problems("not null")


def test_a_recursive_schema_judges_every_level_once() -> None:
    tree = compile_schema({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "name": {"type": "string"}}})
    assert tree.max_levels == 32
    assert tree.problems({"left": {"right": {"name": 5}}}) == ("/left/right/name must be string.",)


def test_a_schema_that_doubles_at_every_level_is_checked_as_deep_as_it_can_be() -> None:
    schema = compile_schema({"properties": {"n": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}}})
    assert 5 <= schema.max_levels < 32
    nested: Any = {}
    for _ in range(schema.max_levels):
        nested = {"n": nested}
    assert schema.problems(nested) == ()
    assert schema.problems({"n": nested}) == (
        f"The arguments are nested deeper than the {schema.max_levels} levels that this schema can be checked to.",
    )


@pytest.mark.parametrize(
    ("arguments", "pointer"),
    [
        ({"title": 1}, None),
        ({"Title": 1}, "/Title"),
        ({"title": 1, "tıtle": 1}, None),
        ({"title\0": 1}, "/title\0"),
        ({"ｔitle": 1}, "/ｔitle"),
        ({"tags": [{"label": 1}, {"Label": 1}]}, "/tags/1/Label"),
        ({"tags": [{"under": {"under": {"LABEL": 1}}}]}, "/tags/0/under/under/LABEL"),
        ({"tags": [[{"Title": 1}]]}, None),
        ({"title": {"Title": 1}}, None),
        ({"unknown": {"Title": 1}}, None),
        ([{"Title": 1}], None),
        ("text", None),
    ],
)
def test_a_key_that_looks_like_a_declared_one_is_found_at_its_level(arguments: Any, pointer: str | None) -> None:
    assert lookalikes(compile_schema(NOTE), arguments) == pointer


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"properties": {"a": {"properties": {"b": True}}}}]},
        {"anyOf": [True, {"if": {"properties": {"a": {"properties": {"b": {}}}}}}]},
        {"patternProperties": {"^a": {"properties": {"b": {}}}}},
        {"additionalProperties": {"properties": {"b": {}}}},
        {"unevaluatedProperties": {"allOf": [{"properties": {"b": {}}}]}},
        {"dependentSchemas": {"x": {"properties": {"a": {"$ref": "#/$defs/b"}}}}, "$defs": {"b": {"properties": {"b": {}}}}},
    ],
)
def test_names_are_collected_from_every_schema_that_speaks_about_an_object(schema: dict[str, Any]) -> None:
    assert lookalikes(compile_schema(schema), {"a": {"B": 1}}) == "/a/B"
    assert lookalikes(compile_schema(schema), {"a": {"b": 1}}) is None


def test_names_that_differ_only_in_case_may_both_be_declared() -> None:
    assert lookalikes(compile_schema({"properties": {"id": {}, "ID": {}}}), {"id": 1, "ID": 2}) is None


def test_declared_names_come_from_everywhere_in_the_schema() -> None:
    assert declared_names(NOTE) == {"title", "tags", "when", "kind", "label", "under"}


def test_a_deferred_schema_is_compiled_when_it_is_asked() -> None:
    assert DeferredSchema(NOTE).problems({"title": "x"}) == ()
    assert DeferredSchema(NOTE).lookalike({"TITLE": "x"}) == "/TITLE"
    broken = DeferredSchema({"$ref": "http://127.0.0.1:9/x"})
    with pytest.raises(SchemaUnusable):
        broken.problems({})
