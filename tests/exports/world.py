"""A deployment directory that the tests of exports share: two servers of one tenant, one of another, and rules for two groups."""

from pathlib import Path
from typing import Any

from customhouse.config.definitions import write_pin
from customhouse.core.manifest import Manifest, Pin, digest_of

SETTINGS = """\
public_url: https://gateway.example.com
portals:
  office: {servers: [notes, 2fa]}
  mixed: {servers: [notes, foreign]}
"""
NOTES = """\
owner: team-notes
contact: notes@example.com
tenant: acme
description: Short notes.
url: https://notes.example/mcp
credential: {bearer: "env:NOTES_TOKEN"}
tools:
  read_note: {class: read}
  list.notes: {class: read}
  watch: {class: read}
  add_note: {class: write, scopes: [notes.write]}
  purge: {class: destructive}
  hidden: {class: read}
"""
OTHER = """\
owner: team-{name}
contact: "#{name}"
tenant: {tenant}
url: https://{name}.example/mcp
tools:
  check: {{class: read}}
"""
RULES = """\
@id("eng-reads")
permit (principal in Group::"acme/eng", action in Action::"read", resource in Server::"notes");

@id("writers")
permit (principal in Group::"acme/writers", action in [Action::"read", Action::"write", Action::"destructive"], resource in Tenant::"acme");

@id("others")
permit (principal, action in Action::"read", resource in Server::"foreign");

@id("nobody-sees-this")
forbid (principal, action == Action::"call:notes/hidden", resource);
"""
TITLE = {
    "type": "object",
    "properties": {"title": {"type": "string", "maxLength": 80, "x-shown": [1.0, {"é": None}]}},
    "required": ["title"],
    "additionalProperties": False,
}
NOTES_TOOLS: tuple[dict[str, Any], ...] = (
    {
        "name": "read_note",
        "title": "Read",
        "description": "Reads a note.",
        "inputSchema": TITLE,
        "annotations": {"readOnlyHint": False},
    },
    {"name": "list.notes", "inputSchema": {"type": "object"}},
    {"name": "watch", "description": "Works as a task.", "inputSchema": {"type": "object"}, "execution": {"taskSupport": "required"}},
    {"name": "add_note", "description": "Adds a note.", "inputSchema": TITLE, "annotations": {"readOnlyHint": True}},
    {"name": "purge", "description": "Removes all.", "inputSchema": {"type": "object"}},
    {"name": "hidden", "description": "Nobody gets this.", "inputSchema": {"type": "object"}},
    {"name": "unreviewed", "inputSchema": {"type": "object"}},
)
CHECK = ({"name": "check", "description": "Checks.", "inputSchema": {"type": "object"}},)


def build(directory: Path, settings: str = SETTINGS) -> Path:
    servers, policies = directory / "servers", directory / "policies"
    servers.mkdir()
    policies.mkdir()
    (directory / "customhouse.yaml").write_text(settings, "utf-8")
    (policies / "rules.cedar").write_text(RULES, "utf-8")
    definitions = {"notes": NOTES, "2fa": OTHER.format(name="2fa", tenant="acme"), "foreign": OTHER.format(name="foreign", tenant="other")}
    for name, text in definitions.items():
        (servers / f"{name}.yaml").write_text(text, "utf-8")
        said = Manifest(server_info={"name": name}, capabilities={"tools": {}}, tools=NOTES_TOOLS if name == "notes" else CHECK)
        write_pin(servers / f"{name}.pin.json", Pin(server=name, revision="2025-11-25", digest=digest_of(said), manifest=said))
    return directory
