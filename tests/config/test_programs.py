"""The `stdio` part of a definition: pinned, without a shell, without ways to more than it lists."""

from pathlib import Path

import pytest

from customhouse.config.definitions import read_definitions
from customhouse.config.findings import ConfigurationInvalid, Finding
from customhouse.config.programs import installed_path
from customhouse.config.tree import Settings
from customhouse.core.manifest import Package, ProcessLimits, ServerDefinition, StdioProgram
from tests.config.deployments import write

DIGEST = "sha256:" + "0" * 64
WHO = "owner: o\ncontact: c\ntenant: t\n"
PACKAGE = f"  package: {{ecosystem: pypi, name: notes-mcp, version: 1.2.3, digest: 'sha256:{'0' * 64}'}}\n"
STDIO = WHO + "stdio:\n" + PACKAGE + "  argv: [bin/notes]\n"
"""Six lines."""


def read(directory: Path, text: str) -> ServerDefinition:
    write(directory, {"servers/notes.yaml": text})
    (definition,) = read_definitions(directory, Settings())
    return definition


def refused(directory: Path, text: str) -> list[Finding]:
    with pytest.raises(ConfigurationInvalid) as invalid:
        read(directory, text)
    return list(invalid.value.findings)


def test_a_definition_says_everything_about_a_program(tmp_path: Path) -> None:
    text = STDIO + (
        "  installed: /opt/notes\n  environment: {TZ: UTC}\n  secrets: {TOKEN: 'env:NOTES', KEY: 'file:keys/n'}\n"
        "  read_only_paths: [/srv/notes]\n  writable_paths: [/srv/notes/new]\n"
        "  limits: {memory_bytes: 268435456, processes: 20, cpu_seconds: 60}\n"
    )
    definition = read(tmp_path, text)
    assert definition.stdio == StdioProgram(
        package=Package(ecosystem="pypi", name="notes-mcp", version="1.2.3", digest=DIGEST),
        installed="/opt/notes",
        argv=("bin/notes",),
        environment={"TZ": "UTC"},
        secrets={"TOKEN": "env:NOTES", "KEY": "file:keys/n"},
        read_only_paths=("/srv/notes",),
        writable_paths=("/srv/notes/new",),
        limits=ProcessLimits(memory_bytes=268_435_456, processes=20, cpu_seconds=60),
    )
    assert (definition.url, definition.where) == ("", "stdio pypi/notes-mcp 1.2.3")


def test_a_package_lies_where_its_name_says_or_where_the_definition_does(tmp_path: Path) -> None:
    plain = read(tmp_path, STDIO).stdio
    scoped = read(tmp_path, STDIO.replace("pypi, name: notes-mcp", "npm, name: '@acme/notes'")).stdio
    chosen = read(tmp_path, STDIO + "  installed: trees/notes\n").stdio
    assert plain is not None
    assert scoped is not None
    assert chosen is not None
    settings = Settings(packages_dir="installed")
    assert installed_path(plain, tmp_path, settings) == tmp_path / "installed/pypi/notes-mcp/1.2.3"
    assert installed_path(scoped, tmp_path, settings) == tmp_path / "installed/npm/@acme/notes/1.2.3"
    assert installed_path(chosen, tmp_path, settings) == tmp_path / "trees/notes"


def test_a_program_may_change_things_without_a_credential_since_nobody_else_can_reach_it(tmp_path: Path) -> None:
    assert read(tmp_path, STDIO + "tools: {add: {class: destructive}}\n").stdio is not None


def test_a_waiver_can_take_the_sandbox_away_in_plain_sight(tmp_path: Path) -> None:
    definition = read(tmp_path, STDIO + "waivers: [{rule: unsandboxed-stdio, reason: r, granted_by: g}]\n")
    assert definition.waivers[0].rule == "unsandboxed-stdio"


def in_package(old: str, new: str) -> str:
    return STDIO.replace(old, new)


