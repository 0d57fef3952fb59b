"""The clients and servers of the grid: their packages, set up once in the cache, and the commands that start them."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from scripts import grid_plans
from scripts.conformance_kit import ROOT, Tools, npm_packages, python, set_up, tools
from scripts.grid_plans import Plan

HERE = ROOT / "tests" / "grid"
MODERN = "2026-07-28"

ANY_OWNER = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
"""git refuses a repository of somebody else unless it is told otherwise, and a sandboxed server runs as nobody."""

Transport = Literal["http", "sse", "stdio"]


@dataclass(frozen=True)
class Client:
    """A client as a driver that reads a job and prints what it saw."""

    name: str
    title: str
    command: tuple[str, ...]
    mode: str


@dataclass(frozen=True)
class Package:
    """What a stdio server is installed from, as its definition at the gateway names it."""

    ecosystem: Literal["pypi", "npm"]
    name: str
    version: str
    installed: Path
    argv: tuple[str, ...]
    read_only_paths: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Upstream:
    """A server of the grid."""

    name: str
    title: str
    transport: Transport
    command: tuple[str, ...]
    """What starts it; `{port}` stands for its port."""
    path: str = ""
    """Of its endpoint over HTTP."""
    package: Package | None = None
    """For a server over stdio, how the gateway is to start it."""


@dataclass(frozen=True)
class Kit:
    """Where the parts are."""

    node: Tools
    sdk1: Path
    fastmcp: Path
    clients: Path
    """npm packages of the clients."""
    servers: Path
    """npm packages of the servers."""
    pypi_servers: Path
    """The environment of the servers from PyPI."""

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every process of the grid."""
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH" and not name.startswith("CUSTOMHOUSE_")}
        return {**inherited, "PATH": self.node.environment["PATH"], "GRID_PACKAGES": str(self.clients), "FASTMCP_CHECK_FOR_UPDATES": "off"}


def kit() -> Kit:
    """The kit of these locks, set up if it is not there yet."""
    node = tools()
    return Kit(
        node=node,
        sdk1=python("client-mcp1", "mcp1"),
        fastmcp=python("client-fastmcp", "fastmcp"),
        clients=_npm(node, "clients"),
        servers=_npm(node, "servers"),
        pypi_servers=python("grid-pypi-servers", "servers").parents[1],
    )


def _npm(node: Tools, name: str) -> Path:
    folder = HERE / "packages" / name
    locks = [folder / "package.json", folder / "package-lock.json"]
    return set_up(f"grid-npm-{name}", locks, lambda home: npm_packages(node, folder, home))


def clients(parts: Kit) -> tuple[Client, ...]:
    """Every client, and each mode of a client that speaks both eras."""
    node = str(parts.node.node)

    def driver(name: str) -> str:
        return str(HERE / "drivers" / name)

    inspector = parts.clients / "node_modules" / ".bin" / "mcp-inspector"
    return (
        Client("mcp1", "Python SDK 1.30.0", (str(parts.sdk1), driver("mcp1.py")), "legacy"),
        Client("mcp2-legacy", "Python SDK 2.3.0 (legacy)", (sys.executable, driver("mcp2.py")), "legacy"),
        Client("mcp2-modern", f"Python SDK 2.3.0 ({MODERN})", (sys.executable, driver("mcp2.py")), MODERN),
        Client("fastmcp", "FastMCP 4.1.2 (auto)", (str(parts.fastmcp), driver("fastmcp4.py")), "auto"),
        Client("inspector", "Inspector 2.12.0 --cli (auto)", (sys.executable, driver("inspector.py"), node, str(inspector)), "auto"),
        Client("ts1", "TypeScript SDK 1.32.2", (node, driver("ts1.mjs")), "legacy"),
        Client("ts2-legacy", "TypeScript SDK 2.4.0 (legacy)", (node, driver("ts2.mjs")), "legacy"),
        Client("ts2-modern", f"TypeScript SDK 2.4.0 ({MODERN})", (node, driver("ts2.mjs")), MODERN),
    )


def upstreams(parts: Kit, folder: Path) -> tuple[Upstream, ...]:
    """Every server; `folder` is the one that those over stdio may read."""
    node = str(parts.node.node.resolve())
    modules = "node_modules/@modelcontextprotocol"
    loopback = f"--import={HERE / 'servers' / 'loopback.mjs'}"

    def pypi(package: str, **environment: str) -> Package:
        argv = ("bin/python", "-m", package.replace("-", "_"))
        return Package("pypi", package, "2026.10.19", parts.pypi_servers, argv, (sys.base_prefix, str(folder)), environment)

    def npm(package: str, *words: str) -> Package:
        argv = (node, f"{modules}/{package}/dist/index.js", *words)
        return Package("npm", f"@modelcontextprotocol/{package}", "2026.8.31", parts.servers, argv, (node, str(folder)))

    def stdio(name: str, title: str, package: Package) -> Upstream:
        here = {word: str(package.installed / word) for word in package.argv if (package.installed / word).exists()}
        return Upstream(name, title, "stdio", tuple(here.get(word, word) for word in package.argv), package=package)

    sdk1, sdk2 = str(HERE / "servers" / "sdk1.py"), str(HERE / "servers" / "sdk2.py")
    everything = str(parts.servers / modules / "server-everything" / "dist" / "index.js")
    return (
        Upstream("sdk1", "Python SDK 1.30.0 over Streamable HTTP", "http", (str(parts.sdk1), sdk1, "{port}", "http"), "/mcp"),
        Upstream("sdk2", "Python SDK 2.3.0 over Streamable HTTP", "http", (sys.executable, sdk2, "{port}"), "/mcp"),
        Upstream(
            "everything", "server-everything 2026.8.31 over Streamable HTTP", "http", (node, loopback, everything, "streamableHttp"), "/mcp"
        ),
        Upstream("sse", "Python SDK 1.30.0 over HTTP+SSE", "sse", (str(parts.sdk1), sdk1, "{port}", "sse"), "/sse"),
        stdio("everything-stdio", "server-everything 2026.8.31 over stdio", npm("server-everything", "stdio")),
        stdio("time", "mcp-server-time 2026.10.19 over stdio", pypi("mcp-server-time")),
        stdio("git", "mcp-server-git 2026.10.19 over stdio", pypi("mcp-server-git", **ANY_OWNER)),
        stdio("filesystem", "server-filesystem 2026.8.31 over stdio", npm("server-filesystem", str(folder))),
    )


def plan(upstream: Upstream, folder: Path, key: str) -> Plan:
    """What is asked of a server in one cell; `key` names the cell."""
    root_uri = root_of(folder).as_uri()
    plans: Mapping[str, Any] = {
        "everything": lambda: grid_plans.everything(root_uri),
        "everything-stdio": lambda: grid_plans.everything(root_uri),
        "time": grid_plans.time,
        "git": lambda: grid_plans.git(folder / "repository"),
        "filesystem": lambda: grid_plans.filesystem(root_of(folder), root_uri),
    }
    made: Plan = plans.get(upstream.name, lambda: grid_plans.sdk(key, root_uri))()
    return made


def root_of(folder: Path) -> Path:
    """The directory that every client names as its root."""
    return folder / "project"


def furnish(folder: Path) -> None:
    """Put into the folder what the servers over stdio are asked about; they may run as somebody else."""
    root_of(folder).mkdir(parents=True)
    for each in (folder.parent, folder):
        each.chmod(0o755)
    (root_of(folder) / "note.txt").write_text("a note to read\n", encoding="utf-8")
    subprocess.run(["git", "init", "--quiet", "--initial-branch=grid", str(folder / "repository")], check=True)
