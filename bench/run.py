"""Measure a governed call beside its peers: `python -m bench.run [--quick]`.

One run, interleaved rounds, the generator and the upstream on one core and the measured process on the other. The figure is CPU time of
the measured process per call (user and system, all threads, from /proc), as a ratio to nginx
`proxy_pass` in the same run: absolute times move with the machine, ratios hardly.
"""

import argparse
import asyncio
import contextlib
import os
import platform
import pstats
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from bench import disk, load, memory, paths, turn
from bench.report import disk_line, memory_table, table, write
from bench.upstream import SIZES

LOAD_CORE, MEASURED_CORE = 0, 1
TOOLS = {name: "write" if name == "write" else "read" for name in SIZES}

BOUNDS = {"read": 10.0, "write": 15.0}
"""What `--quick` allows, times nginx. Generous: it is to catch a path that became twice as long, not noise."""

MAX_INSTRUCTIONS = 450_000
"""What a read may take, counted by valgrind with the in-memory transports of `bench.turn`. It counts the same to a thousandth whatever else
the machine does; other versions of Python and of the libraries differ by a tenth."""


@dataclass(frozen=True)
class Case:
    """One row of the table: a way, what is asked on it, and how many at once."""

    name: str
    way: str
    tool: str
    connections: int = 32
    modern: bool = True
    method: str = "tools/call"
    over: str = "nginx, 500 B"
    """The row that the ratio is to."""


CASES = (
    Case("nginx, 500 B", "nginx", "read"),
    Case("nginx with limit_req and log", "nginx limited", "read"),
    Case("Envoy, plain route", "envoy", "read"),
    Case("Envoy, mcp_router", "envoy router", "read", modern=False),
    Case("FastMCP proxy, TLS context shared", "fastmcp shared", "read", 4, modern=False),
    Case("FastMCP proxy, as documented", "fastmcp", "read", 4, modern=False),
    Case("direct, no gateway", "direct", "read"),
    Case("Customhouse, read", "customhouse", "read"),
    Case("Customhouse, read, legacy era", "customhouse", "read", modern=False),
    Case("Customhouse, write with durable intent", "customhouse", "write"),
    Case("Customhouse, legacy client at a modern server", "customhouse at modern", "read", modern=False),
    Case("Customhouse, modern client at a legacy server", "customhouse at legacy", "read"),
    Case("Customhouse, modern client at a program on stdio", "customhouse at stdio", "read"),
    Case("nginx, 1 at a time", "nginx", "read", 1, over="nginx, 1 at a time"),
    Case("Customhouse, read, 1 at a time", "customhouse", "read", 1, over="nginx, 1 at a time"),
    Case("Customhouse, write, 1 at a time", "customhouse", "write", 1, over="nginx, 1 at a time"),
    Case("Customhouse, read, 256 at once", "customhouse", "read", 256),
    Case("nginx, 64 KB", "nginx", "read_64k", over="nginx, 64 KB"),
    Case("Customhouse, 64 KB", "customhouse", "read_64k", over="nginx, 64 KB"),
    Case("nginx, 1 MB", "nginx", "read_1m", 8, over="nginx, 1 MB"),
    Case("Customhouse, 1 MB", "customhouse", "read_1m", 8, over="nginx, 1 MB"),
    Case("nginx, SSE of 20 events", "nginx streaming", "read_sse", over="nginx, SSE of 20 events"),
    Case("Customhouse, SSE of 20 events", "customhouse", "read_sse", over="nginx, SSE of 20 events"),
    Case("nginx, SSE of 20 events, 1 ms apart", "nginx streaming", "read_sse_slowly", over="nginx, SSE of 20 events, 1 ms apart"),
    Case("Customhouse, SSE of 20 events, 1 ms apart", "customhouse", "read_sse_slowly", over="nginx, SSE of 20 events, 1 ms apart"),
    Case("nginx, file of 50 tools", "nginx file 50", "", method="tools/list", over="nginx, file of 50 tools"),
    Case("Customhouse, tools/list of 50", "customhouse 50", "", method="tools/list", over="nginx, file of 50 tools"),
    Case("nginx, file of 500 tools", "nginx file 500", "", 8, method="tools/list", over="nginx, file of 500 tools"),
    Case("Customhouse, tools/list of 500", "customhouse 500", "", 8, method="tools/list", over="nginx, file of 500 tools"),
)
QUICK = {"nginx, 500 B", "Customhouse, read", "Customhouse, write with durable intent"}


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description="Measure a governed call beside its peers.")
    parser.add_argument("--quick", action="store_true", help="three rows in under two minutes; exit code 1 above a bound")
    parser.add_argument("--only", default="", help="rows whose name contains this, and what they are compared with")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each row in each round")
    parser.add_argument("--write", action="store_true", help="write the table into the manual and the raw rows beside it")
    parser.add_argument(
        "--profile", default="", choices=("", "read", "write"), help="where the time of such a call goes, instead of the table"
    )
    parser.add_argument("--flame", default="", metavar="FILE.svg", help="a flame graph of the gateway under a load of reads")
    parser.add_argument("--instructions", action="store_true", help="instructions per call, counted by valgrind, which nothing disturbs")
    options = parser.parse_args()
    cases = [case for case in CASES if wanted(case, options.quick, options.only)]
    rounds, seconds = (3, 3.0) if options.quick else (options.rounds, options.seconds)
    os.sched_setaffinity(0, {LOAD_CORE})
    if options.profile:
        uvloop.run(profile(options.profile))
        return
    if options.flame:
        uvloop.run(flame(options.flame))
        return
    if options.instructions:
        sys.exit(judge_instructions())
    rows = uvloop.run(measure(cases, rounds, seconds))
    print(table(rows, cases))
    if not options.quick and not options.only:
        held, synced = uvloop.run(memory.measure()), disk.measure()
        print("\n" + memory_table(held) + "\n\n" + disk_line(synced))
        if options.write:
            write(rows, cases, held, synced, machine())
    if options.quick:
        failed = judge(rows)
        if shutil.which("valgrind") and shutil.which("callgrind_control"):
            failed |= judge_instructions()
        sys.exit(failed)


