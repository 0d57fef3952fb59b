"""Requests that two readers could read differently are refused, and nothing after them is read (RFC 9112 sections 3, 5, 6, 7 and 11)."""

import asyncio

import pytest

from tests.edge.doors import HOST, MCP, Doorway, legacy, request

HOST_LINE = b"Host: " + HOST + b"\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
GET = b"GET /healthz HTTP/1.1\r\n" + HOST_LINE


def post(lines: bytes, body: bytes = b"0\r\n\r\n") -> bytes:
    """A POST with these header lines besides Host."""
    return b"POST /mcp HTTP/1.1\r\n" + HOST_LINE + lines + b"\r\n" + body


def in_chunks(chunks: bytes) -> bytes:
    """A chunked POST with this body as it stands on the wire."""
    return post(CHUNKED, chunks)


SMUGGLED = {
    "length, then chunked": post(b"Content-Length: 5\r\n" + CHUNKED),
    "chunked, then length": post(CHUNKED + b"Content-Length: 5\r\n"),
    "an empty transfer coding beside a length": post(b"Transfer-Encoding:\r\nContent-Length: 5\r\n"),
    "a coding that only contains chunked": post(b"Transfer-Encoding: xchunked\r\n"),
    "chunked is not last": post(b"Transfer-Encoding: chunked, identity\r\n"),
    "identity before chunked": post(b"Transfer-Encoding: identity, chunked\r\n"),
    "identity alone": post(b"Transfer-Encoding: identity\r\n"),
    "compression below chunked": post(b"Transfer-Encoding: gzip, chunked\r\n"),
    "chunked twice in one line": post(b"Transfer-Encoding: chunked, chunked\r\n"),
    "chunked twice in two lines": post(CHUNKED + CHUNKED),
    "a quoted coding": post(b'Transfer-Encoding: "chunked"\r\n'),
    "a vertical tab before the coding": post(b"Transfer-Encoding: \x0bchunked\r\n"),
    "chunks in HTTP/1.0": b"POST /mcp HTTP/1.0\r\n" + HOST_LINE + CHUNKED + b"\r\n0\r\n\r\n",
    "equal lengths twice": post(b"Content-Length: 2\r\nContent-Length: 2\r\n", b"{}"),
    "different lengths": post(b"Content-Length: 2\r\nContent-Length: 3\r\n", b"{}"),
    "a list of lengths": post(b"Content-Length: 2, 2\r\n", b"{}"),
    "a length with a plus": post(b"Content-Length: +2\r\n", b"{}"),
    "a length with a minus": post(b"Content-Length: -2\r\n", b"{}"),
    "a length in hexadecimal": post(b"Content-Length: 0x2\r\n", b"{}"),
    "a length with a space inside": post(b"Content-Length: 2 2\r\n", b"{}"),
    "a length with an underscore": post(b"Content-Length: 1_0\r\n", b"{}"),
    "a length that is no number": post(b"Content-Length: two\r\n", b"{}"),
    "an empty length": post(b"Content-Length:\r\n", b"{}"),
    "a length beyond 64 bits": post(b"Content-Length: 18446744073709551618\r\n", b"{}"),
    "a folded line": GET + b"X: a\r\n b\r\n\r\n",
    "a folded coding": post(b"Transfer-Encoding:\r\n chunked\r\n"),
    "a space before the first header": b"GET /healthz HTTP/1.1\r\n X: a\r\n" + HOST_LINE + b"\r\n",
    "a space before the colon": GET + b"X : a\r\n\r\n",
    "a tab before the colon": post(b"Content-Length\t: 2\r\n", b"{}"),
    "lines that end in LF": b"GET /healthz HTTP/1.1\nHost: " + HOST + b"\n\n",
    "one line that ends in LF": GET + b"X: a\nY: b\r\n\r\n",
    "a head that ends in LF": GET + b"\n",
    "a CR inside a value": GET + b"X: a\rY: b\r\n\r\n",
    "a CR before the line end": GET + b"X: a\r\r\n\r\n",
    "a request line that ends in CR": b"GET /healthz HTTP/1.1\r" + HOST_LINE + b"\r\n",
    "a NUL in a value": GET + b"X: a\0b\r\n\r\n",
    "a NUL in a name": GET + b"X\0: a\r\n\r\n",
    "a control character in a value": GET + b"X: a\x01b\r\n\r\n",
    "a name that is no token": GET + b"X(y): a\r\n\r\n",
    "no name": GET + b": a\r\n\r\n",
    "no colon": GET + b"abc\r\n\r\n",
    "a negative chunk": in_chunks(b"-2\r\n{}\r\n0\r\n\r\n"),
    "a chunk size with 0x": in_chunks(b"0x2\r\n{}\r\n0\r\n\r\n"),
    "a chunk size with a plus": in_chunks(b"+2\r\n{}\r\n0\r\n\r\n"),
    "a chunk size with an underscore": in_chunks(b"2_0\r\n{}\r\n0\r\n\r\n"),
    "a space after the chunk size": in_chunks(b"2 \r\n{}\r\n0\r\n\r\n"),
    "a space before the chunk size": in_chunks(b" 2\r\n{}\r\n0\r\n\r\n"),
    "no chunk size": in_chunks(b"\r\n{}\r\n0\r\n\r\n"),
    "a chunk size beyond 64 bits": in_chunks(b"10000000000000002\r\n{}\r\n0\r\n\r\n"),
    "a chunk that is longer than it says": in_chunks(b"2\r\n{}X\r\n0\r\n\r\n"),
    "a chunk line that ends in LF": in_chunks(b"2\n{}\r\n0\r\n\r\n"),
    "a chunk that ends in LF": in_chunks(b"2\r\n{}\n0\r\n\r\n"),
    "an LF in a chunk extension": in_chunks(b"2;a\n{}\r\n0\r\n\r\n"),
    "a line break in a quoted chunk extension": in_chunks(b'2;a="b\r\n"\r\n{}\r\n0\r\n\r\n'),
}

