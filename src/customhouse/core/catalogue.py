"""What every endpoint offers: names, and the pinned entries they stand for.

A tool is here only if it is in the pin, has a reviewed class and no defect. Routing is by this table: a name is never split
(CVE-2026-30856), and an unknown name, endpoint or server means nothing, never everything.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec

from customhouse.core.flow import UNREVIEWED, taint_of
from customhouse.core.identity import Caller
from customhouse.core.manifest import Manifest, Pin, ServerDefinition, ToolReview
from customhouse.core.naming import addresses, alias_of, aliases
from customhouse.core.policy import ActionRef, Policy, ServerRefs
from customhouse.core.protocol.entries import translated_tool
from customhouse.core.protocol.paramheaders import HeaderParameter, header_parameters
from customhouse.core.protocol.revisions import ERA_OF, NEWEST_LEGACY, NEWEST_MODERN
from customhouse.core.protocol.uritemplate import Template, compile_template
from customhouse.core.refusal import Reason, Refused
from customhouse.core.schemas import DeferredSchema, Schema, compile_schema
from customhouse.core.screening import Screen, Screening, screen_of
from customhouse.core.verdict import Verdict, servable


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What a name stands for, whatever its kind: enough to decide about it and to ask for it."""

    server: ServerDefinition
    kind: str
    """`tool`, `prompt`, `resource` or `template`."""
    name: str
    """The server's own name, or the URI that is asked for."""
    pinned_name: str
    """The name in the pin; the template's text for a resource under a template."""
    pin_digest: str
    action: ActionRef
    call_timeout_seconds: float
    effect: str = "read"
    changes_things: bool = False
    scopes: frozenset[str] = frozenset()
    revision: str = NEWEST_MODERN
    """The revision that the entry was captured in."""
    taint: int = UNREVIEWED
    """What a conversation has read after an answer."""
    output: DeferredSchema | None = None
    """The pinned output schema of a tool that declares one, where it is enforced."""
    screen: Screen = msgspec.field(default_factory=lambda: screen_of(Screening()))
    """What is looked for in the words of the server."""


class Tool:
    """A callable tool: the pinned definition and what a reviewer decided about it. What only a call needs is made at first use."""

    __slots__ = ("_entry", "_parameters", "_schema", "action", "definition", "name", "pin_digest", "review", "revision", "server")

    def __init__(
        self, server: ServerDefinition, definition: Mapping[str, Any], review: ToolReview, pin_digest: str, action: ActionRef, revision: str
    ) -> None:
        self.server = server
        self.name: str = definition["name"]
        self.definition = definition
        self.review = review
        self.pin_digest = pin_digest
        self.action = action
        self.revision = revision
        """The revision that the definition was captured in."""
        self._entry: Entry | None = None
        self._schema: Schema | None = None
        self._parameters: tuple[HeaderParameter, ...] | None = None

    @property
    def entry(self) -> Entry:
        """What the steps of a call need to know."""
        if self._entry is None:
            self._entry = self._as_entry()
        return self._entry

    def _as_entry(self) -> Entry:
        server, review = self.server, self.review
        return Entry(
            server,
            "tool",
            self.name,
            self.name,
            self.pin_digest,
            self.action,
            review.call_timeout_seconds or server.call_timeout_seconds,
            review.effect.value,
            review.effect.changes_things,
            frozenset(review.scopes),
            self.revision,
            taint_of(review),
            _output_of(self.definition) if server.screening.output == "enforce" else None,
            screen_of(server.screening),
        )

    def seen_in(self, revision: str) -> Mapping[str, Any] | None:
        """The definition as a client of a revision can read it; None if it must not see the tool."""
        return translated_tool(self.definition, self.revision, revision)

    @property
    def schema(self) -> Schema:
        """The validator of the pinned input schema."""
        if self._schema is None:
            self._schema = compile_schema(self.definition["inputSchema"])
        return self._schema

    @property
    def header_parameters(self) -> tuple[HeaderParameter, ...]:
        """The parameters that clients and the gateway mirror into `Mcp-Param-*` headers."""
        if self._parameters is None:
            self._parameters = header_parameters(self.definition["inputSchema"])
        return self._parameters


