"""Every effective setting and where it came from, for people and for programs."""

from typing import NamedTuple

import msgspec

from customhouse.config.findings import shown
from customhouse.config.load import Loaded, leaves


class Row(NamedTuple):
    """One effective setting."""

    key: str
    value: str
    """As JSON, so that text and numbers can be told apart. Secrets are references and stay so."""
    origin: str


def explain(loaded: Loaded) -> list[Row]:
    """All effective settings in the order of the tree."""
    rows = ((shown(key), value) for key, value in leaves(loaded.settings))
    return [Row(key, msgspec.json.encode(value).decode(), loaded.origins[key]) for key, value in rows]
