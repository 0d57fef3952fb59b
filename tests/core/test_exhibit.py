"""What an approver sees is what the server would get: everything seen, nothing cut in silence."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.exhibit import MAX_LINES, MAX_SHOWN_CHARACTERS, shown, visible

SEEN = {
    "plain words stay as they are": "plain words stay as they are",
    "  two edges ": "⟨2 x space⟩two edges⟨1 x space⟩",
    "a     b": "a⟨5 x space⟩b",
    "a\n\n\nb": "a⟨3 x newline⟩b",
    "a \tb": "a⟨1 x space⟩⟨1 x tab⟩b",
    "safe\u202etxt.exe": "safe⟨U+202E⟩txt.exe",
    "al\u200bice@example.org": "al⟨U+200B⟩ice@example.org",
    "\ufeffx": "⟨U+FEFF⟩x",
    "a\u00a0b": "a⟨U+00A0⟩b",
    "tag\U000e0041": "tag⟨U+E0041⟩",
    "a\x1b[2Jb": "a⟨U+001B⟩[2Jb",
    "p\u0430ypal.com": "p⟨U+0430⟩ypal.com",
    "\uff41lice": "⟨U+FF41⟩lice",
    "Привет, мир": "Привет, мир",
    "café, 東京": "café, 東京",
    "⟨5 x space⟩": "⟨U+27E8⟩5 x space⟨U+27E9⟩",
    'say "hi" \\n': 'say \\"hi\\" \\\\n',
    "z\u0301\u0301\u0301": "z\u0301⟨U+0301⟩⟨U+0301⟩",
}


@pytest.mark.parametrize(("text", "seen"), list(SEEN.items()))
def test_what_nobody_would_see_is_spelled_out(text: str, seen: str) -> None:
    assert visible(text) == (seen, True)


def test_each_value_stands_on_a_line_of_its_own_behind_its_pointer() -> None:
    arguments = {"to": ["a@x.org", "b@x.org"], "amount": 12.5, "deep": {"on/off": True, "none": None}, "empty": {}, "list": []}
    assert shown(arguments).lines == (
        "/amount: 12.5",
        "/deep/none: null",
        "/deep/on~1off: true",
        "/empty: {}",
        "/list: []",
        '/to/0: "a@x.org"',
        '/to/1: "b@x.org"',
    )
    assert shown({}).lines == ("arguments: {}",)


def test_a_long_value_keeps_both_ends_and_says_what_is_missing() -> None:
    text = "begin" + "x" * 9_000 + "end"
    found = shown({"body": text})
    (line,) = found.lines
    assert found.cut == ("/body",)
    assert line.startswith('/body: "beginxxx')
    assert line.endswith('xxxend"')
    assert f"⟨cut: {len(text) - MAX_SHOWN_CHARACTERS} of {len(text)} characters are not shown; " in line
    assert hashlib.sha256(text.encode()).hexdigest() in line


def test_a_long_key_and_too_many_values_are_said_too() -> None:
    assert shown({"k" * 500: 1}).cut == (f"/{'k' * 500}",)
    many = shown({"all": list(range(MAX_LINES + 7))})
    assert many.cut == ("",)
    assert many.lines[-1].startswith("⟨7 more values are not shown; all arguments together have sha256:")


def test_a_wall_of_white_space_pushes_nothing_out_of_sight() -> None:
    found = shown({"note": "looks fine" + " " * 500 + "\n" * 40 + "bcc: eve@evil.example"})
    assert found.lines == ('/note: "looks fine⟨500 x space⟩⟨40 x newline⟩bcc: eve@evil.example"',)


TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=30) | st.text(alphabet=' \n\t\\"⟨⟩/~:x\u200b\u202e', max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given(one=st.dictionaries(TEXTS, VALUES, max_size=3), other=st.dictionaries(TEXTS, VALUES, max_size=3))
def test_two_different_arguments_never_look_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """But for True and 1, which Python takes for equal and JSON does not: then the lines differ, too."""
    assert (shown(one).lines == shown(other).lines) <= (one == other)


@given(TEXTS)
def test_a_line_holds_no_character_that_could_break_it(text: str) -> None:
    (line,) = shown({"a": text}).lines
    assert "\n" not in line
    assert "\u202e" not in line
    assert "  " not in line
