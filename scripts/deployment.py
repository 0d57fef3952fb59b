"""A gateway in front of one server, in a deployment of its own: the development issuer, one policy, the manifest pinned."""

import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.processes import finished, free_port, is_ready, running, until

COMMAND_TIMEOUT_SECONDS = 60.0
PERSON = "tester"
GROUP = "testers"
POLICY = """@id("testers-use-{name}")
permit (principal in Group::"local/{group}", action in Action::"read", resource in Server::"{name}");
"""
LIMITS = {
    "drain_seconds": 2,
    "requests_per_second_per_caller": 100_000,
    "burst_per_caller": 100_000,
    "requests_per_second_per_tenant": 100_000,
    "burst_per_tenant": 100_000,
}
"""A test asks as fast as it can and waits for no call that hangs, and it is not the limits that are tested."""


@dataclass(frozen=True)
class Deployed:
    """A deployment that lies ready in a folder."""

    folder: Path
    name: str
    port: int
    environment: Mapping[str, str]

    @property
    def path(self) -> str:
        """The endpoint where the server's tools have their own names."""
        return f"/servers/{self.name}/mcp"

    async def customhouse(self, *words: str) -> str:
        """What a command for this deployment prints. Raises `Broken`."""
        command = [sys.executable, "-m", "customhouse", *words, "--dir", str(self.folder)]
        return await finished(command, self.environment, COMMAND_TIMEOUT_SECONDS)

    async def token(self) -> str:
        """A token for the endpoint."""
        return await self.customhouse("token", "--as", PERSON, "--group", GROUP, "--endpoint", self.path)

    @asynccontextmanager
    async def serving(self, log: Path) -> AsyncIterator[str]:
        """The gateway, running; the URL of the endpoint."""
        command = [sys.executable, "-m", "customhouse", "serve", "--dir", str(self.folder)]
        async with running(command, self.environment, log) as process:
            await until(lambda: is_ready(self.port), process, log)
            yield f"http://127.0.0.1:{self.port}{self.path}"


def deploy(folder: Path, name: str, way_in: Mapping[str, Any], tools: list[str], *, front: str = "", port: int = 0) -> Deployed:
    """Write the deployment: JSON is YAML too, so the documents need no writer of their own.

    `way_in` is what the definition says of how the server is reached; each of its tools is classed `read`. `front` is another `host:port`
    by which callers reach the gateway.
    """
    port = port or free_port()
    listen: dict[str, Any] = {"host": "127.0.0.1", "port": port}
    if front:
        listen |= {"allowed_hosts": [front], "allowed_origins": [f"http://{front}"]}
    settings = {
        "public_url": f"http://127.0.0.1:{port}",
        "listen": listen,
        "identity": {"development_issuer": {"enabled": True, "tenant": "local"}},
        "limits": LIMITS,
    }
    definition = {
        "owner": "testers",
        "contact": "testers@example.org",
        "tenant": "local",
        **way_in,
        "tools": {tool: {"class": "read"} for tool in tools},
    }
    for kind in ("servers", "policies"):
        (folder / kind).mkdir(parents=True)
    _write(folder / "customhouse.yaml", settings)
    _write(folder / "servers" / f"{name}.yaml", definition)
    (folder / "policies" / "testers.cedar").write_text(POLICY.format(name=name, group=GROUP), encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CUSTOMHOUSE_")}
    return Deployed(folder, name, port, environment)


def _write(file: Path, document: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
