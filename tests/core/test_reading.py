"""Strict JSON: the fast reading and the exact one say the same, and what two parsers could read differently is refused."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from customhouse.core.protocol import reading
from customhouse.core.protocol.reading import MAX_DEPTH, MAX_SAFE_INTEGER, read_json, read_members
from customhouse.core.refusal import Reason, Refused

REFUSED = object()


def fast(body: bytes) -> Any:
    try:
        return read_json(body)
    except Refused as refused:
        return REFUSED if refused.reason is Reason.MALFORMED_JSON else refused


def exact(body: bytes) -> Any:
    """What the rules say, with no shortcut: a decoder for syntax, then every object, number and level looked at."""
    try:
        msgspec.json.decode(body)
        return reading._read_slowly(body, MAX_DEPTH)
    except (ValueError, RecursionError, Refused):
        return REFUSED


def in_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


SPACE = st.sampled_from(["", "", "", " ", "\n", "\t ", "\r\n"])
KEYS = st.sampled_from(['"a"', '"b"', '"\\u0061"', '"a\\""', '"a\\":"', '"a "', '"n"', '" : "', '"\\\\"', '""', '"é"', '"\\u00e9"'])
STRINGS = st.one_of(
    st.text(max_size=6).filter(lambda t: t.isprintable()).map(in_text),
    st.sampled_from(['"\\":"', '"\\" "', '"{"', '"[[["', '"\\u007b"', '"\\ud83d\\ude00"', '"\\ud800"', '"\\udc00"', '"x\\" :"', '"\\n"']),
)
NUMBERS = st.one_of(
    st.integers(-(2**54), 2**54).map(str),
    st.sampled_from(["0", "-0", "1.0", "1e5", "1E-5", "1e999", "-1e999", "NaN", "Infinity", "-Infinity", "01", "9" * 30, "1" * 5000]),
    st.sampled_from([str(2**53), str(2**53 - 1), str(-(2**53)), str(1 - 2**53), "9007199254740993", "9007199254740993.0"]),
)
LEAVES = st.one_of(STRINGS, NUMBERS, st.sampled_from(["true", "false", "null"]))


@st.composite
def members(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    space, key, before, after = draw(SPACE), draw(KEYS), draw(SPACE), draw(SPACE)
    return f"{space}{key}{before}:{after}{draw(values)}"


def nested(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    objects = st.lists(members(values), max_size=4).map(lambda parts: "{" + ",".join(parts) + "}")
    arrays = st.lists(values, max_size=4).map(lambda parts: "[ " + ", ".join(parts) + "]")
    deep = st.tuples(st.integers(1, 40), values).map(lambda pair: "[" * pair[0] + pair[1] + "]" * pair[0])
    return st.one_of(objects, objects, arrays, deep)


TEXTS = st.tuples(SPACE, st.recursive(LEAVES, nested, max_leaves=12), SPACE).map("".join)


@settings(max_examples=400)
@given(TEXTS)
def test_the_fast_reading_and_the_exact_one_say_the_same(text: str) -> None:
    body = text.encode()
    assert fast(body) == exact(body)


@settings(max_examples=200)
@given(TEXTS, st.integers(0, 400), st.binary(max_size=2))
def test_damaged_texts_are_read_the_same_or_refused_by_both(text: str, at: int, damage: bytes) -> None:
    body = text.encode()[:at] + damage + text.encode()[at + 1 :]
    assert fast(body) == exact(body)


@pytest.mark.long
@pytest.mark.timeout(900)
@settings(max_examples=20_000)
@given(st.one_of(TEXTS.map(str.encode), st.binary(max_size=200)))
def test_no_body_at_all_breaks_the_readers(body: bytes) -> None:
    assert fast(body) == exact(body)
    assert top(body) == exact_top(body)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"a":1,"a":2}', "same key twice"),
        (b'{"a":1,"\\u0061":2}', "same key twice"),
        (b'[{"x":{"a":1, "a" : 1}}]', "same key twice"),
        (b'{"s":"\\":","a":1,"a":2}', "same key twice"),
        (b'{"a":NaN}', "cannot be parsed"),
        (b"[-Infinity]", "cannot be parsed"),
        (b"1e999", "cannot be parsed"),
        (b'"\\ud800"', "cannot be parsed"),
        (b'"\\udc00x"', "cannot be parsed"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b"9" * 30, "not below 2^53"),
        (b"9007199254740992", "not below 2^53"),
        (b"[[-9007199254740992]]", "not below 2^53"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deep"),
        (b"[" * 33 + b"]" * 33, "deeper than 32"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "deeper than 32"),
        (b"1" * 5000, "cannot be parsed"),
        (b'{"a\\u0000":1}', "NUL"),
        (b'"\xff"', "UTF-8"),
        (b"", "empty"),
        (b" \n\t", "empty"),
        (b"{", "cannot be parsed"),
        (b"{}{}", "cannot be parsed"),
        (b'"\x00"', "cannot be parsed"),
    ],
)
def test_what_parsers_read_differently_is_refused_with_a_reason(body: bytes, why: str) -> None:
    with pytest.raises(Refused) as caught:
        read_json(body)
    assert caught.value.reason is Reason.MALFORMED_JSON
    assert why in caught.value.message


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a":"\\u0000","b":"\\\\u0000"}', {"a": "\0", "b": "\\u0000"}),
        (b"9007199254740991", MAX_SAFE_INTEGER),
        (b"[" * 32 + b"]" * 32, None),
        (b'{"a" :1,"b"\n:{"c"\t:"\\":"}}', {"a": 1, "b": {"c": '":'}}),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'["[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["]', None),
    ],
)
def test_strict_json_is_read(body: bytes, value: Any) -> None:
    assert read_json(body) == (json.loads(body) if value is None else value)


def test_the_exact_reading_alone_refuses_what_the_decoder_would_have_refused_before() -> None:
    for body in (b"NaN", b"{", b"[" * 100_000):
        with pytest.raises(Refused):
            reading._read_slowly(body, MAX_DEPTH)


def test_a_caller_of_the_reader_sets_the_depth() -> None:
    body = b"[" * 40 + b"]" * 40
    assert read_json(body, 40) == json.loads(body)
    with pytest.raises(Refused):
        read_json(body, 39)


# Members left undecoded


def top(body: bytes) -> Any:
    try:
        return list(read_members(body))
    except ValueError:
        return REFUSED


def exact_top(body: bytes) -> Any:
    """The keys of the outermost object by an independent reading of the same rules."""
    try:
        members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        pairs = json.loads(body.decode(), object_pairs_hook=list, parse_int=str)
    except (ValueError, RecursionError):
        return REFUSED
    keys = [key for key, _ in pairs]
    return keys if len(set(keys)) == len(keys) == len(members) else REFUSED


@settings(max_examples=400)
@given(TEXTS)
def test_members_are_split_by_the_exact_rule(text: str) -> None:
    assert top(text.encode()) == exact_top(text.encode())


@settings(max_examples=100)
@given(st.lists(st.tuples(st.text(max_size=5), st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3)), max_size=5))
def test_members_of_an_object_are_its_values(pairs: list[tuple[str, Any]]) -> None:
    value = {key: inner for key, inner in pairs if key.isprintable()}
    assert {key: json.loads(bytes(raw)) for key, raw in read_members(json.dumps(value).encode()).items()} == value


def test_a_repeated_key_inside_a_member_is_left_to_whoever_reads_the_member() -> None:
    for body in (b'{"a":{"b":1,"b":2}}', b'{ "a" : {"b":1,"b":2} }'):
        assert list(read_members(body)) == ["a"]


@pytest.mark.parametrize(
    "body",
    [b"[]", b"", b"1", b'{"a":1,"a":2}', b'{"a":1, "\\u0061":1}', b'{"a":"\xff"}', b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"],
)
def test_what_is_no_object_with_distinct_keys_has_no_members(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_members(body)


def test_depth_that_only_the_exact_reading_cannot_take_is_a_value_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_deep(*_: object, **__: object) -> None:
        raise RecursionError

    monkeypatch.setattr(json, "loads", too_deep)
    with pytest.raises(ValueError, match="too deep"):
        read_members(b'{ "a": 1}')
