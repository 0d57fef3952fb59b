"""Every row of the matrix of translations has a case in its two directions, or a reason why it has none."""

import re
from pathlib import Path
from typing import Final

HERE = Path(__file__).parent

ROWS: Final = {f"TM-{number:02}" for number in range(1, 22)}

ACTS: Final = {
    "TM-03": "a ping is answered on the hop it came on",
    "TM-06": "headers are made from the judged arguments, for modern servers alone",
    "TM-11": "a cancellation is an act on one connection; no notification of it passes",
    "TM-18": "a broken stream is taken up again on the hop it broke on",
    "TM-19": "a batch is taken apart before a message is read",
    "TM-20": "sessions are kept by the connection that has them",
    "TM-21": "a process is kept by the connection that has it",
}
"""Rows in which nothing of a message changes, or nothing but that it does not pass."""


def cases() -> dict[str, set[str]]:
    """The rows that the tests name, with the directions of their cases."""
    found: dict[str, set[str]] = {}
    for file in HERE.glob("test_translation_*.py"):
        if file != Path(__file__):
            collect(file, found)
    collect(HERE / "test_translation.py", found)
    return found


def collect(file: Path, found: dict[str, set[str]]) -> None:
    for row, direction in re.findall(r"(TM-\d\d)(?:-(A|B)\b)?", file.read_text(encoding="utf-8")):
        found.setdefault(row, set()).update(direction)


def test_every_row_has_a_case_or_is_an_act() -> None:
    assert cases().keys() | ACTS.keys() == ROWS


def test_every_row_that_changes_a_message_has_a_case_in_each_direction() -> None:
    one_sided = {"TM-02": {"B"}, "TM-09": set(), "TM-10": {"B"}}
    wanted = {row: one_sided.get(row, {"A", "B"}) for row in ROWS - ACTS.keys()}
    assert {row: directions for row, directions in wanted.items() if not directions <= cases()[row]} == {}
