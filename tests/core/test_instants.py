"""Instants as text and back, held against the standard library."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.instants import day_of, end_of_day, instant_text, moment_text, read_instant, read_moment

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
ZONES = st.builds(lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes)), st.integers(-1439, 1439))
TIMES = st.datetimes(timezones=ZONES)


@given(TIMES)
def test_any_instant_is_read_as_the_standard_library_reads_it(time: datetime.datetime) -> None:
    text = time.isoformat(timespec="microseconds")
    assert read_instant(text) == pytest.approx((time - EPOCH).total_seconds(), abs=1e-5)


@given(st.datetimes(timezones=st.just(datetime.UTC)))
def test_any_instant_is_written_as_the_standard_library_writes_it(time: datetime.datetime) -> None:
    seconds = (time - EPOCH) / datetime.timedelta(seconds=1)
    written = (EPOCH + datetime.timedelta(microseconds=round(seconds * 1_000_000))).isoformat(timespec="milliseconds")
    assert instant_text(seconds) == written.replace("+00:00", "Z")


@given(st.integers(-(10**10), 2 * 10**11))
def test_milliseconds_survive_the_way_there_and_back(milliseconds: int) -> None:
    assert round(read_instant(instant_text(milliseconds / 1000)) * 1000) == milliseconds


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "2025-08-07",
            "2025-08-07T13:15",
            "2025-08-07 13:15:04Z",
            "2025-08-07T13:15:04",
            "25-08-07T13:15:04Z",
            "2025-13-01T00:00:00Z",
        ),
        *("2025-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2025-04-31T00:00:00Z", "2025-01-00T00:00:00Z", "2025-01-01T24:00:00Z"),
        *(
            "2025-01-01T00:60:00Z",
            "2025-01-01T00:00:61Z",
            "2025-01-01T00:00:00+24:00",
            "2025-01-01T00:00:00+00:60",
            "２025-01-01T00:00:00Z",
        ),
    ],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no such|RFC 3339"):
        read_instant(text)


def test_a_leap_day_and_a_leap_second_are_there() -> None:
    assert read_instant("2000-02-29t00:00:00z") == 951_782_400
    assert read_instant("2016-12-31T23:59:60Z") == read_instant("2017-01-01T00:00:00Z")


@pytest.mark.parametrize("seconds", [-62_167_219_200.001, 253_402_300_800.0])
def test_a_year_without_four_digits_cannot_be_written(seconds: float) -> None:
    with pytest.raises(ValueError, match="four digits"):
        instant_text(seconds)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-02", 86_400),
        ("2027-01-31T18:00:00Z", 1_801_418_400),
        ("2027-01-31T19:00:00+01:00", 1_801_418_400),
    ],
)
def test_a_moment_is_a_day_or_a_time_in_whole_seconds(text: str, seconds: int) -> None:
    assert read_moment(text) == seconds
    assert read_moment(moment_text(seconds)) == seconds


@pytest.mark.parametrize(
    "text", ["", "noon", "2027-02-30", "2027-01-31 18:00", "2027-01-31T18:00:00", "2027-01-31T18:00:00.5Z", "٢٠٢٧-01-31"]
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_moment(text)


def test_a_day_ends_where_the_next_one_begins() -> None:
    assert end_of_day("2026-12-31") == read_moment("2027-01-01")
    assert day_of(end_of_day("2026-12-31") - 1) == "2026-12-31"
    assert day_of(end_of_day("2026-12-31")) == "2027-01-01"
