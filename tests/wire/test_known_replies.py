"""A reply whose head was read before needs no parser, and nothing about it changes by that."""

import asyncio
from typing import Any

import pytest

from customhouse.wire.client import ClientConnection, KnownHead, Reply, ReplyBroken

PLAIN = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n"


class Line(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def write(self, data: Any) -> None:
        pass

    def is_closing(self) -> bool:
        return self.aborted

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.aborted = True


def connection(known: dict[bytes, KnownHead] | None = None) -> ClientConnection:
    made = ClientConnection(asyncio.get_running_loop(), known)
    made.connection_made(Line())
    return made


def replied(to: ClientConnection, *pieces: bytes) -> Reply:
    reply = to.send(b"request")
    for piece in pieces:
        to.data_received(piece)
    return reply


def shown(reply: Reply) -> tuple[int, dict[bytes, bytes], bytes | None, bool]:
    return reply.status, reply.headers, reply.at_once(100), reply.complete


async def test_the_second_reply_of_a_head_reads_like_the_first() -> None:
    known: dict[bytes, KnownHead] = {}
    made = connection(known)
    first = replied(made, PLAIN + b"{}")
    assert list(known) == [PLAIN]
    assert made.whole
    second = replied(made, PLAIN + b"[]")
    assert shown(first)[:2] == shown(second)[:2]
    assert (first.at_once(100), second.at_once(100)) == (b"{}", b"[]")
    assert second.at_once(1) is None
    assert made.reusable


@pytest.mark.parametrize("cut", [1, 30, -1])
async def test_a_known_head_in_pieces_is_read_the_long_way(cut: int) -> None:
    made = connection()
    replied(made, PLAIN + b"{}")
    reply = replied(made, (PLAIN + b"{}")[:cut], (PLAIN + b"{}")[cut:])
    assert shown(reply)[:2] == (200, {b"content-type": b"application/json", b"content-length": b"2"})
    assert (reply.arrived(), reply.complete, reply.unread) == (b"{}", True, False)


async def test_more_than_a_known_head_announces_ends_the_connection() -> None:
    made = connection()
    replied(made, PLAIN + b"{}")
    reply = replied(made, PLAIN + b"{}" + PLAIN + b"{}")
    assert reply.at_once(100) == b"{}"
    assert not made.whole


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
)
async def test_a_head_with_more_to_it_is_not_kept(head: bytes) -> None:
    known: dict[bytes, KnownHead] = {}
    replied(connection(known), head + (b"" if b"chunked" in head else b"{}"))
    assert not known


async def test_known_heads_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("customhouse.wire.client._MAX_KNOWN_HEADS", 2)
    known: dict[bytes, KnownHead] = {}
    made = connection(known)
    for number in range(5):
        replied(made, PLAIN.replace(b"\r\n\r\n", b"\r\nx-number: %d\r\n\r\n" % number) + b"{}")
    assert 1 <= len(known) <= 2


async def test_a_connection_that_breaks_while_a_reply_is_awaited_says_so() -> None:
    made = connection()
    reply = made.send(b"request")

    async def wait() -> None:
        while not reply.head_arrived:
            await reply.more()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    made.connection_lost(None)
    with pytest.raises(ReplyBroken):
        await task
    with pytest.raises(ReplyBroken):
        reply.more()
