"""Two columns for a terminal: what was approved on the left, what the server says now on the right.

What differs stands in brackets that no text of a server can write (`core.visible` escapes them there): `\u27e6-gone-\u27e7` on the
left, `\u27e6+new+\u27e7` on the right. Every line goes through `display.safe` at the end, so nothing of a server reaches the terminal as
a control character. Widths are those of terminals (Unicode Standard Annex 11): a wide character takes two columns, a mark none.
"""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from unicodedata import category, east_asian_width

from customhouse.cli.display import safe
from customhouse.core.comparison import Piece, Row
from customhouse.core.visible import CLOSE, OPEN

LEAST_WIDTH = 40
_BETWEEN = " | "
_INDENT = "    "


def side_by_side(rows: Sequence[Row], width: int) -> Iterator[str]:
    """The lines of a table of at least 40 columns, without line ends."""
    column = (max(width, LEAST_WIDTH) - len(_INDENT) - len(_BETWEEN)) // 2
    for row in rows:
        yield safe(f"  {row.pointer.replace(chr(10), ' ') or 'as a whole'}  {row.edit.value}")
        left, right = (_wrapped(_marked(pieces, sign), column) for pieces, sign in ((row.before, "-"), (row.after, "+")))
        for one, other in zip_longest(left, right, fillvalue=""):
            yield safe(f"{_INDENT}{one}{' ' * (column - _columns(one))}{_BETWEEN}{other}".rstrip())


def _marked(pieces: Sequence[Piece], sign: str) -> str:
    """The pieces as one text; one that is all there is needs no marks."""
    if len(pieces) == 1:
        return pieces[0].text
    return "".join(f"{OPEN}{sign}{piece.text}{sign}{CLOSE}" if piece.changed else piece.text for piece in pieces)


def _wrapped(text: str, column: int) -> list[str]:
    """The text in lines of at most so many columns, broken between words where it can be."""
    lines: list[str] = []
    for paragraph in text.split("\n") if text else []:
        line, used, space = "", 0, -1
        for char in paragraph:
            taken = _columns(char)
            if used + taken > column:
                head, line = (line[: space + 1], line[space + 1 :]) if space >= 0 else (line, "")
                lines.append(head)
                used, space = _columns(line), -1
            if char == " ":
                space = len(line)
            line, used = line + char, used + taken
        lines.append(line)
    return lines


def _columns(text: str) -> int:
    return sum(0 if category(char) in {"Mn", "Me"} else 2 if east_asian_width(char) in "WF" else 1 for char in text)
