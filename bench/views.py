"""What a large registry costs: `python -m bench.views [servers]` builds, publishes and takes over 2,000 servers with 50,000 tools.

The control side reads the books, builds the view as a check and writes the picture; the gateway's side takes it over while its loop
ticks every millisecond, so that the longest pause of calls is seen.
"""

import asyncio
import resource
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from bench.plan import TOOLS_PER_SERVER, timed, world
from customhouse.adapters.stores.sqlite import SqliteStores
from customhouse.adapters.views.files import FileViews
from customhouse.config.tree import Settings
from customhouse.control.publishing import PROBLEMS, Publishing
from customhouse.control.register import Register, Terms
from customhouse.core.content import reviewers_needed, stated
from customhouse.core.manifest import canonical_bytes
from customhouse.core.picture import Picture
from customhouse.core.policy import PolicyInvalid
from customhouse.core.review import Kind, State, Version, content_digest
from customhouse.gateway.live import Live
from customhouse.gateway.takeover import Takeover
from customhouse.wiring import SystemClock, view_of

TICK_SECONDS = 0.001


def main() -> None:
    """Print one line per step; the number of servers is the only argument."""
    measure(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)


def measure(servers: int) -> None:
    """All steps."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        stores = SqliteStores.open(directory / "registry.db")
        timed(f"kept: {servers} servers, {servers * TOOLS_PER_SERVER} tools", lambda: keep(stores, servers))
        clock = SystemClock()
        register = Register(stores, clock, (), Terms(1e9, 1e6, frozenset()), lambda *_: (), lambda _: ())
        views = FileViews(directory / "views")
        publishing = Publishing(register, stores, views, clock)
        build = partial(view_of, Settings())
        problems = (*PROBLEMS, PolicyInvalid)
        timed("control process: books read, view built, picture written", lambda: publishing.publish(build, problems))
        if publishing.problem:
            raise SystemExit(publishing.problem)
        change(stores)
        timed("control process: the same after one server changed", lambda: publishing.publish(build, problems))
        asyncio.run(take_over(views, build, stores, publishing, problems))


async def take_over(views: FileViews, build: Any, stores: SqliteStores, publishing: Publishing, problems: Any) -> None:
    """The gateway's side, first with everything new and then with one change."""
    live = Live(build(Picture()))
    takeover = Takeover(FileViews(views._directory), live, build, lambda _: None, problems)
    for what in ("everything is new", "one server changed"):
        before = resident_megabytes()
        pauses: list[float] = []
        ticking = asyncio.create_task(tick(pauses))
        begun = time.perf_counter()
        await takeover.look()
        took = time.perf_counter() - begun
        ticking.cancel()
        pauses.sort()
        longest, most = pauses[-1] * 1e3, pauses[int(len(pauses) * 0.99)] * 1e3
        more = f"{resident_megabytes() - before:.0f} MB more, {len(live.view.endpoints)} endpoints"
        print(f"gateway: {what:<50} {took:8.2f} s  longest pause {longest:.1f} ms, p99 {most:.1f} ms, {more}", flush=True)
        change(stores)
        publishing.publish(build, problems)


async def tick(pauses: list[float]) -> None:
    """How much longer than a millisecond each millisecond took."""
    while True:
        begun = time.perf_counter()
        await asyncio.sleep(TICK_SECONDS)
        pauses.append(time.perf_counter() - begun - TICK_SECONDS)


def keep(stores: SqliteStores, servers: int) -> None:
    """Everything active, as if it had been reviewed."""
    with stores.writing() as books:
        for (kind, name), content in world(servers).items():
            value = stated(content)
            digest = content_digest(kind, name, value)
            books.add_content(digest, canonical_bytes(value))
            books.add_version(
                Version(
                    kind=kind,
                    name=name,
                    number=1,
                    tenant="acme" if kind is Kind.SERVER else "",
                    digest=digest,
                    state=State.ACTIVE,
                    proposer="acme/dev",
                    reviewers_needed=reviewers_needed(kind, content),
                    proposed_at=time.time(),
                    activated_at=time.time(),
                )
            )


def change(stores: SqliteStores) -> None:
    """One server gets other words."""
    with stores.writing() as books:
        versions = [one for one in books.versions(Kind.SERVER, "server-0") if one.state is State.ACTIVE]
        (version,) = versions
        value = msgspec.json.decode(books.contents([version.digest])[version.digest])
        value["definition"]["description"] = f"Changed {version.number} times."
        digest = content_digest(Kind.SERVER, "server-0", value)
        books.add_content(digest, canonical_bytes(value))
        books.replace_version(msgspec.structs.replace(version, state=State.RETIRED), version)
        books.add_version(msgspec.structs.replace(version, number=version.number + 1, digest=digest))


def resident_megabytes() -> float:
    """Of this process, now."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


if __name__ == "__main__":
    main()
