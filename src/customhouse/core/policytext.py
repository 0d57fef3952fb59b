"""Names and patterns as Cedar writes them, so that no text of an operator can end the literal it stands in.

Source: Cedar, Grammar: strings have the escapes of Rust; in a pattern a star is any text, and one behind a backslash is a star.
"""

from collections.abc import Sequence
from typing import Final

_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"})


def quoted(text: str) -> str:
    """The text as a string literal."""
    return f'"{text.translate(_ESCAPES)}"'


def pattern(parts: Sequence[str]) -> str:
    """The parts with any text between each two, as a pattern of `like`."""
    return '"' + "*".join(part.translate(_ESCAPES).replace("*", "\\*") for part in parts) + '"'