async def profile(tool: str) -> None:
    """Print where the time of a call goes, per call. The profiler itself doubles it; the shares are what counts."""
    with tempfile.TemporaryDirectory() as folder:
        figures = str(Path(folder) / "figures")
        with paths.upstream(LOAD_CORE) as port, paths.customhouse(Path(folder) / "c", port, MEASURED_CORE, TOOLS, figures) as way:
            wanted_request = load.template(f"127.0.0.1:{way.port}", way.path, way.token, "tools/call", tool, modern=True)
            seen = await load.run(way.port, wanted_request, connections=32, seconds=5.0)
        print(f"{seen.calls} calls, {len(seen.errors)} errors")
        pstats.Stats(figures).sort_stats("tottime").print_stats("customhouse|built-in|method", 40)


async def flame(file: str) -> None:
    """Draw where the time of a read goes. Sampled from outside, so that the figure is that of the running gateway."""
    with tempfile.TemporaryDirectory() as folder:
        with paths.upstream(LOAD_CORE) as port, paths.customhouse(Path(folder) / "c", port, MEASURED_CORE, TOOLS) as way:
            asked = load.template(f"127.0.0.1:{way.port}", way.path, way.token, "tools/call", "read", modern=True)
            await load.run(way.port, asked, connections=32, seconds=1.0)
            words = ("record", "--rate", "400", "--duration", "10", "--nonblocking", "--output", file, "--pid", str(way.pid))
            spy = await asyncio.create_subprocess_exec("py-spy", *words, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE)
            seen = await load.run(way.port, asked, connections=32, seconds=11.0)
            _, said = await asyncio.wait_for(spy.communicate(), 30)
        if spy.returncode:
            sys.exit(f"py-spy: {said.decode()}")
        print(f"{seen.calls} calls, {len(seen.errors)} errors: {file}")


def judge_instructions() -> int:
    """1 if a call takes more instructions than it may."""
    counted = turn.instructions(400)
    verdict = "within" if counted <= MAX_INSTRUCTIONS else "ABOVE"
    print(f"read: {counted:,} instructions of the gateway's own process, {verdict} the bound of {MAX_INSTRUCTIONS:,}")
    return int(counted > MAX_INSTRUCTIONS)


