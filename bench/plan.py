"""What a plan over a large registry costs: `python -m bench.plan` prints seconds for 2,000 servers with 50,000 tools.

The stored side is at hand as digests, and as contents for what differs, as the registry's API gives it out.
"""

import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from customhouse.config.directory import Survey, survey
from customhouse.config.filedigests import FILE, FileDigests
from customhouse.config.tree import Settings
from customhouse.config.writing import write_directory
from customhouse.core.content import Content, PolicyContent, Portal, PortalContent, ServerContent
from customhouse.core.manifest import BearerCredential, Effect, Manifest, Pin, ServerDefinition, ToolReview, digest_of
from customhouse.core.plan import Change, Thing, differing, plan
from customhouse.core.review import Kind

TOOLS_PER_SERVER = 25
PORTALS = 50
POLICIES = 100
CHANGED = 20
TODAY = "2026-11-27"
LATER_SECONDS = 10.0
"""A file that was written within two seconds is never taken as known; the measure does not wait for that."""


def main() -> None:
    """Print one line per case; the number of servers is the only argument."""
    measure(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)


def measure(servers: int) -> None:
    """Write a directory of so many servers, and plan over it in each case."""
    changed = min(CHANGED, servers)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        stored = dict(world(servers))
        timed(f"written: {servers} servers, {servers * TOOLS_PER_SERVER} tools", lambda: write_directory(stored, directory, Settings()))
        (first, _), _ = timed("plan, no cache, nothing changed", lambda: planned(directory, stored, None))
        (_, none), _ = timed("plan, warm cache, nothing changed", lambda: planned(directory, stored, first.digests))
        edited = {**stored, **{(Kind.SERVER, f"server-{index}"): edit(server(index)) for index in range(changed)}}
        timed(f"written: {changed} servers changed", lambda: write_directory(edited, directory, Settings()))
        (_, changes), _ = timed(f"plan, warm cache, {changed} servers changed", lambda: planned(directory, stored, first.digests))
        if none or len(changes) != changed:
            raise SystemExit(f"{len(none)} and {len(changes)} changes instead of 0 and {changed}")
        timed("plan, warm cache, all servers differ from the stored ones", lambda: planned(directory, reclassed(stored), {}))
        print(f"cache: {(directory / FILE).stat().st_size / 1e6:.1f} MB")


def planned(directory: Path, stored: Mapping[Thing, Content], digests: Mapping[Thing, str] | None) -> tuple[Survey, tuple[Change, ...]]:
    """What `customhouse plan` does, without asking a server for what is stored."""
    known = FileDigests(directory / FILE)
    found = survey(directory, Settings(), known, time.time() + LATER_SECONDS)
    known.save()
    things = differing(found.digests, found.digests if digests is None else digests)
    return found, plan(found.contents(things), {thing: stored[thing] for thing in things}, TODAY)


def timed(what: str, work: Any) -> tuple[Any, float]:
    """Do it once, with a line about how long it took."""
    begun = time.perf_counter()
    done = work()
    took = time.perf_counter() - begun
    print(f"{what:<60} {took:8.2f} s", flush=True)
    return done, took


def world(servers: int) -> dict[Thing, Content]:
    """As many servers, a hundred policies, and portals of forty servers."""
    contents: dict[Thing, Content] = {(Kind.SERVER, f"server-{index}"): server(index) for index in range(servers)}
    for index in range(PORTALS):
        names = tuple(f"server-{number}" for number in range(index, servers, max(1, servers // 40)))
        contents[Kind.PORTAL, f"portal-{index}"] = PortalContent(portal=Portal(servers=names))
    for index in range(POLICIES):
        rule = f'@id("rule-{index}")\npermit (principal in Group::"acme/team-{index}", action in Action::"read", resource);\n'
        contents[Kind.POLICY, f"team-{index}.cedar"] = PolicyContent(text=rule)
    return contents


def server(index: int) -> ServerContent:
    """A server whose pin lists tools of about one kilobyte."""
    name = f"server-{index}"
    tools = tuple(tool(f"tool_{number}") for number in range(TOOLS_PER_SERVER))
    manifest = Manifest(server_info={"name": name, "version": "1.0"}, capabilities={"tools": {}}, tools=tools)
    definition = ServerDefinition(
        name=name,
        owner=f"team-{index % 90}",
        contact="team@example.org",
        tenant="acme",
        on_call="pager:team",
        classification="internal",
        runbook="https://runbooks.example/team",
        review_by="2027-06-30",
        url=f"https://{name}.example/mcp",
        credential=BearerCredential("env:TOKEN"),
        tools={f"tool_{number}": ToolReview(effect=Effect.WRITE if number % 5 == 0 else Effect.READ) for number in range(TOOLS_PER_SERVER)},
    )
    return ServerContent(definition=definition, pin=Pin(server=name, revision="2026-07-28", digest=digest_of(manifest), manifest=manifest))


def tool(name: str) -> dict[str, Any]:
    """A tool with a description and eight parameters."""
    properties = {f"parameter_{number}": {"type": "string", "description": f"What to do with part {number}."} for number in range(8)}
    schema = {"type": "object", "properties": properties, "required": ["parameter_0"], "additionalProperties": False}
    return {"name": name, "description": "Does something that takes a sentence or two to say. " * 4, "inputSchema": schema}


def edit(content: ServerContent) -> ServerContent:
    """The server after one tool got other words and another one another class."""
    pin = cast("Pin", content.pin)
    first, *rest = pin.manifest.tools
    manifest = msgspec.structs.replace(pin.manifest, tools=({**first, "description": "Something else."}, *rest))
    return msgspec.structs.replace(reclass(content), pin=msgspec.structs.replace(pin, manifest=manifest, digest=digest_of(manifest)))


def reclass(content: ServerContent) -> ServerContent:
    """The server after one tool got another class."""
    tools = {**content.definition.tools, "tool_1": ToolReview(effect=Effect.DESTRUCTIVE)}
    return msgspec.structs.replace(content, definition=msgspec.structs.replace(content.definition, tools=tools))


def reclassed(stored: Mapping[Thing, Content]) -> dict[Thing, Content]:
    """Everything that is stored, with another class in each server."""
    return {thing: reclass(content) if isinstance(content, ServerContent) else content for thing, content in stored.items()}


if __name__ == "__main__":
    main()
