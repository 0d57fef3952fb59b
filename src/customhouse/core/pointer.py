"""JSON pointers: where in a JSON value something is.

Source: RFC 6901. `""` is the whole value.
"""

_LONGEST_KEY = 64
"""Characters of a key that are shown; what a caller sends as a key can be of any length."""


def below(pointer: str, *keys: str | int) -> str:
    """The pointer to what lies under these keys."""
    return pointer + "".join([f"/{str(key).replace('~', '~0').replace('/', '~1')}" for key in keys])


def shown(pointer: str) -> str:
    """A pointer that can stand in a sentence: every key cut to a readable length, nothing unprintable in it."""
    return "/".join([shown_key(key) for key in pointer.split("/")])


def shown_key(key: str) -> str:
    """A key that can stand in a sentence."""
    cut = key if len(key) <= _LONGEST_KEY else f"{key[:_LONGEST_KEY]}..."
    return cut if cut.isprintable() else "".join([char if char.isprintable() else f"\\u{ord(char):04x}" for char in cut])
