"""Files in which clients keep their servers: `mcp.json` of VS Code, and the `mcpServers` form that most others share.

Sources: code.visualstudio.com, MCP configuration reference (`servers`, `inputs`; `${input:id}` is asked for once and kept encrypted);
code.claude.com, `.mcp.json` (`mcpServers`, `${VARIABLE}` from the environment). There is no standard: a client that does not expand
`${VARIABLE}` sends the text as it stands, which the gateway refuses.
"""

from collections.abc import Sequence
from typing import Any

from customhouse.core.exports.fitness import shared_labels
from customhouse.core.exports.selection import Export, ExportFinding, Selection, Wishes, finished

INPUT_ID = "customhouse-token"


def vscode_file(selections: Sequence[Selection], wishes: Wishes) -> Export:
    """`mcp.json` of VS Code; the token is asked for as a password and stands in no file."""
    token = "" if wishes.sign_in else f"${{input:{INPUT_ID}}}"
    asked = {"type": "promptString", "id": INPUT_ID, "description": "Token for the MCP gateway", "password": True}
    servers = {selection.label: remote_entry(selection, token) for selection in selections}
    document: dict[str, Any] = {"servers": servers} if wishes.sign_in else {"inputs": [asked], "servers": servers}
    return finished(document, list(shared_labels(selections)))


def mcp_json(selections: Sequence[Selection], wishes: Wishes) -> Export:
    """`mcp.json` or `.mcp.json` with `mcpServers`."""
    found = list(shared_labels(selections))
    if not wishes.sign_in:
        found.append(ExportFinding("mcpServers", "The client's environment holds the token as CUSTOMHOUSE_TOKEN."))
    token = "" if wishes.sign_in else "${CUSTOMHOUSE_TOKEN}"
    return finished({"mcpServers": {selection.label: remote_entry(selection, token) for selection in selections}}, found)


def remote_entry(selection: Selection, token: str) -> dict[str, Any]:
    """An HTTP server in any of these files; `token` is the placeholder of the format, or empty."""
    headers = {"headers": {"Authorization": f"Bearer {token}"}} if token else {}
    return {"type": "http", "url": selection.url, **headers}
