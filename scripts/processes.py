"""Processes that a script starts on loopback: waited for, and ended by their own id, politely and then by force."""

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx2

ROOT = Path(__file__).parents[1]
READY_TIMEOUT_SECONDS = 30.0


class Broken(Exception):
    """What the script is for cannot be done."""


async def finished(
    command: Sequence[str], environment: Mapping[str, str], timeout_seconds: float, allowed: tuple[int, ...] = (0,), given: bytes = b""
) -> str:
    """What a command printed, with `given` on its standard input. Raises `Broken` where it takes too long or ends with another code.

    The command leads a session of its own, so that what it started ends with it.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout_seconds):
            output, errors = await process.communicate(given)
    except TimeoutError:
        raise Broken(f"{' '.join(command)} did not end within {timeout_seconds:g} s.") from None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if process.returncode not in allowed:
        raise Broken(f"{' '.join(command)} ended with {process.returncode}:\n{output.decode()}{errors.decode()}")
    return output.decode().strip()


@asynccontextmanager
async def running(command: Sequence[str], environment: Mapping[str, str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process for the length of the block, with its output in a file."""
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(READY_TIMEOUT_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def until(answers: Callable[[], Awaitable[bool]], process: asyncio.subprocess.Process, log: Path) -> None:
    """Wait until a server answers. Raises `Broken` with its log where it does not."""
    try:
        async with asyncio.timeout(READY_TIMEOUT_SECONDS):
            while not await answers():
                if process.returncode is not None:
                    raise TimeoutError
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise Broken(f"A server did not become ready:\n{_end_of(log)}") from None


def _end_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-4000:]


async def accepts(port: int) -> bool:
    """Whether somebody listens on this port of loopback."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def is_ready(port: int) -> bool:
    """Whether the gateway on this port says so."""
    try:
        async with httpx2.AsyncClient(trust_env=False) as client:
            return (await client.get(f"http://127.0.0.1:{port}/readyz")).is_success
    except httpx2.TransportError:
        return False


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
