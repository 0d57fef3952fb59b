"""What connections cost while nothing happens on them: resident memory at none and at many; and how long one change takes to reach all.

`python -m bench.memory` measures the streams that listen alone.
"""

import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from bench import load, paths
from bench.upstream import SIZES

IDLE, STREAMS, LISTENING, MANY_CALLS = 10_000, 5_000, 10_000, 1_000_000
LOAD_CORE, MEASURED_CORE = 0, 1


class Held(asyncio.Protocol):
    """A connection that asks once, or for nothing, and keeps open what comes."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.told: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        """When it was told that a list changed, in monotonic seconds."""
        self.heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self._request:
            self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if b"list_changed" in data and not self.told.done():
            self.told.set_result(time.monotonic())
        if (b"data: " in data or b": keep-alive" in data) and not self.heard.done():
            self.heard.set_result(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.heard.done():
            self.heard.set_exception(exc or ConnectionError("ended"))
            self.heard.exception()  # looked at, so that nobody warns about it


async def measure() -> list[dict[str, Any]]:
    """Idle connections, then open relayed streams."""
    tools = {name: "write" if name == "write" else "read" for name in SIZES}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        port = stack.enter_context(paths.upstream(LOAD_CORE))
        way = stack.enter_context(paths.customhouse(Path(folder) / "c", port, MEASURED_CORE, tools))
        asked = load.template(f"127.0.0.1:{way.port}", way.path, way.token, "tools/call", "read_held", modern=True)
        await load.run(
            way.port,
            load.template(f"127.0.0.1:{way.port}", way.path, way.token, "tools/call", "read", modern=True),
            connections=8,
            seconds=1,
        )
        idle = await held(way, "idle connections", IDLE, lambda number: b"", streams=False)
        streams = await held(way, "open relayed streams", STREAMS, lambda number: asked.with_id(load.FIRST_ID + number), streams=True)
        listening = [await listen(Path(folder) / name, tools, name) for name in ("modern", "legacy")]
        return [idle, streams, *listening, await long_run(port, Path(folder) / "l", tools)]


async def listen(directory: Path, tools: dict[str, str], era: str) -> dict[str, Any]:
    """Streams that listen, and one change of a list that reaches them all."""
    port = paths.free_port()
    upstream = paths.running([sys.executable, "-m", "bench.upstream", "--port", str(port)], LOAD_CORE)
    settings = {"CUSTOMHOUSE_CAPTURES__INTERVAL_SECONDS": "1", "CUSTOMHOUSE_SESSIONS__MAX_PER_CALLER": "20000"}
    settings["CUSTOMHOUSE_LIMITS__MAX_STREAMS_PER_CALLER"] = "20000"
    with upstream as process:
        paths.wait_for(port)
        with paths.customhouse(directory, port, MEASURED_CORE, tools, settings=settings) as way:
            head = f"host: 127.0.0.1:{way.port}\r\nauthorization: Bearer {way.token}\r\n"
            if era == "modern":
                asked = load.template(f"127.0.0.1:{way.port}", way.path, way.token, "subscriptions/listen", "", modern=True)
                requests = [asked.with_id(load.FIRST_ID + number) for number in range(LISTENING)]
            else:
                ids = await sessions(way)
                accept = "accept: text/event-stream\r\n"
                requests = [f"GET {way.path} HTTP/1.1\r\n{head}{accept}mcp-session-id: {one}\r\n\r\n".encode() for one in ids]
            return await held(way, f"open listening streams, {era} clients", LISTENING, requests.__getitem__, streams=True, change=process)


async def sessions(way: paths.Way) -> list[str]:
    """So many open sessions."""
    asked = load.template(f"127.0.0.1:{way.port}", way.path, way.token, "initialize", "", modern=False)
    reader, writer = await asyncio.open_connection("127.0.0.1", way.port)
    ids = []
    for number in range(LISTENING):
        writer.write(asked.with_id(load.FIRST_ID + number))
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        await reader.readexactly(int(fields["content-length"]))
        ids.append(fields["mcp-session-id"])
    writer.close()
    return ids


async def long_run(port: int, directory: Path, tools: dict[str, str]) -> dict[str, Any]:
    """Resident memory after a million calls, or as many as there are in five minutes."""
    with paths.customhouse(directory, port, MEASURED_CORE, tools) as way:
        asked = load.template(f"127.0.0.1:{way.port}", way.path, way.token, "tools/call", "read", modern=True)
        calls, deadline = 0, time.monotonic() + 300
        while calls < MANY_CALLS and time.monotonic() < deadline:
            calls += (await load.run(way.port, asked, connections=32, seconds=10)).calls
        return {"name": "after so many calls", "count": calls, "resident_mb": resident_kb(way.pid) / 1024}


async def held(way: paths.Way, name: str, count: int, request: Any, *, streams: bool, change: Any = None) -> dict[str, Any]:
    """So many connections at once; each stream has brought its first event. With `change`, the process whose list then changes."""
    before, loop = resident_kb(way.pid), asyncio.get_running_loop()
    connections = []
    for number in range(count):
        made = Held(request(number))
        await loop.create_connection(lambda made=made: made, "127.0.0.1", way.port)  # type: ignore[misc]  # bound at once
        connections.append(made)
    if streams:
        await asyncio.wait_for(asyncio.gather(*(connection.heard for connection in connections)), 60)
    await asyncio.sleep(1.0)
    after = resident_kb(way.pid)
    told = {} if change is None else await told_all(connections, change)
    for connection in connections:
        connection.transport.abort()
    await asyncio.sleep(2.0)
    return {"name": name, "count": count, "kb_each": (after - before) / count, "resident_mb": after / 1024, **told}


async def told_all(connections: Sequence[Held], change: Any) -> dict[str, Any]:
    """Change a list at the server: seconds until the first and the last heard of it, the look at the server included."""
    changed_at = time.monotonic()
    change.send_signal(signal.SIGUSR1)
    async with asyncio.timeout(30):
        told = sorted(await asyncio.gather(*(connection.told for connection in connections)))
    return {"first_told_seconds": told[0] - changed_at, "told_within_seconds": told[-1] - told[0]}


def resident_kb(pid: int) -> int:
    """Resident memory in KB."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for era in ("modern", "legacy"):
            print(asyncio.run(listen(Path(folder) / era, {name: "write" if name == "write" else "read" for name in SIZES}, era)))
