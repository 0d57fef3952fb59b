"""Commands that fetch a package and run it, such as `npx -y pkg@1.2.3`, read as the package they name. Nothing is run.

Sources: npm documentation, npx; docs.astral.sh/uv, "Using tools"; pipx.pypa.io, `pipx run`; semver.org 2.0.0; PEP 440. A tag or a range
would let the package change under its review, a shell could be told anything, and a secret in an argument shows in the list of
processes: each of these is refused in a sentence that repeats no value.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from customhouse.config.programs import PACKAGE_NAMES
from customhouse.core.likelysecrets import is_likely_secret, names_secret


class Unimportable(Exception):
    """An entry that no draft can be made of; the sentence repeats no value of it."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class PackageCommand:
    """A package and what is run of it."""

    ecosystem: str
    package: str
    version: str
    program: str
    """The name of the program in the package; a guess where the command does not say it."""
    arguments: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Runner:
    ecosystem: str
    ignored: frozenset[str]
    """Options that say how to fetch, not what."""
    valued: frozenset[str] = frozenset()
    """The same, with a value behind them."""
    names_package: frozenset[str] = frozenset()
    """Options whose value is the package; the program follows later."""


_NPX = _Runner("npm", frozenset({"-y", "--yes", "-q", "--quiet", "--"}), names_package=frozenset({"-p", "--package"}))
_UVX = _Runner(
    "pypi",
    frozenset({"-q", "--quiet", "--isolated", "--no-cache", "-n", "--refresh", "--no-progress", "--native-tls", "--"}),
    frozenset({"-p", "--python"}),
    frozenset({"--from"}),
)
_RUNNERS: Mapping[tuple[str, ...], _Runner] = {
    ("npx",): _NPX,
    ("npm", "exec"): _NPX,
    ("npm", "x"): _NPX,
    ("pnpx",): _NPX,
    ("pnpm", "dlx"): _NPX,
    ("yarn", "dlx"): _NPX,
    ("bunx",): _Runner("npm", frozenset({"--bun", "-y", "--yes"}), names_package=frozenset({"-p", "--package"})),
    ("bun", "x"): _Runner("npm", frozenset({"--bun", "-y", "--yes"}), names_package=frozenset({"-p", "--package"})),
    ("uvx",): _UVX,
    ("uv", "tool", "run"): _UVX,
    ("pipx", "run"): _Runner("pypi", frozenset({"-q", "--quiet", "--no-cache", "--"}), frozenset({"--python"}), frozenset({"--spec"})),
}
_SHELLS = frozenset(
    ("sh", "bash", "zsh", "dash", "ksh", "fish", "csh", "tcsh", "ash", "busybox", "cmd", "command", "powershell", "pwsh", "wsl", "eval")
)
_WRAPPERS = frozenset({"env", "sudo", "doas", "xargs", "nohup", "nice", "timeout", "script", "ssh", "su", "setsid", "exec"})
_CONTAINERS = frozenset({"docker", "podman", "nerdctl", "finch", "container"})
_EXTENSION = re.compile(r"\.(?:exe|cmd|bat|ps1)\Z", re.IGNORECASE)
_OPTION = re.compile(r"--?[A-Za-z][A-Za-z0-9_-]{0,40}")
_NPM_SPEC = re.compile(r"(?P<name>@?[^@]+)(?:@(?P<version>.*))?", re.DOTALL)
_PYPI_SPEC = re.compile(r"(?P<name>[^\[=@<>~!\s]+)(?P<extras>\[[^\]]*\])?(?:(?:==|@)(?P<version>.*))?", re.DOTALL)
_EXACT: Mapping[str, re.Pattern[str]] = {
    "npm": re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"),
    "pypi": re.compile(
        r"(?:[0-9]+!)?[0-9]+(?:\.[0-9]+)*(?:[._-]?(?:a|b|c|rc|alpha|beta|pre|preview|post|rev|r|dev)[._-]?[0-9]*)*(?:\+[A-Za-z0-9.]+)?"
    ),
}


