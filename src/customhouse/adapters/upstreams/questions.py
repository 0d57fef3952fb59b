"""What a legacy server asks while it works on one call over Streamable HTTP, put to the caller and answered within the session.

Sources: MCP 2025-11-25, basic/transports (Sending Messages to the Server 6), client/elicitation, client/sampling, client/roots: what was
not declared is answered with -32601, a mode that was not with -32602. The call's clock stands still while a question is with its caller.
"""

import asyncio
from collections.abc import Awaitable, Coroutine, Mapping
from functools import partial
from typing import Any, Protocol

from customhouse.adapters.upstreams.answers import Message, broken
from customhouse.core.protocol.interaction import KINDS, Question, problem_of
from customhouse.ports.traffic import Listener
from customhouse.wire.deadlines import Wait

MAX_QUESTIONS = 100
"""Questions of a server within one call; the gateway answers the next one itself."""


class Asking(Protocol):
    """What the questions of a call have to know of its session."""

    capabilities: Mapping[str, Any]
    """Declared to the server, in the modern form, cut to what its revision can express."""
    revision: str
    has_id: bool
    """The server named the session."""
    own_head: bytes
    """The headers that name the session and its revision."""

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message within the session, whose fate nobody waits for."""

    def overhear(self, method: str, params: dict[str, Any]) -> None:
        """A notification that belongs to no call."""

    def errand(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Do something that ends by itself."""

    def hold(self, wait: Wait) -> None:
        """The clock of a call stands still from now on."""

    def release(self, wait: Wait) -> None:
        """It runs on."""


class Asked:
    """The questions of one call; implements `stream.Dialogue`."""

    __slots__ = ("_closed", "_count", "_listener", "_open", "_session", "failure", "wait")

    def __init__(self, session: Asking, listener: Listener) -> None:
        self._session = session
        self._listener = listener
        self._open: dict[str | int, asyncio.Task[dict[str, Any]]] | None = None
        """Questions that are with the caller, by the server's id; None while there was none, as in nearly every call."""
        self._count: int
        self._closed = False
        self.wait: Wait
        self.failure: BaseException | None = None

    @property
    def has_session(self) -> bool:
        """The server named the session."""
        return self._session.has_id

    @property
    def session_head(self) -> bytes:
        """The headers that name the session and its revision."""
        return self._session.own_head

    def overhear(self, method: str, params: dict[str, Any]) -> None:
        """A notification that does not belong to the call."""
        self._session.overhear(method, params)

    def hear(self, message: Message) -> None:
        """A request of the server's own. Raises `Refused` UPSTREAM_BROKE_PROTOCOL for a second question with an id that is open."""
        message_id = message.id
        if message_id is None:
            raise broken("a request without an id")
        if self._open is None:
            self._open, self._count = {}, 0
        if answer := own_answer(message, self._session.capabilities):
            self._session.tell({"id": message_id, **answer})
        elif self._count >= MAX_QUESTIONS:
            self._session.tell({"id": message_id, **refusal(-32603, "Too many questions within one request.")})
        elif message_id in self._open:
            raise broken("two questions with one id")
        else:
            self._count += 1
            if not self._open:
                self._session.hold(self.wait)
            asking = asyncio.get_running_loop().create_task(self._ask(message.method, message.params()))
            self._open[message_id] = asking
            asking.add_done_callback(partial(self._back, message_id))

    def notify(self, method: str, params: dict[str, Any]) -> None:
        """Something that was said outside of the call's own stream and can belong to no other call."""
        self._listener.notify(method, params)
        if (full := self._listener.room()) is not None:
            self._session.errand(_wait(full))

    def withdraw(self, message_id: object) -> None:
        """The server does not want to know any more."""
        if self._open and isinstance(message_id, str | int) and (task := self._open.pop(message_id, None)) is not None:
            task.cancel()
            self._go_on()

    def close(self) -> None:
        """The call is over, however it ended: what is still being asked ends with it."""
        self._closed = True
        if self._open:
            for task in self._open.values():
                task.cancel()
            self._open.clear()

    async def _ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        return await self._listener.ask(method, params, self._session.revision)

    def _back(self, message_id: str | int, asking: "asyncio.Task[dict[str, Any]]") -> None:
        """A question is over. What ended it otherwise than by an answer ends the call."""
        if not self._open or self._open.get(message_id) is not asking:  # withdrawn, or the call is over
            if not asking.cancelled():
                asking.exception()  # nobody is left to tell
            return
        del self._open[message_id]
        broke = None if asking.cancelled() else asking.exception()
        if not asking.cancelled() and broke is None:
            self._session.tell({"id": message_id, **asking.result()})
            self._go_on()
            return
        self._session.tell({"id": message_id, **refusal(-32603, "The question was not answered.")})
        self.failure = broke or asyncio.CancelledError()
        self.wait.expire()

    def _go_on(self) -> None:
        if not self._open and not self._closed:
            self._session.release(self.wait)


async def _wait(full: Awaitable[None]) -> None:
    """What makes room for a slow caller; the stream outside of calls is for others too, so it is not held."""
    await full


def own_answer(message: Message, capabilities: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the gateway itself answers to a request of a server; None if it is a question for the caller, given what was declared."""
    method = message.method
    if method == "ping":
        return {"result": {}}
    if KINDS.get(method) not in capabilities:
        return refusal(-32601, "The client does not offer this.")
    problem = problem_of(Question(method, message.params()), capabilities)
    return refusal(-32602, f"The client is not asked this: {problem}.") if problem else None


def refusal(code: int, sentence: str) -> dict[str, Any]:
    """An error as the answer to a server's request."""
    return {"error": {"code": code, "message": sentence}}
