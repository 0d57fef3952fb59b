"""Managed files of Claude Code: the policy of a fleet, and a fixed set of servers.

Sources: code.claude.com, "Control MCP server access for your organization" and "Connect Claude Code to tools via MCP". Facts the form
rests on:
- an entry of `allowedMcpServers` or `deniedMcpServers` has exactly one of `serverUrl`, `serverCommand` and `serverName`; a denied match
  always wins;
- a name is a label that the user chose, so entries match by `serverUrl`; one such entry bars every remote server that matches none, and
  without a `serverCommand` entry no server on stdio is allowed;
- allow-lists of all scopes are merged unless `allowManagedMcpServersOnly` is true;
- `managed-mcp.json` takes away every other server; whoever uses the machine can read it, so a token stands in it as `${VARIABLE}`, which
  each user's environment fills in. Such an entry has to be on the allow-list, where there is one.
"""

from collections.abc import Sequence

from customhouse.core.exports.clientfiles import remote_entry
from customhouse.core.exports.fitness import shared_labels
from customhouse.core.exports.selection import Export, ExportFinding, Selection, Wishes, finished

_SPECIAL = ("*", "${")
"""What a `serverUrl` pattern would read as something else than itself."""


def managed_settings(selections: Sequence[Selection], wishes: Wishes) -> Export:
    """What belongs into `managed-settings.json`: these endpoints and nothing else."""
    urls = [*(selection.url for selection in selections), *wishes.denied_urls]
    unfit = [url for url in urls if any(mark in url for mark in _SPECIAL)]
    found = [ExportFinding(url, "The address would be read as a pattern, so it cannot be named exactly.", stops=True) for url in unfit]
    both = sorted({selection.url for selection in selections} & set(wishes.denied_urls))
    found += [ExportFinding(url, "The address would be allowed and denied at once.", stops=True) for url in both]
    if wishes.denied_urls:
        sentence = "It tells every machine of the fleet the addresses of the servers behind the gateway."
        found.append(ExportFinding("deniedMcpServers", sentence))
    document = {
        "allowManagedMcpServersOnly": True,
        "allowedMcpServers": [{"serverUrl": selection.url} for selection in selections],
        "deniedMcpServers": [{"serverUrl": url} for url in dict.fromkeys(wishes.denied_urls)],
    }
    return finished(document, found)


def managed_servers(selections: Sequence[Selection], wishes: Wishes) -> Export:
    """What belongs into `managed-mcp.json`."""
    found = list(shared_labels(selections))
    if not wishes.sign_in:
        sentence = (
            "Each user's environment holds the token as CUSTOMHOUSE_TOKEN; where there is an allow-list, it has to name these addresses."
        )
        found.append(ExportFinding("mcpServers", sentence))
    token = "" if wishes.sign_in else "${CUSTOMHOUSE_TOKEN}"
    return finished({"mcpServers": {selection.label: remote_entry(selection, token) for selection in selections}}, found)
