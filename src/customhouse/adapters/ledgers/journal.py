"""Append batches of records to segments, all or nothing, and stand again after the disk failed.

One thread at a time uses a journal. `commit` returns when the batch is written (and synced, where that was asked) or
raises OSError, and then no record of the batch is in the ledger. What the failure left behind is mended before the next
batch is written:

- A write that failed may have left a part of the batch: the file is cut back to the last accepted line.
- After a failed fdatasync nobody knows which of the unsynced pages are on disk: Linux marks them clean, and a second
  fdatasync would succeed without having written them (fsync(2), errors; Rebello et al., USENIX ATC 2020). So the segment
  is cut back to what the last good sync covered, read again from the device and checked, and closed. A new segment
  continues the chain from there. It is born with the records that were accepted but not synced, which are kept in memory
  for this. If the device does not give back what it had synced, the journal refuses to go on.

An unborn segment is written aside, synced and renamed, so only the last lines of the last segment can ever be torn.
"""

import enum
import errno
import itertools
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from customhouse.adapters.ledgers.directory import LedgerUnusable, segment_path, segment_paths, sync_directory
from customhouse.adapters.ledgers.disk import Disk
from customhouse.adapters.ledgers.fitting import shorten
from customhouse.adapters.ledgers.frames import (
    FRAME_BYTES,
    GENESIS,
    MAX_RECORD_BYTES,
    Broken,
    Head,
    Tip,
    entry_lines,
    head_line,
    read_record,
)
from customhouse.adapters.ledgers.verifying import Faulty, SegmentReader, check_links
from customhouse.core.record import Record
from customhouse.ports.traffic import Clock

Draft = tuple[Record, bytes]
"""A record and the bytes of it that are written."""

SYNC_EVERY_BYTES = 2 * 1024 * 1024
"""Records that need no sync are synced at the latest with this many bytes: it bounds what a power failure can take."""
MAX_BATCH_BYTES = 1024 * 1024
"""A batch is closed when it has grown past this."""
_MOST_UNSYNCED_BYTES = SYNC_EVERY_BYTES + MAX_BATCH_BYTES + MAX_RECORD_BYTES + FRAME_BYTES
_OPEN_STRING_CHARACTERS = 200


class Need(enum.Enum):
    """What has to be done before the next batch can be written."""

    NOTHING = "nothing"
    CUT = "cut"
    """A part of a refused batch may stand behind the accepted lines."""
    ROTATE = "rotate"
    """The segment is full and synced; its successor is not there yet, or not for sure."""
    REPLACE = "replace"
    """A sync failed: the segment ends at the last good sync, and a successor carries the rest."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the current segment: the end of a line, and the tip after it."""

    offset: int
    tip: Tip


@dataclass(frozen=True, slots=True)
class Segment:
    """The file that is appended to."""

    path: Path
    descriptor: int
    head: Head


@dataclass(frozen=True, slots=True)
class Recovery:
    """What opening found from a process that did not end well."""

    set_aside: Path | None = None
    """The torn tail that was cut off."""
    torn_bytes: int = 0
    orphans: tuple[str, ...] = ()
    """Call ids of intents without a closing record; each is closed as `unknown`."""


