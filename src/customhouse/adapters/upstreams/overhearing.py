"""What a server says outside of calls: that a list or a resource changed. Storms are coalesced.

Sources: MCP 2025-11-25, server/tools, prompts, resources (List Changed, Subscriptions); MCP 2026-07-28, basic/patterns/subscriptions: in
the modern era every message carries the id of the subscription it belongs to. The first message of a kind passes at once, all others of
the same kind until the next sweep pass as one.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from customhouse.ports.traffic import Hearing

META_SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"

MAX_URIS = 1_000
"""Resources told about between two sweeps, per channel; more are dropped: no revision promises that every change is told."""

_LISTS = {
    "notifications/tools/list_changed": "tools",
    "notifications/prompts/list_changed": "prompts",
    "notifications/resources/list_changed": "resources",
}


class Overhearing:
    """What one channel says outside of calls, on its way to the one who hears it."""

    def __init__(self, server: str, hearing: Hearing, subscribers_of: Callable[[str], Iterable[str]]) -> None:
        self.subscriptions: dict[int, asyncio.Future[dict[str, Any]]] = {}
        """Listen requests of a modern channel by id, and what the server agreed to tell."""
        self.dropped = 0
        """Messages that were not passed on: unknown ones, ones that nobody subscribed to, and what a storm had too much of."""
        self._server = server
        self._hearing = hearing
        self._subscribers_of = subscribers_of
        self._told: set[tuple[str, str]] = set()
        self._again: set[tuple[str, str]] = set()

    def hear(self, method: str, params: dict[str, Any], *, modern: bool) -> None:
        """One notification that belongs to no call."""
        kind, uri = _LISTS.get(method, ""), params.get("uri")
        subscription = self._subscription(params) if modern else None
        if modern and subscription is None:
            self.dropped += 1
        elif subscription is not None and method == "notifications/subscriptions/acknowledged":
            agreed = params.get("notifications")
            _settle(subscription, agreed if isinstance(agreed, dict) else {})
        elif kind:
            self._note((kind, ""))
        elif method == "notifications/resources/updated" and type(uri) is str:
            self._note(("", uri))
        else:
            self.dropped += 1

    def sweep(self) -> None:
        """Pass on what was held back; called once a second."""
        self._told, self._again = self._again, set()
        for what in self._told:
            self._tell(what)

    def end(self, own_id: int) -> None:
        """A subscription is over; if it was never agreed to, the server tells nothing."""
        if (subscription := self.subscriptions.pop(own_id, None)) is not None:
            _settle(subscription, {})

    def _subscription(self, params: dict[str, Any]) -> "asyncio.Future[dict[str, Any]] | None":
        meta = params.get("_meta")
        named = meta.get(META_SUBSCRIPTION) if isinstance(meta, dict) else None
        return self.subscriptions.get(named) if type(named) is int else None

    def _note(self, what: tuple[str, str]) -> None:
        if what in self._told:
            self._again.add(what)
        elif len(self._told) >= MAX_URIS:
            self.dropped += 1
        else:
            self._told.add(what)
            self._tell(what)

    def _tell(self, what: tuple[str, str]) -> None:
        kind, uri = what
        if kind:
            self._hearing.changed(self._server, kind)
        else:
            for session_key in self._subscribers_of(uri):
                self._hearing.updated(self._server, session_key, uri)


def _settle(subscription: "asyncio.Future[dict[str, Any]]", agreed: dict[str, Any]) -> None:
    if not subscription.done():
        subscription.set_result(agreed)