CASES: dict[str, tuple[str, int, str, str]] = {
    "both ways in": (STDIO + "url: https://n.example/mcp\n", 7, "url", "Keep `stdio`"),
    "a credential": (STDIO + "credential: {bearer: 'env:T'}\n", 7, "credential", "stdio.secrets"),
    "networks": (STDIO + "networks: [10.0.0.0/8]\n", 7, "networks", "Keep `stdio`"),
    "hosts": (STDIO + "  hosts: [api.example]\n", 7, "stdio.hosts", "no network"),
    "no package": (WHO + "stdio: {argv: [bin/notes]}\n", 4, "stdio.package", "missing"),
    "no argv": (WHO + "stdio:\n" + PACKAGE, 4, "stdio.argv", "missing"),
    "an empty argv": (in_package("[bin/notes]", "[]"), 6, "stdio.argv", "The list is empty"),
    "a line for a shell": (in_package("[bin/notes]", "bin/notes --quiet"), 6, "stdio.argv", "Write a list"),
    "a way out of the tree": (in_package("[bin/notes]", "[bin/../../notes]"), 6, "stdio.argv[0]", "not a plain path"),
    "no program": (in_package("[bin/notes]", "['']"), 6, "stdio.argv[0]", "not a plain path"),
    "an unknown ecosystem": (in_package("pypi", "crates"), 5, "stdio.package.ecosystem", "one of"),
    "a path for a name": (in_package("notes-mcp", "../x"), 5, "stdio.package.name", "not the name of a package"),
    "a name of npm in pypi": (in_package("notes-mcp", "'@acme/notes'"), 5, "stdio.package.name", "of pypi"),
    "a tag": (in_package("1.2.3", "latest"), 5, "stdio.package.version", "exact version"),
    "a range": (in_package("1.2.3", "'>=1.2'"), 5, "stdio.package.version", "exact version"),
    "a wildcard": (in_package("1.2.3", "'1.2.*'"), 5, "stdio.package.version", "exact version"),
    "no digest": (in_package(f", digest: '{DIGEST}'", ""), 5, "stdio.package.digest", "missing"),
    "a short digest": (in_package(DIGEST, "sha256:00"), 5, "stdio.package.digest", "servers digest"),
    "a secret by value": (STDIO + "  secrets: {TOKEN: hunter2}\n", 7, "stdio.secrets.TOKEN", "env:NAME"),
    "no variable": (STDIO + "  environment: {'A=B': c}\n", 7, "stdio.environment['A=B']", "not the name"),
    "twice": (STDIO + "  environment: {A: b}\n  secrets: {A: 'env:A'}\n", 8, "stdio.secrets.A", "`environment` too"),
    "a relative path": (STDIO + "  read_only_paths: [data]\n", 7, "stdio.read_only_paths[0]", "absolute"),
    "a way up": (STDIO + "  writable_paths: [/srv/../etc]\n", 7, "stdio.writable_paths[0]", "absolute"),
    "the whole machine": (STDIO + "  read_only_paths: [/]\n", 7, "stdio.read_only_paths[0]", "absolute"),
    "the system": (STDIO + "  writable_paths: [/usr/local/share]\n", 7, "stdio.writable_paths[0]", "makes this directory itself"),
    "the host's tmp": (STDIO + "  writable_paths: [/tmp]\n", 7, "stdio.writable_paths[0]", "makes this directory itself"),
    "a path twice": (STDIO + "  read_only_paths: [/a]\n  writable_paths: [/a]\n", 8, "stdio.writable_paths[0]", "twice"),
    "no processes": (STDIO + "  limits: {processes: 0}\n", 7, "stdio.limits.processes", "out of range"),
    "no memory": (STDIO + "  limits: {memory_bytes: 0}\n", 7, "stdio.limits.memory_bytes", "out of range"),
    "a unit": (STDIO + "  limits: {tmp_bytes: 64MiB}\n", 7, "stdio.limits.tmp_bytes", "67108864"),
    "no reason": (STDIO + "waivers: [{rule: unsandboxed-stdio, reason: ' ', granted_by: g}]\n", 7, "waivers[0].reason", "Write it out"),
    "a waiver for nothing": (
        STDIO + "waivers: [{rule: unauthenticated-writes, reason: r, granted_by: g}]\n",
        7,
        "waivers[0]",
        "nothing is set aside",
    ),
}


@pytest.mark.parametrize(("text", "line", "key", "words"), CASES.values(), ids=CASES.keys())
def test_a_definition_that_would_surprise_somebody_is_refused(tmp_path: Path, text: str, line: int, key: str, words: str) -> None:  # GW-107
    (finding,) = refused(tmp_path, text)
    assert (finding.line, finding.key) == (line, key)
    assert words in f"{finding.problem} {finding.remedy}"


def test_a_secret_by_value_is_not_repeated(tmp_path: Path) -> None:
    assert "hunter2" not in str(refused(tmp_path, STDIO + "  secrets: {TOKEN: hunter2}\n"))


@pytest.mark.parametrize("path", ["", "/servers", "/servers/notes.yaml", "/data/ledger", "/policies", "/customhouse.yaml"])
@pytest.mark.parametrize("part", ["read_only_paths", "writable_paths"])
def test_no_listed_path_shows_the_gateways_own_files(tmp_path: Path, path: str, part: str) -> None:
    (finding,) = refused(tmp_path, STDIO + f"  {part}: ['{tmp_path}{path}']\n")
    assert finding.key == f"stdio.{part}[0]"
    assert "of the gateway itself" in finding.problem


def test_no_link_shows_the_gateways_own_files_either(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").symlink_to(tmp_path / "data")
    (finding,) = refused(tmp_path, STDIO + f"  read_only_paths: ['{tmp_path}/elsewhere']\n")
    assert "of the gateway itself" in finding.problem


@pytest.mark.parametrize("tree", [".", "data", "data/ledger", "servers/notes"])
def test_a_package_is_not_the_deployment(tmp_path: Path, tree: str) -> None:
    (finding,) = refused(tmp_path, STDIO + f"  installed: {tree}\n")
    assert (finding.key, finding.line) == ("stdio.installed", 7)


def test_a_waiver_of_the_sandbox_means_nothing_where_nothing_is_started(tmp_path: Path) -> None:
    text = WHO + "url: https://n.example/mcp\nwaivers: [{rule: unsandboxed-stdio, reason: r, granted_by: g}]\n"
    (finding,) = refused(tmp_path, text)
    assert (finding.key, finding.line) == ("waivers[0]", 5)
