"""The official conformance suite against its reference server, directly and through the gateway with authentication on.

Both runs use the same server process. The gateway is a deployment of its own in a temporary folder, with the development issuer and one
policy; the suite reaches it through a pass-through that adds the token, since it cannot send one itself.
"""

import argparse
import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2

from scripts.conformance_kit import CACHE, ROOT, Kit, SetUpFailed, kit
from scripts.conformance_relay import relay
from scripts.conformance_report import Difference, Run, differences, faults, read_known, read_requirements, read_run, table

REVISIONS = ("2025-11-25", "2026-07-28")
KNOWN = Path(__file__).parent / "conformance-differences.yaml"
SERVER = "everything"
ENDPOINT = f"/servers/{SERVER}/mcp"
READY_TIMEOUT_SECONDS = 30.0
SUITE_TIMEOUT_SECONDS = 240.0
COMMAND_TIMEOUT_SECONDS = 60.0
POLICY = """@id("conformance-everything")
permit (principal in Group::"local/conformance", action in Action::"read", resource in Server::"everything");
"""


class Broken(Exception):
    """The comparison cannot be made."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/conformance", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--revision", choices=REVISIONS, action="append", help="run one revision; may come again")
    parser.add_argument("--direct", action="store_true", help="run against the reference server alone")
    options = parser.parse_args()
    try:
        return asyncio.run(compare(options.revision or REVISIONS, direct_only=options.direct))
    except (Broken, SetUpFailed) as broken:
        print(broken, file=sys.stderr)
        return 1


async def compare(revisions: tuple[str, ...] | list[str], *, direct_only: bool) -> int:
    """Run everything and print it; 0 if nothing is lost that the list does not name."""
    parts = kit()
    results = CACHE / "conformance"
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(_reference_server(parts, results / "reference.log"))
        direct = {revision: await _suite(parts, revision, upstream, results / revision / "direct") for revision in revisions}
        if direct_only:
            through: Mapping[str, Run] = direct
        else:
            front = await stack.enter_async_context(_gateway(upstream, results / "gateway.log"))
            through = {revision: await _suite(parts, revision, front, results / revision / "gateway") for revision in revisions}
    return max([_report(parts, revision, direct[revision], through[revision], direct_only=direct_only) for revision in revisions])


def _report(parts: Kit, revision: str, direct: Run, through: Run, *, direct_only: bool) -> int:
    requirements = read_requirements(parts.suite / "requirements" / f"{revision}.yaml")
    known: frozenset[Difference] = frozenset() if direct_only else read_known(KNOWN, revision)
    print(f"\n{revision}{' (the reference server twice)' if direct_only else ''}")
    for line in table(requirements, direct, through, known):
        print(line)
    found = list(faults(requirements, direct, through, known))
    for sentence in found:
        print(f"  ! {sentence}")
    if known and not found:
        print(f"{len({each.scenario for each in differences(direct, through)})} scenarios differ, each in the list of known differences.")
    return 1 if found else 0


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
    await _finished(command, dict(os.environ), SUITE_TIMEOUT_SECONDS, allowed=(0, 1))
    run = read_run(folder)
    if not run:
        raise Broken(f"The suite wrote no results for {revision} at {url}.")
    return run


@asynccontextmanager
async def _reference_server(parts: Kit, log: Path) -> AsyncIterator[str]:
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(parts.reference)}
    command = [sys.executable, "-m", "mcp_everything_server", "--port", str(port), "--log-level", "WARNING"]
    async with _running(command, environment, log) as process:
        await _until(lambda: _accepts(port), process, log)
        yield f"http://127.0.0.1:{port}/mcp"


@asynccontextmanager
async def _gateway(upstream: str, log: Path) -> AsyncIterator[str]:
    """The gateway in front of the reference server, and the pass-through in front of the gateway; yields the URL for the suite."""
    port = free_port()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="customhouse-conformance-")))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CUSTOMHOUSE_")}
        token: list[str] = []
        front = f"127.0.0.1:{await stack.enter_async_context(relay(port, lambda: token[0]))}"
        _deployment(folder, port, front, upstream, await _tools_of(upstream))
        await _customhouse(["servers", "pin", SERVER], folder, environment)
        token.append(
            await _customhouse(["token", "--as", "conformance", "--group", "conformance", "--endpoint", ENDPOINT], folder, environment)
        )
        command = [sys.executable, "-m", "customhouse", "serve", "--dir", str(folder)]
        process = await stack.enter_async_context(_running(command, environment, log))
        await _until(lambda: _is_ready(port), process, log)
        yield f"http://{front}{ENDPOINT}"


def _deployment(folder: Path, port: int, front: str, upstream: str, tools: list[str]) -> None:
    """Write the deployment: JSON is YAML too, so the documents need no writer of their own."""
    settings = {
        "public_url": f"http://127.0.0.1:{port}",
        "listen": {"host": "127.0.0.1", "port": port, "allowed_hosts": [front], "allowed_origins": [f"http://{front}"]},
        "identity": {"development_issuer": {"enabled": True, "tenant": "local"}},
    }
    server = {
        "owner": "conformance",
        "contact": "conformance@example.org",
        "tenant": "local",
        "url": upstream,
        "tools": {tool: {"class": "read"} for tool in tools},
    }
    for name in ("servers", "policies"):
        (folder / name).mkdir()
    (folder / "customhouse.yaml").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    (folder / "servers" / f"{SERVER}.yaml").write_text(json.dumps(server, indent=2) + "\n", encoding="utf-8")
    (folder / "policies" / "conformance.cedar").write_text(POLICY, encoding="utf-8")


async def _tools_of(url: str) -> list[str]:
    """The names of the tools that the reference server lists."""
    revision, prefix = "2026-07-28", "io.modelcontextprotocol/"
    meta = {f"{prefix}protocolVersion": revision, f"{prefix}clientCapabilities": {}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": revision, "Mcp-Method": "tools/list"}
    async with httpx2.AsyncClient(trust_env=False) as client:
        response = await client.post(url, json=message, headers=headers)
    return [tool["name"] for tool in response.json()["result"]["tools"]]


async def _customhouse(words: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    return await _finished([sys.executable, "-m", "customhouse", *words, "--dir", str(folder)], environment, COMMAND_TIMEOUT_SECONDS)


async def _finished(command: list[str], environment: Mapping[str, str], timeout_seconds: float, allowed: tuple[int, ...] = (0,)) -> str:
    """What a command printed. Raises `Broken` where it takes too long or ends with another code."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        async with asyncio.timeout(timeout_seconds):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise Broken(f"{' '.join(command)} did not end within {timeout_seconds:g} s.") from None
    if process.returncode not in allowed:
        raise Broken(f"{' '.join(command)} ended with {process.returncode}:\n{output.decode()}{errors.decode()}")
    return output.decode().strip()


@asynccontextmanager
async def _running(command: list[str], environment: Mapping[str, str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process for the length of the block: ended politely, then by force."""
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(READY_TIMEOUT_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _until(answers: Callable[[], Awaitable[bool]], process: asyncio.subprocess.Process, log: Path) -> None:
    """Wait until a server answers. Raises `Broken` with its log where it does not."""
    try:
        async with asyncio.timeout(READY_TIMEOUT_SECONDS):
            while not await answers():
                if process.returncode is not None:
                    raise TimeoutError
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise Broken(f"A server did not become ready:\n{_end_of(log)}") from None


def _end_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-4000:]


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def _is_ready(port: int) -> bool:
    try:
        async with httpx2.AsyncClient(trust_env=False) as client:
            return (await client.get(f"http://127.0.0.1:{port}/readyz")).is_success
    except httpx2.TransportError:
        return False


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
