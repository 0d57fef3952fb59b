"""Servers as code: a directory is planned, applied, reviewed, exported, and rolled back, from the command line."""

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from customhouse.cli.main import main
from customhouse.config.definitions import pin_bytes
from customhouse.config.writing import definition_text
from customhouse.control.snapshots import Capture
from customhouse.core.content import ServerContent, read_content
from customhouse.core.manifest import Manifest
from customhouse.core.review import Kind
from tests.journeys.conftest import Notes
from tests.journeys.operators import Registry, notes_definition, running, until

POLICY = '@id("engineers-read")\npermit (principal in Group::"local/eng", action in Action::"read", resource in Server::"notes");\n'
TOOL = {"name": "read_note", "description": "Read one note.", "inputSchema": {"type": "object"}}
PORTAL = "description: For the desk.\nservers:\n  - notes\n"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, notes: Notes) -> Iterator[Registry]:
    with running(tmp_path_factory.mktemp("code"), notes) as deployment:
        yield deployment


def files_of(directory: Path) -> dict[str, bytes]:
    """The governed files of a directory."""
    folders = ("servers", "policies", "portals")
    return {str(path.relative_to(directory)): path.read_bytes() for name in folders for path in sorted((directory / name).glob("*"))}


def write(directory: Path, notes: Notes, **more: Any) -> None:
    """A server with a pin, a policy and a portal."""
    content = read_content(Kind.SERVER, {"definition": notes_definition(notes, tools={"read_note": {"class": "read"}}, **more)})
    assert isinstance(content, ServerContent)
    manifest = Manifest(server_info={"name": "notes"}, capabilities={"tools": {}}, tools=(TOOL,))
    for name in ("servers", "policies", "portals"):
        (directory / name).mkdir(exist_ok=True)
    (directory / "servers" / "notes.yaml").write_text("# Ours.\n" + definition_text(content.definition), encoding="utf-8")
    (directory / "servers" / "notes.pin.json").write_bytes(pin_bytes(Capture(manifest, "2026-07-28", ()).pin("notes")))
    (directory / "policies" / "notes.cedar").write_text(POLICY, encoding="utf-8")
    (directory / "portals" / "desk.yaml").write_text(PORTAL, encoding="utf-8")


class Terminal:
    """Commands of one person in one directory."""

    def __init__(self, registry: Registry, directory: Path, person: str, *groups: str) -> None:
        self._directory = directory
        token = registry.mint(person, *groups, resource=registry.control_url)
        self._environment = {"CUSTOMHOUSE_TOKEN": token, "CUSTOMHOUSE_CONTROL_URL": registry.control_url}

    def run(self, *words: str, code: int = 0) -> str:
        """What a command prints; it must end with this code."""
        directory = ("--dir", str(self._directory)) if words[0] in {"plan", "apply", "drift"} or words[1] == "export" else ()
        done = CliRunner().invoke(main, [*words, *directory], env=self._environment)
        assert done.exit_code == code, done.output
        return done.stdout


def served(registry: Registry) -> None:
    """Have everything that is proposed accepted by two people and activated, servers first."""
    olga = registry.operator("olga", "ops")
    waiting = [one for one in olga.ask("GET", "/versions")["versions"] if one["state"] in {"proposed", "reviewed"}]
    for version in sorted(waiting, key=lambda one: ["server", "policy", "portal"].index(one["kind"])):
        for name in ("ann", "ben"):
            registry.operator(name, "review").review(version)
        olga.step(version, "activate")


def test_a_directory_is_proposed_reviewed_served_exported_and_rolled_back(registry: Registry, notes: Notes, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    shutil.copy(registry.directory / "customhouse.yaml", code)
    write(code, notes)
    dev = Terminal(registry, code, "dev", "dev")

    # Everything is new; applying proposes, twice is once, and files say nothing of reviews.
    assert "3 to add, 0 to change, 0 to remove." in dev.run("plan", code=2)
    assert "server notes: version 1 is proposed, 1 reviews missing" in dev.run("apply", "--reason", "First.")
    before = registry.operator("olga", "ops").ask("GET", "/history")["events"]
    dev.run("apply")
    assert registry.operator("olga", "ops").ask("GET", "/history")["events"] == before
    assert json.loads(dev.run("plan", "--json", code=2))["add"] == 3
    served(registry)
    assert dev.run("plan") == "Nothing to change.\n"
    assert dev.run("apply") == "Nothing to propose.\n"

    # What is served, written into an empty directory, says the same; into this one, it changes nothing, comments included.
    files = files_of(code)
    assert dev.run("registry", "export") == "Nothing to write.\n"
    assert files_of(code) == files
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(registry.directory / "customhouse.yaml", other)
    elsewhere = Terminal(registry, other, "dev", "dev")
    elsewhere.run("registry", "export")
    first = files_of(other)
    assert elsewhere.run("plan") == "Nothing to change.\n"

    # A change is told by what it means, proposed, served; and rolled back to the very bytes.
    write(code, notes, description="Other words.")
    assert '/definition/description: nothing -> "Other words."' in dev.run("plan", code=2)
    dev.run("apply")
    assert '/definition/description: nothing -> "Other words."' in dev.run("registry", "diff", "server", "notes", "2")
    served(registry)
    elsewhere.run("registry", "export")
    assert files_of(other) != first
    Terminal(registry, code, "olga", "ops").run("registry", "rollback", "server", "notes", "1", "--reason", "It was better.")
    elsewhere.run("registry", "export")
    assert files_of(other) == first

    # What left the directory is said and not ended; a file that carries a state is refused.
    (code / "portals" / "desk.yaml").unlink()
    write_back = files_of(code)
    assert "portal desk: served, and not in the directory" in dev.run("apply")
    assert files_of(code) == write_back
    with (code / "servers" / "notes.yaml").open("a", encoding="utf-8") as file:
        file.write("state: active\n")
    dev.run("plan", code=1)


def test_a_terminal_shows_versions_and_reviews_by_digest(registry: Registry, tmp_path: Path) -> None:
    ann = Terminal(registry, tmp_path, "ann", "review")
    listed = ann.run("registry", "list", "--kind", "policy")
    assert listed.startswith("policy notes.cedar 1 active sha256:")
    shown = json.loads(ann.run("registry", "show", "policy", "notes.cedar", "1"))
    assert shown["content"] == {"text": POLICY}
    assert "active" in ann.run("registry", "review", "policy", "notes.cedar", "1", "--accept", "--digest", shown["digest"])
    ann.run("registry", "suspend", "policy", "notes.cedar", "1", code=1)
    assert "tenant local: reviewer" in ann.run("registry", "whoami")
    assert "propose server/notes/1" in ann.run("registry", "history", "--kind", "server")
    assert "pager:notes" in ann.run("registry", "inventory")


def test_a_word_of_the_gateway_has_a_server_looked_at_long_before_its_turn(registry: Registry) -> None:
    dev = registry.operator("dev", "dev")

    def looked_at() -> float:
        return max((float(one["at"]) for one in dev.ask("GET", "/drift")["servers"]), default=0.0)

    until(lambda: looked_at() > 0.0)
    before = looked_at()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as word:
        word.sendto(b"nothing of that name", str(registry.directory / "data" / "control.sock"))
        word.sendto(b"notes", str(registry.directory / "data" / "control.sock"))
    until(lambda: looked_at() > before)
