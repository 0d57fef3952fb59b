"""The measure of policies measures what it says."""

from bench.policy import measured


def test_every_row_is_measured() -> None:
    rows = measured(20, rounds=100)
    assert list(rows) == [
        "first decision of a caller about a tool",
        "decision that was kept",
        "decision that reads arguments",
        "explanation",
        "who can call a tool",
        "compiling",
    ]
    assert all(figure.endswith((" µs", " ms")) for figure in rows.values())
