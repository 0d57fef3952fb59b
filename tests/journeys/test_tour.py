"""The first ten minutes: what `make run` prints works when it is pasted, and `make demo` ends by itself."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.conftest import QUICKSTART, ROOT

CUSTOMHOUSE = Path(sys.executable).with_name("customhouse")


def environment() -> dict[str, str]:
    """The tests' own, with the command on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CUSTOMHOUSE_")}
    return {**kept, "PATH": f"{CUSTOMHOUSE.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src")}


def quickstart(work: Path, *options: str) -> list[str]:
    return [str(CUSTOMHOUSE), "quickstart", "--source", str(QUICKSTART), "--work", str(work), *options]


@pytest.fixture
def printed(tmp_path: Path) -> Iterator[str]:
    """What a running quickstart prints."""
    process = subprocess.Popen(quickstart(tmp_path / "work"), env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Interrupt to end" in line:
                break
        yield "".join(lines)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def test_what_a_newcomer_is_shown_works_when_it_is_pasted(printed: str) -> None:
    line = next(line for line in printed.splitlines() if " call --url " in line)
    done = subprocess.run(shlex.split(line), env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "goes through the gateway" in done.stdout


def test_the_client_configuration_names_the_endpoint_and_carries_the_token(printed: str) -> None:
    configuration = json.loads(printed[printed.index("{") : printed.rindex("}") + 1])
    server = configuration["mcpServers"]["notes"]
    assert server["url"] == re.search(r"Endpoint\s+(\S+)", printed)[1]  # type: ignore[index]  # it is there or the test fails
    assert server["headers"]["Authorization"].startswith("Bearer ey")


@pytest.mark.apart
def test_the_tour_ends_by_itself_and_shows_every_command_above_its_result(tmp_path: Path) -> None:
    done = subprocess.run(
        quickstart(tmp_path / "work", "--tour"), env=environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    commands = [line for line in done.stdout.splitlines() if line.startswith("$ customhouse ")]
    assert [command.split()[2] for command in commands] == [
        "call",
        "call",
        "call",
        "policy",
        "call",
        "call",
        "servers",
        "call",
        "call",
        "audit",
        "audit",
    ]
    for outcome in (
        "[not_permitted]",
        "Kept 'plan'.",
        "(still served as approved)",
        "[drifted]",
        "entries in 1 segments verified",
    ):
        assert outcome in done.stdout


def test_listing_pinning_and_comparing_servers(tmp_path: Path) -> None:
    work = tmp_path / "work"
    process = subprocess.Popen(quickstart(work), env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        next(line for line in process.stdout if "Interrupt to end" in line)

        def servers(*words: str) -> subprocess.CompletedProcess[str]:
            command = [str(CUSTOMHOUSE), "servers", *words, "--dir", str(work)]
            return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)

        listed = servers("list")
        assert "owner team-notes" in listed.stdout
        assert "destructive: delete_note" in listed.stdout
        assert json.loads(servers("list", "--json").stdout)[0]["read"] == ["count_slowly", "list_notes", "read_note"]
        assert "There is no server" in servers("pin", "nothing").stderr
        without_secret = servers("diff", "notes")
        assert without_secret.returncode == 1
        assert "NOTES_TOKEN" in without_secret.stderr
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
