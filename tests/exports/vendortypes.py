"""The vendors' own types, made strict: an unknown key, a missing key and a value of another type are refused.

The SDKs describe requests as TypedDicts, which pydantic reads with unknown keys ignored and iterables unread. So each TypedDict is made
anew with its keys closed, and every kind of iterable becomes a list, which is what JSON has.
"""

import collections.abc
import typing
from collections.abc import Iterable
from functools import cache
from types import GenericAlias
from typing import Annotated, Any, get_args, get_origin

import pydantic
import typing_extensions

CLOSED = pydantic.ConfigDict(extra="forbid", strict=True)


@cache
def adapter(kind: Any) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(closed(kind))


def validate(kind: Any, value: object) -> None:
    """Raises `pydantic.ValidationError` if the value is not one of the vendor's type."""
    adapter(kind).validate_python(value)


def closed(kind: Any) -> Any:
    """The type with every TypedDict in it closed."""
    if typing_extensions.is_typeddict(kind):
        return _closed_dict(kind)
    origin, inner = get_origin(kind), tuple(closed(each) for each in get_args(kind))
    if origin is None or origin in (typing.Literal, typing_extensions.Literal):
        return kind
    if origin is Annotated:
        return closed(get_args(kind)[0])
    if origin in (typing_extensions.Required, typing_extensions.NotRequired):
        return origin[inner[0]]
    if origin is dict:
        return GenericAlias(dict, inner)
    if origin in (list, collections.abc.Iterable, collections.abc.Sequence) or getattr(origin, "__name__", "") == "SequenceNotStr":
        return GenericAlias(list, inner)
    return typing.Union[inner]  # noqa: UP007 - made of values


@cache
def _closed_dict(kind: Any) -> Any:
    hints = typing_extensions.get_type_hints(kind)
    fields = {
        name: (typing_extensions.Required if name in kind.__required_keys__ else typing_extensions.NotRequired)[closed(hint)]
        for name, hint in hints.items()
    }
    make: Any = typing_extensions.TypedDict
    made = make(kind.__name__, fields)
    made.__pydantic_config__ = CLOSED
    return made


def mutations(value: object) -> Iterable[tuple[str, object]]:
    """The value with one key misspelt, one at a time, at every place; each with the path of the key."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, {**{k: v for k, v in value.items() if k != key}, f"{key}_": inner}
            yield from ((f"{key}/{path}", {**value, key: changed}) for path, changed in mutations(inner))
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from ((f"{index}/{path}", [*value[:index], changed, *value[index + 1 :]]) for path, changed in mutations(inner))
