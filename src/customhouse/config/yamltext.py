"""Values as YAML text, in one spelling: block style, two spaces, no anchors, no tags, no comments.

What is written means the same to readers of YAML 1.1 and of YAML 1.2: a text stands plain only if it begins with a letter, `_` or `/` and
is no word that either version takes for something else (`no`, `null`); every other text is in double quotes, with each character that
is not seen as itself as an escape. A long text of words is folded (`>-`), which gives back single spaces and nothing else.
Sources: YAML 1.2.2, sections 5.7 (escapes), 7.4.2 (an implicit key has at most 1,024 characters), 8.1.3 (folding); YAML 1.1, the type
repository.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

WIDTH: Final = 100
"""Columns after which a text of words is folded."""
_LONGEST_IMPLICIT_KEY: Final = 1_000

_WORD = r"[A-Za-z0-9_/.,@+:()'&;!?=~*%$-]*[A-Za-z0-9_/.,@+()'&;!?=~*%$-]"
_PLAIN: Final = re.compile(rf"[A-Za-z_/](?:{_WORD})?(?: {_WORD})*")
_TAKEN: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Words of YAML 1.1 and 1.2 that are not text, in any case of letters."""
_FOLDABLE: Final = re.compile(r"\S+(?: \S+)+")
_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def yaml_text(value: Mapping[str, object] | Sequence[object]) -> str:
    """A JSON object or list as a document that the strict reader takes, keys in the order of the mapping."""
    if not value:
        return "{}\n" if isinstance(value, Mapping) else "[]\n"
    return "\n".join(_block(value, 0)) + "\n"


def _block(value: object, indent: int) -> Iterator[str]:
    """The lines of a table or list that is not empty, or of a single value."""
    pad = " " * indent
    if isinstance(value, Mapping) and value:
        for key, held in value.items():
            yield from _entry(pad, key, held, indent)
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        for item in value:
            first, *rest = _block(item, indent + 2)
            yield f"{pad}- {first[indent + 2 :]}"
            yield from rest
    else:
        first, *rest = _value(value, indent)
        yield pad + first
        yield from rest


def _entry(pad: str, key: str, held: object, indent: int) -> Iterator[str]:
    name = _text(key)
    if len(name) > _LONGEST_IMPLICIT_KEY:
        yield f"{pad}? {name}"
        name = ""
    if isinstance(held, Mapping | list | tuple) and held:
        yield f"{pad}{name}:"
        yield from _block(held, indent + 2)
    else:
        first, *rest = _value(held, indent + 2)
        yield f"{pad}{name}: {first}"
        yield from rest


def _value(value: object, indent: int) -> Iterator[str]:
    """A single value; what follows its first line stands at the indent."""
    if isinstance(value, str):
        if len(value) > WIDTH - indent and value.isprintable() and _FOLDABLE.fullmatch(value):
            yield ">-"
            yield from _folded(value, " " * indent)
        else:
            yield _text(value)
    elif isinstance(value, Mapping):
        yield "{}"
    elif isinstance(value, list | tuple):
        yield "[]"
    else:
        yield _plain(value)


def _folded(text: str, pad: str) -> Iterator[str]:
    line = pad
    for word in text.split(" "):
        if line != pad and len(line) + 1 + len(word) > WIDTH:
            yield line
            line = pad
        line += word if line == pad else f" {word}"
    yield line


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _TAKEN:
        return text
    return '"' + "".join(character if _is_itself(character) else _escaped(character) for character in text) + '"'


def _is_itself(character: str) -> bool:
    return character.isprintable() and character not in _ESCAPES


def _escaped(character: str) -> str:
    number = ord(character)
    form = f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
    return _ESCAPES.get(character, form)


def _plain(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(value)
