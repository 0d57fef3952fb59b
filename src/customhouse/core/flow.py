"""What a conversation has read, so that rules can say what must not follow it.

Threat class T13: a model that read what strangers wrote may be talked into anything its caller may do; if it read private data too, what it
sends leaves with that data. A *taint* is what was read, as a set: `untrusted` content, `private` data (internal or confidential by the
review of the tool), `confidential` data. It is a small integer, since it is on the path of every call.

Prompts and resources have no review of their own, so they count as a tool that nobody looked at closer: untrusted and private.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from customhouse.core.manifest import ToolReview

UNTRUSTED, PRIVATE, CONFIDENTIAL = 1, 2, 4
CLEAN: Final = 0
UNREVIEWED: Final = UNTRUSTED | PRIVATE
WORDS: Final[Mapping[str, int]] = {"untrusted": UNTRUSTED, "private": PRIVATE, "confidential": CONFIDENTIAL}

_OF_DATA: Final[Mapping[str, int]] = {"public": CLEAN, "internal": PRIVATE, "confidential": PRIVATE | CONFIDENTIAL}


def taint_of(review: ToolReview) -> int:
    """What a conversation has read after an answer of this tool."""
    return _OF_DATA[review.data] | (UNTRUSTED if review.content == "untrusted" else CLEAN)


def words_of(taint: int) -> tuple[str, ...]:
    """A taint as words, in the order of the table."""
    return tuple(word for word, bit in WORDS.items() if taint & bit)


def from_words(words: Iterable[str]) -> int:
    """The taint that words mean. Raises `KeyError` for a word that is none."""
    taint = CLEAN
    for word in words:
        taint |= WORDS[word]
    return taint


def as_context(taint: int) -> dict[str, bool]:
    """`context.flow` of a decision."""
    return {word: bool(taint & bit) for word, bit in WORDS.items()}


@dataclass(frozen=True, slots=True)
class Tainted:
    """Until when a conversation counts as having read each kind, on the monotonic clock."""

    untrusted: float = 0.0
    private: float = 0.0
    confidential: float = 0.0

    def at(self, now: float) -> int:
        """The taint at a time."""
        return UNTRUSTED * (self.untrusted > now) | PRIVATE * (self.private > now) | CONFIDENTIAL * (self.confidential > now)

    def until(self, taint: int, end: float) -> "Tainted":
        """With a taint that holds until then, or longer where it did already."""
        return self | Tainted(end * bool(taint & UNTRUSTED), end * bool(taint & PRIVATE), end * bool(taint & CONFIDENTIAL))

    def __or__(self, other: "Tainted") -> "Tainted":
        """What either has read, for as long as either counts."""
        return Tainted(max(self.untrusted, other.untrusted), max(self.private, other.private), max(self.confidential, other.confidential))

    @property
    def ends(self) -> float:
        """When nothing of it is left."""
        return max(self.untrusted, self.private, self.confidential)


NOTHING_READ: Final = Tainted()
