"""Two versions of a server side by side: what keeps an older one from being served beside its successor.

Policies know a tool by its name and judge it by the review of the version that is active. So a tool that both versions have must be judged
alike in both: same class, labels and scopes, and every argument that a rule can read of the older one typed the same in the newer one.
"""

from collections.abc import Iterator
from typing import Any

from customhouse.core.content import ServerContent
from customhouse.core.manifest import ToolReview
from customhouse.core.policyarguments import ArgumentType, arguments_type


def unlike(older: ServerContent, newer: ServerContent) -> Iterator[str]:
    """A sentence for each tool that both have and that would not be judged alike."""
    old, new = (_schemas(one) for one in (older, newer))
    for name in sorted(old.keys() & new.keys() & older.definition.tools.keys() & newer.definition.tools.keys()):
        before, after = older.definition.tools[name], newer.definition.tools[name]
        if _judged(before) != _judged(after):
            yield f"`{name}` has another class, other labels or other scopes now: activate the version without a window."
        elif not _covers(arguments_type(new[name]), arguments_type(old[name])):
            yield f"Rules would read other arguments of `{name}` than it has in the older version: activate the version without a window."


def _judged(review: ToolReview) -> tuple[Any, ...]:
    return review.effect, review.data, review.content, review.is_sink, review.idempotent, frozenset(review.scopes)


def _covers(newer: ArgumentType, older: ArgumentType) -> bool:
    """Whether a call of the older tool has the newer type, with nothing left out."""
    if newer.kind != older.kind or (newer.element is None) != (older.element is None):
        return False
    if newer.element is not None and older.element is not None and not _covers(newer.element, older.element):
        return False
    for name, attribute in older.attributes.items():
        known = newer.attributes.get(name)
        if known is None or (known.required and not attribute.required) or not _covers(known.type, attribute.type):
            return False
    return all(name in older.attributes or not attribute.required for name, attribute in newer.attributes.items())


def _schemas(content: ServerContent) -> dict[str, Any]:
    tools = content.pin.manifest.tools if content.pin is not None else ()
    return {str(tool["name"]): tool.get("inputSchema", {}) for tool in tools}
