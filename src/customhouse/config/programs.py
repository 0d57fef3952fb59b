"""What the `stdio` part of a definition must be, beyond the type of each value: one row per sentence.

Sources: PEP 508 (names on PyPI), the npm documentation of package.json (`name`), POSIX.1-2017 section 8.1 (names of environment
variables). A range or a tag instead of a version would let the package change under its review, so there is neither.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from customhouse.config.conversion import Complaint, Rule, Rules
from customhouse.config.findings import Key
from customhouse.config.tree import Settings
from customhouse.core.manifest import Package, StdioProgram

REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:[^\x00]+")
"""What stands for a secret wherever one is needed."""

PACKAGE_NAMES: Mapping[str, re.Pattern[str]] = {
    "pypi": re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,212}[A-Za-z0-9])?"),
    "npm": re.compile(r"(?=.{1,214}\Z)(@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~-][a-z0-9._~-]*"),
}
"""What packages are called, by ecosystem."""
_VERSION = re.compile(r"[0-9][A-Za-z0-9.+!_-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEPT = ("/dev", "/etc", "/proc", "/sys", "/usr", "/bin", "/lib", "/lib64", "/sbin")
"""What the sandbox makes itself."""


def installed_path(program: StdioProgram, directory: Path, settings: Settings) -> Path:
    """Where the installed tree of a program lies; `directory` is the deployment directory, absolute."""
    if program.installed:
        return directory / program.installed
    package = program.package
    return directory / settings.packages_dir / package.ecosystem / package.name / package.version


def exposed(program: StdioProgram, directory: Path, settings: Settings, beside: Iterable[Path] = ()) -> Iterator[Complaint]:
    """Listed paths that would show a server the gateway's own files, or those `beside`. Keys count from the program."""
    folders = (settings.data_dir, settings.servers_dir, settings.policies_dir, settings.grants_dir, settings.portals_dir)
    private = [path.resolve() for path in (*(directory / name for name in (*folders, "customhouse.yaml")), *beside)]
    tree = installed_path(program, directory, settings).resolve()
    if any(tree == own or tree in own.parents or (program.installed and own in tree.parents) for own in private):
        problem = "The tree holds, or lies among, the server definitions, policies, settings or data of the gateway itself."
        yield Complaint(("installed",), problem, "Install the package in a directory of its own.")
    for name in ("read_only_paths", "writable_paths"):
        for index, text in enumerate(getattr(program, name)):
            path = Path(text).resolve()
            if any(path == own or path in own.parents or own in path.parents for own in private):
                problem = "The path shows the server definitions, policies, settings or data of the gateway itself."
                yield Complaint((name, index), problem, "List a directory that holds nothing of the deployment.")


def _package(package: Package) -> Iterator[Complaint]:
    if PACKAGE_NAMES[package.ecosystem].fullmatch(package.name) is None:
        yield Complaint(("name",), f"This is not the name of a package of {package.ecosystem}.", "Write the name as it is published.")
    if _VERSION.fullmatch(package.version) is None:
        yield Complaint(("version",), "This is not an exact version.", "Write the one version that was reviewed, without a range or a tag.")
    if _DIGEST.fullmatch(package.digest) is None:
        remedy = "Write sha256: and 64 hexadecimal digits; `customhouse servers digest` computes it."
        yield Complaint(("digest",), "This is not a digest.", remedy)


def _command(program: StdioProgram) -> Iterator[Complaint]:
    if not program.argv:
        yield Complaint(("argv",), "The list is empty.", "Write the program first, then its arguments, each an entry of the list.")
        return
    first = program.argv[0]
    if _crooked(first.removeprefix("/")):
        remedy = "Write a path below the installed tree, such as bin/notes, or an absolute one, without empty parts, `.` and `..`."
        yield Complaint(("argv", 0), "The program is not a plain path.", remedy)


def _variables(program: StdioProgram) -> Iterator[Complaint]:
    for part in ("environment", "secrets"):
        for name in getattr(program, part):
            if _VARIABLE.fullmatch(name) is None:
                remedy = "Use letters, digits and underscores, no digit first."
                yield Complaint((part, name), "This is not the name of an environment variable.", remedy)
    for name in program.environment.keys() & program.secrets.keys():
        yield Complaint(("secrets", name), "The variable stands under `environment` too.", "Keep one of them.")


def _references(program: StdioProgram) -> Iterator[Complaint]:
    for name, reference in program.secrets.items():
        if REFERENCE.fullmatch(reference) is None:
            # The text is not repeated: it may be the secret itself.
            remedy = "Write env:NAME or file:PATH; the secret itself never stands here."
            yield Complaint(("secrets", name), "This is not a reference to a secret.", remedy)


def _paths(program: StdioProgram) -> Iterator[Complaint]:
    seen: set[str] = set()
    for part in ("read_only_paths", "writable_paths"):
        for index, path in enumerate(getattr(program, part)):
            key: Key = (part, index)
            if not path.startswith("/") or _crooked(path[1:]):
                yield Complaint(key, "This is not an absolute path.", "Write it from / on, without empty parts, `.` and `..`.")
            elif any(path == kept or path.startswith(f"{kept}/") for kept in _KEPT) or path == "/tmp":  # noqa: S108 - a name to refuse
                yield Complaint(key, "The sandbox makes this directory itself.", "Remove it, or keep the data elsewhere.")
            elif path in seen:
                yield Complaint(key, "The path is listed twice.", "Keep one of them.")
            seen.add(path)


def _hosts(program: StdioProgram) -> Iterator[Complaint]:
    if program.hosts:
        problem = "The server needs hosts, and a sandbox has no network until the gateway can watch over what leaves it."
        yield Complaint(("hosts",), problem, "Run the server elsewhere and define it by `url`, or leave `hosts` out if it works without.")


def _crooked(path: str) -> bool:
    return any(part in {"", ".", ".."} for part in path.split("/"))


PROGRAM_RULES: Rules = {
    Package: (Rule((("ecosystem",), ("name",), ("version",), ("digest",)), _package),),
    StdioProgram: (
        Rule((("argv",),), _command),
        Rule((("environment",), ("secrets",)), _variables),
        Rule((("secrets",),), _references),
        Rule((("read_only_paths",), ("writable_paths",)), _paths),
        Rule((("hosts",),), _hosts),
    ),
}
