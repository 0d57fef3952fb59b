"""What each conversation has read, in the memory of this process.

A conversation is a principal: tenant, person or workload, and client, as the issuer vouched for them. Nothing that a client chooses parts
it: with a session, a progress token or a trace id of its own, whoever read something stays who read it.

The table is bounded and fails closed. When it is full, the conversation that read something longest ago gives way, and what it had read is
kept as a *floor*: until that has decayed, everybody who is not in the table counts as having read it too.
A second process knows nothing of what was read through the first, and a restart forgets; see the manual's page of screening.
"""

from customhouse.core.flow import CLEAN, NOTHING_READ, Tainted
from customhouse.ports.traffic import Clock

_RENEWED_AFTER_SECONDS = 1.0
"""What was read again within a second is not written down again."""


class Taints:
    """By principal, the one that read something longest ago first."""

    def __init__(self, clock: Clock, taint_seconds: float, max_conversations: int) -> None:
        self._clock = clock
        self._seconds = taint_seconds
        self._max = max_conversations
        self._kept: dict[str, Tainted] = {}
        self._floor = NOTHING_READ

    def of(self, principal: str) -> int:
        """What this principal's conversation has read."""
        kept = self._kept.get(principal, self._floor)
        return CLEAN if kept is NOTHING_READ else kept.at(self._clock.monotonic())

    def add(self, principal: str, taint: int) -> None:
        """An answer is about to leave: from now on the conversation has read it."""
        if not taint:
            return
        now = self._clock.monotonic()
        kept = self._kept.get(principal, self._floor)
        if kept is not self._floor and kept.at(now + self._seconds - _RENEWED_AFTER_SECONDS) & taint == taint:
            return
        self._kept.pop(principal, None)
        while len(self._kept) >= self._max:
            self._give_way(now)
        self._kept[principal] = kept.until(taint, now + self._seconds)

    def _give_way(self, now: float) -> None:
        oldest = self._kept.pop(next(iter(self._kept)))
        if oldest.ends > now:
            self._floor |= oldest
