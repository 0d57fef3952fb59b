"""Real processes behind the gateway's side of stdio, as the sandbox port has them but without walls around them."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from customhouse.adapters.upstreams.stdio import StdioServer
from customhouse.core.manifest import Era, ServerDefinition
from customhouse.core.permit import Errand, Permit, Purpose
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.hosts import LineTooLong
from customhouse.ports.traffic import Ask, UpstreamAnswer
from tests.upstreams.support import Machine, Noted

ODD_SERVER = Path(__file__).parent / "odd_server.py"


class Program:
    """A process group with pipes; implements `ports.hosts.Child`."""

    def __init__(self, server: str, process: asyncio.subprocess.Process, max_line_bytes: int) -> None:
        self.server = server
        self.process = process
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.errors = b""
        self.killed = False
        self._max_line_bytes = max_line_bytes
        self._watching = asyncio.create_task(self._watch())
        self._reading_errors = asyncio.create_task(self._read_errors())

    async def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        await self.process.stdin.drain()

    async def lines(self) -> AsyncIterator[bytes]:
        assert self.process.stdout is not None
        held = b""
        while chunk := await self.process.stdout.read(65_536):
            *whole, held = (held + chunk).split(b"\n")
            for line in whole:
                if len(line) > self._max_line_bytes:
                    raise LineTooLong
                yield line
            if len(held) > self._max_line_bytes:
                raise LineTooLong

    @property
    def stderr(self) -> str:
        return self.errors.decode()

    async def end(self, grace_seconds: float) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        # asyncio tells that a process ended only once its pipes are at their end, so what nobody reads any more is read away.
        draining = asyncio.create_task(_discard(self.process.stdout))
        try:
            for step in (None, signal.SIGTERM):
                if step is not None:
                    self._signal(step)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(grace_seconds):
                        await asyncio.shield(self.ended)
                        break
        finally:
            self.kill()
        status = await asyncio.shield(self.ended)
        draining.cancel()
        await asyncio.gather(draining, return_exceptions=True)
        return status

    def kill(self) -> None:
        self.killed = not self.ended.done()
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    async def _watch(self) -> None:
        status = await self.process.wait()
        self.ended.set_result(status if status >= 0 else 128 - status)

    async def _read_errors(self) -> None:
        assert self.process.stderr is not None
        while chunk := await self.process.stderr.read(65_536):
            self.errors = (self.errors + chunk)[-65_536:]


async def _discard(stream: asyncio.StreamReader) -> None:
    while await stream.read(65_536):
        pass


@dataclass
class Person:
    """Hears everything, and answers every question with the next thing it was told to."""

    answers: list[Any] = field(default_factory=list)
    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    questions: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    withdrawn: asyncio.Event = field(default_factory=asyncio.Event)
    may: asyncio.Event = field(default_factory=asyncio.Event)
    slow: bool = False

    def notify(self, method: str, params: dict[str, Any]) -> None:
        self.heard.append((method, params))
        self.asked.set()

    def room(self) -> Awaitable[None] | None:
        return self._until_it_may() if self.slow else None

    async def _until_it_may(self) -> None:
        await self.may.wait()

    async def ask(self, method: str, params: dict[str, Any], revision: str) -> dict[str, Any]:
        self.questions.append((method, params))
        self.asked.set()
        if not self.answers:
            try:
                await asyncio.Event().wait()
            finally:
                self.withdrawn.set()
        reply = self.answers.pop(0)
        if isinstance(reply, BaseException):
            raise reply
        return dict(reply)


class Behind:
    """The gateway's side of one stdio server."""

    def __init__(self, argv: tuple[str, ...], notes: Path, **more: Any) -> None:
        self.argv = argv
        self.notes = notes
        self.clock = Machine()
        self.programs: list[Program] = []
        self.cannot_start = False
        fixed: dict[str, Any] = {
            "name": "odd",
            "owner": "o",
            "contact": "c",
            "tenant": "acme",
            "url": "https://odd.example/mcp",
            "call_timeout_seconds": 10.0,
            "connect_timeout_seconds": 10.0,
            "max_result_bytes": 4_194_304,
        }
        self.definition = ServerDefinition(**(fixed | more))
        self.errand = Errand(Purpose.PROBE, self.definition)
        self.noted = Noted()
        self.person = Person()
        self.server = StdioServer(self.definition, self.start, self.clock, self.noted)

    async def start(self) -> Program:
        if self.cannot_start:
            raise Refused(Reason.UPSTREAM_UNREACHABLE, note="it cannot be started")
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*self.argv, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
        self.programs.append(Program(self.definition.name, process, self.definition.max_result_bytes))
        return self.programs[-1]

    async def call(
        self, name: str, arguments: Any = None, *, key: str = "", write: bool = False, seconds: float = 10.0, **more: Any
    ) -> UpstreamAnswer:
        permit = Permit("call", self.definition, key, write)
        person = more.pop("person", self.person)
        method = more.pop("method", "tools/call")
        params = more.pop("params", {"name": name, "arguments": arguments or {}})
        ask = Ask(method, params, more.pop("era", Era.LEGACY), self.clock.monotonic() + seconds, **more)
        return await self.server.call(permit, ask, person)

    async def said(self, name: str, arguments: Any = None, **more: Any) -> str:
        """The text of a tool's answer."""
        return text_of(await self.call(name, arguments, **more))

    def read(self) -> list[tuple[int, dict[str, Any]]]:
        """What the processes read so far: process id and message."""
        if not self.notes.exists():
            return []
        return [tuple(json.loads(line)) for line in self.notes.read_text().splitlines()]

    def methods(self) -> list[str]:
        return [str(message.get("method", "")) for _, message in self.read()]

    async def until_read(self, method: str) -> dict[str, Any]:
        """The first message with this method, once a process has read it."""
        await until(lambda: method in self.methods())
        return next(message for _, message in self.read() if message.get("method") == method)


async def until(holds: Callable[[], object]) -> None:
    """Return once something holds that another process brings about."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - no event of this process tells
            await asyncio.sleep(0.01)


def text_of(answer: UpstreamAnswer) -> str:
    assert answer.result is not None, answer.error
    return str(msgspec.json.decode(answer.result["content"])[0]["text"])


@contextlib.asynccontextmanager
async def behind(directory: Path, *manners: str, argv: tuple[str, ...] = (), **more: Any) -> AsyncIterator[Behind]:
    """The gateway's side of a process with these manners, ended with everything it started."""
    notes = directory / "notes"
    odd = (sys.executable, "-I", "-S", str(ODD_SERVER), str(notes), *manners)
    here = Behind(argv or odd, notes, **more)
    try:
        yield here
    finally:
        await here.server.close()
        for program in here.programs:
            program.kill()
            await program.ended
            await asyncio.gather(program._watching, program._reading_errors)
            transport: asyncio.SubprocessTransport = getattr(program.process, "_transport")  # noqa: B009 - a private name
            transport.close()  # its pipes stay open where a grandchild holds them


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False
