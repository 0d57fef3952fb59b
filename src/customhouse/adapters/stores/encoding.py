"""How a value of the books is written down: JSON, so that a person can read a row and every database can keep it.

A field that this version of the code does not know is left alone when a value is read, and kept when it is replaced: a later version may
have written it (expand and contract, see the decision on stores).
"""

from typing import TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)


def encoded(value: msgspec.Struct, before: str = "{}") -> str:
    """The JSON of a value; `before` is what stood there, whose unknown fields stay.

    Raises `ValueError` or `TypeError` for what would not come back: infinities, lone surrogates, what JSON has no form for.
    """
    text = msgspec.json.encode(value).decode()
    decoded(text, type(value))
    unknown = msgspec.json.decode(before).keys() - set(value.__struct_fields__)
    if not unknown:
        return text
    old = msgspec.json.decode(before, type=dict[str, msgspec.Raw])
    new = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    return msgspec.json.encode(new | {name: old[name] for name in sorted(unknown)}).decode()


def decoded(text: str, kind: type[S]) -> S:
    """The value of one row."""
    return msgspec.json.decode(text, type=kind)
