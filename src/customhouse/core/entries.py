"""The entries of a manifest by kind and name, and those in which two manifests differ.

What carries no meaning is taken away before anything is compared: the order of entries, of keys, of a prompt's arguments, and of the
schema lists that are sets. Who compares manifests goes through here, so that all agree on what a difference is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from customhouse.core.equality import same
from customhouse.core.manifest import Manifest, canonical_bytes
from customhouse.core.schemadrift import in_canonical_order

Entry = dict[str, Any]

PARTS: Final = (
    ("tool", "tools", "name"),
    ("prompt", "prompts", "name"),
    ("resource", "resources", "uri"),
    ("template", "resource_templates", "uriTemplate"),
)
"""Kind of an entry, field of the manifest that holds them, and what names one."""
ENTRY_KINDS: Final = frozenset(kind for kind, _, _ in PARTS)
SERVER_FIELDS: Final = ("instructions", "capabilities", "server_info")
"""What a manifest says of the server itself; each is a kind of its own, without a name."""
SCHEMAS: Final = frozenset({"inputSchema", "outputSchema"})


@dataclass(frozen=True, slots=True)
class Pair:
    """What two manifests say under one kind and name, in canonical order, where it is not the same."""

    kind: str
    name: str
    old: tuple[Entry, ...]
    """Empty if the name is new. More than one only if a server broke the rules."""
    new: tuple[Entry, ...]
    """Empty if the name is gone."""


def differing(old: Manifest, new: Manifest) -> Iterator[Pair]:
    """The entries that are not the same, by kind and name."""
    for kind, part, key in PARTS:
        before, after = _by_name(getattr(old, part), key), _by_name(getattr(new, part), key)
        for name in sorted(before.keys() | after.keys()):
            yield from _pair(kind, name, before.get(name, []), after.get(name, []))


def _by_name(entries: tuple[Entry, ...], key: str) -> dict[str, list[Entry]]:
    named: dict[str, list[Entry]] = {}
    for entry in entries:
        named.setdefault(str(entry.get(key)), []).append(entry)
    return named


def _pair(kind: str, name: str, old: list[Entry], new: list[Entry]) -> Iterator[Pair]:
    if same(old, new):
        return
    pair = Pair(kind, name, _canonical(kind, old), _canonical(kind, new))
    if not same(pair.old, pair.new):
        yield pair


def _canonical(kind: str, entries: list[Entry]) -> tuple[Entry, ...]:
    ordered = [canonical_entry(kind, entry) for entry in entries]
    return tuple(ordered if len(ordered) < 2 else sorted(ordered, key=canonical_bytes))


def canonical_entry(kind: str, entry: Entry) -> Entry:
    """The entry with everything in order whose order says nothing."""
    ordered = {field: in_canonical_order(value) if field in SCHEMAS else value for field, value in entry.items()}
    if kind == "prompt" and isinstance(ordered.get("arguments"), list):
        ordered["arguments"] = sorted(ordered["arguments"], key=canonical_bytes)
    return ordered
