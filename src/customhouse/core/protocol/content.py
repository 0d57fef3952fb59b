"""Blocks of content for a revision that does not know them: audio and links to resources become text that says what was there.

Source: the schemas of MCP 2024-11-05 to 2026-07-28, ContentBlock and SamplingMessageContentBlock. A reader that validates refuses a whole
result for one block it does not know, and the text is better than the refusal. A type that no revision knows is the server's own business
and passes; so does every member of a block that is not part of what was replaced.
"""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

SINCE = {"audio": "2025-03-26", "resource_link": "2025-06-18"}
"""Types of content that came later than the protocol, with their first revision."""

_OF_THE_TYPE = {
    "audio": frozenset({"data", "mimeType"}),
    "resource_link": frozenset({"uri", "name", "title", "description", "mimeType", "size", "icons"}),
}
"""Members that mean nothing once the block is text."""

_TOLD = ("type", "mimeType", "uri", "name", "title", "description")
"""Members that the text speaks of."""

_encode = msgspec.json.Encoder().encode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_string = msgspec.json.Decoder(str).decode


def unknown_to(reader: str, writer: str) -> frozenset[str]:
    """The types of content that a writer of one revision knows and a reader of another does not."""
    return frozenset(kind for kind, since in SINCE.items() if reader < since <= writer)


def as_text(block: Mapping[str, Any], unknown: Collection[str]) -> Mapping[str, Any]:
    """The block, or where its type is among the unknown, the text that stands for it. The block is decoded."""
    kind = block.get("type")
    if type(kind) is not str or kind not in unknown:
        return block
    kept = {key: value for key, value in block.items() if key not in _OF_THE_TYPE[kind]}
    return {**kept, "type": "text", "text": _SENTENCES[kind](block)}


def raw_as_text(block: msgspec.Raw, unknown: Collection[str]) -> msgspec.Raw:
    """The same for an undecoded block; what is kept stays undecoded."""
    members: dict[str, Any] = _members(block)
    if _text(members.get("type")) not in unknown:
        return block
    told = {key: _text(members[key]) for key in _TOLD if key in members}
    return msgspec.Raw(_encode(as_text({**members, **told}, unknown)))


def _text(raw: msgspec.Raw | None) -> str:
    """The text of an undecoded value; empty where it is no text."""
    try:
        return "" if raw is None else _string(raw)
    except msgspec.DecodeError:
        return ""


def _audio(block: Mapping[str, Any]) -> str:
    kind = block.get("mimeType") or "unknown format"
    return f"[Audio ({kind}), left out: the protocol revision of this client has no audio.]"


def _link(block: Mapping[str, Any]) -> str:
    name = block.get("title") or block.get("name") or "Resource"
    text = f"[{name}: {block.get('uri', '')}]"
    return f"{text} {block['description']}" if block.get("description") else text


_SENTENCES = {"audio": _audio, "resource_link": _link}
