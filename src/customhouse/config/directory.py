"""The governed files of a deployment directory as contents, each read strictly: a mistake is a finding with its line.

Files say what a thing is, never who agreed to it: there is no key for a review, a state or an approval, so one that stands there is unknown
and refused. Portals of `customhouse.yaml` are settings of the deployment and not among the contents.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from customhouse.config.definitions import definition_files, pin_path, pinned_names, read_definition, read_pin, wrong_name
from customhouse.config.filedigests import FileDigests, Stamp, stamp_of
from customhouse.config.findings import ConfigurationInvalid, Finding, Place, found
from customhouse.config.grants import read_grant_files
from customhouse.config.load import server_names
from customhouse.config.policyfiles import read_policies
from customhouse.config.portals import read_portals
from customhouse.config.tree import Settings
from customhouse.core.content import Content, PolicyContent, PortalContent, ServerContent, stated
from customhouse.core.manifest import ServerDefinition
from customhouse.core.plan import Thing
from customhouse.core.review import Kind, content_digest

Reading = tuple[Mapping[str, Content], tuple[Finding, ...]]
"""Contents by name, and what is wrong."""


def read_directory(directory: Path, settings: Settings) -> dict[Thing, Content]:
    """Everything governed that a deployment directory describes. Raises `ConfigurationInvalid` with every finding."""
    return survey(directory, settings, FileDigests(None), 0.0).contents()


def survey(directory: Path, settings: Settings, known: FileDigests, now: float) -> "Survey":
    """The digest of every governed thing of a directory, without reading servers whose files are known to be unchanged.

    `now` is Unix seconds. Raises `ConfigurationInvalid` with every finding.
    """
    contents: dict[Thing, Content] = {}
    findings: list[Finding] = []
    digests, unfit = _survey_servers(directory, settings, known, now, contents)
    findings += unfit
    for kind, read in READERS.items():
        named, unfit = read(directory, settings)
        findings += unfit
        contents |= {(kind, name): content for name, content in named.items()}
        digests |= {(kind, name): content_digest(kind, name, stated(content)) for name, content in named.items()}
    if findings:
        raise ConfigurationInvalid(findings)
    return Survey(directory, settings, digests, contents)


@dataclass(frozen=True, slots=True)
class Survey:
    """What lies in a directory, most of it not read yet."""

    directory: Path
    settings: Settings
    digests: Mapping[Thing, str]
    """The content digest of everything there is."""
    _read: dict[Thing, Content]

    def contents(self, things: Iterable[Thing] | None = None) -> dict[Thing, Content]:
        """The contents of those of the things that are there, or of all. Raises `ConfigurationInvalid`."""
        wanted = self.digests if things is None else (thing for thing in things if thing in self.digests)
        return {thing: self._content(thing) for thing in wanted}

    def _content(self, thing: Thing) -> Content:
        if thing not in self._read:
            path = self.directory / self.settings.servers_dir / f"{thing[1]}.yaml"
            content, findings = _read_server(path, self.directory, self.settings)
            if content is None or findings:
                raise ConfigurationInvalid(findings)
            self._read[thing] = content
        return self._read[thing]


def _portals(directory: Path, settings: Settings) -> Reading:
    portals, findings = read_portals(directory, settings, server_names(directory / settings.servers_dir))
    return {name: PortalContent(portal=portal) for name, portal in portals.items()}, findings


def _policies(directory: Path, settings: Settings) -> Reading:
    texts, findings = read_policies(directory, settings)
    return {name: PolicyContent(text=text) for name, text in texts.items()}, findings


def _grants(directory: Path, settings: Settings) -> Reading:
    return read_grant_files(directory, settings.grants_dir)


READERS: Final[Mapping[Kind, Callable[[Path, Settings], Reading]]] = {
    Kind.POLICY: _policies,
    Kind.GRANT: _grants,
    Kind.PORTAL: _portals,
}
"""Who reads the files of a kind, besides servers, whose pins are too large to be read each time."""


def _survey_servers(
    directory: Path, settings: Settings, known: FileDigests, now: float, contents: dict[Thing, Content]
) -> tuple[dict[Thing, str], tuple[Finding, ...]]:
    """The digests of all servers; contents of those that had to be read are added to `contents`."""
    digests: dict[Thing, str] = {}
    findings: list[Finding] = []
    names: dict[str, str] = {}
    for path in definition_files(directory / settings.servers_dir, settings.servers_dir):
        file = f"{settings.servers_dir}/{path.name}"
        findings += wrong_name(path, file, names)
        names.setdefault(path.stem.lower(), file)
        thing = (Kind.SERVER, path.stem)
        stamps = _stamps(path, directory, settings)
        if digest := known.known(file, stamps):
            digests[thing] = digest
            continue
        content, unfit = _read_server(path, directory, settings)
        findings += unfit
        if content is not None:
            contents[thing] = content
            digests[thing] = content_digest(*thing, stated(content))
            # What a program shows of this machine is judged anew each time, so a definition with one is never taken as read.
            if not unfit and content.definition.stdio is None and stamps == _stamps(path, directory, settings):
                known.keep(file, stamps, digests[thing], now)
    return digests, (*findings, *_pins_alone(directory, settings, names))


def _stamps(path: Path, directory: Path, settings: Settings) -> tuple[Stamp, Stamp]:
    return stamp_of(path), stamp_of(pin_path(directory, settings, path.stem))


def _read_server(path: Path, directory: Path, settings: Settings) -> tuple[ServerContent | None, tuple[Finding, ...]]:
    definition, findings = read_definition(path, f"{settings.servers_dir}/{path.name}", directory, settings)
    pin_file = pin_path(directory, settings, path.stem)
    pin = None
    if pin_file.exists() or pin_file.is_symlink():
        try:
            pin = read_pin(pin_file)
        except ConfigurationInvalid as invalid:
            shown = f"{settings.servers_dir}/{pin_file.name}"
            findings += tuple(dataclasses.replace(finding, file=shown) for finding in invalid.findings)
    return (ServerContent(definition=definition, pin=pin) if isinstance(definition, ServerDefinition) else None), findings


def _pins_alone(directory: Path, settings: Settings, names: Mapping[str, str]) -> Iterator[Finding]:
    for name in pinned_names(directory, settings):
        if name not in names:
            file = f"{settings.servers_dir}/{name}.pin.json"
            yield found(Place(file), (), "The pin belongs to no definition.", f"Add {settings.servers_dir}/{name}.yaml, or remove the pin.")
