"""The digest of an installed package: one value for everything that lies in its tree.

Covered: every path, whether a file is executable, the content of files, the target of symbolic links (never what they lead to), empty
directories. Not covered: owners, other mode bits and times, which differ between two installations of the same package.
Each entry is written with the length of its parts, so that no name can look like two entries.
"""

import enum
import hashlib
from collections.abc import Iterable

import msgspec

TREE_FORMULA = "customhouse-tree-1"
"""Part of what is hashed, so that a later formula never looks like a changed package."""


class Kind(enum.Enum):
    """What lies at a path."""

    DIRECTORY = b"d"
    FILE = b"f"
    EXECUTABLE = b"x"
    LINK = b"l"


class TreeEntry(msgspec.Struct, frozen=True):
    """One path below the root of a tree."""

    path: bytes
    """Relative to the root, with / between its parts."""
    kind: Kind
    content: bytes = b""
    """The SHA-256 of a file, the target of a link, nothing of a directory."""


def tree_digest(entries: Iterable[TreeEntry]) -> str:
    """`sha256:` and 64 hexadecimal digits; the order of the entries does not matter. Raises `ValueError` for a path that is there twice."""
    hashed = hashlib.sha256(f"{TREE_FORMULA}\n".encode())
    before: bytes | None = None
    for entry in sorted(entries, key=lambda one: one.path):
        if entry.path == before:
            raise ValueError("a path stands twice in one tree")
        before = entry.path
        hashed.update(b"%b%d:%b%d:%b\n" % (entry.kind.value, len(entry.path), entry.path, len(entry.content), entry.content))
    return f"sha256:{hashed.hexdigest()}"
