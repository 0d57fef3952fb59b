"""What a modern server over Streamable HTTP tells outside of calls: one subscription for all callers, on a stream of its own.

Source: MCP 2026-07-28, basic/patterns/subscriptions: the filter of a subscription cannot be changed, so another one takes its place, and
the one before goes on until that stands; the first message says what the server agrees to tell; nothing is told again after a break.
"""

import asyncio
from typing import Any

from customhouse.adapters.upstreams.answers import Message, broken
from customhouse.adapters.upstreams.duplex import CLIENT_INFO
from customhouse.adapters.upstreams.endpoint import Endpoint, encode, framed
from customhouse.adapters.upstreams.overhearing import Overhearing
from customhouse.adapters.upstreams.standing import Fate, StandingStream
from customhouse.adapters.upstreams.watching import MAX_WATCHED, Watching
from customhouse.core.protocol.revisions import META_CAPABILITIES, META_CLIENT, META_VERSION, NEWEST_MODERN
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.traffic import Ask, Hearing, UpstreamAnswer

METHOD = "subscriptions/listen"

UNOFFERED_SECONDS = 3_600.0
"""How long a server that has no subscriptions is not asked for one again on the gateway's own account."""

_META = {META_VERSION: NEWEST_MODERN, META_CAPABILITIES: {}, META_CLIENT: CLIENT_INFO}


class Subscription:
    """One filter on a stream that is opened again when it ends, each time with another id."""

    def __init__(self, endpoint: Endpoint, overhearing: Overhearing, wanted: dict[str, Any]) -> None:
        self.agreed: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        """What the server agreed to tell when it was asked first; empty if it agreed to nothing."""
        self._endpoint = endpoint
        self._overhearing = overhearing
        self._wanted = wanted
        self._own_id = 0
        head = f"mcp-protocol-version: {NEWEST_MODERN}\r\nmcp-method: {METHOD}\r\n".encode()
        self._head = endpoint.head + head
        self.stream = StandingStream(endpoint, self._request, self._hear, self._over, has_session=False)

    def end(self) -> None:
        """Another one has taken its place, or nobody wants to know any more."""
        self._overhearing.end(self._own_id)
        self.stream.end()

    def _request(self, _: bytes) -> bytes:
        self._overhearing.end(self._own_id)
        self._own_id = next(self._endpoint.ids)
        agreed = asyncio.get_running_loop().create_future() if self.agreed.done() else self.agreed
        self._overhearing.subscriptions[self._own_id] = agreed
        params = {"notifications": self._wanted, "_meta": _META}
        return framed(self._head, encode({"jsonrpc": "2.0", "id": self._own_id, "method": METHOD, "params": params}))

    def _hear(self, message: Message) -> None:
        if not message.method:
            self._overhearing.end(self._own_id)  # the server ends the subscription, or never granted it
        elif message.id is not None:
            raise broken("a request of the server in the modern era")
        else:
            self._overhearing.hear(message.method, message.params(), modern=True)

    def _over(self, _: Fate) -> None:
        self._overhearing.end(self._own_id)


class Listening:
    """Who wants to hear what of one server."""

    def __init__(self, endpoint: Endpoint, hearing: Hearing) -> None:
        self.attended = False
        """The gateway itself wants to hear of changed lists."""
        self.kinds: dict[str, Any] = {}
        """The changes of lists that the server says it tells, as a filter."""
        self._endpoint = endpoint
        self._watching = Watching()
        self._overhearing = Overhearing(endpoint.definition.name, hearing, self._watching.subscribers_of)
        self._current: Subscription | None = None
        self._turn = asyncio.Lock()
        self._not_before = 0.0

    async def subscribe(self, session_key: str, ask: Ask) -> UpstreamAnswer:
        """`resources/subscribe` and `resources/unsubscribe` of a caller. Raises `Refused`."""
        uri, begins = str(ask.params.get("uri")), ask.method == "resources/subscribe"
        async with self._turn:
            before = self._watching.uris
            if not begins:
                self._watching.discard(uri, session_key)
            elif uri in self._watching or len(self._watching) < MAX_WATCHED:
                self._watching.add(uri, session_key)
            try:
                agreed = before if self._watching.uris == before else await self._replace(ask.deadline)
            except BaseException:
                self._watching.discard(uri, session_key)
                raise
            if uri not in agreed:
                self._watching.discard(uri, session_key)
        if not begins or uri in self._watching:
            return UpstreamAnswer({}, None, NEWEST_MODERN)
        untold = {"code": -32602, "message": "The server does not tell changes of this resource."}
        return UpstreamAnswer(None, untold, NEWEST_MODERN)

    async def _replace(self, deadline: float) -> list[Any]:
        """Listen to what is wanted now; returns the resources whose changes the server agrees to tell. Raises `Refused`."""
        wanted, before = self._filter(), self._current
        if not wanted:
            self._current = None
            if before is not None:
                before.end()
            return []
        fresh = Subscription(self._endpoint, self._overhearing, wanted)
        said: dict[str, Any] = {}
        try:
            async with asyncio.timeout(deadline - self._endpoint.now()):
                said = await asyncio.shield(fresh.agreed)
        except TimeoutError:
            raise Refused(Reason.UPSTREAM_TIMED_OUT) from None
        finally:
            self._current, stale = (fresh, before) if said else (before, fresh)
            if stale is not None:
                stale.end()
        if not said and fresh.stream.fate is Fate.UNOFFERED:
            self._not_before = self._endpoint.now() + UNOFFERED_SECONDS
        resources = said.get("resourceSubscriptions")
        return resources if isinstance(resources, list) else []

    def _filter(self) -> dict[str, Any]:
        if not len(self._watching):
            return self.kinds if self.attended else {}
        return {**self.kinds, "resourceSubscriptions": self._watching.uris}

    @property
    def stands(self) -> bool:
        """Whether the server tells something now."""
        return self._current is not None and self._current.stream.stands

    def sweep(self, now: float) -> None:
        """Pass on what was held back, and listen where the gateway itself wants to; called once a second."""
        self._overhearing.sweep()
        if self._current is None and now >= self._not_before and not self._turn.locked() and self._filter():
            self._not_before = now + self._endpoint.definition.connect_timeout_seconds
            self._endpoint.errand(self._listen_again(self._not_before))

    async def _listen_again(self, deadline: float) -> None:
        async with self._turn:
            try:
                await self._replace(deadline)
            except Refused:
                self._not_before = self._endpoint.now() + _AGAIN_SECONDS

    def close(self) -> None:
        """Nobody listens any more."""
        self.attended = False
        if self._current is not None:
            self._current.end()


_AGAIN_SECONDS = 30.0
"""How long a server that did not say what it agrees to is left alone."""
