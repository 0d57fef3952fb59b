"""Words whose letters pose as others are found; what people write in their own scripts is left in peace."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.confusable import posing_in, posing_words, skeleton


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("p\u0430y", ["p\u0430y"]),
        ("Use \u0441\u043e\u0440\u0443 now", ["\u0441\u043e\u0440\u0443"]),
        ("read the \u0430 file", ["\u0430"]),
        ("send_\u0435mail and r\u0435ad", ["\u0435mail", "r\u0435ad"]),
        ("\u0391dmin", ["\u0391dmin"]),
        ("p\u0251y", ["p\u0251y"]),
        ("\uff32\uff45\uff41\uff44", ["\uff32\uff45\uff41\uff44"]),
        ("this is \U0001d41b\U0001d428\U0001d425\U0001d41d", ["\U0001d41b\U0001d428\U0001d425\U0001d41d"]),
    ],
)
def test_a_word_that_poses_is_found(text: str, words: list[str]) -> None:
    assert [text[start:end] for start, end in posing_words(text)] == words


@pytest.mark.parametrize(
    "text",
    [
        "Plain ASCII.",
        "Привет, это текст с API и SMS",
        "все а о",
        "Ελληνικά κείμενο με API",
        "naïve café, Größe, İstanbul, ırmak",
        "kΩ Δt α-level λ χ² µs 5 µm",
        "x² ™ ½ №5 ﬁle ª º",
        "ＡＰＩ の説明",
        "Use ℹ️ here, in ℝ",
        "이메일 보내기, 发送邮件, שלח",
    ],
)
def test_what_people_write_does_not_pose(text: str) -> None:
    assert posing_words(text) == []


def test_keys_and_values_are_searched_and_their_places_are_named() -> None:
    assert list(posing_in({"p\u0430y": ["x", {"y": "s\u0435nd"}]})) == [("/p\u0430y", "p\u0430y"), ("/p\u0430y/1/y", "s\u0435nd")]


@pytest.mark.parametrize(
    ("one", "other"), [("p\u0430y", "pay"), ("\uff50ay", "PAY"), ("Issue", "1ssue"), ("modern", "modem"), ("\u0455c\u043ere", "sc0re")]
)
def test_names_that_are_drawn_alike_have_one_skeleton(one: str, other: str) -> None:
    assert skeleton(one) == skeleton(other)


@given(st.text(st.characters(codec="ascii")))
def test_ascii_never_poses(text: str) -> None:
    assert posing_words(text) == []


@given(st.text())
def test_what_poses_is_a_word_that_stands_there(text: str) -> None:
    assert all(0 <= start < end <= len(text) and not text[start:end].isascii() for start, end in posing_words(text))
