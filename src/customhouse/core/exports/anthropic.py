"""The Messages API of Anthropic: `mcp_servers` and one `mcp_toolset` for each, as an allow-list over the pinned definitions.

Sources: platform.claude.com, MCP connector and tool search; the types `BetaMCPToolsetParam`, `BetaMCPToolParamParam` and
`BetaRequestMCPServerURLDefinitionParam` of the released SDK. Facts the form rests on:
- a server is referenced by exactly one toolset; `configs` goes before `default_config`, and a tool in neither is enabled, so the default
  is set to disabled and each name enabled;
- a toolset with `tools` is used as it stands and the server is not asked for its list: name, description and input schema, those three
  keys alone, unprefixed and verbatim. A description that the server does not give is null;
- with deferred tools some tool must not be deferred: the tool search itself.
A token has no place in a stored document: `authorization_token` is added when a request is made.
"""

import re
from collections.abc import Sequence
from typing import Any

from customhouse.core.exports.fitness import cloud_findings, nothing_left, shared_labels, with_fit_names
from customhouse.core.exports.selection import Export, ExportedTool, ExportFinding, Selection, Wishes, finished

BETAS = ("mcp-client-2025-11-20", "mcp-client-2026-09-15")
"""Values of the `anthropic-beta` header: toolsets, and pinned tools in them."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""As the API's own refusal of a tool says it."""
_TOOL_SEARCH = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}


def messages_request(selections: Sequence[Selection], wishes: Wishes) -> Export:
    """The members `betas`, `mcp_servers` and `tools` of a request to the beta Messages API."""
    named = [with_fit_names(selection, _NAME, "Anthropic") for selection in selections]
    kept = [selection for selection, _ in named]
    found = [*(finding for _, unfit in named for finding in unfit)]
    found += [*cloud_findings(kept, "Anthropic"), *shared_labels(kept), *nothing_left(kept)]
    sentence = "Add `authorization_token` to each entry of `mcp_servers` when a request is made; it is not stored here."
    found.append(ExportFinding("mcp_servers", sentence))
    toolsets = [_toolset(selection, wishes) for selection in kept]
    document = {
        "betas": list(BETAS),
        "mcp_servers": [{"type": "url", "name": selection.label, "url": selection.url} for selection in kept],
        "tools": [*([dict(_TOOL_SEARCH)] if wishes.defer else []), *toolsets],
    }
    return finished(document, found)


def _toolset(selection: Selection, wishes: Wishes) -> dict[str, Any]:
    config = {"enabled": True, "defer_loading": True} if wishes.defer else {"enabled": True}
    return {
        "type": "mcp_toolset",
        "mcp_server_name": selection.label,
        "default_config": {"enabled": False},
        "configs": {tool.name: dict(config) for tool in selection.tools},
        "tools": [_pinned(tool) for tool in selection.tools],
    }


def _pinned(tool: ExportedTool) -> dict[str, Any]:
    definition = tool.definition
    return {"name": tool.name, "description": definition.get("description"), "input_schema": definition["inputSchema"]}
