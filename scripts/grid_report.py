"""The outcomes of the grid: judged, printed as tables, held against the list of known differences.

An operation that fails through the gateway stands by client, server and name in that list, with a reason; an entry that is no longer true
is an error too, so the list only shrinks.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import yaml

from scripts.grid_plans import OPERATIONS, Wish

ROOT = Path(__file__).parents[1]
KNOWN = Path(__file__).parent / "grid-differences.yaml"
MANUAL = ROOT / "docs" / "manual" / "grid.md"
BEGIN, END = "<!-- written by `scripts/grid --write` -->\n", "<!-- end -->"


@dataclass(frozen=True)
class Outcome:
    """What an operation came to, and why where it did not work."""

    kind: Literal["ok", "failed", "no client"]
    reason: str = ""


@dataclass(frozen=True)
class Cell:
    """An operation of one client at one server, without the gateway and through it."""

    client: str
    upstream: str
    operation: str
    alone: Outcome | None
    """Without the gateway; absent where `through` is that already."""
    through: Outcome

    @property
    def word(self) -> str:
        """What the table says of it."""
        if self.through.kind == "no client":
            return "-"
        alone = self.alone or Outcome("ok")
        if self.through.kind == "failed":
            return "**no**" if alone.kind == "ok" else "neither"
        return "yes" if alone.kind == "ok" else "**gained**"


class Named(Protocol):
    """A client or a server."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...


@dataclass(frozen=True)
class Known:
    """Operations that do not work through the gateway, for one reason."""

    reason: str
    upstream: str
    clients: frozenset[str]
    """Empty for every client."""
    operations: frozenset[str]
    """Empty for every operation."""

    def holds(self, cell: Cell) -> bool:
        """Whether this is one of them."""
        of_client = not self.clients or cell.client in self.clients
        return cell.upstream == self.upstream and of_client and (not self.operations or cell.operation in self.operations)


def judged(wish: Wish, seen: Mapping[str, str]) -> Outcome:
    """What the driver saw, against the words that must come back."""
    if "lacks" in seen:
        return Outcome("no client", seen["lacks"])
    if "error" in seen:
        return Outcome("failed", seen["error"])
    missing = [word for word in wish["expect"] if word not in seen["said"]]
    return Outcome("failed", f"saw: {' '.join(seen['said'].split())[:200]}") if missing else Outcome("ok")


def read_known(file: Path = KNOWN) -> list[Known]:
    """The known differences: a list of reason, server, clients and operations; without either of the last two, all of them."""
    entries: list[dict[str, Any]] = yaml.safe_load(file.read_bytes()) or []
    return [
        Known(entry["reason"], entry["server"], frozenset(entry.get("clients", ())), frozenset(entry.get("operations", ())))
        for entry in entries
    ]


def faults(cells: Sequence[Cell], known: Sequence[Known], *, shrinking: bool = True) -> Iterator[str]:
    """Everything that fails the grid, a sentence each; where the list may only shrink, that is also what stands there and works."""
    for cell in cells:
        named = any(entry.holds(cell) for entry in known)
        if cell.through.kind == "failed" and not named:
            yield f"{cell.client} at {cell.upstream}: {cell.operation} fails through the gateway: {cell.through.reason}"
        if cell.through.kind == "ok" and named and shrinking:
            where = f"{cell.client} at {cell.upstream}: {cell.operation}"
            yield f"{where} is listed as a difference, which is no longer so: take it out of the list."


def proposed(cells: Sequence[Cell], known: Sequence[Known]) -> Iterator[str]:
    """The list that would hold now, with the reasons that it gives; what is new has the client's words instead."""
    entries: dict[tuple[str, str], dict[str, list[str]]] = {}
    for cell in cells:
        if cell.through.kind == "failed":
            reason = next((entry.reason for entry in known if entry.holds(cell)), cell.through.reason)
            entries.setdefault((cell.upstream, reason), {}).setdefault(cell.client, []).append(cell.operation)
    for (upstream, reason), of_client in entries.items():
        together: dict[str, list[str]] = {}
        for client, operations in of_client.items():
            together.setdefault(", ".join(operations), []).append(client)
        for listed, names in together.items():
            yield f"- server: {upstream}"
            yield f"  reason: {json.dumps(reason)}"
            yield f"  clients: [{', '.join(names)}]"
            yield f"  operations: [{listed}]"


def tables(cells: Sequence[Cell], asking: Sequence[Named], asked: Sequence[Named], known: Sequence[Known]) -> str:
    """A table per server, clients by operations, and what failed below it."""
    return "\n\n".join(_table([cell for cell in cells if cell.upstream == upstream.name], asking, upstream, known) for upstream in asked)


def _table(cells: Sequence[Cell], asking: Sequence[Named], upstream: Named, known: Sequence[Known]) -> str:
    offered = [operation for operation in OPERATIONS if any(cell.operation == operation for cell in cells)]
    words = {(cell.client, cell.operation): cell.word for cell in cells}
    lines = [f"### {upstream.title}", "", f"| client | {' | '.join(offered)} |", "|---|" + "---|" * len(offered)]
    lines += [f"| {client.title} | {' | '.join(words[client.name, operation] for operation in offered)} |" for client in asking]
    reasons = list(_reasons(cells, asking, known))
    return "\n".join([*lines, "", *reasons] if reasons else lines)


def _reasons(cells: Sequence[Cell], asking: Sequence[Named], known: Sequence[Known]) -> Iterator[str]:
    """Each reason once, with whom it concerns and which operations."""
    grouped: dict[str, dict[str, list[str]]] = {}
    for cell in cells:
        if cell.through.kind == "failed":
            named = next((entry.reason for entry in known if entry.holds(cell)), "")
            grouped.setdefault(named or cell.through.reason[:110], {}).setdefault(cell.client, []).append(cell.operation)
    for reason, operations in grouped.items():
        yield f"- {reason} ({'; '.join(_concerned(operations, cells, asking))})"


def _concerned(operations: Mapping[str, list[str]], cells: Sequence[Cell], asking: Sequence[Named]) -> Iterator[str]:
    """Clients with the same failures together; a client that has no operation left over fails in everything."""
    having: dict[str, list[str]] = {}
    for client in asking:
        if mine := operations.get(client.name):
            offered = [cell.operation for cell in cells if cell.client == client.name and cell.through.kind != "no client"]
            having.setdefault("everything" if mine == offered else ", ".join(mine), []).append(client.title)
    for failed, titles in having.items():
        yield f"{'every client' if len(titles) == len(asking) > 1 else ', '.join(titles)}: {failed}"


def write(printed: str) -> None:
    """Put the tables into the manual, between the markers."""
    text = MANUAL.read_text("utf-8")
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    MANUAL.write_text(f"{before}\n{printed}\n\n{after}", "utf-8")
