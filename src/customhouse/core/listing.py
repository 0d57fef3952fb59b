"""What the gateway answers from the view alone: `initialize`, `server/discover` and every list.

Lists are in name order and the same for the same caller, view and revision (MCP 2026-07-28, server/tools, Capabilities). What the servers
offer is told as `core.protocol.capabilities` words it for the client's revision.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from customhouse.core.catalogue import Endpoint
from customhouse.core.identity import Caller
from customhouse.core.manifest import Era, ServerDefinition
from customhouse.core.policy import ActionRef
from customhouse.core.protocol.capabilities import offered, together
from customhouse.core.protocol.revisions import LEGACY_REVISIONS, MODERN_REVISIONS, NEWEST_LEGACY, NEWEST_MODERN

Visible = Callable[[Caller, ActionRef], bool]
Drifted = Callable[[str, str, str], bool]
"""Whether an entry, by server, kind and pinned name, is blocked."""

_NEWEST = {Era.LEGACY: NEWEST_LEGACY, Era.MODERN: NEWEST_MODERN}


def listed(
    endpoint: Endpoint, method: str, caller: Caller, era: Era, visible: Visible, drifted: Drifted, *, revision: str = ""
) -> dict[str, Any]:
    """The result of a list method: what some call of this caller could reach, nothing that is blocked, in the words of the caller's
    revision; without one, in those of the newest of the era."""
    spoken = revision or _NEWEST[era]

    def seen(server: ServerDefinition, action: ActionRef, kind: str, name: object) -> bool:
        return server.tenant == caller.tenant and not drifted(server.name, kind, str(name)) and visible(caller, action)

    if method == "tools/list":
        tools = [
            (name, tool.seen_in(spoken))
            for name, tool in sorted(endpoint.tools.items())
            if seen(tool.server, tool.action, "tool", tool.name)
        ]
        return {"tools": [{**definition, "name": name} for name, definition in tools if definition is not None]}
    if method == "prompts/list":
        prompts = [
            (name, prompt.definition)
            for name, prompt in sorted(endpoint.prompts.items())
            if seen(prompt.server, prompt.action, "prompt", prompt.name)
        ]
        return {"prompts": [{**definition, "name": name} for name, definition in prompts]}
    if method == "resources/list":
        resources = [entry for _, entry in sorted(endpoint.resources.items())]
        return {"resources": [e.definition for e in resources if seen(e.server, e.action, "resource", e.definition["uri"])]}
    templates = [e for e in endpoint.templates if seen(e.server, e.action, "template", e.definition["uriTemplate"])]
    return {"resourceTemplates": [entry.definition for entry in templates]}


def shown(endpoint: Endpoint, caller: Caller, visible: Visible, drifted: Drifted) -> dict[str, int]:
    """What the lists show a caller, by kind (`tools`, `prompts`, `resources`): a number that is another one when they show something else.

    It lives as long as the process. An entry approved anew counts as another one.
    """

    def seen(server: ServerDefinition, action: ActionRef, kind: str, name: object) -> bool:
        return server.tenant == caller.tenant and not drifted(server.name, kind, str(name)) and visible(caller, action)

    tools = [(name, one.pin_digest) for name, one in endpoint.tools.items() if seen(one.server, one.action, "tool", one.name)]
    prompts = [(name, one.pin_digest) for name, one in endpoint.prompts.items() if seen(one.server, one.action, "prompt", one.name)]
    resources = [(uri, one.pin_digest) for (_, uri), one in endpoint.resources.items() if seen(one.server, one.action, "resource", uri)]
    resources += [
        (text, one.pin_digest)
        for text, one in ((str(one.definition["uriTemplate"]), one) for one in endpoint.templates)
        if seen(one.server, one.action, "template", text)
    ]
    return {"tools": hash(frozenset(tools)), "prompts": hash(frozenset(prompts)), "resources": hash(frozenset(resources))}


def offers(endpoint: Endpoint, caller: Caller, revision: str) -> dict[str, Any]:
    """What the servers behind an endpoint that belong to the caller's tenant offer, in the words of a revision."""
    servers = [(name, manifest) for name, manifest in sorted(endpoint.servers.items()) if _serves(endpoint, name, caller)]
    return together(offered(manifest.capabilities, endpoint.revisions.get(name, NEWEST_LEGACY), revision) for name, manifest in servers)


def greeting(endpoint: Endpoint, caller: Caller, era: Era, server_info: Mapping[str, Any], requested: object) -> dict[str, Any]:
    """The result of `initialize` or `server/discover`: what the servers behind an endpoint offer to this caller, cut to what is relayed."""
    servers = {name: manifest for name, manifest in sorted(endpoint.servers.items()) if _serves(endpoint, name, caller)}
    version = NEWEST_MODERN if era is Era.MODERN else requested if requested in LEGACY_REVISIONS else NEWEST_LEGACY
    capabilities = offers(endpoint, caller, str(version))
    said = {name: manifest.instructions for name, manifest in servers.items() if manifest.instructions}
    instructions = _merged(said) if endpoint.portal else "".join(said.values())
    result: dict[str, Any] = {"capabilities": capabilities} | ({"instructions": instructions} if instructions else {})
    if era is Era.MODERN:
        return {"supportedVersions": list(MODERN_REVISIONS), **result}
    return {"protocolVersion": version, "serverInfo": server_info, **result}


def _serves(endpoint: Endpoint, name: str, caller: Caller) -> bool:
    return endpoint.tenants.get(name) == caller.tenant


def _merged(said: Mapping[str, str]) -> str:
    return "\n\n".join(_sections(said.items()))


def _sections(said: Iterable[tuple[str, str]]) -> Iterable[str]:
    for name, text in said:
        yield f"# {name}\n{text}"