def package_command(argv: Sequence[str]) -> PackageCommand:
    """The package that a command line fetches and runs. Raises `Unimportable`."""
    words = program_name(argv[0]), *argv[1:]
    name = words[0]
    if name in _SHELLS or re.search(r"[\s;&|<>`$]", argv[0].strip()):
        raise Unimportable("It starts a shell, which can be told to do anything. Name the program and its arguments without one.")
    if name in _WRAPPERS:
        raise Unimportable("It starts another program through a wrapper. Name that program itself.")
    if name in _CONTAINERS:
        raise Unimportable("It starts a container, which the gateway does not do. Run it elsewhere and define the server by `url`.")
    for prefix, runner in _RUNNERS.items():
        if words[: len(prefix)] == prefix:
            return _read(runner, words[len(prefix) :])
    raise Unimportable("It starts a program of that machine, not a package with a version. Package it, or write the definition by hand.")


def program_name(text: str) -> str:
    """What a command starts, without its directory and the extension of Windows."""
    return _EXTENSION.sub("", re.split(r"[/\\]", text.strip())[-1]).lower()


def checked_arguments(arguments: Sequence[str]) -> tuple[str, ...]:
    """The arguments, if none of them looks like a secret or is filled in by the client. Raises `Unimportable`."""
    for before, argument in zip(("", *arguments), arguments, strict=False):
        after_secret_option = _OPTION.fullmatch(before) is not None and names_secret(before) and not argument.startswith("-")
        if is_likely_secret(argument) or after_secret_option:
            sentence = "An argument looks like a secret, and arguments show in the list of processes. "
            raise Unimportable(sentence + "Give it by `secrets`, if the program takes it from its environment, in a definition by hand.")
        if "${" in argument or re.fullmatch(r"\$[A-Za-z_]\w*|%\w+%", argument):
            raise Unimportable("An argument is filled in by the client when it starts the program. Write the definition by hand.")
    return tuple(arguments)


def exact_package(ecosystem: str, name: str, version: str) -> None:
    """Raises `Unimportable` unless it is one version of a package."""
    if PACKAGE_NAMES[ecosystem].fullmatch(name) is None:
        raise Unimportable(f"What it fetches is not a package of {ecosystem} by its name.")
    if _EXACT[ecosystem].fullmatch(version) is None:
        which = "`latest`" if version == "latest" else "a tag or a range" if version else "no version"
        raise Unimportable(f"It names {which} of its package, so what runs could change under its review. Name the exact version.")


@dataclass(slots=True)
class _Line:
    """What was read of a command line so far."""

    spec: str = ""
    notes: list[str] = field(default_factory=list)


def _read(runner: _Runner, words: Sequence[str]) -> PackageCommand:
    line, rest = _Line(), list(words)
    while rest and rest[0].startswith("-"):
        option, _, value = rest.pop(0).partition("=")
        if option in runner.ignored:
            continue
        if option not in runner.valued | runner.names_package:
            shown = f" {option}" if _OPTION.fullmatch(option) and not is_likely_secret(option) else ""
            raise Unimportable(f"It has an option{shown} that changes what is fetched or run. Write the definition by hand.")
        value = value or (rest.pop(0) if rest else "")
        if option in runner.names_package and line.spec:
            raise Unimportable("It fetches several packages at once. Write the definition by hand.")
        if option in runner.names_package:
            line.spec = value
        else:
            line.notes.append(f"Left out of the command: {option}.")
    return _finished(runner, line, rest)


def _finished(runner: _Runner, line: _Line, rest: list[str]) -> PackageCommand:
    spec = line.spec or (rest.pop(0) if rest else "")
    name, extras, version = _npm(spec) if runner.ecosystem == "npm" else _pypi(spec)
    exact_package(runner.ecosystem, name, version)
    program = rest.pop(0) if line.spec and rest else name.rpartition("/")[2]
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", program) is None:
        raise Unimportable("The program it runs is not named plainly. Write the definition by hand.")
    if extras:
        line.notes.append("The package is installed with extras; install them too.")
    if not line.spec:
        line.notes.append("The name of the program is a guess; look it up in the installed tree.")
    return PackageCommand(runner.ecosystem, name, version, program, tuple(rest), tuple(line.notes))


def _npm(spec: str) -> tuple[str, str, str]:
    fits = _NPM_SPEC.fullmatch(spec)
    return (fits["name"], "", fits["version"] or "") if fits else ("", "", "")


def _pypi(spec: str) -> tuple[str, str, str]:
    fits = _PYPI_SPEC.fullmatch(spec)
    if fits is None:
        bare = re.match(r"[A-Za-z0-9._-]*", spec)
        return (bare[0] if bare else "", "", "a range")
    return fits["name"], fits["extras"] or "", fits["version"] or ""