def _output_of(definition: Mapping[str, Any]) -> DeferredSchema | None:
    declared = definition.get("outputSchema")
    if type(declared) is bool:  # JSON Schema 2020-12, 4.3.2: everything, or nothing
        declared = {} if declared else {"not": {}}
    return None if declared is None else DeferredSchema(declared)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt of a pin."""

    server: ServerDefinition
    definition: Mapping[str, Any]
    pin_digest: str
    action: ActionRef
    revision: str

    @property
    def name(self) -> str:
        """The server's own name of the prompt."""
        return str(self.definition["name"])

    @property
    def entry(self) -> Entry:
        """What the steps of a call need to know."""
        server, screen = self.server, screen_of(self.server.screening)
        seconds = server.call_timeout_seconds
        return Entry(server, "prompt", self.name, self.name, self.pin_digest, self.action, seconds, revision=self.revision, screen=screen)


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of a pin, or any resource under a pinned template."""

    server: ServerDefinition
    definition: Mapping[str, Any]
    pin_digest: str
    action: ActionRef
    revision: str
    template: Template | None = None

    def entry(self, uri: str, policy: Policy) -> Entry:
        """What the steps of a call need to know; under a template, the policy is asked about the very URI."""
        kind, pinned, action = "resource", self.definition.get("uri", ""), self.action
        if self.template is not None:
            kind, pinned, action = "template", self.definition["uriTemplate"], policy.resource(self.server.name, uri)
        server, screen = self.server, screen_of(self.server.screening)
        seconds = server.call_timeout_seconds
        return Entry(server, kind, uri, pinned, self.pin_digest, action, seconds, revision=self.revision, screen=screen)


@dataclass(frozen=True)
class Endpoint:
    """One MCP endpoint: a portal with prefixed names, or a single server with its own names."""

    path: str
    resource: str
    """The URL of the endpoint: the audience of its tokens (RFC 8707) and the `resource` of its metadata (RFC 9728)."""
    portal: str
    """Name of the portal; empty for the endpoint of a single server."""
    servers: Mapping[str, Manifest]
    """The pinned manifests behind the endpoint, by server name."""
    tenants: Mapping[str, str]
    """The tenant of each server behind the endpoint, by server name."""
    tools: Mapping[str, Tool] = field(default_factory=dict)
    prompts: Mapping[str, Prompt] = field(default_factory=dict)
    resources: Mapping[tuple[str, str], Resource] = field(default_factory=dict)
    """By tenant and URI."""
    templates: tuple[Resource, ...] = ()
    revisions: Mapping[str, str] = field(default_factory=dict)
    """The revision in which each server's pin was captured, by server name."""

    def tool(self, name: object) -> Tool:
        """The tool of a name. Raises `Refused` UNKNOWN_NAME."""
        found = self.tools.get(name) if type(name) is str else None
        if found is None:
            raise Refused(Reason.UNKNOWN_NAME)
        return found

    def tool_of(self, server: str, name: str) -> Tool | None:
        """The tool that a server knows by this name, if it is offered here."""
        found = self.tools.get(alias_of(server, name) if self.portal else name)
        return found if found is not None and (found.server.name, found.name) == (server, name) else None

    def prompt(self, name: object) -> Prompt:
        """The prompt of a name. Raises `Refused` UNKNOWN_NAME."""
        found = self.prompts.get(name) if type(name) is str else None
        if found is None:
            raise Refused(Reason.UNKNOWN_NAME)
        return found

    def resource_at(self, uri: object, tenant: str) -> Resource:
        """A tenant's resource of a URI, listed or under a template. Raises `Refused` UNKNOWN_NAME."""
        if type(uri) is str:
            if found := self.resources.get((tenant, uri)):
                return found
            own = [entry for entry in self.templates if entry.server.tenant == tenant]
            matching = [entry for entry in own if entry.template is not None and entry.template.matches(uri)]
            if matching and len({entry.server.name for entry in matching}) == 1:
                return matching[0]
        raise Refused(Reason.UNKNOWN_NAME, {"uri": uri} if type(uri) is str else {})

    def serves(self, caller: Caller) -> bool:
        """Whether any server here belongs to the caller's tenant; to everybody else the endpoint does not exist."""
        return caller.tenant in self.tenants.values()

    @cached_property
    def scopes(self) -> tuple[str, ...]:
        """Every scope that some tool here asks for, sorted: `scopes_supported` of the metadata."""
        return tuple(sorted({scope for tool in self.tools.values() for scope in tool.review.scopes}))


