"""A stream of a server that belongs to no call, kept open: opened again when it ends, after a pause that grows.

Sources: MCP 2025-11-25, basic/transports (Listening for Messages from the Server, Resumability): GET, 405 where there is none, and
`Last-Event-ID` after a break. MCP 2026-07-28, basic/patterns/subscriptions: the answer to `subscriptions/listen` is such a stream too.
"""

import asyncio
import enum
import logging
from collections.abc import Callable

from customhouse.adapters.upstreams.answers import Message, read_answer
from customhouse.adapters.upstreams.endpoint import Endpoint, is_event_stream
from customhouse.core.backoff import RESTED, failed
from customhouse.core.protocol.sse import EventReader, EventTooLarge
from customhouse.core.refusal import Refused
from customhouse.wire.client import Reply, ReplyBroken

log = logging.getLogger(__name__)

BURST_MESSAGES = 1_000
"""Messages that are read within a second; what comes faster stays where it is, which holds the server."""

LONGEST_RETRY_SECONDS = 60.0
"""A server that wants a longer pause is asked again after this one."""

_NO_SUCH_STREAM = frozenset({400, 404, 405, 406, 410, 415, 501})
_SESSION_GONE = 404


class Fate(enum.Enum):
    """Why a stream is not opened again."""

    UNOFFERED = "unoffered"
    """The server has no such stream."""
    GONE = "gone"
    """The server has forgotten the session."""


class StandingStream:
    """One such stream, in a task of its own."""

    def __init__(
        self,
        endpoint: Endpoint,
        request: Callable[[bytes], bytes],
        hear: Callable[[Message], None],
        over: Callable[[Fate], None],
        *,
        has_session: bool,
    ) -> None:
        """`request` makes the request, given the id of the last event or nothing; `over` hears why the stream is given up."""
        self.fate: Fate | None = None
        self.stands = False
        self._endpoint = endpoint
        self._request = request
        self._hear = hear
        self._over = over
        self._has_session = has_session
        self._reader = EventReader(endpoint.definition.max_result_bytes)
        self._messages = 0
        loop = asyncio.get_running_loop()
        self.tried: asyncio.Future[None] = loop.create_future()
        """Done once the server has answered the first time, or did not."""
        self._task = loop.create_task(self._run())
        self._task.add_done_callback(self._ended)

    def end(self) -> None:
        """End the stream for good; the server sees its connection end."""
        self._task.cancel()

    async def _run(self) -> None:
        backoff, now = RESTED, self._endpoint.now
        while True:
            began = now()
            try:
                self.fate = await self._once()
            except (Refused, ReplyBroken, TimeoutError, EventTooLarge) as broke:
                log.info("a stream of %s ended: %s", self._endpoint.definition.name, broke)
            self.stands = False
            self._try_is_over()
            if self.fate is not None:
                self._over(self.fate)
                return
            backoff = failed(backoff, now() - began, now())
            retry_seconds = min((self._reader.retry_ms or 0) / 1_000, LONGEST_RETRY_SECONDS)
            await asyncio.sleep(max(retry_seconds, backoff.wait_seconds(now())))

    async def _once(self) -> Fate | None:
        """Open the stream and read it to its end."""
        self._reader.restart()
        async with asyncio.timeout(self._endpoint.definition.connect_timeout_seconds):
            connection, reply = await self._endpoint.send_anew(self._request(self._reader.last_event_id))
        try:
            if reply.status == _SESSION_GONE and self._has_session:
                return Fate.GONE
            if reply.status in _NO_SUCH_STREAM or (reply.status == 200 and not is_event_stream(reply)):
                return Fate.UNOFFERED
            if reply.status != 200:
                log.info("status %d in place of a stream of %s", reply.status, self._endpoint.definition.name)
                return None
            self.stands = True
            self._try_is_over()
            await self._read(reply)
        finally:
            connection.abort()
        return None

    async def _read(self, reply: Reply) -> None:
        loop = asyncio.get_running_loop()
        since, heard = loop.time(), 0
        async for chunk in reply.chunks():
            for data in self._reader.feed(chunk):
                self._hear(read_answer(data))
                heard += 1
            if heard >= BURST_MESSAGES:
                await asyncio.sleep(max(0.0, since + 1.0 - loop.time()))
                since, heard = loop.time(), 0

    def _try_is_over(self) -> None:
        if not self.tried.done():
            self.tried.set_result(None)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._try_is_over()
        if not task.cancelled() and (broke := task.exception()) is not None:
            log.error("a stream of %s is not heard any more", self._endpoint.definition.name, exc_info=broke)
