"""The control process reads a gateway's audit log that may not be there yet, and says so where it is there and cannot be read."""

from pathlib import Path

import pytest

from customhouse.adapters.ledgers.segments import SegmentLedger
from customhouse.core.record import Record
from customhouse.core.refusal import Reason, Refused
from customhouse.wiring_control import reading
from tests.control.test_register import Time


def all_of_them(_record: Record) -> bool:
    return True


async def test_a_log_is_read_on_from_where_it_was_read(tmp_path: Path) -> None:
    more, last = reading(tmp_path / "ledger")
    assert (more(), last(5, all_of_them)) == ([], [])
    (tmp_path / "ledger").mkdir(mode=0o700)
    assert (more(), last(5, all_of_them)) == ([], [])
    ledger = SegmentLedger.open(tmp_path / "ledger", segment_max_bytes=1_000_000, clock=Time())
    await ledger.append(Record(kind="errand", at=1.0, method="tools/call"), durable=True)
    assert [record.at for record in last(1, lambda record: record.method == "tools/call")] == [1.0]
    assert 1.0 in [record.at for record in more()]
    assert more() == []
    await ledger.close()


def test_a_log_that_cannot_be_read_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "00000000000000000000.seg").mkdir()
    more, last = reading(tmp_path)
    for read in (more, lambda: last(5, all_of_them)):
        with pytest.raises(Refused) as refused:
            read()
        assert refused.value.reason is Reason.STORE_UNAVAILABLE
        assert "audit log" in refused.value.note
