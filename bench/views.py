"""What a large registry costs: `python -m bench.views [servers]` builds, publishes and takes over 2,000 servers with 50,000 tools.

The control side reads the books, builds the view as a check and writes the picture; the gateway's side, a process of its own, takes it over
while its loop ticks every millisecond, so that the longest pause of calls is seen. How late the ticks are while nothing happens is said
too: that much is the machine.
"""

import asyncio
import gc
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Mapping
from functools import partial
from pathlib import Path

import msgspec

from bench.plan import TOOLS_PER_SERVER, timed, world
from customhouse.adapters.stores.sqlite import SqliteStores
from customhouse.adapters.views.files import FileViews
from customhouse.config.tree import Settings
from customhouse.control.publishing import PROBLEMS, Publishing
from customhouse.control.register import Register
from customhouse.control.verdicts import judged_as_kept, keep_verdicts
from customhouse.core.content import reviewers_needed, stated
from customhouse.core.manifest import canonical_bytes
from customhouse.core.picture import Picture
from customhouse.core.policy import PolicyInvalid
from customhouse.core.review import Kind, State, Version, content_digest
from customhouse.gateway.live import Live
from customhouse.gateway.takeover import Takeover, beside_calls
from customhouse.wiring import COLLECT_AFTER, SystemClock, view_of

TICK_SECONDS = 0.001
SHARES: Mapping[str, float] = {"p99": 0.99, "p99.9": 0.999, "longest": 1.0}
BUILD = partial(view_of, Settings())
FAILURES = (*PROBLEMS, PolicyInvalid)


def main() -> None:
    """Print one line per step; the number of servers is the only argument. What is not said in the docstring is for the parts alone."""
    part, *rest = sys.argv[1:] or ["2000"]
    if part == "gateway":
        asyncio.run(take_over(Path(rest[0])))
    elif part == "change":
        control(Path(rest[0]), int(rest[1]))
    else:
        measure(int(part))


def measure(servers: int) -> None:
    """All steps."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        stores = SqliteStores.open(directory / "registry.db")
        timed(f"proposed, judged and kept: {servers} servers, {servers * TOOLS_PER_SERVER} tools", lambda: keep(stores, servers))
        stores.close()
        run("change", name, "0")
        run("gateway", name)


def run(*words: str) -> None:
    """A part, in a process of its own."""
    subprocess.run([sys.executable, "-m", "bench.views", *words], check=True)


def control(directory: Path, changed: int) -> None:
    """The control process begins, or goes on after some servers changed."""
    stores = SqliteStores.open(directory / "registry.db")
    clock = SystemClock()
    register = Register(stores, clock, (), 1e9, lambda *_: (), lambda _: ())
    publishing = Publishing(register, stores, FileViews(directory / "views"), clock)
    if changed == 0:
        timed("control process: begun, books read, view built, published", lambda: publishing.publish(BUILD, FAILURES))
        change(stores, 1)
        timed("control process: the same after one server changed", lambda: publishing.publish(BUILD, FAILURES))
        print(f"control process: {resident_megabytes():.0f} MB in all")
    else:
        change(stores, changed)
        publishing.publish(BUILD, FAILURES)
    stores.close()
    if publishing.problem:
        raise SystemExit(publishing.problem)


async def take_over(directory: Path) -> None:
    """The gateway's side: everything is new, then one server, then all of them."""
    live = Live(BUILD(Picture()))
    takeover = Takeover(FileViews(directory / "views"), live, BUILD, taken, FAILURES)
    gc.collect()
    gc.freeze()  # as a gateway does when it begins
    gc.set_threshold(*COLLECT_AFTER)
    before = resident_megabytes()
    await paused("nothing happens", asyncio.sleep(5.0))
    await paused("a thread counts", asyncio.to_thread(count))
    await paused("everything is new", takeover.look())
    print(f"gateway: {resident_megabytes() - before:.0f} MB more, {len(live.view.endpoints)} endpoints", flush=True)
    for servers in (1, len(takeover.picture.servers), 1):
        await asyncio.to_thread(run, "change", str(directory), str(servers))
        await paused(f"{servers} servers changed", takeover.look())
    await paused("nothing happens", asyncio.sleep(5.0))
    print(f"gateway: {resident_megabytes() - before:.0f} MB more at the end", flush=True)


def count() -> None:
    """What any work beside calls costs them: it holds the interpreter for no longer than it is let."""
    with beside_calls():
        ends = time.perf_counter() + 1.0
        while time.perf_counter() < ends:
            pass


async def taken(picture: Picture) -> None:
    """The connections to servers are not measured here."""


async def paused(what: str, work: Awaitable[None]) -> None:
    """Wait for it while the loop ticks, and say how late the ticks were."""
    pauses: list[float] = []
    ticking = asyncio.create_task(tick(pauses))
    begun = time.perf_counter()
    await work
    took = time.perf_counter() - begun
    await asyncio.sleep(0.1)
    ticking.cancel()
    pauses.sort()
    late = "  ".join(f"{name} {pauses[int((len(pauses) - 1) * share)] * 1e3:.1f} ms" for name, share in SHARES.items())
    print(f"{f'gateway: {what}':<60} {took:8.2f} s  late by {late}", flush=True)


async def tick(pauses: list[float]) -> None:
    """How much longer than a millisecond each millisecond took."""
    while True:
        begun = time.perf_counter()
        await asyncio.sleep(TICK_SECONDS)
        pauses.append(time.perf_counter() - begun - TICK_SECONDS)


def keep(stores: SqliteStores, servers: int) -> None:
    """Everything active, as if it had been proposed and reviewed."""
    with stores.writing() as books:
        for (kind, name), content in world(servers).items():
            value = stated(content)
            digest, written = content_digest(kind, name, value), canonical_bytes(value)
            books.add_content(digest, written)
            verdict = judged_as_kept(kind, written)
            keep_verdicts(books, {} if verdict is None else {digest: verdict})
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


def change(stores: SqliteStores, servers: int) -> None:
    """Some servers get other words; that their pins are judged anew is part of a proposal."""
    with stores.writing() as books:
        for version in books.versions(Kind.SERVER, states={State.ACTIVE})[:servers]:
            value = msgspec.json.decode(books.contents([version.digest])[version.digest])
            value["definition"]["description"] = f"Changed {version.number} times."
            digest, written = content_digest(Kind.SERVER, version.name, value), canonical_bytes(value)
            books.add_content(digest, written)
            verdict = judged_as_kept(Kind.SERVER, written)
            keep_verdicts(books, {} if verdict is None else {digest: verdict})
            books.replace_version(msgspec.structs.replace(version, state=State.RETIRED), version)
            books.add_version(msgspec.structs.replace(version, number=version.number + 1, digest=digest))


def resident_megabytes() -> float:
    """Of this process, now."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


if __name__ == "__main__":
    main()
