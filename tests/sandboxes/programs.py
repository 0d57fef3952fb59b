"""Small servers for tests: a program in a tree of its own, started by a real adapter, and what became of it."""

import asyncio
import json
import os
import select
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from customhouse.adapters.sandboxes.trees import digest_of_tree
from customhouse.core.launch import FIRST_ENVIRONMENT, Launch, Mount
from customhouse.core.manifest import ProcessLimits
from customhouse.ports.hosts import Child, Sandboxes

INTERPRETER = os.path.realpath(sys.executable)
"""The interpreter of the tests, wherever it is: nothing of a virtual environment."""
INTERPRETER_FILES = Mount(sys.base_prefix)

ENDS = 20.0
"""Seconds in which something that a test waits for happens, or it failed."""


def launch(
    directory: Path,
    program: str,
    *arguments: str,
    environment: dict[str, str] | None = None,
    secrets: tuple[str, ...] = (),
    mounts: Sequence[Mount] = (),
    limits: ProcessLimits = ProcessLimits(),  # noqa: B008 - frozen
    max_line_bytes: int = 65_536,
    sandboxed: bool = True,
) -> Launch:
    """A launch of a Python program, installed in `directory`/tree."""
    tree = directory / "tree"
    tree.mkdir(exist_ok=True)
    (tree / "program.py").write_text(program)
    return Launch(
        server="notes",
        installed=str(tree),
        digest=digest_of_tree(str(tree)),
        argv=(INTERPRETER, "-I", "program.py", *arguments),
        environment={**FIRST_ENVIRONMENT, **(environment or {})},
        secrets=secrets,
        mounts=(INTERPRETER_FILES, *mounts),
        limits=limits,
        max_line_bytes=max_line_bytes,
        sandboxed=sandboxed,
    )


async def told(sandboxes: Sandboxes, wanted: Launch, *, status: int = 0) -> Any:
    """What a program says on one line of JSON before it ends with `status`."""
    child = await sandboxes.start(wanted)
    try:
        async with asyncio.timeout(ENDS):
            lines = [line async for line in child.lines()]
            ended = await asyncio.shield(child.ended)
    finally:
        await child.end(0.1)
    assert ended == status, f"{ended}: {child.stderr}"
    return json.loads(lines[-1]) if lines else None


async def next_line(child: Child) -> bytes:
    async with asyncio.timeout(ENDS):
        async for line in child.lines():
            return line
    raise AssertionError(f"the program said nothing: {child.stderr}")


def processes_with(token: str) -> list[int]:
    """Process ids of this machine, those in sandboxes among them, whose command line holds a text; bubblewrap's own do not count."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if token.encode() in b" ".join(words) and not words[0].endswith(b"bwrap"):
            found.append(int(directory.name))
    return [pid for pid in found if pid != os.getpid() and not _zombie(pid)]


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
    except OSError:
        return True


def gone(pids: Sequence[int]) -> bool:
    """Wait until these processes have ended; false: one of them has not."""
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            readable, _, _ = select.select([descriptor], [], [], ENDS)
        finally:
            os.close(descriptor)
        if not readable:
            return False
    return True
