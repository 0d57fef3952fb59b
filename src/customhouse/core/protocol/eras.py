"""Which era a server speaks, and what is offered to it, from what it said.

Sources: MCP 2026-07-28, basic/versioning (Backward Compatibility) and basic/transports/stdio: a DiscoverResult or a recognised modern
error means modern, any other error means legacy, and the decision must not hang on one particular code. A DiscoverResult that lists no
modern version is the advertisement of a legacy server. MCP 2025-11-25, basic/lifecycle (Version Negotiation): a server that cannot
speak the offered revision answers with one that it can, or with -32602 and the ones it supports.
"""

from collections.abc import Mapping
from typing import Any

from customhouse.core.protocol.revisions import LEGACY_REVISIONS, MODERN_REVISIONS

UNSUPPORTED_VERSION = -32022

MODERN_ERRORS = frozenset({-32020, -32021, UNSUPPORTED_VERSION})
"""Errors that only a server of the modern era answers with."""


def shows_modern(result: Mapping[str, Any] | None, error: Mapping[str, Any] | None) -> bool:
    """Whether the answer to `server/discover` is one of a modern server."""
    if error is not None:
        code = error.get("code")
        return type(code) is int and code in MODERN_ERRORS
    versions = (result or {}).get("supportedVersions")
    return isinstance(versions, list) and any(version in MODERN_REVISIONS for version in versions if type(version) is str)


def next_offer(error: Mapping[str, Any] | None, offered: str) -> str:
    """The revision to offer after `initialize` was answered with this error: the newest that the server names and the gateway knows.

    Empty if there is none, or none but the one that was just offered.
    """
    data = (error or {}).get("data")
    if (error or {}).get("code") != -32602 or not isinstance(data, Mapping) or not isinstance(data.get("supported"), list):
        return ""
    named = {version for version in data["supported"] if type(version) is str}
    return next((revision for revision in LEGACY_REVISIONS if revision in named and revision != offered), "")
