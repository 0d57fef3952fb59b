"""Rows into a table: medians over rounds, and ratios to a row of the same round."""

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

MANUAL = Path(__file__).parents[1] / "docs" / "manual" / "performance.md"
RAW = Path(__file__).parents[1] / "docs" / "bench" / "rows.json"
BEGIN, END = "<!-- written by `make bench` -->\n", "<!-- end -->"


class Row(Protocol):
    """What the table needs of a case."""

    @property
    def name(self) -> str: ...
    @property
    def over(self) -> str: ...


HEADINGS = ("path", "CPU us/call", "x nginx", "calls/s", "p50 ms", "p99 ms", "MB", "errors")


def table(rows: Sequence[dict[str, Any]], cases: Iterable[Row]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|---|" + "---:|" * (len(HEADINGS) - 1)]
    for case in cases:
        mine = [row for row in rows if row["name"] == case.name]
        ratio = statistics.median(ratios(rows, case.name, case.over))
        middle = {key: statistics.median(row[key] for row in mine) for key in ("cpu_us", "per_second", "p50_ms", "p99_ms", "resident_mb")}
        cells = [
            case.name,
            f"{middle['cpu_us']:.1f}",
            f"{ratio:.2f}",
            f"{middle['per_second']:.0f}",
            f"{middle['p50_ms']:.2f}",
            f"{middle['p99_ms']:.2f}",
            f"{middle['resident_mb']:.0f}",
            str(sum(row["errors"] for row in mine)),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def ratios(rows: Sequence[dict[str, Any]], name: str, over: str) -> list[float]:
    """CPU per call of one row over another's, round by round; empty rounds count as nothing."""
    floor = {row["round"]: row["cpu_us"] for row in rows if row["name"] == over}
    return [row["cpu_us"] / floor[row["round"]] for row in rows if row["name"] == name and floor.get(row["round"])] or [0.0]


def memory_table(held: Sequence[dict[str, Any]]) -> str:
    """What connections cost while nothing happens on them."""
    lines = ["| held open | count | KB each | MB in all | s from the first told of a change to the last |", "|---|---:|---:|---:|---:|"]
    for row in held:
        each = f"{row['kb_each']:.1f}" if "kb_each" in row else ""
        told = f"{row['told_within_seconds']:.2f}" if "told_within_seconds" in row else ""
        lines.append(f"| {row['name']} | {row['count']} | {each} | {row['resident_mb']:.0f} | {told} |")
    return "\n".join(lines)


def disk_line(synced: dict[str, Any]) -> str:
    """What a durable write cannot be quicker than."""
    return f"{synced['name'].capitalize()}: p50 {synced['p50_ms']:.2f} ms, p99 {synced['p99_ms']:.2f} ms."


def write(
    rows: Sequence[dict[str, Any]],
    cases: Iterable[Row],
    held: Sequence[dict[str, Any]],
    synced: dict[str, Any],
    machine: dict[str, str],
) -> None:
    """The tables into the manual, between the markers, and the raw rows beside it."""
    text = MANUAL.read_text("utf-8")
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    where = ", ".join(f"{name} {value}" for name, value in machine.items())
    parts = (table(rows, cases), memory_table(held), disk_line(synced), f"Measured on: {where}.")
    MANUAL.write_text(f"{before}\n" + "\n\n".join(parts) + f"\n\n{after}", "utf-8")
    RAW.parent.mkdir(exist_ok=True)
    RAW.write_bytes(
        msgspec.json.format(msgspec.json.encode({"machine": machine, "rows": rows, "held": held, "synced": synced}), indent=1) + b"\n"
    )
