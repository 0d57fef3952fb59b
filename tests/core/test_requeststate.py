"""A request state comes back as it was, for the same request of the same caller, until it expires."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.identity import Caller
from customhouse.core.protocol.requeststate import (
    MAX_SERVER_STATE_BYTES,
    Approved,
    Asking,
    Parked,
    RequestState,
    ServersOwn,
    bound_to,
    packed,
    unpacked,
)
from customhouse.core.refusal import Reason, Refused
from tests.sealers.support import person

ALICE = person(groups=("readers",))
PARAMS: dict[str, Any] = {"name": "add", "arguments": {"title": "a", "tags": [1, 2.5, None]}}
WAITS = st.one_of(
    st.builds(ServersOwn, st.none() | st.text(max_size=500)),
    st.builds(Parked, st.text(max_size=60), st.text("0123456789abcdef", min_size=32)),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=10),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=5), inside, max_size=3),
    max_leaves=8,
)


def binding(
    caller: Caller = ALICE,
    endpoint: str = "/mcp",
    method: str = "tools/call",
    server: str = "notes",
    name: str = "add",
    params: dict[str, Any] = PARAMS,
) -> bytes:
    return bound_to(caller, endpoint, method, server, name, params)


@given(WAITS, st.integers(1, 100), st.integers(0, 2**40))
def test_a_state_comes_back_exactly_as_it_was(waits: ServersOwn | Parked, round_number: int, expires_at: int) -> None:
    state = RequestState(waits, round_number, expires_at)
    assert unpacked(packed(state), expires_at - 1) == state


@given(WAITS, st.text(max_size=8), st.text(max_size=8))
def test_a_state_knows_what_approved_the_first_round_of_its_call(waits: ServersOwn | Parked, approval_id: str, chain: str) -> None:
    state = RequestState(waits, 1, 10, Approved(approval_id, chain))
    assert unpacked(packed(state), 0) == state
    asking = RequestState(Asking(approval_id), 1, 10)
    assert unpacked(packed(asking), 0) == asking


def test_a_state_of_before_there_were_approvals_still_opens() -> None:
    assert unpacked(msgspec.msgpack.encode([[0, "s"], 1, 10]), 0) == RequestState(ServersOwn("s"), 1, 10)


def test_no_state_of_a_server_is_not_an_empty_one() -> None:
    assert unpacked(packed(RequestState(ServersOwn(None), 1, 10)), 0).waits == ServersOwn(None) != ServersOwn("")


@pytest.mark.parametrize("text", ["a" * MAX_SERVER_STATE_BYTES, "é" * (MAX_SERVER_STATE_BYTES // 2), "\x00\ud7ff\u2028"])
def test_a_large_or_strange_state_of_a_server_is_carried(text: str) -> None:
    assert unpacked(packed(RequestState(ServersOwn(text), 1, 10)), 0).waits == ServersOwn(text)


@pytest.mark.parametrize("text", ["a" * (MAX_SERVER_STATE_BYTES + 1), "é" * (MAX_SERVER_STATE_BYTES // 2 + 1)])
def test_a_state_of_a_server_that_is_too_large_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        packed(RequestState(ServersOwn(text), 1, 10))
    assert refused.value.reason is Reason.RESULT_TOO_LARGE


@pytest.mark.parametrize("now", [10, 10.5, 1e9])
def test_an_expired_state_is_refused(now: float) -> None:  # GW-73
    with pytest.raises(Refused) as refused:
        unpacked(packed(RequestState(ServersOwn("s"), 1, 10)), now)
    assert (refused.value.reason, refused.value.note) == (Reason.INVALID_REQUEST_STATE, "")


@pytest.mark.parametrize(
    "data", [b"", b"\xc0", b"\x93\x01\x02\x03", msgspec.msgpack.encode([[3, "x"], 1, 10]), msgspec.msgpack.encode("x")]
)
def test_bytes_of_another_layout_are_refused(data: bytes) -> None:
    with pytest.raises(Refused) as refused:
        unpacked(data, 0)
    assert refused.value.reason is Reason.INVALID_REQUEST_STATE


OTHERS = {
    "another person": binding(person("bob", groups=("readers",))),
    "another client": binding(person(client="web", groups=("readers",))),
    "other groups": binding(person()),
    "other scopes": binding(person(groups=("readers",), scopes=frozenset({"x"}))),
    "another endpoint": binding(endpoint="/mcp/other"),
    "another method": binding(method="prompts/get"),
    "another server": binding(server="tickets"),
    "another name": binding(name="purge"),
    "another argument": binding(params={**PARAMS, "arguments": {"title": "b"}}),
    "one argument more": binding(params={**PARAMS, "arguments": {**PARAMS["arguments"], "x": None}}),
    "one parameter more": binding(params={**PARAMS, "task": {}}),
    "a fact that moved over": binding(server="note", name="sadd"),
}


@pytest.mark.parametrize("other", list(OTHERS))
def test_a_state_is_bound_to_the_caller_and_to_the_request(other: str) -> None:  # GW-73
    assert OTHERS[other] != binding()


@given(JSON, JSON, JSON)
def test_what_belongs_to_one_sending_alone_does_not_count(meta: Any, responses: Any, state: Any) -> None:
    assert binding(params={**PARAMS, "_meta": meta, "inputResponses": responses, "requestState": state}) == binding()


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4), st.randoms())
def test_the_order_of_keys_does_not_count(arguments: dict[str, Any], random: Any) -> None:
    items = list(arguments.items())
    random.shuffle(items)
    assert binding(params={"arguments": dict(items), "name": "add"}) == binding(params={"name": "add", "arguments": arguments})
