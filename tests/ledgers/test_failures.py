"""A disk that is full or fails: appends are refused, nothing half-written stays, and writing goes on when the disk allows it."""

import errno
import os
import resource
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.adapters.ledgers.directory import LedgerUnusable
from customhouse.adapters.ledgers.frames import record_body
from customhouse.adapters.ledgers.journal import Journal
from customhouse.adapters.ledgers.segments import SegmentLedger
from customhouse.adapters.ledgers.verifying import verify
from customhouse.core.refusal import Reason, Refused
from tests.ledgers.writing import FULL, FailingDisk, StepClock, drafts, opened, record, records_in


def is_writable(ledger: SegmentLedger) -> bool:
    return ledger.writable


@pytest.mark.parametrize("bytes_before_full", [0, 1, 100, 230])
async def test_a_full_disk_refuses_leaves_no_part_and_heals(tmp_path: Path, bytes_before_full: int) -> None:
    disk = FailingDisk()
    ledger = opened(tmp_path, disk=disk)
    disk.faults["write"], disk.bytes_before_full = FULL, bytes_before_full
    with pytest.raises(Refused) as refused:
        await ledger.append(record(call=1), durable=False)
    assert (refused.value.reason, refused.value.note) == (Reason.LEDGER_UNAVAILABLE, "ENOSPC")
    assert not is_writable(ledger)
    assert verify(tmp_path).entries == 1
    assert verify(tmp_path).fault is None
    disk.faults.clear()
    await ledger.append(record(call=2), durable=False)
    assert is_writable(ledger)
    await ledger.close()
    assert [each.call_id for each in records_in(tmp_path)[1:-1]] == [f"{2:032x}"]


async def test_a_part_that_cannot_be_cut_back_at_once_is_cut_back_before_the_next_write(tmp_path: Path) -> None:
    disk = FailingDisk()
    ledger = opened(tmp_path, disk=disk)
    disk.faults, disk.bytes_before_full = {"write": FULL, "cut": errno.EIO}, 50
    for _ in range(2):
        with pytest.raises(Refused):
            await ledger.append(record(), durable=False)
    disk.faults.clear()
    await ledger.append(record(), durable=False)
    await ledger.close()
    assert verify(tmp_path).fault is None


async def test_after_a_failed_sync_the_chain_continues_in_a_new_segment_with_all_that_was_accepted(tmp_path: Path) -> None:
    disk = FailingDisk()
    ledger = opened(tmp_path, disk=disk)
    for call in range(5):
        await ledger.append(record(call=call), durable=False)
    disk.faults["sync"] = errno.EIO
    with pytest.raises(Refused) as refused:
        await ledger.append(record(call=99), durable=True)
    assert refused.value.note == "EIO"
    assert not ledger.writable
    disk.faults.clear()
    await ledger.append(record(call=5), durable=True)
    await ledger.close()
    found = verify(tmp_path)
    assert (found.fault, found.segments) == (None, 2)
    assert [each.call_id for each in records_in(tmp_path)[1:-1]] == [f"{call:032x}" for call in range(6)]


async def test_a_device_that_lost_what_it_had_synced_is_not_written_to_again(tmp_path: Path) -> None:
    disk = FailingDisk()
    ledger = opened(tmp_path, disk=disk)
    await ledger.append(record(call=1), durable=True)
    disk.faults["sync"] = errno.EIO
    with pytest.raises(Refused):
        await ledger.append(record(call=2), durable=True)
    disk.faults.clear()
    segment = next(tmp_path.glob("*.seg"))
    content = bytearray(segment.read_bytes())
    content[-300] ^= 1
    segment.write_bytes(content)
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            await ledger.append(record(call=3), durable=True)
        assert refused.value.note == "EIO"
    with pytest.raises(Refused):
        await ledger.close()
    assert verify(tmp_path).fault is not None


async def test_a_ledger_that_cannot_record_its_stop_is_closed_all_the_same(tmp_path: Path) -> None:
    disk = FailingDisk()
    ledger = opened(tmp_path, disk=disk)
    disk.faults["write"] = FULL
    with pytest.raises(Refused):
        await ledger.close()
    await opened(tmp_path).close()
    assert [each.kind for each in records_in(tmp_path)] == ["start", "start", "stop"]


@pytest.mark.parametrize("operation", ["create", "write", "sync"])
async def test_a_ledger_that_cannot_record_its_start_does_not_open_and_holds_no_lock(tmp_path: Path, operation: str) -> None:
    disk = FailingDisk()
    disk.faults[operation] = errno.EROFS
    with pytest.raises(LedgerUnusable, match="Read-only file system"):
        opened(tmp_path, disk=disk)
    await opened(tmp_path).close()
    assert verify(tmp_path).fault is None


WRITES_TO_A_BOUND = """
    import asyncio, pathlib, resource, sys
    from customhouse.core.refusal import Refused
    from tests.ledgers.writing import opened, record

    async def main():
        ledger = opened(pathlib.Path(sys.argv[1]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
        written, notes = 0, []
        for call in range(60):
            try:
                await ledger.append(record(call=call), durable=True)
                written += 1
            except Refused as refused:
                notes.append(refused.note)
        assert not ledger.writable
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await ledger.append(record(call=1000), durable=True)
        await ledger.close()
        print(written, len(notes), set(notes))

    asyncio.run(main())
"""


def test_a_real_limit_on_the_file_refuses_and_heals(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    environ = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}
    command = [sys.executable, "-c", textwrap.dedent(WRITES_TO_A_BOUND), str(tmp_path)]
    said = subprocess.run(command, check=True, env=environ, capture_output=True, text=True).stdout.split()
    written, refused = int(said[0]), int(said[1])
    assert written + refused == 60
    assert refused > 0
    assert said[2] == "{'EFBIG'}"
    found = verify(tmp_path)
    assert (found.fault, found.entries) == (None, written + 3)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


FAULTS = st.dictionaries(st.sampled_from(["write", "sync", "cut", "create", "name"]), st.sampled_from([FULL, errno.EIO]), max_size=3)
BATCHES = st.lists(st.tuples(st.integers(1, 4), st.booleans(), FAULTS, st.integers(0, 600)), max_size=25)


@given(BATCHES, st.sampled_from([1, 2_000, 1_000_000]))
def test_whatever_fails_the_ledger_holds_exactly_what_was_accepted(
    batches: list[tuple[int, bool, dict[str, int], int]], segment_max_bytes: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        directory, disk = Path(folder), FailingDisk()
        journal = Journal(directory, segment_max_bytes=segment_max_bytes, clock=StepClock(), disk=disk)
        accepted: list[bytes] = []
        for turn, (count, durable, faults, bytes_before_full) in enumerate(batches):
            disk.faults, disk.bytes_before_full = dict(faults), bytes_before_full
            batch = drafts(*(record(call=turn * 10 + each) for each in range(count)))
            try:
                journal.commit(batch, durable=durable)
            except OSError:
                continue
            accepted += [body for _, body in batch]
        disk.faults = {}
        last = drafts(record(call=9_999))
        journal.commit(last, durable=True)
        journal.close()
        found = verify(directory)
        assert found.fault is None
        assert found.entries == len(accepted) + 1
        assert [record_body(each) for each in records_in(directory)] == [*accepted, last[0][1]]
        again = Journal(directory, segment_max_bytes=segment_max_bytes, clock=StepClock(), disk=disk)
        again.close()
        assert again.recovery.torn_bytes == 0
