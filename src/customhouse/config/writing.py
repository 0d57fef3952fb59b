"""Contents as the files of a deployment directory: definitions and portals in one spelling, pins and Cedar to the byte.

A file that says the same already is left as it is, comments and all, so writing twice changes nothing. Nothing is written that the
strict reader would not read back as the same content, and no file is touched that is not of a governed kind.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from customhouse.config.definitions import definition_in, pin_bytes, pin_in
from customhouse.config.document import read_document
from customhouse.config.findings import ConfigurationInvalid, Finding, Place, found
from customhouse.config.grants import GRANT_FILE_REMEDY, written_grants
from customhouse.config.placing import put, settle
from customhouse.config.policyfiles import POLICY_NAME_REMEDY, rule_findings
from customhouse.config.portals import portal_in
from customhouse.config.rules import NAME_REMEDY
from customhouse.config.tree import Settings
from customhouse.config.yamltext import yaml_text
from customhouse.core.content import Content, GrantsContent, PolicyContent, Portal, PortalContent, ServerContent, stated
from customhouse.core.manifest import Pin, ServerDefinition
from customhouse.core.naming import GRANTS_NAME, POLICY_NAME, SERVER_NAME
from customhouse.core.plan import Thing, same_policy
from customhouse.core.review import Kind


@dataclass(frozen=True, slots=True)
class Written:
    """What writing a directory did; paths from the deployment directory on, in order."""

    written: tuple[str, ...]
    """Files that are new or say something else now."""
    removed: tuple[str, ...]
    """Files of things that are no longer there."""
    left: tuple[str, ...]
    """Files of things that are no longer there and stay, since nobody asked for their removal."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One file to be."""

    file: str
    """Its name in the folder of its kind."""
    data: bytes
    says_the_same: Callable[[bytes], bool]
    """Whether a file with these bytes means the same."""
    findings: Callable[[], tuple[Finding, ...]]
    """What the strict reader says of `data`."""


def definition_text(definition: ServerDefinition) -> str:
    """A definition as YAML: the order of the fields, tables in name order, without the name and without what is at its default."""
    value = stated(ServerContent(definition=_in_name_order(definition)))["definition"]
    return yaml_text({key: held for key, held in value.items() if key != "name"})


def portal_text(portal: Portal) -> str:
    """A portal as YAML, without what is at its default."""
    return yaml_text(stated(PortalContent(portal=portal))["portal"])


def sheets(thing: Thing, content: Content) -> tuple[Sheet, ...]:
    """The files of a thing. Raises `ConfigurationInvalid` where no file can hold it or its name."""
    kind, name = thing
    shelf = SHELVES[kind]
    if shelf.name.fullmatch(name) is None:
        raise ConfigurationInvalid([found(Place(f"{kind.value} {name!a}"), (), "The name cannot be the name of a file.", shelf.remedy)])
    return tuple(shelf.sheets(name, content))


def content_findings(thing: Thing, content: Content) -> tuple[Finding, ...]:
    """What the strict reader would say of the files of a content: what comes in another way is held to the same rules.

    What rests on the machine or on other things (paths, unknown servers, ids of rules in other files) is not looked at here.
    """
    try:
        written = sheets(thing, content)
    except ConfigurationInvalid as invalid:
        return invalid.findings
    return tuple(finding for sheet in written if not sheet.says_the_same(sheet.data) for finding in _unwritable(sheet))


def write_directory(contents: Mapping[Thing, Content], directory: Path, settings: Settings, *, remove: bool = False) -> Written:
    """Make the governed files of a directory say what the contents say; with `remove`, those of other things go.

    Every file is put in place in one step, and all are checked before the first one. Raises `ConfigurationInvalid` and `OSError`.
    """
    due: list[tuple[Path, bytes]] = []
    findings: list[Finding] = []
    expected: set[Path] = set()
    for thing, content in contents.items():
        findings += _taken(thing, settings)
        folder = directory / SHELVES[thing[0]].folder(settings)
        for sheet in sheets(thing, content):
            path = folder / sheet.file
            expected.add(path)
            if not _lies(path, sheet):
                findings += () if sheet.says_the_same(sheet.data) else _unwritable(sheet)
                due.append((path, sheet.data))
    if findings:
        raise ConfigurationInvalid(findings)
    leftover = sorted(path for path in _governed(directory, settings) if path not in expected)
    for path, data in due:
        path.parent.mkdir(parents=True, exist_ok=True)
        put(path, data)
    gone = leftover if remove else []
    for path in gone:
        path.unlink()
    for folder in sorted({path.parent for path in (*gone, *(path for path, _ in due))}):
        settle(folder)
    shown = tuple(str(path.relative_to(directory)) for path in leftover)
    written = tuple(sorted(str(path.relative_to(directory)) for path, _ in due))
    return Written(written, shown if remove else (), () if remove else shown)


def _server_sheets(name: str, content: Content) -> Iterator[Sheet]:
    if isinstance(content, ServerContent):
        yield _definition_sheet(name, content.definition)
        if content.pin is not None:
            yield _pin_sheet(name, content.pin)


def _definition_sheet(name: str, definition: ServerDefinition) -> Sheet:
    file = f"{name}.yaml"
    data = definition_text(definition).encode("utf-8", "surrogatepass")
    return Sheet(
        file,
        data,
        lambda there: definition_in(read_document(there, file), name) == (definition, ()),
        lambda: definition_in(read_document(data, file), name)[1],
    )


