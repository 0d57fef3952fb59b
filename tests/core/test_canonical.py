"""The quick way to the canonical form says what the reference implementation says, also where it refuses."""

from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.canonical import canonical_json

TEXTS = st.text(st.characters(exclude_categories=[])) | st.sampled_from(
    ["\x00", "\x1f", "\x7f", '"\\/\b\f\n\r\t', "\u2028", "\ue000", "\U0001f600", "\ud800"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.integers(-(2**54), 2**54) | st.floats() | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(TEXTS | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)


def said(way: Any, value: object) -> bytes | str:
    try:
        return bytes(way(value))
    except (ValueError, TypeError) as refused:
        return type(refused).__name__


@given(VALUES)
def test_the_quick_way_agrees_with_the_reference(value: object) -> None:
    assert said(canonical_json, value) == said(rfc8785.dumps, value)


@pytest.mark.parametrize("start", range(0, 0x10000, 0x1000))
def test_every_character_is_escaped_and_sorted_as_the_reference_does(start: int) -> None:
    for number in range(start, start + 0x1000):
        value = {chr(number): chr(number), "a": 1, chr(number) + "z": [], "\ufffe": None}
        assert said(canonical_json, value) == said(rfc8785.dumps, value), number


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        2**53,
        -(2**53),
        10**30,
        "\ud800",
        {"\udfff": 1},
        {1: 2},
        {True: 1},
        {None: 1},
        [float("nan")],
        b"x",
    ],
)
def test_what_has_no_canonical_form_is_refused_as_by_the_reference(value: object) -> None:
    reference = said(rfc8785.dumps, value)
    assert said(canonical_json, value) == reference


@pytest.mark.parametrize(
    "value", [2**53 - 1, -(2**53 - 1), 2**33, 1.0, 1e21, -0.0, "\U0001f600", {"\U0001f600": 1, "\ue000": 2}, "1234567890123456", "ü" * 10]
)
def test_what_is_near_the_borders_of_the_quick_way(value: object) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)  # type: ignore[arg-type]


def test_a_value_too_deep_for_one_is_too_deep_for_the_other() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(RecursionError):
        canonical_json(value)
