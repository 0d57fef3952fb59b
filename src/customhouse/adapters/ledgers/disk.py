"""The few calls that change a segment on disk, in one place, so that tests can make each of them fail.

A write is complete or an error: a short write is continued. `sync_data` is fdatasync(2): the data and the length of the
file are on stable storage when it returns.
"""

import os
from pathlib import Path

from customhouse.adapters.ledgers.directory import sync_directory


class Disk:
    """The real one."""

    def write(self, descriptor: int, data: bytes) -> None:
        """Append all of the data."""
        rest = memoryview(data)
        while rest:
            rest = rest[self.write_some(descriptor, rest) :]

    def write_some(self, descriptor: int, data: memoryview) -> int:
        return os.write(descriptor, data)

    def sync_data(self, descriptor: int) -> None:
        os.fdatasync(descriptor)

    def cut(self, descriptor: int, size: int) -> None:
        """Shorten the file to `size` bytes, for good."""
        os.ftruncate(descriptor, size)
        os.fsync(descriptor)

    def forget(self, descriptor: int) -> None:
        """Drop what the page cache holds of the file, so that the next read comes from the device."""
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def create(self, path: Path, content: bytes) -> int:
        """A new file with this content under its name, whole or not at all; the descriptor appends and reads."""
        unborn = path.with_name(path.name + ".new")
        descriptor = os.open(unborn, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            self.write(descriptor, content)
            os.fsync(descriptor)
            unborn.replace(path)
            sync_directory(path.parent)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor
