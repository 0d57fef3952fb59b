"""Real clients by real servers, directly and through the gateway: what of the protocol works for each pair.

Every server runs once, with a gateway of its own in front; every client asks it for each operation that it offers. What fails is printed
with its reason, and fails the command unless it stands in the list of known differences.
"""

import argparse
import asyncio
import itertools
import json
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.conformance_kit import SetUpFailed
from scripts.deployment import deploy
from scripts.grid_kit import Client, Kit, Package, Upstream, clients, furnish, kit, plan, root_of, upstreams
from scripts.grid_report import Cell, Outcome, faults, judged, proposed, read_known, tables, write
from scripts.processes import Broken, accepts, finished, free_port, running, until

OPERATION_SECONDS = 6.0
CELL_SECONDS = 90.0
AT_ONCE = 2
"""Drivers that run at the same time: more make each slower on a small machine, and then they run into their own time limits."""

_keys = itertools.count(1)


@dataclass(frozen=True)
class Target:
    """Where a driver connects: a URL, or a command."""

    transport: str
    url: str = ""
    token: str = ""
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """What a run of the grid holds fixed."""

    parts: Kit
    folder: Path
    """For logs and deployments."""
    shared: Path
    """What the servers over stdio read, apart from the deployments, which no server may see."""
    slots: asyncio.Semaphore


def run_in(parts: Kit, folder: Path) -> Run:
    """A run with these parts in an empty folder."""
    shared = folder / "shared"
    furnish(shared)
    return Run(parts, folder, shared, asyncio.Semaphore(AT_ONCE))


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/grid", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--direct", action="store_true", help="without the gateway: what each pair can do at all")
    parser.add_argument("--write", action="store_true", help="write the grid into the manual")
    parser.add_argument("--propose", action="store_true", help="print the list of known differences that would hold now")
    parser.add_argument(
        "--only", metavar="CLIENT,SERVER", help="one client, one server or one pair, by name; empty means all, as in `,sdk2`"
    )
    options = parser.parse_args()
    if options.write and (options.direct or options.only):
        parser.error("The manual holds the whole grid: --write goes with neither --direct nor --only.")
    try:
        return asyncio.run(grid(options.only or "", direct_only=options.direct, to_the_manual=options.write, propose=options.propose))
    except (Broken, SetUpFailed) as broken:
        print(broken, file=sys.stderr)
        return 1


async def grid(only: str, *, direct_only: bool, to_the_manual: bool, propose: bool) -> int:
    """Run the grid and print it; 0 if nothing fails through the gateway that the list does not name."""
    began = time.monotonic()
    parts = kit()
    client_name, _, upstream_name = only.partition(",")
    with tempfile.TemporaryDirectory(prefix="customhouse-grid-") as temporary:
        run = run_in(parts, Path(temporary))
        asking = _chosen(clients(parts), client_name)
        asked = _chosen(upstreams(parts, run.shared), upstream_name)
        cells = [cell for upstream in asked for cell in await against(run, upstream, asking, direct_only=direct_only)]
    known = [] if direct_only else read_known()
    printed = tables(cells, asking, asked, known)
    print(printed)
    print(f"\n{time.monotonic() - began:.0f} s")
    if to_the_manual:
        write(printed)
    if propose:
        print("\n".join(proposed(cells, known)))
    found = [] if direct_only else list(faults(cells, known))
    for sentence in found:
        print(f"  ! {sentence}")
    return 1 if found else 0


def _chosen(among: Sequence[Any], name: str) -> list[Any]:
    chosen = [each for each in among if name in {"", each.name}]
    if not chosen:
        raise Broken(f"There is no {name}; there are {', '.join(each.name for each in among)}.")
    return chosen


async def against(run: Run, upstream: Upstream, asking: Sequence[Client], *, direct_only: bool = False) -> list[Cell]:
    """All clients against one server."""
    async with AsyncExitStack() as stack:
        direct = await stack.enter_async_context(_served(run, upstream))
        alone = await _all(run, upstream, asking, direct)
        if direct_only:
            return list(_cells(upstream, asking, [{}] * len(asking), alone))
        try:
            front = await stack.enter_async_context(_gateway(run, upstream, direct))
        except Broken as broken:
            return list(_cells(upstream, asking, alone, [_nothing(without, str(broken)) for without in alone]))
        return list(_cells(upstream, asking, alone, await _all(run, upstream, asking, front)))