def _pin_sheet(name: str, pin: Pin) -> Sheet:
    file = f"{name}.pin.json"
    try:
        data = pin_bytes(pin)
    except (ValueError, RecursionError) as endless:
        problem = f"The pin has no canonical form ({str(endless)[:120]})."
        raise ConfigurationInvalid([found(Place(file), (), problem, "Capture the server again.")]) from None
    return Sheet(file, data, lambda there: there == data and not _pin_findings(data, file), lambda: _pin_findings(data, file))


def _pin_findings(data: bytes, file: str) -> tuple[Finding, ...]:
    try:
        pin_in(data, file)
    except ConfigurationInvalid as invalid:
        return invalid.findings
    return ()


def _portal_sheets(name: str, content: Content) -> Iterator[Sheet]:
    if isinstance(content, PortalContent):
        yield _portal_sheet(f"{name}.yaml", content.portal)


def _portal_sheet(file: str, portal: Portal) -> Sheet:
    data = portal_text(portal).encode("utf-8", "surrogatepass")
    return Sheet(
        file, data, lambda there: portal_in(read_document(there, file)) == (portal, ()), lambda: portal_in(read_document(data, file))[1]
    )


def _policy_sheets(name: str, content: Content) -> Iterator[Sheet]:
    if isinstance(content, PolicyContent):
        yield _policy_sheet(name, content.text)


def _policy_sheet(name: str, text: str) -> Sheet:
    def same(there: bytes) -> bool:
        try:
            return same_policy(there.decode("utf-8"), text) and not findings()
        except UnicodeDecodeError:
            return False

    def findings() -> tuple[Finding, ...]:
        return tuple(rule_findings({name: text}, "policies"))

    return Sheet(name, text.encode("utf-8", "surrogatepass"), same, findings)


def _grant_sheets(name: str, content: Content) -> Iterator[Sheet]:
    if isinstance(content, GrantsContent):
        yield _grant_sheet(f"{name}.yaml", content)


def _grant_sheet(file: str, content: GrantsContent) -> Sheet:
    data = yaml_text(stated(content)["grants"]).encode("utf-8", "surrogatepass")
    return Sheet(
        file,
        data,
        lambda there: written_grants(read_document(there, file)) == (content.grants, ()),
        lambda: written_grants(read_document(data, file))[1],
    )


def _lies(path: Path, sheet: Sheet) -> bool:
    """Whether the file is there and means the same."""
    try:
        there = path.read_bytes()
    except FileNotFoundError:
        return False
    return there == sheet.data or sheet.says_the_same(there)


def _unwritable(sheet: Sheet) -> tuple[Finding, ...]:
    problem = "No file can hold this content: it would not be read back as the same."
    return sheet.findings() or (found(Place(sheet.file), (), problem, "Correct the content, then write it again."),)


def _taken(thing: Thing, settings: Settings) -> Iterator[Finding]:
    """A portal of the settings and a file of the same name could not be served."""
    if thing[0] is Kind.PORTAL and thing[1] in settings.portals:
        place = Place(f"{settings.portals_dir}/{thing[1]}.yaml")
        yield found(place, (), "The settings name a portal of this name too.", f"Remove `portals.{thing[1]}` from customhouse.yaml.")


def _governed(directory: Path, settings: Settings) -> list[Path]:
    """The files of governed kinds that lie in a directory."""
    folders = [(directory / shelf.folder(settings), shelf.suffixes) for shelf in SHELVES.values()]
    return [path for folder, suffixes in folders if folder.is_dir() for path in folder.iterdir() if path.name.endswith(suffixes)]


def _in_name_order(value: Any) -> Any:
    """The same value with every table in name order."""
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.replace(value, **{name: _in_name_order(getattr(value, name)) for name in value.__struct_fields__})
    return dict(sorted(value.items())) if isinstance(value, dict) else value


@dataclass(frozen=True, slots=True)
class Shelf:
    """How the things of one kind lie in a deployment directory."""

    folder: Callable[[Settings], str]
    suffixes: tuple[str, ...]
    """What their files end with; everything else in the folder is somebody else's."""
    name: re.Pattern[str]
    remedy: str
    """What to do about a thing whose name does not fit."""
    sheets: Callable[[str, Content], Iterator[Sheet]]


SHELVES: Final[Mapping[Kind, Shelf]] = {
    Kind.SERVER: Shelf(lambda where: where.servers_dir, (".yaml", ".yml", ".pin.json"), SERVER_NAME, NAME_REMEDY, _server_sheets),
    Kind.POLICY: Shelf(lambda where: where.policies_dir, (".cedar",), POLICY_NAME, POLICY_NAME_REMEDY, _policy_sheets),
    Kind.GRANT: Shelf(lambda where: where.grants_dir, (".yaml", ".yml"), GRANTS_NAME, GRANT_FILE_REMEDY, _grant_sheets),
    Kind.PORTAL: Shelf(lambda where: where.portals_dir, (".yaml", ".yml"), SERVER_NAME, NAME_REMEDY, _portal_sheets),
}
"""A row for every kind; `directory.READERS` has the way back."""
