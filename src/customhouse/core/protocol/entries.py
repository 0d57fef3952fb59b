"""Entries of a pinned manifest for a client of another revision than the one they were captured in.

Sources: the schemas of MCP 2024-11-05 to 2026-07-28, Tool, Prompt, Resource, ResourceTemplate; 2025-11-25, basic/utilities/tasks
(Tool-Level Negotiation). Titles, icons, annotations, sizes and `_meta` came one by one, and a reader that does not know them ignores
them, so they pass. Two members of a tool do not: an output schema that is not of an object, for which legacy readers refuse the whole
list, and `execution`, which means something in one revision alone. Only tools have such members; prompts, resources and templates pass.
"""

from collections.abc import Mapping
from typing import Any

from customhouse.core.manifest import Era
from customhouse.core.protocol.revisions import ERA_OF

_WITH_TASKS = "2025-11-25"
"""The revision in which `execution.taskSupport` says whether a tool can be, or must be, called as a task."""


def translated_tool(tool: Mapping[str, Any], server: str, client: str) -> Mapping[str, Any] | None:
    """A tool captured in the server's revision as a client of another revision can read it, or the very same object if it can as it is.

    None: the client must not see it, because it could not call it. One such tool never costs the client the others.
    """
    if server == client:
        return tool
    unwanted = set()
    if "execution" in tool and _WITH_TASKS in (server, client):
        if server == _WITH_TASKS and needs_task(tool):
            return None
        unwanted.add("execution")
    if ERA_OF[client] is Era.LEGACY and ERA_OF[server] is Era.MODERN and not _describes_an_object(tool.get("outputSchema")):
        unwanted.add("outputSchema")
    if unwanted.isdisjoint(tool):
        return tool
    return {key: value for key, value in tool.items() if key not in unwanted}


def needs_task(tool: Mapping[str, Any]) -> bool:
    """Whether a tool of 2025-11-25 can be called as a task alone."""
    execution = tool.get("execution")
    return type(execution) is dict and execution.get("taskSupport") == "required"


def _describes_an_object(schema: object) -> bool:
    """Legacy revisions require `"type": "object"` at the root, to the letter."""
    return type(schema) is dict and schema.get("type") == "object"
