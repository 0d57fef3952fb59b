"""What the door hands to an exchange, and what an exchange hands back."""

from collections.abc import Mapping
from typing import Protocol

import msgspec


class Passed:
    """What the door found out about a head that is sent again and again: the same head passes the same view the same way."""

    __slots__ = ("token", "view")

    def __init__(self) -> None:
        self.view: object = None
        """The view whose checks the head has passed; None before the first time."""
        self.token = b""


class Arrival(msgspec.Struct, gc=False):
    """A POST request at an MCP endpoint, whole and within the limits, its meaning unread."""

    path: str
    query: bytes
    headers: Mapping[bytes, bytes]
    """Names in lower case; a header that decides something is here once."""
    body: bytes
    started: float
    """Monotonic seconds at the first byte of the request."""
    passed: Passed
    """Shared by all requests with this very head."""
    has_parameter_headers: bool = True
    """False only if no `Mcp-Param-*` header came, so that nobody has to look for one."""


class Reply(Protocol):
    """The way back to one caller."""

    def whole(self, status: int, headers: bytes, body: bytes) -> None:
        """Answer at once: header lines, each ended by CRLF, and a body. As the end of a stream: the body as the last event."""

    async def event(self, data: bytes) -> None:
        """One JSON message as an event of a stream, which begins here if it has not begun. Returns when there is room for more."""

    def end(self) -> None:
        """End without an answer: an open stream closes, else an empty one is sent."""

    def may_wait(self) -> None:
        """The answer comes from a server and may take long: the connection is kept open with comments."""

    def cancel_when_left(self) -> None:
        """From now on a caller that goes away cancels the exchange (2026-07-28, basic/patterns/cancellation)."""

    @property
    def connected(self) -> bool:
        """False once the caller's connection is gone."""

    @property
    def bytes_out(self) -> int:
        """Bytes of bodies written so far."""
