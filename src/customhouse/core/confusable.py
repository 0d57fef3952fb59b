"""Words whose letters pose as others: a Cyrillic letter in a Latin name, letters drawn as mathematics.

A reader takes `p\u0430y` for `pay`, and a model or a program does not (threat classes T1 and T3). Source of the table: Unicode Technical
Standard 39, confusables.txt, the letters of Cyrillic, Greek, Armenian, Cherokee and of Latin itself whose prototype is one letter of
ASCII. What people really write passes: a text in another script, a Latin word beside it, a single Greek letter as a symbol.
"""

import re
from collections.abc import Iterator
from typing import Any, Final
from unicodedata import category, decomposition, normalize

from customhouse.core.lookalike import folded
from customhouse.core.texts import texts_in

_SCRIPTS: Final = (
    ("\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u043a\u0455\u0456\u0458\u04bb\u0501\u051b\u051d\u0475\u04cf\u04af", "aeopcyxksijhdqwvly"),
    (
        "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423\u0425\u0405\u0406\u0408\u051a\u051c\u0474\u04c0",
        "ABEKMHOPCTYXSIJQWVl",
    ),
    ("\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03f9\u037f", "ABEZHIKMNOPTYXCJ"),
    ("\u03b1\u03bf\u03bd\u03c1\u03b9\u03b3\u03ba\u03c5\u03c7\u03f2\u03f3", "aovpiykuxcj"),
    ("\u0585\u0578\u057d\u0570\u0581\u0566\u054f\u0555", "onuhgqSO"),
    ("\u13aa\u13f4\u13df\u13a0\u13ac\u13c0\u13bb\u13ab\u13e6\u13de\u13b7\u13e2\u13da\u13b3\u13c3\u13d9\u13d2", "ABCDEGHJKLMPSWZVR"),
    ("\u0251\u0261\u0269", "agi"),
)
_PROTOTYPES: Final = {posing: meant for letters, prototypes in _SCRIPTS for posing, meant in zip(letters, prototypes, strict=True)}
_GREEK: Final = frozenset(_SCRIPTS[2][0] + _SCRIPTS[3][0])
_TO_PROTOTYPES: Final = str.maketrans(_PROTOTYPES)
_ALIKE_IN_ASCII: Final = str.maketrans({"I": "l", "1": "l", "|": "l", "0": "o", "5": "s"})
_ALIKE_TOGETHER: Final = (("rn", "m"), ("vv", "w"))
_WORD: Final = re.compile(r"[^\W_]+")
_INFORMATION_SOURCE: Final = "\u2139"
"""A letter by category, and an emoji in use."""


def skeleton(name: str) -> str:
    """What a name looks like: equal results are hard to tell apart. For comparison alone."""
    drawn = normalize("NFKC", name).translate(_TO_PROTOTYPES).translate(_ALIKE_IN_ASCII)
    for letters, one in _ALIKE_TOGETHER:
        drawn = drawn.replace(letters, one)
    return folded(drawn)


def posing_in(value: Any) -> Iterator[tuple[str, str]]:
    """(JSON pointer, word) for every word of a JSON value whose letters pose as others, keys included."""
    for pointer, text in texts_in(value):
        for start, end in posing_words(text):
            yield pointer, text[start:end]


def posing_words(text: str) -> list[tuple[int, int]]:
    """Where in a text the words stand, first and last position, whose letters pose as others."""
    if text.isascii():
        return []
    foreign = any(category(char) == "Lo" or _is_foreign(char) for char in text)
    return [found.span() for found in _WORD.finditer(text) if not found[0].isascii() and _poses(found[0], foreign)]


def _is_foreign(char: str) -> bool:
    """A letter that says that the text really is in another script: it looks like no letter of ASCII."""
    return char.isalpha() and ord(char) >= 0x370 and char not in _PROTOTYPES and not decomposition(char).startswith("<")


def _poses(word: str, foreign: bool) -> bool:
    posing = [char for char in word if char in _PROTOTYPES]
    if posing and re.search("[A-Za-z]", word):
        return True
    if posing and not foreign and all(char in _PROTOTYPES or not char.isalpha() for char in word):
        return len(posing) > 1 or posing[0] not in _GREEK
    styled = [char for char in word if decomposition(char).startswith(("<font>", "<wide>")) and char != _INFORMATION_SOURCE]
    return len(styled) > 1 and not foreign
