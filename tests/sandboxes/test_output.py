"""What a server writes, in pieces of any size: whole lines of stdout, a tail of stderr without secrets."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.adapters.sandboxes.output import Lines, Tail
from customhouse.ports.hosts import LineTooLong


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


LINE = st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b""))


@given(st.lists(LINE), LINE, st.lists(st.integers(0, 400)), st.sampled_from([b"\n", b"\r\n"]))
def test_lines_do_not_depend_on_how_their_bytes_arrive(lines: list[bytes], rest: bytes, places: list[int], end: bytes) -> None:
    reader = Lines(1_000)
    data = b"".join(line + end for line in lines) + rest
    assert [line for piece in cut(data, places) for line in reader.feed(piece)] == lines


@given(st.integers(0, 30), st.lists(st.integers(0, 40)), st.booleans())
def test_a_line_is_refused_exactly_when_it_is_longer_than_allowed(size: int, places: list[int], ended: bool) -> None:
    reader = Lines(20)
    pieces = cut(b"x" * size + b"\n" * ended, places)
    if size > 20:
        with pytest.raises(LineTooLong):
            [reader.feed(piece) for piece in pieces]
    else:
        assert [line for piece in pieces for line in reader.feed(piece)] == [b"x" * size] * ended


SECRETS = ("s3cret", "another one", "s3cret-and-more")


@given(st.lists(st.sampled_from([*SECRETS, "a", "s3", "cret", "\n", "another", " one", "é"])), st.lists(st.integers(0, 400)))
def test_no_secret_is_shown_however_its_bytes_arrive(words: list[str], places: list[int]) -> None:
    tail = Tail(SECRETS)
    data = "".join(words).encode()
    for piece in cut(data, places):
        tail.feed(piece)
        assert not any(secret in tail.text() for secret in SECRETS)


@given(st.text("ab\n", max_size=300), st.lists(st.integers(0, 300)))
def test_the_tail_is_the_end_of_what_was_written(text: str, places: list[int]) -> None:
    tail = Tail(("never there",), max_bytes=50)
    for piece in cut(text.encode(), places):
        tail.feed(piece)
    assert tail.text() == text[-50:]


def test_a_secret_is_blanked_before_the_tail_is_cut_so_no_half_of_it_stays() -> None:
    tail = Tail(("0123456789",), max_bytes=16)
    for piece in (b"0123456789" + b"x" * 10, b"y"):
        tail.feed(piece)
    assert tail.text() == "cted]" + "x" * 10 + "y"


def test_the_beginning_of_a_secret_waits_until_it_is_clear_what_it_is() -> None:
    tail = Tail(("s3cret",))
    tail.feed(b"hello s3c")
    assert tail.text() == "hello "
    tail.feed(b"ond try")
    assert tail.text() == "hello s3cond try"


def test_what_a_terminal_would_act_on_is_a_blank() -> None:
    tail = Tail(())
    tail.feed("a\x1b[31mb\x00\u202ec\n\xff".encode() + b"\xff")
    assert tail.text() == "a [31mb  c\n\xff\ufffd"
