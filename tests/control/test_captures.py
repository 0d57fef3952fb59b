"""Looks of the control process: every served version, one at a time for each, and a verdict stands until a look says something else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from customhouse.adapters.views.files import FileViews
from customhouse.control.captures import MAX_ON_DEMAND, Captures
from customhouse.control.register import Served
from customhouse.control.snapshots import Capture
from customhouse.core.content import ServerContent
from customhouse.core.manifest import Effect, Manifest, Pin, ServerDefinition, ToolReview, digest_of
from customhouse.core.record import Record
from customhouse.core.refusal import Reason, Refused
from customhouse.core.review import Kind, State, Version
from tests.control.test_register import DEV, NOW, ROOT, World, person, server

APPROVED = {"name": "t", "inputSchema": {"type": "object", "properties": {}}}
CHANGED = {"name": "t", "inputSchema": {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]}}


def manifest(tool: dict[str, Any]) -> Manifest:
    return Manifest(server_info={"name": "n"}, capabilities={"tools": {}}, tools=(tool,))


class Book:
    """A ledger of its own."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    async def append(self, record: Record, *, durable: bool) -> None:
        self.records.append(record)


class Street:
    """What the servers offer, by address; an address that is not here does not answer."""

    def __init__(self) -> None:
        self.offers: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.held = asyncio.Event()
        self.held.set()

    async def capture(self, sources: object, definition: ServerDefinition, clock: object) -> Capture:
        self.asked.append(definition.url)
        await self.held.wait()
        if definition.url not in self.offers:
            raise Refused(Reason.UPSTREAM_UNREACHABLE)
        return Capture(manifest(self.offers[definition.url]), "2025-06-18", ())


@pytest.fixture
def street(monkeypatch: pytest.MonkeyPatch) -> Street:
    there = Street()
    monkeypatch.setattr("customhouse.control.captures.capture", there.capture)
    return there


def version(name: str, number: int = 1, state: State = State.ACTIVE) -> tuple[Version, ServerContent]:
    """A served version whose address says which it is."""
    fields = {"name": name, "url": f"https://{name}-{number}.example/mcp", "tools": {"t": ToolReview(effect=Effect.READ)}}
    definition = msgspec.convert(server(**fields)["definition"], ServerDefinition)
    pin = Pin(server=name, revision="2025-06-18", digest=digest_of(manifest(APPROVED)), manifest=manifest(APPROVED))
    one = Version(
        kind=Kind.SERVER,
        name=name,
        number=number,
        tenant="local",
        digest=f"sha256:{name}{number}",
        state=state,
        proposer="local/dev",
        reviewers_needed=1,
        proposed_at=NOW,
    )
    return one, ServerContent(definition=definition, pin=pin)


def served(*versions: tuple[Version, ServerContent]) -> Served:
    found: dict[tuple[Kind, str], list[Any]] = {}
    for pair in versions:
        found.setdefault((Kind.SERVER, pair[0].name), []).append(pair)
    return found


@asynccontextmanager
async def looking(directory: Path, world: World | None = None) -> AsyncIterator[Captures]:
    world = world or World()
    captures = Captures(
        world.register,
        world.stores,
        cast(Any, None),
        cast(Any, Book()),
        world.time,
        FileViews(directory),
        interval_seconds=1e6,
        serve_compatible=True,
    )
    try:
        yield captures
    finally:
        await captures.close()


async def until_asked(street: Street, *addresses: str) -> None:
    async with asyncio.timeout(5):
        while not set(addresses) <= set(street.asked):  # noqa: ASYNC110 - looks are tasks of their own
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)


def blocked(directory: Path) -> dict[str, Any]:
    return cast(dict[str, Any], msgspec.json.decode(FileViews(directory).blocked() or b"{}"))


