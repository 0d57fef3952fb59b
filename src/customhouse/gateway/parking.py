"""Calls to legacy servers that wait for a modern client's answer: held between two rounds, each to be taken once.

A handle is fresh for each round and opens one wait. One that was taken, expired, or belongs to another process is gone: the call is never
made again for it, since the server may have acted already. What nobody takes in time is declined, gets `GRACE_SECONDS` to end in its own
words, and is then cancelled at its server. The same happens to a call whose questions went out and which nobody parked.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

import msgspec

from customhouse.core.refusal import Reason, Refused
from customhouse.gateway.bridging import BridgedCall, State
from customhouse.ports.traffic import Clock

T = TypeVar("T")

GRACE_SECONDS = 5.0
"""From declining a question that nobody answered to cancelling its call, and from finding a call that nobody parked to giving it up."""


class ParkingLimits(msgspec.Struct, frozen=True):
    """How many calls may wait, and how much their questions, or an end that nobody has read yet, may take."""

    max_per_caller: int
    max_calls: int
    max_bytes_per_caller: int
    max_bytes: int


class _Parked(msgspec.Struct, Generic[T]):
    """One call that waits."""

    call: BridgedCall[T]
    owner: str
    expires_at: float
    size_bytes: int


class _Use(msgspec.Struct):
    """What one caller has waiting."""

    calls: int = 0
    size_bytes: int = 0


class Parking(Generic[T]):
    """Every bridged call of this process, running or waiting."""

    def __init__(self, limits: ParkingLimits, clock: Clock, new_id: Callable[[], str], size_of: Callable[[T], int]) -> None:
        """`new_id` gives 32 fresh hexadecimal digits, `size_of` the bytes that an answer of a server holds."""
        self._limits = limits
        self._clock = clock
        self._new_id = new_id
        self._size_of = size_of
        self._running: set[BridgedCall[T]] = set()
        self._parked: dict[str, _Parked[T]] = {}
        self._handles: dict[BridgedCall[T], str] = {}
        self._uses: dict[str, _Use] = {}
        self._size_bytes = 0
        self._leaving: OrderedDict[BridgedCall[T], float] = OrderedDict()
        self._closed = False

    def __len__(self) -> int:
        """How many calls wait for a client."""
        return len(self._parked)

    @property
    def running(self) -> int:
        """How many calls have not ended at their server."""
        return len(self._running)

    def start(self, work: Callable[[BridgedCall[T]], Coroutine[Any, Any, T]]) -> BridgedCall[T]:
        """Start a call; `work` gets the call, whose `ask` takes the server's requests. Raises `Refused` DRAINING after `close`."""
        if self._closed:
            raise Refused(Reason.DRAINING)
        call = BridgedCall(work, self._ended)
        self._running.add(call)
        return call

    def park(self, call: BridgedCall[T], owner: str, expires_at: float) -> str:
        """Hold a call whose questions went out until its owner takes it; its handle for this one round. `expires_at`: monotonic seconds.

        Raises `Refused` PARKING_FULL, or DRAINING after `close`; then the call is cancelled.
        """
        size = call.size_bytes
        if self._closed or not self._has_room(owner, 1, size):
            call.cancel()
            raise Refused(Reason.DRAINING if self._closed else Reason.PARKING_FULL)
        handle = self._handles[call] = self._new_id()
        self._parked[handle] = _Parked(call, owner, expires_at, size)
        self._use(owner, 1, size)
        return handle

    def take(self, handle: str, owner: str) -> BridgedCall[T]:
        """The call that waits under a handle, for good. Raises `Refused` PARKED_CALL_GONE for anything else, another's handle included."""
        parked = self._parked.get(handle)
        if parked is None or parked.owner != owner or parked.expires_at <= self._clock.monotonic():
            raise Refused(Reason.PARKED_CALL_GONE)
        self._remove(handle)
        return parked.call

    def sweep(self) -> None:
        """Give up what nobody took in time, and cancel what did not end after it; called once a second."""
        now = self._clock.monotonic()
        for handle in [handle for handle, parked in self._parked.items() if parked.expires_at <= now]:
            call = self._remove(handle).call
            if call.state is not State.DONE:
                self._leaving[call] = now + GRACE_SECONDS
            call.give_up()
        for call in self._running:
            if self._is_forgotten(call):
                self._leaving.setdefault(call, now + GRACE_SECONDS)
        while self._leaving and next(iter(self._leaving.values())) <= now:
            call, _ = self._leaving.popitem(last=False)
            if call.state is State.OVER or self._is_forgotten(call):
                call.cancel()

    def _is_forgotten(self, call: BridgedCall[T]) -> bool:
        """Its questions are out, but no retry could find it."""
        return call.state is State.ASKING and call not in self._handles

    async def close(self) -> None:
        """Cancel every call and wait until each has ended."""
        self._closed = True
        for handle in list(self._parked):
            self._remove(handle)
        running = list(self._running)
        for call in running:
            call.cancel()
        await asyncio.gather(*(call.ended() for call in running))

    def _has_room(self, owner: str, calls: int, size_bytes: int) -> bool:
        use, limits = self._uses.get(owner, _Use()), self._limits
        return (
            use.calls + calls <= limits.max_per_caller
            and use.size_bytes + size_bytes <= limits.max_bytes_per_caller
            and len(self._parked) + calls <= limits.max_calls
            and self._size_bytes + size_bytes <= limits.max_bytes
        )

    def _use(self, owner: str, calls: int, size_bytes: int) -> None:
        use = self._uses.setdefault(owner, _Use())
        use.calls += calls
        use.size_bytes += size_bytes
        if not use.calls:
            del self._uses[owner]
        self._size_bytes += size_bytes

    def _remove(self, handle: str) -> _Parked[T]:
        parked = self._parked.pop(handle)
        del self._handles[parked.call]
        self._use(parked.owner, -1, -parked.size_bytes)
        return parked

    def _ended(self, call: BridgedCall[T]) -> None:
        """The task of a call has ended. If the call waits for its client, it now holds an answer, which has to fit as questions do."""
        self._running.discard(call)
        self._leaving.pop(call, None)
        handle = self._handles.get(call)
        if handle is not None and not call.failed:
            parked, size = self._parked[handle], self._size_of(call.result)
            if self._has_room(parked.owner, 0, size):
                parked.size_bytes += size
                self._use(parked.owner, 0, size)
            else:
                self._remove(handle).call.give_up()
