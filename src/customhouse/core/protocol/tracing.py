"""Trace context of a message: `_meta.traceparent`, read strictly.

Source: W3C Trace Context, section 3.2; MCP 2026-07-28, basic (`_meta`); SEP-414.
"""

import re
from collections.abc import Mapping
from typing import Any

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def trace_id_of(meta: Mapping[str, Any]) -> str:
    """The trace id of a valid `traceparent`; empty where there is none."""
    value = meta.get("traceparent")
    found = _TRACEPARENT.fullmatch(value) if type(value) is str else None
    return found.group(1) if found else ""
