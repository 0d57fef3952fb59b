"""The load generator: keep-alive connections that send one request after the other and check the id of every answer.

Requests are made before; only the id, always of eight digits, is written into them. Latencies are from the write to the last byte.
"""

import asyncio
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

FIRST_ID = 10_000_000
"""Ids have eight digits, so that a request keeps its length."""

MODERN = "2026-07-28"


@dataclass
class Load:
    """What a load has seen."""

    calls: int = 0
    errors: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Template:
    """A request before its id."""

    before: bytes
    after: bytes
    checks_id: bool = True
    """False for a file, which is the same for everybody."""

    def with_id(self, number: int) -> bytes:
        """The request with this id."""
        return b"%b%d%b" % (self.before, number, self.after)


def template(
    host: str, path: str, token: str, method: str, tool: str, *, modern: bool, extra: str = "", checks_id: bool = True
) -> Template:
    """A request of about 300 bytes of JSON and a head with the token."""
    meta = ""
    if modern:
        meta = f'"io.modelcontextprotocol/protocolVersion":"{MODERN}","io.modelcontextprotocol/clientCapabilities":{{}}'
    if tool in ("read_sse", "read_sse_slowly", "read_held"):
        meta += ("," if meta else "") + '"progressToken":"p"'
    named = f'"name":"{tool}","arguments":{{"q":"{"what is to be known " * 4}","place":"here"}},' if tool else ""
    if method == "subscriptions/listen":
        named = '"notifications":{"toolsListChanged":true},'
    params = f'{{{named}"_meta":{{{meta}}}}}'
    start, end = '{"jsonrpc":"2.0","id":', f',"method":"{method}","params":{params}}}'
    length = len(start) + 8 + len(end)
    mirrored = f"mcp-protocol-version: {MODERN}\r\nmcp-method: {method}\r\n" + (f"mcp-name: {tool}\r\n" if tool else "") if modern else ""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
        f"accept: application/json, text/event-stream\r\nuser-agent: bench\r\n{extra}{mirrored}content-length: {length}\r\n\r\n"
    )
    return Template((head + start).encode(), end.encode(), checks_id)


class Caller(asyncio.Protocol):
    """One connection."""

    def __init__(self, wanted: Template, load: Load, first: int) -> None:
        self._template = wanted
        self._load = load
        self._number = first
        self._buffer = bytearray()
        self._sent = 0.0
        self._stopping = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._ask()

    def stop(self) -> None:
        """No more requests after the one that is out."""
        self._stopping = True

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        body = whole_body(self._buffer)
        if body is None:
            return
        self._load.latencies.append(time.perf_counter() - self._sent)
        self._load.calls += 1
        named = not self._template.checks_id or b'"id":%d' % self._number in body
        if not self._buffer.startswith(b"HTTP/1.1 200") or not named or b'"error"' in body[:200]:
            self._load.errors.append(bytes(self._buffer[:300]).decode("latin-1"))
        self._buffer.clear()
        if self._stopping or len(self._load.errors) > 100:
            self._transport.close()
        else:
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._stopping:
            self._load.errors.append(f"connection lost: {exc}")
        if not self.done.done():
            self.done.set_result(None)

    def _ask(self) -> None:
        self._number += 1
        self._sent = time.perf_counter()
        self._transport.write(self._template.with_id(self._number))


def whole_body(buffer: bytearray) -> bytes | None:
    """The body of an answer if it is all there; a chunked one with its framing."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(buffer[:end]).lower()
    at = head.find(b"content-length: ")
    if at >= 0:
        stop = head.find(b"\r\n", at)
        length = int(head[at + 16 : stop if stop >= 0 else end])
        return bytes(buffer[end + 4 :]) if len(buffer) - end - 4 >= length else None
    return bytes(buffer[end + 4 :]) if buffer.endswith(b"\r\n0\r\n\r\n") else None


def itself(caller: Caller) -> Caller:
    """A protocol that was made before its connection."""
    return caller


async def run(port: int, wanted: Template, *, connections: int, seconds: float) -> Load:
    """All connections at once for so long."""
    load, loop = Load(), asyncio.get_running_loop()
    callers = [Caller(wanted, load, FIRST_ID + number * 1_000_000 % 80_000_000) for number in range(connections)]
    for caller in callers:
        await loop.create_connection(partial(itself, caller), "127.0.0.1", port)
    await asyncio.sleep(seconds)
    for caller in callers:
        caller.stop()
    await asyncio.wait([caller.done for caller in callers], timeout=30)
    return load
