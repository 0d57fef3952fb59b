"""What is served, as one immutable value: the servers with their pins, the policies and the portals that operators activated.

The control process writes it down line by line, one version a line, and gateways read it. A line that says what a line of the picture
before said is not read again: its values are taken over, so what did not change is the same object as before. A line carries what was
found out about its content, with the name of the rules that found it; a reader with other rules finds it out again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import msgspec

from customhouse.core.catalogue import Offer, offer, server_path
from customhouse.core.content import Content, GrantsContent, PolicyContent, PortalContent, ServerContent, decode_content
from customhouse.core.manifest import Pin, ServerDefinition
from customhouse.core.policy import ServerRefs
from customhouse.core.policygrants import Grant, grant_of
from customhouse.core.policymodel import policy_server
from customhouse.core.review import SERVED, Kind, State, Version
from customhouse.core.verdict import RULES, Verdict


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


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    kind: Kind
    name: str
    number: int
    digest: str
    state: State
    verdict: Verdict | None = None
    """Of a server."""
    checked: str = ""
    """Of a policy or grants: the rules by which those of this picture were checked against its servers."""
    content: msgspec.Raw


@dataclass(frozen=True, eq=False)
class ServedServer:
    """A version of a server that is served. What is made of it rests on nothing else, so it is made once."""

    name: str
    number: int
    digest: str
    deprecated: bool
    """It is served until its window ends, beside its successor at an address of its own where there is one."""
    definition: ServerDefinition
    pin: Pin | None
    verdict: Verdict | None = None
    """What was found out about this content, if by the rules of this release; None: it is found out at first use."""
    offered: bool = True
    """False for a version that is served no more: rules may name it still, and nothing of it is offered."""

    @cached_property
    def refs(self) -> ServerRefs:
        """What policies know of it."""
        return ServerRefs(policy_server(self.definition, self.pin), "" if self.verdict is None else self.verdict.known)

    @cached_property
    def offer(self) -> Offer | None:
        """What it offers as the current version; None without a pin."""
        return None if self.pin is None else offer(self.definition, self.pin, self.refs, verdict=self.verdict)

    def offer_beside(self, current: Offer, refs: ServerRefs) -> Offer | None:
        """What it offers beside the current version: what policies know by that one."""
        known = {tool.name for tool in current.tools}
        return None if self.pin is None else offer(self.definition, self.pin, refs, known, self.verdict)


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
    checked: bool = False
    """These policies and grants were checked against these servers by the rules of this release."""
    lines: Mapping[tuple[str, int, str, State], "_Read"] = field(default_factory=dict)
    """What was read, for the next picture."""

    @property
    def current(self) -> dict[str, ServedServer]:
        """The version of each server that policies know: the active one, else the newest deprecated one, else what was served last."""
        found: dict[str, ServedServer] = {}
        for one in sorted(self.servers, key=lambda each: (each.offered, not each.deprecated, each.number)):
            found[one.name] = one
        return dict(sorted(found.items()))

    @property
    def beside(self) -> list[ServedServer]:
        """The older versions that are served beside the current ones."""
        current = self.current
        return [one for one in self.servers if one.offered and one is not current[one.name] and current[one.name].offered]

    @property
    def paths(self) -> list[str]:
        """The paths of its endpoints: portals first, the default one always."""
        portals = sorted(f"/mcp/{name}" for name in self.portals if name != "default")
        servers = [server_path(name) for name, one in self.current.items() if one.offered and one.pin is not None]
        older = [server_path(one.name, one.number) for one in self.beside if one.pin is not None]
        return ["/mcp", *portals, *servers, *older]


def lines_of(served: Iterable[tuple[Version, bytes]], verdicts: Mapping[str, Verdict] | None = None, checked: str = "") -> list[bytes]:
    """The lines of what is served, each version with its canonical content, in an order that says nothing. `verdicts` by the digest of the
    content; `checked`: the rules by which all of it was built and checked as one."""
    ordered = sorted(served, key=lambda one: (one[0].kind.value, one[0].name, one[0].number))
    return [
        _encode(
            _Line(
                kind=v.kind,
                name=v.name,
                number=v.number,
                digest=v.digest,
                state=v.state,
                verdict=(verdicts or {}).get(v.digest),
                checked=checked if v.kind in _RULED else "",
                content=msgspec.Raw(c),
            )
        )
        for v, c in ordered
    ]


_Read = ServedServer | PolicyContent | GrantsContent | PortalContent
_RULED = frozenset({Kind.POLICY, Kind.GRANT})


def picture_of(served: Iterable[tuple[Named, Content]], verdicts: Mapping[str, Verdict]) -> Picture:
    """The picture of these versions; `verdicts` by the digest of the content."""
    return _picture((version, _read(version, content, verdicts.get(version.digest))) for version, content in served)


def read_picture(digest: str, lines: Iterable[bytes], before: Picture) -> Picture:
    """The picture of these lines. Raises `msgspec.MsgspecError` for what this release does not know."""
    checked = True
    read: list[tuple[Named, _Read]] = []
    standing = {one.name: one.definition for one in before.servers if not one.deprecated}
    for line in map(_decode, lines):
        checked = checked and (line.kind not in _RULED or line.checked == RULES)
        known = before.lines.get(_place(line))
        if known is None:
            known = _read(line, _settled(decode_content(line.kind, line.content), line, standing), line.verdict)
        read.append((msgspec.structs.replace(line, content=_NOTHING), known))
    return _picture(read, digest, checked=checked)


def _settled(content: Content, line: _Line, standing: Mapping[str, ServerDefinition]) -> Content:
    """The content with the very definition that stands where it is equal: connections and programs belong to a definition, and a server
    whose pin alone changed keeps them."""
    if not isinstance(content, ServerContent) or line.state is not State.ACTIVE or standing.get(line.name) != content.definition:
        return content
    return msgspec.structs.replace(content, definition=standing[line.name])


def _read(version: Named, content: Content, verdict: Verdict | None) -> _Read:
    if not isinstance(content, ServerContent):
        return content
    holds = verdict is not None and verdict.holds
    return ServedServer(
        version.name,
        version.number,
        version.digest,
        version.state is State.DEPRECATED,
        content.definition,
        content.pin,
        verdict if holds else None,
        version.state in SERVED,
    )


def _picture(read: Iterable[tuple[Named, _Read]], digest: str = "", *, checked: bool = False) -> Picture:
    servers: list[ServedServer] = []
    policies: dict[str, str] = {}
    portals: dict[str, tuple[str, ...]] = {}
    grants: list[Grant] = []
    lines: dict[tuple[str, int, str, State], _Read] = {}
    for version, value in read:
        lines[_place(version)] = value
        if isinstance(value, ServedServer):
            servers.append(value)
        elif isinstance(value, PolicyContent):
            policies[version.name] = value.text
        elif isinstance(value, PortalContent):
            portals[version.name] = value.portal.servers
        else:
            file = f"{version.name}.yaml"
            grants += [grant_of(each, version.name, number, file, number) for number, each in enumerate(value.grants, 1)]
    return Picture(digest, tuple(servers), policies, portals, tuple(grants), checked, lines)


def _place(version: Named) -> tuple[str, int, str, State]:
    """What makes a line what it is: the digest is over kind, name and content."""
    return version.name, version.number, version.digest, version.state


_NOTHING = msgspec.Raw(b"")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Line).decode
