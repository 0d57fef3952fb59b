"""Deadlines of many waits, kept by one timer: a call costs two dictionary operations instead of a timer of its own.

The timer is set for the earliest deadline it has seen. Calls of one server end long before their deadlines, which grow with time, so it
fires about once per timeout, looks at what still waits, and is set anew.
"""

import asyncio
import math
from collections.abc import Callable

from customhouse.wire.signal import current


class Wait:
    """One bounded wait of the coroutine that began it. `late` says that it was cancelled: for its deadline, or by whoever let it expire."""

    __slots__ = ("_cancelling", "_carrier", "deadline", "late", "left")

    left: float
    """Seconds that were left when the wait was held."""
    _cancelling: asyncio.Handle | bool | None

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.late = False
        self._carrier = current()

    def expire(self) -> None:
        """Cancel the coroutine."""
        self.late = True
        self._cancelling = self._carrier.cancel()

    def end(self) -> None:
        """What was waited for came in the turn in which it was too late: the coroutine is not disturbed any more."""
        if isinstance(self._cancelling, asyncio.Handle):
            self._cancelling.cancel()

    def forgiven(self) -> bool:
        """Whether the cancellation that arrived was for the deadline alone, so that it may be turned into a refusal."""
        task = self._carrier if isinstance(self._carrier, asyncio.Task) else self._carrier.task
        return self.late and (task is None or task.uncancel() == 0)


class Deadlines:
    """The bounded waits of one loop, by the clock that is handed in."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._waits: set[Wait] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0.0

    def begin(self, deadline: float) -> Wait:
        """The running coroutine waits until `deadline` at most; to be followed by `end`."""
        wait = Wait(deadline)
        self._waits.add(wait)
        if self._timer is None or deadline < self._next:
            self._set(deadline)
        return wait

    def end(self, wait: Wait) -> None:
        """The wait is over."""
        self._waits.discard(wait)
        if wait.late:
            wait.end()

    def hold(self, wait: Wait) -> None:
        """The clock of a wait stands still from now on."""
        wait.left = wait.deadline - self._monotonic()
        wait.deadline = math.inf

    def release(self, wait: Wait) -> None:
        """The clock of a wait that was held runs on, with what was left."""
        wait.deadline = self._monotonic() + wait.left
        if wait in self._waits and (self._timer is None or wait.deadline < self._next):
            self._set(wait.deadline)

    def _set(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline == math.inf:  # all that waits is held
            return
        self._next = deadline
        self._timer = asyncio.get_running_loop().call_later(max(0.0, deadline - self._monotonic()), self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = self._monotonic()
        for wait in [wait for wait in self._waits if wait.deadline <= now]:
            self._waits.discard(wait)
            wait.expire()
        if self._waits:
            self._set(min(wait.deadline for wait in self._waits))
