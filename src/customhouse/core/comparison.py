"""Two entries side by side: a row for each place in which they differ, both columns as a reviewer has to see them.

Entries are compared in canonical order, so a row stands for a difference of meaning. Texts are compared word by word. Arrays whose elements
have names (the arguments of a prompt) are compared by name, other arrays of objects by position, and arrays of plain values as one.
"""

import difflib
import enum
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import Any, Final

from customhouse.core.entries import Pair
from customhouse.core.equality import same
from customhouse.core.pointer import below
from customhouse.core.visible import visible, visible_cells


class Edit(enum.Enum):
    """What happened at a place."""

    ADDED = "added"
    REMOVED = "removed"
    REWORDED = "reworded"
    """A text became another one."""
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a column, everything in it visible."""

    text: str
    changed: bool
    """Whether the other column does not have it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One place in which two values differ."""

    pointer: str
    """JSON pointer into the entry, everything in it visible."""
    edit: Edit
    before: tuple[Piece, ...]
    """Empty if there was nothing."""
    after: tuple[Piece, ...]
    """Empty if there is nothing any more."""


class _Absent:
    """Nothing there."""


_ABSENT: Final = _Absent()
_WORDS: Final = re.compile(r"\w+\s*|[^\w\s]\s*|\s+")
"""A word has the white space behind it with it: by itself it would be the commonest word, and cost most."""
_MOST_PAIRS: Final = 300_000
"""Of equal words in two texts, beyond their common beginning and end. What has more is one change: a server could write a text whose
comparison takes a minute; the longest real descriptions have fewer."""


def compared(pair: Pair) -> tuple[Row, ...]:
    """The rows of a pair of entries; a new entry has only an after, one that is gone only a before."""
    return tuple(row for old, new in zip_longest(pair.old, pair.new, fillvalue=_ABSENT) for row in _rows(old, new, ""))


def compared_values(old: Any, new: Any) -> tuple[Row, ...]:
    """The rows of two JSON values."""
    return tuple(_rows(old, new, ""))


def _rows(old: Any, new: Any, pointer: str) -> Iterator[Row]:
    if old is not _ABSENT and new is not _ABSENT and same(old, new):
        return
    before, after = _members(old), _members(new)
    inside: list[Row] = []
    if before or after:
        old_ones, new_ones = before or {}, after or {}
        for key in sorted(old_ones.keys() | new_ones.keys(), key=str):
            inside += _rows(old_ones.get(key, _ABSENT), new_ones.get(key, _ABSENT), below(pointer, key))
    if not inside or _is_leaf(old, before) or _is_leaf(new, after):
        yield _row(_ABSENT if before and inside else old, _ABSENT if after and inside else new, visible(pointer))
    yield from inside


def _is_leaf(value: Any, members: dict[Any, Any] | None) -> bool:
    return value is not _ABSENT and members is None


def _members(value: Any) -> dict[Any, Any] | None:
    """What a value is compared by; None if it is compared as one."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, list | tuple) or not any(isinstance(one, dict | list | tuple) for one in value):
        return None
    names = [one.get("name") if isinstance(one, dict) else None for one in value]
    named = all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
    return dict(zip(names if named else range(len(value)), value, strict=True))


def _row(old: Any, new: Any, pointer: str) -> Row:
    if isinstance(old, str) and isinstance(new, str):
        return Row(pointer, Edit.REWORDED, *_words(old, new))
    edit = Edit.ADDED if old is _ABSENT else Edit.REMOVED if new is _ABSENT else Edit.CHANGED
    return Row(pointer, edit, _whole(old), _whole(new))


def _whole(value: Any) -> tuple[Piece, ...]:
    return () if value is _ABSENT else (Piece(visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)), True),)


def _words(old: str, new: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    one, other = _WORDS.findall(old), _WORDS.findall(new)
    steps = list(_steps(one, other))
    left = [(first, last, changed) for changed, first, last, _, _ in steps]
    right = [(first, last, changed) for changed, _, _, first, last in steps]
    return _pieces(old, one, left), _pieces(new, other, right)


_Step = tuple[bool, int, int, int, int]
"""Whether words changed, and from where to where they stand on either side."""


def _steps(one: list[str], other: list[str]) -> Iterator[_Step]:
    head = _common(one, other)
    tail = _common(one[head:][::-1], other[head:][::-1])
    yield False, 0, head, 0, head
    yield from _middle(one[head : len(one) - tail], other[head : len(other) - tail], head)
    yield False, len(one) - tail, len(one), len(other) - tail, len(other)


def _common(one: list[str], other: list[str]) -> int:
    return next((place for place, (mine, its) in enumerate(zip(one, other, strict=False)) if mine != its), min(len(one), len(other)))


def _middle(one: list[str], other: list[str], start: int) -> Iterator[_Step]:
    mine, its = Counter(one), Counter(other)
    if sum(count * its[word] for word, count in mine.items()) > _MOST_PAIRS:
        yield True, start, start + len(one), start, start + len(other)
        return
    for step, *places in difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        first, last, its_first, its_last = (start + place for place in places)
        yield step != "equal", first, last, its_first, its_last


def _pieces(text: str, words: list[str], stretches: list[tuple[int, int, bool]]) -> tuple[Piece, ...]:
    """Each stretch of words as it is shown; the whole text decides what is visible in it."""
    cells = visible_cells(text)
    starts = [0]
    for word in words:
        starts.append(starts[-1] + len(word))
    whole = groupby(((first, last, changed) for first, last, changed in stretches if first < last), key=lambda stretch: stretch[2])
    runs = [(changed, list(run)) for changed, run in whole]
    return tuple(Piece("".join(cells[starts[run[0][0]] : starts[run[-1][1]]]), changed) for changed, run in runs)
