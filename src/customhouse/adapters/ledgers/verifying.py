"""Read segments and prove that nothing in them was changed: what `audit verify` runs, and every opening on the last segment.

A chain without a key shows every change that does not rewrite all that follows it. Who notes the last chain hash down
outside the machine can later prove that nothing before it was rewritten or cut off (`expected`).
"""

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from customhouse.adapters.ledgers.directory import is_locked, segment_paths, torn_paths
from customhouse.adapters.ledgers.frames import (
    BEGINNING,
    MAX_ENTRY_BYTES,
    MAX_HEAD_BYTES,
    Broken,
    Entry,
    Head,
    Tip,
    follow,
    read_entry,
    read_head,
    read_record,
)


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing that is wrong."""

    path: Path
    offset: int
    """Bytes from the start of the file to the line that is wrong."""
    sentence: str
    torn: bool = False
    """The file ends inside this line: what an interrupted write leaves."""


class Faulty(Exception):
    """A segment is not what the ledger wrote."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.path.name}, byte {fault.offset}: {fault.sentence}")
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Verification:
    """What a walk over all segments found."""

    segments: int = 0
    entries: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    tip: Tip = BEGINNING
    fault: Fault | None = None
    in_progress: bool = False
    """The last line is being written by a running gateway."""
    set_aside: tuple[Path, ...] = ()
    """Torn tails that earlier openings cut off."""


class SegmentReader:
    """One segment, line by line; `tip` and `offset` stand after the last line that was right."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.offset = 0
        self._file = file
        self._line = b""
        self.head, self.tip = self._read_head()
        self.offset = len(self._line)

    def __iter__(self) -> Iterator[Entry]:
        """The entries, each checked; raises `Faulty` at the first that is wrong."""
        while line := self._next(MAX_ENTRY_BYTES):
            try:
                entry = read_entry(line)
                self.tip = follow(self.tip, entry)
            except Broken as broken:
                raise self._faulty(str(broken)) from broken
            self.offset += len(line)
            yield entry

    def _read_head(self) -> tuple[Head, Tip]:
        try:
            head, tip = read_head(self._next(MAX_HEAD_BYTES))
        except Broken as broken:
            raise self._faulty(str(broken)) from broken
        if self.path.stem != f"{head.first:020d}":
            raise self._faulty(f"the head belongs to the segment that begins with entry {head.first}")
        return head, tip

    def _next(self, max_bytes: int) -> bytes:
        self._line = self._file.readline(max_bytes)
        if self._line and not self._line.endswith(b"\n"):
            torn = len(self._line) < max_bytes
            raise self._faulty("the file ends inside this line" if torn else "the line is longer than an entry can be", torn=torn)
        return self._line

    def _faulty(self, sentence: str, *, torn: bool = False) -> Faulty:
        return Faulty(Fault(self.path, self.offset, sentence, torn))


def verify(directory: Path, *, expected: Mapping[int, str] | None = None, begin: str = "") -> Verification:
    """Walk everything and stop at the first fault.

    `expected`: sequence number to the chain hash it had when somebody noted it down. `begin`: the chain hash before the
    first segment that is still here, where older ones were archived; without it the ledger must begin with entry 1.
    """
    walk = _Walk(dict(expected or {}), begin)
    paths = segment_paths(directory)
    fault = None
    for path in paths:
        try:
            walk.segment(path)
        except Faulty as faulty:
            fault = faulty.fault
            break
    else:
        fault = walk.unmet(paths[-1] if paths else directory)
    live = fault is not None and fault.torn and fault.path == paths[-1] and is_locked(directory)
    return Verification(
        walk.segments,
        walk.entries,
        walk.first_at,
        walk.last_at,
        walk.tip,
        walk.unmet(paths[-1]) if live else fault,
        live,
        torn_paths(directory),
    )


@dataclass(slots=True)
class _Walk:
    """The state of a walk: what was seen and what is still expected."""

    expected: dict[int, str]
    begin: str
    segments: int = 0
    entries: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    tip: Tip = BEGINNING

    def segment(self, path: Path) -> None:
        with path.open("rb") as file:
            reader = SegmentReader(path, file)
            self._link(path, reader.head)
            self.tip = reader.tip
            self.segments += 1
            offset = reader.offset
            for entry in reader:
                self._entry(path, offset, entry, reader.tip)
                offset = reader.offset

    def unmet(self, path: Path) -> Fault | None:
        """The first expectation that the walk did not come by."""
        for sequence in sorted(self.expected):
            return Fault(
                path,
                path.stat().st_size,
                f"entry {sequence} is expected, and no entry has that number; the last one is {self.tip.sequence}",
            )
        return None

    def _link(self, path: Path, head: Head) -> None:
        if self.segments == 0 and self.begin:
            if head.previous != self.begin:
                raise Faulty(Fault(path, 0, "the first segment does not continue the given chain hash"))
        elif (problem := link_problem(self.tip, head)) is not None:
            raise Faulty(Fault(path, 0, problem))

    def _entry(self, path: Path, offset: int, entry: Entry, tip: Tip) -> None:
        try:
            record = read_record(entry.body)
        except Broken as broken:
            raise Faulty(Fault(path, offset, str(broken))) from broken
        if self.expected.pop(entry.sequence, entry.chain) != entry.chain:
            raise Faulty(
                Fault(path, offset, f"entry {entry.sequence} does not have the expected chain hash: the ledger was rewritten up to here")
            )
        if self.entries == 0:
            self.first_at = record.at
        self.entries += 1
        self.last_at = record.at
        self.tip = tip


def link_problem(before: Tip, head: Head) -> str | None:
    """What is wrong where a segment follows another, in one sentence; None if nothing is."""
    if head.first != before.sequence + 1:
        return f"the segment begins with entry {head.first} where entry {before.sequence + 1} belongs"
    if head.previous != before.chain.hex():
        return "the segment does not continue the one before it"
    return None


def check_links(paths: Sequence[Path]) -> None:
    """Hold every head against the last line of the segment before it; entries in between are left to `verify`."""
    for earlier, later in itertools.pairwise(paths):
        tip = _last_tip(earlier)
        with later.open("rb") as file:
            problem = link_problem(tip, SegmentReader(later, file).head)
        if problem is not None:
            raise Faulty(Fault(later, 0, problem))


def _last_tip(path: Path) -> Tip:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - 2 * MAX_ENTRY_BYTES)
        file.seek(start)
        line = file.read().splitlines(keepends=True)[-1:]
    try:
        entry = read_entry(b"".join(line))
    except Broken as broken:
        raise Faulty(Fault(path, size - len(b"".join(line)), f"the last line: {broken}")) from broken
    return Tip(entry.sequence, bytes.fromhex(entry.chain))
