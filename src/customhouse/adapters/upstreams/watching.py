"""Who subscribed to which resource of a modern server, whose one channel tells all of them.

Source: MCP 2026-07-28, basic/patterns/subscriptions: the filter of a subscription cannot be changed, so a new one takes its place; the
resource of an update may lie below the one that was subscribed to.
"""

from collections.abc import Iterator

MAX_WATCHED = 1_000
"""Resources watched per server."""


class Watching:
    """Subscribers by resource."""

    def __init__(self) -> None:
        self._subscribers: dict[str, set[str]] = {}

    def __contains__(self, uri: str) -> bool:
        return uri in self._subscribers

    def __len__(self) -> int:
        return len(self._subscribers)

    @property
    def uris(self) -> list[str]:
        """Everything that somebody subscribed to."""
        return sorted(self._subscribers)

    def add(self, uri: str, session_key: str) -> None:
        """Somebody subscribed."""
        self._subscribers.setdefault(uri, set()).add(session_key)

    def discard(self, uri: str, session_key: str) -> None:
        """Somebody ended a subscription, or it was not granted."""
        subscribers = self._subscribers.get(uri, set())
        subscribers.discard(session_key)
        if not subscribers:
            self._subscribers.pop(uri, None)

    def subscribers_of(self, uri: str) -> Iterator[str]:
        """Whoever subscribed to this resource or to one above it, each once."""
        told: set[str] = set()
        for watched, subscribers in self._subscribers.items():
            if uri == watched or uri.startswith(watched.rstrip("/") + "/"):
                yield from subscribers - told
                told |= subscribers
