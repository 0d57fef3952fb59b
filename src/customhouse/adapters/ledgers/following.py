"""Read entries for people: the last few, and those that come while somebody watches.

Nothing is verified here and nothing is trusted: a line that is not an entry is counted and left out. An incomplete last
line is one that is being written; it is read when it is whole.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from customhouse.adapters.ledgers.directory import segment_paths
from customhouse.adapters.ledgers.frames import MAX_ENTRY_BYTES, MAX_HEAD_BYTES, Broken, Entry, read_entry, read_record
from customhouse.core.record import Record


class Seen(NamedTuple):
    """An entry with its record."""

    entry: Entry
    record: Record


class Follower:
    """Stands somewhere in a ledger and reads on from there."""

    def __init__(self, directory: Path) -> None:
        self.unreadable = 0
        """Lines that were neither a head nor an entry."""
        self._directory = directory
        self._path: Path | None = None
        self._offset = 0

    def last(self, count: int, wanted: Callable[[Record], bool]) -> list[Seen]:
        """The last entries that are wanted, oldest first; stands at the end of the ledger afterwards."""
        paths = segment_paths(self._directory)[::-1]
        if not paths:
            return []
        newest, *older = paths
        self._path, self._offset = newest, 0
        found = deque((seen for seen in self._rest(newest) if wanted(seen.record)), maxlen=count)
        end = self._offset
        for path in older:
            if len(found) == count:
                break
            self._offset = 0
            earlier = deque((seen for seen in self._rest(path) if wanted(seen.record)), maxlen=count - len(found))
            found = deque((*earlier, *found), maxlen=count)
        self._offset = end
        return list(found)

    def more(self) -> Iterator[Seen]:
        """What was written since."""
        for path in itertools.dropwhile(lambda path: self._path is not None and path < self._path, segment_paths(self._directory)):
            if path != self._path:
                self._path, self._offset = path, 0
            yield from self._rest(path)

    def _rest(self, path: Path) -> Iterator[Seen]:
        with path.open("rb") as file:
            self._offset = min(self._offset, path.stat().st_size)
            file.seek(self._offset)
            while (line := file.readline(MAX_ENTRY_BYTES if self._offset else MAX_HEAD_BYTES)).endswith(b"\n"):
                is_head = self._offset == 0
                self._offset += len(line)
                if not is_head:
                    yield from self._seen(line)

    def _seen(self, line: bytes) -> Iterator[Seen]:
        try:
            entry = read_entry(line)
            yield Seen(entry, read_record(entry.body))
        except Broken:
            self.unreadable += 1
