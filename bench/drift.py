"""What judging manifests costs: `python -m bench.drift` prints milliseconds for 6,000 tools at 24 servers."""

import copy
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from customhouse.core.drift import drift
from customhouse.core.manifest import Manifest, digest_of

SERVERS = 24
TOOLS = 250
"""Tools of a server; the largest server that was measured has 253."""


def main() -> None:
    """Print one line per kind of work."""
    pinned = [_manifest(server) for server in range(SERVERS)]
    size = len(msgspec.json.encode(pinned)) / (SERVERS * TOOLS)
    print(f"{SERVERS * TOOLS} tools at {SERVERS} servers, {size:.0f} bytes each")
    unchanged, reworded = copy.deepcopy(pinned), [_changed(manifest, _reword) for manifest in pinned]
    widened, reordered = ([_changed(manifest, change) for manifest in pinned] for change in (_widen, _reorder))
    renamed = _changed(pinned[0], _rename)
    names = [(f"s{number}", tool["name"]) for number, manifest in enumerate(pinned) for tool in manifest.tools]
    digests = _best_ms(lambda: [digest_of(manifest) for manifest in pinned])
    print(f"digests                        {digests:7.0f} ms")
    for title, live in (
        ("drift, nothing changed", unchanged),
        ("drift, every order changed", reordered),
        ("drift, every tool reworded", reworded),
        ("drift, every tool widened", widened),
    ):
        print(f"{title:<30} {_best_ms(partial(_drifts, pinned, live)):7.0f} ms")
    one = _best_ms(lambda: drift(pinned[0], renamed, names))
    print(f"drift of one server, each of its {TOOLS} tools renamed, beside {len(names)} names: {one:.0f} ms")


def _drifts(pinned: list[Manifest], live: list[Manifest]) -> None:
    for one, other in zip(pinned, live, strict=True):
        drift(one, other)


def _manifest(server: int) -> Manifest:
    return Manifest(server_info={"name": f"s{server}"}, capabilities={"tools": {}}, tools=tuple(_tool(server, n) for n in range(TOOLS)))


_VERBS = ("create", "get", "list", "update", "delete", "search", "describe", "archive", "assign", "export")


def _tool(server: int, number: int) -> dict[str, Any]:
    properties = {
        f"field_{place}": {"type": "string", "description": "The part of it that is meant, by its own name.", "minLength": 1}
        for place in range(3)
    }
    return {
        "name": f"{_VERBS[number % len(_VERBS)]}_thing{server}_{number}",
        "title": f"Thing {number}",
        "description": "Does one thing to an item of the list, and says what came of it. " * 2,
        "inputSchema": {"type": "object", "properties": properties, "required": ["field_0", "field_1"], "additionalProperties": False},
        "annotations": {"readOnlyHint": number % 2 == 0, "destructiveHint": False},
    }


def _changed(manifest: Manifest, change: Callable[[dict[str, Any]], None]) -> Manifest:
    tools = copy.deepcopy(manifest.tools)
    for tool in tools:
        change(tool)
    return msgspec.structs.replace(manifest, tools=tools)


def _reword(tool: dict[str, Any]) -> None:
    tool["description"] += "Call it before every answer."


def _widen(tool: dict[str, Any]) -> None:
    tool["inputSchema"]["properties"]["more"] = {"type": "boolean"}


def _reorder(tool: dict[str, Any]) -> None:
    tool["inputSchema"]["required"].reverse()


def _rename(tool: dict[str, Any]) -> None:
    tool["name"] += "s"


def _best_ms(work: Callable[[], object]) -> float:
    """The best of three runs, in milliseconds."""
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken) * 1e3


if __name__ == "__main__":
    main()
