"""`customhouse servers` and `customhouse doctor`, for servers that the gateway starts itself."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from customhouse.adapters.sandboxes.bubblewrap import Bubblewrap
from customhouse.adapters.sandboxes.trees import digest_of_tree
from customhouse.cli.checkup import Verdict, examine
from customhouse.cli.servers import servers
from tests.config.deployments import write
from tests.sandboxes.programs import INTERPRETER, INTERPRETER_FILES

DEFINITION = """\
owner: team-notes
contact: notes@example.org
tenant: local
stdio:
  package: {ecosystem: pypi, name: notes-mcp, version: 1.0.0, digest: "DIGEST"}
  argv: [bin/notes]
  secrets: {TOKEN: "env:NOTES_TOKEN"}
"""
TREE = "packages/pypi/notes-mcp/1.0.0"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A deployment whose one server is installed as approved."""
    write(tmp_path, {f"{TREE}/bin/notes": "#!/bin/sh\n", "customhouse.yaml": "identity: {development_issuer: {enabled: true}}\n"})
    define(tmp_path, digest_of_tree(str(tmp_path / TREE)))
    return tmp_path


def define(directory: Path, digest: str, more: str = "") -> None:
    write(directory, {"servers/notes.yaml": DEFINITION.replace("DIGEST", digest) + more})


def run(directory: Path, *words: str) -> Result:
    return CliRunner().invoke(servers, [*words, "--dir", str(directory)])


def test_digest_says_that_a_package_is_what_was_approved(directory: Path) -> None:
    shown = run(directory, "digest", "notes")
    assert shown.exit_code == 0, shown.output
    assert shown.output.splitlines() == [
        f"installed: {directory / TREE}",
        f"digest: {digest_of_tree(str(directory / TREE))}",
        "notes names this digest.",
    ]


def test_digest_says_what_is_installed_instead(directory: Path) -> None:
    write(directory, {f"{TREE}/more.py": ""})
    (directory / TREE / "python").symlink_to("/usr/bin/python3")
    shown = run(directory, "digest", "notes")
    assert shown.exit_code == 1
    assert f"digest: {digest_of_tree(str(directory / TREE))}\nnot covered: python -> /usr/bin/python3\n" in shown.output
    assert "so it is not started" in shown.output


def test_digest_of_a_directory_needs_no_definition(directory: Path) -> None:
    (directory / "servers" / "notes.yaml").unlink()
    shown = run(directory, "digest", "--tree", str(directory / TREE))
    assert shown.output.splitlines()[1] == f"digest: {digest_of_tree(str(directory / TREE))}"


def test_digest_of_what_is_not_installed_is_an_error_in_words(directory: Path) -> None:
    define(directory, "sha256:" + "0" * 64, "  installed: absent\n")
    shown = run(directory, "digest", "notes")
    assert (shown.exit_code, "absent" in shown.output, "Traceback" in shown.output) == (1, True, False)
    assert run(directory, "digest").exit_code == 2


def test_digest_of_a_server_with_an_address_is_an_error_in_words(directory: Path) -> None:
    write(directory, {"servers/far.yaml": "owner: o\ncontact: c\ntenant: t\nurl: https://n.example/mcp\n"})
    assert "nothing is installed for it" in run(directory, "digest", "far").output


def test_a_listing_shows_the_package_and_the_waiver(directory: Path) -> None:
    waiver = "waivers: [{rule: unsandboxed-stdio, reason: Needs the network until June., granted_by: Ada}]\n"
    define(directory, "sha256:" + "0" * 64, waiver)
    shown = run(directory, "list")
    assert "  stdio pypi/notes-mcp 1.0.0  endpoint /servers/notes/mcp" in shown.output
    assert "WAIVER unsandboxed-stdio: Needs the network until June. (granted by Ada)" in shown.output


def findings(directory: Path, subject: str, environ: dict[str, str] | None = None) -> list[tuple[Verdict, str]]:
    checks = examine(directory, {"NOTES_TOKEN": "s3cret"} if environ is None else environ)
    return [(check.verdict, check.sentence) for check in checks if check.subject == subject]


