"""What policies speak about: tenants, groups, callers, servers and what servers offer, as Cedar entities, actions and a schema.

| entity | parents | attributes |
|---|---|---|
| `Tenant::"acme"` | | |
| `Group::"acme/eng"` | its tenant | |
| `Caller::"acme/person/alice"`, `Caller::"acme/workload/ci"` | groups, tenant | tenant, person?, workload?, client, issuer, scopes |
| `Server::"notes"` | its tenant | tenant, owner |
| `Tool::"notes/add"` | its server | tenant, server, name, and as reviewed: idempotent, data, untrusted, sink |
| `Prompt::"notes/daily"`, `Resource::"notes/file:///a"` | its server | tenant, server, name, and by its pin: sink |

Actions: `Action::"call:notes/add"` in its class `Action::"read"`, `Action::"write"` or `Action::"destructive"`; `Action::"get:prompt"` and
`Action::"read:resource"` in `Action::"read"`. A person and a workload never share a caller id, whatever their names are. Server names hold
no slash, so `<server>/<name>` is unambiguous.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import cedarpy
import msgspec

from customhouse.core.flow import WORDS
from customhouse.core.identity import Caller
from customhouse.core.manifest import Data, Effect, Pin, ServerDefinition, ToolReview
from customhouse.core.policyarguments import ArgumentType, arguments_type, as_cedar

Uid = tuple[str, str]
"""A Cedar entity: its type and its id."""


class PolicyTool(msgspec.Struct, frozen=True):
    """A tool that policies may speak about: pinned and with a reviewed class."""

    name: str
    effect: Effect
    input_schema: dict[str, Any]
    idempotent: bool = False
    data: Data = "internal"
    untrusted: bool = True
    sink: bool | None = None
    """Absent: what the class says."""

    @property
    def labels(self) -> dict[str, Any]:
        """The attributes that a reviewer gave it, beside its class."""
        sink = self.effect.changes_things if self.sink is None else self.sink
        return {"idempotent": self.idempotent, "data": self.data, "untrusted": self.untrusted, "sink": sink}


class PolicyServer(msgspec.Struct, frozen=True):
    """A server as policies see it."""

    name: str
    tenant: str
    owner: str
    tools: tuple[PolicyTool, ...] = ()
    prompts: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    """The URIs of the listed resources; others may be read through templates."""
    prompts_with_arguments: frozenset[str] = frozenset()
    """Those of the prompts that are sinks: what the caller knows can leave through their arguments."""


def policy_servers(definitions: Iterable[ServerDefinition], pins: Mapping[str, Pin]) -> tuple[PolicyServer, ...]:
    """The servers of a deployment, in name order."""
    return tuple(policy_server(one, pins.get(one.name)) for one in sorted(definitions, key=lambda one: one.name))


def policy_server(definition: ServerDefinition, pin: Pin | None) -> PolicyServer:
    """A server as policies see it. A tool that has no class or is not in the pin does not exist here."""
    bare = PolicyServer(definition.name, definition.tenant, definition.owner)
    if pin is None:
        return bare
    offered = {str(tool["name"]): tool for tool in pin.manifest.tools}
    reviewed = {name: definition.tools[name] for name in sorted(offered) if name in definition.tools}
    return msgspec.structs.replace(
        bare,
        tools=tuple(_policy_tool(name, review, offered[name].get("inputSchema", {})) for name, review in reviewed.items()),
        prompts=tuple(sorted({str(prompt["name"]) for prompt in pin.manifest.prompts})),
        prompts_with_arguments=frozenset(str(prompt["name"]) for prompt in pin.manifest.prompts if prompt.get("arguments")),
        resources=tuple(sorted({str(resource["uri"]) for resource in pin.manifest.resources})),
    )


def _policy_tool(name: str, review: ToolReview, input_schema: dict[str, Any]) -> PolicyTool:
    untrusted = review.content == "untrusted"
    return PolicyTool(name, review.effect, input_schema, review.idempotent, review.data, untrusted, review.sink)


@dataclass(frozen=True, slots=True, eq=False)
class ActionRef:
    """One thing that can be called, read or got: a handle of the server that offers it, hashed by identity, so that looking a decision up
    is cheap. It says what it stands for and nothing of any policy; what is decided about it is kept by each policy for itself."""

    action: Uid
    effect: Effect
    resource: Uid
    tenant: str
    server: str
    owner: str
    name: str
    tool: PolicyTool | None = None
    """What a tool is to policies; None for what is no tool."""
    is_sink: bool = False
    """Whether a prompt or resource is a sink; of a tool its review says it."""
    _arguments: ArgumentType | None = field(init=False, default=None)

    @property
    def arguments(self) -> ArgumentType | None:
        """The type of the arguments, made at first use; None where the context has no arguments."""
        if self._arguments is None and self.tool is not None:
            object.__setattr__(self, "_arguments", arguments_type(self.tool.input_schema))
        return self._arguments

    @property
    def labels(self) -> Mapping[str, Any]:
        """What a reviewer said of a tool beside its class; of a prompt or resource, whether it is a sink."""
        return {"sink": self.is_sink} if self.tool is None else self.tool.labels

    @property
    def actions(self) -> frozenset[Uid]:
        """The action and its class."""
        return frozenset({self.action, ("Action", self.effect.value)})

    @property
    def resources(self) -> frozenset[Uid]:
        """The resource, its server and its tenant."""
        return frozenset({self.resource, ("Server", self.server), ("Tenant", self.tenant)})


class ServerRefs:
    """A server with a handle for each thing that policies know of it. It rests on the server alone, so policies may share it."""

    def __init__(self, server: PolicyServer, digest: str = "") -> None:
        self.server: Final = server
        self.tools: Final = {tool.name: tool_ref(server, tool) for tool in server.tools}
        self.prompts: Final = {prompt: prompt_ref(server, prompt) for prompt in server.prompts}
        self.resources: Final = {uri: resource_ref(server, uri, listed=True) for uri in server.resources}
        self._digest = digest

    def resource(self, uri: str) -> ActionRef:
        """The handle of a resource; a new one for what is not listed."""
        return self.resources.get(uri) or resource_ref(self.server, uri, listed=False)

    @property
    def all(self) -> tuple[ActionRef, ...]:
        """Every handle: tools, prompts, resources."""
        return (*self.tools.values(), *self.prompts.values(), *self.resources.values())

    @property
    def digest(self) -> str:
        """Over all that a decision can rest on here: attributes, classes, labels and the types of arguments."""
        if not self._digest:
            self._digest = _digest(self.server, self.all)
        return self._digest

    @cached_property
    def schema(self) -> cedarpy.Schema:
        """What contexts of calls here are held against: that of all servers takes 5 s to read at 50,000 tools, and one call concerns
        one."""
        return cedarpy.Schema.from_json_str(json.dumps(cedar_schema(self.all)))


def _digest(server: PolicyServer, refs: Iterable[ActionRef]) -> str:
    things = sorted(((ref.resource, ref.effect.value, ref.labels, ref.arguments) for ref in refs), key=lambda thing: thing[0])
    value = [server.name, server.tenant, server.owner, things]
    return "sha256:" + hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()


def tool_ref(server: PolicyServer, tool: PolicyTool) -> ActionRef:
    path = f"{server.name}/{tool.name}"
    parts = (server.tenant, server.name, server.owner, tool.name)
    return ActionRef(("Action", f"call:{path}"), tool.effect, ("Tool", path), *parts, tool)


def prompt_ref(server: PolicyServer, name: str) -> ActionRef:
    parts = (server.tenant, server.name, server.owner, name)
    return ActionRef(
        ("Action", "get:prompt"),
        Effect.READ,
        ("Prompt", f"{server.name}/{name}"),
        *parts,
        is_sink=name in server.prompts_with_arguments,
    )


def resource_ref(server: PolicyServer, uri: str, *, listed: bool) -> ActionRef:
    """One that is not listed is read through a template: its URI is written by the caller, so it is a sink."""
    parts = (server.tenant, server.name, server.owner, uri)
    return ActionRef(("Action", "read:resource"), Effect.READ, ("Resource", f"{server.name}/{uri}"), *parts, is_sink=not listed)


def sending(ref: ActionRef) -> ActionRef:
    """The same thing as a sink: a request for it that carries what the caller wrote, whatever its pin declares."""
    return replace(ref, is_sink=True)


def caller_uid(caller: Caller) -> Uid:
    """The person if there is one, else the workload, as `Caller.subject` has it."""
    kind = "person" if caller.person else "workload"
    return ("Caller", f"{caller.tenant}/{kind}/{caller.subject}")


def caller_uids(caller: Caller) -> frozenset[Uid]:
    """The caller with all that the caller is in."""
    groups = {("Group", f"{caller.tenant}/{group}") for group in caller.groups}
    return frozenset({caller_uid(caller), ("Tenant", caller.tenant), *groups})


def caller_entities(caller: Caller, *, unknown_scopes: bool = False) -> str:
    """The caller, the caller's groups and tenant, in Cedar's JSON entity format; with unknown scopes for partial evaluation alone."""
    tenant = ("Tenant", caller.tenant)
    groups = [("Group", f"{caller.tenant}/{group}") for group in sorted(set(caller.groups))]
    present = {"person": caller.person, "workload": caller.workload}
    attributes = {name: value for name, value in present.items() if value}
    attributes |= {"tenant": caller.tenant, "client": caller.client, "issuer": caller.issuer}
    scopes: Any = {"__extn": {"fn": "unknown", "arg": "scopes"}} if unknown_scopes else sorted(caller.scopes)
    itself = _entity(caller_uid(caller), {**attributes, "scopes": scopes}, [*groups, tenant])
    return json.dumps([itself, *(_entity(group, {}, [tenant]) for group in groups), _entity(tenant, {}, [])])


def ref_entities(refs: Iterable[ActionRef], servers: Iterable[PolicyServer], tenants: Iterable[str]) -> str:
    """What the refs stand for, with their servers and tenants, and further servers and tenants, each entity once."""
    found: dict[Uid, dict[str, Any]] = {}
    for ref in refs:
        found[ref.resource] = _offered_entity(ref)
        found["Server", ref.server] = _server_entity(ref.server, ref.tenant, ref.owner)
        found["Tenant", ref.tenant] = _entity(("Tenant", ref.tenant), {}, [])
        found[ref.action] = _entity(ref.action, {}, [("Action", ref.effect.value)])
        found["Action", ref.effect.value] = _entity(("Action", ref.effect.value), {}, [])
    for server in servers:
        found["Server", server.name] = _server_entity(server.name, server.tenant, server.owner)
        found["Tenant", server.tenant] = _entity(("Tenant", server.tenant), {}, [])
    found |= {("Tenant", tenant): _entity(("Tenant", tenant), {}, []) for tenant in tenants}
    return json.dumps(list(found.values()))


def _offered_entity(ref: ActionRef) -> dict[str, Any]:
    return _entity(ref.resource, {"tenant": ref.tenant, "server": ref.server, "name": ref.name, **ref.labels}, [("Server", ref.server)])


def _server_entity(name: str, tenant: str, owner: str) -> dict[str, Any]:
    return _entity(("Server", name), {"tenant": tenant, "owner": owner}, [("Tenant", tenant)])


def _entity(uid: Uid, attributes: Mapping[str, Any], parents: Sequence[Uid]) -> dict[str, Any]:
    return {"uid": as_json(uid), "attrs": attributes, "parents": [as_json(parent) for parent in parents]}


def as_json(uid: Uid) -> dict[str, str]:
    return {"type": uid[0], "id": uid[1]}


def cedar_schema(refs: Iterable[ActionRef]) -> dict[str, Any]:
    """The schema that every rule is validated against, in Cedar's JSON schema format."""
    tools = {ref.action[1]: _action("Tool", ref.effect.value, ref.arguments) for ref in refs if ref.arguments is not None}
    classes: dict[str, Any] = {effect.value: {} for effect in Effect}
    actions = {
        **classes,
        **_PLACEHOLDERS,
        "get:prompt": _action("Prompt", Effect.READ.value, None),
        "read:resource": _action("Resource", Effect.READ.value, None),
        **tools,
    }
    return {"": {"entityTypes": _ENTITY_TYPES, "actions": actions}}