async def test_what_was_blocked_stays_blocked_when_the_process_starts_again_and_the_server_does_not_answer(
    street: Street, tmp_path: Path
) -> None:
    one, two = version("one"), version("two")
    street.offers = {"https://one-1.example/mcp": CHANGED, "https://two-1.example/mcp": CHANGED}
    async with looking(tmp_path) as captures:
        captures.follow(served(one, two))
        await until_asked(street, "https://one-1.example/mcp", "https://two-1.example/mcp")
    assert blocked(tmp_path) == {"one": [["tool", "t"]], "two": [["tool", "t"]]}
    street.asked, street.offers = [], {"https://one-1.example/mcp": APPROVED}
    async with looking(tmp_path) as captures:
        captures.follow(served(one, two))
        await until_asked(street, "https://one-1.example/mcp", "https://two-1.example/mcp")
    assert blocked(tmp_path) == {"two": [["tool", "t"]]}


async def test_a_new_version_is_blocked_as_the_one_before_until_it_was_looked_at(street: Street, tmp_path: Path) -> None:
    street.offers = {"https://one-1.example/mcp": CHANGED, "https://one-2.example/mcp": APPROVED}
    async with looking(tmp_path) as captures:
        captures.follow(served(version("one")))
        await until_asked(street, "https://one-1.example/mcp")
        street.held.clear()
        captures.follow(served(version("one", 2)))
        await until_asked(street, "https://one-2.example/mcp")
        assert blocked(tmp_path) == {"one": [["tool", "t"]]}
        street.held.set()
        await asyncio.sleep(0.05)
        assert blocked(tmp_path) == {}


async def test_a_server_that_is_served_no_more_blocks_nothing(street: Street, tmp_path: Path) -> None:
    street.offers = {"https://one-1.example/mcp": CHANGED}
    async with looking(tmp_path) as captures:
        captures.follow(served(version("one")))
        await until_asked(street, "https://one-1.example/mcp")
        captures.follow(served(version("one", state=State.QUARANTINED)))
    assert blocked(tmp_path) == {}


async def test_an_older_version_that_is_served_is_looked_at_too(street: Street, tmp_path: Path) -> None:
    street.offers = {"https://one-2.example/mcp": APPROVED, "https://one-1.example/mcp": CHANGED}
    async with looking(tmp_path) as captures:
        captures.follow(served(version("one", 2), version("one", 1, State.DEPRECATED)))
        await until_asked(street, *street.offers)
    assert blocked(tmp_path) == {"one": [["tool", "t"]]}


async def test_what_was_found_at_one_address_is_not_proposed_for_another(street: Street, tmp_path: Path) -> None:
    world = World()
    street.offers = {"https://notes.example/mcp": CHANGED, "https://other.example/mcp": APPROVED}
    first = world.register.propose(DEV, Kind.SERVER, "notes", server()).version.number
    other = world.register.propose(person("two", "dev"), Kind.SERVER, "notes", server(url="https://other.example/mcp")).version.number
    async with looking(tmp_path, world) as captures:
        await captures.look(ROOT, "notes", first)
        assert captures.found(DEV, "notes", first)[1].manifest.tools == (CHANGED,)
        with pytest.raises(Refused) as refused:
            captures.found(DEV, "notes", other)
        assert refused.value.reason is Reason.NOTHING_OF_THAT_NAME
        await captures.look(ROOT, "notes", other)
        assert captures.found(DEV, "notes", other)[1].manifest.tools == (APPROVED,)
        assert captures.found(DEV, "notes", first)[1].manifest.tools == (CHANGED,)


async def test_looks_that_wait_for_servers_are_bounded_and_hold_no_thread(street: Street, tmp_path: Path) -> None:
    world = World()
    street.offers = {"https://notes.example/mcp": APPROVED}
    street.held.clear()
    world.register.propose(DEV, Kind.SERVER, "notes", server())
    async with looking(tmp_path, world) as captures:
        asked = [asyncio.create_task(captures.look(ROOT, "notes", 1)) for _ in range(MAX_ON_DEMAND)]
        await until_asked(street, "https://notes.example/mcp")
        assert len(await asyncio.wait_for(asyncio.to_thread(world.register.listing, ROOT), 5)) == 1
        with pytest.raises(Refused) as refused:
            await captures.look(ROOT, "notes", 1)
        assert refused.value.reason is Reason.OVERLOADED
        street.held.set()
        assert {one.captured.digest for one in await asyncio.gather(*asked)} == {digest_of(manifest(APPROVED))}
    assert street.asked == ["https://notes.example/mcp"], "whoever comes meanwhile gets what the first one finds"
