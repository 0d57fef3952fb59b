"""A server's words as bytes: what no rule concerns stays byte for byte, what one does is written anew, and nothing hidden is left."""

import json
import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.schemas import DeferredSchema
from customhouse.core.screening import NOT_SCREENED, Screen, Screening, output_problems, screen_of
from tests.core.secrets import ENCODERS, IN_CONTEXT, ORDINARY, SECRETS

DEFAULT = Screen(Screening())
STRICT = Screen(Screening(links=("docs.example.org",), images=()))
TOKEN = SECRETS["github-token"]


def screened(value: Any, screen: Screen = DEFAULT) -> Any:
    found: dict[str, int] = {}
    return json.loads(screen.screened(json.dumps(value).encode(), found))


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20), st.sampled_from(ORDINARY)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=12,
)


@given(VALUES, st.booleans())
def test_what_is_not_suspected_would_not_have_changed(value: Any, ascii_only: bool) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    try:
        suspected = DEFAULT.suspects(raw)
    except UnicodeDecodeError:
        return
    if not suspected:
        assert DEFAULT.screened(raw, {}) == raw


LURES = st.sampled_from(
    [
        *("[x](javascript:a)", "<a href='java\tscript:a'>", "<a href='jav\nascrip\rt:a'>", "[x](&#106;avascript:a)", "data:text/html,x"),
        *("![a](https://evil.example/x)", "<img src='//evil.example'>", "https://evil.example", "[1]: http://evil.example/x", "url(//a.b)"),
        *("a\u202eb", "\u200b", "x\ufe01\ufe02", "\U000e0041", "\u2764\ufe0f", "\x00", "\u0009", *SECRETS.values(), *ORDINARY),
        *(text.format(secret) for _, text, secret in IN_CONTEXT),
    ]
)


@given(
    st.lists(st.one_of(LURES, st.text(max_size=8)), max_size=4).map("".join), st.sampled_from(ENCODERS), st.sampled_from([DEFAULT, STRICT])
)
def test_nothing_that_a_rule_changes_is_overlooked_in_undecoded_json(text: str, encode: Callable[[object], bytes], screen: Screen) -> None:
    raw = encode({"password": text, "b": [text]})
    if not screen.suspects(raw):
        assert screen.screened(raw, {}) == raw


@given(VALUES)
def test_everything_between_the_strings_that_change_stays_byte_for_byte(value: Any) -> None:
    plain = re.sub(r'"(?:[^"\\]|\\.)*"', '"x"', json.dumps(value))
    raw = f'{{"n": 1.0E+2, "big": 123456789012345678901234567890 ,\n "a": "x","a": {plain}, "t": "{TOKEN}"}}'.encode()
    assert DEFAULT.screened(raw, {}) == raw.replace(TOKEN.encode(), b"[redacted: github-token]")


@given(VALUES)
def test_screening_twice_changes_nothing_more(value: Any) -> None:
    once = screened([value, TOKEN, "a\u202eb", "![](https://evil.example)"], STRICT)
    assert screened(once, STRICT) == once


def test_a_secret_in_the_name_of_a_member_is_found_and_names_stay_apart() -> None:
    other = TOKEN.replace("a1B2", "z9Y8")
    assert screened({TOKEN: 1, other: 2}) == {"[redacted: github-token] 1": 1, "[redacted: github-token] 2": 2}


def test_the_name_of_a_member_says_that_its_value_is_a_secret() -> None:
    value = {"user": "ada", "password": "Xk39fkDkq02kd9", "nextPageToken": "Xk39fkDkq02kd9", "token": "none"}
    assert screened(value) == {**value, "password": "[redacted: assigned-secret]"}


@pytest.mark.parametrize("before", ["", " ", "\n"])
@pytest.mark.parametrize("behind", ["", " ", "  ", "\n    ", "\r\n\t", " " * 400])
def test_a_member_is_told_by_its_name_however_the_json_is_laid_out(before: str, behind: str) -> None:
    clean = DEFAULT.screened(f'{{"password"{before}:{behind}"Xk39fkDkq02kd9"}}'.encode(), {})
    assert clean == f'{{"password"{before}:{behind}"[redacted: assigned-secret]"}}'.encode()


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("pay\u202egnp.exe", "paygnp.exe"),
        ("a\u2066b\u2069c", "abc"),
        ("see\U000e0068\U000e0069 this", "see this"),
        ("zero\u200bwidth\u200b\u200c\u200d\u2060\ufeff", "zerowidth"),
        ("x\ufe01\ufe02\ufe03\U000e0101y", "xy"),
        ("soft\u00adhyphen", "softhyphen"),
        ("gh\u200bp_" + TOKEN[4:], "[redacted: github-token]"),
    ],
)
def test_a_character_without_a_place_of_its_own_is_removed(text: str, clean: str) -> None:
    assert screened(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "\u2764\ufe0f \U0001f468\u200d\U0001f469\u200d\U0001f467 1\ufe0f\u20e3",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u05d0\u200f (1)",
        "\u0915\u094d\u200d\u0937",
        "\u845b\U000e0100",
        "naïve café 日本語 \x1b[31mred\x1b[0m \ue0b0",
    ],
)
def test_what_people_and_programs_write_stays(text: str) -> None:
    assert screened(text) == text


