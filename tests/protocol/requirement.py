"""What one requirement of the protocol is, as a row of the table in `requirements.py`."""

from dataclasses import dataclass
from typing import Final

from customhouse.core.protocol.revisions import LEGACY_REVISIONS, MODERN_REVISIONS

MODERN: Final = MODERN_REVISIONS
LEGACY: Final = LEGACY_REVISIONS
BOTH: Final = MODERN + LEGACY
HTTP: Final = tuple(revision for revision in LEGACY if revision != "2024-11-05")
"""Legacy revisions with one endpoint for everything; the oldest has a pair of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One requirement: shown by tests, or waiting."""

    name: str
    says: str
    """What holds; of a requirement that waits, what will."""
    clause: str
    """A clause without another revision before it is one of MCP 2026-07-28."""
    revisions: tuple[str, ...]
    tests: tuple[str, ...] = ()
    """Below `tests/`: file, two colons, function. Each of them has the name of the requirement in a comment."""
    waits_for: str = ""
    """The capability without which it cannot hold, in the words of the manual's page of limits."""
    lacks: str = ""
    """Of a requirement that tests show: the capability that a part of it waits for, in the same words."""
