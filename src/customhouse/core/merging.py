"""A pin with some entries taken over from what the server says now, and everything else as it was approved.

So a reviewer approves one tool of a server without approving the rest of what changed. Which entries are named decides alone: neither
their order nor what else changed matters, and an entry that is not named is the approved one to the byte.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from customhouse.core.entries import PARTS, SERVER_FIELDS, Entry
from customhouse.core.manifest import Manifest, Pin, digest_of, in_order

Named = tuple[str, str]
"""Kind and name of an entry; a field of the server itself is its own kind, with an empty name."""


def named_in(*manifests: Manifest) -> frozenset[Named]:
    """Everything that can be taken over from one of these manifests to another."""
    entries = {(kind, str(entry.get(key))) for manifest in manifests for kind, part, key in PARTS for entry in getattr(manifest, part)}
    return frozenset(entries) | {(field, "") for field in SERVER_FIELDS}


def merged(pinned: Manifest, live: Manifest, entries: Iterable[Named]) -> Manifest:
    """The pinned manifest with the named entries as they are live: new ones come, changed ones are exchanged, those that are gone go.

    Raises `LookupError` for a name that neither manifest knows.
    """
    chosen = frozenset(entries)
    if unknown := chosen - named_in(pinned, live):
        kind, name = min(unknown)
        raise LookupError(f"There is no {kind} {name}, neither in the pin nor at the server.")
    parts: dict[str, Any] = {
        part: _taken_over(getattr(pinned, part), getattr(live, part), key, {name for its_kind, name in chosen if its_kind == kind})
        for kind, part, key in PARTS
    }
    fields = {field: getattr(live if (field, "") in chosen else pinned, field) for field in SERVER_FIELDS}
    return in_order(msgspec.structs.replace(pinned, **parts, **fields))


def merged_pin(before: Pin, live: Pin, entries: Iterable[Named]) -> Pin:
    """The pin before with the chosen entries of now. Entries of two revisions cannot stand in one pin: it names one, and clients of
    others get its entries translated from there.

    Raises `LookupError`, also for pins of two revisions.
    """
    if before.revision != live.revision:
        raise LookupError(
            f"The pin was captured in revision {before.revision} and the server speaks {live.revision} now: approve the server as a whole."
        )
    manifest = merged(before.manifest, live.manifest, entries)
    return Pin(server=before.server, revision=before.revision, digest=digest_of(manifest), manifest=manifest)


def _taken_over(pinned: tuple[Entry, ...], live: tuple[Entry, ...], key: str, names: set[str]) -> tuple[Entry, ...]:
    kept = [entry for entry in pinned if str(entry.get(key)) not in names]
    return (*kept, *[entry for entry in live if str(entry.get(key)) in names])
