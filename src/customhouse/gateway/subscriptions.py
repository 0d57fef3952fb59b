"""Subscriptions at servers: one per server, session there and resource, however many clients want to hear of it.

Source: MCP 2025-11-25, server/resources, Subscriptions. The first who wants to hear subscribes, the last who leaves unsubscribes; how a
server is asked in its own revision is the adapter's affair.
"""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

import msgspec

from customhouse.core.permit import Permit
from customhouse.core.refusal import Refused
from customhouse.ports.traffic import Ask, Clock, Upstreams

log = logging.getLogger(__name__)

Source = tuple[str, str, str]
"""Server, whose session there, and URI."""


class ServerSaidNo(Exception):
    """The server answered a subscription with an error of its own."""

    def __init__(self, error: dict[str, Any], revision: str) -> None:
        super().__init__(error.get("code"))
        self.error = error
        self.revision = revision


class _Held:
    """One subscription at a server."""

    __slots__ = ("ask", "granted", "holders", "lock", "users")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.holders = 0
        self.users = 0
        """Holders, and those that are about to be or to leave."""
        self.granted: Permit
        self.ask: Ask


class Subscriptions:
    """Counts who holds which subscription."""

    def __init__(self, upstreams: Upstreams, clock: Clock) -> None:
        self._upstreams = upstreams
        self._clock = clock
        self._held: dict[Source, _Held] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._held)

    async def take(self, granted: Permit, ask: Ask) -> Source:
        """Hold a subscription, made at the server if nobody holds it yet. Every success is followed by one `release`.

        `ask` is the `resources/subscribe`. Raises `ServerSaidNo`, and `Refused` as a call does.
        """
        source = (granted.server.name, granted.session_key, str(ask.params["uri"]))
        held = self._held.setdefault(source, _Held())
        held.users += 1
        try:
            async with held.lock:
                if not held.holders:
                    answered = await self._upstreams.call(granted, ask, DEAF)
                    if answered.error is not None:
                        raise ServerSaidNo(answered.error, answered.revision)
                    held.granted, held.ask = granted, ask
                held.holders += 1
        except BaseException:
            self._leave(source, held)
            raise
        return source

    def release(self, source: Source) -> None:
        """Let a subscription go; behind the last one it ends at the server, in the background."""
        leaving = asyncio.get_running_loop().create_task(self._release(source, self._held[source]))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def _release(self, source: Source, held: _Held) -> None:
        async with held.lock:
            held.holders -= 1
            if not held.holders:
                deadline = self._clock.monotonic() + held.granted.server.call_timeout_seconds
                ask = msgspec.structs.replace(held.ask, method="resources/unsubscribe", deadline=deadline)
                try:
                    await self._upstreams.call(held.granted, ask, DEAF)
                except Refused as refused:
                    log.info("%s: a subscription was not taken back: %s", source[0], refused.reason.name)
        self._leave(source, held)

    def _leave(self, source: Source, held: _Held) -> None:
        held.users -= 1
        if not held.users:
            del self._held[source]

    async def close(self) -> None:
        """Stop taking subscriptions back; the sessions at the servers end with the process."""
        for leaving in list(self._leaving):
            leaving.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)


class _Deaf:
    """Hears nothing: a subscription is no call whose progress somebody follows."""

    def notify(self, method: str, params: dict[str, Any]) -> None:
        """See `ports.traffic.Listener`."""

    def room(self) -> Awaitable[None] | None:
        """See `ports.traffic.Listener`."""
        return None

    async def ask(self, method: str, params: dict[str, Any], revision: str) -> dict[str, Any]:
        """See `ports.traffic.Listener`. Nothing was declared, so nothing gets here."""
        return {"error": {"code": -32601, "message": "The client does not offer this."}}


DEAF = _Deaf()
