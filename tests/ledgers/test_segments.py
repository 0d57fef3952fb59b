"""What a ledger promises to those who append."""

import asyncio
import threading
from pathlib import Path

import pytest

from customhouse.adapters.ledgers.directory import LedgerUnusable, segment_paths
from customhouse.adapters.ledgers.journal import SYNC_EVERY_BYTES
from customhouse.adapters.ledgers.verifying import verify
from customhouse.core.record import Record
from customhouse.core.refusal import Reason, Refused
from tests.ledgers.writing import FailingDisk, appended, opened, record, records_in


async def test_a_ledger_begins_with_start_and_ends_with_stop(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    await ledger.append(record(call=1), durable=False)
    await ledger.close()
    assert [each.kind for each in records_in(tmp_path)] == ["start", "closing", "stop"]


async def test_appends_of_many_tasks_are_acknowledged_in_the_order_of_the_chain(tmp_path: Path) -> None:
    ledger = opened(tmp_path, segment_max_bytes=100_000)
    acknowledged: list[str] = []

    async def append(call: int) -> None:
        await ledger.append(record(call=call), durable=call % 3 == 0)
        acknowledged.append(f"{call:032x}")

    await asyncio.gather(*(append(call) for call in range(2000)))
    await ledger.close()
    assert [each.call_id for each in records_in(tmp_path)[1:-1]] == acknowledged
    assert verify(tmp_path).entries == 2002


async def test_a_durable_append_is_synced_and_another_is_not(tmp_path: Path) -> None:
    disk = FailingDisk()
    ledger = opened(tmp_path, disk=disk)
    before = disk.syncs
    await ledger.append(record(), durable=False)
    assert disk.syncs == before
    await ledger.append(record(), durable=True)
    assert disk.syncs == before + 1
    await ledger.close()


async def test_what_needs_no_sync_is_synced_when_enough_has_gathered(tmp_path: Path) -> None:
    disk = FailingDisk()
    ledger = opened(tmp_path, disk=disk)
    before = disk.syncs
    for _ in range(SYNC_EVERY_BYTES // 60_000 + 1):
        await ledger.append(record(note="x" * 60_000), durable=False)
    assert disk.syncs == before + 1
    await ledger.close()


async def test_the_loop_goes_on_while_the_disk_is_slow_and_all_that_waits_is_one_batch(tmp_path: Path) -> None:
    disk = FailingDisk()
    ledger = opened(tmp_path, disk=disk)
    entered, let_go = threading.Event(), threading.Event()

    def stall() -> None:
        entered.set()
        let_go.wait(10)

    disk.during_sync = stall
    first = asyncio.ensure_future(appended(ledger, record(call=1), durable=True))
    while not entered.is_set():  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    rest = [asyncio.ensure_future(appended(ledger, record(call=call), durable=True)) for call in range(2, 50)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert not first.done()
    syncs = disk.syncs
    let_go.set()
    await asyncio.gather(first, *rest)
    assert disk.syncs == syncs + 2
    await ledger.close()


async def test_a_caller_that_leaves_while_it_waits_has_its_record_written(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    waiting = asyncio.ensure_future(appended(ledger, record(call=7), durable=True))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await ledger.close()
    assert records_in(tmp_path)[1].call_id == f"{7:032x}"


async def test_a_batch_larger_than_allowed_is_written_in_parts(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    await asyncio.gather(*(appended(ledger, record(call=call, note="x" * 50_000), durable=False) for call in range(60)))
    await ledger.close()
    assert len(records_in(tmp_path)) == 62


async def test_a_closed_ledger_refuses_and_closes_once(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    await ledger.close()
    await ledger.close()
    with pytest.raises(Refused) as refused:
        await ledger.append(record(), durable=False)
    assert refused.value.reason is Reason.LEDGER_UNAVAILABLE
    assert not ledger.writable
    assert [each.kind for each in records_in(tmp_path)] == ["start", "stop"]


async def test_nobody_waits_for_a_thread_that_died(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect in the writing thread ends it; every append is refused then, and none hangs."""
    disk = FailingDisk()
    ledger = opened(tmp_path, disk=disk)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def break_down() -> None:
        raise ZeroDivisionError

    disk.during_sync = break_down
    first = asyncio.ensure_future(appended(ledger, record(), durable=True))
    with pytest.raises(Refused):
        await asyncio.wait_for(first, 5)
    with pytest.raises(Refused):
        await asyncio.wait_for(appended(ledger, record(), durable=True), 5)
    with pytest.raises(Refused):
        await asyncio.wait_for(ledger.close(), 5)


async def test_a_loop_that_is_gone_does_not_disturb_the_thread(tmp_path: Path) -> None:
    disk = FailingDisk()
    ledger = opened(tmp_path, disk=disk)
    entered, let_go = threading.Event(), threading.Event()

    def stall() -> None:
        entered.set()
        let_go.wait(10)

    def leave_early() -> None:
        loop = asyncio.new_event_loop()
        task = loop.create_task(appended(ledger, record(call=1), durable=True))
        loop.run_until_complete(asyncio.sleep(0))
        entered.wait(10)
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.close()

    disk.during_sync = stall
    await asyncio.to_thread(leave_early)
    let_go.set()
    await ledger.append(record(call=2), durable=True)
    await ledger.close()
    assert len(records_in(tmp_path)) == 4


async def test_only_one_process_appends(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    with pytest.raises(LedgerUnusable, match="Another process writes the ledger"):
        opened(tmp_path)
    await ledger.close()
    await opened(tmp_path).close()
    assert [each.kind for each in records_in(tmp_path)] == ["start", "stop", "start", "stop"]


async def test_the_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "data" / "ledger"
    directory.mkdir(parents=True, mode=0o755)
    ledger = opened(directory)
    await ledger.close()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}


async def test_a_full_segment_is_followed_by_one_that_continues_the_chain(tmp_path: Path) -> None:
    ledger = opened(tmp_path, segment_max_bytes=4_000)
    for call in range(40):
        await ledger.append(record(call=call), durable=False)
    await ledger.close()
    found = verify(tmp_path)
    assert found.fault is None
    assert (found.entries, found.segments) == (42, len(segment_paths(tmp_path)))
    assert found.segments > 2
    assert all(path.stat().st_size <= 4_000 for path in segment_paths(tmp_path))


async def test_a_segment_limit_smaller_than_an_entry_still_makes_progress(tmp_path: Path) -> None:
    ledger = opened(tmp_path, segment_max_bytes=1)
    for call in range(3):
        await ledger.append(record(call=call), durable=False)
    await ledger.close()
    assert verify(tmp_path).fault is None
    assert len(segment_paths(tmp_path)) == 5


async def test_a_record_that_is_too_long_is_shortened_and_written(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    await ledger.append(record(name="x" * 1_000_000, note="\ud800"), durable=True)
    await ledger.close()
    written = records_in(tmp_path)[1]
    assert written.name.startswith("xxx")
    assert len(written.name) <= 8192
    assert written.note == "?"


async def test_the_record_says_what_it_said(tmp_path: Path) -> None:
    said = Record(kind="closing", at=1.25, call_id="c", name='line\nfeed "quoted" \u2028 ü', reasons=("a", "b"), took_us=7, bytes_out=2**53)
    ledger = opened(tmp_path)
    await ledger.append(said, durable=True)
    await ledger.close()
    assert records_in(tmp_path)[1] == said
