"""Every text of a JSON value, with the place where it stands."""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from customhouse.core.pointer import below

_UNUSUAL: Final = re.compile(rb"[\x7f-\xff]|\\[ubf]")
"""In encoded JSON: whatever is outside of printable ASCII but line breaks and tabs, and the escapes of it."""


def is_plain(value: Any) -> bool:
    """Whether all texts of a JSON value are ASCII that is seen as itself. False can also mean that it could not be told cheaply."""
    try:
        return _UNUSUAL.search(msgspec.json.encode(value)) is None
    except UnicodeEncodeError:
        return False


def texts_in(value: Any, pointer: str = "") -> Iterator[tuple[str, str]]:
    """(JSON pointer, text) for every string of a JSON value, keys included: a key stands where its value does."""
    if isinstance(value, str):
        yield pointer, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield below(pointer, key), key
            yield from texts_in(inner, below(pointer, key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from texts_in(inner, below(pointer, index))