def _cells(
    upstream: Upstream, asking: Sequence[Client], alone: Sequence[dict[str, Outcome]], through: Sequence[dict[str, Outcome]]
) -> Iterator[Cell]:
    for client, without, with_it in zip(asking, alone, through, strict=True):
        for operation, outcome in with_it.items():
            yield Cell(client.name, upstream.name, operation, without.get(operation), outcome)


async def _all(run: Run, upstream: Upstream, asking: Sequence[Client], target: Target) -> list[dict[str, Outcome]]:
    return await asyncio.gather(*(_drive(run, upstream, client, target) for client in asking))


async def _drive(run: Run, upstream: Upstream, client: Client, target: Target) -> dict[str, Outcome]:
    """One client against one server, every operation of the plan."""
    wishes = plan(upstream, run.shared, f"{client.name}-{next(_keys)}")
    job = {
        "transport": target.transport,
        "url": target.url,
        "token": target.token,
        "command": target.command,
        "mode": client.mode,
        "root": root_of(run.shared).as_uri(),
        "plan": wishes,
        "seconds": OPERATION_SECONDS,
    }
    async with run.slots:
        try:
            printed = await finished(client.command, run.parts.environment, CELL_SECONDS, given=json.dumps(job).encode())
            seen = json.loads(printed)
        except (Broken, json.JSONDecodeError) as broken:
            return {operation: Outcome("failed", _last_line(str(broken))) for operation in wishes}
    return {operation: judged(wish, seen[operation]) for operation, wish in wishes.items()}


def _nothing(alone: dict[str, Outcome], reason: str) -> dict[str, Outcome]:
    """Every operation that the client has failed for one reason."""
    failed = Outcome("failed", _last_line(reason))
    return {operation: outcome if outcome.kind == "no client" else failed for operation, outcome in alone.items()}


def _last_line(text: str) -> str:
    return " ".join(text.strip().split("\n")[-1].split())[:300]


@asynccontextmanager
async def _served(run: Run, upstream: Upstream) -> AsyncIterator[Target]:
    """The server, running where it is one that listens."""
    if upstream.transport == "stdio":
        yield Target("stdio", command=upstream.command)
        return
    port, log = free_port(), run.folder / f"{upstream.name}.log"
    command = [word.replace("{port}", str(port)) for word in upstream.command]
    async with running(command, {**run.parts.environment, "PORT": str(port)}, log) as process:
        await until(lambda: accepts(port), process, log)
        yield Target(upstream.transport, url=f"http://127.0.0.1:{port}{upstream.path}")


@asynccontextmanager
async def _gateway(run: Run, upstream: Upstream, direct: Target) -> AsyncIterator[Target]:
    """The gateway in front of the server."""
    folder = run.folder / f"deployment-{upstream.name}"
    way_in = await _stdio(run, upstream.package) if upstream.package else {"url": direct.url}
    deployed = deploy(folder, upstream.name, way_in, await _tools_of(run, upstream, direct))
    await deployed.customhouse("servers", "pin", upstream.name)
    token = await deployed.token()
    async with deployed.serving(run.folder / f"gateway-{upstream.name}.log") as url:
        yield Target("http", url=url, token=token)


async def _stdio(run: Run, package: Package) -> dict[str, Any]:
    """The part of a definition that says how the gateway starts a server."""
    digest = [sys.executable, "-m", "customhouse", "servers", "digest", "--tree", str(package.installed)]
    printed = await finished(digest, run.parts.environment, CELL_SECONDS)
    (found,) = re.findall(r"^digest: (\S+)$", printed, re.MULTILINE)
    return {
        "stdio": {
            "package": {"ecosystem": package.ecosystem, "name": package.name, "version": package.version, "digest": found},
            "installed": str(package.installed),
            "argv": package.argv,
            "environment": package.environment,
            "read_only_paths": package.read_only_paths,
        }
    }


async def _tools_of(run: Run, upstream: Upstream, direct: Target) -> list[str]:
    """The names of the tools that the server lists for a client which can do everything."""
    (client,) = (each for each in clients(run.parts) if each.name == "mcp2-legacy")
    job = {
        "transport": direct.transport,
        "url": direct.url,
        "token": "",
        "command": direct.command,
        "mode": client.mode,
        "root": root_of(run.shared).as_uri(),
        "plan": {"list": {}},
        "seconds": OPERATION_SECONDS,
    }
    seen = json.loads(await finished(client.command, run.parts.environment, CELL_SECONDS, given=json.dumps(job).encode()))
    if "said" not in seen["list"]:
        raise Broken(f"{upstream.title} lists no tools: {seen['list']['error']}")
    return str(seen["list"]["said"]).split()


if __name__ == "__main__":
    sys.exit(main())