HIDDEN = b"GET /metrics HTTP/1.1\r\n" + HOST_LINE + b"\r\n"


@pytest.mark.parametrize("shape", SMUGGLED)
async def test_an_ambiguous_request_is_refused_recorded_and_the_last_of_its_connection(shape: str) -> None:
    doorway = Doorway()
    client = doorway.connect()
    client.send(SMUGGLED[shape] + HIDDEN)
    answers = await client.answers(2)
    await client.closed()
    assert [answer.status for answer in answers] == [400]
    assert answers[0].headers["connection"] == "close"
    assert doorway.outcomes == ["MALFORMED_HTTP"]


@pytest.mark.parametrize("shape", SMUGGLED)
async def test_it_does_not_matter_how_the_bytes_are_cut(shape: str) -> None:
    doorway = Doorway()
    client = doorway.connect()
    for byte in SMUGGLED[shape] + HIDDEN:
        client.send(bytes([byte]))
    assert [answer.status for answer in await client.answers(2)] == [400]
    assert doorway.outcomes == ["MALFORMED_HTTP"]


BODY = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
PING = b"\r\n".join(MCP) + b"\r\n"
ALLOWED = {
    "white space around a coding": post(PING + b"Transfer-Encoding:\t chunked \r\n", b"28\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk extension and a trailer": post(PING + CHUNKED, b"28;name=value\r\n" + BODY + b"\r\n0\r\nX-Checksum: 1\r\n\r\n"),
    "leading zeros in a chunk size": post(PING + CHUNKED, b"0028\r\n" + BODY + b"\r\n000\r\n\r\n"),
    "white space around a length": post(PING + b"Content-Length: \t40\t \r\n", BODY),
    "leading zeros in a length": post(PING + b"Content-Length: 0040\r\n", BODY),
    "empty lines before the request": b"\r\n\r\n" + legacy(),
    "an empty header before one that counts": post(b"X-Empty:\r\nX-Blank: \r\n" + PING + b"Content-Length: 40\r\n", BODY),
    "bytes beyond ASCII in a header that nobody reads": legacy(headers=[b"X: \xff"]),
}


@pytest.mark.parametrize("shape", ALLOWED)
async def test_what_the_rules_allow_is_served(shape: str) -> None:
    doorway = Doorway()
    client = doorway.connect()
    client.send(ALLOWED[shape] + legacy(message_id=2))
    assert [answer.json()["id"] for answer in await client.answers(2)] == [1, 2]


async def test_a_chunk_of_more_bytes_than_the_body_may_have_is_never_collected() -> None:
    doorway = Doorway()
    client = doorway.connect()
    client.send(in_chunks(b"ffffffffffffffff\r\n"))
    for _ in range(17):
        client.send(b"x" * 4096)
    assert (await client.answer()).status == 413
    assert doorway.outcomes == ["BODY_TOO_LARGE"]


async def test_chunk_extensions_without_end_are_cut_off() -> None:
    doorway = Doorway()
    client = doorway.connect()
    client.send(in_chunks(b"2;"))
    for _ in range(64):
        client.send(b"a" * 4096)
    assert (await client.answer()).status == 413
    assert doorway.outcomes == ["BODY_TOO_LARGE"]


async def test_trailers_without_end_are_cut_off() -> None:
    doorway = Doorway()
    client = doorway.connect()
    client.send(in_chunks(b"2\r\n{}\r\n0\r\n"))
    for _ in range(64):
        client.send(b"a: " + b"b" * 4096 + b"\r\n")
    assert (await client.answer()).status == 413


@pytest.mark.parametrize(
    "trailer",
    [
        b"Authorization: Bearer alice-of-eng",
        b"Content-Type: application/json",
        b"Host: evil.example",
        b"Content-Length: 3",
        CHUNKED.strip(),
    ],
)
async def test_a_trailer_never_counts_as_a_header(trailer: bytes) -> None:
    doorway = Doorway()
    lines = {b"Authorization": MCP[0], b"Content-Type": MCP[1], b"Accept": MCP[2]}
    lines.pop(trailer.partition(b":")[0], None)
    data = post(b"\r\n".join(lines.values()) + b"\r\n" + CHUNKED, b"28\r\n%b\r\n0\r\n%b\r\n\r\n" % (BODY, trailer))
    client = doorway.connect()
    client.send(data)
    expected = {b"Authorization": 401, b"Content-Type": 415}.get(trailer.partition(b":")[0], 200)
    client.send(legacy(message_id=2))
    answers = await client.answers(2)
    statuses = [answer.status for answer in answers]
    # A trailer that would frame the message is refused by the parser or dropped; either way no second request appears inside it.
    assert statuses in ([expected, 200], [400])


@pytest.mark.parametrize(
    "name",
    ["Authorization", "Content-Type", "Origin", "MCP-Protocol-Version", "Mcp-Method", "Mcp-Name", "Mcp-Param-Region", "Sec-Fetch-Site"],
)
async def test_a_header_that_decides_something_comes_once(name: str) -> None:  # GW-16
    doorway = Doorway()
    line = name.encode() + b": same"
    client = doorway.connect()
    answer = await client.ask(request(headers=[line, line]))
    assert answer.status == 400
    assert doorway.outcomes == ["MALFORMED_HTTP"]


async def test_a_head_without_end_is_cut_off() -> None:
    doorway = Doorway()
    client = doorway.connect()
    client.send(b"POST /mcp HTTP/1.1\r\n" + HOST_LINE + b"X: ")
    for _ in range(5):
        client.send(b"a" * 4096)
    assert (await client.answer()).status == 431
    assert doorway.outcomes == ["HEADERS_TOO_LARGE"]


async def test_what_comes_after_a_refusal_is_not_kept() -> None:
    doorway = Doorway()
    client = doorway.connect()
    client.send(SMUGGLED["identity alone"])
    await client.answer()
    for _ in range(10):
        client.send(legacy())
    await asyncio.sleep(0)
    assert doorway.outcomes == ["MALFORMED_HTTP"]
    assert not client.wire.out
