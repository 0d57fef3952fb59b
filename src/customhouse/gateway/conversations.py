"""Sessions of legacy clients on their way through the exchange: opened by `initialize`, entered by every request that names one, ended.

Source: MCP 2025-11-25, basic/transports, Session Management. An id that is foreign, ended, expired or made up gets one and the same 404,
on which a client opens a new session.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from customhouse.core.identity import Caller
from customhouse.core.manifest import Era
from customhouse.core.protocol.capabilities import declared
from customhouse.core.protocol.envelope import Message
from customhouse.core.protocol.revisions import ERA_OF
from customhouse.core.protocol.sessionid import Session
from customhouse.gateway.arrival import Arrival
from customhouse.gateway.session import Peers
from customhouse.gateway.sessionids import SessionIds
from customhouse.ports.sessions import Remembered, Sessions, Streams

SESSION_HEADER = b"mcp-session-id"


def names_session(arrival: Arrival) -> bool:
    """Whether a request without a message is one of a legacy session: for modern clients the header means nothing."""
    headers = arrival.headers
    version = headers.get(b"mcp-protocol-version", b"").decode("latin-1")
    return SESSION_HEADER in headers and ERA_OF.get(version) is not Era.MODERN


@dataclass
class Conversations:
    """What is known of legacy clients between their requests."""

    ids: SessionIds
    sessions: Sessions
    streams: Streams
    ended: Callable[[str], None]
    """Hears the key of every session that was opened here and ended, in whatever way."""
    peers: Peers = field(default_factory=Peers)
    """What clients said and asked that is not over yet."""

    async def open(self, caller: Caller, endpoint: str, revision: str, message: Message) -> tuple[Session, str]:
        """A new session and its id, for a client that said `initialize`; the session speaks `revision`.

        Raises `Refused` TOO_MANY_SESSIONS.
        """
        said, info = message.params.get("capabilities"), message.params.get("clientInfo")
        can = declared(said if type(said) is dict else {}, revision)
        session, text = self.ids.mint(caller, endpoint, revision, can, info if type(info) is dict else {})
        await self.sessions.begin(session)
        self.sessions.watch(session, partial(self.ended, session.key), holds=False)
        return session, text

    async def enter(self, text: bytes, caller: Caller, endpoint: str) -> tuple[Session, Remembered]:
        """The session that a request names, and what it said so far. Raises `Refused` SESSION_REQUIRED, SESSION_UNKNOWN or
        TOO_MANY_SESSIONS."""
        session = self.ids.open(text.decode("latin-1"), caller, endpoint)
        return session, await self.sessions.enter(session)

    async def end(self, session: Session) -> None:
        """End a session: its id counts no more, its calls are cancelled, its open streams close, and nothing of them is kept.

        Raises `Refused` SESSION_UNKNOWN.
        """
        self.peers.leave(session.key)
        await self.sessions.end(session)
        await self.streams.forget(session)

    def sweep(self) -> None:
        """Once a second: end what idled or expired, and drop events nobody came back for."""
        self.sessions.sweep()
        self.streams.sweep()
