"""Strict reading of JSON objects that come from outside: token headers and claims, key sets, metadata.

Two readers that disagree about a token are a way around the check of one of them, so the rules are those of a call's body.
"""

from typing import Any

from customhouse.core.protocol.reading import read_json
from customhouse.core.refusal import Refused


def read_object(data: bytes) -> dict[str, Any]:
    """The JSON object in UTF-8 bytes.

    Raises ValueError, without a word of the data, for anything that is not exactly one object in strict JSON.
    """
    try:
        value = read_json(data)
    except Refused as broken:
        raise ValueError("not strict JSON") from broken
    if isinstance(value, dict):
        return value
    raise ValueError("not a JSON object")
