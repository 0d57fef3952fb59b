"""The exact arguments of a call as text for whoever has to approve it: nothing unseen, and nothing cut in silence.

Threat classes T14 and T21: a recipient behind a thousand spaces, a word turned around by a bidirectional control, a letter of no width.
Each value stands on a line of its own behind its JSON pointer. Printable characters stand for themselves, but for the brackets ⟨ and ⟩,
in which the exhibit itself speaks: `⟨40 x space⟩`, `⟨U+202E⟩`. What is too long keeps its beginning and its end, and between them says
how long it is and its SHA-256, so two different arguments never look the same without saying that something was left out.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from unicodedata import category, name, normalize

import msgspec

from customhouse.core.hidden import hidden_character
from customhouse.core.manifest import canonical_bytes
from customhouse.core.pointer import below

MAX_SHOWN_CHARACTERS: Final = 2_000
"""Of one value, as it is shown. A page can be read; more is skimmed."""
KEPT_AT_END: Final = 400
"""Characters of a longer value that are shown from its end."""
MAX_LINES: Final = 200
"""Values of one call. More are counted, and their digest is stated."""
MAX_KEY_CHARACTERS: Final = 120
"""Of a key; pinned schemas declare most of them, and those are short."""

_LONGEST_RUNS: Final = 20
"""A text may be so many times longer than what is shown of it: runs of white space are counted instead of written."""
_RUN: Final = re.compile(r"([ \n\r\t\f\v])\1*")
_NAMED: Final = {" ": "space", "\n": "newline", "\r": "return", "\t": "tab", "\f": "form feed", "\v": "vertical tab"}
_ESCAPED: Final = {"\\": "\\\\", '"': '\\"'}
_WORD: Final = re.compile(r"[^\x00-/:-@\[-`{-\x7f]+|[\x00-/:-@\[-`{-\x7f]+")
_LATIN: Final = re.compile(r"[A-Za-z]")
_LOOKALIKE_SCRIPTS: Final = frozenset({"CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU"})
"""First words of the Unicode names of letters that are taken for Latin ones (Unicode Technical Standard 39, confusables)."""
_MARKS: Final = frozenset({"Mn", "Me", "Mc"})
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})


class Exhibit(msgspec.Struct, frozen=True):
    """What an approver is shown."""

    lines: tuple[str, ...]
    cut: tuple[str, ...] = ()
    """JSON pointers of what is not shown whole; empty where every character is there."""


def shown(arguments: Mapping[str, Any]) -> Exhibit:
    """The exhibit of the arguments of a call, keys in canonical order."""
    lines: list[str] = []
    cut: list[str] = []
    missing = 0
    for pointer, way, value in _leaves(arguments, "", ""):
        if len(lines) == MAX_LINES:
            missing += 1
            continue
        text, whole = _value(value)
        lines.append(f"{way or 'arguments'}: {text}")
        if not whole or "⟨cut" in way:
            cut.append(pointer)
    if missing:
        digest = hashlib.sha256(canonical_bytes(arguments)).hexdigest()
        lines.append(f"⟨{missing} more values are not shown; all arguments together have sha256:{digest}⟩")
        cut.append("")
    return Exhibit(tuple(lines), tuple(cut))


def visible(text: str, limit: int = MAX_SHOWN_CHARACTERS, at_end: int = KEPT_AT_END) -> tuple[str, bool]:
    """A text with everything in it seen, and whether it is whole."""
    if len(text) <= limit * _LONGEST_RUNS:
        seen = _seen(text)
        if min(len(seen), len(text)) <= limit:
            return seen, True
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    left_out = len(text) - limit
    note = f"⟨cut: {left_out} of {len(text)} characters are not shown; sha256:{digest}⟩"
    return f"{_seen(text[: limit - at_end])}{note}{_seen(text[len(text) - at_end :])}", False


def _leaves(value: Any, pointer: str, way: str) -> Iterator[tuple[str, str, Any]]:
    """(pointer, the pointer as it is shown, value) of everything that holds nothing else."""
    if isinstance(value, Mapping) and value:
        for key in sorted(value):
            name, _ = visible(str(key), MAX_KEY_CHARACTERS, 20)
            yield from _leaves(value[key], below(pointer, key), f"{way}/{_as_pointer(name)}")
    elif isinstance(value, list | tuple) and value:
        for index, inner in enumerate(value):
            yield from _leaves(inner, below(pointer, index), f"{way}/{index}")
    else:
        yield pointer, way, value


def _as_pointer(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1").replace(": ", ":⟨1 x space⟩")


def _value(value: Any) -> tuple[str, bool]:
    if isinstance(value, str):
        text, whole = visible(value)
        return f'"{text}"', whole
    return json.dumps(value), True


def _seen(text: str) -> str:
    """Edges and runs of white space are spelled out; a single space or between words is itself."""
    parts: list[str] = []
    at = 0
    for run in _RUN.finditer(text):
        parts.append(_characters(text[at : run.start()]))
        edge = run.start() == 0 or run.end() == len(text)
        single = run[0] == " " and not edge and text[run.start() - 1] not in _NAMED and text[run.end()] not in _NAMED
        parts.append(" " if single else f"⟨{len(run[0])} x {_NAMED[run[1]]}⟩")
        at = run.end()
    parts.append(_characters(text[at:]))
    return "".join(parts)


def _characters(text: str) -> str:
    if text.isascii() and text.isprintable() and "\\" not in text and '"' not in text:
        return text
    return "".join(_word(part) for part in _WORD.findall(text))


def _word(word: str) -> str:
    """In a word that has Latin letters, a letter of a script that has look-alikes of them stands as its number."""
    mixed = not word.isascii() and _LATIN.search(word) is not None
    return "".join(_character(char, word[place - 1] if place else "", mixed) for place, char in enumerate(word))


def _character(char: str, before: str, mixed: bool) -> str:
    if char in _ESCAPED:
        return _ESCAPED[char]
    if (mixed and name(char, "").partition(" ")[0] in _LOOKALIKE_SCRIPTS) or (not char.isascii() and normalize("NFKC", char).isascii()):
        return f"⟨U+{ord(char):04X}⟩"
    kind = category(char)
    lost = kind in _UNSEEN or char in "⟨⟩" or hidden_character(char) is not None
    stacked = kind in _MARKS and (not before or category(before) in _MARKS)
    return f"⟨U+{ord(char):04X}⟩" if lost or stacked else char
