"""A text as a reviewer has to see it: what has no look, or a borrowed one, stands there as its code.

A diff in which two sides look the same is no diff. Shown as `\u27e6U+202E\u27e7` are: control, format, private-use and unassigned
characters, line and paragraph separators, every space but the plain one, letters that pose as others, and marks piled up on one letter.
Shown by number are: runs of more than four spaces, spaces at an end of a line, tabs, and more than two line breaks. The brackets are
escaped in the text itself, so no text can pretend.
"""

import re
from typing import Final
from unicodedata import category

from customhouse.core.confusable import posing_words
from customhouse.core.hidden import hidden_places

OPEN: Final = "\u27e6"
CLOSE: Final = "\u27e7"
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SPACES: Final = re.compile(r"^ +| +$| {5,}", re.MULTILINE)
_BREAKS: Final = re.compile(r"\n{3,}")
_PILED: Final = 2
"""Marks on one letter; the scripts of living languages need no more."""


def visible(text: str) -> str:
    """The text with everything visible. Line breaks are kept, up to two in a row."""
    return "".join(visible_cells(text))


def visible_cells(text: str) -> list[str]:
    """What is shown for each character of a text; a run that is shown as one stands at its first character, the others are empty."""
    if text.isascii() and text.isprintable() and "  " not in text and text == text.strip():
        return list(text)
    cells = [char if char == "\n" else _cell(char) for char in text]
    for at in hidden_places(text):
        cells[at] = code_of(text[at])
    for start, end in posing_words(text):
        cells[start:end] = [char if char.isascii() else code_of(char) for char in text[start:end]]
    for at in _piled(text):
        cells[at] = code_of(text[at])
    for run in _SPACES.finditer(text):
        if run.end() - run.start() > 4 or not _leads(text, run):
            _stand_for(cells, run, _counted(run.end() - run.start(), "space"))
    for run in _BREAKS.finditer(text):
        _stand_for(cells, run, _counted(run.end() - run.start(), "line break") + "\n")
    return cells


def code_of(char: str) -> str:
    """A character by its number."""
    return f"{OPEN}U+{ord(char):04X}{CLOSE}"


def _cell(char: str) -> str:
    if char == "\t":
        return f"{OPEN}tab{CLOSE}"
    kind = category(char)
    return code_of(char) if kind in _UNSEEN or char in {OPEN, CLOSE} or (kind == "Zs" and char != " ") else char


def _leads(text: str, run: re.Match[str]) -> bool:
    """Whether spaces only indent a line that is not the first."""
    return run.start() > 0 and text[run.start() - 1] == "\n" and run.end() < len(text) and text[run.end()] != "\n"


def _counted(count: int, what: str) -> str:
    return f"{OPEN}{count} {what}{'' if count == 1 else 's'}{CLOSE}"


def _stand_for(cells: list[str], run: re.Match[str], shown: str) -> None:
    cells[run.start() : run.end()] = [shown] + [""] * (run.end() - run.start() - 1)


def _piled(text: str) -> list[int]:
    """Where marks stand on marks beyond what a letter carries."""
    piled, height = [], 0
    for at, char in enumerate(text):
        height = height + 1 if category(char) in {"Mn", "Me"} else 0
        if height > _PILED:
            piled.append(at)
    return piled
