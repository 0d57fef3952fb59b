"""Capturing what a server says it offers, and watching whether it still says so.

A capture is an errand: work without a caller, named by purpose and server, and recorded. All pages of all lists are read, bounded. Each
entry is read and judged on its own: one that cannot be served is left out and reported, the others are kept (one malformed tool must not
hide a server).
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from customhouse.control.watching import record_look, watch
from customhouse.core.drift import Change, blocking, drift, verdict
from customhouse.core.limits import defects
from customhouse.core.manifest import Era, Manifest, Pin, ServerDefinition, digest_of, in_order
from customhouse.core.permit import Errand, Purpose
from customhouse.core.protocol.reading import read_json
from customhouse.core.protocol.revisions import NEWEST_MODERN
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.traffic import Ask, Clock, Ledger, Sources

log = logging.getLogger(__name__)

MAX_PAGES = 100
"""Pages of one list; 512 tools in pages of ten fit."""

MAX_DEPTH = 48
"""Nesting of a list answer: 32 levels of schema, and what stands around a schema."""

RELAYED: Mapping[str, Any] = {"elicitation": {"form": {}, "url": {}}, "roots": {}, "sampling": {"context": {}, "tools": {}}}
"""What a capture declares: everything that the gateway can relay, since servers list tools by what a client can do."""

CONVERSATION = "capture"
"""Captures have a session of their own at a legacy server, in which nobody else's questions are."""

_LISTS = (
    ("tools", "tools/list", "tools", "name"),
    ("prompts", "prompts/list", "prompts", "name"),
    ("resources", "resources/list", "resources", "uri"),
    ("resources", "resources/templates/list", "resourceTemplates", "uriTemplate"),
)
"""Capability, method, member of the result, and what names an entry."""


_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


class _Silent:
    def notify(self, method: str, params: dict[str, Any]) -> None:
        """Nobody waits for progress of a capture."""

    def room(self) -> None:
        """Nobody is slow."""

    async def ask(self, method: str, params: dict[str, Any], revision: str) -> dict[str, Any]:
        """Nobody is there: what is declared decides what a server lists, and a list needs no answer of anybody."""
        return {"error": {"code": -32603, "message": "Nobody is there to answer: the gateway reads what the server offers."}}


@dataclass(frozen=True, slots=True)
class Capture:
    """A captured manifest, the revision it was captured in, and what could not be used."""

    manifest: Manifest
    revision: str
    left_out: tuple[str, ...]

    def pin(self, server: str) -> Pin:
        """The capture as a pin."""
        return Pin(server=server, revision=self.revision, digest=digest_of(self.manifest), manifest=self.manifest)


async def capture(sources: Sources, definition: ServerDefinition, clock: Clock) -> Capture:
    """What a server offers now. Raises `Refused` if it is away or answers with something else."""
    errand = Errand(Purpose.CAPTURE, definition)
    era = await sources.era_of(errand)
    said = await sources.discovery(errand, era, RELAYED, CONVERSATION)
    capabilities = _object(said.get("capabilities"))
    deadline = clock.monotonic() + definition.call_timeout_seconds
    found: dict[str, list[dict[str, Any]]] = {}
    left_out: list[str] = []
    for capability, method, member, key in _LISTS:
        entries = await _pages(sources, errand, era, method, member, deadline) if capability in capabilities else []
        found[member], unreadable = _readable(entries, key)
        left_out += [f"{method}: {sentence}" for sentence in unreadable]
    info = said.get("serverInfo") or _object(said.get("_meta")).get("io.modelcontextprotocol/serverInfo")
    instructions = said.get("instructions")
    manifest = Manifest(
        server_info=_object(info),
        capabilities=capabilities,
        instructions=instructions if type(instructions) is str else "",
        tools=tuple(found["tools"]),
        prompts=tuple(found["prompts"]),
        resources=tuple(found["resources"]),
        resource_templates=tuple(found["resourceTemplates"]),
    )
    revision = NEWEST_MODERN if era is Era.MODERN else str(said.get("protocolVersion"))
    judged = defects(manifest)
    if judged.refusals:
        raise Refused(Reason.UPSTREAM_BROKE_PROTOCOL, note=" ".join(judged.refusals))
    left_out += [f"{defect.kind} {defect.name}: {defect.sentence}" for defect in judged.entries]
    return Capture(in_order(judged.servable), revision, tuple(left_out))


