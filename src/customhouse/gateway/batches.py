"""Batches of 2025-03-26: several messages in one POST, each carried as if it had come alone.

Source: MCP 2025-03-26, basic (Batching: a receiver MUST take them), basic/lifecycle (`initialize` is never part of one); JSON-RPC 2.0,
section 6. Later revisions have none (2025-06-18, changelog). Every message is authorised, counted against the caller's rate and recorded
on its own; the answers go back as one array, behind whatever was said meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import msgspec

from customhouse.core.protocol.sessionid import Session
from customhouse.core.refusal import Reason, Refused
from customhouse.gateway.arrival import Arrival, Keeper, Passed, Reply
from customhouse.gateway.call import JSON, Answer

REVISION = "2025-03-26"
"""The only one with batches."""

MAX_MESSAGES = 64
"""In one batch: as many calls as a server has in flight at most by default."""

_encode = msgspec.json.Encoder().encode


def check_batch(values: Sequence[Any], session: Session) -> None:
    """Raises `Refused` INVALID_MESSAGE for what is no batch of this session."""
    if session.revision != REVISION:
        raise Refused(Reason.INVALID_MESSAGE, message=f"There are no batches in {session.revision}.")
    if not 0 < len(values) <= MAX_MESSAGES:
        raise Refused(Reason.INVALID_MESSAGE, message=f"A batch has between one and {MAX_MESSAGES} messages.")
    if any(type(value) is list for value in values):
        raise Refused(Reason.INVALID_MESSAGE, message="A batch holds no batch.")
    if any(type(value) is dict and value.get("method") == "initialize" for value in values):
        raise Refused(Reason.INVALID_MESSAGE, message="`initialize` is never part of a batch.")


async def answer_batch(
    values: Sequence[Any], arrival: Arrival, reply: Reply, answer: Callable[[Arrival, Reply], Coroutine[Any, Any, None]]
) -> Answer:
    """The answers to all messages of a batch; `answer` carries one of them."""
    answers: list[bytes] = []
    tasks = []
    for value in values:
        alone = Arrival(
            arrival.path, arrival.query, arrival.headers, _encode(value), arrival.started, Passed(), arrival.has_parameter_headers
        )
        part = _Part(reply, answers)
        part.carried_by = asyncio.get_running_loop().create_task(answer(alone, part))
        tasks.append(part.carried_by)
    try:
        await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        for task in tasks:
            task.cancel()
    return Answer(200, JSON, b"[" + b",".join(answers) + b"]") if answers else Answer(202, b"", b"")


class _Part:
    """The way back of one message of a batch."""

    def __init__(self, whole: Reply, answers: list[bytes]) -> None:
        self._whole = whole
        self._answers = answers
        self.keeper: Keeper | None = None
        self.bytes_out = 0
        self.carried_by: asyncio.Task[None] | None = None

    def whole(self, status: int, headers: bytes, *body: bytes) -> None:
        """See `gateway.arrival.Reply`. A status of its own has no place in a batch."""
        if answer := b"".join(body):
            self._answers.append(answer)

    def event(self, data: bytes) -> None:
        """See `gateway.arrival.Reply`."""
        self.bytes_out += len(data)
        self._whole.event(data)

    def room(self) -> Awaitable[None] | None:
        """See `gateway.arrival.Reply`."""
        return self._whole.room()

    def send(self, stream: bytes) -> None:
        """See `gateway.arrival.Reply`. Nothing that listens is part of a batch."""

    def hold(self) -> Awaitable[None]:
        """See `gateway.arrival.Reply`. Nothing that listens is part of a batch."""
        return asyncio.get_running_loop().create_future()

    def let_go(self) -> None:
        """See `gateway.arrival.Reply`."""

    @property
    def full(self) -> bool:
        """See `gateway.arrival.Reply`."""
        return self._whole.full

    def end(self) -> None:
        """See `gateway.arrival.Reply`. What was cancelled has no answer."""

    def may_wait(self) -> None:
        """See `gateway.arrival.Reply`."""
        self._whole.may_wait()

    def cancel_when_left(self) -> None:
        """See `gateway.arrival.Reply`. Batches are of legacy clients, whose leaving cancels nothing."""

    def give_up(self) -> None:
        """See `gateway.arrival.Reply`."""
        if self.carried_by is not None:
            self.carried_by.cancel()

    @property
    def connected(self) -> bool:
        """See `gateway.arrival.Reply`."""
        return self._whole.connected
