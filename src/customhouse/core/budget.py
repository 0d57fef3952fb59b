"""How often somebody may come in: a rate with a burst, its state one number.

Source: the virtual scheduling form of the generic cell rate algorithm (ITU-T I.371, annex A), which admits exactly what a token bucket
admits. The state is the time at which the bucket will be full again. Pure: time arrives as an argument.
"""

import msgspec


class Rate(msgspec.Struct, frozen=True, gc=False):
    """So many a second, and so many at once after a pause."""

    per_second: float
    burst: float


FULL = float("-inf")
"""The state of a bucket nobody has taken from."""

_ROUNDING_SECONDS = 1e-9


def take(full_at: float, rate: Rate, now: float) -> tuple[float, float]:
    """Take one: the new state, and 0, or else the seconds to wait until there is one. A refused taking costs nothing."""
    each = 1.0 / rate.per_second
    ends = (max(now, full_at)) + each
    wait_seconds = ends - now - rate.burst * each
    if wait_seconds <= _ROUNDING_SECONDS:
        return ends, 0.0
    return full_at, wait_seconds
