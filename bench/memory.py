"""What connections cost while nothing happens on them: resident memory at none and at many."""

import asyncio
import contextlib
import tempfile
import time
from pathlib import Path
from typing import Any, cast

from bench import load, paths
from bench.upstream import SIZES

IDLE, STREAMS, MANY_CALLS = 10_000, 5_000, 1_000_000
LOAD_CORE, MEASURED_CORE = 0, 1


class Held(asyncio.Protocol):
    """A connection that asks once, or for nothing, and keeps open what comes."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self._request:
            self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if b"data: " in data and not self.heard.done():
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
        return [idle, streams, await long_run(port, Path(folder) / "l", tools)]


async def long_run(port: int, directory: Path, tools: dict[str, str]) -> dict[str, Any]:
    """Resident memory after a million calls, or as many as there are in five minutes."""
    with paths.customhouse(directory, port, MEASURED_CORE, tools) as way:
        asked = load.template(f"127.0.0.1:{way.port}", way.path, way.token, "tools/call", "read", modern=True)
        calls, deadline = 0, time.monotonic() + 300
        while calls < MANY_CALLS and time.monotonic() < deadline:
            calls += (await load.run(way.port, asked, connections=32, seconds=10)).calls
        return {"name": "after so many calls", "count": calls, "resident_mb": resident_kb(way.pid) / 1024}


async def held(way: paths.Way, name: str, count: int, request: Any, *, streams: bool) -> dict[str, Any]:
    """So many connections at once; each stream has brought its first event."""
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
    for connection in connections:
        connection.transport.abort()
    await asyncio.sleep(2.0)
    return {"name": name, "count": count, "kb_each": (after - before) / count, "resident_mb": after / 1024}


def resident_kb(pid: int) -> int:
    """Resident memory in KB."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0])
