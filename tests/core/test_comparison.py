"""A reviewer sees each difference, and nothing in it that has no look or a borrowed one."""

import time
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.comparison import Edit, Piece, compared, compared_values
from customhouse.core.entries import differing
from customhouse.core.equality import same
from customhouse.core.manifest import Manifest
from customhouse.core.visible import visible, visible_cells


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Plain text.", "Plain text."),
        ("a\u202eb", "a⟦U+202E⟧b"),
        ("a\u200bb\ufeff", "a⟦U+200B⟧b⟦U+FEFF⟧"),
        ("\x1b[2Jx", "⟦U+001B⟧[2Jx"),
        ("a\r\nb", "a⟦U+000D⟧\nb"),
        ("a\x00\x7f\x9b", "a⟦U+0000⟧⟦U+007F⟧⟦U+009B⟧"),
        ("\U000e0041", "⟦U+E0041⟧"),
        ("a\ufe01b", "a⟦U+FE01⟧b"),
        ("a\u2028b\u2029", "a⟦U+2028⟧b⟦U+2029⟧"),
        ("a\u00a0b\u3000c", "a⟦U+00A0⟧b⟦U+3000⟧c"),
        ("p\u0430y me", "p⟦U+0430⟧y me"),
        ("tab\there", "tab⟦tab⟧here"),
        ("a" + " " * 80 + "b", "a⟦80 spaces⟧b"),
        ("a   b", "a   b"),
        ("end ", "end⟦1 space⟧"),
        (" start", "⟦1 space⟧start"),
        ("a:\n    - b", "a:\n    - b"),
        ("a\n\nb", "a\n\nb"),
        ("a\n\n\n\n\nb", "a⟦5 line breaks⟧\nb"),
        ("⟦U+202E⟧", "⟦U+27E6⟧U+202E⟦U+27E7⟧"),
        ("a\u0301\u0301\u0301\u0301", "a\u0301\u0301⟦U+0301⟧⟦U+0301⟧"),
        ("\ud800", "⟦U+D800⟧"),
        ("Größe, 发送, привет", "Größe, 发送, привет"),
    ],
)
def test_what_has_no_look_or_a_borrowed_one_is_shown_by_its_number(text: str, shown: str) -> None:
    assert visible(text) == shown


UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
TRICKY = st.text(st.sampled_from("ab \n\t\u202e\u200b\u0430\x1b⟦⟧\u00a0\u0301\U0001f600\u200d"), max_size=30)


@given(st.text() | TRICKY)
def test_nothing_invisible_is_left_and_different_texts_look_different(text: str) -> None:
    cells = visible_cells(text)
    assert len(cells) == len(text)
    assert all(char == "\n" or unicodedata.category(char) not in UNSEEN for char in visible(text))


@given(TRICKY, TRICKY)
def test_two_texts_look_the_same_only_if_they_are(one: str, other: str) -> None:
    assert (visible(one) == visible(other)) is (one == other)


def rows(old: Any, new: Any) -> list[tuple[str, str, str, str]]:
    def column(pieces: tuple[Piece, ...]) -> str:
        return "".join(f"[{piece.text}]" if piece.changed else piece.text for piece in pieces)

    return [(row.pointer, row.edit.value, column(row.before), column(row.after)) for row in compared_values(old, new)]


