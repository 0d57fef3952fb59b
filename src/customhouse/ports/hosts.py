"""What the gateway asks of the machine it runs on: to start a stdio server where it can do no harm."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Protocol

from customhouse.core.launch import Launch


class LineTooLong(Exception):
    """A server wrote a line to stdout that is longer than its definition allows; nothing after it is read."""


class Child(Protocol):
    """A running stdio server and everything it started. One task writes, one reads; `end` is called for each, also when it is gone."""

    server: str
    ended: asyncio.Future[int]
    """Done once the server's process has ended: its exit status, or 128 and the number of the signal, as a shell says it.

    Never failed and never cancelled by the adapter; wait for it with `asyncio.shield`.
    """

    async def write(self, data: bytes) -> None:
        """Hand bytes to the server's stdin; returns when there is room for the next ones, so a server that does not read holds its caller.

        Raises `ConnectionError` once the server has closed its stdin or has ended.
        """

    def lines(self) -> AsyncIterator[bytes]:
        """What the server writes to stdout, line by line without the line's end, until it closes stdout or ends.

        A server that writes faster than it is read is held. An unfinished last line is dropped. Raises `LineTooLong`.
        """

    @property
    def stderr(self) -> str:
        """The last 64 KiB of what the server wrote to stderr, injected secrets blanked, as text without control characters but newlines."""

    async def end(self, grace_seconds: float) -> int:
        """Close stdin and wait so long, then SIGTERM and wait so long again, then SIGKILL everything the server started.

        Returns what `ended` holds, after the last process of the sandbox is gone. A cancelled wait kills at once. May be called twice.
        """

    def kill(self) -> None:
        """SIGKILL everything the server started, now."""


class Sandboxes(Protocol):
    """Starts stdio servers. Nothing that was started outlives the gateway, however that ends."""

    async def start(self, launch: Launch) -> Child:
        """Compare the installed tree with its digest, then start the server.

        Raises `Refused`: PACKAGE_CHANGED, SANDBOX_UNAVAILABLE where the server cannot be contained as its definition says, and
        SERVER_NOT_STARTED where the program cannot be executed.
        """


class Views(Protocol):
    """Where what is served lies, for gateways to take: immutable pictures by digest, and beside them what is blocked right now."""

    def publish(self, lines: Sequence[bytes]) -> str:
        """Keep a picture and make it the current one, in one step for whoever reads. Returns its digest. Blocks."""

    def current(self) -> str:
        """The digest of the current picture; empty before the first one. Cheap: asked several times a second."""

    def read(self, digest: str) -> Iterator[bytes]:
        """The lines of a picture, one at a time. Blocks. Raises `ValueError` for one that is not there, or is not what its digest says."""

    def block(self, entries: bytes) -> None:
        """Say what is blocked: JSON, replaced whole. Blocks."""

    def blocked(self) -> bytes | None:
        """What was said last, or None if nothing was said since this was asked before. Cheap."""


class NotDelivered(Exception):
    """A notice could not be handed over. Its text is one safe sentence; nothing in it comes from the other side."""


class Courier(Protocol):
    """Carries notices to an address that an operator wrote, under the rules for what the gateway may connect to."""

    async def deliver(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """POST the body once; the HTTP status of the answer. Nothing of the answer is read. Raises `NotDelivered`."""
