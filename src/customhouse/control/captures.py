"""Looking at what served servers offer: on a schedule, when they say that it changed, and when an operator asks.

Each look is an errand, one at a time for each server, recorded and kept. What callers of the approved entry cannot rely on any more is
blocked at the gateways until somebody reviews it; the rest goes on. A server that is away keeps the verdict it had.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from typing import Any

import msgspec

from customhouse.control.register import Register, Served
from customhouse.control.snapshots import Capture, blocked_by, capture, summary
from customhouse.control.watching import record_look, watch
from customhouse.core.content import ServerContent, stated
from customhouse.core.drift import Change, drift
from customhouse.core.identity import Caller
from customhouse.core.manifest import Manifest, ServerDefinition, canonical_bytes
from customhouse.core.operators import Action
from customhouse.core.refusal import Reason, Refused
from customhouse.core.review import SERVED, Kind, State, content_digest
from customhouse.ports.hosts import Views
from customhouse.ports.stores import Captured, Event, Stores
from customhouse.ports.traffic import Clock, Ledger, Sources

log = logging.getLogger(__name__)

MAX_ON_DEMAND = 8
"""Looks that operators asked for at once; more are refused."""

_decode_blocked = msgspec.json.Decoder(dict[str, tuple[tuple[str, str], ...]]).decode

NOTHING = Manifest(server_info={}, capabilities={})
"""What a server without a pin is compared with: everything is new."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What one look found."""

    captured: Captured
    changes: tuple[Change, ...]
    """Against the pin of the version that was asked about."""
    blocked: frozenset[tuple[str, str]]


@dataclass(eq=False)
class _Watched:
    """A served server and the task that looks at it."""

    definition: ServerDefinition
    manifest: Manifest
    digest: str
    """Of the version."""
    early: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None
    looked: Looked | None = None
    """What the last look found; None before the first."""

    @property
    def name(self) -> str:
        """Of the server."""
        return self.definition.name