AB, BA = '[{"name": "a"}, {"name": "b"}]', '[{"name": "b"}, {"name": "a"}]'


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"d": "Reads one note."}, {"d": "Reads every note."}, [("/d", "reworded", "Reads [one ]note.", "Reads [every ]note.")]),
        ({"d": "a"}, {"d": "a\u200b"}, [("/d", "reworded", "a", "a[⟦U+200B⟧]")]),
        ({"d": "a b"}, {"d": "a  b"}, [("/d", "reworded", "[a ]b", "[a  ]b")]),
        ({"a": 1}, {"a": True}, [("/a", "changed", "[1]", "[true]")]),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": "1"}, {"a": 1}, [("/a", "changed", "[1]", "[1]")]),
        ({}, {"a": {"b": "x", "c": None}}, [("/a/b", "added", "", "[x]"), ("/a/c", "added", "", "[null]")]),
        ({"a": {"b": 1}}, {}, [("/a/b", "removed", "[1]", "")]),
        ({"a": {}}, {}, [("/a", "removed", "[{}]", "")]),
        ({"a": 5}, {"a": {"b": 1}}, [("/a", "removed", "[5]", ""), ("/a/b", "added", "", "[1]")]),
        ({"e": ["x", "y"]}, {"e": ["x"]}, [("/e", "changed", '[["x", "y"]]', '[["x"]]')]),
        ({"l": [{"t": 1}, {"t": 2}]}, {"l": [{"t": 1}, {"t": 3}]}, [("/l/1/t", "changed", "[2]", "[3]")]),
        (
            {"arguments": [{"name": "a", "d": "x"}, {"name": "b"}]},
            {"arguments": [{"name": "b"}, {"name": "a", "d": "y"}]},
            [("/arguments/a/d", "reworded", "[x]", "[y]")],
        ),
        ({}, {"k\u202e": "\x1b[2J"}, [("/k⟦U+202E⟧", "added", "", "[⟦U+001B⟧[2J]")]),
        ({"l": [{"name": "a"}, {"name": "b"}]}, {"l": [{"name": "b"}, {"name": "a"}]}, [("/l", "changed", "[" + AB + "]", "[" + BA + "]")]),
        ({"l": {"a": {"name": "a"}}}, {"l": [{"name": "a"}]}, [("/l", "changed", '[{"a": {"name": "a"}}]', '[[{"name": "a"}]]')]),
        ("Do.", "", [("", "reworded", "[Do.]", "")]),
    ],
)
def test_two_values_differ_in_these_places(old: Any, new: Any, expected: list[tuple[str, str, str, str]]) -> None:
    assert rows(old, new) == expected


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a b " * 1_000, "b a " * 1_000),
        ("." * 3_900, "." * 2_000 + "," + "." * 1_899),
        ("".join(".,;"[place * place % 7 % 3] for place in range(3_900)), "".join(".,;"[place**3 % 11 % 3] for place in range(3_900))),
    ],
)
def test_a_text_made_to_be_slow_to_compare_is_compared_soon(old: str, new: str) -> None:
    started = time.process_time()
    (row,) = compared_values(old, new)
    assert time.process_time() - started < 2
    assert "".join(piece.text for piece in row.before) == visible(old)
    assert "".join(piece.text for piece in row.after) == visible(new)


@given(TRICKY, TRICKY)
def test_the_pieces_of_a_column_are_the_text(old: str, new: str) -> None:
    for row in compared_values({"d": old}, {"d": new}):
        assert "".join(piece.text for piece in row.before) == visible(old)
        assert "".join(piece.text for piece in row.after) == visible(new)


def manifest(*tools: dict[str, Any]) -> Manifest:
    return Manifest(server_info={}, capabilities={}, tools=tools)


def test_what_is_new_has_an_after_and_what_is_gone_a_before() -> None:
    tool = {"name": "t", "inputSchema": {"required": ["b", "a"]}}
    (new,), (gone,) = differing(manifest(), manifest(tool)), differing(manifest(tool), manifest())
    assert {row.edit for row in compared(new)} == {Edit.ADDED}
    assert [(row.pointer, row.after) for row in compared(new)] == [(row.pointer, row.before) for row in compared(gone)]
    assert list(differing(manifest(tool), manifest({"inputSchema": {"required": ["a", "b"]}, "name": "t"}))) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | TRICKY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


@given(JSON, JSON)
def test_there_is_a_row_exactly_where_something_differs(old: Any, new: Any) -> None:
    assert bool(compared_values(old, new)) is not same(old, new)
    assert compared_values(old, old) == ()
