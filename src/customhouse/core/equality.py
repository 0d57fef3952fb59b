"""When two JSON values are the same.

Source: RFC 8785 writes 1 and 1.0 alike, and `true` unlike 1. What Python calls equal is neither.
"""

from typing import Any


def same(old: Any, new: Any) -> bool:
    """Equality of JSON values as RFC 8785 writes them."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(same(value, new[key]) for key, value in old.items())
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return len(old) == len(new) and all(map(same, old, new))
    return isinstance(old, bool) is isinstance(new, bool) and bool(old == new)
