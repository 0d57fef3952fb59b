"""Markers that must not leave: found as they are and in the two common disguises, and never by chance."""

import json
from base64 import b64encode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.canaries import Canaries

MARKER, OTHER = "canary-7f3a9c21d4", "KANARIENVOGEL_0042"
CANARIES = Canaries([OTHER, MARKER])


def found(*texts: str) -> int:
    return CANARIES.found(json.dumps({"to": "x@example.org", "text": texts}).encode())


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_marker_is_found_wherever_it_stands(before: str, after: str) -> None:
    assert found(f"{before}{MARKER}{after}") == 2
    assert found(before, f"{after}{OTHER.lower()}") == 1


@given(st.binary(max_size=10), st.binary(max_size=10))
def test_a_marker_is_found_in_base64_and_hexadecimal_text(before: bytes, after: bytes) -> None:
    hidden = before + MARKER.encode() + after
    for disguise in (b64encode(hidden).decode(), urlsafe_b64encode(hidden).decode(), hidden.hex(), hidden.hex().upper()):
        assert found(disguise) == 2


@given(st.text(max_size=200))
def test_no_other_text_holds_one(text: str) -> None:
    assert (found(text) > 0) == (MARKER in text.lower() or OTHER.lower() in text.lower())


@pytest.mark.parametrize("marker", ["", "short", "has a space in it", 'quote"quote"quote', "a" * 257, "umlaut-ä-umlaut"])
def test_a_marker_that_could_be_written_in_two_ways_or_turn_up_by_chance_is_refused(marker: str) -> None:
    with pytest.raises(ValueError, match="Canary 2 is not"):
        Canaries([MARKER, marker])


def test_without_markers_nothing_is_found() -> None:
    assert Canaries([]).found(b"{}") == 0
