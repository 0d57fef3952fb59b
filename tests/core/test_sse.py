"""Server-sent events: what comes out does not depend on how the bytes were cut."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.protocol.sse import COMMENT, EventReader, EventTooLarge, event

STREAM = (
    ": hello\n\n"
    "event: message\ndata: one\n\n"
    "data:two\ndata: lines\nid: 7\nretry: 10\n\n"
    "event: other\ndata: not for us\n\n"
    "data\n\n"
    "data: \n\n"
    "data:  three\n\n"
    "unknown: x\ndata: é\n\n"
    "data: unfinished"
)
DATA = [b"one", b"two\nlines", b" three", "é".encode()]


def heard(chunks: list[bytes], limit: int = 1000) -> list[bytes]:
    reader = EventReader(limit)
    return [data for chunk in chunks for data in reader.feed(chunk)]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"], ids=["LF", "CR", "CRLF"])
def test_a_stream_split_at_every_byte_says_the_same(end: str) -> None:
    stream = STREAM.replace("\n", end).encode()
    assert heard([stream]) == DATA
    for cut in range(1, len(stream)):
        assert heard([stream[:cut], stream[cut:]]) == DATA
    assert heard([stream[at : at + 1] for at in range(len(stream))]) == DATA


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"data: a", b"data:", b":", b"event: x", b"b"]), max_size=30), st.data())
def test_how_bytes_are_cut_never_matters(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cut = data.draw(st.integers(0, len(stream)))
    whole = heard([stream])
    assert heard([stream[:cut], stream[cut:]]) == whole
    assert heard([stream[at : at + 1] for at in range(len(stream))]) == whole


def test_an_event_is_heard_as_soon_as_its_empty_line_ends() -> None:
    for ended in (b"data: a\n\n", b"data: a\r\r", b"data: a\r\n\r\n"):
        assert heard([ended]) == [b"a"]


@pytest.mark.parametrize(
    "chunks",
    [
        [b"data: 0123456789ab"],
        [b"data: 0123456789\n"],
        [b"data: 0123\n", b"data: 4567\n", b"data: 89\n"],
        [b"x" * 20],
        [b": comment without an end"],
        [b"data:\n"] * 20,
    ],
    ids=["unfinished line", "line", "many lines", "no field", "comment", "empty lines"],
)
def test_an_event_beyond_its_bound_is_refused_before_it_ends(chunks: list[bytes]) -> None:
    with pytest.raises(EventTooLarge):
        heard(chunks, 9)


def test_an_event_of_exactly_the_bound_is_read_and_the_next_starts_anew() -> None:
    assert heard([b"data: 012345678\n\n"] * 3, 15) == [b"012345678"] * 3
    assert heard([b"data: 0123\ndata: 5678\n\n"] * 3, 9) == [b"0123\n5678"] * 3


@given(st.dictionaries(st.text(max_size=4), st.text(max_size=4) | st.integers(), max_size=3), st.sampled_from([None, 1]))
def test_an_event_carries_any_json_text_whole(value: dict[str, str | int], indent: int | None) -> None:
    text = json.dumps(value, indent=indent).replace("\n", "\r\n" if indent else "\n")
    read = heard([COMMENT, event(text.encode()), COMMENT], 10_000)
    assert [json.loads(data) for data in read] == [value]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_id_of_the_last_whole_event_says_where_to_go_on(end: str) -> None:
    reader = EventReader(1_000)
    lines = ["id: 1", "data: a", "", "data: b", "", "id: 2", "retry: 250", "", "id: 3", "data: c"]
    assert list(reader.feed(end.join(lines).encode())) == [b"a", b"b"]
    assert (reader.last_event_id, reader.retry_ms) == (b"2", 250)
    reader.restart()
    assert list(reader.feed(b"data: d\n\n")) == [b"d"]
    assert list(reader.feed(b"id\ndata: e\n\n")) == [b"e"]
    assert reader.last_event_id == b""


@pytest.mark.parametrize("line", [b"id: a\0b", b"id: " + b"x" * 1_025, b"retry: soon", b"retry: -1", b"retry: 99999999"])
def test_an_id_or_pause_that_means_nothing_is_not_taken(line: bytes) -> None:
    reader = EventReader(10_000)
    list(reader.feed(b"id: 1\nretry: 5\n\n" + line + b"\n\n"))
    assert (reader.last_event_id, reader.retry_ms) == (b"1", 5)
