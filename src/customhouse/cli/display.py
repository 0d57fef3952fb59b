"""What others wrote, made safe and short for a terminal.

A tool's answer is text of a stranger: an escape sequence in it could repaint the screen or type for the operator, and a character
of no width could hide what is said. Every such character is shown as its escape.
Source: Unicode general categories Cc, Cf, Cs, Co, Cn, Zl, Zp.
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_KEPT = "\n\t"
_PLAIN = re.compile(r"[\n\t\x20-\x7e]*")


def safe(text: str) -> str:
    """The text with each character that is not seen as itself shown as a Python escape; line breaks and tabs stay."""
    if _PLAIN.fullmatch(text):
        return text
    return "".join(each if each in _KEPT or unicodedata.category(each) not in _UNSEEN else escaped(each) for each in text)


def escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def line(text: str) -> str:
    """The text in one safe line."""
    return " ".join(safe(text).split())


def as_json(value: object) -> str:
    """Indented JSON of ASCII characters only."""
    return safe(json.dumps(value, indent=2))


def result_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """A tool's result as lines: its content blocks, or its structured content where it has no blocks."""
    blocks = result.get("content")
    if isinstance(blocks, list) and blocks:
        yield from (_block(block) for block in blocks)
    elif "structuredContent" in result:
        yield as_json(result["structuredContent"])


def _block(block: Any) -> str:
    if not isinstance(block, dict):
        return as_json(block)
    kind = block.get("type")
    if kind == "text":
        return safe(str(block.get("text", "")))
    if kind == "resource" and isinstance(block.get("resource"), dict):
        return _resource(block["resource"])
    if kind == "resource_link":
        return line(f"[link to {block.get('uri')}: {block.get('name')}]")
    if kind in ("image", "audio"):
        return line(f"[{kind} {block.get('mimeType')}, {_decoded_bytes(block.get('data'))} bytes]")
    return as_json(block)


def _resource(resource: Mapping[str, Any]) -> str:
    if isinstance(text := resource.get("text"), str):
        return safe(text)
    return line(f"[resource {resource.get('uri')}, {_decoded_bytes(resource.get('blob'))} bytes]")


def _decoded_bytes(base64_text: object) -> int:
    """How many bytes a base64 text stands for, without decoding it."""
    text = base64_text if isinstance(base64_text, str) else ""
    return len(text) * 3 // 4 - text[-2:].count("=")
