"""The ledger's directory: its segments in order, its modes, and the lock that lets one process append.

The lock is flock(2) on the file `lock`: it goes with the process that holds it, however that ends.
"""

import fcntl
import os
import re
import time
from pathlib import Path

_SEGMENT = re.compile(r"[0-9]{20}\.seg")
_LOCK_ATTEMPTS = 20
_LOCK_PAUSE_SECONDS = 0.01


class LedgerUnusable(OSError):
    """The ledger cannot be opened; the message says why and what to do."""


def segment_path(directory: Path, first: int) -> Path:
    """The file of the segment whose first entry has this sequence number."""
    return directory / f"{first:020d}.seg"


def segment_paths(directory: Path) -> tuple[Path, ...]:
    """All segments, oldest first."""
    return tuple(sorted(path for path in directory.iterdir() if _SEGMENT.fullmatch(path.name)))


def torn_paths(directory: Path) -> tuple[Path, ...]:
    """What earlier openings cut off and set aside."""
    return tuple(sorted(directory.glob("*.seg.torn-*")))


def prepare(directory: Path) -> None:
    """Make the directory, for its owner alone, and clear what a crash left of an unborn segment."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    sync_directory(directory.parent)
    for unborn in directory.glob("*.new"):
        unborn.unlink()


def sync_directory(directory: Path) -> None:
    """Make created, renamed and removed names of the directory last."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock(directory: Path) -> int:
    """Take the directory for this process; the lock holds until the returned descriptor is closed.

    Tried for a fifth of a second, since `is_locked` of another process holds the lock for an instant.
    """
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(_LOCK_ATTEMPTS):
        if _locked_now(descriptor, fcntl.LOCK_EX):
            return descriptor
        time.sleep(_LOCK_PAUSE_SECONDS)
    os.close(descriptor)
    raise LedgerUnusable(f"Another process writes the ledger in {directory}. Stop it, or give this one a data directory of its own.")


def is_locked(directory: Path) -> bool:
    """Whether a process has the ledger open for writing."""
    try:
        descriptor = os.open(directory / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _locked_now(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _locked_now(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
