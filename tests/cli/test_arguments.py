"""Words of a command line become the arguments that the tool's schema asks for."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.cli.arguments import typed

SCHEMA = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "share": {"type": "number"},
        "sure": {"type": "boolean"},
        "nothing": {"type": "null"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "numbers": {"type": "array", "items": {"type": "integer"}},
        "anything": {"type": "array"},
        "range": {"type": "object"},
        "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "either": {"type": ["integer", "string"]},
        "many": {"oneOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}]},
        "linked": {"$ref": "#/$defs/a~1b"},
        "looped": {"$ref": "#/$defs/loop"},
        "lost": {"$ref": "#/$defs/none"},
        "remote": {"$ref": "https://example.org/schema.json"},
        "open": {},
    },
    "$defs": {"a/b": {"$ref": "#/$defs/number"}, "number": {"type": "integer"}, "loop": {"$ref": "#/$defs/loop"}},
}


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (["text=plain"], {"text": "plain"}),
        (["text=12"], {"text": "12"}),
        (["text=a=b"], {"text": "a=b"}),
        (["text="], {"text": ""}),
        (["count=12"], {"count": 12}),
        (["count=-1"], {"count": -1}),
        (["share=0.5"], {"share": 0.5}),
        (["share=2"], {"share": 2}),
        (["sure=true"], {"sure": True}),
        (["sure=false"], {"sure": False}),
        (["nothing=null"], {"nothing": None}),
        (["tags=a"], {"tags": ["a"]}),
        (["tags=a", "tags=b"], {"tags": ["a", "b"]}),
        (["tags=1"], {"tags": ["1"]}),
        (['tags=["a", "b"]'], {"tags": ["a", "b"]}),
        (["numbers=1", "numbers=2"], {"numbers": [1, 2]}),
        (["anything=1", "anything=x"], {"anything": [1, "x"]}),
        (['range={"from": 1}'], {"range": {"from": 1}}),
        (["maybe=3"], {"maybe": 3}),
        (["maybe=null"], {"maybe": None}),
        (["either=3"], {"either": 3}),
        (["either=three"], {"either": "three"}),
        (["many=1", "many=2"], {"many": [1, 2]}),
        (["linked=4"], {"linked": 4}),
        (["looped=4"], {"looped": 4}),
        (["lost=x"], {"lost": "x"}),
        (["remote=x"], {"remote": "x"}),
        (["open=5"], {"open": 5}),
        (["open=five"], {"open": "five"}),
        (["unknown=true"], {"unknown": True}),
        (["text=a", "count=1"], {"text": "a", "count": 1}),
        ([], {}),
    ],
)
def test_a_word_takes_the_type_that_the_schema_names(words: list[str], arguments: dict[str, Any]) -> None:
    assert typed(words, SCHEMA) == arguments
    assert [type(value) for value in typed(words, SCHEMA).values()] == [type(value) for value in arguments.values()]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["text"], "not of the form key=value"),
        (["=value"], "not of the form key=value"),
        (["count=12.5"], "is an integer"),
        (["count=true"], "is an integer"),
        (["count=twelve"], "is an integer"),
        (["share=NaN"], "is a number"),
        (["share=1e999"], "is a number"),
        (["sure=yes"], "is a boolean"),
        (["nothing=0"], "is a null"),
        (["maybe=x"], "is an integer or null"),
        (["range=[]"], "is an object"),
        (["numbers=1", "numbers=x"], "is an integer"),
        (["text=a", "text=b"], "more than once"),
    ],
)
def test_a_word_that_does_not_fit_is_refused_in_a_sentence(words: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        typed(words, SCHEMA)


def test_without_a_schema_json_is_json_and_the_rest_is_text() -> None:
    assert typed(["a=1", "b=x", "c=[1]", 'd={"e": null}'], {}) == {"a": 1, "b": "x", "c": [1], "d": {"e": None}}


@pytest.mark.parametrize(
    "schema", [{"properties": {"a": True}}, {"properties": {"a": {"type": 5}}}, {"properties": {"a": {"items": 3, "type": "array"}}}]
)
def test_a_schema_that_makes_no_sense_says_nothing(schema: dict[str, Any]) -> None:
    assert typed(["a=x"], schema)["a"] in ("x", ["x"])


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.integers() | st.booleans() | st.text() | st.lists(st.integers())))
def test_every_argument_can_be_said_in_words(arguments: dict[str, Any]) -> None:
    kinds = {bool: "boolean", int: "integer", str: "string", list: "array"}
    schema = {"properties": {name: {"type": kinds[type(value)]} for name, value in arguments.items()}}
    words = [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in arguments.items()]
    assert typed(words, schema) == arguments
