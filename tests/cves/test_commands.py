"""Definitions and requests that would like to start a program. Customhouse starts none; these tests keep it so."""

import json
from pathlib import Path

import pytest

from customhouse.cli.checkup import examine
from customhouse.config.definitions import read_definitions
from customhouse.config.findings import ConfigurationInvalid
from customhouse.config.tree import Settings
from tests.config.deployments import NOTES, write
from tests.cves.attacker import READ, WELCOME, Door, call
from tests.cves.cases import advisory
from tests.cves.conftest import Town

COMMANDS = [
    "touch pwned",
    "$(touch pwned)",
    "`touch pwned`",
    "x; touch pwned",
    "x\ntouch pwned",
    "--config=$(touch pwned)",
    "| touch pwned &",
]
SPOKEN = pytest.mark.parametrize("command", COMMANDS)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to be in: whatever ran would leave a file behind."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def left_behind(here: Path) -> list[str]:
    return [path.name for path in here.iterdir()]


def children_of(process: int) -> list[str]:
    """The ids of the processes that a process has started and not lost."""
    return [child for task in Path(f"/proc/{process}/task").iterdir() for child in (task / "children").read_text().split()]


@advisory("CVE-2026-22688")
@SPOKEN
@pytest.mark.parametrize("key", ["command", "args", "argv", "stdio", "transport", "env", "cwd", "package", "image", "runtime"])
def test_a_definition_cannot_name_a_command(here: Path, tmp_path: Path, key: str, command: str) -> None:
    write(tmp_path, {"servers/notes.yaml": NOTES + f"{key}: {json.dumps(command)}\n"})
    with pytest.raises(ConfigurationInvalid) as invalid:
        read_definitions(tmp_path, Settings())
    assert [finding.key for finding in invalid.value.findings] == [key]
    assert left_behind(here) == []


@advisory("CVE-2026-22688")
@SPOKEN
def test_examining_a_definition_runs_nothing(here: Path, tmp_path: Path, command: str) -> None:
    write(tmp_path, {"customhouse.yaml": "{}\n", "servers/notes.yaml": NOTES + f"command: {json.dumps(command)}\n"})
    checks = list(examine(tmp_path, {}))
    assert any("command" in check.sentence or "command" in check.subject for check in checks)
    assert left_behind(here) == []


@advisory("CVE-2026-30861")
@SPOKEN
@pytest.mark.parametrize("field", ["owner", "contact", "tenant", "description", "name"])
def test_text_of_a_definition_is_data(here: Path, tmp_path: Path, field: str, command: str) -> None:
    kept = "".join(f"{line}\n" for line in NOTES.splitlines() if not line.startswith(f"{field}:"))
    write(tmp_path, {"customhouse.yaml": "{}\n", "servers/notes.yaml": f"{field}: {json.dumps(command)}\n{kept}"})
    try:
        (read,) = read_definitions(tmp_path, Settings())
    except ConfigurationInvalid:
        assert field == "name" or "\n" in command
    else:
        assert getattr(read, field) == command
    list(examine(tmp_path, {}))
    assert left_behind(here) == []


@advisory("CVE-2026-30861")
@SPOKEN
def test_names_addresses_and_references_with_shell_syntax_are_refused_or_data(here: Path, tmp_path: Path, command: str) -> None:
    quoted = json.dumps(command)
    for old, new in (
        ("https://notes.example/mcp", quoted),
        ('"env:NOTES_TOKEN"', json.dumps(f"env:{command}")),
        ("  read_note:", f"  {quoted}:"),
    ):
        write(tmp_path, {"servers/notes.yaml": NOTES.replace(old, new)})
        if old == "  read_note:":
            assert command in read_definitions(tmp_path, Settings())[0].tools
        else:
            with pytest.raises(ConfigurationInvalid):
                read_definitions(tmp_path, Settings())
    assert left_behind(here) == []


@advisory("CVE-2026-30861")
@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system ['touch pwned']", "!include /etc/passwd", "!!python/name:os.system"])
def test_a_yaml_tag_makes_nothing(here: Path, tmp_path: Path, tag: str) -> None:
    write(tmp_path, {"servers/notes.yaml": f"{NOTES}description: {tag}\n"})
    with pytest.raises(ConfigurationInvalid):
        read_definitions(tmp_path, Settings())
    assert left_behind(here) == []


ROUTES = [
    "/mcp-rest/test/connection",
    "/mcp-rest/test/tools/list",
    "/v1/mcp/server",
    "/api/v1/mcp-services/test",
    "/api/servers/test",
    "/servers/notes/test",
    "/servers/notes/mcp/test",
    "/preview",
]


@advisory("CVE-2026-42271")
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("who", ["nobody", "alice"])
def test_there_is_no_route_that_tries_a_command_out(town: Town, alice: str, route: str, who: str) -> None:
    body = json.dumps({"transport": "stdio", "command": "sh", "args": ["-c", "touch pwned; sleep 60"], "url": town.bait.url}).encode()
    headers = [("Content-Type", "application/json")] + ([("Authorization", f"Bearer {alice}")] if who == "alice" else [])
    assert town.door.ask("POST", route, headers, body).status == 404
    assert children_of(town.gateway.process.pid) == []
    assert town.bait.heard == []


@advisory("CVE-2026-42271")
@SPOKEN
def test_a_call_starts_no_process(town: Town, alice: str, command: str) -> None:
    said = call("notes__read_note", {"title": command, "command": command, "args": [command]})
    assert town.door.say(said, alice).message["result"]["isError"] is True
    assert children_of(town.gateway.process.pid) == []
    assert not (town.gateway.directory / "pwned").exists()


@advisory("CVE-2026-42271")
def test_the_gateway_still_serves_after_all_that(door: Door, alice: str) -> None:
    assert door.say(READ, alice).text == WELCOME
