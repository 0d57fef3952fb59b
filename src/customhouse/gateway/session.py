"""What a legacy client says between its requests: the log level it wants, and which request it gives up.

Calls in flight are kept per session. For clients that never named one, calls and levels are kept per authorisation context and endpoint,
in bounded memory.
"""

from collections import OrderedDict

from customhouse.core.protocol.revisions import LOG_LEVELS
from customhouse.gateway.arrival import Reply

_MAX_LEVELS = 10_000
_DEFAULT_LEVEL = "info"
_RANK = {level: rank for rank, level in enumerate(LOG_LEVELS)}

Peer = tuple[str, str]
"""Name of the session, or authorisation context where there is none; and endpoint path."""


class Peers:
    """Log levels and calls in flight of legacy clients."""

    def __init__(self) -> None:
        self._levels: OrderedDict[Peer, str] = OrderedDict()
        self._in_flight: dict[tuple[Peer, str | int], list[Reply]] = {}

    def set_level(self, peer: Peer, level: str) -> None:
        """Remember the least severity this peer wants to hear."""
        self._levels[peer] = level
        self._levels.move_to_end(peer)
        if len(self._levels) > _MAX_LEVELS:
            self._levels.popitem(last=False)

    def level(self, peer: Peer) -> str:
        """The least severity this peer wants to hear; `info` until it said something."""
        return self._levels.get(peer, _DEFAULT_LEVEL)

    def begin(self, peer: Peer, message_id: str | int, reply: Reply) -> None:
        """A request is on its way; this is the way back."""
        self._in_flight.setdefault((peer, message_id), []).append(reply)

    def finish(self, peer: Peer, message_id: str | int, reply: Reply) -> None:
        """The request has come to its end."""
        replies = self._in_flight[(peer, message_id)]
        replies.remove(reply)
        if not replies:
            del self._in_flight[(peer, message_id)]

    def cancel(self, peer: Peer, message_id: object) -> bool:
        """Cancel the one request of this id. Without a session two clients of one person may use the same id: then none is cancelled,
        since a receiver may ignore a cancellation but must not end somebody else's call."""
        if type(message_id) is not str and type(message_id) is not int:
            return False
        replies = self._in_flight.get((peer, message_id), [])
        if len(replies) != 1:
            return False
        replies[0].give_up()
        return True

    def leave(self, session_key: str) -> None:
        """A session was ended by its client: nobody can hear the answers to its calls in flight any more, so they are cancelled."""
        for peer, replies in [(peer, replies) for (peer, _), replies in self._in_flight.items()]:
            for reply in replies if peer[0] == session_key else ():
                reply.give_up()


def severe_enough(level: object, least: str) -> bool:
    """Whether a message of a level is to be passed on. An unknown level is not."""
    return type(level) is str and _RANK.get(level, -1) >= _RANK[least]
