"""Whatever is done to the files, `verify` finds it."""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.adapters.ledgers.directory import is_locked, segment_paths
from customhouse.adapters.ledgers.disk import Disk
from customhouse.adapters.ledgers.frames import LAYOUT, head_hash
from customhouse.adapters.ledgers.journal import Journal
from customhouse.adapters.ledgers.verifying import verify
from tests.ledgers.writing import StepClock, drafts, opened, record


@pytest.fixture(scope="module")
def pristine() -> Iterator[Path]:
    """A ledger of 16 entries in 4 segments, with an intent that stays open."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder), segment_max_bytes=1_500, clock=StepClock(), disk=Disk())
        for call in range(16):
            journal.commit(drafts(record("intent" if call == 1 else "closing", call)), durable=False)
        journal.close()
        yield Path(folder)


@pytest.fixture
def ledger(pristine: Path, tmp_path: Path) -> Path:
    return shutil.copytree(pristine, tmp_path / "ledger")


def faults_of(directory: Path) -> str:
    fault = verify(directory).fault
    return "" if fault is None else fault.sentence


def test_an_untouched_ledger_has_no_fault(ledger: Path) -> None:
    found = verify(ledger)
    assert (found.fault, found.entries, found.segments, found.in_progress) == (None, 16, 4, False)
    assert found.first_at == found.last_at == 1_790_000_000.5


def test_a_verifier_that_knows_only_the_layout_agrees(ledger: Path) -> None:
    """Thirty lines with nothing of the product's own: the layout is as its description says."""
    chain, sequence = bytes(32), 0
    for path in sorted(ledger.glob("*.seg")):
        head, *lines = path.read_bytes().splitlines()
        body = re.fullmatch(rb'\{"ledger":1,"chain":"[0-9a-f]{64}","segment":(.*)\}', head)
        assert body is not None
        assert json.loads(head)["segment"]["first"] == sequence + 1 == int(path.stem)
        assert json.loads(head)["segment"]["previous"] == chain.hex()
        chain = hashlib.sha256(b"\x03" + body[1]).digest()
        assert json.loads(head)["chain"] == chain.hex()
        for line in lines:
            sequence += 1
            record_bytes = line.partition(b',"record":')[2][:-1]
            leaf = hashlib.sha256(b"\x00" + record_bytes).digest()
            chain = hashlib.sha256(b"\x02" + chain + leaf).digest()
            entry = json.loads(line)
            assert (entry["n"], entry["leaf"], entry["chain"]) == (sequence, leaf.hex(), chain.hex())
    assert (sequence, chain) == (verify(ledger).tip.sequence, verify(ledger).tip.chain)


@given(st.data())
def test_a_byte_changed_anywhere_is_found(pristine: Path, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        directory = shutil.copytree(pristine, Path(folder) / "ledger")
        path = data.draw(st.sampled_from(segment_paths(directory)))
        content = bytearray(path.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        fault = verify(directory).fault
        assert fault is not None
        assert fault.path.name >= path.name


def test_every_single_flipped_bit_of_a_whole_segment_is_found(ledger: Path) -> None:
    path = segment_paths(ledger)[-1]
    whole = path.read_bytes()
    for offset in range(len(whole)):
        path.write_bytes(whole[:offset] + bytes([whole[offset] ^ (1 << offset % 8)]) + whole[offset + 1 :])
        assert verify(ledger).fault is not None, offset


LINES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "delete the first": lambda lines: lines[1:],
    "delete one in the middle": lambda lines: [*lines[:1], *lines[2:]],
    "repeat one": lambda lines: [*lines[:2], *lines[1:]],
    "swap two": lambda lines: [lines[1], lines[0], *lines[2:]],
    "append an old one": lambda lines: [*lines, lines[0]],
    "empty line": lambda lines: [*lines, b"\n"],
    "blank between": lambda lines: [lines[0][:-1] + b" \n", *lines[1:]],
    "join two": lambda lines: [lines[0][:-1] + lines[1], *lines[2:]],
    "carriage returns": lambda lines: [line[:-1] + b"\r\n" for line in lines],
    "endless line": lambda lines: [*lines, b"x" * 300_000],
}


@pytest.mark.parametrize("change", LINES.values(), ids=LINES.keys())
@pytest.mark.parametrize("which", [0, 2, -1])
def test_a_line_that_is_changed_is_found(ledger: Path, change: Callable[[list[bytes]], list[bytes]], which: int) -> None:
    path = segment_paths(ledger)[which]
    head, *lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(head + b"".join(change(lines)))
    assert faults_of(ledger)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_removed_segment_is_found(ledger: Path, which: int) -> None:
    segment_paths(ledger)[which].unlink()
    assert "begins with entry" in faults_of(ledger)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_segment_cut_short_at_a_line_is_found(ledger: Path, which: int) -> None:
    path = segment_paths(ledger)[which]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert faults_of(ledger)


def test_segments_that_change_places_are_found(ledger: Path) -> None:
    first, second, *_ = segment_paths(ledger)
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)
    assert "the head belongs to the segment that begins with entry" in faults_of(ledger)


