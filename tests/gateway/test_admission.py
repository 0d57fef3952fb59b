"""How many may be inside at once, and what is remembered of those who came: bounded, and given back."""

import pytest

from customhouse.core.budget import Rate
from customhouse.core.refusal import Refused
from customhouse.gateway import admission, session
from customhouse.gateway.admission import Admission
from customhouse.gateway.session import Peers
from tests.core.policy_world import caller


def test_no_more_come_in_than_there_is_room_for_and_a_place_is_given_back() -> None:
    door = Admission(Rate(1, 1), Rate(1, 1), 2, 2)
    door.enter()
    door.enter()
    with pytest.raises(Refused, match="OVERLOADED") as caught:
        door.enter()
    assert caught.value.headers == (("Retry-After", "1"),)
    door.leave()
    door.enter()
    assert door.in_flight == 2


def test_a_tenant_has_a_rate_beside_those_of_its_callers() -> None:
    door = Admission(Rate(10, 10), Rate(1, 2), 2, 2)
    for person in ("alice", "bob"):
        door.take(caller(person), 0.0)
    with pytest.raises(Refused, match="RATE_LIMITED"):
        door.take(caller("carol"), 0.0)
    door.take(caller("eve", tenant="other"), 0.0)


def test_the_rates_kept_are_bounded_and_those_that_nobody_drew_on_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_MAX_STATES", 4)
    door = Admission(Rate(0.1, 1), Rate(1000, 1000), 2, 2)
    for person in ("old", "older"):
        door.take(caller(person), 0.0)
    for person in ("alice", "bob", "carol"):
        door.take(caller(person), 100.0)
    with pytest.raises(Refused, match="RATE_LIMITED"):
        door.take(caller("carol"), 100.0)
    for person in ("dave", "eve", "fay"):
        door.take(caller(person), 100.0)
    door.take(caller("alice"), 100.0)  # the oldest of too many was forgotten


def test_log_levels_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_MAX_LEVELS", 2)
    peers = Peers()
    for person in ("a", "b", "c"):
        peers.set_level((person, "/mcp"), "error")
    assert [peers.level((person, "/mcp")) for person in ("a", "b", "c")] == ["info", "error", "error"]
