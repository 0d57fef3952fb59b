"""How long something that failed is left alone before it is tried again.

The first failure costs nothing, so that one crash does not refuse the next call; from the second on the pause doubles up to a cap. What
stood for a while before it failed starts again at the first failure.
"""

import msgspec

FIRST_PAUSE_SECONDS = 0.5
"""After the second failure in a row: a Python server takes about this long to start."""

LONGEST_PAUSE_SECONDS = 60.0
"""A server that an operator just repaired is tried again within a minute."""

STABLE_SECONDS = 60.0
"""What stood this long did not fail because of how it was started."""

_MAX_DOUBLINGS = 16


class Backoff(msgspec.Struct, frozen=True, gc=False):
    """What is known about failures in a row."""

    failures: int = 0
    not_before: float = 0.0
    """On the clock of `now`: nothing is tried earlier."""

    def wait_seconds(self, now: float) -> float:
        """How long to wait; 0 if it may be tried now."""
        return max(0.0, self.not_before - now)


RESTED = Backoff()
"""Nothing failed yet."""


def failed(before: Backoff, stood_seconds: float, now: float) -> Backoff:
    """What is known after one more failure of something that stood for `stood_seconds`."""
    failures = 1 if stood_seconds >= STABLE_SECONDS else before.failures + 1
    if failures == 1:
        return Backoff(1, now)
    pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 2, _MAX_DOUBLINGS))
    return Backoff(failures, now + pause)
