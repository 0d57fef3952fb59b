"""Portals as files: `portals/<name>.yaml`, beside those that the settings name.

A portal of the settings is part of the deployment; a portal of a file is governed like a server, and is proposed, reviewed and activated
where a control plane keeps it. A name stands in one of the two places.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from customhouse.config.conversion import Complaint, Conversion, Rule, Rules, converted
from customhouse.config.document import Document, read_file
from customhouse.config.findings import ConfigurationInvalid, Finding, Place, found
from customhouse.config.rules import NAME_REMEDY
from customhouse.config.tree import Settings
from customhouse.core.content import Portal
from customhouse.core.naming import SERVER_NAME

_SUFFIX = ".yaml"


def read_portals(directory: Path, settings: Settings, servers: Iterable[str]) -> tuple[Mapping[str, Portal], tuple[Finding, ...]]:
    """The portals that have files, by name, and what is wrong with them; `servers` are the names of those that are defined."""
    known = frozenset(servers)
    portals: dict[str, Portal] = {}
    findings: list[Finding] = []
    for path in portal_files(directory / settings.portals_dir, settings.portals_dir):
        file = f"{settings.portals_dir}/{path.name}"
        findings += _wrong_name(path, file, settings, known)
        conversion, unfit = _read(read_file(path, file))
        findings += unfit
        if isinstance(conversion.value, Portal):
            portals[path.stem] = conversion.value
            findings += _unknown_servers(conversion, known, settings)
    return portals, tuple(findings)


def portal_in(written: Document) -> tuple[Portal | None, tuple[Finding, ...]]:
    """The portal in a document, by itself: whether its servers are defined is for `read_portals` to judge."""
    conversion, findings = _read(written)
    return conversion.value, findings


def portal_files(portals: Path, shown: str) -> list[Path]:
    """The files of portals in a directory, in name order. Raises `ConfigurationInvalid` for a directory that cannot be listed."""
    try:
        return sorted(path for path in portals.iterdir() if path.suffix in {_SUFFIX, ".yml"})
    except FileNotFoundError:
        return []
    except OSError as error:
        problem = f"The portals cannot be listed ({error.strerror})."
        raise ConfigurationInvalid([found(Place(shown), (), problem, "Make it a directory that this user may read.")]) from None


def unknown_server_remedy(servers: Iterable[str], settings: Settings) -> str:
    """What to do about a server that is named but not defined."""
    names = ", ".join(sorted(servers))
    known = f"Known here: {names}." if names else f"No server is defined in {settings.servers_dir}/."
    return f"Add the definition to {settings.servers_dir}/, or correct the name. {known}"


def _read(written: Document) -> tuple[Conversion, tuple[Finding, ...]]:
    conversion = converted(written.root, Portal, PORTAL_RULES)
    return conversion, (*written.findings, *conversion.findings)


def _wrong_name(path: Path, file: str, settings: Settings, servers: frozenset[str]) -> Iterator[Finding]:
    if path.suffix != _SUFFIX:
        yield found(Place(file), (), "The name of a portal's file ends in .yaml.", f"Rename it to {path.stem}.yaml.")
    if SERVER_NAME.fullmatch(path.stem) is None:
        yield found(Place(file), (), "The name of the file cannot be the name of a portal.", NAME_REMEDY)
    if path.stem in settings.portals:
        yield found(Place(file), (), "The settings name a portal of this name too.", f"Keep the file, or `portals.{path.stem}`.")
    if path.stem in servers:
        yield found(Place(file), (), "A server has this name already.", "Rename the portal or the server: a name means one thing.")


def _unknown_servers(conversion: Conversion, servers: frozenset[str], settings: Settings) -> Iterator[Finding]:
    for index, server in enumerate(conversion.value.servers):
        if server not in servers:
            key = ("servers", index)
            yield found(conversion.place_of(key), key, "There is no such server.", unknown_server_remedy(servers, settings))


def _servers_once(portal: Portal) -> Iterator[Complaint]:
    for index, server in enumerate(portal.servers):
        if server in portal.servers[:index]:
            yield Complaint(("servers", index), "The server is listed twice.", "Keep it once.")


PORTAL_RULES: Rules = {Portal: (Rule((("servers",),), _servers_once),)}