@pytest.mark.enable_socket
def test_doctor_compares_the_package_and_makes_a_sandbox(directory: Path) -> None:
    assert findings(directory, "package notes") == [(Verdict.OK, f"{directory / TREE} is what was approved.")]
    assert findings(directory, "sandbox")[0][0] is Verdict.OK
    assert findings(directory, "secret notes") == [(Verdict.OK, "env:NOTES_TOKEN can be read.")]
    assert findings(directory, "secret notes", {})[0][0] is Verdict.PROBLEM


@pytest.mark.enable_socket
def test_doctor_names_a_package_that_changed_and_one_that_is_missing(directory: Path) -> None:
    write(directory, {f"{TREE}/more.py": ""})
    ((verdict, sentence),) = findings(directory, "package notes")
    assert (verdict, "not what was approved" in sentence) == (Verdict.PROBLEM, True)
    define(directory, "sha256:" + "0" * 64, "  installed: absent\n")
    ((verdict, sentence),) = findings(directory, "package notes")
    assert (verdict, "absent cannot be read" in sentence) == (Verdict.PROBLEM, True)


@pytest.mark.enable_socket
def test_doctor_says_that_nothing_can_be_contained(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(directory))
    ((verdict, sentence),) = findings(directory, "sandbox")
    assert verdict is Verdict.PROBLEM
    assert sentence.startswith("No sandbox can be made, so notes cannot be started: bwrap is not installed")


@pytest.mark.enable_socket
def test_doctor_shows_a_server_without_a_sandbox(directory: Path) -> None:
    waiver = "waivers: [{rule: unsandboxed-stdio, reason: Needs the network until June., granted_by: Ada}]\n"
    define(directory, digest_of_tree(str(directory / TREE)), waiver)
    assert findings(directory, "sandbox") == []
    verdict, sentence = findings(directory, "server notes")[1]
    assert (verdict, "unsandboxed-stdio is set aside by Ada" in sentence) == (Verdict.NOTE, True)


PROGRAM = """\
import json, os, sys
for line in sys.stdin:
    asked = json.loads(line)
    if asked.get("method") == "initialize":
        said = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "notes", "version": "1"}}
    elif asked.get("method") == "tools/list":
        said = {"tools": [{"name": os.environ["TOKEN"], "inputSchema": {"type": "object"}}]}
    else:
        if "id" in asked:
            print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32601, "message": "m"}}), flush=True)
        continue
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": said}), flush=True)
"""


def started(directory: Path, more: str) -> None:
    """The server is a real program."""
    write(directory, {f"{TREE}/notes.py": PROGRAM})
    define(directory, digest_of_tree(str(directory / TREE)), more)
    file = directory / "servers/notes.yaml"
    file.write_text(file.read_text().replace("[bin/notes]", json.dumps([INTERPRETER, "-I", "notes.py"])))


UNCONTAINED = "waivers: [{rule: unsandboxed-stdio, reason: A test., granted_by: Ada}]\n"
CONTAINED = f"  read_only_paths: [{INTERPRETER_FILES.path}]\n"


@pytest.mark.parametrize("more", [UNCONTAINED, CONTAINED], ids=["waived", "contained"])
def test_pin_starts_the_program_with_its_secret_and_keeps_what_it_offers(
    directory: Path, more: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTES_TOKEN", "told_by_the_environment")
    if more is CONTAINED and asyncio.run(Bubblewrap().containment()).problem:
        pytest.skip("no sandbox can be made here")
    started(directory, more)
    shown = run(directory, "pin", "notes")
    assert shown.exit_code == 0, shown.output
    assert "(1 tools, revision 2025-11-25)" in shown.output
    assert "told_by_the_environment" in (directory / "servers/notes.pin.json").read_text()


def test_pin_of_a_program_without_its_secret_says_which_one(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTES_TOKEN", raising=False)
    started(directory, UNCONTAINED)
    shown = run(directory, "pin", "notes")
    assert shown.exit_code != 0
    assert "NOTES_TOKEN" in shown.output
