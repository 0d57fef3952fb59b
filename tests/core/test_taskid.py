"""The id of a task holds what the gateway needs to decide about it, and nothing else reads as one."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.protocol.taskid import MAX_ARGUMENT_BYTES, Task, arguments_of, bound_to, has_room, packed, task_of, unpacked
from customhouse.core.refusal import Reason, Refused
from tests.sealers.support import person

ARGUMENTS = st.dictionaries(
    st.text(max_size=8),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
        lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=5), inside, max_size=3),
        max_leaves=6,
    ),
    max_size=5,
)
TEXT = st.text(max_size=30)


@given(TEXT, TEXT, ARGUMENTS, TEXT, TEXT)
def test_a_task_comes_back_as_it_was_with_the_arguments_of_its_call(
    server: str, tool: str, arguments: dict[str, Any], call_id: str, server_id: str
) -> None:
    task = unpacked(packed(task_of(server, tool, arguments, call_id, server_id)))
    assert (task.server, task.tool, task.call_id, task.server_id) == (server, tool, call_id, server_id)
    assert arguments_of(task) == arguments


@given(st.binary(max_size=60))
def test_what_is_no_task_is_refused_and_breaks_nothing(data: bytes) -> None:
    with suppress(Refused):
        assert isinstance(unpacked(data), Task)


@pytest.mark.parametrize("data", [b"", b"\xc0", b"\x90", packed(Task("s", "t", b"{}", "c", "i"))[:-1], b"\x95\xa1s\xa1t\xa1a\xa1c\xc1"])
def test_another_layout_is_no_task(data: bytes) -> None:
    with pytest.raises(Refused) as refused:
        unpacked(data)
    assert refused.value.reason is Reason.UNKNOWN_TASK


def test_arguments_have_room_up_to_the_bound_in_bytes() -> None:
    frame = len('{"a":""}')
    assert has_room(None)
    assert has_room({})
    assert has_room({"a": "x" * (MAX_ARGUMENT_BYTES - frame)})
    assert not has_room({"a": "x" * (MAX_ARGUMENT_BYTES - frame + 1)})
    assert not has_room({"a": "é" * (MAX_ARGUMENT_BYTES // 2)})


def test_an_id_is_bound_to_caller_and_endpoint() -> None:
    alice, more = person(), person(scopes=frozenset({"more"}))
    bindings = [bound_to(alice, "/mcp"), bound_to(person("bob"), "/mcp"), bound_to(more, "/mcp"), bound_to(alice, "/mcp/other")]
    assert len(set(bindings)) == 4
    assert bound_to(person(), "/mcp") == bindings[0]
