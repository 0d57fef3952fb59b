"""MCP servers on stdio: one message a line, a process per conversation that must not be shared.

Source: MCP 2026-07-28 and 2025-11-25, basic/transports, stdio. Starting and ending processes is the sandbox's part; here is what is said.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from customhouse.adapters.upstreams.channels import Channels
from customhouse.adapters.upstreams.duplex import Conversation
from customhouse.core.manifest import ServerDefinition
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.hosts import Child, LineTooLong
from customhouse.ports.traffic import Clock, Hearing

log = logging.getLogger(__name__)

GRACE_SECONDS = 2.0
"""How long a server may take to end after its stdin was closed, and once more after SIGTERM. SDK servers end at once."""

EXIT_SECONDS = 0.5
"""How long the exit status of a server that closed stdout is waited for, to say it."""


class StdioServer(Channels):
    """One server on stdio, in both eras. `start` starts its program and raises `Refused` if it cannot."""

    may_be_modern = True

    def __init__(self, definition: ServerDefinition, start: Callable[[], Awaitable[Child]], clock: Clock, hearing: Hearing) -> None:
        super().__init__(definition, clock, hearing)
        self._launch = start

    async def connect(self, conversation: Conversation) -> None:
        """Start a process for a conversation."""
        child = await self._launch()
        channel = Process(child, conversation)
        conversation.begin(channel)
        channel.reading = self.keep(channel.read())


class Process:
    """The channel to one process; implements `duplex.Channel`."""

    def __init__(self, child: Child, conversation: Conversation) -> None:
        self.reading: asyncio.Task[None]
        self._child = child
        self._conversation = conversation
        self._turn = asyncio.Lock()
        self._ending = False

    async def send(self, message: bytes) -> None:
        """One line. A server that does not read holds the caller, whose deadline ends it."""
        if b"\n" in message or b"\r" in message:  # inside JSON that was passed on undecoded: white space between tokens
            message = message.translate(_IN_ONE_LINE)
        async with self._turn:
            try:
                await self._child.write(message + b"\n")
            except ConnectionError:
                raise Refused(Reason.UPSTREAM_DIED, note="the server closed its stdin") from None

    def end(self) -> None:
        """The reading ends, and with it the process and all that it started."""
        if not self._ending:
            self._ending = True
            self.reading.cancel()

    async def read(self) -> None:
        """Hand on what the server says until it says no more; then end it, whatever the reason was."""
        try:
            why = await self._read()
            self._ending = True
            self._conversation.end(why)
        finally:
            await self._child.end(GRACE_SECONDS)

    async def _read(self) -> Refused:
        try:
            async for line in self._child.lines():
                self._conversation.receive(line)
                if pause := self._conversation.pause_seconds():
                    await asyncio.sleep(pause)
        except LineTooLong:
            return Refused(Reason.RESULT_TOO_LARGE, note="a line on stdout that is longer than allowed")
        return Refused(Reason.UPSTREAM_DIED, note=await self._last_words())

    async def _last_words(self) -> str:
        try:
            async with asyncio.timeout(EXIT_SECONDS):
                status = await asyncio.shield(self._child.ended)
        except TimeoutError:
            return "the server closed its stdout"
        log.warning("%s ended with status %d: %s", self._child.server, status, self._child.stderr[-500:])
        return f"the server ended with status {status}"


_IN_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")