def test_hidden_characters_can_be_shown_or_left() -> None:
    assert screened("a\u202eb", Screen(Screening(hidden="show"))) == "a[U+202E]b"
    assert screened("a\u202eb", Screen(Screening(hidden="pass"))) == "a\u202eb"


def test_where_nothing_is_looked_for_links_cannot_run_all_the_same() -> None:
    screen = Screen(NOT_SCREENED)
    assert screened([TOKEN, "a\u202eb", "[x](javascript:alert(1))"], screen) == [TOKEN, "a\u202eb", "[x](javascript[:]alert(1))"]


def test_the_address_of_a_linked_resource_is_looked_at_too() -> None:
    block = {"type": "resource_link", "name": "x", "uri": "https://evil.example/?d=1"}
    embedded = {"type": "resource", "resource": {"uri": "file:///a", "text": "![a](https://docs.example.org/a)"}}
    assert screened([block, embedded], STRICT) == [
        {**block, "uri": "hxxps://evil[.]example/?d=1"},
        {"type": "resource", "resource": {"uri": "file:///a", "text": "[image removed: docs[.]example[.]org]"}},
    ]


@pytest.mark.parametrize("raw", [b'"\xff"', b'"' + TOKEN.encode() + b'\\x"'])
def test_what_is_not_json_is_said_to_be_none(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"utf-8|escape"):
        DEFAULT.screened(raw, {})


def test_equal_rules_are_compiled_once() -> None:
    assert screen_of(Screening(links=("a.example",))) is screen_of(Screening(links=("a.example",)))


BOMBS = {
    "brackets": "![" * 40_000,
    "images": "![](" * 30_000,
    "tags": "<img " * 30_000,
    "references": "[a]: " * 30_000,
    "addresses": "a://a:" * 30_000,
    "slashes": "/\\ " * 50_000 + "/" * 50_000,
    "labels": "\n[a\\" * 40_000,
    "attributes": "<img a='<img b=\"" * 10_000,
    "styles": "url( " * 30_000,
    "blanks": "![a](" + " " * 150_000,
    "names": "password token secret " * 8_000,
    "keys": "-----BEGIN PRIVATE KEY-----" * 5_000,
    "joiners": "a\u200d" * 50_000,
    "scripts": "j a v a s c r i p t : " * 6_000,
    "references in targets": "[x](a&#" * 20_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_the_work_grows_with_the_length_of_a_text_and_not_faster(name: str) -> None:
    """As steps of the interpreter cannot be counted here, a text of 150 KB has to be through within the time limit of a test."""
    screened([BOMBS[name], TOKEN], STRICT)


# --- The declared output -------------------------------------------------------------------------------------------------

COUNT = {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]}


def problems(schema: dict[str, Any], **members: Any) -> tuple[str, ...]:
    return output_problems(DeferredSchema(schema), {key: msgspec.Raw(json.dumps(value).encode()) for key, value in members.items()})


def test_structured_content_that_fits_has_no_problem() -> None:
    assert problems(COUNT, structuredContent={"count": 1, "more": True}) == ()


@pytest.mark.parametrize("members", [{}, {"structuredContent": None}, {"structuredContent": {"count": "1"}}, {"structuredContent": [1]}])
def test_structured_content_that_is_missing_or_does_not_fit_is_told_without_its_values(members: dict[str, Any]) -> None:
    told = problems(COUNT, **members)
    assert told
    assert not any('"1"' in sentence for sentence in told)


@pytest.mark.parametrize("schema", [{"$ref": "https://evil.example/schema"}, {"type": "object", "pattern": "(?=x)"}, {"type": 7}])
def test_an_output_schema_that_cannot_be_used_lets_nothing_pass(schema: dict[str, Any]) -> None:
    assert problems(schema, structuredContent={})


def test_output_that_is_nested_without_end_is_a_problem_and_no_crash() -> None:
    deep = msgspec.Raw(b"[" * 100_000 + b"]" * 100_000)
    assert output_problems(DeferredSchema({"type": "array"}), {"structuredContent": deep})
