"""The settings of a deployment directory: defaults, `customhouse.yaml` above them, the environment above both."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from customhouse.config.addresses import names_loopback
from customhouse.config.conversion import Conversion, converted
from customhouse.config.document import Document, Entry, Fields, Node, Scalar, read_file
from customhouse.config.environment import overlaid
from customhouse.config.findings import ConfigurationInvalid, Finding, Key, Place, found, shown
from customhouse.config.portals import read_portals, unknown_server_remedy
from customhouse.config.rules import SETTINGS_RULES, endpoint_names
from customhouse.config.tree import Listen, Settings
from customhouse.core.content import Portal

FILE = "customhouse.yaml"
DEFAULT = "default"
FOLLOWS_LISTEN = "default, follows listen"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The effective settings and where each value came from."""

    settings: Settings
    origins: Mapping[str, str]
    """Of every value: `default`, `customhouse.yaml:12` or `environment CUSTOMHOUSE_LISTEN__PORT`."""
    directory: Path
    """The deployment directory, absolute."""
    portals: Mapping[str, Portal]
    """Every portal that somebody wrote down, in the settings or as a file, by name."""

    def path(self, relative: str) -> Path:
        """A path of the settings; a relative one counts from the deployment directory."""
        return self.directory / relative


def load(directory: Path, environ: Mapping[str, str]) -> Loaded:
    """The settings of a directory. Without a `customhouse.yaml` all are defaults. Raises `ConfigurationInvalid` with every finding."""
    directory = directory.absolute()
    written = _read(directory)
    effective = overlaid(_as_table(written.root), environ)
    conversion = converted(_with_public_url(effective.root), Settings, SETTINGS_RULES)
    findings = (*written.findings, *effective.findings, *conversion.findings)
    filed: Mapping[str, Portal] = {}
    if conversion.value is not None:
        servers = server_names(directory / conversion.value.servers_dir)
        filed, unfit = read_portals(directory, conversion.value, servers)
        findings += (*unfit, *_unknown_names(conversion, frozenset(servers), filed))
    if findings:
        raise ConfigurationInvalid(findings)
    settings: Settings = conversion.value
    origins = {shown(key): _origin(key, conversion) for key, _ in leaves(settings)}
    portals = {name: Portal(servers=portal.servers) for name, portal in settings.portals.items()}
    return Loaded(settings, origins, directory, {**portals, **filed})


def leaves(value: object, key: Key = ()) -> Iterator[tuple[Key, object]]:
    """Every single value of a tree with its key; a list of plain values and an empty list or table are one value."""
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from leaves(getattr(value, name), (*key, name))
    elif isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves(inner, (*key, name))
    elif isinstance(value, tuple) and any(isinstance(inner, msgspec.Struct) for inner in value):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*key, index))
    else:
        yield key, value


def server_names(directory: Path) -> tuple[str, ...]:
    """The names of the servers that are defined in a directory of definitions, in order; none where it does not exist."""
    return tuple(sorted(path.stem for path in directory.glob("*.yaml"))) if directory.is_dir() else ()


def _read(directory: Path) -> Document:
    path = directory / FILE
    try:
        reachable = directory.is_dir()
        written = reachable and (path.exists() or path.is_symlink())
    except OSError:
        reachable = written = False
    if not reachable:
        remedy = "Name the deployment directory with --dir or CUSTOMHOUSE_DIR."
        raise ConfigurationInvalid([found(Place(str(directory)), (), "There is no such directory that this user may enter.", remedy)])
    if not written:
        return Document(Fields((), Place(FILE)))
    return read_file(path, FILE)


def _as_table(root: Node) -> Node:
    return Fields((), root.place) if isinstance(root, Scalar) and root.value is None else root


def _with_public_url(root: Node) -> Node:
    """The tree with a public address that follows the door, where nobody wrote one and the door is on loopback."""
    if not isinstance(root, Fields) or any(entry.key == "public_url" for entry in root.entries):
        return root
    door = next((entry.node for entry in root.entries if entry.key == "listen"), Fields((), root.place))
    listen = converted(door, Listen, {}).value
    if not isinstance(listen, Listen) or not names_loopback(listen.host):
        return root
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    public_url = f"{'https' if listen.tls else 'http'}://{host}:{listen.port}".removesuffix(":443" if listen.tls else ":80")
    if public_url == Settings().public_url:
        return root
    place = Place(FOLLOWS_LISTEN)
    return Fields((*root.entries, Entry("public_url", Scalar(public_url, place), place)), root.place)


def _unknown_names(conversion: Conversion, servers: frozenset[str], filed: Mapping[str, Portal]) -> Iterator[Finding]:
    """Servers and portals that are named in the settings but defined nowhere, and names that mean two things."""
    settings: Settings = conversion.value
    portals = {"default", *settings.portals, *filed}
    for name, portal in settings.portals.items():
        if name in servers:
            remedy = "Rename the portal or the server: a name means one thing."
            yield _at(conversion, ("portals", name), "A server has this name already.", remedy)
        for index, server in enumerate(portal.servers):
            if server not in servers:
                remedy = unknown_server_remedy(servers, settings)
                yield _at(conversion, ("portals", name, "servers", index), "There is no such server.", remedy)
    if "default" in servers and "default" not in {*settings.portals, *filed}:
        place = Place(f"{settings.servers_dir}/default.yaml")
        yield found(place, ("name",), "The portal at /mcp has this name already.", "Rename the server.")
    for issuer_index, issuer in enumerate(settings.identity.issuers):
        for audience, paths in issuer.audiences.items():
            for index, path in enumerate(paths):
                named = endpoint_names(path)
                if named and not (named[0] in portals or named[1] in servers):
                    key: Key = ("identity", "issuers", issuer_index, "audiences", audience, index)
                    yield _at(conversion, key, "There is no such endpoint.", "Name a portal or a server of this deployment.")


def _at(conversion: Conversion, key: Key, problem: str, remedy: str) -> Finding:
    return found(conversion.place_of(key), key, problem, remedy)


def _origin(key: Key, conversion: Conversion) -> str:
    place = conversion.places.get(key)
    return DEFAULT if place is None else str(place)
