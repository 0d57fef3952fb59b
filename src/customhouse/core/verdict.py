"""What was found out about a content of a server once, so that it need not be found out again.

A verdict is a function of the content and of the rules of this release: which entries of the pin cannot be served (`limits`), and the
digest of what policies know of the server (`policymodel`). It names the rules that made it; under other rules it says nothing.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from customhouse import __version__
from customhouse.core.content import ServerContent
from customhouse.core.limits import defects
from customhouse.core.manifest import Manifest
from customhouse.core.policymodel import ServerRefs, policy_server

RULES: Final = f"{__version__}/2"
"""The rules of this release. The number counts changes of them between two releases: of `limits` and what it rests on, of types of
arguments, and of what policies are checked for."""

_LISTS: Final = ("tools", "prompts", "resources", "resource_templates")
_FIELDS: Final = ("server_info", "capabilities", "instructions")


class Verdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is known of one content of a server."""

    rules: str
    """The rules that it was judged by."""
    unservable: tuple[str, ...] = ()
    """JSON pointers into the manifest: entries, fields, or with the empty pointer all of it."""
    known: str
    """The digest of what policies know of the server: `sha256:` and 64 hexadecimal digits."""

    @property
    def holds(self) -> bool:
        """Whether this release would say the same."""
        return self.rules == RULES


def judged(content: ServerContent) -> Verdict:
    """The verdict on a content, which takes about half a millisecond for each tool."""
    unservable = () if content.pin is None else tuple(_unservable(content.pin.manifest))
    return Verdict(rules=RULES, unservable=unservable, known=ServerRefs(policy_server(content.definition, content.pin)).digest)


def _unservable(manifest: Manifest) -> Iterator[str]:
    found = defects(manifest)
    if found.refusals:
        yield ""
        return
    for part in _LISTS:
        kept = {id(entry) for entry in getattr(found.servable, part)}
        yield from (f"/{part}/{index}" for index, entry in enumerate(getattr(manifest, part)) if id(entry) not in kept)
    for part in _FIELDS:
        if getattr(manifest, part) != getattr(found.servable, part):
            yield f"/{part}"


def servable(manifest: Manifest, verdict: Verdict | None) -> Manifest:
    """The manifest without what cannot be served, as `defects` would leave it; without a verdict that holds it is judged here."""
    if verdict is None or not verdict.holds:
        return defects(manifest).servable
    unservable = frozenset(verdict.unservable)
    if not unservable:
        return manifest
    if "" in unservable:
        return Manifest(server_info={}, capabilities={})
    kept: dict[str, Any] = {}
    for part in _LISTS:
        entries = getattr(manifest, part)
        kept[part] = tuple(entry for index, entry in enumerate(entries) if f"/{part}/{index}" not in unservable)
    for part in _FIELDS:
        value = getattr(manifest, part)
        kept[part] = type(value)() if f"/{part}" in unservable else value
    return Manifest(**kept)
