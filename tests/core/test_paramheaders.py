"""Parameter headers repeat the body or the call is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.protocol.paramheaders import (
    HeaderParameter,
    agree,
    decode_value,
    encode_value,
    header_parameters,
    headers_for,
    mismatch,
)

REGION = {"type": "string", "x-mcp-header": "Region"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "region": REGION,
        "limit": {"type": "integer", "x-mcp-header": "Limit"},
        "where": {"type": "object", "properties": {"strict": {"type": "boolean", "x-mcp-header": "Strict"}}},
        "x-mcp-header": {"type": "string"},
        "plain": {"default": {"x-mcp-header": "Data"}},
    },
}
PARAMETERS = header_parameters(SCHEMA)


def test_annotated_parameters_are_found_at_any_depth_of_properties_and_nowhere_in_data() -> None:
    assert set(PARAMETERS) == {
        HeaderParameter("Mcp-Param-Region", ("region",), "string"),
        HeaderParameter("Mcp-Param-Limit", ("limit",), "integer"),
        HeaderParameter("Mcp-Param-Strict", ("where", "strict"), "boolean"),
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"type": "string", "x-mcp-header": ""}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": "two words"}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": "Line\n"}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": 5}}},
        {"properties": {"a": {"type": "number", "x-mcp-header": "A"}}},
        {"properties": {"a": {"type": ["string", "null"], "x-mcp-header": "A"}}},
        {"properties": {"a": {"x-mcp-header": "A"}}},
        {"properties": {"a": REGION, "b": {"type": "string", "x-mcp-header": "rEGION"}}},
        {"properties": {"a": {"type": "array", "items": REGION}}},
        {"properties": {"a": {"anyOf": [REGION]}}},
        {"properties": {"a": {"items": {"properties": {"b": REGION}}}}},
        {"additionalProperties": REGION},
        {"$defs": {"a": REGION}, "properties": {"a": {"$ref": "#/$defs/a"}}},
        {"type": "string", "x-mcp-header": "Root"},
    ],
)
def test_an_annotation_that_breaks_a_rule_is_refused(schema: dict[str, Any]) -> None:  # GW-54
    with pytest.raises(ValueError, match=r"\.$"):
        header_parameters(schema)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("eu-west", "eu-west"),
        ("", ""),
        (True, "true"),
        (False, "false"),
        (42, "42"),
        (42.0, "42"),
        (-7, "-7"),
        ("é", "=?base64?w6k=?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("=?base64?QQ==?=", "=?base64?PT9iYXNlNjQ/UVE9PT89?="),
        ("a\nb", "=?base64?YQpi?="),
    ],
)
def test_values_are_written_as_header_text(value: object, text: str) -> None:
    assert encode_value(value) == text


@pytest.mark.parametrize("value", [2**53, 1.5, None, [], {}])
def test_a_value_that_no_header_can_carry_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="header"):
        encode_value(value)


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_every_text_survives_a_header(text: str) -> None:
    written = encode_value(text)
    assert written.isascii()
    assert "\n" not in written
    assert decode_value(f" {written}\t") == text
    assert agree(written, text, "string")


@pytest.mark.parametrize("text", ["=?base64?%%?=", "=?base64?_w?=", "=?base64?/w==?=", "é", "a\x01b", "a\x7f"])
def test_malformed_header_text_never_agrees(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_value(text)
    assert not agree(text, text, "string")


@pytest.mark.parametrize(
    ("text", "value", "kind", "expected"),
    [
        ("42", 42, "integer", True),
        ("42.0", 42, "integer", True),
        ("42", 42.0, "integer", True),
        ("=?base64?NDI=?=", 42, "integer", True),
        ("-0", 0, "integer", True),
        ("42.5", 42, "integer", False),
        ("4e1", 40, "integer", False),
        ("042", 42, "integer", False),
        ("43", 42, "integer", False),
        ("", 0, "integer", False),
        ("1", True, "integer", False),
        ("42", "42", "integer", False),
        ("true", True, "boolean", True),
        ("false", False, "boolean", True),
        ("True", True, "boolean", False),
        ("1", True, "boolean", False),
        ("true", "true", "boolean", False),
        ("eu", "eu", "string", True),
        ("EU", "eu", "string", False),
        ("5", 5, "string", False),
    ],
)
def test_a_header_agrees_by_type(text: str, value: object, kind: str, expected: bool) -> None:  # GW-17
    assert agree(text, value, kind) is expected


ARGUMENTS = {"region": "eu", "limit": 42, "where": {"strict": False}}
AGREEING = {"mcp-param-region": ["eu"], "mcp-param-limit": ["42.0"], "mcp-param-strict": ["false"], "mcp-param-unknown": ["x"]}


def test_the_upstream_gets_one_header_for_every_parameter_that_is_there() -> None:
    assert dict(headers_for(PARAMETERS, ARGUMENTS)) == {"Mcp-Param-Region": "eu", "Mcp-Param-Limit": "42", "Mcp-Param-Strict": "false"}
    assert headers_for(PARAMETERS, {"region": None, "where": "text"}) == []


def test_what_is_sent_upstream_agrees_with_its_body() -> None:  # GW-53
    sent = {name.lower(): [value] for name, value in headers_for(PARAMETERS, ARGUMENTS)}
    assert mismatch(PARAMETERS, ARGUMENTS, sent) is None


@pytest.mark.parametrize(
    ("arguments", "changed", "named"),
    [
        (ARGUMENTS, {}, None),
        ({}, {"mcp-param-region": [], "mcp-param-limit": [], "mcp-param-strict": []}, None),
        ({**ARGUMENTS, "region": None}, {"mcp-param-region": []}, None),
        (ARGUMENTS, {"mcp-param-region": []}, "Mcp-Param-Region is missing."),
        (ARGUMENTS, {"mcp-param-region": ["us"]}, "Mcp-Param-Region differs from the body."),
        (ARGUMENTS, {"mcp-param-region": ["eu", "eu"]}, "Mcp-Param-Region is sent more than once."),
        (ARGUMENTS, {"mcp-param-strict": ["true"]}, "Mcp-Param-Strict differs from the body."),
        ({**ARGUMENTS, "limit": None}, {}, "Mcp-Param-Limit differs from the body."),
    ],
)
def test_a_header_that_does_not_repeat_the_body_is_named(
    arguments: dict[str, Any], changed: dict[str, list[str]], named: str | None
) -> None:  # GW-17
    assert mismatch(PARAMETERS, arguments, AGREEING | changed) == named
