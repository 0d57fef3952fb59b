"""What the data plane keeps of legacy clients between their requests: sessions as they change, and streams to resume."""

from collections.abc import AsyncGenerator, Callable
from typing import Protocol

import msgspec

from customhouse.core.protocol.replay import StoredEvent
from customhouse.core.protocol.sessionid import Session


class Remembered(msgspec.Struct, frozen=True, gc=False):
    """What a session said so far."""

    log_level: str = ""
    """The least severity it wants to hear; empty until it said one."""
    subscriptions: frozenset[str] = frozenset()
    """URIs of resources."""


class Sessions(Protocol):
    """What changes in sessions. What does not stands in their ids, so an id that nothing is kept about is as good as a new one.

    Every method but `watch` raises `Refused` SESSION_UNKNOWN for a session that ended or expired, whichever it was.
    """

    async def begin(self, session: Session) -> None:
        """A session was opened just now. The caller's least recently seen one ends if it has as many as it may.

        Raises `Refused` TOO_MANY_SESSIONS if the gateway has as many as it may.
        """

    async def enter(self, session: Session) -> Remembered:
        """A request of a session came: it was seen now. What is kept about it.

        Raises `Refused` TOO_MANY_SESSIONS as `begin` does where nothing was kept about it here yet.
        """

    async def set_log_level(self, session: Session, level: str) -> None:
        """Remember the least severity this session wants to hear."""

    async def subscribe(self, session: Session, uri: str) -> None:
        """Remember a subscription. Raises `Refused` TOO_MANY_SUBSCRIPTIONS."""

    async def unsubscribe(self, session: Session, uri: str) -> None:
        """Forget a subscription, if there is one."""

    async def end(self, session: Session) -> None:
        """End it: the id is refused from now until it would have expired."""

    def watch(self, session: Session, ended: Callable[[], None], *, holds: bool) -> Callable[[], None]:
        """Call `ended` once when the session ends in whatever way, at once if it has; the returned function takes the watch away.

        While a watch `holds`, as an open stream does, the session does not idle; it still expires.
        """

    def sweep(self) -> None:
        """End what idled or expired; called once a second."""


class Appended(msgspec.Struct, frozen=True, gc=False):
    """An event that was taken into a stream."""

    event: StoredEvent
    followed: bool
    """A later connection follows the stream: the event goes out there, and to nobody else."""


class Streams(Protocol):
    """Events of the streams of sessions, for clients that lost a connection.

    One process writes a stream, and whoever says something has no time to wait: a store elsewhere writes behind.
    """

    def begin(self, session: Session, stream: str) -> None:
        """A stream begins; `stream` are 32 fresh hexadecimal digits. One that finished earlier may have to go for it."""

    def append(self, session: Session, stream: str, data: bytes) -> Appended | None:
        """The next event of a stream. None where the stream is no longer kept: then it goes out without an id."""

    def finish(self, session: Session, stream: str) -> None:
        """Nothing more comes in this stream; its events are kept for a while longer."""

    async def follow(self, session: Session, last_event_id: str) -> AsyncGenerator[StoredEvent, None]:
        """Every event of that very stream after that very event, those that still come included, until the stream finishes.

        Another `follow` of the same stream ends this one; whoever stops early closes it. Raises `Refused` EVENTS_GONE, here or later,
        where an event after it is no longer kept; and here for an id of another session or of none.
        """

    async def forget(self, session: Session) -> None:
        """Drop all streams of a session that ended; who follows one hears its end."""

    def sweep(self) -> None:
        """Drop what was finished long enough ago; called once a second."""
