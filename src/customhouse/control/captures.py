"""Looking at what served servers offer: on a schedule, when they say that it changed, and when an operator asks.

Each look is an errand, one at a time for each server, recorded and kept. What callers of the approved entry cannot rely on any more is
blocked at the gateways until somebody reviews it; the rest goes on. A server that is away keeps the verdict it had.
"""

import asyncio
import contextlib
import logging
import random
from dataclasses import dataclass, field
from typing import Any

import msgspec

from customhouse.control.register import Register, Served
from customhouse.control.snapshots import REST_SECONDS, SOON_SECONDS, Capture, blocked_by, capture, summary
from customhouse.core.content import ServerContent
from customhouse.core.drift import Change, drift
from customhouse.core.identity import Caller
from customhouse.core.manifest import Manifest, ServerDefinition, canonical_bytes
from customhouse.core.operators import Action
from customhouse.core.permit import Purpose
from customhouse.core.record import Record
from customhouse.core.refusal import Reason, Refused
from customhouse.core.review import SERVED, Kind, State
from customhouse.ports.hosts import Views
from customhouse.ports.stores import Captured, Event, Stores
from customhouse.ports.traffic import Clock, Ledger, Sources

log = logging.getLogger(__name__)

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
        self._watched: dict[str, _Watched] = {}
        self._looking: dict[int, asyncio.Task[Capture]] = {}
        self._blocked: dict[str, frozenset[tuple[str, str]]] = {}

    # The schedule

    def follow(self, served: Served) -> None:
        """These servers are looked at from now on, and no others."""
        wanted: dict[str, _Watched] = {}
        for (kind, name), versions in served.items():
            version, content = versions[0]
            if kind is Kind.SERVER and version.state is State.ACTIVE and isinstance(content, ServerContent) and content.pin is not None:
                wanted[name] = _Watched(content.definition, content.pin.manifest, version.digest)
        for name in [name for name, one in self._watched.items() if name not in wanted or one.digest != wanted[name].digest]:
            self._leave(name)
        for name, watched in wanted.items():
            if name not in self._watched:
                self._watched[name] = watched
                watched.task = asyncio.get_running_loop().create_task(self._watch(watched))

    def changed(self, server: str, kind: str) -> None:
        """A server says that a list is another one now: it is looked at soon."""
        if (watched := self._watched.get(server)) is not None:
            watched.early.set()

    async def close(self) -> None:
        """Look at nothing any more."""
        tasks = [watched.task for watched in self._watched.values() if watched.task is not None]
        ending: list[asyncio.Task[Any]] = [*tasks, *self._looking.values()]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    def _leave(self, name: str) -> None:
        watched = self._watched.pop(name)
        if watched.task is not None:
            watched.task.cancel()
        if self._blocked.pop(name, None):
            self._say_blocked()

    async def _watch(self, watched: _Watched) -> None:
        while True:
            watched.early.clear()  # what changes while the server is looked at is looked at once more
            with contextlib.suppress(Refused):
                await self._look(watched)
            looked_at = self._clock.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval_seconds * _jitter()):
                    await watched.early.wait()
                    rest = looked_at + REST_SECONDS - self._clock.monotonic()
                    await asyncio.sleep(max(SOON_SECONDS, rest) * _jitter())

    async def _look(self, watched: _Watched) -> None:
        live = await self._capture(watched.definition)
        changes = drift(watched.manifest, live.manifest, self._elsewhere(watched.definition))
        blocked = blocked_by(changes, serve_compatible=self._serve_compatible)
        name = watched.definition.name
        if blocked != self._blocked.get(name, frozenset()):
            if blocked:
                log.warning("%s drifted; blocked until reviewed: %s", name, ", ".join(sorted(entry for _, entry in blocked)))
            self._blocked[name] = blocked
            self._say_blocked()
        watched.looked = Looked(await self._settle(watched.definition, live, changes), changes, blocked)

    def _elsewhere(self, definition: ServerDefinition) -> list[tuple[str, str]]:
        """The tools of the tenant's other served servers, with which new names are compared."""
        others = [
            one for one in self._watched.values() if one.definition.name != definition.name and one.definition.tenant == definition.tenant
        ]
        return [(one.definition.name, str(tool["name"])) for one in others for tool in one.manifest.tools]

    def _summary(self, changes: tuple[Change, ...]) -> str:
        return summary(changes, serve_compatible=self._serve_compatible)

    def _say_blocked(self) -> None:
        said = {name: sorted(entries) for name, entries in sorted(self._blocked.items()) if entries}
        self._views.block(msgspec.json.encode(said))

    def last_looks(self, caller: Caller) -> list[Looked]:
        """What the last look at each served server found, of those the operator may read."""
        looked = [watched.looked for _, watched in sorted(self._watched.items()) if self._register.reads(caller, watched.definition.tenant)]
        return [one for one in looked if one is not None]

    # On demand

    async def look(self, caller: Caller, name: str, number: int) -> Looked:
        """Look at the server of a version now. Raises `Refused`: NOTHING_OF_THAT_NAME, NOT_YOUR_ROLE, or what a capture raises."""
        content = await asyncio.to_thread(self._allowed, caller, name, number)
        live = await self._capture(content.definition)
        pinned = content.pin.manifest if content.pin is not None else NOTHING
        changes = drift(pinned, live.manifest, self._elsewhere(content.definition))
        captured = await self._settle(content.definition, live, changes)
        return Looked(captured, changes, blocked_by(changes, serve_compatible=self._serve_compatible))

    def found(self, caller: Caller, name: str, number: int) -> tuple[ServerContent, Capture]:
        """The version and what the last look at its server found. Blocks. Raises `Refused`."""
        shown = self._register.show(caller, Kind.SERVER, name, number)
        with self._stores.reading() as books:
            last = books.captured(name)
            if not last or not isinstance(shown.content, ServerContent):
                raise Refused(Reason.NOTHING_OF_THAT_NAME, message="Nobody looked at the server yet.")
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
        return shown.content

    # Both

    async def _capture(self, definition: ServerDefinition) -> Capture:
        """One look at a time for each definition; whoever comes meanwhile gets what it finds."""
        looking = self._looking.get(id(definition))
        if looking is None:
            looking = self._looking[id(definition)] = asyncio.get_running_loop().create_task(
                capture(self._sources, definition, self._clock)
            )
            looking.add_done_callback(lambda _: self._looking.pop(id(definition), None))
        try:
            return await asyncio.shield(looking)
        except Refused as refused:
            await self._record(definition, "", refused.reason.name, refused.note)
            raise

    async def _settle(self, definition: ServerDefinition, live: Capture, changes: tuple[Change, ...]) -> Captured:
        """Write down what was found, and keep it."""
        digest = live.pin(definition.name).digest
        await self._record(definition, digest, "drifted" if changes else "unchanged", self._summary(changes))
        return await asyncio.to_thread(self._keep, definition, live, changes)

    def _keep(self, definition: ServerDefinition, live: Capture, changes: tuple[Change, ...]) -> Captured:
        """Keep what was found; the history hears of it when it is something else than before."""
        digest = live.pin(definition.name).digest
        captured = Captured(server=definition.name, at=self._clock.now(), digest=digest, revision=live.revision, left_out=live.left_out)
        with self._stores.writing() as books:
            before = books.captured(definition.name)
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
        return captured

    async def _record(self, definition: ServerDefinition, digest: str, outcome: str, note: str) -> None:
        record = Record(
            kind="errand",
            at=self._clock.now(),
            method=Purpose.CAPTURE.value,
            tenant=definition.tenant,
            server=definition.name,
            pin_digest=digest,
            outcome=outcome,
            note=note[:1000],
        )
        try:
            await self._ledger.append(record, durable=False)
        except Refused as unrecorded:
            log.warning("a capture of %s could not be recorded: %s", definition.name, unrecorded.note)


def _jitter() -> float:
    """So that many servers are not looked at in the same moment."""
    return random.uniform(0.9, 1.1)  # noqa: S311 - no secret
