"""The official conformance suite against reference servers of each era, directly and through the gateway with authentication on.

A server that speaks one era is asked directly in its own revision alone; what the gateway makes of it for the other is held against the
reference server that speaks both. Each gateway is a deployment of its own, with the development issuer and one policy; the suite reaches it
through a pass-through that adds the token, since it cannot send one itself.
"""

import argparse
import asyncio
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from mcp.client import Client

from scripts.conformance_kit import CACHE, LOCKS, Kit, SetUpFailed, kit
from scripts.conformance_relay import relay
from scripts.conformance_report import (
    Requirements,
    Run,
    broken,
    differences,
    faults,
    proposed,
    read_known,
    read_requirements,
    read_run,
    score,
    squares,
    table,
)
from scripts.deployment import deploy
from scripts.processes import Broken, accepts, finished, free_port, running, until

REVISIONS = ("2025-11-25", "2026-07-28")
KNOWN = Path(__file__).parent / "conformance-differences.yaml"
SERVER = "everything"
SUITE_TIMEOUT_SECONDS = 240.0

Square = tuple[str, str]
"""The name of a reference server, and a revision."""


@dataclass(frozen=True)
class Reference:
    """A reference server."""

    name: str
    title: str
    revisions: tuple[str, ...]
    """What it speaks, as far as the suite asks."""
    mode: str
    """How the official client is to connect to it."""

    def known_as(self, revision: str) -> str:
        """The key of its known differences."""
        return revision if self.revisions == REVISIONS else f"{revision} at {self.name}"


BOTH = Reference("both", "SDK 2.3.0, both eras", REVISIONS, "legacy")
REFERENCES = (
    BOTH,
    Reference("legacy", "SDK 1.30.0, legacy only", REVISIONS[:1], "legacy"),
    Reference("modern", "SDK 2.3.0, modern only", REVISIONS[1:], REVISIONS[1]),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/conformance", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--revision", choices=REVISIONS, action="append", help="one revision only; may come again")
    parser.add_argument("--server", choices=[each.name for each in REFERENCES], action="append", help="one server only; may come again")
    parser.add_argument("--direct", action="store_true", help="the reference servers alone, without the gateway")
    parser.add_argument("--propose", action="store_true", help="print the list of known differences that would hold now")
    options = parser.parse_args()
    references = [each for each in REFERENCES if each.name in (options.server or [each.name])]
    try:
        return asyncio.run(compare(options.revision or REVISIONS, references, direct_only=options.direct, propose=options.propose))
    except (Broken, SetUpFailed) as impossible:
        print(impossible, file=sys.stderr)
        return 1


async def compare(revisions: Sequence[str], references: Sequence[Reference], *, direct_only: bool, propose: bool) -> int:
    """Run everything and print it; 0 if nothing is lost that the list does not name."""
    parts, results = kit(), CACHE / "conformance"
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    direct: dict[Square, Run] = {}
    through: dict[Square, Run] = {}
    for reference in _with_both(references):
        async with AsyncExitStack() as stack:
            folder = results / reference.name
            folder.mkdir()
            upstream = await stack.enter_async_context(_served(parts, reference, folder / "reference.log"))
            for revision in revisions:
                if revision in reference.revisions:
                    direct[reference.name, revision] = await _suite(parts, revision, upstream, folder / revision / "direct")
            if direct_only or reference not in references:
                continue
            front = await stack.enter_async_context(_gateway(upstream, reference, folder / "gateway.log"))
            for revision in revisions:
                through[reference.name, revision] = await _suite(parts, revision, front, folder / revision / "gateway")
    return _report(parts, revisions, references, direct, through, propose=propose)


def _with_both(references: Sequence[Reference]) -> list[Reference]:
    """The servers to start: the one that speaks both eras is what the others are held against."""
    return [BOTH, *(each for each in references if each is not BOTH)]


def _report(
    parts: Kit,
    revisions: Sequence[str],
    references: Sequence[Reference],
    direct: Mapping[Square, Run],
    through: Mapping[Square, Run],
    *,
    propose: bool,
) -> int:
    """Print a table for each server and revision, and all scores at the end."""
    asked = {revision: read_requirements(parts.suite / "requirements" / f"{revision}.yaml") for revision in revisions}
    found: list[str] = []
    for reference, revision in itertools.product(references, revisions):
        square = reference.name, revision
        if square in through:
            runs, known = (
                (direct.get(square) or direct[BOTH.name, revision], through[square]),
                read_known(KNOWN, reference.known_as(revision)),
            )
            print(f"\n{reference.title}: {revision}")
            print("\n".join(table(asked[revision], *runs, known)))
            sentences = list(faults(asked[revision], *runs, known))
            print("".join(f"  ! {sentence}\n" for sentence in sentences), end="")
            if propose:
                print("\n".join(proposed(KNOWN, reference.known_as(revision), differences(*runs))))
            found += sentences
        elif square in direct:
            found += broken(asked[revision], direct[square])
    print()
    rows = {
        **{f"{each.title}, directly": _scores(asked, direct, each) for each in references},
        **{f"{each.title}, through the gateway": _scores(asked, through, each) for each in references if through},
    }
    print("\n".join(squares(rows, revisions)))
    return 1 if found else 0


def _scores(asked: Mapping[str, Requirements], runs: Mapping[Square, Run], reference: Reference) -> dict[str, str]:
    return {revision: score(asked[revision], runs[reference.name, revision]) for revision in asked if (reference.name, revision) in runs}


async def _suite(parts: Kit, revision: str, url: str, folder: Path) -> Run:
    """One run of the suite; it exits with 1 where a check fails, which the report judges."""
    command = [
        str(parts.node),
        str(parts.suite / "dist" / "index.js"),
        "server",
        "--url",
        url,
        "--requirements",
        revision,
        "-o",
        str(folder),
    ]
    await finished(command, dict(os.environ), SUITE_TIMEOUT_SECONDS, allowed=(0, 1))
    run = read_run(folder)
    if not run:
        raise Broken(f"The suite wrote no results for {revision} at {url}.")
    return run


@asynccontextmanager
async def _served(parts: Kit, reference: Reference, log: Path) -> AsyncIterator[str]:
    """A reference server, running; its URL."""
    port = free_port()
    commands = {
        "both": (sys.executable, "-m", "mcp_everything_server", "--port", str(port), "--log-level", "WARNING"),
        "legacy": (str(parts.sdk1), str(LOCKS / "legacy_server.py"), str(port)),
        "modern": (sys.executable, str(LOCKS / "modern_server.py"), str(port)),
    }
    package = parts.reference1 if reference.name == "legacy" else parts.reference
    async with running(commands[reference.name], {**os.environ, "PYTHONPATH": str(package)}, log) as process:
        await until(lambda: accepts(port), process, log)
        yield f"http://127.0.0.1:{port}/mcp"


@asynccontextmanager
async def _gateway(upstream: str, reference: Reference, log: Path) -> AsyncIterator[str]:
    """The gateway in front of a reference server, and the pass-through in front of the gateway; yields the URL for the suite."""
    port = free_port()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="customhouse-conformance-")))
        token: list[str] = []
        front = f"127.0.0.1:{await stack.enter_async_context(relay(port, lambda: token[0]))}"
        async with Client(upstream, mode=reference.mode) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
        deployed = deploy(folder, SERVER, {"url": upstream}, tools, front=front, port=port)
        await deployed.customhouse("servers", "pin", SERVER)
        token.append(await deployed.token())
        await stack.enter_async_context(deployed.serving(log))
        yield f"http://{front}{deployed.path}"


if __name__ == "__main__":
    sys.exit(main())
