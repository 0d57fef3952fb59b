"""The rounds of one request, with real keys: what a client carries leads back to its own call, once, and nobody else's anywhere."""

import json
from typing import Any

import pytest

from customhouse.adapters.sealers.aead import AeadSealer
from customhouse.adapters.sealers.keyring import first_keyring
from customhouse.core.identity import Caller
from customhouse.core.protocol.requeststate import Parked, bound_to
from customhouse.core.refusal import Reason, Refused
from customhouse.gateway.bridging import BridgedCall, Finished
from customhouse.gateway.parking import Parking, ParkingLimits
from customhouse.gateway.requeststates import RequestStates
from tests.sealers.support import Moving, person

ALICE, BOB = person(), person("bob")
ADD = {"name": "add", "arguments": {"title": "a"}}
ANSWER_SECONDS = 60.0

Outcome = tuple[str, str]
"""`asked` and the state to carry, or `done` and the server's answer."""


class Gateway:
    """As much of an exchange as the rounds need: one tool that asks a person twice and counts how often it ran."""

    def __init__(self) -> None:
        self.clock = Moving()
        ids = iter(f"{number:032x}" for number in range(1, 1_000))
        self.states = RequestStates(AeadSealer(first_keyring(self.clock.now()), self.clock), self.clock)
        self.parking: Parking[str] = Parking(ParkingLimits(10, 10, 10_000, 10_000), self.clock, lambda: next(ids), len)
        self.ran = 0

    async def tool(self, call: BridgedCall[str]) -> str:
        self.ran += 1
        said = [(await call.ask("elicitation/create", {"message": text}))["result"]["action"] for text in ("Sure?", "Really?")]
        return " ".join(said)

    async def request(self, caller: Caller, params: dict[str, Any]) -> Outcome:
        """One POST of a modern client."""
        bound = bound_to(caller, "/mcp", "tools/call", "notes", "add", params)
        if "requestState" not in params:
            return await self._outcome(self.parking.start(self.tool), caller, bound, 1)
        state = self.states.open(params["requestState"], bound)
        assert isinstance(state.waits, Parked)
        call = self.parking.take(state.waits.handle, caller.context_digest)
        call.answer({key: {"result": reply} for key, reply in params["inputResponses"].items()})
        return await self._outcome(call, caller, bound, state.round + 1)

    async def _outcome(self, call: BridgedCall[str], caller: Caller, bound: bytes, round_number: int) -> Outcome:
        outcome = await call.next()
        if isinstance(outcome, Finished):
            return "done", outcome.answer
        handle = self.parking.park(call, caller.context_digest, self.clock.monotonic() + ANSWER_SECONDS)
        return "asked", self.states.seal(Parked("gateway-1", handle), round_number, self.clock.now() + ANSWER_SECONDS, bound)


@pytest.fixture
async def gateway() -> Gateway:
    return Gateway()


def retry(state: str, key: str = "q1", action: str = "accept", params: dict[str, Any] = ADD) -> dict[str, Any]:
    """As a client writes it: in an order of its own."""
    sent = {"requestState": state, "inputResponses": {key: {"action": action}}, "_meta": {"progressToken": 7}, **params}
    return dict(json.loads(json.dumps(sent)))


async def refusal(gateway: Gateway, caller: Caller, params: dict[str, Any]) -> Reason:
    with pytest.raises(Refused) as refused:
        await gateway.request(caller, params)
    return refused.value.reason


async def test_two_questions_are_two_rounds_of_one_call(gateway: Gateway) -> None:
    asked, first = await gateway.request(ALICE, ADD)
    again, second = await gateway.request(ALICE, retry(first))
    assert (asked, again) == ("asked", "asked")
    assert await gateway.request(ALICE, retry(second, "q2", "decline")) == ("done", "accept decline")
    assert (gateway.ran, len(gateway.parking), gateway.parking.running) == (1, 0, 0)


async def test_a_round_that_is_sent_again_fails_and_runs_nothing_again(gateway: Gateway) -> None:
    _, first = await gateway.request(ALICE, ADD)
    _, second = await gateway.request(ALICE, retry(first))
    assert await refusal(gateway, ALICE, retry(first)) is Reason.PARKED_CALL_GONE
    assert await gateway.request(ALICE, retry(second, "q2")) == ("done", "accept accept")
    assert await refusal(gateway, ALICE, retry(second, "q2")) is Reason.PARKED_CALL_GONE
    assert gateway.ran == 1


async def test_who_is_not_the_caller_or_asks_for_something_else_leaves_the_call_where_it_is(gateway: Gateway) -> None:
    _, state = await gateway.request(ALICE, ADD)
    other_title = {"name": "add", "arguments": {"title": "b"}}
    refused = [
        await refusal(gateway, BOB, retry(state)),
        await refusal(gateway, ALICE, retry(state, params=other_title)),
        await refusal(gateway, person(scopes=frozenset({"more"})), retry(state)),
        await refusal(gateway, ALICE, retry(state[:-1] + ("A" if state[-1] != "A" else "B"))),
    ]
    assert set(refused) == {Reason.INVALID_REQUEST_STATE}
    assert (await gateway.request(ALICE, retry(state)))[0] == "asked"
    assert gateway.ran == 1
    await gateway.parking.close()


async def test_an_answer_that_comes_too_late_reaches_nobody(gateway: Gateway) -> None:
    _, state = await gateway.request(ALICE, ADD)
    gateway.clock.at += ANSWER_SECONDS
    gateway.parking.sweep()
    assert await refusal(gateway, ALICE, retry(state)) is Reason.INVALID_REQUEST_STATE
    await gateway.parking.close()
    assert gateway.ran == 1


async def test_after_a_restart_a_waiting_call_is_gone_and_does_not_run_again(gateway: Gateway) -> None:  # GW-74
    _, state = await gateway.request(ALICE, ADD)
    await gateway.parking.close()
    restarted = Gateway()
    restarted.states = gateway.states
    assert await refusal(restarted, ALICE, retry(state)) is Reason.PARKED_CALL_GONE
    assert restarted.ran == 0
