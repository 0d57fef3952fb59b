"""Servers that are written down elsewhere, read into drafts: server.json of a registry, and the configuration files of clients.

Sources: server.json, schema 2025-12-11, and the answers of the registry API; code.claude.com (`mcpServers` in `.mcp.json`,
`~/.claude.json` and its `projects`, claude_desktop_config.json); code.visualstudio.com (`servers` in mcp.json, `mcp.servers` in
settings.json, comments allowed); cursor.com (`mcpServers`, `${env:NAME}`).

Nothing is run and nothing is asked. What a file holds as a value of a variable or a header is not copied: a draft names a reference,
and a note says what to put there. An entry that no draft can be made of is refused by itself in a sentence.
"""

import json
import re
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from customhouse.config.cliententries import client_draft
from customhouse.config.drafts import Draft, visible
from customhouse.config.findings import ConfigurationInvalid, Place, found
from customhouse.config.packagecommands import Unimportable
from customhouse.config.registryentries import registry_draft

MAX_IMPORT_BYTES = 16_777_216
"""The state file of a client grows to some megabytes."""

_COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*+"?|//[^\r\n]*|/\*.*?(?:\*/|\Z)', re.DOTALL)
_TRAILING_COMMA = re.compile(r'"(?:\\.|[^"\\\n])*+"?|,(?=\s*[}\]])')
"""A string that nothing closes is one to the end of its line, so that nothing is looked at twice."""
_UNFIT = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class RefusedEntry:
    """An entry that no draft was made of, and why."""

    source: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Imported:
    """What a file gave."""

    drafts: tuple[Draft, ...]
    refused: tuple[RefusedEntry, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One server as the file has it."""

    source: str
    value: Any
    read: Callable[[str, str, Any], Draft]


def read_import(path: Path, taken: Container[str]) -> Imported:
    """The drafts of a file. `taken` are names that no draft may have. Raises `ConfigurationInvalid` if it is no such file."""
    file = visible(path.name)
    entries = tuple(_entries(_document(_text(path, file), file)))
    if not entries:
        raise _unusable(
            file,
            "It is neither a server.json nor the configuration of a client.",
            "Name a file with `mcpServers` or `servers`, or an answer of a registry, that holds a server.",
        )
    drafts: dict[str, Draft] = {}
    refused: list[RefusedEntry] = []
    for entry in entries:
        try:
            name = fit_name(entry.source)
            if name in taken or name in drafts:
                holder = f"by {visible(drafts[name].source)}, of the same file" if name in drafts else "here already"
                raise Unimportable(f"Its name would be {name}, which is taken {holder}. Rename it in a copy of the file.")
            drafts[name] = entry.read(name, entry.source, entry.value)
        except Unimportable as unimportable:
            refused.append(RefusedEntry(entry.source, unimportable.sentence))
    return Imported(tuple(drafts.values()), tuple(refused))


def fit_name(source: str) -> str:
    """A name of 1 to 40 characters of a-z, 0-9 and single hyphens, from any text. Raises `Unimportable`."""
    name = _UNFIT.sub("-", source.lower()).strip("-")[:40].strip("-")
    if not name:
        raise Unimportable("Nothing of its name can be in the name of a server. Rename it in a copy of the file.")
    return name


def _entries(document: Any) -> Iterator[_Entry]:
    """The servers of a document in its order; it is told by its own members what it is."""
    if not isinstance(document, dict):
        return
    if isinstance(document.get("servers"), list):
        yield from (entry for answer in document["servers"] for entry in _entries(answer) if entry.read is registry_draft)
    elif isinstance(document.get("server"), dict):
        yield _Entry(_registry_name(document["server"]), document, registry_draft)
    elif isinstance(document.get("name"), str) and ("packages" in document or "remotes" in document):
        yield _Entry(_registry_name(document), {"server": document}, registry_draft)
    else:
        for servers in _client_tables(document):
            yield from (_Entry(name, value, client_draft) for name, value in servers.items())


def _client_tables(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    projects = document.get("projects")
    inner = document.get("mcp")
    tables = [document.get("mcpServers"), document.get("servers"), inner.get("servers") if isinstance(inner, dict) else None]
    if isinstance(projects, dict):
        tables += [project.get("mcpServers") for project in projects.values() if isinstance(project, dict)]
    yield from (table for table in tables if isinstance(table, dict))


def _registry_name(server: Mapping[str, Any]) -> str:
    return str(server.get("name", "")).rpartition("/")[2]


def _text(path: Path, file: str) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_IMPORT_BYTES + 1)
    except OSError as error:
        raise _unusable(file, f"The file cannot be read ({error.strerror}).", "Make it a regular file that this user may read.") from None
    if len(data) > MAX_IMPORT_BYTES:
        raise _unusable(
            file, f"The file is larger than {MAX_IMPORT_BYTES} bytes.", "Copy the part with the servers into a file of its own."
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _unusable(file, "The file is not UTF-8.", "Save it as UTF-8.") from None


def _document(text: str, file: str) -> Any:
    """The JSON in a text, comments and trailing commas left aside."""
    bare = _TRAILING_COMMA.sub(_kept_string, _COMMENT.sub(_kept_string, text))
    try:
        value = json.loads(bare, object_pairs_hook=_once)
        json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        # The decoder's message repeats nothing of the file.
        raise _unusable(file, f"The file is not JSON: {error.msg}.", "Correct it there.", error.lineno) from None
    except UnicodeEncodeError:
        raise _unusable(file, "The file holds half of a character.", "Correct the escape that begins with \\ud.") from None
    except (ValueError, RecursionError) as error:
        problem = str(error) if isinstance(error, _Twice) else "The file cannot be read as JSON"
        raise _unusable(file, f"{problem}.", "Make it plain JSON.") from None
    return value


def _kept_string(piece: re.Match[str]) -> str:
    """Strings as they are, comments and commas as blanks, so that lines keep their numbers."""
    return piece[0] if piece[0].startswith('"') else re.sub(r"[^\r\n]", " ", piece[0])


class _Twice(ValueError):
    """A key that stands twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _Twice("A key stands twice in one object")
    return made


def _unusable(file: str, problem: str, remedy: str, line: int = 0) -> ConfigurationInvalid:
    return ConfigurationInvalid([found(Place(file, line), (), problem, remedy)])