NOWHERE = Endpoint("", "", "", {}, {})
"""Serves nobody."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What one server offers after review: the entries of its pin that may be seen at all."""

    definition: ServerDefinition
    manifest: Manifest
    tools: tuple[Tool, ...]
    prompts: tuple[Prompt, ...]
    resources: tuple[Resource, ...]
    revision: str
    """The revision in which the pin was captured."""


def offer(
    definition: ServerDefinition, pin: Pin, refs: ServerRefs, known: Collection[str] | None = None, verdict: Verdict | None = None
) -> Offer:
    """The servable entries of one server; of a deprecated version those tools that are `known`, and prompts, that policies know by its
    successor, whose `refs` it has. `verdict`: what was found out about this very pin."""
    sound = servable(pin.manifest, verdict)
    tools = [entry for entry in sound.tools if entry["name"] in definition.tools and (known is None or entry["name"] in known)]
    revision = pin.revision if pin.revision in ERA_OF else NEWEST_LEGACY
    return Offer(
        definition,
        pin.manifest,
        tuple(Tool(definition, t, definition.tools[t["name"]], pin.digest, refs.tools[t["name"]], revision) for t in tools),
        tuple(Prompt(definition, p, pin.digest, refs.prompts[p["name"]], revision) for p in sound.prompts if p["name"] in refs.prompts),
        tuple(
            [Resource(definition, r, pin.digest, refs.resource(r["uri"]), revision) for r in sound.resources]
            + [
                Resource(definition, t, pin.digest, refs.resource(t["uriTemplate"]), revision, compile_template(t["uriTemplate"]))
                for t in sound.resource_templates
            ]
        ),
        revision,
    )


def server_path(name: str, version: int = 0) -> str:
    """Where a server is, or with a number an older version of it."""
    return f"/servers/{name}/versions/{version}/mcp" if version else f"/servers/{name}/mcp"


def server_endpoint(offered: Offer, public_url: str, version: int = 0) -> Endpoint:
    """`/servers/<name>/mcp`: one server with its own names; with a number, an older version beside it, which has a path of its own."""
    path = server_path(offered.definition.name, version)
    return Endpoint(
        path,
        public_url + path,
        "",
        {offered.definition.name: offered.manifest},
        {offered.definition.name: offered.definition.tenant},
        {tool.name: tool for tool in offered.tools},
        {prompt.name: prompt for prompt in offered.prompts},
        {(entry.server.tenant, entry.definition["uri"]): entry for entry in offered.resources if entry.template is None},
        tuple(entry for entry in offered.resources if entry.template is not None),
        {offered.definition.name: offered.revision},
    )


def portal_endpoint(portal: str, offers: Sequence[Offer], public_url: str) -> Endpoint:
    """`/mcp` or `/mcp/<portal>`: several servers, tools and prompts named `<server>__<name>`. Raises `ValueError` if two aliases
    collide."""
    path = "/mcp" if portal == "default" else f"/mcp/{portal}"
    tools = [tool for offered in offers for tool in offered.tools]
    prompts = [prompt for offered in offers for prompt in offered.prompts]
    plain = [entry for offered in offers for entry in offered.resources if entry.template is None]
    return Endpoint(
        path,
        public_url + path,
        portal,
        {offered.definition.name: offered.manifest for offered in offers},
        {offered.definition.name: offered.definition.tenant for offered in offers},
        {alias: tools[position] for position, alias in enumerate(aliases((tool.server.name, tool.name) for tool in tools))},
        {alias: prompts[position] for position, alias in enumerate(aliases((prompt.server.name, prompt.name) for prompt in prompts))},
        _unambiguous(plain, "uri"),
        tuple(_unambiguous([e for offered in offers for e in offered.resources if e.template is not None], "uriTemplate").values()),
        {offered.definition.name: offered.revision for offered in offers},
    )


def _unambiguous(entries: Sequence[Resource], key: str) -> dict[tuple[str, str], Resource]:
    """Entries by tenant and address; an address that two servers of a tenant offer belongs to neither here, since a URI carries no
    server name."""
    found: dict[tuple[str, str], Resource] = {}
    for tenant in dict.fromkeys(entry.server.tenant for entry in entries):
        own = [(str(entry.definition[key]), entry) for entry in entries if entry.server.tenant == tenant]
        served = addresses((entry.server.name, address) for address, entry in own)
        found |= {(tenant, address): entry for address, entry in own if served.servers.get(address) == entry.server.name}
    return found
