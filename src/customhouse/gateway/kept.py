"""The stream of one request in a legacy session, kept for a client that loses its connection.

Source: MCP 2025-11-25, basic/transports, Resumability and Redelivery, Sending Messages 6: a stream begins with an event that has an id and
no data, and a disconnection is no cancellation. Earlier revisions know ids of events, too, but not the empty first one, which a reader of
theirs takes for a message.
"""

from customhouse.core.protocol.replay import identified, opening
from customhouse.core.protocol.sessionid import Session
from customhouse.core.protocol.sse import event
from customhouse.ports.sessions import Streams

RETRY_MS = 1_000
"""How long a client waits before it comes back: a second is short for a person and long for a gateway that restarts."""

_FIRST_PRIMED = "2025-11-25"


class Kept:
    """One stream; an implementation of `gateway.arrival.Keeper`. It is kept from its first event on."""

    __slots__ = ("_streams", "began", "session", "stream")

    def __init__(self, streams: Streams, session: Session, stream: str) -> None:
        """`stream` are 32 fresh hexadecimal digits."""
        self._streams = streams
        self.session = session
        self.stream = stream
        self.began = False

    def opening(self) -> bytes:
        """See `gateway.arrival.Keeper`."""
        self._begin()
        return opening(self.stream, RETRY_MS) if self.session.revision >= _FIRST_PRIMED else b""

    def keep(self, data: bytes) -> bytes:
        """See `gateway.arrival.Keeper`."""
        self._begin()
        appended = self._streams.append(self.session, self.stream, data)
        if appended is None:
            return event(data)
        return b"" if appended.followed else identified(appended.event)

    def finish(self) -> None:
        """See `gateway.arrival.Keeper`."""
        if self.began:
            self._streams.finish(self.session, self.stream)

    def _begin(self) -> None:
        if not self.began:
            self.began = True
            self._streams.begin(self.session, self.stream)
