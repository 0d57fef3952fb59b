"""The formats that an endpoint can be exported in: the table is the documentation."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from customhouse.core.exports.anthropic import messages_request
from customhouse.core.exports.claudecode import managed_servers, managed_settings
from customhouse.core.exports.clientfiles import mcp_json, vscode_file
from customhouse.core.exports.openai import responses_tools
from customhouse.core.exports.selection import Export, ExportFinding, Selection, Wishes

Render = Callable[[Sequence[Selection], Wishes], Export]


class Format(msgspec.Struct, frozen=True):
    """One format."""

    render: Render
    meaning: str
    names_tools: bool = False
    """Whether the document names tools, so that it holds for one recipient and one pin."""
    defers: bool = False
    """Whether tools can be left to the provider's tool search."""
    signs_in: bool = False
    """Whether what reads the document can find the authorization server by itself."""
    denies: bool = False
    """Whether addresses can be denied."""


FORMATS: Mapping[str, Format] = {
    "anthropic": Format(messages_request, "request to Anthropic's Messages API", names_tools=True, defers=True),
    "openai": Format(responses_tools, "tools of OpenAI's Responses API", names_tools=True, defers=True),
    "claude-code-policy": Format(managed_settings, "managed-settings.json of Claude Code", denies=True),
    "claude-code-servers": Format(managed_servers, "managed-mcp.json of Claude Code", signs_in=True),
    "vscode": Format(vscode_file, "mcp.json of VS Code", signs_in=True),
    "mcp-json": Format(mcp_json, "mcp.json with `mcpServers`", signs_in=True),
}


def export(name: str, selections: Sequence[Selection], wishes: Wishes) -> Export:
    """The endpoints in a format, with every finding. Raises `KeyError` for an unknown format."""
    chosen = FORMATS[name]
    rendered = chosen.render(selections, wishes)
    picked = [finding for selection in selections for finding in selection.findings] if chosen.names_tools else list(_unreached(selections))
    return Export(rendered.document, (*picked, *rendered.findings))


def _unreached(selections: Sequence[Selection]) -> Iterator[ExportFinding]:
    """An endpoint may be of use for its prompts and resources, so this stops nothing."""
    for selection in selections:
        if not selection.tools:
            yield ExportFinding(selection.label, "The recipient reaches no tool there.")
