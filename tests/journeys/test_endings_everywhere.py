"""Whichever side ends at whichever stage of a call or of a bridge: one record, no orphan, no leak, and the next call works."""

from collections.abc import Iterator

import pytest

from tests.journeys.endings_kit import YES, Caller, Posted, World, until, world
from tests.journeys.endings_server import Held

PLAIN = ("unread", "half", "stream")
ASKED = ("asking", "answered", "late")
ERAS = ("legacy", "modern")


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


def assert_works(here: World, server: str, era: str) -> None:
    caller = Caller(here.front, server, modern=era == "modern")
    answer = caller.work().answer()
    assert answer["result"]["content"][0]["text"] == "done", answer
    caller.hang_up()


def test_warm(here: World) -> None:
    assert here.outcomes() == []
