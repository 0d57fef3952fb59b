"""One request with what the first steps established, and what goes back."""

import msgspec

from customhouse.core.approval import ApprovalRequest
from customhouse.core.catalogue import Endpoint
from customhouse.core.identity import Caller
from customhouse.core.protocol.envelope import Message
from customhouse.core.protocol.requeststate import Approved
from customhouse.core.protocol.sessionid import Session
from customhouse.core.record import Record
from customhouse.gateway.arrival import Arrival, Reply
from customhouse.gateway.live import View
from customhouse.gateway.session import Peer
from customhouse.ports.sessions import Remembered

encode = msgspec.json.Encoder().encode

JSON = b"content-type: application/json\r\n"

NOTHING_SAID = Remembered()
"""What is known of a client that has no session."""


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What goes back: HTTP status, header lines and a body."""

    status: int
    headers: bytes
    body: bytes
    rest: tuple[bytes, ...] = ()
    """What follows the body, kept apart because it is long and shared: a list is encoded once and never copied."""

    @property
    def size_bytes(self) -> int:
        """Of body and rest."""
        return len(self.body) + sum(map(len, self.rest))


class Held(msgspec.Struct, frozen=True):
    """An approval that a call found and will use when it goes to the server."""

    request_id: str
    chain: str
    """The id of the call that uses it first: this one, or that of the first round."""
    round: int
    fresh: ApprovalRequest
    """What is asked if somebody else was first; its `call` is the present one."""


class Call(msgspec.Struct):
    """One request with everything the first steps established. The collector looks into it: what it holds leads back to it by the frames
    of a refusal's traceback."""

    message: Message
    caller: Caller
    endpoint: Endpoint
    arrival: Arrival
    reply: Reply
    trail: Record
    view: View
    session: Session | None = None
    """The session that a legacy request named; None for one without, and for every modern one."""
    remembered: Remembered = NOTHING_SAID
    """What the session said so far."""
    held: Held | None = None
    """The approval that it will use."""
    approved: Approved | None = None
    """The approval that the call used, or that the first round of its chain did."""

    @property
    def revision(self) -> str:
        """The revision that the client is answered in."""
        return self.message.revision if self.session is None else self.session.revision

    @property
    def conversation(self) -> str:
        """Which conversation this is, for servers that ask back: a legacy session. A modern client has none, so its caller stands for it,
        and what a server asks, late or on a stream of its own, reaches nobody else."""
        return self.caller.context_digest if self.session is None else self.session.key

    @property
    def peer(self) -> Peer:
        """Whom a legacy client's words between requests belong to: its session, or its authorisation context where it has none."""
        return self.caller.context_digest if self.session is None else self.session.key, self.endpoint.path