def _action(resource_type: str, effect: str, arguments: ArgumentType | None) -> dict[str, Any]:
    attributes: dict[str, Any] = {"portal": {"type": "String", "required": True}, "now": {"type": "Long", "required": True}, "flow": _FLOW}
    if arguments is not None:
        attributes["arguments"] = {**as_cedar(arguments), "required": True}
    applies_to = {
        "principalTypes": ["Caller"],
        "resourceTypes": [resource_type],
        "context": {"type": "Record", "attributes": attributes},
    }
    return {"memberOf": [{"id": effect}], "appliesTo": applies_to}


def _record(*required: str, **others: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Record", "attributes": {**{name: {"type": "String", "required": True} for name in required}, **others}}


_OPTIONAL_STRING: Final = {"type": "String", "required": False}
_STRINGS: Final = {"type": "Set", "element": {"type": "String"}, "required": True}
_BOOLEAN: Final = {"type": "Boolean", "required": True}
_LABELS: Final = {"data": {"type": "String", "required": True}, "idempotent": _BOOLEAN, "untrusted": _BOOLEAN, "sink": _BOOLEAN}
_FLOW: Final = {"type": "Record", "attributes": dict.fromkeys(WORDS, _BOOLEAN), "required": True}
"""What the conversation has read; see `flow.py`."""
_OFFERED: Final = {"memberOfTypes": ["Server"], "shape": _record("tenant", "server", "name", sink=_BOOLEAN)}
_ENTITY_TYPES: Final[Mapping[str, Any]] = {
    "Tenant": {},
    "Group": {"memberOfTypes": ["Tenant"]},
    "Caller": {
        "memberOfTypes": ["Group", "Tenant"],
        "shape": _record("tenant", "client", "issuer", person=_OPTIONAL_STRING, workload=_OPTIONAL_STRING, scopes=_STRINGS),
    },
    "Server": {"memberOfTypes": ["Tenant"], "shape": _record("tenant", "owner")},
    "Tool": {"memberOfTypes": ["Server"], "shape": _record("tenant", "server", "name", **_LABELS)},
    "Prompt": _OFFERED,
    "Resource": _OFFERED,
}

_PLACEHOLDERS: Final[Mapping[str, Any]] = {
    f"any:{effect.value}": _action("Tool", effect.value, ArgumentType("Record")) for effect in Effect
}
"""A tool without arguments in every class, in the schema alone: a grant of a class loads before the first such tool exists, and a
rule over a whole class asks `has` before it reads an argument, so that a new tool cannot make it invalid."""
