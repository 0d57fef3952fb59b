"""The trace id of a message is taken from a valid `traceparent` only."""

import pytest

from customhouse.core.protocol.tracing import trace_id_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize("version", ["00", "01", "fe"])
def test_a_valid_traceparent_names_the_trace(version: str) -> None:  # GW-89
    assert trace_id_of({"traceparent": f"{version}-{TRACE}-{SPAN}-01"}) == TRACE


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-extra",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE}-{SPAN}",
    ],
)
def test_anything_else_names_none(value: object) -> None:
    assert trace_id_of({"traceparent": value}) == ""


def test_no_traceparent_names_none() -> None:
    assert trace_id_of({}) == ""
