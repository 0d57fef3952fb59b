"""A head that was read before is not parsed again, and nothing about a request changes by that."""

import pytest

from tests.edge.doors import Doorway, read_note


@pytest.fixture
def doorway() -> Doorway:
    return Doorway()


async def test_the_second_request_of_a_head_is_answered_like_the_first(doorway: Doorway) -> None:
    asked = read_note()
    client = doorway.connect()
    first = await client.ask(asked)
    assert doorway.door.heads
    second = await client.ask(asked)
    assert [first.status, second.status] == [200, 200]
    assert first.body.replace(b"callId", b"") == second.body.replace(b"callId", b"")


@pytest.mark.parametrize("cut", [1, 40, -1])
async def test_a_known_head_in_pieces_is_read_the_long_way_and_answered_the_same(doorway: Doorway, cut: int) -> None:
    asked = read_note()
    await doorway.connect().ask(asked)
    client = doorway.connect()
    client.send(asked[:cut])
    assert (await client.ask(asked[cut:])).status == 200


async def test_what_follows_a_known_head_is_never_taken_for_more_than_its_length(doorway: Doorway) -> None:
    asked = read_note()
    client = doorway.connect()
    await client.ask(asked)
    client.send(asked + asked)
    both = await client.answers(2)
    assert [answer.status for answer in both] == [200, 200]


@pytest.mark.parametrize(
    "unusual", [b"expect: 100-continue", b"connection: close", b"upgrade: h2c\r\nconnection: upgrade", b"trailer: x", b"te: trailers"]
)
async def test_a_head_with_more_to_it_is_not_kept(doorway: Doorway, unusual: bytes) -> None:
    plain = read_note()
    await doorway.connect().ask(plain.replace(b"\r\n\r\n", b"\r\n" + unusual + b"\r\n\r\n", 1))
    assert not doorway.door.heads


async def test_a_refused_head_is_not_kept(doorway: Doorway) -> None:
    await doorway.connect().ask(read_note().replace(b"\r\n\r\n", b"\r\nhost: other\r\n\r\n", 1))
    assert not doorway.door.heads


async def test_known_heads_are_bounded(doorway: Doorway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("customhouse.edge.protocol.MAX_HEADS", 2)
    client = doorway.connect()
    for number in range(5):
        await client.ask(read_note().replace(b"\r\n\r\n", b"\r\nx-number: %d\r\n\r\n" % number, 1))
    assert 1 <= len(doorway.door.heads) <= 2
