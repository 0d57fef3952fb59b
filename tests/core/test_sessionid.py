"""A session fits into its id, whatever a client says of itself, and comes out as it went in, never with more."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.protocol.sessionid import (
    MAX_NAME_BYTES,
    MAX_PACKED_BYTES,
    Session,
    bound_to,
    opened,
    packed,
    reduced,
    unpacked,
)
from tests.sealers.support import person

ALICE = person()
REAL = {"roots": {"listChanged": True}, "sampling": {}, "elicitation": {"form": {}, "url": {}}}
"""What the official SDKs declare when everything is on."""

SMALL = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=300),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=20), inside, max_size=4),
    max_leaves=12,
)
KNOWN = st.dictionaries(
    st.sampled_from(["roots", "sampling", "elicitation", "tasks", "experimental", "extensions"]),
    st.dictionaries(st.sampled_from(["listChanged", "context", "tools", "form", "url", "voice"]), SMALL | st.just({}), max_size=4) | SMALL,
)
CAPABILITIES = st.one_of(KNOWN, st.dictionaries(st.text(max_size=40), SMALL, max_size=5))


def session(capabilities: Any = REAL, name: Any = "ide", version: Any = "1.0", at: float = 1.7e9) -> Session:
    return opened(
        nonce=b"n" * 16,
        caller=ALICE,
        endpoint="/mcp",
        revision="2025-11-25",
        capabilities=capabilities,
        client_info={"name": name, "version": version},
        now=at,
    )


def test_a_usual_session_takes_a_fraction_of_an_id() -> None:
    usual = session()
    assert usual.capabilities == REAL
    assert len(packed(usual)) < 150
    assert unpacked(packed(usual), ALICE, "/mcp") == usual


@given(CAPABILITIES, SMALL, SMALL, st.floats(0, 4e9))
def test_any_session_fits_and_comes_out_as_it_went_in(capabilities: dict[str, Any], name: Any, version: Any, at: float) -> None:
    one = session(capabilities, name, version, at)
    data = packed(one)
    assert len(data) <= MAX_PACKED_BYTES
    assert unpacked(data, ALICE, "/mcp") == one
    assert packed(unpacked(data, ALICE, "/mcp")) == data


@given(CAPABILITIES)
def test_cut_capabilities_say_nothing_that_the_whole_did_not(capabilities: dict[str, Any]) -> None:
    cut = reduced(capabilities)
    for name, members in cut.items():
        whole = capabilities[name]
        assert members.items() <= whole.items() if not members else all(whole[key] == value for key, value in members.items())
        assert members or not whole, "what was not empty became empty, and empty means something"


@given(CAPABILITIES, st.randoms())
def test_the_cut_does_not_depend_on_the_order_in_which_a_client_writes(capabilities: dict[str, Any], random: Any) -> None:
    items = list(capabilities.items())
    random.shuffle(items)
    assert msgspec.json.encode(reduced(dict(items))) == msgspec.json.encode(reduced(capabilities))
    assert packed(session(dict(items))) == packed(session(capabilities))


LONG = {"x": "y" * 2_000}


@pytest.mark.parametrize(
    ("declared", "kept"),
    [
        ({**REAL, "experimental": LONG}, REAL),
        ({"elicitation": {}, "experimental": LONG}, {"elicitation": {}}),
        ({"elicitation": {"url": LONG}}, {}),
        ({"elicitation": {"url": {}, "voice": LONG}}, {"elicitation": {"url": {}}}),
        ({"elicitation": {"voice": LONG}}, {}),
        ({"elicitation": LONG, "sampling": {"tools": {}, "context": LONG}}, {"sampling": {"tools": {}}}),
        ({"roots": {"listChanged": "yes" * 900}}, {}),
        ({"roots": {"listChanged": False}, "tasks": LONG}, {"roots": {"listChanged": False}}),
        ({"sampling": [], "big": LONG}, {}),
        ({"huge": 10**30, "sampling": {}}, {"sampling": {}}),
    ],
)
def test_capabilities_too_large_are_cut_to_what_is_known_and_unchanged(declared: dict[str, Any], kept: dict[str, Any]) -> None:
    assert session(declared).capabilities == kept


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("ide", "ide"),
        ("", ""),
        (None, ""),
        (7, ""),
        (["ide"], ""),
        ("é" * 200, "é" * (MAX_NAME_BYTES // 2)),
        ("x" + "𝄞" * 50, "x" + "𝄞" * 23),
    ],
)
def test_the_name_of_a_client_is_bounded_and_cut_between_characters(said: object, kept: str) -> None:
    one = session(name=said, version=said)
    assert (one.client_name, one.client_version) == (kept, kept)


@pytest.mark.parametrize(
    "data", [b"", b"\xc0", b"\x90", msgspec.msgpack.encode([b"n"] * 6), packed(session()) + b"\0", packed(session())[:-1]]
)
def test_bytes_of_another_layout_are_no_session(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any of them will do
        unpacked(data, ALICE, "/mcp")


def test_an_id_is_bound_to_who_opened_it_and_where() -> None:
    others = [person("bob"), person(client="web")]
    assert len({bound_to(one, path) for one in (ALICE, *others) for path in ("/mcp", "/mcp/other")}) == 6


def test_another_scope_or_group_is_the_same_principal_with_another_authorisation() -> None:
    stepped_up = person(scopes=frozenset({"notes:deep"}), groups=("readers",))
    assert stepped_up.principal == ALICE.principal != person("bob").principal
    assert stepped_up.context_digest != ALICE.context_digest
    assert ALICE.principal != ALICE.context_digest


def test_a_session_is_named_by_its_nonce() -> None:
    assert session().key == (b"n" * 16).hex()
