"""An installed tree on disk, read into its digest.

Symbolic links are never followed, neither at the root nor below it; a file is opened without following either, so one that is
swapped for a link while the tree is read is an error and not somebody else's content.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from customhouse.core.launch import Launch
from customhouse.core.packagetree import Kind, TreeEntry, tree_digest
from customhouse.core.refusal import Reason, Refused


def digest_of_tree(root: str) -> str:
    """The digest of everything below a directory. Raises `OSError`, also for what is neither file, directory nor link."""
    return tree_digest(_entries(root))


def verify(launch: Launch) -> None:
    """Compare what is installed with what the definition names. Raises `Refused` PACKAGE_CHANGED."""
    try:
        found = digest_of_tree(launch.installed)
    except OSError as error:
        note = f"{error.filename or launch.installed}: {error.strerror}"
        raise Refused(Reason.PACKAGE_CHANGED, {"server": launch.server}, note=note) from None
    if found != launch.digest:
        note = f"{launch.installed} has {found}, the definition names {launch.digest}"
        raise Refused(Reason.PACKAGE_CHANGED, {"server": launch.server}, note=note)


def outward_links(root: str) -> tuple[str, ...]:
    """Paths of the links that lead out of the tree, as `path -> target`: the digest does not cover what they lead to."""
    inside = os.path.realpath(root)
    found = []
    for entry in _entries(root):
        if entry.kind is Kind.LINK:
            leads_to = os.path.realpath(Path(root) / os.fsdecode(entry.path))
            if os.path.commonpath((inside, leads_to)) != inside:
                found.append(f"{os.fsdecode(entry.path)} -> {os.fsdecode(entry.content)}")
    return tuple(sorted(found))


def _entries(root: str) -> Iterator[TreeEntry]:
    top = Path(root)
    if not stat.S_ISDIR(top.lstat().st_mode):
        raise NotADirectoryError(0, "not a directory", root)
    waiting = [top]
    while waiting:
        with os.scandir(waiting.pop()) as listed:
            for found in listed:
                full = Path(found.path)
                path = os.fsencode(full.relative_to(top))
                if found.is_symlink():
                    yield TreeEntry(path, Kind.LINK, os.fsencode(full.readlink()))
                elif found.is_dir(follow_symlinks=False):
                    waiting.append(full)
                    yield TreeEntry(path, Kind.DIRECTORY)
                else:
                    yield _file(full, path)


def _file(full: Path, path: bytes) -> TreeEntry:
    # Without O_NONBLOCK, opening a named pipe that nobody writes to would wait forever.
    descriptor = os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(0, "neither a file, a directory nor a link", str(full))
        kind = Kind.EXECUTABLE if mode & stat.S_IXUSR else Kind.FILE
        return TreeEntry(path, kind, hashlib.file_digest(file, "sha256").digest())
