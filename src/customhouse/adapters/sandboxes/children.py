"""A started process and its pipes, as a `Child`: lines out of stdout with back-pressure, a tail of stderr, and an end in three steps.

How the processes behind it are reached is the affair of a `Tree`: inside a sandbox its init takes everything along, without one they
have to be looked for.
"""

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import AsyncIterator
from typing import Protocol, cast

from customhouse.adapters.sandboxes.output import Lines, Tail
from customhouse.core.launch import Launch
from customhouse.ports.hosts import LineTooLong

MAX_QUEUED_BYTES = 1_048_576
"""Unread bytes of stdout at which the pipe is left full, so that the server waits."""
MAX_UNSENT_BYTES = 1_048_576
"""Bytes that a server has not read yet at which a writer waits."""


class Tree(Protocol):
    """The processes of one server."""

    def terminate(self) -> None:
        """SIGTERM to the server."""

    def kill(self) -> None:
        """SIGKILL to everything."""

    async def gone(self) -> None:
        """Return once nothing is left, after the first process has ended."""


class Process(asyncio.SubprocessProtocol):
    """A running server; an implementation of `ports.hosts.Child`. Made by the loop's `subprocess_exec`, then given its tree."""

    def __init__(self, launch: Launch, loop: asyncio.AbstractEventLoop) -> None:
        self.server = launch.server
        self.ended: asyncio.Future[int] = loop.create_future()
        self.exited: asyncio.Future[int] = loop.create_future()
        """Done once the first process has ended; others of its tree may still be there."""
        self._loop = loop
        self._lines = Lines(launch.max_line_bytes)
        self._tail = Tail(launch.secrets)
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._held = False
        self._fault = False
        self._stdout_open = True
        self._reader: asyncio.Future[None] | None = None
        self._writers: list[asyncio.Future[None]] = []
        self._stdin_full = False
        self._stdin_open = True
        self._tree: Tree | None = None
        self._settling: asyncio.Task[None] | None = None
        self._transport: asyncio.SubprocessTransport

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        chunk = cast(bytes, data)
        if fd == 2:
            self._tail.feed(chunk)
            return
        if self._fault:
            return
        try:
            lines = self._lines.feed(chunk)
        except LineTooLong:
            self._fault = True
            self._stdout().pause_reading()
            self._wake_reader()
            return
        for line in lines:
            self._queue.append(line)
            self._queued_bytes += len(line)
        if self._queued_bytes > MAX_QUEUED_BYTES and not self._held:
            self._held = True
            self._stdout().pause_reading()
        self._wake_reader()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 0:
            self._stdin_open = False
            self._wake_writers()
        elif fd == 1:
            self._stdout_open = False
            self._wake_reader()

    def pause_writing(self) -> None:
        self._stdin_full = True

    def resume_writing(self) -> None:
        self._stdin_full = False
        self._wake_writers()

    def process_exited(self) -> None:
        code = self._transport.get_returncode() or 0
        self._stdin_open = False
        self._wake_writers()
        if not self.exited.done():
            self.exited.set_result(128 - code if code < 0 else code)

    # What the starter calls.

    def adopt(self, tree: Tree) -> None:
        """The process is a server from now on, and this is how everything it starts is reached."""
        self._tree = tree
        stdin = cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))
        stdin.set_write_buffer_limits(high=MAX_UNSENT_BYTES)
        self._settling = self._loop.create_task(self._settle(tree))

    async def abandon(self) -> None:
        """The process never became a server: end it, and whatever it has started in its group by now, and close its pipes."""
        if not self.exited.done():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._transport.get_pid(), signal.SIGKILL)
        self._close_once_exited()
        await asyncio.shield(self.exited)

    def _close_once_exited(self) -> None:
        # A transport that is closed earlier asks for the status itself, which the loop's own watcher then misses.
        if self.exited.done():
            self._transport.close()
        else:
            self.exited.add_done_callback(lambda _: self._transport.close())

    async def _settle(self, tree: Tree) -> None:
        status = await self.exited
        tree.kill()
        await tree.gone()
        self.ended.set_result(status)

    # What the upstream side calls.

    async def write(self, data: bytes) -> None:
        """Hand bytes to stdin. Raises `ConnectionError` once nobody reads there."""
        self._check_stdin()
        self._stdin().write(data)
        while self._stdin_full:
            room = self._loop.create_future()
            self._writers.append(room)
            await room
            self._check_stdin()

    async def lines(self) -> AsyncIterator[bytes]:
        """Lines of stdout. Raises `LineTooLong`."""
        while True:
            while self._queue:
                line = self._queue.popleft()
                self._queued_bytes -= len(line)
                self._let_go()
                yield line
            if self._fault:
                raise LineTooLong(self.server)
            if not self._stdout_open:
                return
            self._reader = self._loop.create_future()
            await self._reader

    @property
    def stderr(self) -> str:
        """The end of what was written to stderr."""
        return self._tail.text()

    async def end(self, grace_seconds: float) -> int:
        """Close stdin, wait, SIGTERM, wait, SIGKILL."""
        try:
            self._close_stdin()
            if not await self._ends_within(grace_seconds):
                self._terminate()
                await self._ends_within(grace_seconds)
            self.kill()
            return await asyncio.shield(self.ended)
        finally:
            self.kill()
            self._close_once_exited()

    def kill(self) -> None:
        """SIGKILL to everything."""
        if self._tree is not None and not self.ended.done():
            self._tree.kill()

    async def _ends_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self.exited), seconds)
        return self.exited.done()

    def _terminate(self) -> None:
        if self._tree is not None and not self.exited.done():
            self._tree.terminate()

    def _check_stdin(self) -> None:
        if not self._stdin_open:
            raise ConnectionError(f"{self.server} does not read any more")

    def _close_stdin(self) -> None:
        if self._stdin_open:
            self._stdin().close()

    def _let_go(self) -> None:
        if self._held and self._queued_bytes <= MAX_QUEUED_BYTES // 2:
            self._held = False
            if self._stdout_open:
                self._stdout().resume_reading()

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _wake_writers(self) -> None:
        for room in self._writers:
            if not room.done():
                room.set_result(None)
        self._writers.clear()

    def _stdin(self) -> asyncio.WriteTransport:
        return cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))

    def _stdout(self) -> asyncio.ReadTransport:
        return cast(asyncio.ReadTransport, self._transport.get_pipe_transport(1))
