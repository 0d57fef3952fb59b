"""Operators of a deployment with a control process: tokens, requests, and the processes themselves."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from customhouse.adapters.verifiers.development import DevelopmentIssuer
from tests.journeys.conftest import ROOT, Notes, Running, free_port

SETTINGS = """\
public_url: http://127.0.0.1:{port}
listen: {{port: {port}}}
identity: {{development_issuer: {{enabled: true, tenant: local}}}}
captures: {{interval_seconds: {capture_seconds}}}
control:
  port: {control_port}
  roles:
    - {{role: admin, people: [local/root], tenants: ["*"]}}
    - {{role: developer, groups: [local/dev], tenants: ["*"]}}
    - {{role: reviewer, groups: [local/review], tenants: ["*"]}}
    - {{role: operator, groups: [local/ops], tenants: ["*"]}}
    - {{role: auditor, groups: [local/audit], tenants: ["*"]}}
"""

ANSWERS = {
    "on_call": "pager:notes",
    "classification": "internal",
    "runbook": "https://notes.example/runbook",
    "review_by": "2099-12-31",
}
"""What the registry asks of a definition beside what files need."""


def notes_definition(notes: Notes, **more: Any) -> dict[str, Any]:
    """The quickstart's server of notes."""
    return {
        "name": "notes",
        "owner": "team-notes",
        "contact": "notes@example.org",
        "tenant": "local",
        "url": notes.url,
        "credential": {"bearer": "env:NOTES_TOKEN"},
        "stateless": True,
        **ANSWERS,
        "tools": {"read_note": {"class": "read"}, "add_note": {"class": "write"}},
        **more,
    }


class Registry(Running):
    """`customhouse serve` for a deployment with a control process, which serves what its registry says."""

    def __init__(self, directory: Path, notes: Notes, *, capture_seconds: float = 300.0, settings: str = "") -> None:
        self.directory = directory
        self.port, self.control_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.control_url = f"http://127.0.0.1:{self.control_port}"
        text = SETTINGS.format(port=self.port, control_port=self.control_port, capture_seconds=capture_seconds)
        (directory / "customhouse.yaml").write_text(text + settings, encoding="utf-8")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CUSTOMHOUSE_")}
        self.environment = {**inherited, "NOTES_TOKEN": notes.token, "PYTHONPATH": str(ROOT / "src")}
        self.client = httpx2.Client(trust_env=False, timeout=30.0)
        super().__init__(
            [sys.executable, "-m", "customhouse", "serve", "--dir", str(directory)],
            self.environment,
            directory / "serve.log",
            self._is_ready,
        )

    def stop(self) -> int:
        self.client.close()
        return super().stop()

    def _is_ready(self) -> bool:
        try:
            return all(self.client.get(f"{url}/readyz").is_success for url in (self.url, self.control_url))
        except httpx2.TransportError:
            return False

    def mint(self, person: str, *groups: str, resource: str) -> str:
        """A token of the development issuer."""
        issuer = DevelopmentIssuer.open(self.directory / "data" / "development-issuer.json")
        return issuer.mint(
            person=person,
            workload="",
            groups=groups,
            scopes=(),
            client="journey",
            tenant="local",
            resources=[resource],
            lifetime_seconds=3600,
            now=time.time(),
        )

    def operator(self, person: str, *groups: str) -> "Operator":
        """Somebody at the operators' door."""
        return Operator(self, self.mint(person, *groups, resource=self.control_url))

    def caller(self, person: str, *groups: str, path: str = "/mcp") -> "Agent":
        """Somebody at the callers' door."""
        return Agent(self, path, self.mint(person, *groups, resource=self.url + path))


class Operator:
    """One person and the operators' API."""

    def __init__(self, registry: Registry, token: str) -> None:
        self.token = token
        self._registry = registry

    def ask(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        """The answer of one operation, which must have this status."""
        response = self._registry.client.request(
            method, f"{self._registry.control_url}/api/v1{path}", json=body, headers={"Authorization": f"Bearer {self.token}"}
        )
        assert response.status_code == status, response.text
        return response.json()

    def propose(self, kind: str, name: str, content: Any, reason: str = "", *, status: int = 200) -> Any:
        return self.ask("POST", "/proposals", {"kind": kind, "name": name, "content": content, "reason": reason}, status=status)

    def review(self, version: Any, *, accepts: bool = True, status: int = 200) -> Any:
        path = f"/versions/{version['kind']}/{version['name']}/{version['number']}/reviews"
        return self.ask("POST", path, {"digest": version["digest"], "accepts": accepts}, status=status)

    def step(self, version: Any, step: str, *, status: int = 200, **more: Any) -> Any:
        path = f"/versions/{version['kind']}/{version['name']}/{version['number']}/steps"
        return self.ask("POST", path, {"step": step, **more}, status=status)


class Agent:
    """One caller and one endpoint, in the modern era."""

    def __init__(self, registry: Registry, path: str, token: str) -> None:
        self.token = token
        self._registry = registry
        self._url = registry.url + path

    def send(self, method: str, params: dict[str, Any]) -> Any:
        """The JSON-RPC answer."""
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "journey", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": method,
            **({"Mcp-Name": params["name"]} if "name" in params else {}),
        }
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
        return self._registry.client.post(self._url, json=message, headers=headers).json()

    def tools(self) -> dict[str, Any]:
        """The listed tools by name; empty where the endpoint does not exist for this caller."""
        answer = self.send("tools/list", {})
        return {tool["name"]: tool for tool in answer["result"]["tools"]} if "result" in answer else {}

    def call(self, name: str, **arguments: Any) -> Any:
        """The JSON-RPC answer of one call."""
        return self.send("tools/call", {"name": name, "arguments": arguments})

    def text(self, name: str, **arguments: Any) -> str:
        """The text that a call answers."""
        return str(self.call(name, **arguments)["result"]["content"][0]["text"])


def until(met: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def running(directory: Path, notes: Notes, **more: Any) -> Iterator[Registry]:
    """A deployment for the length of the block."""
    registry = Registry(directory, notes, **more)
    try:
        yield registry
    finally:
        registry.stop()
