"""Drafts of definitions: what an import could learn of a server, as YAML that does not load until a person has filled in the rest.

Owner, contact and tenant are blank, and so is the digest of a package, because only the one who approves a server can know them; the
reader of definitions refuses blanks. Every text from elsewhere is a quoted scalar or a comment in one visible line.
"""

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from customhouse.config.definitions import text_findings
from customhouse.config.findings import Finding
from customhouse.config.packagecommands import PackageCommand

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PROGRAM_PLACES = {"npm": "node_modules/.bin", "pypi": "bin"}
_FILL_IN = (
    ("owner", "the team that answers for the server"),
    ("contact", "how to reach that team"),
    ("tenant", "whose callers may be granted this server"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What is known of a server before anybody reviewed it."""

    name: str
    """Fit to be the name of a server."""
    source: str
    """What it is called where it comes from."""
    description: str = ""
    url: str = ""
    bearer: str = ""
    """A reference to the credential; never the credential."""
    command: PackageCommand | None = None
    environment: tuple[tuple[str, str], ...] = ()
    """Public values of environment variables."""
    secrets: tuple[tuple[str, str], ...] = ()
    """References, by environment variable."""
    notes: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.name}.yaml"

    @property
    def text(self) -> str:
        """The YAML."""
        return "\n".join(_lines(self)) + "\n"


def missing(draft: Draft, servers_dir: str) -> tuple[Finding, ...]:
    """What keeps the draft from being a definition, as the reader of definitions says it."""
    return text_findings(draft.text.encode(), f"{servers_dir}/{draft.file}", draft.name)


def write_drafts(directory: Path, drafts: Sequence[Draft]) -> None:
    """Put drafts into a directory, all of them or none, each whole from the moment it is there. Raises `OSError`, also if a file exists."""
    directory.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    try:
        for draft in drafts:
            _write_new(directory / draft.file, draft.text)
            written.append(directory / draft.file)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def visible(text: str) -> str:
    """The text in one line, each character that is not seen as itself as its escape."""
    return " ".join("".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text).split())


def _write_new(path: Path, text: str) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)  # refuses to take the place of another file
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()


def _lines(draft: Draft) -> Iterator[str]:
    yield f"# A draft, imported from {_quoted(draft.source[:80])}. It is not loaded until the blank fields are filled in."
    yield from (f"# Note: {visible(note)}" for note in draft.notes)
    for key, meaning in _FILL_IN:
        yield f'{key}: ""  # fill in: {meaning}'
    if draft.description:
        yield f"description: {_quoted(draft.description)}"
    if draft.command is None:
        yield f"url: {_quoted(draft.url)}"
        if draft.bearer:
            yield from ("credential:", f"  bearer: {_quoted(draft.bearer)}")
    else:
        yield from _program(draft, draft.command)
    yield "tools: {}  # fill in after a look at the server: the class of each tool that shall be offered"


def _program(draft: Draft, command: PackageCommand) -> Iterator[str]:
    place = _PROGRAM_PLACES[command.ecosystem]
    yield from ("stdio:", "  package:", f"    ecosystem: {command.ecosystem}", f"    name: {_quoted(command.package)}")
    yield f"    version: {_quoted(command.version)}"
    yield '    digest: ""  # fill in: what `customhouse servers digest --tree` prints once the package is installed'
    yield f"  argv: [{', '.join(_quoted(word) for word in (f'{place}/{command.program}', *command.arguments))}]"
    for title, pairs in (("environment", draft.environment), ("secrets", draft.secrets)):
        if pairs:
            yield f"  {title}:"
            yield from (f"    {_key(name)}: {_quoted(value)}" for name, value in pairs)


def _key(name: str) -> str:
    return name if _PLAIN_KEY.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    """A double-quoted scalar: JSON's escapes are YAML's, and what cannot be seen is escaped too."""
    return "".join(each if each.isprintable() else _escaped(each) for each in json.dumps(text, ensure_ascii=False))


def _escaped(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
