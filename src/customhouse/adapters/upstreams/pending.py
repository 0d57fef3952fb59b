"""One request in flight: its answer, what its caller has to hear first, what the server asks meanwhile, and its deadline.

A plain request costs one future and one timer. The clock stands still while a question of the server is with the caller.
"""

import asyncio
import functools
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from customhouse.ports.traffic import Ask, Listener, UpstreamAnswer

MAX_WAITING = 64
"""Messages that may wait for a slow caller; what comes beyond is dropped, of progress the older."""

MAX_WAITING_BYTES = 1_048_576
"""The same in bytes as the server sent them."""


class Pending:
    """One request in flight, waited for by the task that made it."""

    __slots__ = (
        "_closed",
        "_deadline",
        "_failure",
        "_late",
        "_loop",
        "_monotonic",
        "_settled",
        "_stopped_at",
        "_task",
        "_timer",
        "_waiter",
        "_waiting",
        "_waiting_bytes",
        "ask",
        "listener",
        "own_id",
        "questions",
        "questions_asked",
    )

    def __init__(self, own_id: int, ask: Ask, listener: Listener, monotonic: Callable[[], float]) -> None:
        self.own_id = own_id
        self.ask = ask
        self.listener = listener
        self.questions: dict[str | int, asyncio.Task[None]] = {}
        """Questions of the server that are with the caller, by the server's id."""
        self.questions_asked = 0
        self._monotonic = monotonic
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._settled: UpstreamAnswer | None = None
        self._failure: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._waiting: deque[tuple[str, dict[str, Any], int]] = deque()
        self._waiting_bytes = 0
        self._late = False
        self._closed = False
        self._deadline = ask.deadline
        self._stopped_at = 0.0
        self._timer = self._loop.call_later(max(0.0, ask.deadline - monotonic()), self._expire)

    @property
    def answered(self) -> bool:
        """The server owes nothing any more."""
        return self._settled is not None or self._failure is not None

    async def outcome(self) -> UpstreamAnswer:
        """The answer, after everything that was to be heard before it. Raises `Refused` if the request failed."""
        while True:
            while self._waiting and self._failure is None:
                method, params, size_bytes = self._waiting.popleft()
                self._waiting_bytes -= size_bytes
                self.listener.notify(method, params)
                if (full := self.listener.room()) is not None:
                    await full
            if self._failure is not None:
                raise self._failure
            if self._settled is not None:
                return self._settled
            self._waiter = self._loop.create_future()
            await self._waiter
            self._waiter = None

    def was_late(self) -> bool:
        """Whether the cancelling that just arrived is the deadline's own; it is undone then."""
        return self._late and self._task is not None and self._task.uncancel() == 0

    def close(self) -> None:
        """The request is over, however it ended: the timer and what is still being asked end with it."""
        self._closed = True
        self._timer.cancel()
        for task in list(self.questions.values()):
            task.cancel()

    # What the conversation does with it

    def settle(self, answer: UpstreamAnswer) -> None:
        """The answer is there."""
        if not self.answered:
            self._settled = answer
            self._wake()

    def fail(self, reason: BaseException) -> None:
        """There will be no answer."""
        if not self.answered:
            self._failure = reason
            self._wake()

    def hear(self, method: str, params: dict[str, Any], size_bytes: int) -> int:
        """Something to pass on before the answer. Returns how many messages found no room."""
        if self.answered:
            return 1
        dropped = 0
        if len(self._waiting) >= MAX_WAITING or self._waiting_bytes + size_bytes > MAX_WAITING_BYTES:
            newest = self._waiting[-1] if self._waiting else None
            if method != "notifications/progress" or newest is None or newest[0] != method:
                return 1
            self._waiting.pop()
            self._waiting_bytes -= newest[2]
            dropped = 1
        self._waiting.append((method, params, size_bytes))
        self._waiting_bytes += size_bytes
        self._wake()
        return dropped

    def question(self, message_id: str | int, work: Coroutine[Any, Any, None]) -> None:
        """A question of the server goes to the caller; the clock stands still until it is back."""
        self.questions_asked += 1
        if not self.questions:
            self._timer.cancel()
            self._stopped_at = self._monotonic()
        task = self._loop.create_task(work)
        self.questions[message_id] = task
        task.add_done_callback(functools.partial(self._back, message_id))

    def withdraw(self, message_id: object) -> None:
        """The server does not want to know any more."""
        if isinstance(message_id, str | int) and (task := self.questions.pop(message_id, None)) is not None:
            task.cancel()

    def _back(self, message_id: str | int, task: "asyncio.Task[None]") -> None:
        """A question is over. What broke in the listener breaks the call, as it does for what is merely heard."""
        self.questions.pop(message_id, None)
        if not task.cancelled() and (broke := task.exception()) is not None:
            self.fail(broke)
        if not self.questions and not self.answered and not self._closed:
            self._deadline += self._monotonic() - self._stopped_at
            self._timer = self._loop.call_later(max(0.0, self._deadline - self._monotonic()), self._expire)

    def _expire(self) -> None:
        self._late = True
        if self._task is not None:
            self._task.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
