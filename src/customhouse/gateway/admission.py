"""May one more come in now: the rates of callers and tenants, and the calls in flight at each server.

Kept in this process: one gateway process holds all of them, so nothing is counted twice.
"""

import math

from customhouse.core.budget import FULL, Rate, take
from customhouse.core.identity import Caller
from customhouse.core.manifest import ServerDefinition
from customhouse.core.refusal import Reason, Refused

_MAX_STATES = 100_000
"""Rates kept of callers, and of tenants. When there are more, those that nobody drew on lately go, which loses nothing; then the oldest."""


class Admission:
    """The limits of one gateway process."""

    def __init__(self, caller_rate: Rate, tenant_rate: Rate, max_requests_in_flight: int, max_streams_per_caller: int) -> None:
        self._caller_rate = caller_rate
        self._tenant_rate = tenant_rate
        self._max_in_flight = max_requests_in_flight
        self._max_streams = max_streams_per_caller
        self._callers: dict[str, float] = {}
        self._tenants: dict[str, float] = {}
        self._streams: dict[str, int] = {}
        self._at_server: dict[str, int] = {}
        self.in_flight = 0
        self.listening = 0

    def enter(self, count: int = 1) -> None:
        """So many more requests are inside. Raises `Refused` OVERLOADED; every success is followed by one `leave` of as many."""
        if self.in_flight + count > self._max_in_flight:
            raise Refused(Reason.OVERLOADED, {"retryAfterSeconds": 1}, headers=(("Retry-After", "1"),))
        self.in_flight += count

    def leave(self, count: int = 1) -> None:
        """Requests that came in are done."""
        self.in_flight -= count

    def step_aside(self, caller: Caller) -> None:
        """A request that came in only listens from now on, so it is not in the way of others. Raises `Refused` TOO_MANY_STREAMS; every
        success is followed by one `step_back`."""
        count = self._streams.get(caller.principal, 0)
        if count >= self._max_streams:
            detail = {"allowed": self._max_streams, "retryAfterSeconds": 1}
            raise Refused(Reason.TOO_MANY_STREAMS, detail, headers=(("Retry-After", "1"),))
        self._streams[caller.principal] = count + 1
        self.in_flight -= 1
        self.listening += 1

    def step_back(self, caller: Caller) -> None:
        """A request that stepped aside goes on; it is never refused for it."""
        self.in_flight += 1
        self.listening -= 1
        self._streams[caller.principal] -= 1
        if not self._streams[caller.principal]:
            del self._streams[caller.principal]

    def take(self, caller: Caller, now: float) -> None:
        """One request of a caller, against its own rate and its tenant's. Raises `Refused` RATE_LIMITED."""
        key = caller.context_digest
        self._callers[key], wait_seconds = take(self._callers.get(key, FULL), self._caller_rate, now)
        if not wait_seconds:
            key = caller.tenant
            self._tenants[key], wait_seconds = take(self._tenants.get(key, FULL), self._tenant_rate, now)
        if len(self._callers) > _MAX_STATES:
            _drop_full(self._callers, now)
        if wait_seconds:
            after = math.ceil(wait_seconds)
            raise Refused(Reason.RATE_LIMITED, {"retryAfterSeconds": after}, headers=(("Retry-After", str(after)),))

    def call(self, server: ServerDefinition) -> None:
        """One more call in flight at a server. Raises `Refused` BUSY; every success is followed by one `called`."""
        count = self._at_server.get(server.name, 0)
        if count >= server.max_concurrent_calls:
            raise Refused(Reason.BUSY, {"retryAfterSeconds": 1})
        self._at_server[server.name] = count + 1

    def called(self, server: ServerDefinition) -> None:
        """A call at a server has ended."""
        self._at_server[server.name] -= 1


def _drop_full(states: dict[str, float], now: float) -> None:
    for key in [key for key, full_at in states.items() if full_at <= now]:
        del states[key]
    while len(states) > _MAX_STATES // 2:
        del states[next(iter(states))]
