"""Questions that wait for a legacy client: sent as requests of the gateway on the stream of the call they belong to, answered by a POST.

Sources: MCP 2025-11-25, basic/transports (Sending Messages to the Server 4 and 6: a response is a POST of its own; the server may send
requests on the stream before its response) and basic/lifecycle (Timeouts). An answer counts for a question of its own session alone.
"""

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from customhouse.core.catalogue import Entry
from customhouse.core.protocol.interaction import Question
from customhouse.gateway.arrival import Reply
from customhouse.gateway.call import Call, encode

MAX_OPEN_PER_SESSION = 64
"""Questions that one session may have open; a person answers a handful."""

NOT_ANSWERED: Mapping[str, Any] = {"error": {"code": -32603, "message": "The client did not answer."}}


@dataclass(frozen=True, slots=True, eq=False)
class OpenQuestion:
    """A question that is with a client."""

    call: Call
    """The call that it belongs to."""
    entry: Entry
    """Whose server asks."""
    answer: asyncio.Future[dict[str, Any]]

    def settle(self, said: Mapping[str, Any]) -> None:
        """The one answer; what comes after it means nothing."""
        if not self.answer.done():
            self.answer.set_result(dict(said))


class Questions:
    """The open questions of all sessions."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], OpenQuestion] = {}
        self._counts: dict[str, int] = {}
        self._ids = itertools.count(1)

    def __len__(self) -> int:
        """How many questions wait."""
        return len(self._open)

    async def put(self, session_key: str, call: Call, entry: Entry, question: Question, timeout_seconds: float) -> dict[str, Any]:
        """Ask the client of a call, and wait for its `{"result": ...}` or `{"error": ...}`. Who does not answer in time has answered with
        an error."""
        if self._counts.get(session_key, 0) >= MAX_OPEN_PER_SESSION:
            return dict(NOT_ANSWERED)
        message_id = f"customhouse-{next(self._ids)}"
        key = session_key, message_id
        reply, answer = call.reply, asyncio.get_running_loop().create_future()
        self._open[key] = OpenQuestion(call, entry, answer)
        self._counts[session_key] = self._counts.get(session_key, 0) + 1
        try:
            reply.event(encode({"jsonrpc": "2.0", "id": message_id, "method": question.method, "params": question.params}))
            if (full := reply.room()) is not None:
                await full
            return await asyncio.wait_for(answer, timeout_seconds)
        except TimeoutError:
            self._withdraw(reply, message_id)
            return dict(NOT_ANSWERED)
        except asyncio.CancelledError:
            self._withdraw(reply, message_id)
            raise
        finally:
            del self._open[key]
            self._forget(session_key)

    def asked(self, session_key: str, message_id: object) -> OpenQuestion | None:
        """The question that this session was asked under an id; None for an answer to nothing."""
        return self._open.get((session_key, message_id)) if type(message_id) is str else None

    def _withdraw(self, reply: Reply, message_id: str) -> None:
        """Nobody wants to know any more (2025-11-25, basic/utilities/cancellation)."""
        reply.event(encode({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": message_id}}))

    def _forget(self, session_key: str) -> None:
        self._counts[session_key] -= 1
        if not self._counts[session_key]:
            del self._counts[session_key]
