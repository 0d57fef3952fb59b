"""What a server says on the stream of one call, passed on as it arrives.

Progress and log messages go from the bytes of the server to those of the caller without running the call's coroutine, which runs on for
the answer, for a failure, or to wait for a caller that reads slowly. Sources: MCP 2026-07-28, basic/transports/streamable-http; MCP
2025-11-25, basic/transports (Sending Messages to the Server 6, Resumability and Redelivery).
"""

from collections.abc import Awaitable, Iterator
from typing import Any, Protocol

import msgspec

from customhouse.adapters.upstreams.answers import Message, answer_of, broken, plain_progress, plain_result, read_answer
from customhouse.core.protocol.sse import EventReader, EventTooLarge
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.traffic import Ask, Listener, UpstreamAnswer
from customhouse.wire.client import Reply
from customhouse.wire.deadlines import Wait

_TOGETHER_BYTES = 65_536
"""What goes to the caller before anybody looks whether it takes it; also where a transport says that it is full."""

OF_ONE_CALL = frozenset({"notifications/message", "notifications/elicitation/complete"})


_decode_batch = msgspec.json.Decoder(list[msgspec.Raw]).decode


class StreamLost(Exception):
    """The stream ended without the answer."""


class Dialogue(Protocol):
    """What a legacy server may do while it works on one call: ask, withdraw what it asked, and have its stream taken up again."""

    wait: Wait
    """How long the call may take; the clock stands still while a question is with the caller."""
    failure: BaseException | None
    """What ended the call while it waited, if something did."""

    @property
    def has_session(self) -> bool:
        """The server named the session."""

    @property
    def session_head(self) -> bytes:
        """The headers that name the session."""

    def hear(self, message: Message) -> None:
        """A request of the server's own."""

    def withdraw(self, message_id: object) -> None:
        """The server does not want to know any more."""

    def overhear(self, method: str, params: dict[str, Any]) -> None:
        """A notification that does not belong to the call."""


class CallStream:
    """The stream that answers one request."""

    __slots__ = ("_answer", "_ask", "_dialogue", "_events", "_failure", "_full", "_listener", "_max_bytes", "_own_id", "_reader")

    def __init__(self, own_id: int, ask: Ask, listener: Listener, max_bytes: int, dialogue: Dialogue | None) -> None:
        """`dialogue` is None in the modern era, which has none."""
        self._own_id = own_id
        self._ask = ask
        self._listener = listener
        self._max_bytes = max_bytes
        self._dialogue = dialogue
        self._reader = EventReader(max_bytes)
        self._events: Iterator[bytes] = iter(())
        self._answer: UpstreamAnswer | None = None
        self._failure: Refused | None = None
        self._full: Awaitable[None] | None = None

    @property
    def may_be_resumed(self) -> bool:
        """The server gave its events ids, so the stream can be taken up again where it ended."""
        return self._dialogue is not None and self._reader.last_event_id != b""

    @property
    def last_event_id(self) -> bytes:
        """The id of the last event that was read."""
        return self._reader.last_event_id

    @property
    def retry_ms(self) -> int | None:
        """The pause that the server asked for."""
        return self._reader.retry_ms

    def resuming_request(self, get_head: bytes) -> bytes:
        """The request for what comes after the last event; what was half read is forgotten."""
        self._reader.restart()
        session_head = b"" if self._dialogue is None else self._dialogue.session_head
        return b"%b%blast-event-id: %b\r\n\r\n" % (get_head, session_head, self._reader.last_event_id)

    async def read(self, reply: Reply) -> UpstreamAnswer:
        """The answer at the end of the stream. Raises `Refused`, `StreamLost` or `wire.client.ReplyBroken`."""
        while True:
            if self._full is None and reply.unread:
                self._take(reply.arrived())
            if self._failure is not None:
                raise self._failure
            if self._answer is not None:
                return self._answer
            if self._full is not None:
                reply.hold()
                await self._full
                self._full = None
                self._pass_on()
            elif not reply.unread:
                reply.take()
                if reply.complete:
                    raise StreamLost("the stream ended without an answer")
                await reply.more(self._take)

    def _take(self, data: bytes) -> bool:
        """What has arrived; whether the coroutine has to run on."""
        self._events = self._reader.feed(data)
        return self._pass_on()

    def _pass_on(self) -> bool:
        """The events that have arrived, as far as the caller takes them; whether the coroutine has to run on."""
        size_bytes = 0
        try:
            for event in self._events:
                self._answer = self._hear(event) if self._dialogue is None or not event.startswith(b"[") else self._hear_all(event)
                if self._answer is not None:
                    return True
                size_bytes += len(event)
                if size_bytes > _TOGETHER_BYTES:
                    size_bytes = 0
                    self._full = self._listener.room()
                    if self._full is not None:
                        return True
        except EventTooLarge:
            self._failure = Refused(Reason.RESULT_TOO_LARGE, {"allowedBytes": self._max_bytes})
            return True
        except Refused as refused:
            self._failure = refused
            return True
        self._full = self._listener.room()
        return self._full is not None

    def _hear(self, data: bytes) -> UpstreamAnswer | None:
        """One message: the answer, something to pass on, or something that the gateway itself answers."""
        if (params := plain_progress(data)) is not None:
            self._progress(params)
            return None
        if (result := plain_result(data, self._own_id)) is not None:
            return UpstreamAnswer(result)
        message = read_answer(data)
        method = message.method
        if not method:
            if message.id != self._own_id:
                raise broken("an answer for another request")
            return answer_of(message)
        if message.id is not None:
            if self._dialogue is None:
                raise broken("a request of the server in the modern era")
            self._dialogue.hear(message)
        elif method == "notifications/progress":
            self._progress(message.params())
        elif method in OF_ONE_CALL:
            self._listener.notify(method, message.params())
        elif self._dialogue is not None:
            if method == "notifications/cancelled":
                self._dialogue.withdraw(message.params().get("requestId"))
            else:
                self._dialogue.overhear(method, message.params())
        return None

    def _hear_all(self, data: bytes) -> UpstreamAnswer | None:
        """A batch: a server of 2025-03-26 may send several messages as one."""
        try:
            parts = _decode_batch(data)
        except (ValueError, RecursionError):
            raise broken("a batch that is no JSON") from None
        found: UpstreamAnswer | None = None
        for part in parts:
            found = self._hear(bytes(part)) or found
        return found

    def _progress(self, params: dict[str, Any]) -> None:
        if self._ask.wants_progress and params.get("progressToken") == self._own_id:
            self._listener.notify("notifications/progress", params)
