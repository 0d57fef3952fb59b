"""Token buckets: how often somebody may come in.

Pure: time arrives as an argument, the state is a value.
"""

import msgspec


class Rate(msgspec.Struct, frozen=True, gc=False):
    """So many a second, and so many at once after a pause."""

    per_second: float
    burst: float


class Bucket(msgspec.Struct, frozen=True, gc=False):
    """The state of one bucket."""

    tokens: float
    at: float
    """Monotonic seconds when `tokens` was true."""


def full(rate: Rate, now: float) -> Bucket:
    """A bucket nobody has taken from."""
    return Bucket(rate.burst, now)


def take(bucket: Bucket, rate: Rate, now: float) -> tuple[Bucket, float]:
    """Take one token: the new state, and 0, or else the seconds to wait until there is one. A refused taking costs nothing."""
    tokens = min(rate.burst, bucket.tokens + max(0.0, now - bucket.at) * rate.per_second)
    if tokens >= 1.0:
        return Bucket(tokens - 1.0, now), 0.0
    return Bucket(tokens, now), (1.0 - tokens) / rate.per_second