class Journal:
    """The segments of one directory, whose lock the caller holds."""

    def __init__(self, directory: Path, *, segment_max_bytes: int, clock: Clock, disk: Disk) -> None:
        """Take up where the last process ended. Raises `LedgerUnusable`, or OSError."""
        self._directory = directory
        self._segment_max_bytes = segment_max_bytes
        self._clock = clock
        self._disk = disk
        self._need = Need.NOTHING
        self._open: dict[str, Record] = {}
        self._unsynced: list[bytes] = []
        paths = segment_paths(directory)
        self._segment, self._synced, self.recovery = self._resume(paths) if paths else self._found()
        self._end = self._synced

    @property
    def open_intents(self) -> tuple[Record, ...]:
        """Intents without a closing record, oldest first."""
        return tuple(self._open.values())

    def is_ready_for(self, size_bytes: int) -> bool:
        """Whether lines of this size are one write: nothing is to be mended, no sync is due and the segment is not full."""
        end = self._end.offset + size_bytes
        return self._need is Need.NOTHING and end - self._synced.offset < SYNC_EVERY_BYTES and end <= self._segment_max_bytes

    def commit(self, drafts: Sequence[Draft], *, durable: bool) -> None:
        """Append the records, and sync them if `durable`. Raises OSError, and then none of them is in the ledger."""
        self._mend()
        bodies = [body for _, body in drafts]
        lines, tip = entry_lines(self._end.tip, bodies)
        if self._is_full_for(len(lines)):
            self._sync(self._end)
            self._need = Need.ROTATE
            self._mend()
            lines, tip = entry_lines(self._end.tip, bodies)
        end = Mark(self._end.offset + len(lines), tip)
        self._write(lines)
        synced = durable or end.offset - self._synced.offset >= SYNC_EVERY_BYTES
        if synced:
            self._sync(end)
        else:
            self._unsynced.extend(bodies)
        self._end = end
        for record, _ in drafts:
            self._join(record)

    def close(self) -> None:
        """Let go of the file; what is not synced stays with the operating system."""
        os.close(self._segment.descriptor)

    def _is_full_for(self, size_bytes: int) -> bool:
        """A segment has at least one batch, however small the limit."""
        return self._end.offset + size_bytes > self._segment_max_bytes and self._end.tip.sequence >= self._segment.head.first

    def _write(self, lines: bytes) -> None:
        self._need = Need.CUT
        try:
            self._disk.write(self._segment.descriptor, lines)
        except OSError:
            with suppress(OSError):  # else the next batch tries again
                self._mend()
            raise
        self._need = Need.NOTHING

    def _sync(self, end: Mark) -> None:
        self._need = Need.REPLACE
        self._disk.sync_data(self._segment.descriptor)
        self._need = Need.NOTHING
        self._synced = end
        self._unsynced.clear()

    def _mend(self) -> None:
        if self._need is Need.CUT:
            self._disk.cut(self._segment.descriptor, self._end.offset)
        elif self._need is Need.ROTATE:
            self._begin_segment()
        elif self._need is Need.REPLACE:
            self._disk.cut(self._segment.descriptor, self._synced.offset)
            self._disk.forget(self._segment.descriptor)
            self._read_back()
            self._begin_segment()
        self._need = Need.NOTHING

    def _read_back(self) -> None:
        """Prove that the device holds everything that was synced."""
        with os.fdopen(os.dup(self._segment.descriptor), "rb") as file:
            file.seek(0)
            try:
                reader = SegmentReader(self._segment.path, file)
                for _ in reader:
                    pass
            except Faulty as faulty:
                raise OSError(errno.EIO, str(faulty)) from faulty
        if reader.tip != self._synced.tip:
            raise OSError(errno.EIO, f"{self._segment.path.name} lost entries that were synced")

    def _begin_segment(self) -> None:
        """Continue in a new segment from what is synced; it holds the unsynced records from birth.

        A segment that keeps no entry would share the name of its successor, and is replaced by it.
        """
        before, synced = self._segment, self._synced.tip
        previous = synced.chain.hex() if synced.sequence >= before.head.first else before.head.previous
        head = Head(first=synced.sequence + 1, at=self._clock.now(), previous=previous, open=self._open_shortened())
        segment, mark = self._create(head, self._unsynced)
        os.close(before.descriptor)
        self._segment, self._synced, self._end = segment, mark, mark
        self._unsynced.clear()

    def _open_shortened(self) -> tuple[Record, ...]:
        return tuple(shorten(intent, _OPEN_STRING_CHARACTERS) for intent in self._open.values())

    def _create(self, head: Head, bodies: Sequence[bytes]) -> tuple[Segment, Mark]:
        first_line, tip = head_line(head)
        lines, tip = entry_lines(tip, bodies)
        path = segment_path(self._directory, head.first)
        descriptor = self._disk.create(path, first_line + lines)
        return Segment(path, descriptor, head), Mark(len(first_line) + len(lines), tip)

    def _join(self, record: Record) -> None:
        if record.kind == "intent":
            self._open[record.call_id] = record
        elif record.kind == "closing":
            self._open.pop(record.call_id, None)

    def _found(self) -> tuple[Segment, Mark, Recovery]:
        head = Head(first=1, at=self._clock.now(), previous=GENESIS.hex())
        return *self._create(head, ()), Recovery()

    def _resume(self, paths: Sequence[Path]) -> tuple[Segment, Mark, Recovery]:
        """Check the last segment whole and the links of all, and cut off what a crash left behind the last whole line.

        Every intent that is open stands in the head of the last segment or after it: a head carries those that were open
        when its segment began, and its hash is part of the chain. So no older segment has to be searched.
        """
        path = paths[-1]
        try:
            check_links(paths)
            with path.open("rb") as file:
                reader = SegmentReader(path, file)
                fault = self._replay(reader)
        except Faulty as faulty:
            raise LedgerUnusable(_damaged(faulty)) from faulty
        except Broken as broken:
            raise LedgerUnusable(f"The ledger was written by another version: {path.name}: {broken}.") from broken
        torn_bytes = path.stat().st_size - reader.offset
        if fault is not None and torn_bytes > _MOST_UNSYNCED_BYTES:
            raise LedgerUnusable(_damaged(fault)) from fault
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        aside = self._set_aside(path, descriptor, reader.offset) if torn_bytes else None
        self._disk.sync_data(descriptor)
        mark = Mark(reader.offset, reader.tip)
        return Segment(path, descriptor, reader.head), mark, Recovery(aside, torn_bytes, tuple(self._open))

    def _replay(self, reader: SegmentReader) -> Faulty | None:
        """Find the open intents; returns the fault at which the segment ends, if it does not end well."""
        self._open.update((intent.call_id, intent) for intent in reader.head.open)
        try:
            for entry in reader:
                self._join(read_record(entry.body))
        except Faulty as faulty:
            return faulty
        return None

    def _set_aside(self, path: Path, descriptor: int, offset: int) -> Path:
        with path.open("rb") as file:
            file.seek(offset)
            tail = file.read()
        aside = _free_name(path, offset)
        os.close(self._disk.create(aside, tail))
        self._disk.cut(descriptor, offset)
        sync_directory(path.parent)
        return aside


def _free_name(path: Path, offset: int) -> Path:
    """`<segment>.torn-<offset>`, with a counter where an earlier opening already set a tail of that place aside."""
    plain = f"{path.name}.torn-{offset}"
    names = itertools.chain([plain], (f"{plain}.{count}" for count in itertools.count(2)))
    return next(candidate for candidate in map(path.with_name, names) if not candidate.exists())


def _damaged(faulty: Faulty) -> str:
    remedy = "Run `customhouse audit verify`, keep a copy, and move the ledger away to begin a new one."
    return f"The ledger is damaged in a way that no crash explains: {faulty}. {remedy}"
