"""One call to a legacy server that may ask back while a modern client comes and goes.

Source: MCP 2026-07-28, basic/patterns/mrtr. The call to the server runs as a task of its own. What it needs next is awaited with `next`:
a set of questions for the client, or its end. Between two rounds nobody awaits it; the parking store holds it then.

The states, and what leads from one to the next:

- WORKING: the client owes nothing. Questions that come are kept until somebody asks what is next.
- ASKING: questions are with the client.
- DONE: the server answered or failed, and nobody has read it yet. An answer of the client that comes now is too late and means nothing.
- OVER: read, or given up. Nothing leads away from it: a call is read once, and one that was given up is never resumed.
"""

import asyncio
import enum
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from customhouse.core.refusal import Reason, Refused

T = TypeVar("T")

MAX_OPEN_QUESTIONS = 16
"""That a server may have open at once within one call; more are declined."""

TOGETHER_SECONDS = 0.02
"""What a server asks within so much time of its first question goes to the client in the same round: a round costs a person more."""

MAX_OPEN_BYTES = 1_048_576
"""Of the open questions of one call, as JSON; what would go beyond is declined."""

Reply = dict[str, Any]
"""What a server's own request is answered with: `{"result": {...}}` or `{"error": {"code": ..., "message": ...}}`."""


class State(enum.Enum):
    """Where a call stands; the module tells what each means."""

    WORKING = "working"
    ASKING = "asking"
    DONE = "done"
    OVER = "over"


class Step(enum.Enum):
    """What happens to a call."""

    HAND_OUT = "questions go to the client"
    ANSWER = "the client answers"
    FINISH = "the server answers or fails"
    READ = "the end is read"
    GIVE_UP = "nobody waits any longer"


NEXT: Mapping[tuple[State, Step], State] = {
    (State.WORKING, Step.HAND_OUT): State.ASKING,
    (State.WORKING, Step.FINISH): State.DONE,
    (State.WORKING, Step.GIVE_UP): State.OVER,
    (State.ASKING, Step.ANSWER): State.WORKING,
    (State.ASKING, Step.FINISH): State.DONE,
    (State.ASKING, Step.GIVE_UP): State.OVER,
    (State.DONE, Step.ANSWER): State.DONE,
    (State.DONE, Step.READ): State.OVER,
    (State.DONE, Step.GIVE_UP): State.OVER,
    (State.OVER, Step.FINISH): State.OVER,
    (State.OVER, Step.GIVE_UP): State.OVER,
}
"""Every step that a state allows; any other is refused with PARKED_CALL_GONE."""


class Question(msgspec.Struct, frozen=True, gc=False):
    """A server's own request that waits for the client."""

    key: str
    """Its key among `inputRequests`; never used twice within a call."""
    method: str
    params: dict[str, Any]


class Finished(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """The call came to its end with this answer."""

    answer: T


class _Open(msgspec.Struct, frozen=True):
    """A question nobody has answered."""

    question: Question
    size_bytes: int
    answer: asyncio.Future[Reply]


class BridgedCall(Generic[T]):
    """One call; made by `Parking.start`, which ends it if nobody else does."""

    def __init__(self, work: Callable[["BridgedCall[T]"], Coroutine[Any, Any, T]], done: Callable[["BridgedCall[T]"], None]) -> None:
        """Start the call to the server. `done` hears when its task has ended, in whatever way."""
        self.state = State.WORKING
        self._open: dict[str, _Open] = {}
        self._handed: set[str] = set()
        self._asked = 0
        self._changed = asyncio.Event()
        self._work = asyncio.create_task(work(self))
        self._done = done
        self._work.add_done_callback(self._finish)

    @property
    def size_bytes(self) -> int:
        """What the open questions take as JSON."""
        return sum(each.size_bytes for each in self._open.values())

    @property
    def failed(self) -> bool:
        """The task of the call raised or was cancelled; only for a call whose task has ended."""
        return self._work.cancelled() or self._work.exception() is not None

    @property
    def result(self) -> T:
        """What the task of the call returned. Raises what it raised; only for a call whose task has ended."""
        return self._work.result()

    async def ask(self, method: str, params: dict[str, Any], revision: str = "") -> Reply:
        """A request of the server, for its adapter to call: waits until the client answers it, or declines where nobody will."""
        size = len(msgspec.json.encode(params))
        full = len(self._open) >= MAX_OPEN_QUESTIONS or self.size_bytes + size > MAX_OPEN_BYTES
        if full or self.state is State.DONE or self.state is State.OVER:
            return declined(method)
        self._asked += 1
        key = f"q{self._asked}"
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._open[key] = _Open(Question(key, method, params), size, answer)
        asyncio.get_running_loop().call_later(TOGETHER_SECONDS, self._changed.set)
        try:
            return await answer
        finally:
            self._open.pop(key, None)

    async def next(self) -> tuple[Question, ...] | Finished[T]:
        """What the call needs next: every open question, or its end. Raises what the call raised. A cancelled wait gives the call up."""
        try:
            while self.state is State.WORKING and not self._open:
                self._changed.clear()
                await self._changed.wait()
        except asyncio.CancelledError:
            self.cancel()
            raise
        if self.state is not State.WORKING:
            self._step(Step.READ)
            return Finished(self.result)
        self._step(Step.HAND_OUT)
        self._handed = set(self._open)
        return tuple(each.question for each in self._open.values())

    def answer(self, replies: Mapping[str, Reply]) -> None:
        """The client's replies by key. Keys that were not asked mean nothing; what stays open is handed out again.

        Raises `Refused` PARKED_CALL_GONE where no answer is awaited.
        """
        self._step(Step.ANSWER)
        for key in self._handed & self._open.keys() & replies.keys():
            _settle(self._open.pop(key), replies[key])
        self._handed = set()

    def give_up(self) -> None:
        """Nobody waits any longer: open questions are declined, and the server may still end the call in its own words."""
        self._step(Step.GIVE_UP)
        self._decline()

    def cancel(self) -> None:
        """Give up, and cancel the call at the server."""
        self.give_up()
        self._work.cancel()

    async def ended(self) -> None:
        """Wait until the task of the call has ended, in whatever way."""
        await asyncio.wait((self._work,))

    def _decline(self) -> None:
        for each in self._open.values():
            _settle(each, declined(each.question.method))
        self._changed.set()

    def _step(self, step: Step) -> None:
        state = NEXT.get((self.state, step))
        if state is None:
            raise Refused(Reason.PARKED_CALL_GONE, note=f"{step.value} while {self.state.value}")
        self.state = state

    def _finish(self, work: "asyncio.Task[T]") -> None:
        if not work.cancelled():
            work.exception()  # looked at here, so that a failure nobody reads is no warning of the loop
        self._step(Step.FINISH)
        self._decline()
        self._done(self)


def _settle(asked: _Open, reply: Reply) -> None:
    if not asked.answer.done():
        asked.answer.set_result(reply)


def declined(method: str) -> Reply:
    """The answer of a client that is not there: a person who dismissed the form, or an error where there is no such answer."""
    if method == "elicitation/create":
        return {"result": {"action": "cancel"}}
    return {"error": {"code": -32603, "message": "The client did not answer."}}
