"""Whatever is in a record, it fits."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from customhouse.adapters.ledgers.fitting import fit, fitting_body, shorten
from customhouse.adapters.ledgers.frames import MAX_RECORD_BYTES, read_record, record_body
from customhouse.core.record import Record

TEXTS = tuple(field.name for field in msgspec.structs.fields(Record) if field.type is str)
LENGTHS = st.sampled_from([0, 1, 127, 500, 5_000, 70_000])
LONG_TEXTS = st.builds(lambda character, length: character * length, st.characters(), LENGTHS)


@given(st.dictionaries(st.sampled_from(TEXTS), LONG_TEXTS), st.lists(LONG_TEXTS, max_size=50), st.lists(LONG_TEXTS, max_size=64))
def test_every_record_fits_and_keeps_its_numbers(texts: dict[str, str], reasons: list[str], groups: list[str]) -> None:
    record = msgspec.structs.replace(Record(kind="closing", at=1.5, took_us=9), **texts, reasons=tuple(reasons), groups=tuple(groups))
    body = fitting_body(record)
    assert len(body) <= MAX_RECORD_BYTES
    assert b"\n" not in body
    assert (read_record(body).at, read_record(body).took_us) == (1.5, 9)


def test_the_widest_record_there_can_be_fits() -> None:
    texts = dict.fromkeys(TEXTS, "\x01" * 20_000)
    widest = msgspec.structs.replace(Record(kind="", at=1.0), **texts, reasons=("\x01" * 10_000,) * 100, groups=("\x01" * 10_000,) * 64)
    assert len(record_body(fit(widest))) <= MAX_RECORD_BYTES
    assert (fit(widest).groups, fit(widest).groups_left_out) == ((), 64)


def test_a_record_that_fits_stays_as_it_is() -> None:
    record = Record(kind="closing", at=1.0, name="x" * 60_000)
    assert fit(record) is record


def test_a_shortened_string_says_how_much_is_missing() -> None:
    shortened = shorten(Record(kind="closing", at=1.0, name="x" * 1_000), 100).name
    kept, _, missing = shortened.partition("…[+")
    assert len(shortened) <= 100
    assert len(kept) + int(missing.rstrip("]")) == 1_000


def test_too_many_reasons_say_how_many_are_missing() -> None:
    reasons = shorten(Record(kind="closing", at=1.0, reasons=tuple(f"rule-{n}" for n in range(100))), 100).reasons
    assert len(reasons) == 32
    assert reasons[-1] == "…[+69 reasons]"
