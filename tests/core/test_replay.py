"""What is kept of a stream: the last events, bounded, and after any of them exactly the rest or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.protocol.replay import EVENT_OVERHEAD_BYTES, EventId, Replay, identified, opening, read_event_id
from customhouse.core.protocol.sse import EventReader

STREAM = "0123456789abcdef" * 2


@given(st.lists(st.binary(max_size=600), max_size=60), st.integers(1, 12), st.integers(100, 5_000))
def test_after_any_event_come_exactly_the_rest_or_it_is_said_that_they_are_gone(sent: list[bytes], max_events: int, max_bytes: int) -> None:
    replay, dropped = Replay(STREAM, max_events, max_bytes), 0
    for data in sent:
        _, gone = replay.append(data)
        dropped += len(gone)
        assert len(replay) <= max_events
        assert replay.size_bytes <= max_bytes
    assert replay.last == len(sent)
    assert dropped + len(replay) == len(sent)
    for number in range(-2, len(sent) + 3):
        after = replay.after(number)
        if dropped <= number <= len(sent):
            assert after is not None
            assert [(event.id.number, event.data) for event in after] == list(enumerate(sent, 1))[number:]
        else:
            assert after is None


def test_dropping_the_oldest_gives_its_size_back() -> None:
    replay = Replay(STREAM, 10, 10_000)
    replay.append(b"one")
    replay.append(b"second")
    assert replay.drop_oldest().data == b"one"
    assert replay.size_bytes == 6 + EVENT_OVERHEAD_BYTES
    assert replay.after(0) is None
    with pytest.raises(IndexError):
        Replay(STREAM, 1, 1).drop_oldest()


@given(st.integers(0, 10**11))
def test_an_id_reads_back_as_it_was_written(number: int) -> None:
    assert read_event_id(str(EventId(STREAM, number))) == EventId(STREAM, number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        f"{STREAM}",
        f"{STREAM}.",
        f"{STREAM}.-1",
        f"{STREAM}.01",
        f"{STREAM}.1 ",
        f"{STREAM}.1\n",
        f"{STREAM}.²",
        f"{STREAM}.{'9' * 13}",
        f"{STREAM.upper()}.1",
        f"{STREAM[1:]}.1",
        f"x{STREAM}.1",
    ],
)
def test_what_no_stream_ever_gave_is_no_id(text: str) -> None:
    assert read_event_id(text) is None


def test_an_event_goes_out_with_its_id_and_is_read_as_any_other() -> None:
    stored, _ = Replay(STREAM, 1, 1_000).append(b'{"a":\n1}')
    assert identified(stored) == b"id: " + STREAM.encode() + b'.1\nevent: message\ndata: {"a": 1}\n\n'
    assert list(EventReader(100).feed(identified(stored))) == [b'{"a": 1}']


def test_a_stream_opens_with_an_id_and_no_message() -> None:
    assert opening(STREAM, 500) == b"id: " + STREAM.encode() + b".0\nretry: 500\ndata: \n\n"
    assert list(EventReader(100).feed(opening(STREAM, 500))) == []
