"""Names that a person, or a lax parser, takes for the same.

Parsers that match keys without regard to case, Unicode form or NUL read `Name` and `name` as one key, so a policy that read one and a
server that reads the other see two calls (CVE-2026-27896, GHSA-q382-vc8q-7jhj). Folding follows Unicode's NFKC_Casefold (Unicode
Standard, section 3.13), which drops what has no appearance, and drops control characters too.
"""

import re
from collections.abc import Iterable
from unicodedata import category, normalize

_UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]")
"""Characters without appearance that are in neither category Cf nor Cc (Unicode property Default_Ignorable_Code_Point)."""

_MOST_ROUNDS = 4
"""Dropping a character can let its neighbours compose; no known name needs more than two rounds to settle."""


def folded(name: str) -> str:
    """The name with everything taken away in which look-alikes differ. Equal results look alike; folding twice changes nothing."""
    if name.isascii() and name.isprintable():
        return name.lower()
    for _ in range(_MOST_ROUNDS):
        before, name = name, _folded_once(name)
        if name == before:
            break
    return name


def _folded_once(name: str) -> str:
    bare = "".join([char for char in normalize("NFKC", name).casefold() if category(char) not in {"Cc", "Cf"}])
    return normalize("NFKC", _UNSEEN.sub("", bare))


def duplicates(keys: Iterable[str]) -> tuple[str, str] | None:
    """The first two keys that are equal when folded, in the order they came."""
    seen: dict[str, str] = {}
    for key in keys:
        same = folded(key)
        if same in seen:
            return seen[same], key
        seen[same] = key
    return None
