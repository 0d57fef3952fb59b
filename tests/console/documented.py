"""JSON Schemas of the registry API's answers, written from its description, with the objects that are ours to fill closed.

Sources: modelcontextprotocol/registry, docs/reference/api/openapi.yaml (`ServerList`, `ServerResponse`, `ServerDetail`, 404 answers);
server.json, schema 2025-12-11. What the description leaves open (`_meta` beside the official key) is open here too.
"""

from typing import Any

TIME = {"type": "string", "format": "date-time", "pattern": "Z$"}
REMOTE = {
    "type": "object",
    "required": ["type", "url"],
    "properties": {"type": {"enum": ["streamable-http", "sse"]}, "url": {"type": "string", "pattern": r"^https?://[^\s]+$"}},
    "additionalProperties": False,
}
SERVER = {
    "type": "object",
    "required": ["name", "description", "version"],
    "properties": {
        "$schema": {"const": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"},
        "name": {"type": "string", "minLength": 3, "maxLength": 200, "pattern": "^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$"},
        "title": {"type": "string", "minLength": 1, "maxLength": 100},
        "description": {"type": "string", "minLength": 1, "maxLength": 100},
        "version": {"type": "string", "maxLength": 255, "not": {"const": "latest"}},
        "remotes": {"type": "array", "items": REMOTE},
    },
    "additionalProperties": False,
}
OFFICIAL = {
    "type": "object",
    "required": ["status", "publishedAt", "updatedAt", "isLatest"],
    "properties": {
        "status": {"enum": ["active", "deprecated", "deleted"]},
        "statusMessage": {"type": "string", "maxLength": 500},
        "statusChangedAt": TIME,
        "publishedAt": TIME,
        "updatedAt": TIME,
        "isLatest": {"type": "boolean"},
    },
    "additionalProperties": False,
}
RESPONSE: dict[str, Any] = {
    "type": "object",
    "required": ["server", "_meta"],
    "properties": {
        "server": SERVER,
        "_meta": {
            "type": "object",
            "required": ["io.modelcontextprotocol.registry/official"],
            "properties": {"io.modelcontextprotocol.registry/official": OFFICIAL},
        },
    },
    "additionalProperties": False,
}
LIST: dict[str, Any] = {
    "type": "object",
    "required": ["servers", "metadata"],
    "properties": {
        "servers": {"type": "array", "items": RESPONSE},
        "metadata": {
            "type": "object",
            "required": ["count"],
            "properties": {"nextCursor": {"type": "string", "minLength": 1}, "count": {"type": "integer"}},
            "additionalProperties": False,
        },
    },
    "additionalProperties": False,
}
ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string", "minLength": 1}},
    "additionalProperties": False,
}
