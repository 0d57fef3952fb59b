"""Instants as text and back, by arithmetic alone: RFC 3339, Unix seconds, the proleptic Gregorian calendar.

Source: RFC 3339 section 5.6; days are counted as in "chrono-Compatible Low-Level Date Algorithms" (H. Hinnant), in years that begin in
March, so that the day of a leap year comes last.
"""

import math
import re
from typing import Final

DAY_SECONDS: Final = 86_400
_INSTANT = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})[Tt](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
    r"(?P<fraction>\.[0-9]{1,9})?(?:[Zz]|(?P<sign>[+-])(?P<offset_hour>[0-9]{2}):(?P<offset_minute>[0-9]{2}))"
)
_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def instant_text(unix_seconds: float) -> str:
    """UTC to the millisecond, cut, not rounded: `2025-08-07T13:15:04.280Z`. Raises `ValueError` outside the years 0 to 9999."""
    milliseconds = math.floor(round(unix_seconds * 1_000_000) / 1_000)
    days, within = divmod(milliseconds, DAY_SECONDS * 1_000)
    year, month, day = _date(days)
    if not 0 <= year <= 9_999:
        raise ValueError("The year has no four digits.")
    seconds, milliseconds = divmod(within, 1_000)
    return f"{year:04}-{month:02}-{day:02}T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{milliseconds:03}Z"


def read_instant(text: str) -> float:
    """The Unix seconds of an RFC 3339 date and time. Raises `ValueError`. A leap second is the first second of the next minute."""
    fits = _INSTANT.fullmatch(text)
    if fits is None:
        raise ValueError("This is not a date and time as in RFC 3339.")
    year, month, day = (int(fits[name]) for name in ("year", "month", "day"))
    hour, minute, second = (int(fits[name]) for name in ("hour", "minute", "second"))
    ahead_hours, ahead_minutes = int(fits["offset_hour"] or 0), int(fits["offset_minute"] or 0)
    if not 1 <= month <= 12 or not 1 <= day <= _length(year, month) or hour > 23 or minute > 59 or second > 60:
        raise ValueError("There is no such day or time.")
    if ahead_hours > 23 or ahead_minutes > 59:
        raise ValueError("There is no such offset.")
    ahead = (ahead_hours * 3600 + ahead_minutes * 60) * (-1 if fits["sign"] == "-" else 1)
    return _days(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second + float(fits["fraction"] or 0) - ahead


def moment_text(unix_seconds: float) -> str:
    """UTC to the second, cut: `2025-08-07T13:15:04Z`. Raises `ValueError` outside the years 0 to 9999."""
    return f"{instant_text(unix_seconds)[:19]}Z"


def day_of(unix_seconds: float) -> str:
    """The day in UTC: `2025-08-07`. Raises `ValueError` outside the years 0 to 9999."""
    return instant_text(unix_seconds)[:10]


def read_moment(text: str) -> int:
    """Unix seconds of an RFC 3339 date and time in whole seconds, or of the begin of a day (UTC), `2025-08-07`. Raises `ValueError`."""
    seconds = read_instant(f"{text}T00:00:00Z" if is_day(text) else text)
    if not seconds.is_integer():
        raise ValueError("This is no whole second.")
    return int(seconds)


def is_day(text: str) -> bool:
    """Whether a moment is written as a day."""
    return len(text) == len("2025-08-07")


def end_of_day(day: str) -> int:
    """Unix seconds of the first moment after a day in UTC. Raises `ValueError`."""
    return read_moment(day) + DAY_SECONDS


def _length(year: int, month: int) -> int:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 28 if month == 2 and not leap else _LENGTHS[month - 1]


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01."""
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


def _date(days: int) -> tuple[int, int, int]:
    era, of_era = divmod(days + 719_468, 146_097)
    year_of_era = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * of_year + 2) // 153
    month = (shifted + 2) % 12 + 1
    return era * 400 + year_of_era + (month <= 2), month, of_year - (153 * shifted + 2) // 5 + 1
