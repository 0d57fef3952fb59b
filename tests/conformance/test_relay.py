"""The pass-through adds a token and changes nothing else, whatever the framing."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from scripts.conformance_relay import relay
from scripts.processes import free_port


class Upstream:
    """Collects what it is sent and answers each connection with what `answers` holds, one at a time."""

    def __init__(self) -> None:
        self.received = b""
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()
        self.arrived = asyncio.Event()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sending = asyncio.create_task(self._send(writer))
        while data := await reader.read(65536):
            self.received += data
            self.arrived.set()
        sending.cancel()
        writer.close()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        while answer := await self.answers.get():
            writer.write(answer)
            await writer.drain()
        writer.close()

    async def holds(self, end: bytes) -> bytes:
        """Wait until what arrived ends so."""
        async with asyncio.timeout(5):
            while not self.received.endswith(end):
                self.arrived.clear()
                await self.arrived.wait()
        return self.received


@pytest.fixture
async def upstream() -> AsyncIterator[tuple[Upstream, int]]:
    collecting = Upstream()
    server = await asyncio.start_server(collecting.connected, "127.0.0.1", 0)
    async with server:
        yield collecting, server.sockets[0].getsockname()[1]


HEAD = b"POST /mcp HTTP/1.1\r\nHost: evil.example.com\r\nOrigin: http://evil.example.com\r\n"
TOKEN = b"Authorization: Bearer t\r\n"
WITH_TOKEN = HEAD.replace(b"1.1\r\n", b"1.1\r\n" + TOKEN)


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 4\r\n\r\nbody",
        b"content-length:4\r\n\r\nbody",
        b"\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n0\r\nTrailer: 1\r\n\r\n",
    ],
)
async def test_a_request_arrives_as_it_was_sent_with_a_token(upstream: tuple[Upstream, int], rest: bytes) -> None:
    collecting, port = upstream
    async with relay(port, lambda: "t") as front:
        _, writer = await asyncio.open_connection("127.0.0.1", front)
        writer.write(HEAD + rest)
        assert await collecting.holds(rest) == WITH_TOKEN + rest
        writer.close()


async def test_each_request_of_a_connection_gets_the_token_of_its_time(upstream: tuple[Upstream, int]) -> None:
    collecting, port = upstream
    tokens = iter(("one", "two"))
    async with relay(port, lambda: next(tokens)) as front:
        _, writer = await asyncio.open_connection("127.0.0.1", front)
        writer.write(b"GET / HTTP/1.1\r\nA: 1\r\n\r\nGET / HTTP/1.1\r\nA: 2\r\n\r\n")
        received = await collecting.holds(b"A: 2\r\n\r\n")
        writer.close()
    assert [line for line in received.split(b"\r\n") if line.startswith(b"Auth")] == [
        b"Authorization: Bearer one",
        b"Authorization: Bearer two",
    ]


async def test_an_answer_streams_back_piece_by_piece(upstream: tuple[Upstream, int]) -> None:
    collecting, port = upstream
    async with relay(port, lambda: "t") as front:
        reader, writer = await asyncio.open_connection("127.0.0.1", front)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        for piece in (b"HTTP/1.1 200 OK\r\n\r\n", b"data: 1\n\n", b"data: 2\n\n"):
            await collecting.answers.put(piece)
            assert await reader.readexactly(len(piece)) == piece
        await collecting.answers.put(b"")
        assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize(
    "request_bytes", [b"GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"A: " + b"x" * 100_000]
)
async def test_what_cannot_be_framed_ends_the_connection(upstream: tuple[Upstream, int], request_bytes: bytes) -> None:
    async with relay(upstream[1], lambda: "t") as front:
        reader, writer = await asyncio.open_connection("127.0.0.1", front)
        writer.write(request_bytes)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()


async def test_nobody_behind_it_ends_the_connection() -> None:
    async with relay(free_port(), lambda: "t") as front:
        reader, writer = await asyncio.open_connection("127.0.0.1", front)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()


async def test_its_end_ends_what_is_still_open(upstream: tuple[Upstream, int]) -> None:
    async with relay(upstream[1], lambda: "t") as front:
        reader, writer = await asyncio.open_connection("127.0.0.1", front)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await upstream[0].holds(b"\r\n\r\n")
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
