"""`key=value` words of a command line as the JSON arguments of a tool, typed by its listed input schema.

Source: JSON Schema 2020-12, `type`, `anyOf`, `oneOf` and local `$ref`. A schema that says nothing about a key leaves it to the value: JSON
where it is JSON, else text.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_LONGEST_REFERENCE_CHAIN = 16


def typed(pairs: Sequence[str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that the words stand for. A key may come again where its value is a list.

    Raises `ValueError` with a sentence for the terminal.
    """
    words: dict[str, list[str]] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ValueError(f"{pair!r} is not of the form key=value.")
        words.setdefault(key, []).append(value)
    return {key: _argument(key, values, _shape(_at(schema, ("properties", key)), schema)) for key, values in words.items()}


def _argument(key: str, values: list[str], shape: Mapping[str, Any]) -> Any:
    kinds = _kinds(shape)
    if "array" in kinds and not (len(values) == 1 and values[0].startswith("[")):
        items = shape.get("items", {})
        return [_value(key, value, _kinds(items if isinstance(items, dict) else {})) for value in values]
    if len(values) > 1:
        raise ValueError(f"{key!r} is given more than once and is not a list.")
    return _value(key, values[0], kinds)


def _value(key: str, text: str, kinds: Sequence[str]) -> Any:
    for kind in kinds:
        try:
            return _READERS[kind](text)
        except ValueError:
            continue
    raise ValueError(f"{key!r} is {_article(' or '.join(kinds))}, and {text!r} is not.")


def _shape(schema: Any, root: Mapping[str, Any]) -> dict[str, Any]:
    """A property's schema with local references followed and alternatives laid side by side."""
    for _ in range(_LONGEST_REFERENCE_CHAIN):
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        if not isinstance(reference, str) or not reference.startswith("#/"):
            break
        schema = _at(root, [step.replace("~1", "/").replace("~0", "~") for step in reference[2:].split("/")])
    if not isinstance(schema, dict):
        return {}
    alternatives = [_shape(each, root) for word in ("anyOf", "oneOf") for each in schema.get(word, ())] if "type" not in schema else []
    if not alternatives:
        return schema
    items: object = next((each["items"] for each in alternatives if "items" in each), {})
    return {"type": [kind for each in alternatives for kind in _kinds(each)], "items": items}


def _at(root: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        root = root.get(step) if isinstance(root, dict) else None
    return root


def _kinds(shape: Mapping[str, Any]) -> tuple[str, ...]:
    """The types a value may have, text last, since every word is text."""
    named = shape.get("type", ())
    listed = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    known = [kind for kind in listed if isinstance(kind, str) and kind in _READERS]
    return tuple(sorted(dict.fromkeys(known), key=lambda kind: kind == "string")) or ("JSON value", "string")


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[_one_of(text, "true", "false")]


def _null(text: str) -> None:
    _one_of(text, "null")


def _one_of(text: str, *words: str) -> str:
    if text not in words:
        raise ValueError(text)
    return text


def _json_of(*kinds: type) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
        if kinds and type(value) not in kinds:
            raise ValueError(text)
        return value

    return read


def _no_constant(word: str) -> None:
    """Refuse NaN and the infinities: they are no JSON (RFC 8259, section 6)."""
    raise ValueError(word)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _article(words: str) -> str:
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


_READERS: Mapping[str, Callable[[str], Any]] = {
    "boolean": _boolean,
    "integer": _json_of(int),
    "number": _json_of(int, float),
    "null": _null,
    "object": _json_of(dict),
    "array": _json_of(list),
    "JSON value": _json_of(),
    "string": str,
}
"""How a word is read as a value of each JSON type; a `ValueError` says that it is none."""
