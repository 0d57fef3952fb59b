"""Files that hold keys, and directories that are believed: made whole or not at all, and used only while nobody else can reach them.

Whoever reads such a file holds its key, and whoever writes into such a directory decides what is served, so one that others can read or
write is refused, not repaired.
"""

import os
import secrets
import stat
from pathlib import Path


class UnsafeKeyFile(Exception):
    """The file or directory cannot be used. The text says why and what to do."""


def write_once(path: Path, data: bytes) -> None:
    """Make a file that is there with all its content or not at all; whoever comes second keeps the first one's file."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = _draft(path, data)
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def replace(path: Path, data: bytes) -> None:
    """Put new content in the place of the old; a reader sees one or the other."""
    draft = _draft(path, data)
    try:
        draft.replace(path)
    except OSError:
        draft.unlink()
        raise
    _sync_directory(path.parent)


def read_private(path: Path, max_bytes: int) -> bytes:
    """The first `max_bytes` of the content. Raises OSError, and `UnsafeKeyFile` unless it is a plain file that we own alone."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        _require_private(path, os.fstat(file.fileno()))
        return file.read(max_bytes)


def make_private(path: Path) -> None:
    """Make an empty file that we own alone, unless there is one. Raises OSError, and `UnsafeKeyFile` if others can reach that one.

    A file that is there is not opened: closing it would drop the locks that this process holds on it (POSIX, fcntl).
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        _require_private(path, path.lstat())
    else:
        _sync_directory(path.parent)


def make_private_directory(path: Path) -> None:
    """Make a directory that we own alone, unless there is one. Raises OSError, and `UnsafeKeyFile` if others can reach that one."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise UnsafeKeyFile(f"{path} must be a directory that you own and nobody else can read or write: chmod 700.")


def _require_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise UnsafeKeyFile(f"{path} must be a file that you own and nobody else can read or write: chmod 600, or delete it.")


def _draft(path: Path, data: bytes) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return draft


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
