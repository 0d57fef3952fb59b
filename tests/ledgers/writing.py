"""What the tests of the ledger write with: a clock that moves by itself, short records, and a disk that fails on demand."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from customhouse.adapters.ledgers.directory import segment_paths
from customhouse.adapters.ledgers.disk import Disk
from customhouse.adapters.ledgers.fitting import fitting_body
from customhouse.adapters.ledgers.journal import Draft
from customhouse.adapters.ledgers.segments import SegmentLedger
from customhouse.adapters.ledgers.verifying import SegmentReader
from customhouse.core.record import Record

BIG_SEGMENT_BYTES = 64 * 1024 * 1024


class StepClock:
    """A second passes whenever somebody looks."""

    def __init__(self) -> None:
        self._now = 1_790_000_000.0

    def now(self) -> float:
        self._now += 1.0
        return self._now

    def monotonic(self) -> float:
        return self.now()


class FailingDisk(Disk):
    """Fails where it is told to. What a failed sync did not bring to the device is lost, as after a power failure."""

    def __init__(self) -> None:
        self.faults: dict[str, int] = {}
        """Operation to the errno it fails with, until it is taken out."""
        self.bytes_before_full = 0
        """How much of a write gets through before `write` fails."""
        self.syncs = 0
        self.during_sync: Callable[[], object] = lambda: None
        self._synced_bytes: dict[int, int] = {}

    def write_some(self, descriptor: int, data: memoryview) -> int:
        if "write" not in self.faults:
            return super().write_some(descriptor, data[: max(1, len(data) // 2)])
        if self.bytes_before_full == 0:
            self._fail("write")
        passed = min(self.bytes_before_full, len(data))
        self.bytes_before_full -= passed
        return super().write_some(descriptor, data[:passed])

    def sync_data(self, descriptor: int) -> None:
        self.during_sync()
        if "sync" in self.faults:
            self._lose(descriptor)
        self._fail("sync")
        super().sync_data(descriptor)
        self.syncs += 1
        self._synced_bytes[os.fstat(descriptor).st_ino] = os.fstat(descriptor).st_size

    def cut(self, descriptor: int, size: int) -> None:
        self._fail("cut")
        super().cut(descriptor, size)

    def create(self, path: Path, content: bytes) -> int:
        self._fail("create")
        descriptor = super().create(path, content)
        self._synced_bytes[os.fstat(descriptor).st_ino] = len(content)
        if "name" in self.faults:
            os.close(descriptor)
        self._fail("name")
        return descriptor

    def _fail(self, operation: str) -> None:
        if operation in self.faults:
            number = self.faults[operation]
            raise OSError(number, os.strerror(number))

    def _lose(self, descriptor: int) -> None:
        size, kept = os.fstat(descriptor).st_size, self._synced_bytes.get(os.fstat(descriptor).st_ino, 0)
        again = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY)
        os.pwrite(again, bytes(size - kept), kept)
        os.close(again)


FULL = errno.ENOSPC


def record(kind: str = "closing", call: int = 0, **fields: str) -> Record:
    return msgspec.structs.replace(Record(kind=kind, at=1_790_000_000.5, call_id=f"{call:032x}"), **fields)


def drafts(*records: Record) -> list[Draft]:
    return [(each, fitting_body(each)) for each in records]


def opened(directory: Path, *, segment_max_bytes: int = BIG_SEGMENT_BYTES, disk: Disk | None = None) -> SegmentLedger:
    return SegmentLedger.open(directory, segment_max_bytes=segment_max_bytes, clock=StepClock(), disk=disk)


async def appended(ledger: SegmentLedger, record: Record, *, durable: bool) -> None:
    """An append as a coroutine, for tasks."""
    await ledger.append(record, durable=durable)


def records_in(directory: Path) -> list[Record]:
    """Every record of the ledger, each line checked."""
    found: list[Record] = []
    for path in segment_paths(directory):
        with path.open("rb") as file:
            found.extend(msgspec.json.decode(entry.body, type=Record) for entry in SegmentReader(path, file))
    return found
