"""What a stranger wrote reaches the terminal as text, never as a command to it."""

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.cli import display

HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\nwith\ttabs", "plain\nwith\ttabs"),
        ("grün 水 🙂", "grün 水 🙂"),
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("a\rb", "a\\rb"),
        ("\x9b31m", "\\x9b31m"),
        ("left\u202eright", "left\\u202eright"),
        ("no\u200bwidth", "no\\u200bwidth"),
        ("line\u2028end", "line\\u2028end"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("private\ue000", "private\\ue000"),
        ("lone\ud800", "lone\\ud800"),
    ],
)
def test_a_character_that_is_not_seen_is_shown_as_its_escape(text: str, shown: str) -> None:
    assert display.safe(text) == shown


@given(st.text())
def test_nothing_hidden_ever_passes(text: str) -> None:
    assert {unicodedata.category(each) for each in display.safe(text) if each not in "\n\t"} & HIDDEN == set()


@given(st.text())
def test_one_line_is_one_line(text: str) -> None:
    assert len(display.line(text).splitlines()) <= 1


@given(st.recursive(st.none() | st.booleans() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_is_ascii_and_means_the_same(value: Any) -> None:
    assert display.as_json(value).isascii()
    assert json.loads(display.as_json(value)) == value


@pytest.mark.parametrize(
    ("result", "lines"),
    [
        ({"content": [{"type": "text", "text": "one"}, {"type": "text", "text": "t\x1bwo"}]}, ["one", "t\\x1bwo"]),
        ({"content": [{"type": "image", "mimeType": "image/png", "data": "AAAA"}]}, ["[image image/png, 3 bytes]"]),
        ({"content": [{"type": "audio", "mimeType": "audio/wav", "data": "AA=="}]}, ["[audio audio/wav, 1 bytes]"]),
        ({"content": [{"type": "resource", "resource": {"uri": "a:b", "text": "inside"}}]}, ["inside"]),
        ({"content": [{"type": "resource", "resource": {"uri": "a:b", "blob": "AAA="}}]}, ["[resource a:b, 2 bytes]"]),
        ({"content": [{"type": "resource_link", "uri": "a:b", "name": "far\naway"}]}, ["[link to a:b: far away]"]),
        ({"content": [{"type": "hologram", "depth": 3}]}, ['{\n  "type": "hologram",\n  "depth": 3\n}']),
        ({"content": ["odd"]}, ['"odd"']),
        ({"content": [], "structuredContent": {"sum": 3}}, ['{\n  "sum": 3\n}']),
        ({"structuredContent": None}, ["null"]),
        ({"content": []}, []),
        ({"content": [{"type": "image"}]}, ["[image None, 0 bytes]"]),
    ],
)
def test_a_result_is_shown_block_by_block(result: dict[str, Any], lines: list[str]) -> None:
    assert list(display.result_lines(result)) == lines
