"""New names that a reader takes for the name of another server's tool.

A tool that is called almost like one which people trust is asked in its place (threat class T3, CVE-2026-30856). Resembling are: the same
name but for case or Unicode form, names that are drawn alike (`core.confusable`), and names at an edit distance of at most 2, where two
neighbours that changed places count as one edit.

Names of tools are made of few words, so distance alone would alarm about `get_user` and `set_user`. It is counted word by word: a word
must have 5 letters to differ in one edit and 8 to differ in two, a number in a word and an exchanged first syllable (`import`, `export`)
are no slips of the pen. The very same name resembles nothing: 30 % of real tools share their name with another server's, and a name
carries its server in a portal.
"""

import enum
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from customhouse.core.confusable import skeleton
from customhouse.core.lookalike import folded


class Likeness(enum.Enum):
    """How one name resembles another."""

    SPELLED = "the same but for case or Unicode form"
    DRAWN = "drawn alike"
    NEAR = "a slip of the pen apart"


@dataclass(frozen=True, slots=True)
class Resemblance:
    """A name of another server that a name resembles."""

    server: str
    name: str
    likeness: Likeness


_MOST_EDITS: Final = 2
_LETTERS_FOR: Final = {1: 5, 2: 8}
"""Letters that a word needs to differ in so many edits."""
_MOST_WORDS: Final = 12
_SYLLABLES: Final = frozenset({"at", "de", "dis", "en", "ex", "im", "in", "out", "re", "un", "up", "down", "pre", "sub", "post"})
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_DIGIT: Final = re.compile(r"\d")
_BETWEEN: Final = re.compile(r"[\W_]+")
Words = tuple[str, ...]


class Elsewhere:
    """The names that other servers use, to be asked about many new ones."""

    def __init__(self, names: Iterable[tuple[str, str]]) -> None:
        self._alike: dict[tuple[Likeness, str], list[tuple[str, str]]] = {}
        self._near: dict[Words, list[tuple[str, str, Words]]] = {}
        for server, name in sorted(set(names)):
            words = _words(name)
            for form in _forms(name, words):
                self._alike.setdefault(form, []).append((server, name))
            for gap in _gaps(words):
                self._near.setdefault(gap, []).append((server, name, words))

    def resembling(self, name: str) -> tuple[Resemblance, ...]:
        """The names that this one resembles, without the very same one, by server and name."""
        found: dict[tuple[str, str], Likeness] = {}
        words = _words(name)
        for gap in _gaps(words):
            for server, other, its_words in self._near.get(gap, ()):
                if (server, other) not in found and _is_near(words, its_words):
                    found[server, other] = Likeness.NEAR
        for form in _forms(name, words):
            found.update(dict.fromkeys(self._alike.get(form, ()), form[0]))
        return tuple(Resemblance(server, other, found[server, other]) for server, other in sorted(found) if other != name)


def _forms(name: str, words: Words) -> tuple[tuple[Likeness, str], ...]:
    """What resembling names have in common, the weakest likeness first."""
    return (Likeness.NEAR, "".join(words)), (Likeness.DRAWN, skeleton(name)), (Likeness.SPELLED, folded(name))


def _words(name: str) -> Words:
    """The words of a name, folded: `readNote`, `read_note` and `read-note` have the same."""
    return tuple(word for word in _BETWEEN.split(folded(_CAMEL.sub("_", name))) if word)[:_MOST_WORDS]


def _gaps(words: Words) -> Iterator[Words]:
    """The words with one, and with two of them left open: names that differ in so many share a gap."""
    for first in range(len(words)):
        for second in range(first, len(words)):
            yield tuple("" if place in {first, second} else word for place, word in enumerate(words))


def _is_near(one: Words, other: Words) -> bool:
    edits = 0
    for mine, its in zip(one, other, strict=True):
        if mine != its:
            least = min(len(mine), len(its))
            if least < _LETTERS_FOR[1] or (_has_digit(mine) and _has_digit(its)):
                return False
            needed = _edits(mine, its)
            if needed > _MOST_EDITS or least < _LETTERS_FOR[needed] or _exchanges_a_syllable(mine, its):
                return False
            edits += needed
    return 0 < edits <= _MOST_EDITS


def _has_digit(word: str) -> bool:
    return _DIGIT.search(word) is not None


def _exchanges_a_syllable(mine: str, its: str) -> bool:
    return any(mine.startswith(one) and its == other + mine[len(one) :] for one in _SYLLABLES for other in _SYLLABLES)


def _edits(mine: str, its: str) -> int:
    """Edit distance with exchanged neighbours as one edit (optimal string alignment); any number above 2 stands for more."""
    if abs(len(mine) - len(its)) > _MOST_EDITS:
        return _MOST_EDITS + 1
    before: list[int] = []
    last = list(range(len(its) + 1))
    for row, letter in enumerate(mine, 1):
        now = [row]
        for column, other in enumerate(its, 1):
            least = min(last[column] + 1, now[-1] + 1, last[column - 1] + (letter != other))
            if row > 1 and column > 1 and letter == its[column - 2] and mine[row - 2] == other:
                least = min(least, before[column - 2] + 1)
            now.append(least)
        if min(now) > _MOST_EDITS:
            return _MOST_EDITS + 1
        before, last = last, now
    return last[-1]
