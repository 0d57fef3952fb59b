"""YAML 1.2 in, values with their places out."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.config.document import (
    MAX_DEPTH,
    MAX_DOCUMENT_BYTES,
    Fields,
    Items,
    Unresolved,
    Value,
    plain,
    read_document,
    read_file,
    read_plain,
    resolved,
)
from customhouse.config.findings import ConfigurationInvalid


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("NULL", None),
        ("nUll", "nUll"),
        ("true", True),
        ("False", False),
        ("tRue", "tRue"),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("0", 0),
        ("-0", 0),
        ("8080", 8080),
        ("+12", 12),
        ("-3", -3),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("190:20:30", "190:20:30"),
        ("2026-01-01", "2026-01-01"),
        ("0123abc", "0123abc"),
        ("0.5", 0.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("-1.5E-2", -0.015),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("inf", "inf"),
        ("=", "="),
        ("<<", "<<"),
    ],
)
def test_a_plain_scalar_means_what_the_core_schema_says(text: str, value: Value) -> None:
    assert resolved(text) == value
    assert type(resolved(text)) is type(value)


def test_not_a_number_is_a_float() -> None:
    assert math.isnan(float(resolved(".nan") or 0))


@pytest.mark.parametrize("text", ["0123", "-007", "+00", "00.5", "09", "08e1", "1" * 19, "0x" + "f" * 17])
def test_a_scalar_that_readers_disagree_about_is_refused(text: str) -> None:
    with pytest.raises(Unresolved) as unclear:
        resolved(text)
    assert "quotes" in unclear.value.remedy


@pytest.mark.parametrize("quoted", ["'0123'", '"0123"'])
def test_quotes_make_anything_text(quoted: str) -> None:
    assert plain(read_document(f"a: {quoted}".encode(), "f").root) == {"a": "0123"}


@pytest.mark.parametrize(
    ("text", "line", "key", "problem"),
    [
        ("a: 1\nb: 2\na: 3", 3, "a", "a second time; the first is at f:1"),
        ("a:\n  b: 1\n  'b': 2", 3, "a.b", "a second time"),
        ("a: &x 1", 1, "a", "Anchors"),
        ("a: &x 1\nb: *x", 2, "b", "Aliases"),
        ("a: !!str 1", 1, "a", "Tags"),
        ("a: ! 1", 1, "a", "Tags"),
        ("!!str a: 1", 1, "a", "Tags"),
        ("&x a: 1", 1, "a", "Anchors"),
        ("- !x [1]", 1, "[0]", "Tags"),
        ("a: 1\n---\nb: 2", 2, "", "more than one document"),
        ("%YAML 1.1\n---\na: 1", 1, "", "not YAML 1.2"),
        ("%TAG !e! tag:e.example,2000:\n---\na: 1", 1, "", "declares tags"),
        ("? [1]\n: 2", 1, "", "A key is a list or a table"),
        ("a: 1\n? {b: 1}\n: 2", 2, "", "A key is a list or a table"),
        ("a: &x b\n? *x\n: 2", 2, '["?"]'.replace('"', "'"), "Aliases"),
        ("a:\n  - 1\n  - 0123", 3, "a[1]", "leading zero"),
        ("a: [1", 1, "", "not well formed"),
        ("a: b: c", 1, "", "not well formed"),
        ("a: 1\n\tb: 2", 2, "", "not well formed"),
        ("a: 1\nb: \x01", 2, "", "control characters"),
        ('a: "\\ud800"', 1, "", "not well formed"),
        ("a: 1\nb: x\u2028y", 2, "", "U+2028"),
        ("a: x\x85y", 1, "", "U+0085"),
        ("\ufeffa: 1", 1, "", "byte order mark"),
    ],
)
def test_what_is_not_plain_yaml_is_refused_at_its_line(text: str, line: int, key: str, problem: str) -> None:
    findings = read_document(text.encode(), "f").findings
    assert any(
        finding.file == "f" and finding.line == line and finding.key == key and problem in finding.problem for finding in findings
    ), findings


@pytest.mark.parametrize(
    ("data", "line", "problem"),
    [
        (b"a: 1\nb: \xff", 2, "not UTF-8"),
        ("a: 1".encode("utf-16"), 1, "byte order mark"),
        (b"a: " + b"x" * MAX_DOCUMENT_BYTES, 0, "larger than"),
        (b"[" * 500_000, 1, "nested deeper"),
        (b"? " * 5_000, 1, "nested deeper"),
        (b"{a: " * 5_000, 1, "nested deeper"),
    ],
)
def test_bytes_beyond_a_bound_are_refused(data: bytes, line: int, problem: str) -> None:
    (finding, *_) = read_document(data, "f").findings
    assert finding.line == line
    assert problem in finding.problem


def test_the_directive_for_yaml_1_2_is_accepted() -> None:
    assert read_document(b"%YAML 1.2\n---\na: 1\n", "f").findings == ()


def test_every_mistake_of_a_document_is_found() -> None:
    findings = read_document(b"a: 01\nb: &x 2\nc: !t 3\na: 4\n", "f").findings
    assert [(finding.line, finding.key) for finding in findings] == [(1, "a"), (2, "b"), (3, "c"), (4, "a")]


def test_a_value_is_found_at_the_line_of_its_key() -> None:
    root = read_document(b"\na:\n  - x\n  - b:\n      c: 1\n", "f").root
    assert isinstance(root, Fields)
    items = root.entries[0].node
    assert isinstance(items, Items)
    assert (items.place.line, items.nodes[0].place.line, items.nodes[1].place.line) == (2, 3, 4)


@pytest.mark.parametrize("data", [b"", b"# nothing\n", b"---\n", b"~"])
def test_an_empty_document_is_no_value(data: bytes) -> None:
    document = read_document(data, "f")
    assert document.findings == ()
    assert plain(document.root) is None


def test_a_document_as_deep_as_allowed_is_read() -> None:
    assert read_document(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, "f").findings == ()
    assert read_document(b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2), "f").findings != ()


def test_a_file_is_read_as_plain_values_or_refused_whole(tmp_path: Path) -> None:
    path = tmp_path / "cases.yaml"
    path.write_text("- {call: a/b, n: [1, no, 2.5, ~]}\n")
    assert read_plain(path, "cases.yaml") == [{"call": "a/b", "n": [1, "no", 2.5, None]}]
    path.write_text("a: 01\nb: 02\n")
    with pytest.raises(ConfigurationInvalid) as invalid:
        read_plain(path, "cases.yaml")
    assert [finding.key for finding in invalid.value.findings] == ["a", "b"]
    assert plain(read_file(path, "cases.yaml").root) == {"a": None, "b": None}


def test_a_file_that_cannot_be_opened_is_a_finding(tmp_path: Path) -> None:
    (finding,) = read_file(tmp_path, "x.yaml").findings
    assert (finding.file, finding.line) == ("x.yaml", 0)
    assert "cannot be read" in finding.problem


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Cn", "Co"]), max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc_-. 01", max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_json_reads_as_itself(value: object) -> None:
    document = read_document(json.dumps(value, ensure_ascii=False).encode(), "f")
    assert document.findings == ()
    assert plain(document.root) == value


@given(st.text(max_size=40))
def test_no_text_breaks_the_reader(text: str) -> None:
    document = read_document(text.encode("utf-8", "surrogatepass"), "f")
    assert document.findings or plain(document.root) is not NotImplemented
