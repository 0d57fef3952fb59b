"""What is served, as one immutable value: the servers with their pins, the policies and the portals that operators activated.

The control process writes it down line by line, one version a line, and gateways read it. A line that says what a line of the picture
before said is not read again: its values are taken over, so what did not change is the same object as before.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from customhouse.core.content import Content, GrantsContent, PolicyContent, PortalContent, ServerContent, read_content
from customhouse.core.manifest import Pin, ServerDefinition
from customhouse.core.policygrants import Grant, grant_of
from customhouse.core.review import Kind, State, Version


class Named(Protocol):
    """What a picture wants to know of a version."""

    @property
    def name(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def digest(self) -> str: ...
    @property
    def state(self) -> State: ...


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    kind: Kind
    name: str
    number: int
    digest: str
    state: State
    content: msgspec.Raw


@dataclass(frozen=True, slots=True)
class ServedServer:
    """A version of a server that is served."""

    name: str
    number: int
    digest: str
    deprecated: bool
    """It is served beside its successor, at an address of its own, until its window ends."""
    definition: ServerDefinition
    pin: Pin | None


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that is served."""

    digest: str = ""
    servers: tuple[ServedServer, ...] = ()
    policies: Mapping[str, str] = field(default_factory=dict)
    """Cedar text by file name."""
    portals: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Servers by portal."""
    grants: tuple[Grant, ...] = ()
    """Of a directory that is served as it stands; the register keeps none."""
    contents: Mapping[str, Content] = field(default_factory=dict)
    """By digest, for the next picture."""

    @property
    def paths(self) -> list[str]:
        """The paths of its endpoints: portals first, the default one always."""
        portals = sorted(f"/mcp/{name}" for name in self.portals if name != "default")
        servers = [
            f"/servers/{one.name}/versions/{one.number}/mcp" if one.deprecated else f"/servers/{one.name}/mcp"
            for one in self.servers
            if one.pin is not None
        ]
        return ["/mcp", *portals, *servers]


def lines_of(served: Iterable[tuple[Version, bytes]]) -> list[bytes]:
    """The lines of what is served, each version with its canonical content, in an order that says nothing."""
    ordered = sorted(served, key=lambda one: (one[0].kind.value, one[0].name, one[0].number))
    return [
        _encode(_Line(kind=v.kind, name=v.name, number=v.number, digest=v.digest, state=v.state, content=msgspec.Raw(c)))
        for v, c in ordered
    ]


def picture_of(served: Iterable[tuple[Named, Content]], digest: str = "") -> Picture:
    """The picture of these versions."""
    servers: list[ServedServer] = []
    policies: dict[str, str] = {}
    portals: dict[str, tuple[str, ...]] = {}
    grants: list[Grant] = []
    contents: dict[str, Content] = {}
    for version, content in served:
        contents[version.digest] = content
        if isinstance(content, ServerContent):
            deprecated = version.state is not State.ACTIVE
            servers.append(ServedServer(version.name, version.number, version.digest, deprecated, content.definition, content.pin))
        elif isinstance(content, PolicyContent):
            policies[version.name] = content.text
        elif isinstance(content, PortalContent):
            portals[version.name] = content.portal.servers
        elif isinstance(content, GrantsContent):
            file = f"{version.name}.yaml"
            grants += [grant_of(each, version.name, number, file, number) for number, each in enumerate(content.grants, 1)]
    return Picture(digest, tuple(servers), policies, portals, tuple(grants), contents)


def read_picture(digest: str, lines: Sequence[bytes], before: Picture) -> Picture:
    """The picture of these lines. Raises `msgspec.MsgspecError` for what this release does not know."""
    return picture_of(((line, _content(line, before)) for line in map(_decode, lines)), digest)


def _content(line: "_Line", before: Picture) -> Content:
    kept = before.contents.get(line.digest)
    return kept if kept is not None else read_content(line.kind, msgspec.json.decode(line.content))


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Line).decode
