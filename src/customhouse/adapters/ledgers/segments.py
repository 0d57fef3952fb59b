"""The ledger on local disk: many callers append, one thread writes, and a batch is whatever queued while the last one was synced.

No timer decides when to commit: a single append is written at once, and under load the batches grow by themselves. What one turn of the
loop appends is handed over together, so the thread is woken once a turn and the loop once a batch. One ledger serves one event loop.
"""

import asyncio
import contextlib
import errno
import os
import queue
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import msgspec

from customhouse.adapters.ledgers.directory import LedgerUnusable, lock, prepare
from customhouse.adapters.ledgers.disk import Disk
from customhouse.adapters.ledgers.fitting import fitting_body
from customhouse.adapters.ledgers.frames import FRAME_BYTES
from customhouse.adapters.ledgers.journal import MAX_BATCH_BYTES, Draft, Journal, Recovery
from customhouse.core.record import Record
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.traffic import Clock

_CLOSED = "the ledger is closed"
_HANDFUL = 128
_BROKEN = "the writer of the ledger broke down"


class _Waiting(msgspec.Struct, frozen=True, eq=False):
    """An append on its way to disk. The future ends with what went wrong, or with an empty string."""

    record: Record
    body: bytes
    durable: bool
    written: asyncio.Future[str]


class SegmentLedger:
    """Append-only segment files with a hash chain; made by `open`."""

    def __init__(self, journal: Journal, lock_descriptor: int, clock: Clock) -> None:
        self._journal = journal
        self._lock_descriptor = lock_descriptor
        self._clock = clock
        self._queue: queue.SimpleQueue[list[_Waiting] | None] = queue.SimpleQueue()
        self._gathered: list[_Waiting] = []
        self._writable = True
        self._closing = False
        self._ended = False
        self._thread = threading.Thread(target=self._write_until_closed, name="ledger", daemon=True)

    @classmethod
    def open(cls, directory: Path, *, segment_max_bytes: int, clock: Clock, disk: Disk | None = None) -> Self:
        """Lock the directory, recover what a crash left, close orphan intents as `unknown`, and append a `start` record.

        Blocks for as long as it takes to read the last segment. Raises `LedgerUnusable`.
        """
        with contextlib.ExitStack() as undo:
            try:
                prepare(directory)
                lock_descriptor = lock(directory)
                undo.callback(os.close, lock_descriptor)
                journal = Journal(directory, segment_max_bytes=segment_max_bytes, clock=clock, disk=disk or Disk())
                undo.callback(journal.close)
                journal.commit(_opening(journal, clock.now()), durable=True)
            except LedgerUnusable:
                raise
            except OSError as failure:
                raise LedgerUnusable(f"The ledger in {directory} cannot be opened: {failure}.") from failure
            undo.pop_all()
        ledger = cls(journal, lock_descriptor, clock)
        ledger._thread.start()
        return ledger

    @property
    def writable(self) -> bool:
        """False after a write failed, until one succeeds again, and after `close`."""
        return self._writable

    @property
    def recovered(self) -> Recovery:
        """What opening found from a process that did not end well."""
        return self._journal.recovery

    async def append(self, record: Record, *, durable: bool) -> None:
        """Return once the record is written; with `durable`, once it is on stable storage.

        A caller that is cancelled while it waits has its record written all the same. A record longer than 65,535 bytes
        is shortened. Raises `Refused` LEDGER_UNAVAILABLE, and then the record is not in the ledger.
        """
        if self._closing:
            raise Refused(Reason.LEDGER_UNAVAILABLE, note=_CLOSED)
        await self._written(record, durable=durable)

    async def close(self) -> None:
        """Write what is queued, then a `stop` record; let the directory go. A second call does nothing.

        Raises `Refused` LEDGER_UNAVAILABLE if the stop could not be recorded; the ledger is closed then, too.
        """
        if self._closing:
            return
        self._closing = True
        try:
            await self._written(Record(kind="stop", at=self._clock.now()), durable=True, last=True)
        finally:
            await asyncio.to_thread(self._thread.join)

    async def _written(self, record: Record, *, durable: bool, last: bool = False) -> None:
        loop = asyncio.get_running_loop()
        waiting = _Waiting(record, fitting_body(record), durable, loop.create_future())
        if not self._gathered:
            loop.call_soon(self._hand_over)
        self._gathered.append(waiting)
        if last:
            self._hand_over()
            self._queue.put(None)
        if self._ended:
            raise Refused(Reason.LEDGER_UNAVAILABLE, note=_CLOSED)
        if problem := await waiting.written:
            raise Refused(Reason.LEDGER_UNAVAILABLE, note=problem)

    def _hand_over(self) -> None:
        """Give the thread what this turn of the loop has gathered, in handfuls, so that a batch keeps its bound."""
        gathered, self._gathered = self._gathered, []
        for start in range(0, len(gathered), _HANDFUL):
            self._queue.put(gathered[start : start + _HANDFUL])

    def _write_until_closed(self) -> None:
        """The life of the writing thread. However it ends, nobody is left waiting."""
        try:
            is_open = True
            while is_open:
                batch, is_open = self._take()
                self._settle(batch)
        finally:
            self._ended, self._writable = True, False
            self._journal.close()
            os.close(self._lock_descriptor)
            _complete_on_loop(self._left(), _CLOSED)

    def _take(self) -> tuple[list[_Waiting], bool]:
        """All that is queued, at most about a batch's bytes and a turn of the loop; False with the last one."""
        batch: list[_Waiting] = []
        size_bytes = 0
        gathered = self._queue.get()
        with contextlib.suppress(queue.Empty):
            while gathered is not None:
                batch += gathered
                size_bytes += sum([len(waiting.body) + FRAME_BYTES for waiting in gathered])
                if size_bytes >= MAX_BATCH_BYTES:
                    return batch, True
                gathered = self._queue.get_nowait()
        return batch, gathered is not None

    def _settle(self, batch: Sequence[_Waiting]) -> None:
        problem = _BROKEN
        try:
            problem = self._commit(batch) if batch else ""
        finally:
            _complete_on_loop(batch, problem)

    def _commit(self, batch: Sequence[_Waiting]) -> str:
        drafts: list[Draft] = [(waiting.record, waiting.body) for waiting in batch]
        try:
            self._journal.commit(drafts, durable=any(waiting.durable for waiting in batch))
        except OSError as failure:
            self._writable = False
            return errno.errorcode.get(failure.errno or 0, "OSError")
        self._writable = True
        return ""

    def _left(self) -> list[_Waiting]:
        left: list[_Waiting] = []
        with contextlib.suppress(queue.Empty):
            while True:
                left += self._queue.get_nowait() or []
        return left


def _opening(journal: Journal, at: float) -> list[Draft]:
    """The start record, then a closing record for every intent that nobody closed."""
    recovery = journal.recovery
    note = f"{recovery.torn_bytes} torn bytes set aside in {recovery.set_aside.name}" if recovery.set_aside else ""
    orphans = [
        msgspec.structs.replace(intent, kind="closing", at=at, outcome="unknown", note="the process ended before the call did", took_us=0)
        for intent in journal.open_intents
    ]
    return [(record, fitting_body(record)) for record in (Record(kind="start", at=at, note=note), *orphans)]


def _complete_on_loop(batch: Sequence[_Waiting], problem: str) -> None:
    if batch:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            batch[0].written.get_loop().call_soon_threadsafe(_complete, batch, problem)


def _complete(batch: Sequence[_Waiting], problem: str) -> None:
    for waiting in batch:
        if not waiting.written.done():
            waiting.written.set_result(problem)
