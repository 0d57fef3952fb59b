"""What is written as YAML is read back as it was, by readers of both versions."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from customhouse.config.document import plain, read_document
from customhouse.config.yamltext import yaml_text

HOSTILE = (
    *(
        "",
        " ",
        "no",
        "No",
        "ON",
        "y",
        "~",
        "null",
        "0123",
        "1:30",
        "0o17",
        "0x1F",
        ".inf",
        "1e3",
        "-1",
        "+1",
        "1_000",
        "2027-06-30",
        "=",
        "<<",
    ),
    *(
        "- a",
        "# x",
        "a # b",
        "a: b",
        "a:",
        ":a",
        "? a",
        "*a",
        "&a",
        "!a",
        "%a",
        "@a",
        "`a`",
        "'a'",
        '"a"',
        "{a",
        "[a]",
        "a, b",
        "---",
        "...",
    ),
    *(
        " leading",
        "trailing ",
        "two  spaces",
        "a\nb",
        "\n",
        "a\n",
        "\ta",
        "\x07",
        "\x85",
        "\u2028",
        "\u202e",
        "\ufeff",
        "\u00a0",
        "ä",
        "日本",
        "\\",
        "a" * 3000,
    ),
    *("words of more than one line " * 9 + "end", "# hash " * 20 + "end", "- dash " * 20 + "end", "two  spaces " * 20 + "end", "ä" * 200),
)
TEXTS = st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers(-(10**16), 10**16) | st.floats(-1e14, 1e14) | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12)


@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_a_value_comes_back_as_it_was(value: dict[str, object]) -> None:
    written = read_document(yaml_text(value).encode(), "file.yaml")
    assert written.findings == ()
    assert plain(written.root) == value


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_text_is_text_for_readers_of_yaml_1_1_too(text: str) -> None:
    written = yaml_text({"key": text, text: ["x", text]})
    assert yaml.safe_load(written) == {"key": text, text: ["x", text]}
    assert plain(read_document(written.encode(), "file.yaml").root) == {"key": text, text: ["x", text]}


def test_what_is_written_reads_like_what_people_write() -> None:
    value = {
        "owner": "team-notes",
        "servers": ["a", "b"],
        "tools": {"read_note": {"class": "read"}, "2fa": {}},
        "seconds": 30.0,
        "day": "2027-06-30",
    }
    assert yaml_text(value) == (
        'owner: team-notes\nservers:\n  - a\n  - b\ntools:\n  read_note:\n    class: read\n  "2fa": {}\nseconds: 30\nday: "2027-06-30"\n'
    )


def test_a_long_text_of_words_is_folded() -> None:
    written = yaml_text({"waivers": [{"reason": "word " * 40 + "end"}]})
    assert written.splitlines()[1] == "  - reason: >-"
    assert max(map(len, written.splitlines())) <= 100
