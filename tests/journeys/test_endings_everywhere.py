"""Whichever side ends at whichever stage of a call or of a bridge: one record, no orphan, no leak, and the next call works."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.journeys.endings_kit import YES, Caller, Posted, World, until, world
from tests.journeys.endings_server import Held

pytestmark = pytest.mark.apart

PLAIN = ("unread", "half", "stream")
ASKED = ("asking", "answered", "late")
ERAS = ("legacy", "modern")
CROWD = 2_000
OF_CALLS = {"BridgedCall", "BridgedPassing", "AskingClient", "Passing", "Asked", "Call", "CallerReply"}


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("endings")) as running:
        yield running


@pytest.fixture
def here(everything: World) -> World:
    """The world, warm: each kind of call was made once."""
    for server in (*everything.servers, "child"):
        for era in ERAS:
            assert_works(everything, server, era)
    everything.quiet()
    return everything


def assert_works(here: World, server: str, era: str, person: str = "alice") -> None:
    caller = Caller(here.front, server, modern=era == "modern", person=person)
    answer = caller.work().answer()
    assert answer["result"]["content"][0]["text"] == "done", answer
    caller.hang_up()


class Underway:
    """A call at a stage."""

    def __init__(self, here: World, server: str, era: str, stage: str, person: str = "alice") -> None:
        self.here = here
        self.server = server
        self.stage = stage
        self.caller = Caller(here.front, server, modern=era == "modern", person=person)
        self.state: dict[str, Any] = {}
        self.question: dict[str, Any] = {}
        self.held: Held | None = None
        noted = here.noted(stage)
        self.posted = self.caller.work(stage, ask=stage in ASKED)
        if stage in ASKED:
            self._until_asked()
        if stage in ("answered", "late"):
            self.give()
        if server == "child":
            until(lambda: here.noted(stage) > noted)
        elif stage != "asking" or server == "legacy":
            self.held = here.servers[server].next_held()

    def _until_asked(self) -> None:
        if self.caller.modern:
            result = self.posted.answer()["result"]
            (key,) = result["inputRequests"]
            self.state = {"requestState": result["requestState"], "inputResponses": {key: YES}}
        else:
            self.question = self.posted.until("elicitation/create")

    def give(self) -> None:
        """The client answers what it was asked."""
        if self.caller.modern:
            self.posted = self.caller.work(self.stage, ask=True, **self.state)
        else:
            self.caller.say(id=self.question["id"], result=YES)

    def kill_server(self) -> None:
        """In the way that its transport allows."""
        if self.server == "child":
            for pid in self.here.programs():
                os.kill(pid, signal.SIGKILL)
        else:
            self.here.servers[self.server].kill()

    @property
    def rounds(self) -> list[str]:
        """How the exchanges before the last one ended."""
        return ["input_required"] * (self.caller.modern and self.stage in ASKED)


CASES = [(server, era, stage) for server in ("legacy", "modern", "child") for era in ERAS for stage in (*PLAIN, *ASKED)]
CASES = [case for case in CASES if case[0] != "child" or case[2] != "half"]


@pytest.mark.parametrize(("server", "era", "stage"), CASES)
def test_a_server_that_dies_leaves_one_record_that_says_so(here: World, server: str, era: str, stage: str) -> None:
    person = f"{server}-{era}-{stage}"  # whoever meets a program that ended twice waits a moment before it is started again
    call = Underway(here, server, era, stage, person)
    call.kill_server()
    if stage == "asking" and (call.caller.modern or server == "modern"):
        call.give()
    answer = call.posted.answer()
    assert answer["error"]["data"]["reason"] == "upstream_died", answer
    revive(here, server)
    call.caller.hang_up()
    assert here.outcomes() == [*call.rounds, "UPSTREAM_DIED"]
    assert_works(here, server, era, person)


def revive(here: World, server: str) -> None:
    if server != "child":
        here.servers[server].down = False


def assert_server_noticed(call: Underway, noted: int) -> None:
    """The call does not run on at its server."""
    if call.held is None:
        until(lambda: call.here.noted("cancelled") > noted)
        return
    assert call.held.gone.wait(10)
    server = call.here.servers[call.server]
    message_id = call.held.message_id
    until(lambda: server.modern or message_id in server.cancelled)


@pytest.mark.parametrize(("server", "stage"), [(server, stage) for server, era, stage in CASES if era == "modern" and stage != "asking"])
def test_a_modern_client_that_leaves_ends_the_call_at_the_server(here: World, server: str, stage: str) -> None:
    noted = here.noted("cancelled")
    call = Underway(here, server, "modern", stage)
    call.posted.leave()
    assert_server_noticed(call, noted)
    assert here.outcomes() == [*call.rounds, "caller_left"]
    assert_works(here, server, "modern")


LEGACY_CASES = [(server, stage) for server, era, stage in CASES if era == "legacy"]


@pytest.mark.parametrize(("server", "stage"), LEGACY_CASES)
def test_a_legacy_client_that_gives_up_by_name_ends_the_call_at_the_server(here: World, server: str, stage: str) -> None:
    noted = here.noted("cancelled")
    call = Underway(here, server, "legacy", stage)
    call.caller.say(method="notifications/cancelled", params={"requestId": call.posted.message_id})
    if server != "modern" or stage != "asking":
        assert_server_noticed(call, noted)
    call.posted.leave()
    call.caller.hang_up()
    assert here.outcomes() == ["cancelled"]
    assert_works(here, server, "legacy")


@pytest.mark.parametrize(("server", "stage"), LEGACY_CASES)
def test_a_legacy_client_that_leaves_for_good_ends_the_call_at_the_server(here: World, server: str, stage: str) -> None:
    noted = here.noted("cancelled")
    call = Underway(here, server, "legacy", stage)
    call.posted.leave()
    call.caller.hang_up()
    if server != "modern" or stage != "asking":
        assert_server_noticed(call, noted)
    assert here.outcomes() in (["cancelled"], ["caller_left"])  # a connection that is half closed is not known to be gone
    assert_works(here, server, "legacy")


def test_whom_nobody_answers_is_told_so_and_ended_if_that_does_not_help(here: World) -> None:
    noted, finished = here.noted("cancelled"), here.servers["legacy"].finished
    stubborn = Underway(here, "legacy", "modern", "asking")
    for server in ("legacy", "child"):
        assert asked(here, server, "modern").answer()["result"]["resultType"] == "input_required"
    for server in ("legacy", "child", "modern"):
        posted = asked(here, server, "legacy")
        posted.until("elicitation/create")
        posted.leave()
    assert stubborn.held is not None
    assert stubborn.held.gone.wait(15)
    until(lambda: stubborn.held and stubborn.held.message_id in here.servers["legacy"].cancelled)
    assert here.servers["legacy"].finished == finished + 2
    assert here.noted("cancelled") == noted
    assert Counter(here.outcomes()) == {"input_required": 3, "answered": 3}
    for server in ("legacy", "child", "modern"):
        assert_works(here, server, "modern")
        assert_works(here, server, "legacy")


def asked(here: World, server: str, era: str) -> Posted:
    """A call of a tool that asks once and ends when it is answered, whatever the answer is."""
    return Caller(here.front, server, modern=era == "modern").work(ask=True)


ABORTED = [("modern", "modern"), ("legacy", "modern"), ("modern", "legacy"), ("legacy", "legacy")]


def abort(here: World, number: int) -> None:
    """One call that comes to nothing, each one differently from the one before."""
    (server, era), stage = ABORTED[number % 4], ("unread", "stream", "asking", "answered")[number // 4 % 4]
    call = Underway(here, server, era, stage)
    if number // 16 % 2 and call.held is not None:
        call.held.kill()
    call.posted.leave()
    call.caller.hang_up()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_crowd_of_calls_that_come_to_nothing_leaves_no_object_behind(here: World) -> None:
    for number in range(CROWD):
        abort(here, number)
    until(lambda: not here.left_behind(), here.left_behind)
    until(lambda: not here.front.counts().keys() & OF_CALLS, here.front.counts)


def test_all_of_it_is_in_a_ledger_that_verifies(here: World) -> None:
    here.front.stop()
    here.front.customhouse("audit", "verify")
    records = here.front.records
    closings = Counter(record.call_id for record in records if record.kind == "closing")
    assert set(closings.values()) == {1}
    assert {record.call_id for record in records if record.kind == "intent"} <= closings.keys()
    assert not [record for record in records if record.outcome in ("unknown", "GATEWAY_BROKE")]
    assert not here.programs()
