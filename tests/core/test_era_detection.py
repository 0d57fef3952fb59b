"""Which era an answer to discovery shows, what is offered next, and what a client offered."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.protocol.eras import next_offer, shows_modern
from customhouse.core.protocol.revisions import LEGACY_REVISIONS

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@pytest.mark.parametrize(
    ("result", "modern"),
    [
        ({"supportedVersions": ["2026-07-28"]}, True),
        ({"supportedVersions": ["2025-11-25", "2026-07-28"]}, True),
        ({"supportedVersions": ["2025-11-25"]}, False),  # GW-52
        ({"supportedVersions": []}, False),
        ({"supportedVersions": "2026-07-28"}, False),
        ({"supportedVersions": [None, 1, {}, ["2026-07-28"]]}, False),
        ({}, False),
        (None, False),
    ],
)
def test_a_result_is_modern_if_it_lists_a_modern_version(result: Any, modern: bool) -> None:
    assert shows_modern(result, None) is modern


@pytest.mark.parametrize("code", [-32020, -32021, -32022])
def test_a_recognised_error_is_modern(code: int) -> None:  # GW-47
    assert shows_modern(None, {"code": code})


@pytest.mark.parametrize("code", [-32601, -32602, -32600, -32000, -32603, 0, 404, -32001, -32002])
def test_any_other_error_is_legacy(code: int) -> None:
    assert not shows_modern(None, {"code": code})


@given(JSON, JSON)
def test_rubbish_is_never_modern(versions: Any, code: Any) -> None:
    assert not shows_modern({"supportedVersions": versions}, None)
    assert not shows_modern(None, {"code": code})


@pytest.mark.parametrize(
    ("error", "offer"),
    [
        ({"code": -32602, "data": {"supported": ["2024-11-05", "2025-03-26"]}}, "2025-03-26"),
        ({"code": -32602, "data": {"supported": ["2025-11-25"]}}, ""),
        ({"code": -32602, "data": {"supported": ["1999-01-01", 7, None]}}, ""),
        ({"code": -32602, "data": {"supported": "2025-03-26"}}, ""),
        ({"code": -32602, "data": ["2025-03-26"]}, ""),
        ({"code": -32602}, ""),
        ({"code": -32601, "data": {"supported": ["2025-03-26"]}}, ""),
        (None, ""),
    ],
)
def test_after_a_refused_offer_the_newest_that_both_know_is_next(error: Any, offer: str) -> None:
    assert next_offer(error, "2025-11-25") == offer


@given(st.lists(st.sampled_from(LEGACY_REVISIONS) | st.text()), st.sampled_from(LEGACY_REVISIONS))
def test_nothing_is_offered_that_the_server_did_not_name_or_that_it_refused(named: list[str], offered: str) -> None:
    offer = next_offer({"code": -32602, "data": {"supported": named}}, offered)
    assert offer == "" or (offer in named and offer in LEGACY_REVISIONS and offer != offered)
