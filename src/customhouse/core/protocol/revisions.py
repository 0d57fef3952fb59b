"""The revisions of MCP and what each method is in each era, as tables.

Source: MCP specification, 2024-11-05 to 2026-07-28: basic/lifecycle, basic/versioning, and the method lists of schema.json.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from customhouse.core.manifest import Era

LEGACY_REVISIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""Revisions that open with `initialize`, newest first."""

MODERN_REVISIONS = ("2026-07-28",)
"""Revisions in which every request carries its own version and capabilities, newest first."""

NEWEST_LEGACY = LEGACY_REVISIONS[0]
NEWEST_MODERN = MODERN_REVISIONS[0]

ERA_OF = dict.fromkeys(LEGACY_REVISIONS, Era.LEGACY) | dict.fromkeys(MODERN_REVISIONS, Era.MODERN)

ERA_NAMES = {revision: era.value for revision, era in ERA_OF.items()}
"""How each revision's era is written in records."""

ASSUMED_LEGACY = "2025-03-26"
"""What a legacy request without a version header speaks (2025-06-18, basic/transports, Protocol Version Header)."""

_BOTH = frozenset(
    {
        "tools/list",
        "tools/call",
        "prompts/list",
        "prompts/get",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "completion/complete",
    }
)

OF_TASKS = frozenset({"tasks/get", "tasks/update", "tasks/cancel"})
"""Requests about a task of the tasks extension, SEP-2663."""

OFFERED = {
    Era.LEGACY: _BOTH | {"initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"},
    Era.MODERN: _BOTH | OF_TASKS | {"server/discover", "subscriptions/listen"},
}
"""Requests that the gateway answers."""

NAMED_BY = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"} | dict.fromkeys(OF_TASKS, "taskId")
"""The parameter that `Mcp-Name` repeats (2026-07-28, basic/transports/streamable-http, Request Metadata; the tasks extension)."""

CACHEABLE = frozenset({"server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read"})
"""Results that must carry `ttlMs` and `cacheScope` in the modern era (2026-07-28, server/utilities/caching)."""

PREFIX = "io.modelcontextprotocol/"
META_VERSION = PREFIX + "protocolVersion"
META_CAPABILITIES = PREFIX + "clientCapabilities"
META_CLIENT = PREFIX + "clientInfo"
META_LOG_LEVEL = PREFIX + "logLevel"
META_SERVER = PREFIX + "serverInfo"
META_SUBSCRIPTION = PREFIX + "subscriptionId"
META_RELATED_TASK = PREFIX + "related-task"

ASKS_FOR_INPUT = frozenset({"tools/call", "prompts/get", "resources/read"})
"""Requests whose modern result may ask for input instead of answering (2026-07-28, basic/patterns/mrtr, Supported Requests)."""

LOG_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""RFC 5424 severities as MCP names them, least severe first."""


def cross_eras(one: str, other: str) -> bool:
    """Whether two revisions are of different eras. A revision is a date, so of two the older one is the smaller string."""
    return ERA_OF[one] is not ERA_OF[other]


def mutual(supported: object, known: Sequence[str]) -> str:
    """The newest known revision that a peer names, in `supportedVersions` or in the `data.supported` of an error; empty if none is."""
    named = supported if type(supported) is list else []
    return next((revision for revision in sorted(known, reverse=True) if revision in named), "")


def vendor_meta(said: Mapping[str, Any]) -> dict[str, Any]:
    """`_meta` of one connection as far as it may travel to the other: vendor and trace keys, nothing of the connection itself.

    The gateway ends both connections, so a key of theirs that passed would be a forgery, and a progress token would be taken for one of the
    gateway's own (2026-07-28, basic, `_meta`).
    """
    return {key: value for key, value in said.items() if not key.startswith(PREFIX) and key != "progressToken"}
