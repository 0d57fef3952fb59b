"""One gateway for all cases: the quickstart's notes behind a tap, a server that lies, and a server of another tenant."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from customhouse.config.definitions import write_pin
from customhouse.core.manifest import Manifest, Pin, digest_of
from tests.cves.attacker import MODERN, Door, Liar, Tap, running
from tests.journeys.conftest import Gateway, Notes

CREDENTIAL = "the-gateway-s-own-credential"

READ_NOTE = {"name": "read_note", "inputSchema": {"type": "object", "properties": {"title": {"type": "string"}}}}
REDIRECT = {"name": "redirect", "inputSchema": {"type": "object"}}

DEFINITION = """\
owner: team-lab
contact: lab@example.org
tenant: {tenant}
url: {url}
credential: {{bearer: "file:lab.secret"}}
stateless: true
tools: {{read_note: {{class: read}}, redirect: {{class: read}}}}
"""
POLICY = '@id("engineers-read-lies") permit (principal in Group::"local/eng", action in Action::"read", resource in Server::"lies");\n'


@dataclass(frozen=True)
class Town:
    """Everything that runs."""

    door: Door
    tap: Tap
    """Between the gateway and the server of notes."""
    liar: Liar
    """The server `lies`."""
    bait: Liar
    """Nobody has a reason to come here; whatever an attacker points at."""
    abroad: Liar
    """The server `elsewhere`, of another tenant."""
    gateway: Gateway


def _bait(path: str, message: Mapping[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
    del path
    return 200, {"Content-Type": "application/json"}, _result(message, {"content": [{"type": "text", "text": "bait"}]})


def _result(message: Mapping[str, Any], result: Mapping[str, Any]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "result": {"resultType": "complete", **result}}).encode()


class Lies:
    """The script of the server `lies`: it offers what is pinned, and sends who calls `redirect` somewhere else."""

    def __init__(self, bait: Liar) -> None:
        self._bait = bait
        self._results: Mapping[object, Mapping[str, Any]] = {
            "server/discover": {"supportedVersions": [MODERN], "capabilities": {"tools": {}}, "serverInfo": _SERVER_INFO},
            "tools/list": {"tools": [READ_NOTE, REDIRECT]},
            "tools/call": {"content": [{"type": "text", "text": "a lie"}]},
        }

    def __call__(self, path: str, message: dict[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
        del path
        if message.get("params", {}).get("name") == "redirect":
            return 307, {"Location": self._bait.url}, b""
        return 200, {"Content-Type": "application/json"}, _result(message, self._results[message["method"]])


_SERVER_INFO = {"name": "lab", "version": "1"}


def _deploy(directory: Path, name: str, tenant: str, url: str) -> None:
    manifest = Manifest(server_info=_SERVER_INFO, capabilities={"tools": {}}, tools=(READ_NOTE, REDIRECT))
    servers = directory / "servers"
    (servers / f"{name}.yaml").write_text(DEFINITION.format(tenant=tenant, url=url), encoding="utf-8")
    write_pin(servers / f"{name}.pin.json", Pin(server=name, revision=MODERN, digest=digest_of(manifest), manifest=manifest))


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """The deployment, running."""
    directory = tmp_path_factory.mktemp("town")
    notes = Notes(tmp_path_factory.mktemp("notes"))
    tap, bait, abroad = Tap(notes.port), Liar(_bait), Liar(_bait)
    liar = Liar(Lies(bait))
    notes.url = tap.url
    (directory / "servers").mkdir()
    (directory / "policies").mkdir()
    (directory / "policies" / "lies.cedar").write_text(POLICY, encoding="utf-8")
    (directory / "lab.secret").write_text(CREDENTIAL, encoding="utf-8")
    (directory / "lab.secret").chmod(0o600)
    _deploy(directory, "lies", "local", liar.url)
    _deploy(directory, "elsewhere", "abroad", abroad.url)
    with running(tap), running(bait), running(abroad), running(liar):
        gateway = None
        try:
            gateway = Gateway(directory, notes)
            key = directory / "data" / "development-issuer.json"
            yield Town(Door(gateway.port, gateway.url, key), tap, liar, bait, abroad, gateway)
        finally:
            if gateway is not None:
                gateway.stop()
            notes.stop()


@pytest.fixture(scope="session")
def door(town: Town) -> Door:
    return town.door


@pytest.fixture(scope="session")
def tap(town: Town) -> Tap:
    return town.tap


@pytest.fixture(scope="session")
def alice(door: Door) -> str:
    """The token of an engineer: she may read."""
    return door.token("alice", "eng")


@pytest.fixture(scope="session")
def mallory(door: Door) -> str:
    """The token of somebody whom no rule names."""
    return door.token("mallory")
