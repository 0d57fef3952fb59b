"""The Responses API of OpenAI: a tool of type `mcp` for each endpoint.

Sources: developers.openai.com, guide to remote MCP and connectors; the types `Mcp` and `ToolSearchToolParam` of the released SDK. Facts
the form rests on:
- `read_only` in a filter believes the server's own `readOnlyHint`, so filters list names and never use it;
- what `require_approval` does not name needs approval; tools of class `read` are named under `never`, others under `always`;
- names of tools are 1 to 64 of A-Z, a-z, 0-9, `_` and `-`; a label has the same letters, and begins with one here to be on the safe side;
- the API asks for the tools itself, and gets the pinned ones; fewer than 20 of them are advised.
A token has no place in a stored document: `authorization` is sent with every request and not kept there either.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from customhouse.core.exports.fitness import cloud_findings, nothing_left, shared_labels, with_fit_names
from customhouse.core.exports.selection import Export, ExportFinding, Selection, Wishes, finished
from customhouse.core.manifest import Effect

ADVISED_TOOLS = 20
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def responses_tools(selections: Sequence[Selection], wishes: Wishes) -> Export:
    """The member `tools` of a request to the Responses API."""
    named = [with_fit_names(_labelled(selection), _NAME, "OpenAI") for selection in selections]
    kept = [selection for selection, _ in named]
    found = [
        *(finding for _, unfit in named for finding in unfit),
        *cloud_findings(kept, "OpenAI"),
        *shared_labels(kept),
        *nothing_left(kept),
    ]
    if (count := sum(len(selection.tools) for selection in kept)) >= ADVISED_TOOLS:
        found.append(ExportFinding("tools", f"These are {count} tools; OpenAI advises fewer than {ADVISED_TOOLS}. A smaller portal helps."))
    found.append(ExportFinding("tools", "Add `authorization` to each tool of type `mcp` in every request; it is not stored here."))
    tools = [_tool(selection, wishes) for selection in kept]
    return finished({"tools": [*([{"type": "tool_search"}] if wishes.defer else []), *tools]}, found)


def _tool(selection: Selection, wishes: Wishes) -> dict[str, Any]:
    reads = [tool.name for tool in selection.tools if tool.effect is Effect.READ]
    others = [tool.name for tool in selection.tools if tool.effect is not Effect.READ]
    approval = {word: {"tool_names": names} for word, names in (("never", reads), ("always", others)) if names}
    return {
        "type": "mcp",
        "server_label": selection.label,
        **({"server_description": selection.description} if selection.description else {}),
        "server_url": selection.url,
        "allowed_tools": [tool.name for tool in selection.tools],
        "require_approval": approval,
        **({"defer_loading": True} if wishes.defer else {}),
    }


def _labelled(selection: Selection) -> Selection:
    """With a label that begins with a letter; names of servers may begin with a digit."""
    return selection if selection.label[0].isalpha() else msgspec.structs.replace(selection, label=f"mcp-{selection.label}")
