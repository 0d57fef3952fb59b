"""JSON Schemas of client files, written from their documentation, with every object closed.

Sources: code.claude.com, "Control MCP server access for your organization" (sections on managed-mcp.json and on matching by URL, command
or name) and "Connect Claude Code to tools via MCP" (`.mcp.json`); code.visualstudio.com, MCP configuration reference (tables of HTTP
servers and of input variables).
"""

from typing import Any


def closed(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    properties = {**required, **(optional or {})}
    return {"type": "object", "required": list(required), "properties": properties, "additionalProperties": False}


TEXT = {"type": "string", "minLength": 1}
URL = {"type": "string", "pattern": r"^https?://[^\s]+$"}
HEADERS = {"type": "object", "additionalProperties": TEXT}

ALLOWED_NAME = {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"}
COMMAND = {"type": "array", "items": {"type": "string"}, "minItems": 1}
PATTERN = {"type": "string", "pattern": r"^[^\s]+$"}


def matcher(name: dict[str, Any]) -> dict[str, Any]:
    """Exactly one key of the three."""
    return {"oneOf": [closed({"serverUrl": PATTERN}), closed({"serverCommand": COMMAND}), closed({"serverName": name})]}


MANAGED_SETTINGS = closed(
    {"allowedMcpServers": {"type": "array", "items": matcher(ALLOWED_NAME)}},
    {"deniedMcpServers": {"type": "array", "items": matcher(TEXT)}, "allowManagedMcpServersOnly": {"type": "boolean"}},
)

CLAUDE_CODE_REMOTE = closed({"type": {"enum": ["http", "sse", "streamable-http"]}, "url": URL}, {"headers": HEADERS})
MCP_SERVERS = closed(
    {"mcpServers": {"type": "object", "propertyNames": {"pattern": "^[A-Za-z0-9_-]+$"}, "additionalProperties": CLAUDE_CODE_REMOTE}}
)

VSCODE_INPUT = closed({"type": {"const": "promptString"}, "id": TEXT, "description": TEXT}, {"password": {"type": "boolean"}})
VSCODE_REMOTE = closed({"type": {"enum": ["http", "sse"]}, "url": URL}, {"headers": HEADERS})
VSCODE = closed(
    {"servers": {"type": "object", "propertyNames": {"pattern": r"^[^\s]+$"}, "additionalProperties": VSCODE_REMOTE}},
    {"inputs": {"type": "array", "items": VSCODE_INPUT}},
)