def wanted(case: Case, quick: bool, only: str) -> bool:
    """Whether a row is measured."""
    if quick:
        return case.name in QUICK
    overs = {other.over for other in CASES if only in other.name}
    return only in case.name or case.name in overs


async def measure(cases: Iterable[Case], rounds: int, seconds: float) -> list[dict[str, Any]]:
    """All rows, round by round, so that a change of the machine's mood meets all of them."""
    cases, rows = list(cases), []
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        ways = {way: start(way, Path(folder), stack) for way in dict.fromkeys(case.way for case in cases)}
        for turn in range(-1, rounds):  # the first round only warms up
            for case in cases:
                row = await once(case, ways[case.way], seconds if turn >= 0 else 1.0)
                if turn >= 0:
                    rows.append({"round": turn, **row})
    return rows


def start(way: str, folder: Path, stack: contextlib.ExitStack) -> paths.Way:
    """The processes of one way."""
    last = way.rsplit(maxsplit=1)[-1]
    many = int(last) if last.isdecimal() else 0
    port = stack.enter_context(paths.upstream(LOAD_CORE, many, last if last in ("legacy", "modern") else "both"))
    directory = folder / way.replace(" ", "-")
    if way == "direct":
        return paths.Way(port, "/mcp", "x" * 800, os.getpid())
    if way.startswith("envoy"):
        return stack.enter_context(paths.envoy(directory, port, MEASURED_CORE, router="router" in way))
    if way.startswith("fastmcp"):
        return stack.enter_context(paths.fastmcp(directory, port, MEASURED_CORE, shared="shared" in way))
    if way.startswith("nginx"):
        return stack.enter_context(
            paths.nginx(directory, port, MEASURED_CORE, limited="limited" in way, streaming="streaming" in way, tools=many)
        )
    tools = TOOLS | {f"tool_{number:03}": "read" for number in range(many)}
    if last == "stdio":
        return stack.enter_context(paths.customhouse(directory, 0, MEASURED_CORE, {"read": "read", "write": "write"}, stdio=True))
    return stack.enter_context(paths.customhouse(directory, port, MEASURED_CORE, tools))


async def once(case: Case, way: paths.Way, seconds: float) -> dict[str, Any]:
    """One row of one round."""
    host = f"127.0.0.1:{way.port}"
    wanted_request = load.template(
        host, way.path, way.token, case.method, case.tool, modern=case.modern, extra=way.extra_headers, checks_id=way.checks_id
    )
    before = cpu_seconds(way.pid)
    seen = await load.run(way.port, wanted_request, connections=case.connections, seconds=seconds)
    used = cpu_seconds(way.pid) - before
    latencies = sorted(seen.latencies) or [0.0]
    return {
        "name": case.name,
        "calls": seen.calls,
        "errors": len(seen.errors),
        "first_error": seen.errors[0] if seen.errors else "",
        "cpu_us": used / max(1, seen.calls) * 1e6,
        "per_second": seen.calls / seconds,
        "p50_ms": latencies[len(latencies) // 2] * 1e3,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1e3,
        "resident_mb": resident_mb(way.pid),
    }


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and all its threads; scheduler ticks, 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Resident memory in MB."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]) / 1024


def judge(rows: list[dict[str, Any]]) -> int:
    """1 if a row is above its bound or had errors."""
    floor = statistics.median(row["cpu_us"] for row in rows if row["name"] == "nginx, 500 B")
    failed = 0
    for kind, name in (("read", "Customhouse, read"), ("write", "Customhouse, write with durable intent")):
        ratio = statistics.median(row["cpu_us"] for row in rows if row["name"] == name) / floor
        verdict = "within" if ratio <= BOUNDS[kind] else "ABOVE"
        print(f"{kind}: {ratio:.1f} x nginx, {verdict} the bound of {BOUNDS[kind]:.0f}")
        failed |= ratio > BOUNDS[kind]
    errors = sum(row["errors"] for row in rows)
    if errors:
        print(f"{errors} errors")
    return int(bool(failed or errors))


def machine() -> dict[str, str]:
    """What was measured on what."""
    kernel = ".".join(platform.release().split(".")[:2])
    nginx = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=False).stderr.strip()  # its version, on standard error
    return {"python": platform.python_version(), "kernel": kernel, "cores": str(os.cpu_count()), "nginx": nginx}


if __name__ == "__main__":
    main()