def _readable(entries: Sequence[msgspec.Raw], key: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The entries that are objects with a name, read strictly, and a sentence for each other one."""
    usable, unreadable = [], []
    for position, raw in enumerate(entries):
        try:
            entry = read_json(bytes(raw), MAX_DEPTH)
        except Refused as refused:
            unreadable.append(f"entry {position}: {refused.sentence}")
            continue
        if type(entry) is dict and type(entry.get(key)) is str:
            usable.append(entry)
        else:
            unreadable.append(f"entry {position} has no {key}")
    return usable, unreadable


async def _pages(sources: Sources, errand: Errand, era: Era, method: str, member: str, deadline: float) -> list[msgspec.Raw]:
    entries: list[msgspec.Raw] = []
    params: dict[str, Any] = {}
    for _ in range(MAX_PAGES):
        ask = Ask(method, params, era, deadline, capabilities=RELAYED, conversation=CONVERSATION)
        answer = await sources.call(errand, ask, _Silent())
        if answer.result is None:
            raise Refused(Reason.UPSTREAM_BROKE_PROTOCOL, note=f"{method}: error {(answer.error or {}).get('code')}")
        try:
            entries += _decode_list(answer.result.get(member, msgspec.Raw(b"null")))
        except msgspec.DecodeError:
            raise Refused(Reason.UPSTREAM_BROKE_PROTOCOL, note=f"{method}: no list of {member}") from None
        cursor = read_json(bytes(answer.result["nextCursor"])) if "nextCursor" in answer.result else None
        if type(cursor) is not str:
            return entries
        params = {"cursor": cursor}
    raise Refused(Reason.RESULT_TOO_LARGE, note=f"{method}: more than {MAX_PAGES} pages")


def _object(value: object) -> dict[str, Any]:
    return value if type(value) is dict else {}


Block = Callable[[str, frozenset[tuple[str, str]]], None]


class DriftWatch:
    """Captures every server now and then and blocks what callers of the approved entry cannot rely on any more."""

    def __init__(
        self, sources: Sources, ledger: Ledger, clock: Clock, block: Block, *, interval_seconds: float, serve_compatible: bool
    ) -> None:
        self._sources = sources
        self._ledger = ledger
        self._clock = clock
        self._block = block
        self._interval_seconds = interval_seconds
        self._serve_compatible = serve_compatible
        self._told: dict[str, frozenset[tuple[str, str, tuple[str, ...]]]] = {}
        self._names: Mapping[str, frozenset[tuple[str, str]]] = {}
        self._early: dict[str, asyncio.Event] = {}

    def changed(self, server: str, kind: str) -> None:
        """A server says that a list is another one now: it is looked at soon. See `ports.traffic.Hearing`."""
        if (early := self._early.get(server)) is not None:
            early.set()

    async def run(self, approved: Sequence[tuple[ServerDefinition, Pin]]) -> None:
        """Look at every server once and then again and again, each after its own jittered pause. Ends by cancellation."""
        self.know(approved)
        async with asyncio.TaskGroup() as group:
            for definition, pin in approved:
                group.create_task(self._watch(definition, pin))

    def know(self, approved: Sequence[tuple[ServerDefinition, Pin]]) -> None:
        """The tools of each tenant's servers, with which new names are compared. One tenant hears nothing of another's."""
        names: dict[str, set[tuple[str, str]]] = {}
        for definition, pin in approved:
            names.setdefault(definition.tenant, set()).update((definition.name, str(tool["name"])) for tool in pin.manifest.tools)
        self._names = {tenant: frozenset(known) for tenant, known in names.items()}

    async def _watch(self, definition: ServerDefinition, pin: Pin) -> None:
        early = self._early[definition.name] = asyncio.Event()
        await watch(lambda: self.look(definition, pin), early, self._clock, self._interval_seconds)

    async def look(self, definition: ServerDefinition, pin: Pin) -> None:
        """Compare one server with its pin. A server that is away keeps the verdict it had: its pin is still served."""
        try:
            live = await capture(self._sources, definition, self._clock)
        except Refused as refused:
            await record_look(self._ledger, self._clock, definition, pin.digest, refused.reason.name, refused.note)
            return
        elsewhere = [(server, name) for server, name in self._names.get(definition.tenant, ()) if server != definition.name]
        changes = drift(pin.manifest, live.manifest, elsewhere)
        self._block(definition.name, blocked_by(changes, serve_compatible=self._serve_compatible))
        self._tell(definition.name, changes)
        note = summary(changes, serve_compatible=self._serve_compatible)
        await record_look(self._ledger, self._clock, definition, pin.digest, "drifted" if changes else "unchanged", note)

    def _tell(self, server: str, changes: Sequence[Change]) -> None:
        """Once, when something else drifted than before and is served all the same."""
        served = [change for change in changes if verdict(change, serve_compatible=self._serve_compatible) == "served"]
        told = frozenset((change.kind, change.name, change.paths) for change in served)
        if told and told != self._told.get(server):
            log.warning("%s drifted; still served as approved: %s", server, ", ".join(f"{one.kind} {one.name}".rstrip() for one in served))
        self._told[server] = told


def blocked_by(changes: Sequence[Change], *, serve_compatible: bool) -> frozenset[tuple[str, str]]:
    """Kind and name of each pinned entry that may not be called until somebody reviews it."""
    return frozenset((change.kind, change.name) for change in changes if blocking(change, serve_compatible=serve_compatible))


def summary(changes: Sequence[Change], *, serve_compatible: bool) -> str:
    """One line for a record: what changed, what that means to callers, and what becomes of the entry."""
    return "; ".join(
        f"{change.kind} {change.name}: {change.grade.value}, {change.compatibility.value}, "
        f"{verdict(change, serve_compatible=serve_compatible)}"
        for change in changes
    )