def test_a_segment_of_another_ledger_is_found(ledger: Path, tmp_path: Path) -> None:
    other = Journal(tmp_path, segment_max_bytes=1_500, clock=StepClock(), disk=Disk())
    for call in range(100, 116):
        other.commit(drafts(record(call=call)), durable=False)
    other.close()
    for path in segment_paths(tmp_path)[1:2]:
        shutil.copy(path, ledger / path.name)
    assert "does not continue the one before it" in faults_of(ledger)


def test_a_head_of_a_later_layout_is_refused(ledger: Path) -> None:
    path = segment_paths(ledger)[0]
    path.write_bytes(path.read_bytes().replace(b'{"ledger":%d,' % LAYOUT, b'{"ledger":%d,' % (LAYOUT + 1), 1))
    assert "this version reads layout" in faults_of(ledger)


@pytest.mark.parametrize("body", [b'{"first":"one"}', b'{"first":1,"at":1,"previous":"\xff"}'])
def test_a_head_with_a_right_hash_and_no_sense_is_refused(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / f"{1:020d}.seg"
    path.write_bytes(b'{"ledger":1,"chain":"%b","segment":%b}\n' % (head_hash(body).hex().encode(), body))
    assert "the head cannot be read" in faults_of(tmp_path)


def test_an_empty_segment_file_is_found(ledger: Path) -> None:
    (ledger / f"{17:020d}.seg").touch()
    assert "not the head" in faults_of(ledger)


def test_what_was_cut_off_the_end_is_found_by_a_hash_noted_down(ledger: Path) -> None:
    noted = verify(ledger).tip
    path = segment_paths(ledger)[-1]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert verify(ledger).fault is None
    fault = verify(ledger, expected={noted.sequence: noted.chain.hex()}).fault
    assert fault is not None
    assert "no entry has that number" in fault.sentence


def test_a_ledger_rewritten_from_the_start_is_found_by_a_hash_noted_down(ledger: Path, tmp_path: Path) -> None:
    noted = verify(ledger).tip
    journal = Journal(tmp_path, segment_max_bytes=1_500, clock=StepClock(), disk=Disk())
    for call in range(16):
        journal.commit(drafts(record(call=call, person="somebody else")), durable=False)
    journal.close()
    assert verify(tmp_path).fault is None
    fault = verify(tmp_path, expected={noted.sequence: noted.chain.hex()}).fault
    assert fault is not None
    assert "was rewritten" in fault.sentence


def test_a_hash_noted_down_still_holds_after_more_was_written(ledger: Path) -> None:
    noted = verify(ledger).tip
    journal = Journal(ledger, segment_max_bytes=1_500, clock=StepClock(), disk=Disk())
    journal.commit(drafts(record(call=50)), durable=False)
    journal.close()
    assert verify(ledger, expected={noted.sequence: noted.chain.hex()}).fault is None


def test_archived_segments_need_the_hash_before_the_first_that_is_left(ledger: Path) -> None:
    gone, left, *_ = segment_paths(ledger)
    before = json.loads(left.read_bytes().splitlines()[0])["segment"]["previous"]
    gone.unlink()
    assert faults_of(ledger)
    assert verify(ledger, begin=before).fault is None
    assert verify(ledger, begin="0" * 64).fault is not None


async def test_an_entry_that_a_running_gateway_is_writing_is_no_fault(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    with segment_paths(tmp_path)[0].open("ab") as file:
        file.write(b'{"n":2,"leaf":"00')
    found = verify(tmp_path)
    assert is_locked(tmp_path)
    assert (found.fault, found.in_progress, found.entries) == (None, True, 1)
    assert verify(tmp_path, expected={9: "0" * 64}).fault is not None
    await ledger.close()
    assert not is_locked(tmp_path)


def test_an_empty_directory_holds_an_empty_ledger(tmp_path: Path) -> None:
    assert (verify(tmp_path).fault, verify(tmp_path).entries) == (None, 0)
    assert verify(tmp_path, expected={1: "0" * 64}).fault is not None
