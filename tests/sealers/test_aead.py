"""What is sealed opens for the same kind and the same circumstances, under any key of the ring, and for nothing else."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.adapters.sealers.aead import AeadSealer
from customhouse.adapters.sealers.keyring import SPREAD_SECONDS, Keyring, first_keyring, rotated
from customhouse.core.refusal import Reason, Refused
from customhouse.core.sealing import Seal, bound
from tests.sealers.support import Moving

CLOCK = Moving()
RING = first_keyring(CLOCK.now())
SEALER = AeadSealer(RING, CLOCK)
ALICE = bound("alice", "/mcp")
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

KINDS = pytest.mark.parametrize("kind", list(Seal), ids=lambda kind: kind.name)


def refusal_of(text: str, *, kind: Seal = Seal.SESSION, bound_to: bytes = ALICE, sealer: AeadSealer = SEALER) -> Refused:
    with pytest.raises(Refused) as refused:
        sealer.open(kind, text, bound_to)
    return refused.value


@given(st.binary(max_size=2_000), st.binary(max_size=200), st.sampled_from(Seal))
def test_what_is_sealed_opens_and_travels_in_a_header(plain: bytes, bound_to: bytes, kind: Seal) -> None:
    text = SEALER.seal(kind, plain, bound_to)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", text)
    assert SEALER.open(kind, text, bound_to) == plain


@given(st.binary(max_size=300))
def test_the_same_is_never_sealed_to_the_same_text(plain: bytes) -> None:  # GW-05
    assert len({SEALER.seal(Seal.SESSION, plain, ALICE) for _ in range(300)}) == 300


@pytest.mark.parametrize("size", [0, 1, 2, 3, 50])
def test_no_character_can_be_changed(size: int) -> None:
    text = SEALER.seal(Seal.SESSION, b"x" * size, ALICE)
    for place, character in enumerate(text):
        for other in ALPHABET.replace(character, ""):
            assert refusal_of(text[:place] + other + text[place + 1 :]).reason is Reason.SESSION_UNKNOWN


@pytest.mark.parametrize("size", [0, 1, 2, 40])
def test_nothing_can_be_left_out_or_added(size: int) -> None:
    text = SEALER.seal(Seal.SESSION, b"x" * size, ALICE)
    for place in range(len(text)):
        refusal_of(text[:place])
        refusal_of(text[:place] + text[place + 1 :])
        for more in ("A", "=", " ", "\n", "é", "\0", "+", "/"):
            refusal_of(text[:place] + more + text[place:])
    for more in ("A", "=", "==", "AAAA", "\n"):
        refusal_of(text + more)


@given(st.text(max_size=80))
def test_anything_else_is_refused_and_nothing_breaks(text: str) -> None:
    refusal_of(text)


@KINDS
def test_one_kind_is_nothing_for_another(kind: Seal) -> None:
    text = SEALER.seal(kind, b"plain", ALICE)
    for other in set(Seal) - {kind}:
        assert refusal_of(text, kind=other).reason is other.reason


@KINDS
def test_what_was_sealed_for_others_does_not_open(kind: Seal) -> None:
    text = SEALER.seal(kind, b"plain", ALICE)
    for bound_to in (b"", bound("bob", "/mcp"), bound("alice", "/mcp/other"), ALICE + b"\0", ALICE[:-1]):
        assert refusal_of(text, kind=kind, bound_to=bound_to).reason is kind.reason


@KINDS
def test_a_refusal_does_not_tell_why(kind: Seal) -> None:
    good = SEALER.seal(kind, b"plain", ALICE)
    foreign_key = AeadSealer(first_keyring(CLOCK.now()), CLOCK).seal(kind, b"plain", ALICE)
    reasons = [
        refusal_of("", kind=kind),
        refusal_of("never-sealed", kind=kind),
        refusal_of(foreign_key, kind=kind),
        refusal_of(good[:-1], kind=kind),
        refusal_of(good, kind=kind, bound_to=b"bob"),
    ]
    assert {(one.reason, tuple(one.detail), one.message, one.note, one.headers, one.__cause__) for one in reasons} == {
        (kind.reason, (), "", "", (), None)
    }


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_other_facts_are_other_bytes(one: list[str], other: list[str]) -> None:
    assert (bound(*one) == bound(*other)) == (one == other)


def test_after_a_rotation_the_new_key_seals_and_the_old_one_opens() -> None:
    clock = Moving()
    ring = first_keyring(clock.now())
    sealer = AeadSealer(ring, clock)
    before = sealer.seal(Seal.SESSION, b"plain", ALICE)
    sealer.take(rotated(ring, clock.now(), keep_seconds=100.0))
    waiting = sealer.seal(Seal.SESSION, b"plain", ALICE)
    clock.at += SPREAD_SECONDS
    sealer.refresh()
    after = sealer.seal(Seal.SESSION, b"plain", ALICE)
    assert [sealer.open(Seal.SESSION, text, ALICE) for text in (before, waiting, after)] == [b"plain"] * 3
    assert before[:5] == waiting[:5] != after[:5]


def test_a_key_that_is_gone_opens_nothing() -> None:
    clock = Moving()
    old = AeadSealer(first_keyring(clock.now()), clock)
    text = old.seal(Seal.SESSION, b"plain", ALICE)
    new = AeadSealer(first_keyring(clock.now()), clock)
    assert refusal_of(text, sealer=new).reason is Reason.SESSION_UNKNOWN


def test_the_id_of_another_key_in_front_helps_nobody() -> None:
    clock = Moving()
    ring = first_keyring(clock.now())
    both = AeadSealer(Keyring((first_keyring(clock.now()).keys[0], *ring.keys)), clock)
    text = AeadSealer(ring, clock).seal(Seal.SESSION, b"plain", ALICE)
    other = both.seal(Seal.SESSION, b"plain", ALICE)
    assert both.open(Seal.SESSION, text, ALICE) == b"plain"
    refusal_of(other[:5] + text[5:], sealer=both)
