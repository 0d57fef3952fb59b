"""A state opens for the retry of the very request it was given for, and for nothing else."""

import pytest

from customhouse.adapters.sealers.aead import AeadSealer
from customhouse.adapters.sealers.keyring import first_keyring
from customhouse.core.protocol.requeststate import MAX_SERVER_STATE_BYTES, Parked, RequestState, ServersOwn, bound_to
from customhouse.core.refusal import Reason, Refused
from customhouse.core.sealing import Seal
from customhouse.gateway.requeststates import RequestStates
from tests.sealers.support import Moving, person

CLOCK = Moving()
SEALER = AeadSealer(first_keyring(CLOCK.now()), CLOCK)
STATES = RequestStates(SEALER, CLOCK)


def binding(name: str = "alice", endpoint: str = "/mcp", title: str = "a") -> bytes:
    return bound_to(person(name), endpoint, "tools/call", "notes", "add", {"name": "notes__add", "arguments": {"title": title}})


def refusal_of(text: object, bound: bytes) -> Refused:
    with pytest.raises(Refused) as refused:
        STATES.open(text, bound)
    return refused.value


@pytest.mark.parametrize(
    "waits", [ServersOwn("state of the server"), ServersOwn(None), ServersOwn("s" * MAX_SERVER_STATE_BYTES), Parked("gateway-1", "0" * 32)]
)
def test_a_retry_gets_back_what_was_sealed(waits: ServersOwn | Parked) -> None:
    until = CLOCK.now() + 60
    assert STATES.open(STATES.seal(waits, 2, until, binding()), binding()) == RequestState(waits, 2, int(until))


def test_whatever_is_wrong_it_is_one_refusal() -> None:  # GW-73
    clock = Moving()
    states = RequestStates(SEALER, clock)
    good = states.seal(ServersOwn("s"), 1, clock.now() + 60, binding())
    refusals = [
        refusal_of(good, binding("bob")),
        refusal_of(good, binding(endpoint="/mcp/other")),
        refusal_of(good, binding(title="b")),
        refusal_of(good[:-1], binding()),
        refusal_of(STATES.seal(ServersOwn("s"), 1, CLOCK.now(), binding()), binding()),
        refusal_of(SEALER.seal(Seal.REQUEST_STATE, b"another layout", binding()), binding()),
        refusal_of(SEALER.seal(Seal.SESSION, b"", binding()), binding()),
        refusal_of("", binding()),
        refusal_of("A" * 100_000, binding()),
        refusal_of(None, binding()),
        refusal_of(7, binding()),
        refusal_of({"a": 1}, binding()),
    ]
    assert {(one.reason, one.reason.row.code, tuple(one.detail), one.message, one.note) for one in refusals} == {
        (Reason.INVALID_REQUEST_STATE, -32602, (), "", "")
    }


def test_a_parked_calls_state_says_nothing_to_its_client() -> None:
    text = STATES.seal(Parked("gateway-1", "0123456789abcdef" * 2), 1, CLOCK.now() + 60, binding())
    assert "gateway" not in text
    assert "0123456789abcdef" not in text
