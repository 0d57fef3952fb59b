"""What each side can do, as the other side may be told: cut to what the gateway relays, worded for the revision, never widened.

Sources: the schemas of MCP 2024-11-05 to 2026-07-28, ClientCapabilities and ServerCapabilities; 2025-11-25 and 2026-07-28,
client/elicitation (an empty `elicitation` means forms only) and client/sampling; 2026-07-28, basic/versioning (Extension Negotiation).

The gateway thinks of a client's capabilities in their modern form. That form is closed: nothing a client makes up is kept, so it can be
part of the key of a session at a server.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from customhouse.core.manifest import Era
from customhouse.core.protocol.revisions import ERA_OF, NEWEST_MODERN, PREFIX

APPS = PREFIX + "ui"
TASKS = PREFIX + "tasks"

APP_PAGE = "text/html;profile=mcp-app"
"""The one media type that the apps extension defines (MCP Apps 2026-01-26, Client<>Server Capability Negotiation)."""

Capabilities = Mapping[str, Any]

_SINCE = {"roots": "2024-11-05", "sampling": "2024-11-05", "elicitation": "2025-06-18"}
_WITH_PARTS = "2025-11-25"
"""First revision in which elicitation has modes, and sampling says whether tools and context are understood."""
_PARTS = {"elicitation": ("form", "url"), "sampling": ("context", "tools")}

# What a client can do


def declared(capabilities: Capabilities, client: str) -> dict[str, Any]:
    """What a client of a revision declared, at `initialize` or in `_meta`, as far as the gateway relays it, in the modern form.

    Modes and parts are named, `{"elicitation": {"form": {}}}`; `roots` keeps `listChanged` where it is true. What has the wrong type counts
    as not declared. Tasks and experimental capabilities are not relayed.
    """
    found: dict[str, Any] = {}
    for name, since in _SINCE.items():
        said = capabilities.get(name)
        if type(said) is dict and client >= since:
            parts = _parts_of(name, said, client)
            if parts is not None:
                found[name] = parts
    extensions = _extensions(capabilities, client)
    return {**found, "extensions": extensions} if extensions else found


def _parts_of(name: str, said: Mapping[str, Any], client: str) -> dict[str, Any] | None:
    """What a capability says of its parts, None where nothing is left of it."""
    if name == "roots":
        return {"listChanged": True} if ERA_OF[client] is Era.LEGACY and said.get("listChanged") is True else {}
    if client < _WITH_PARTS:
        return {"form": {}} if name == "elicitation" else {}
    parts: dict[str, Any] = {part: {} for part in _PARTS[name] if type(said.get(part)) is dict}
    if name == "elicitation" and not parts:
        return None if said else {"form": {}}
    return parts


def _extensions(capabilities: Capabilities, client: str) -> dict[str, Any]:
    """Apps are negotiated in both eras under `extensions`, which is an unknown member to a legacy schema; tasks in the modern one."""
    said = capabilities.get("extensions")
    if type(said) is not dict:
        return {}
    found: dict[str, Any] = {}
    if type(said.get(APPS)) is dict:
        kinds = said[APPS].get("mimeTypes")
        found[APPS] = {"mimeTypes": [APP_PAGE]} if type(kinds) is list and APP_PAGE in kinds else {}
    if ERA_OF[client] is Era.MODERN and type(said.get(TASKS)) is dict:
        found[TASKS] = {}
    return found


def declared_to(capabilities: Capabilities, server: str) -> dict[str, Any]:
    """What is declared to a server of a revision: `capabilities` as `declared` gave them, in the server's words.

    What the server's revision cannot express is left out: elicitation before 2025-06-18, pages to open before 2025-11-25, `listChanged` of
    roots and tasks across eras.
    """
    told: dict[str, Any] = {}
    for name, since in _SINCE.items():
        if name in capabilities and server >= since:
            parts = _told_parts(name, capabilities[name], server)
            if parts is not None:
                told[name] = parts
    extensions: Mapping[str, Any] = capabilities.get("extensions", {})
    if ERA_OF[server] is Era.LEGACY:
        extensions = {name: value for name, value in extensions.items() if name != TASKS}
    return {**told, "extensions": extensions} if extensions else told


def _told_parts(name: str, parts: dict[str, Any], server: str) -> dict[str, Any] | None:
    if name == "roots":
        return parts if ERA_OF[server] is Era.LEGACY else {}
    if server >= _WITH_PARTS:
        return parts
    if name == "elicitation" and "form" not in parts:
        return None
    return {}


def without_tasks(capabilities: Capabilities) -> dict[str, Any]:
    """What `declared` gave, for a call that must not become a task."""
    kept = {name: value for name, value in capabilities.items() if name != "extensions"}
    extensions = {name: value for name, value in capabilities.get("extensions", {}).items() if name != TASKS}
    return {**kept, "extensions": extensions} if extensions else kept


def required_of_client(error: Mapping[str, Any]) -> dict[str, Any]:
    """What a modern server's `-32021` misses, as far as a modern client could declare it through the gateway; empty: nothing of it."""
    data = error.get("data")
    required = data.get("requiredCapabilities") if type(data) is dict else None
    return declared(required, NEWEST_MODERN) if type(required) is dict else {}


# What a server offers

_OFFERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "tools": ("2024-11-05", ("listChanged",)),
    "prompts": ("2024-11-05", ("listChanged",)),
    "resources": ("2024-11-05", ("listChanged", "subscribe")),
    "logging": ("2024-11-05", ()),
    "completions": ("2025-03-26", ()),
}
"""What a server can offer through the gateway: first revision that has a word for it, and its switches."""


def offered(capabilities: Capabilities, server: str, client: str) -> dict[str, Any]:
    """What a server declared in its revision, as a client of a revision may be told.

    Change notifications and subscriptions are offered in both eras: the gateway turns one form into the other. The tasks
    extension reaches modern clients, the `tasks` of 2025-11-25 nobody: they are not relayed. A server of 2024-11-05 may complete arguments
    and has no word for it: the method stays callable, but nothing is promised.
    """
    told: dict[str, Any] = {}
    for name, (since, switches) in _OFFERS.items():
        said = capabilities.get(name)
        if type(said) is dict and client >= since:
            told[name] = {switch: True for switch in switches if said.get(switch) is True}
    extensions = _extensions(capabilities, server)
    if ERA_OF[client] is Era.LEGACY:
        extensions.pop(TASKS, None)
    return {**told, "extensions": extensions} if extensions else told


def together(offers: Iterable[Capabilities]) -> dict[str, Any]:
    """What several servers behind one endpoint offer: a capability, and each switch of it, if one of them has it."""
    merged: dict[str, Any] = {}
    for one in offers:
        for name, parts in one.items():
            merged[name] = _joined(merged[name], parts) if name in merged else parts
    return merged


def _joined(one: Any, other: Any) -> Any:
    if type(one) is not dict or type(other) is not dict:
        return one
    return {**one, **{name: _joined(one[name], value) if name in one else value for name, value in other.items()}}
