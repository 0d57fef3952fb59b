"""Characters that a reader does not see but a model or a terminal obeys.

Threat class T1: instructions in invisible Unicode, ANSI escapes in descriptions. Refused: control characters except line feed, carriage
return and tab; format characters, private use, lone surrogates, noncharacters, the tags and variation selectors that smuggle bytes, and
letters without a glyph. Allowed for what people really write: a zero-width joiner and a variation selector inside an emoji sequence
(Unicode Technical Standard 51), and one joiner between two letters of scripts without case (Arabic, Indic), which need it.
"""

import re
from collections.abc import Iterator
from typing import Any
from unicodedata import bidirectional, category

from customhouse.core.texts import texts_in

_SUSPECT = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff\U000f0000-\U0010ffff]"
)
_VISIBLE_FORMAT = re.compile("[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd]")
"""Number signs of Arabic, Syriac and Kaithi: in category Cf, yet they have a glyph."""
_NON_JOINER, _JOINER = "\u200c", "\u200d"
_PRESENTATION = ("\ufe0e", "\ufe0f")
_KEYCAP_BASES = "#*0123456789"
_EMOJI_LIKE = frozenset({"So", "Sm", "Sk"})
_CASELESS = frozenset({"Lo", "Mn", "Mc"})


def hidden_character(text: str) -> str | None:
    """The first hidden character of a text as `U+202E`, or None."""
    for at in hidden_places(text):
        return f"U+{ord(text[at]):04X}"
    return None


def hidden_places(text: str) -> Iterator[int]:
    """Where in a text the hidden characters stand."""
    if text.isascii() and text.isprintable():
        return
    for found in _SUSPECT.finditer(text):
        if not _belongs(text, found.start()):
            yield found.start()


def hidden_in(value: Any) -> Iterator[tuple[str, str]]:
    """(JSON pointer, character) for every string of a JSON value that hides something, keys included."""
    for pointer, text in texts_in(value):
        if found := hidden_character(text):
            yield pointer, found


INVISIBLE_SIGNS = (
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\U000e0000-\U000e0fff]",
    "[\ufe00-\ufe0f]{2}",
)
INVISIBLE_ESCAPES = (
    r"\\u(?i:00ad|034f|061c|115f|1160|17b[45]|180[b-f]|200[b-f]|202[a-e]|206[0-9a-f]|3164|feff|ffa0|db40|fe0[0-9a-f]\\ufe0)",
)
"""In undecoded JSON, in the syntax of Rust's `regex`: what `revealed` may change, as it is and as an escape."""
_ONE = INVISIBLE_SIGNS[0][:-1] + "\ufe00-\ufe0f]"
_INVISIBLE = re.compile(f"{_ONE}{{3,}}+|{_ONE}")
"""Three in a row are never part of what people write; an emoji sequence has two."""
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_MARKS = "\u200e\u200f\u061c"


def revealed(text: str, *, shown: bool, found: dict[str, int]) -> str:
    """The text without characters that take no place, or with their names in brackets; what belongs to its neighbours stays.

    Beside the rules above, one variation selector behind another character stays, and a direction mark beside a letter that is written from
    right to left. Other control characters are left alone: programs write escape sequences into their output.
    """

    def judged(match: re.Match[str]) -> str:
        if len(match[0]) == 1 and _is_written(text, match.start()):
            return match[0]
        found["hidden-character"] = found.get("hidden-character", 0) + len(match[0])
        return "".join([f"[U+{ord(char):04X}]" for char in match[0]]) if shown else ""

    return _INVISIBLE.sub(judged, text)


def _is_written(text: str, at: int) -> bool:
    char, before, after = text[at], text[at - 1 : at], text[at + 1 : at + 2]
    if _SELECTORS.match(char):
        return before != "" and not _is_selector(before) and (char <= "\ufe0f" or category(before) == "Lo")
    if char in _MARKS:
        return any(bidirectional(one) in {"R", "AL"} for one in (before, after) if one)
    return _belongs(text, at)


def _belongs(text: str, at: int) -> bool:
    """Whether a suspect character is part of what its neighbours write."""
    char = text[at]
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if char in _PRESENTATION:
        return before != "" and (before in _KEYCAP_BASES or before in "\u203c\u2049\u3030\u303d" or category(before) in _EMOJI_LIKE)
    if char == _JOINER and _is_emoji(before) and _is_emoji(after):
        return True
    if char in {_JOINER, _NON_JOINER}:
        return (
            before != ""
            and after != ""
            and category(before) in _CASELESS
            and category(after) in _CASELESS
            and not _is_selector(before, after)
        )
    return _VISIBLE_FORMAT.match(char) is not None


def _is_emoji(char: str) -> bool:
    return char != "" and (char in _PRESENTATION or category(char) in _EMOJI_LIKE)


def _is_selector(*chars: str) -> bool:
    """Variation selectors are in category Mn, like the vowel signs that a joiner may stand beside."""
    return any(_SUSPECT.match(char) for char in chars)
