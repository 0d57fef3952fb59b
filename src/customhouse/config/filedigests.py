"""Digests of files that were read before, so that a file is read again only if it changed: `<data_dir>/plan-cache`.

It saves work and decides nothing: whatever is missing, unreadable or of another release is read anew. A file counts as unchanged if path,
size, inode, modification time and change time are what they were, and both times were two seconds old when it was read, so that a change
in the same tick of the clock cannot hide (the racy index of git). The change time cannot be set by a program that keeps the other one.
"""

import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from customhouse import __version__

FILE: Final = "plan-cache"
_FORMULA: Final = f"customhouse-plan-cache-1 {__version__}"
"""Another release may read the same file differently."""
_SETTLED_SECONDS: Final = 2
"""The coarsest time stamps of file systems in use."""

Stamp = tuple[int, int, int, int]
"""Size, inode, modification time and change time, both in nanoseconds; zeros for a file that is not there."""
ABSENT: Final[Stamp] = (0, 0, 0, 0)


class _Kept(msgspec.Struct, frozen=True):
    stamps: tuple[Stamp, ...]
    digest: str


class _Lying(msgspec.Struct, frozen=True):
    formula: str
    kept: dict[str, _Kept]


class FileDigests:
    """What one run knows from the run before, and leaves to the next one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._before = _read(path) if path else {}
        self._now: dict[str, _Kept] = {}

    def known(self, name: str, stamps: Sequence[Stamp]) -> str:
        """The digest that belongs to files with these stamps; empty if it is not known."""
        kept = self._before.get(name)
        if kept is None or kept.stamps != tuple(stamps):
            return ""
        self._now[name] = kept
        return kept.digest

    def keep(self, name: str, stamps: Sequence[Stamp], digest: str, now: float) -> None:
        """Remember a digest of files that had these stamps before and after they were read; `now` is Unix seconds."""
        settled = (now - _SETTLED_SECONDS) * 1e9
        if all(max(stamp[2:]) < settled for stamp in stamps):
            self._now[name] = _Kept(tuple(stamps), digest)

    def save(self) -> None:
        """Leave what is known to the next run, where there is a directory to leave it in; a run that cannot loses only time."""
        if self._path is None or self._now == self._before:
            return
        with contextlib.suppress(OSError):
            descriptor, temporary = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(_Lying(_FORMULA, self._now)))
            Path(temporary).replace(self._path)


def stamp_of(path: Path) -> Stamp:
    """The stamp of a file. Raises `OSError` for one that cannot be looked at."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ABSENT
    return found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def _read(path: Path) -> dict[str, _Kept]:
    try:
        lying = msgspec.json.decode(path.read_bytes(), type=_Lying)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return lying.kept if lying.formula == _FORMULA else {}
