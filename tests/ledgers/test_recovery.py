"""What opening makes of a ledger that a crash or a hand has changed."""

from pathlib import Path

import pytest

from customhouse.adapters.ledgers.directory import LedgerUnusable, segment_paths
from customhouse.adapters.ledgers.disk import Disk
from customhouse.adapters.ledgers.frames import Head, entry_lines, head_line
from customhouse.adapters.ledgers.journal import Journal
from customhouse.adapters.ledgers.verifying import verify
from tests.ledgers.writing import StepClock, drafts, opened, record, records_in


def journal_in(directory: Path, segment_max_bytes: int = 1_000_000) -> Journal:
    return Journal(directory, segment_max_bytes=segment_max_bytes, clock=StepClock(), disk=Disk())


def written(directory: Path, count: int, segment_max_bytes: int = 1_000_000) -> Path:
    """A ledger with `count` entries; returns its last segment."""
    journal = journal_in(directory, segment_max_bytes)
    for call in range(count):
        journal.commit(drafts(record(call=call)), durable=False)
    journal.close()
    return segment_paths(directory)[-1]


def test_a_tail_torn_at_any_byte_of_the_last_entry_is_set_aside_and_nothing_before_it_is_lost(tmp_path: Path) -> None:
    segment = written(tmp_path, 3)
    whole = segment.read_bytes()
    start = whole.rindex(b'{"n":3')
    for end in range(start + 1, len(whole)):
        segment.write_bytes(whole[:end])
        assert verify(tmp_path).fault is not None
        journal = journal_in(tmp_path)
        journal.close()
        aside = journal.recovery.set_aside
        assert aside is not None
        assert aside.read_bytes() == whole[start:end]
        assert journal.recovery.torn_bytes == end - start
        assert segment.read_bytes() == whole[:start]
        assert verify(tmp_path).set_aside == (aside,)
        aside.unlink()


def test_an_end_between_entries_is_no_torn_tail(tmp_path: Path) -> None:
    segment = written(tmp_path, 3)
    whole = segment.read_bytes()
    segment.write_bytes(whole[: whole.rindex(b'{"n":3')])
    journal = journal_in(tmp_path)
    journal.close()
    assert (journal.recovery.set_aside, journal.recovery.torn_bytes) == (None, 0)


def test_pages_that_never_reached_the_device_are_set_aside(tmp_path: Path) -> None:
    segment = written(tmp_path, 3)
    with segment.open("ab") as file:
        file.write(bytes(200_000))
    journal = journal_in(tmp_path)
    journal.close()
    assert journal.recovery.torn_bytes == 200_000
    assert verify(tmp_path).entries == 3


async def test_a_start_after_a_torn_tail_says_so(tmp_path: Path) -> None:
    segment = written(tmp_path, 3)
    segment.write_bytes(segment.read_bytes()[:-10])
    ledger = opened(tmp_path)
    await ledger.close()
    assert ledger.recovered.set_aside is not None
    start = records_in(tmp_path)[2]
    assert start.kind == "start"
    assert ledger.recovered.set_aside.name in start.note


def test_a_second_tail_torn_at_the_same_place_does_not_overwrite_the_first(tmp_path: Path) -> None:
    segment = written(tmp_path, 1)
    for tail in (b"one", b"two"):
        with segment.open("ab") as file:
            file.write(tail)
        journal_in(tmp_path).close()
    assert [path.read_bytes() for path in verify(tmp_path).set_aside] == [b"one", b"two"]


def test_damage_that_no_crash_explains_is_left_alone(tmp_path: Path) -> None:
    segment = written(tmp_path, 3)
    with segment.open("ab") as file:
        file.write(b"x" * 16_000_000)
    with pytest.raises(LedgerUnusable, match="damaged in a way that no crash explains"):
        journal_in(tmp_path)
    assert segment.stat().st_size > 4_000_000


def test_a_broken_link_between_segments_is_found_at_opening(tmp_path: Path) -> None:
    written(tmp_path, 20, segment_max_bytes=1_500)
    paths = segment_paths(tmp_path)
    paths[len(paths) // 2].unlink()
    with pytest.raises(LedgerUnusable, match="begins with entry"):
        journal_in(tmp_path)


@pytest.mark.parametrize("damage", [lambda whole: whole[:-1], lambda whole: whole.replace(b'"chain":"', b'"chain":"0', 2)])
def test_a_damaged_end_of_an_older_segment_is_found_at_opening(tmp_path: Path, damage: object) -> None:
    written(tmp_path, 20, segment_max_bytes=1_500)
    older = segment_paths(tmp_path)[0]
    assert callable(damage)
    older.write_bytes(damage(older.read_bytes().splitlines(keepends=True)[0] + older.read_bytes().splitlines(keepends=True)[-1]))
    with pytest.raises(LedgerUnusable):
        journal_in(tmp_path)


def test_a_chain_hash_changed_at_the_end_of_an_older_segment_is_found_at_opening(tmp_path: Path) -> None:
    written(tmp_path, 20, segment_max_bytes=1_500)
    older = segment_paths(tmp_path)[0]
    whole = older.read_bytes()
    at = whole.rindex(b'"chain":"') + 9
    older.write_bytes(whole[:at] + (b"0" if whole[at : at + 1] != b"0" else b"1") + whole[at + 1 :])
    with pytest.raises(LedgerUnusable, match="does not continue the one before it"):
        journal_in(tmp_path)


def test_a_damaged_head_of_the_last_segment_is_found_at_opening(tmp_path: Path) -> None:
    segment = written(tmp_path, 3)
    segment.write_bytes(b"x" + segment.read_bytes())
    with pytest.raises(LedgerUnusable, match="not the head of a segment"):
        journal_in(tmp_path)


def test_a_record_of_a_later_version_is_not_guessed_at(tmp_path: Path) -> None:
    head, tip = head_line(Head(first=1, at=1.0, previous="0" * 64))
    lines, _ = entry_lines(tip, [b'{"format":2,"kind":"intent"}'])
    (tmp_path / f"{1:020d}.seg").write_bytes(head + lines)
    with pytest.raises(LedgerUnusable, match="another version"):
        journal_in(tmp_path)
    fault = verify(tmp_path).fault
    assert fault is not None
    assert "format 1" in fault.sentence


def test_older_segments_may_be_archived(tmp_path: Path) -> None:
    written(tmp_path, 20, segment_max_bytes=1_500)
    segment_paths(tmp_path)[0].unlink()
    journal_in(tmp_path).close()


def test_a_segment_that_was_never_born_is_cleared_away(tmp_path: Path) -> None:
    unborn = tmp_path / f"{5:020d}.seg.new"
    unborn.write_bytes(b"half a he")
    ledger = opened(tmp_path)
    assert not unborn.exists()
    assert ledger.recovered.torn_bytes == 0
