"""A pass-through that adds an access token to each request, for a suite that cannot send one.

Everything else goes on byte by byte, in both directions and at once: `Host`, `Origin`, the body, the stream of the answer. Requests are
framed as in RFC 9112 section 6: by `Content-Length`, by chunks, or without a body.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

LARGEST_HEAD_BYTES = 65536


@asynccontextmanager
async def relay(port: int, token: Callable[[], str]) -> AsyncIterator[int]:
    """A pass-through to `port` on loopback for the length of the block; yields its own port. `token` is asked for each request."""
    connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_connection(reader, writer, port, token))
        connections[task] = writer
        task.add_done_callback(connections.pop)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=LARGEST_HEAD_BYTES)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in connections.values():
            writer.close()
        await asyncio.gather(*connections)


async def _connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, token: Callable[[], str]) -> None:
    """One connection of the suite and its own one to the gateway; the end of either is the end of both."""
    try:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        writer.close()
        return
    back = asyncio.create_task(_copied(upstream_reader, writer))
    try:
        await _requests(reader, upstream_writer, token)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError):
        writer.close()
    finally:
        upstream_writer.close()
        await back


async def _requests(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: Callable[[], str]) -> None:
    """Pass requests on until the sender closes."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        start_line, rest = head.split(b"\r\n", 1)
        writer.write(b"%s\r\nAuthorization: Bearer %s\r\n%s" % (start_line, token().encode(), rest))
        fields = dict(_field(line) for line in rest.split(b"\r\n") if line)
        if b"chunked" in fields.get(b"transfer-encoding", b""):
            await _chunks(reader, writer)
        else:
            writer.write(await reader.readexactly(int(fields.get(b"content-length", b"0"))))
        await writer.drain()


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name.lower(), value.strip().lower()


async def _chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        size_line = await reader.readline()
        size = int(size_line.split(b";")[0], 16)
        writer.write(size_line)
        if size == 0:
            break
        writer.write(await reader.readexactly(size + 2))
    while (trailer := await reader.readline()) not in (b"\r\n", b""):
        writer.write(trailer)
    writer.write(b"\r\n")


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass the answers on as they come; the end of the one is the end of the other."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()
