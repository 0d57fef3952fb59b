"""Many MCP clients in one process: raw HTTP/1.1 connections that check each answer."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec

MODERN = "2026-07-28"


@dataclass
class Tally:
    """What a load has seen."""

    answered: int = 0
    wrong: Counter[str] = field(default_factory=Counter)


def modern_call(nonce: str, message_id: int, *, progress: int = 0, size: int = 0) -> dict[str, Any]:
    """A modern `tools/call` of `echo`."""
    meta = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
    return legacy_call(nonce, message_id, progress=progress, size=size, meta=meta)


def legacy_call(nonce: str, message_id: int, *, progress: int = 0, size: int = 0, meta: dict[str, Any] | None = None) -> dict[str, Any]:
    """A legacy `tools/call` of `echo`."""
    arguments: dict[str, Any] = {"nonce": nonce, **({"progress": progress} if progress else {}), **({"size": size} if size else {})}
    meta = {**(meta or {}), **({"progressToken": "same"} if progress else {})}
    params = {"name": "echo", "arguments": arguments, **({"_meta": meta} if meta else {})}
    return {"jsonrpc": "2.0", "id": message_id, "method": "tools/call", "params": params}


class Client:
    """One keep-alive connection."""

    def __init__(self, host: str, port: int, path: str, token: str) -> None:
        self._where = (host, port)
        self._head = (
            f"POST {path} HTTP/1.1\r\nhost: {host}:{port}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
            "accept: application/json, text/event-stream\r\n"
        ).encode()
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def open(self) -> None:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection(*self._where)

    def close(self) -> None:
        """Disconnect."""
        self._writer.close()

    async def ask(self, message: dict[str, Any], *, modern: bool) -> list[dict[str, Any]]:
        """All messages of the answer, the last one being the answer itself. Raises `OSError` for a status other than 200."""
        body = msgspec.json.encode(message)
        mirrored = f"mcp-protocol-version: {MODERN}\r\nmcp-method: {message['method']}\r\nmcp-name: echo\r\n" if modern else ""
        self._writer.write(self._head + mirrored.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)
        head = await self._reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise OSError(head.decode("latin-1").splitlines()[0])
        if b"transfer-encoding" in head:
            return [msgspec.json.decode(data) for data in events(await self._chunks())]
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return [msgspec.json.decode(await self._reader.readexactly(length))]

    async def _chunks(self) -> bytes:
        parts = []
        while size := int(await self._reader.readline(), 16):
            parts.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)
        return b"".join(parts)


def events(stream: bytes) -> list[bytes]:
    """The data of the events of a finished stream."""
    return [line[6:] for line in stream.split(b"\n") if line.startswith(b"data: ")]


async def hammer(client: Client, number: int, until: float, tally: Tally) -> None:
    """Call again and again with ids that all clients share and a nonce that nobody else uses."""
    await client.open()
    try:
        for turn in range(10**9):
            if time.monotonic() >= until:
                return
            modern, progress, nonce = turn % 2 == 0, (turn % 5 == 0) * 3, f"{number}-{turn}"
            message = (modern_call if modern else legacy_call)(nonce, turn % 3, progress=progress)
            *said, answer = await client.ask(message, modern=modern)
            judge(answer, said, message["id"], nonce, progress, tally)
    finally:
        client.close()


def judge(answer: dict[str, Any], said: list[dict[str, Any]], message_id: int, nonce: str, progress: int, tally: Tally) -> None:
    """Count an answer, and whatever of it is somebody else's."""
    tally.answered += 1
    if answer.get("id") != message_id or "result" not in answer:
        tally.wrong[f"answer {str(answer)[:80]}"] += 1
    elif answer["result"]["content"][0]["text"] != nonce:
        tally.wrong["nonce"] += 1
    if len(said) != progress or any(one["params"]["message"] != nonce or one["params"]["progressToken"] != "same" for one in said):
        tally.wrong["progress"] += 1


async def crowd(clients: list[Client], seconds: float) -> Tally:
    """All clients at once, for some seconds."""
    tally, until = Tally(), time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for number, client in enumerate(clients):
            group.create_task(hammer(client, number, until, tally))
    return tally
