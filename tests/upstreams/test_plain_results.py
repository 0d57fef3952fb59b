"""The short way to read an answer and the long one never disagree."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.adapters.upstreams.answers import plain_result, read_answer
from customhouse.core.refusal import Refused

values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3), max_leaves=6
)


@given(result=st.dictionaries(st.text(max_size=4), values, max_size=4), spaced=st.booleans())
def test_what_the_short_way_reads_the_long_way_reads_too(result: dict[str, object], spaced: bool) -> None:
    data = msgspec.json.encode({"jsonrpc": "2.0", "id": 7, "result": result})
    data = data.replace(b'"id":7', b'"id": 7') if spaced else data
    short = plain_result(data, 7)
    long = read_answer(data).result()
    assert long is not None
    if short is not None:
        assert {key: bytes(value) for key, value in short.items()} == {key: bytes(value) for key, value in long.items()}
    else:
        assert spaced


@pytest.mark.parametrize(
    "tail",
    [
        b'{"a":1},"result":{"a":2}}',
        b'{"a":1},"error":{"code":1,"message":""}}',
        b'{"a":1},"id":8}',
        b'{"a":1,"a":2}}',
        b'{"a":1}}}',
        b'{"a":1}} ',
        b"[1]}",
        b"null}",
        b'"x"}',
        b'{"a":\xff}}',
        b"{",
        b"}",
        b"",
    ],
)
def test_whatever_could_hide_in_an_answer_is_not_read_the_short_way(tail: bytes) -> None:
    assert plain_result(b'{"jsonrpc":"2.0","id":7,"result":' + tail, 7) is None


def test_another_id_is_not_read_the_short_way() -> None:
    data = b'{"jsonrpc":"2.0","id":71,"result":{}}'
    assert plain_result(data, 7) is None
    assert read_answer(data).id == 71


def test_an_answer_with_two_results_is_refused_in_the_end() -> None:
    with pytest.raises(Refused):
        read_answer(b'{"jsonrpc":"2.0","id":7,"result":{"a":1},"result":{"a":2}}').result()
