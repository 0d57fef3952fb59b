"""The same call in five revisions gets the same decision and leaves the same record."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from customhouse.core.policygrants import Constraint, Grant, Granted, Grantee
from customhouse.core.protocol.revisions import ERA_OF, LEGACY_REVISIONS, MODERN_REVISIONS
from customhouse.core.record import Record
from tests.gateway.support import World

MAY_DIFFER = frozenset({"at", "call_id", "trace_id", "era", "revision", "took_us", "upstream_us", "bytes_in", "bytes_out"})
"""What says when, in which words and how long, and nothing about what was asked and decided."""

SAME = {
    "a permitted read": ({"name": "notes__search", "arguments": {"query": "x"}}, "permit", "answered"),
    "a refused write": ({"name": "notes__purge", "arguments": {}}, "deny", "UNKNOWN_NAME"),
    "an argument that permits": ({"name": "notes__add", "arguments": {"title": "t", "tag": "draft"}}, "permit", "answered"),
    "an argument that does not": ({"name": "notes__add", "arguments": {"title": "t", "tag": "final"}}, "deny", "NOT_PERMITTED"),
    "an argument that a grant permits": ({"name": "notes__add", "arguments": {"title": "small x", "tag": "final"}}, "permit", "answered"),
    "an unknown name": ({"name": "notes__nothing", "arguments": {}}, "", "UNKNOWN_NAME"),
    "an invalid argument": ({"name": "notes__search", "arguments": {"limit": "many"}}, "", "INVALID_ARGUMENTS"),
    "a missing scope": ({"name": "notes__scoped", "arguments": {}}, "deny", "INSUFFICIENT_SCOPE"),
}


SMALL = Grant(
    file="grants/a.yaml",
    line=1,
    id="grant:a/1",
    to=Grantee(group="acme/readers"),
    on=Granted(tool="notes/add"),
    arguments={"title": Constraint(prefix=("small ",))},
    until=2_000_000_000,
)


async def recorded(
    params: Mapping[str, Any], revision: str, pinned: str = MODERN_REVISIONS[0]
) -> tuple[list[Record], list[Mapping[str, Any]]]:
    """What a fresh gateway records of one call, and what its server hears; `pinned` is the revision of the server."""
    world = World(pinned=pinned, grants=(SMALL,))
    if revision in MODERN_REVISIONS:
        await world.ask_modern("tools/call", params)
    else:
        session = await world.open_session(revision)
        world.book.records.clear()
        await world.say(session, "tools/call", params)
    return world.book.records, [ask.params for _, ask in world.servers.calls]


def lasting(record: Record) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(record).items() if name not in MAY_DIFFER}


@pytest.mark.parametrize("pinned", ["2026-07-28", "2025-11-25", "2024-11-05"])
@pytest.mark.parametrize(("params", "decision", "outcome"), SAME.values(), ids=SAME)
async def test_the_same_call_gets_the_same_decision_and_record_in_every_revision(
    params: Mapping[str, Any], decision: str, outcome: str, pinned: str
) -> None:
    newest, heard = await recorded(params, MODERN_REVISIONS[0], pinned)
    assert (newest[-1].decision, newest[-1].outcome) == (decision, outcome)
    for revision in LEGACY_REVISIONS:
        records, hears = await recorded(params, revision, pinned)
        assert [record.revision for record in records] == [revision] * len(records)
        assert [record.era for record in records] == [ERA_OF[revision].value] * len(records)
        assert [lasting(record) for record in records] == [lasting(record) for record in newest]
        assert hears == heard


async def test_what_has_to_be_the_same_is_there_to_be_compared() -> None:
    (intent, closing), _ = await recorded(SAME["an argument that permits"][0], MODERN_REVISIONS[0])
    (read,), _ = await recorded(SAME["a permitted read"][0], MODERN_REVISIONS[0])
    assert (read.server, read.name, read.effect, read.reasons, read.outcome) == ("notes", "search", "read", ("readers-read",), "answered")
    assert (closing.name, closing.effect, closing.reasons) == ("add", "write", ("readers-draft",))
    for record in (intent, closing, read):
        assert all((record.policy_digest, record.argument_digest, record.pin_digest, record.authorisation, record.person))
