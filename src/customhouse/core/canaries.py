"""Markers that an operator planted where nobody should read them, looked for in what callers send.

Threat class T14: whoever carries such a marker out has read what it lay in. It is found as it is, whatever the case of its letters, and
inside of base64 (both alphabets, at any of the three offsets) and hexadecimal text, which is how data hides in an argument. What was
encrypted or compressed is not found.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Final

from customhouse.core.refusal import Reason, Refused
from customhouse.core.scanning import Signs

MIN_CHARACTERS: Final = 12
"""Shorter ones would turn up by chance."""

_MARKER: Final = re.compile(rf"[0-9A-Za-z_-]{{{MIN_CHARACTERS},256}}")


class Canaries:
    """The markers of a deployment. Raises `ValueError` for one that is too short or could stand in JSON in two ways."""

    def __init__(self, markers: Iterable[str]) -> None:
        known = tuple(markers)
        for position, marker in enumerate(known, 1):
            if _MARKER.fullmatch(marker) is None:
                raise ValueError(f"Canary {position} is not {MIN_CHARACTERS} to 256 letters, digits, hyphens and underscores.")
        self._each = tuple(Signs(_forms(marker)) for marker in known)
        self._any = Signs(form for marker in known for form in _forms(marker))

    def check(self, canonical: bytes) -> None:
        """Raises `Refused` CANARY_FOUND."""
        if position := self.found(canonical):
            raise Refused(Reason.CANARY_FOUND, note=f"canary {position}")

    def found(self, canonical: bytes) -> int:
        """The position, from 1, of the first marker in canonical JSON; 0 if there is none."""
        if not self._each:
            return 0
        text = str(canonical, "utf-8")
        if not self._any.found(text):
            return 0
        return next(position for position, signs in enumerate(self._each, 1) if signs.found(text))


NO_CANARIES: Final = Canaries(())


def _forms(marker: str) -> Iterator[str]:
    raw = marker.encode()
    yield f"(?i:{re.escape(marker)})"
    yield f"(?i:{raw.hex()})"
    for offset in range(3):
        # The first and the last digits also depend on what stands around the marker.
        encoded = b64encode(bytes(offset) + raw).decode().rstrip("=")
        inner = encoded[(0, 2, 3)[offset] : len(encoded) if (offset + len(raw)) % 3 == 0 else -1]
        yield re.escape(inner)
        yield re.escape(inner.translate(_URL_SAFE))


_URL_SAFE: Final = str.maketrans("+/", "-_")
