"""Files put in place in one step: a reader sees the old one or the new one, also after a crash."""

import contextlib
import os
import tempfile
from pathlib import Path


def put(path: Path, data: bytes) -> None:
    """Write a file of the deployment, readable by everybody, in the place of what was there. Raises `OSError`.

    A crash may still undo it until `settle` was called for the directory.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise


def settle(directory: Path) -> None:
    """Make what was put into a directory outlast a crash. Raises `OSError`."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
