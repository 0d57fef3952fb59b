"""An id opens for whoever opened the session, at its endpoint, until it expires; anything else is one refusal."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.adapters.sealers.aead import AeadSealer
from customhouse.adapters.sealers.keyring import first_keyring
from customhouse.core.identity import Caller
from customhouse.core.protocol.sessionid import MAX_ID_CHARACTERS, bound_to
from customhouse.core.refusal import Reason, Refused
from customhouse.core.sealing import Seal
from customhouse.gateway import sessionids
from customhouse.gateway.sessionids import SessionIds
from customhouse.ports.traffic import Sealer
from tests.sealers.support import Moving, person

ALICE, BOB = person(), person("bob")
INFO = {"name": "ide", "version": "1.0"}
DECLARED: dict[str, Any] = {"elicitation": {}, "sampling": {}}


class World:
    """One gateway's ids, and a second gateway with the same keys."""

    def __init__(self) -> None:
        self.clock = Moving()
        self.sealer = AeadSealer(first_keyring(self.clock.now()), self.clock)
        self.ids = self.gateway(self.sealer)
        self.replica = self.gateway(self.sealer)

    def gateway(self, sealer: Sealer) -> SessionIds:
        fresh = iter(f"{number:032x}" for number in range(1, 100_000))
        return SessionIds(sealer, self.clock, lambda: next(fresh), 600.0)

    def mint(self, caller: Caller = ALICE, endpoint: str = "/mcp") -> str:
        return self.ids.mint(caller, endpoint, "2025-11-25", DECLARED, INFO)[1]


@pytest.fixture
def world() -> World:
    return World()


def refusal_of(ids: SessionIds, text: str, caller: Caller = ALICE, endpoint: str = "/mcp") -> Refused:
    with pytest.raises(Refused) as refused:
        ids.open(text, caller, endpoint)
    return refused.value


def test_an_id_opens_here_and_at_every_replica_with_the_same_session(world: World) -> None:
    session, text = world.ids.mint(ALICE, "/mcp", "2025-06-18", DECLARED, INFO)
    assert world.ids.open(text, ALICE, "/mcp") == world.replica.open(text, ALICE, "/mcp") == session
    assert (session.tenant, session.revision, session.capabilities) == ("acme", "2025-06-18", DECLARED)
    assert (session.client_name, session.client_version, session.endpoint) == ("ide", "1.0", "/mcp")


@given(st.dictionaries(st.text(max_size=30), st.text(max_size=600) | st.just({}), max_size=6), st.text(max_size=400), st.text(max_size=400))
def test_an_id_is_visible_ascii_and_never_longer_than_a_kilobyte(capabilities: dict[str, Any], name: str, version: str) -> None:  # GW-05
    _, text = World().ids.mint(ALICE, "/mcp/" + "p" * 40, "2025-11-25", capabilities, {"name": name, "version": version})
    assert re.fullmatch(r"[\x21-\x7e]+", text)
    assert len(text) <= MAX_ID_CHARACTERS == 1_024


def test_a_request_without_an_id_is_told_to_open_a_session(world: World) -> None:
    refused = refusal_of(world.ids, "")
    assert (refused.reason, refused.reason.row.status) == (Reason.SESSION_REQUIRED, 400)


def test_foreign_expired_and_never_existing_ids_are_refused_alike(world: World) -> None:  # GW-36
    kept, unkept, expired = world.mint(), world.mint(), world.mint()
    world.clock.at += 1
    late = world.gateway(world.sealer)
    refusals = [
        refusal_of(world.ids, kept, BOB),
        refusal_of(world.replica, unkept, BOB),
        refusal_of(world.ids, kept, ALICE, "/mcp/other"),
        refusal_of(world.replica, unkept, ALICE, "/mcp/other"),
        refusal_of(world.ids, kept, person(client="web")),
        refusal_of(world.ids, World().mint()),
        refusal_of(world.ids, "1"),
        refusal_of(world.ids, "A" * 5_000),
        refusal_of(world.ids, kept[:-1]),
        refusal_of(world.ids, world.sealer.seal(Seal.REQUEST_STATE, b"", bound_to(ALICE, "/mcp"))),
        refusal_of(world.ids, world.sealer.seal(Seal.SESSION, b"another layout", bound_to(ALICE, "/mcp"))),
    ]
    world.clock.at += 600
    refusals += [refusal_of(world.ids, expired), refusal_of(world.replica, expired), refusal_of(late, expired)]
    assert {(one.reason, one.reason.row.status, tuple(one.detail), one.message, one.note, one.headers) for one in refusals} == {
        (Reason.SESSION_UNKNOWN, 404, (), "", "", ())
    }


def test_a_session_survives_a_token_with_other_scopes(world: World) -> None:
    stepped_up = person(scopes=frozenset({"notes:deep"}), groups=("readers",))
    assert world.ids.open(world.mint(), stepped_up, "/mcp").principal == ALICE.principal


def test_an_id_is_unsealed_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    text = world.mint()
    world.replica.open(text, ALICE, "/mcp")
    monkeypatch.setattr(world.sealer, "open", None)
    assert world.replica.open(text, ALICE, "/mcp").endpoint == "/mcp"


def test_only_ids_that_opened_are_kept_and_not_without_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessionids, "MAX_KEPT", 3)
    texts = [world.mint() for _ in range(5)]
    for text in (*texts, "nonsense", texts[0]):
        if text == "nonsense":
            refusal_of(world.replica, text)
        else:
            world.replica.open(text, ALICE, "/mcp")
    assert list(world.replica._kept) == [texts[3], texts[4], texts[0]]
    assert world.replica.open(texts[1], ALICE, "/mcp").key == f"{2:032x}"