class Captures:
    """All looks of one control process. Lives on its loop; the stores are used in worker threads."""

    def __init__(
        self,
        register: Register,
        stores: Stores,
        sources: Sources,
        ledger: Ledger,
        clock: Clock,
        views: Views,
        *,
        interval_seconds: float,
        serve_compatible: bool,
    ) -> None:
        self._register = register
        self._stores = stores
        self._sources = sources
        self._ledger = ledger
        self._clock = clock
        self._views = views
        self._interval_seconds = interval_seconds
        self._serve_compatible = serve_compatible
        self._watched: dict[tuple[str, int], _Watched] = {}
        """By name and number: every version that is served."""
        self._looking: dict[str, asyncio.Task[Capture]] = {}
        self._on_demand = asyncio.Semaphore(MAX_ON_DEMAND)
        self._said: dict[str, frozenset[tuple[str, str]]] = {
            name: frozenset(entries) for name, entries in _decode_blocked(views.blocked() or b"{}").items()
        }
        """What is blocked, as gateways were told, also by the process before: a verdict stands until a look says something else."""

    # The schedule

    def follow(self, served: Served) -> None:
        """These servers are looked at from now on, and no others."""
        wanted: dict[tuple[str, int], _Watched] = {}
        for version, content in (pair for versions in served.values() for pair in versions):
            if version.state in SERVED and isinstance(content, ServerContent) and content.pin is not None:
                wanted[version.name, version.number] = _Watched(content.definition, content.pin.manifest, version.digest)
        for key in self._watched.keys() - wanted.keys():
            if (task := self._watched.pop(key).task) is not None:
                task.cancel()
        for key in sorted(wanted.keys() - self._watched.keys()):
            watched = self._watched[key] = wanted[key]
            watched.task = asyncio.get_running_loop().create_task(self._watch(watched))
        self._say_blocked()

    def changed(self, server: str, kind: str) -> None:
        """A server says that a list is another one now: it is looked at soon."""
        for watched in self._watched.values():
            if watched.name == server:
                watched.early.set()

    async def close(self) -> None:
        """Look at nothing any more."""
        tasks = [watched.task for watched in self._watched.values() if watched.task is not None]
        ending: list[asyncio.Task[Any]] = [*tasks, *self._looking.values()]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    async def _watch(self, watched: _Watched) -> None:
        async def look() -> None:
            with contextlib.suppress(Refused):  # it is recorded, and the next look tries again
                await self._look(watched)

        await watch(look, watched.early, self._clock, self._interval_seconds)

    async def _look(self, watched: _Watched) -> None:
        live = await self._capture(watched.definition)
        changes = drift(watched.manifest, live.manifest, self._elsewhere(watched.definition))
        blocked = blocked_by(changes, serve_compatible=self._serve_compatible)
        if blocked and (watched.looked is None or watched.looked.blocked != blocked):
            log.warning("%s drifted; blocked until reviewed: %s", watched.name, ", ".join(sorted(entry for _, entry in blocked)))
        found = Captured(server=watched.name, at=self._clock.now(), digest=live.pin(watched.name).digest, revision=live.revision)
        watched.looked = Looked(found, changes, blocked)
        self._say_blocked()
        watched.looked = Looked(await self._settle(watched.definition, live, changes), changes, blocked)

    def _elsewhere(self, definition: ServerDefinition) -> list[tuple[str, str]]:
        """The tools of the tenant's other served servers, with which new names are compared."""
        others = [one for one in self._watched.values() if one.name != definition.name and one.definition.tenant == definition.tenant]
        return [(one.name, str(tool["name"])) for one in others for tool in one.manifest.tools]

    def _summary(self, changes: tuple[Change, ...]) -> str:
        return summary(changes, serve_compatible=self._serve_compatible)

    def _say_blocked(self) -> None:
        """What any look at a served version found, and of servers with a version that nobody looked at yet what was said before."""
        said: dict[str, frozenset[tuple[str, str]]] = {}
        for watched in self._watched.values():
            found = self._said.get(watched.name, frozenset()) if watched.looked is None else watched.looked.blocked
            said[watched.name] = said.get(watched.name, frozenset()) | found
        said = {name: entries for name, entries in sorted(said.items()) if entries}
        if said != self._said:
            self._said = said
            self._views.block(msgspec.json.encode({name: sorted(entries) for name, entries in said.items()}))

    @property
    def definitions(self) -> list[ServerDefinition]:
        """Of every version that is looked at on a schedule."""
        return [watched.definition for watched in self._watched.values()]

    def last_looks(self, caller: Caller) -> list[Looked]:
        """What the last look at each served server found, of those the operator may read."""
        watched = [one for _, one in sorted(self._watched.items())]
        looked = [one.looked for one in watched if self._register.reads(caller, one.definition.tenant)]
        return [one for one in looked if one is not None]

    # On demand

    async def look(self, caller: Caller, name: str, number: int) -> Looked:
        """Look at the server of a version now. Raises `Refused`: NOTHING_OF_THAT_NAME, NOT_YOUR_ROLE, or what a capture raises."""
        content = await asyncio.to_thread(self._allowed, caller, name, number)
        watched = self._watched.get((name, number))
        if watched is not None:  # the very definition that is looked at anyway, whose connections stand
            content = msgspec.structs.replace(content, definition=watched.definition)
        if self._on_demand.locked():
            raise Refused(Reason.OVERLOADED, {"retryAfterSeconds": 1}, headers=(("Retry-After", "1"),))
        async with self._on_demand:
            live = await self._capture(content.definition)
        pinned = content.pin.manifest if content.pin is not None else NOTHING
        changes = drift(pinned, live.manifest, self._elsewhere(content.definition))
        captured = await self._settle(content.definition, live, changes)
        return Looked(captured, changes, blocked_by(changes, serve_compatible=self._serve_compatible))

    def found(self, caller: Caller, name: str, number: int) -> tuple[ServerContent, Capture]:
        """The version and what the last look at its server found. Blocks. Raises `Refused`."""
        shown = self._register.show(caller, Kind.SERVER, name, number)
        with self._stores.reading() as books:
            last = books.captured(looked_at(shown.content.definition)) if isinstance(shown.content, ServerContent) else ()
            if not last or not isinstance(shown.content, ServerContent):
                raise Refused(Reason.NOTHING_OF_THAT_NAME, message="Nobody looked at the server of this very definition yet.")
            manifest = msgspec.json.decode(books.contents([last[0].digest])[last[0].digest], type=Manifest)
        return shown.content, Capture(manifest, last[0].revision, last[0].left_out)

    def _allowed(self, caller: Caller, name: str, number: int) -> ServerContent:
        """Whoever proposes a definition chooses an address and a credential: before it is reviewed, only an admin has it looked at, and
        only an admin has programs started (CVE-2026-42271, CVE-2026-22688)."""
        shown = self._register.show(caller, Kind.SERVER, name, number)
        if not isinstance(shown.content, ServerContent):
            raise Refused(Reason.NOTHING_OF_THAT_NAME)
        agreed = shown.version.state in SERVED or shown.version.state is State.REVIEWED
        action = Action.CAPTURE if agreed and shown.content.definition.stdio is None else Action.SPAWN
        self._register.may(caller, action, shown.version.tenant)
        self._register.check_content(Kind.SERVER, name, shown.content)  # the settings may have changed since it was proposed
        return shown.content

    # Both

    async def _capture(self, definition: ServerDefinition) -> Capture:
        """One look at a time for each definition; whoever comes meanwhile gets what it finds."""
        subject = looked_at(definition)
        looking = self._looking.get(subject)
        if looking is None:
            looking = self._looking[subject] = asyncio.get_running_loop().create_task(capture(self._sources, definition, self._clock))
            looking.add_done_callback(lambda _: self._looking.pop(subject, None))
        try:
            return await asyncio.shield(looking)
        except Refused as refused:
            await record_look(self._ledger, self._clock, definition, "", refused.reason.name, refused.note)
            raise

    async def _settle(self, definition: ServerDefinition, live: Capture, changes: tuple[Change, ...]) -> Captured:
        """Write down what was found, and keep it."""
        digest = live.pin(definition.name).digest
        await record_look(self._ledger, self._clock, definition, digest, "drifted" if changes else "unchanged", self._summary(changes))
        return await asyncio.to_thread(self._keep, definition, live, changes)

    def _keep(self, definition: ServerDefinition, live: Capture, changes: tuple[Change, ...]) -> Captured:
        """Keep what was found; the history hears of it when it is something else than before."""
        digest = live.pin(definition.name).digest
        subject = looked_at(definition)
        captured = Captured(server=subject, at=self._clock.now(), digest=digest, revision=live.revision, left_out=live.left_out)
        with self._stores.writing() as books:
            before = books.captured(subject)
            if not before or before[0].digest != digest:
                books.add_content(digest, canonical_bytes(live.manifest))
                books.note(
                    Event(
                        at=captured.at,
                        actor="customhouse",
                        action="capture",
                        tenant=definition.tenant,
                        kind=Kind.SERVER.value,
                        name=definition.name,
                        digest=digest,
                        detail={"changes": self._summary(changes)[:2000], "leftOut": list(live.left_out)[:50]},
                    )
                )
            books.add_captured(captured)
        return msgspec.structs.replace(captured, server=definition.name)


def looked_at(definition: ServerDefinition) -> str:
    """What a capture is kept under: the name and the very definition, so that what one address offers is never taken for what another
    one does."""
    digest = content_digest(Kind.SERVER, definition.name, stated(ServerContent(definition=definition)))
    return f"{definition.name}@{digest.removeprefix('sha256:')[:32]}"
