"""What the door hands to an exchange, and what an exchange hands back."""

from collections.abc import Awaitable, Mapping
from typing import Protocol

import msgspec

from customhouse.core.protocol.envelope import Agreed


class Passed:
    """What the door found out about a head that is sent again and again: the same head passes the same view the same way."""

    __slots__ = ("agreed", "name", "token", "view")

    def __init__(self) -> None:
        self.view: object = None
        """The mark of the view whose checks the head has passed; None before the first time."""
        self.token = b""
        self.name: object = None
        """What the verifier knows the token by."""
        self.agreed = Agreed()
        """The envelope that the head agreed with last."""


class Arrival(msgspec.Struct):
    """A POST request at an MCP endpoint, whole and within the limits, its meaning unread."""

    path: str = ""
    query: bytes = b""
    headers: Mapping[bytes, bytes] = {}
    """Names in lower case; a header that decides something is here once."""
    body: bytes = b""
    started: float = 0.0
    """Monotonic seconds at the first byte of the request."""
    passed: Passed = msgspec.field(default_factory=Passed)
    """Shared by all requests with this very head."""
    has_parameter_headers: bool = True
    """False only if no `Mcp-Param-*` header came, so that nobody has to look for one."""


class Keeper(Protocol):
    """Keeps the events of one stream for a client that may lose its connection."""

    began: bool
    """Something was kept."""

    def opening(self) -> bytes:
        """What stands at the beginning of the stream, as bytes of it."""

    def keep(self, data: bytes) -> bytes:
        """Keep one JSON message; its event for the connection at hand, empty where it goes out on a later one."""

    def finish(self) -> None:
        """Nothing more comes."""


class Reply(Protocol):
    """The way back to one caller."""

    keeper: Keeper | None
    """Keeps what goes over the stream, for a legacy session."""

    def whole(self, status: int, headers: bytes, *body: bytes) -> None:
        """Answer at once: header lines, each ended by CRLF, and a body in parts. As the end of a stream: the body as the last event."""

    def event(self, data: bytes) -> None:
        """One JSON message as an event of a stream, which begins here if it has not begun. It goes out with `room` or with the answer."""

    def room(self) -> Awaitable[None] | None:
        """Send the events so far. To be awaited, where there is something to await, before there are more."""

    def send(self, stream: bytes) -> None:
        """Bytes of a stream as they are, which go out at once; the stream begins here if it has not begun."""

    def hold(self) -> Awaitable[None]:
        """Wait until `let_go`, which costs next to nothing meanwhile. One coroutine does, once."""

    def let_go(self) -> None:
        """End the wait of `hold`, if there is one."""

    @property
    def full(self) -> bool:
        """The client does not take what was sent."""

    def end(self) -> None:
        """End without an answer: an open stream closes, else an empty one is sent."""

    def may_wait(self) -> None:
        """The answer comes from a server and may take long: the connection is kept open with comments."""

    def cancel_when_left(self) -> None:
        """From now on a caller that goes away cancels the exchange (2026-07-28, basic/patterns/cancellation)."""

    def give_up(self) -> None:
        """Cancel the exchange that this is the way back of: its client does not want the answer any more."""

    @property
    def connected(self) -> bool:
        """False once the caller's connection is gone."""

    @property
    def bytes_out(self) -> int:
        """Bytes of bodies written so far."""
