"""Pictures as files in one directory: `<digest>.view`, and `current` with the digest of the one that is served.

A file is written whole, synced and renamed before `current` names it, so a reader sees the old picture or the new one, also after a crash.
The digest is over the whole file: a reader takes nothing that is not what was published. There is no socket between the processes: a
look at `current` costs a gateway 2 us, four times a second.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from customhouse.adapters.privatefiles import make_private_directory

FORMAT = b'{"format":"customhouse-view-1"}'
"""The first line of each file."""

KEPT = 8
"""Pictures that are kept for gateways that are slow to change, and for people who ask what was served."""

_CURRENT = "current"
_BLOCKED = "blocked.json"


class FileViews:
    """Implements `ports.hosts.Views` for processes that share a directory. Raises `UnsafeKeyFile` if others can reach the directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seen_current: tuple[int, int] = (0, 0)
        self._digest = ""
        self._seen_blocked: tuple[int, int] = (0, 0)
        make_private_directory(directory)

    def publish(self, lines: Sequence[bytes]) -> str:
        """See `Views.publish`."""
        data = b"\n".join((FORMAT, *lines, b""))
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if not self._path(digest).exists():
            self._put(self._path(digest), data)
        self._put(self._directory / _CURRENT, digest.encode() + b"\n")
        self._prune(digest)
        return digest

    def current(self) -> str:
        """See `Views.current`."""
        path = self._directory / _CURRENT
        if (seen := _stamp(path)) != self._seen_current:
            self._digest = path.read_text("ascii").strip() if seen != (0, 0) else ""
            self._seen_current = seen
        return self._digest

    def read(self, digest: str) -> Iterator[bytes]:
        """See `Views.read`. In pieces: a copy of the whole would hold up calls beside it."""
        try:
            file = self._path(digest).open("rb")
        except OSError as missing:
            raise ValueError(f"The view {digest} cannot be read: {missing.strerror}.") from missing
        try:
            if "sha256:" + hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise ValueError(f"The file of the view {digest} is not what was published.")
            file.seek(0)
            if file.readline() != FORMAT + b"\n":
                raise ValueError(f"The view {digest} has a format that this release does not read.")
        except BaseException:
            file.close()
            raise
        return _lines(file)

    def block(self, entries: bytes) -> None:
        """See `Views.block`."""
        self._put(self._directory / _BLOCKED, entries)

    def blocked(self) -> bytes | None:
        """See `Views.blocked`."""
        path = self._directory / _BLOCKED
        if (seen := _stamp(path)) == self._seen_blocked:
            return None
        self._seen_blocked = seen
        return path.read_bytes()

    def _path(self, digest: str) -> Path:
        return self._directory / f"{digest.removeprefix('sha256:')}.view"

    def _put(self, path: Path, data: bytes) -> None:
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        with temporary.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _prune(self, current: str) -> None:
        others = [path for path in self._directory.glob("*.view") if path != self._path(current)]
        for path in sorted(others, key=lambda one: one.stat().st_mtime_ns)[: -(KEPT - 1)]:
            path.unlink(missing_ok=True)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    with file:
        yield from file


def _stamp(path: Path) -> tuple[int, int]:
    """Changes whenever the file is replaced; (0, 0) where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns
