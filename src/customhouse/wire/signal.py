"""Waiting without a task: a signal that one coroutine awaits, and a carrier that runs the coroutine on in the breath that sets it.

An asyncio task costs a turn of the loop to begin and another for every future it awaits, about 6 us a call together (measured with
`make bench`). A call that only waits for its server needs neither: the bytes that complete the answer run it on. Whatever else it awaits,
a connection that has to be made or a lock, makes it an ordinary task from there on.

A signal also behaves in a task, by the protocol that asyncio keeps for futures that are not its own (`_asyncio_future_blocking`,
Lib/asyncio/futures.py, isfuture).
"""

import asyncio
import inspect
import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from functools import partial
from typing import Any

Work = Coroutine[Any, Any, None]


class Signal:
    """Set once, or failed; awaited by one coroutine."""

    __slots__ = ("_asyncio_future_blocking", "_context", "_done", "_error", "_loop", "_task_wakes", "runs_on")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._done = False
        self._error: BaseException | None = None
        self._task_wakes: Callable[[Any], object] | None = None
        self._context: Context | None = None
        self._asyncio_future_blocking = False
        self.runs_on: Callable[[], None] | None = None
        """The carrier that waits."""

    def set(self) -> None:
        """What was waited for is there."""
        if not self._done:
            self._done = True
            if self.runs_on is not None:
                self.runs_on()
            elif self._task_wakes is not None:
                self._loop.call_soon(self._task_wakes, self, context=self._context)

    def fail(self, error: BaseException) -> None:
        """It will not come."""
        if not self._done:
            self._error = error
            self.set()

    def __await__(self) -> Generator["Signal", None, None]:
        if not self._done:
            self._asyncio_future_blocking = True
            yield self
        self.result()

    # What a task asks of a future that it awaits

    def result(self) -> None:
        """Raises what `fail` was given."""
        if self._error is not None:
            raise self._error

    def done(self) -> bool:
        """Whether it was set or failed."""
        return self._done

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop whose tasks may wait."""
        return self._loop

    def add_done_callback(self, callback: Callable[[Any], object], *, context: Context | None = None) -> None:
        """Call back in a later turn of the loop."""
        self._task_wakes, self._context = callback, context
        if self._done:
            self._loop.call_soon(callback, self, context=context)

    def cancel(self, msg: object = None) -> bool:
        """The task that waits is cancelled."""
        if self._done:
            return False
        self.fail(asyncio.CancelledError(*(() if msg is None else (msg,))))
        return True


class Carrier:
    """Carries one coroutine to its end; it must raise nothing but cancellation."""

    __slots__ = ("_others", "_rest", "_waits_for", "_work", "ended", "task")

    def __init__(self, work: Work, others: "set[Any]") -> None:
        """`others` are those that had to wait and are not done: this one is among them from its first wait to its end."""
        self._work = work
        self._others = others
        self._waits_for: Signal | None = None
        self.ended = False
        self._rest: Any = None
        self.task: asyncio.Task[None] | None = None
        """The task it has become."""

    def start(self) -> None:
        """Run until the first wait."""
        self._step()
        if not self.ended:
            self._others.add(self)

    def cancel(self, msg: object = None) -> asyncio.Handle | None:
        """Cancel the coroutine where it waits, in the next turn of the loop, as a task does; the message is a task's, too.

        Until then the handle takes it back.
        """
        return None if self.ended else asyncio.get_running_loop().call_soon(self._cancel)

    def _cancel(self) -> None:
        if self._rest is not None and inspect.getgeneratorstate(self._rest) == inspect.GEN_CREATED:
            self.cancel()  # a task that is cancelled before its first step never takes it, and the coroutine would never end
        elif self.task is not None:
            self.task.cancel()
        elif not self.ended and self._waits_for is not None:
            self._waits_for.runs_on = None
            self._step(asyncio.CancelledError())

    def __await__(self) -> Generator[Any, None, None]:
        """Wait for the end of the coroutine; for the few that wait for the many at a shutdown."""
        return self._until_ended().__await__()

    async def _until_ended(self) -> None:
        while not self.ended:
            if self.task is not None:
                await asyncio.wait([self.task])
            else:
                await asyncio.sleep(0.01)

    def _step(self, error: BaseException | None = None) -> None:
        global _carrier  # noqa: PLW0603 - one thread, one carrier at a time
        before, _carrier = _carrier, self
        try:
            waits_for = self._work.send(None) if error is None else self._work.throw(error)
        except (StopIteration, asyncio.CancelledError):
            self._end()
            return
        except BaseException:
            self._end()
            raise
        finally:
            _carrier = before
        if isinstance(waits_for, Signal):
            self._waits_for = waits_for
            waits_for.runs_on = self._step
        else:
            self._rest = _rest(self._work, waits_for)
            self.task = asyncio.get_running_loop().create_task(self._rest)
            self.task.add_done_callback(self._end)

    def _end(self, _: object = None) -> None:
        self.ended = True
        # A cancelled task holds every frame it went through, and these the call that leads to this carrier. Values that the collector does
        # not look at are among them, so such a ring would stay for good.
        self.task = self._waits_for = None
        self._others.discard(self)


_carrier: Carrier | None = None


def current() -> "Carrier | asyncio.Task[Any]":
    """What carries the coroutine that asks; it can be cancelled. Raises `RuntimeError` where nothing does."""
    running = _carrier or asyncio.current_task()
    if running is None:
        raise RuntimeError("no coroutine runs here")
    return running


@types.coroutine
def _rest(work: Work, waits_for: Any) -> Generator[Any, Any, None]:
    """The rest of a coroutine that was begun without a task, from the thing it awaits."""
    while True:
        try:
            sent = yield waits_for
        except BaseException as thrown:  # noqa: BLE001 - whatever is thrown in is for the coroutine
            step: Callable[[], Any] = partial(work.throw, thrown)
        else:
            step = partial(work.send, sent)
        try:
            waits_for = step()
        except StopIteration:
            return
