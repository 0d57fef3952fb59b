"""The ledger on local disk: what one turn of the loop appends is one batch, and only what has to be synced is written by a thread.

A record that needs no sync goes into the page cache, which takes a batch in microseconds, where handing it to a thread and back costs a
call 30 us. So such a batch is written on the loop, as long as the thread has nothing in hand; while the thread syncs, all that comes queues
behind it and is its next batch. No timer decides when to commit. A write that stalled the loop sends the next second's records to the
thread. One ledger serves one event loop.
"""

import asyncio
import contextlib
import errno
import os
import queue
import threading
from collections.abc import Awaitable, Sequence
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
from customhouse.wire.signal import Signal

_STALL_SECONDS = 0.005
"""A write that takes longer than this is the disk's doing: the page cache takes a record in microseconds."""
_ASIDE_SECONDS = 1.0
_CLOSED = "the ledger is closed"
_HANDFUL = 128
_BROKEN = "the writer of the ledger broke down"


class _Waiting(Signal):
    """An append on its way to disk, set once it is there, or failed with the refusal that says why it is not."""

    __slots__ = ("body", "durable", "record")

    def __init__(self, loop: asyncio.AbstractEventLoop, record: Record, body: bytes, durable: bool) -> None:
        super().__init__(loop)
        self.record = record
        self.body = body
        self.durable = durable


class SegmentLedger:
    """Append-only segment files with a hash chain; made by `open`."""

    def __init__(self, journal: Journal, lock_descriptor: int, clock: Clock) -> None:
        self._journal = journal
        self._lock_descriptor = lock_descriptor
        self._clock = clock
        self._queue: queue.SimpleQueue[Sequence[_Waiting] | None] = queue.SimpleQueue()
        self._gathered: list[_Waiting] = []
        self._in_hand = 0
        """Records that are gathered, queued or in the thread's hands; it uses the journal only while there are any."""
        self._aside_until = 0.0
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

    def append(self, record: Record, *, durable: bool) -> Awaitable[None]:
        """Awaited, returns once the record is written; with `durable`, once it is on stable storage.

        A caller that is cancelled while it waits has its record written all the same. A record longer than 65,535 bytes
        is shortened. Raises `Refused` LEDGER_UNAVAILABLE, and then the record is not in the ledger.
        """
        if self._closing:
            raise Refused(Reason.LEDGER_UNAVAILABLE, note=_CLOSED)
        return self._gather(record, durable=durable)

    async def close(self) -> None:
        """Write what is queued, then a `stop` record; let the directory go. A second call does nothing.

        Raises `Refused` LEDGER_UNAVAILABLE if the stop could not be recorded; the ledger is closed then, too.
        """
        if self._closing:
            return
        self._closing = True
        try:
            waiting = self._gather(Record(kind="stop", at=self._clock.now()), durable=True)
            self._end_of_turn()
            self._queue.put(None)
            await waiting
        finally:
            await asyncio.to_thread(self._thread.join)

    def _gather(self, record: Record, *, durable: bool) -> _Waiting:
        if self._ended:
            raise Refused(Reason.LEDGER_UNAVAILABLE, note=_CLOSED)
        loop = asyncio.get_running_loop()
        waiting = _Waiting(loop, record, fitting_body(record), durable)
        if not self._gathered:
            loop.call_soon(self._end_of_turn)
        self._gathered.append(waiting)
        return waiting

    def _end_of_turn(self) -> None:
        """Write what this turn of the loop has gathered, or give it to the thread."""
        gathered, self._gathered = self._gathered, []
        if self._in_hand or self._clock.monotonic() < self._aside_until:
            self._hand_over(gathered)
            return
        here = [waiting for waiting in gathered if not waiting.durable]
        size_bytes = sum([len(waiting.body) for waiting in here]) + len(here) * FRAME_BYTES
        if here and not self._journal.is_ready_for(size_bytes):
            self._hand_over(gathered)
            return
        if here:
            self._write_here(here)
        if len(here) < len(gathered):
            self._hand_over([waiting for waiting in gathered if waiting.durable])

    def _write_here(self, batch: Sequence[_Waiting]) -> None:
        began = self._clock.monotonic()
        problem = self._committed(batch, durable=False)
        ended = self._clock.monotonic()
        if ended - began > _STALL_SECONDS:
            self._aside_until = ended + _ASIDE_SECONDS
        _tell(batch, problem)

    def _hand_over(self, gathered: Sequence[_Waiting]) -> None:
        """In handfuls, so that a batch keeps its bound."""
        self._in_hand += len(gathered)
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
            self._complete_on_loop(self._left(), _CLOSED)

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
            problem = self._committed(batch, durable=any(waiting.durable for waiting in batch)) if batch else ""
        finally:
            self._complete_on_loop(batch, problem)

    def _committed(self, batch: Sequence[_Waiting], *, durable: bool) -> str:
        """What went wrong, or an empty string."""
        try:
            self._journal.commit([(waiting.record, waiting.body) for waiting in batch], durable=durable)
        except OSError as failure:
            self._writable = False
            return errno.errorcode.get(failure.errno or 0, "OSError")
        self._writable = True
        return ""

    def _complete_on_loop(self, batch: Sequence[_Waiting], problem: str) -> None:
        if batch:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                batch[0].get_loop().call_soon_threadsafe(self._complete, batch, problem)

    def _complete(self, batch: Sequence[_Waiting], problem: str) -> None:
        self._in_hand -= len(batch)
        _tell(batch, problem)

    def _left(self) -> list[_Waiting]:
        left: list[_Waiting] = []
        with contextlib.suppress(queue.Empty):
            while True:
                left += self._queue.get_nowait() or []
        return left


def _tell(batch: Sequence[_Waiting], problem: str) -> None:
    for waiting in batch:
        if problem:
            waiting.fail(Refused(Reason.LEDGER_UNAVAILABLE, note=problem))
        else:
            waiting.set()


def _opening(journal: Journal, at: float) -> list[Draft]:
    """The start record, then a closing record for every intent that nobody closed."""
    recovery = journal.recovery
    note = f"{recovery.torn_bytes} torn bytes set aside in {recovery.set_aside.name}" if recovery.set_aside else ""
    orphans = [
        msgspec.structs.replace(intent, kind="closing", at=at, outcome="unknown", note="the process ended before the call did", took_us=0)
        for intent in journal.open_intents
    ]
    return [(record, fitting_body(record)) for record in (Record(kind="start", at=at, note=note), *orphans)]
