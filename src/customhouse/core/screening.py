"""What of a server's words may leave: its declared output, no secrets, no addresses that nobody should follow, no hidden characters.

Sources: MCP 2025-06-18 and later, server/tools, Output Schema ("servers MUST provide structured results that conform to this schema");
OWASP AISVS C10.4. Threat classes T1, T13, T14, T15.

Words stay bytes for as long as possible: one pass over the undecoded JSON says whether any rule could find something (`scanning.py`). Only
then are its string literals decoded, one by one, and only those that change are written anew; everything between them, numbers and
unknown members included, stays byte for byte as the server wrote it.
"""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec

from customhouse.core.hidden import INVISIBLE_ESCAPES, INVISIBLE_SIGNS, revealed
from customhouse.core.links import Addresses
from customhouse.core.redaction import MIN_RANDOM_CHARACTERS, Redactor, names_secret
from customhouse.core.scanning import Signs
from customhouse.core.schemas import DeferredSchema, SchemaUnusable


class Screening(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is looked for in the words of a server before they leave: results, messages on the way to them, questions and errors."""

    output: Literal["enforce", "pass"] = "enforce"
    """`enforce`: a result must have the structured content that the pinned output schema declares; one that does not is refused."""
    secrets: Literal["redact", "pass"] = "redact"
    """`redact`: keys, tokens and passwords are replaced by `[redacted: DETECTOR]`. No tool has to hand secrets to a model."""
    permitted: tuple[str, ...] = ()
    """What stays although it looks like a secret: names of detectors, or `sha256:` and the 64 hexadecimal digits of a value."""
    hidden: Literal["strip", "show", "pass"] = "strip"
    """Characters without a place of their own, as in the reordering of text: removed, written out as `[U+202E]`, or left alone."""
    links: tuple[str, ...] | None = None
    """Hosts that addresses may name, `*.example.org` for those below; others are defanged (`hxxps://a[.]example`). Absent: any host, \
since most tools cite whatever they find."""
    images: tuple[str, ...] | None = None
    """Hosts from which an image or other embedded content may come; markup that names another is replaced by a note. Absent: any host."""


_LITERAL: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_MEMBER: Final = re.compile(r'"([^"\\]{1,80})"$')
_WHITE_SPACE: Final = " \t\n\r"
_IS_NAME: Final = re.compile(r"\s*+:")
_ESCAPED_TEXT: Final = r"\\u00[0-7]"
"""An ASCII character that an encoder wrote as an escape: nothing can be told before it is decoded."""

_decoded = json.JSONDecoder(strict=False).decode


class Screen:
    """The compiled rules for one server. Holds nothing of what it looked at."""

    __slots__ = ("_addresses", "_invisible", "_redactor", "_signs", "rules")

    def __init__(self, rules: Screening) -> None:
        self.rules = rules
        self._redactor = Redactor(rules.permitted) if rules.secrets == "redact" else None
        self._addresses = Addresses(rules.links, rules.images)
        strips = rules.hidden != "pass"
        secrets = self._redactor.signs if self._redactor is not None else ()
        self._signs = Signs(secrets, [_ESCAPED_TEXT, *self._addresses.signs, *(INVISIBLE_ESCAPES if strips else ())])
        self._invisible = Signs(INVISIBLE_SIGNS if strips else ())

    def suspects(self, raw: bytes | bytearray | memoryview) -> bool:
        """Whether undecoded JSON may hold anything that would change. Raises `UnicodeDecodeError`."""
        return self._shows(str(raw, "utf-8"))

    def _shows(self, text: str) -> bool:
        return self._signs.found(text) or (not text.isascii() and self._invisible.found(text))

    def screened(self, raw: bytes, found: dict[str, int]) -> bytes:
        """JSON with its strings screened; `found` counts what was found, by name. Raises `ValueError` for what is not JSON."""
        text = str(raw, "utf-8")
        changed = _LITERAL.sub(lambda match: self._literal(match, found), text)
        return raw if not found else changed.encode()

    def _literal(self, match: re.Match[str], found: dict[str, int]) -> str:
        literal = match[0]
        name = self._member_of(match)
        if not name and not self._shows(literal):
            return literal
        before: str = _decoded(literal)
        after = self.text(before, found, name)
        if after == before:
            return literal
        if _IS_NAME.match(match.string, match.end()):
            after += f" {sum(found.values())}"  # two members never get one name
        return json.dumps(after)

    def text(self, text: str, found: dict[str, int], name: str = "") -> str:
        """One text, screened; `name` is that of the member whose value it is, if that can say that it is a secret."""
        if self.rules.hidden != "pass":
            text = revealed(text, shown=self.rules.hidden == "show", found=found)
        if self._redactor is not None:
            text = self._redactor.redacted(text, found, name)
        return self._addresses.defanged(text, found)

    def _member_of(self, match: re.Match[str]) -> str:
        """The name before a value that could be a secret; empty where it could not."""
        start, end = match.span()
        if self._redactor is None or not MIN_RANDOM_CHARACTERS <= end - start - 2 <= 4_096:
            return ""
        colon = _end_of_text(match.string, start) - 1
        if colon < 0 or match.string[colon] != ":":
            return ""
        ends = _end_of_text(match.string, colon)
        member = _MEMBER.search(match.string, max(0, ends - 82), ends)
        return member[1] if member and names_secret(member[1]) else ""


def _end_of_text(text: str, at: int) -> int:
    """Where the white space before a place begins: a server lays out its JSON as it likes."""
    while at and text[at - 1] in _WHITE_SPACE:
        at -= 1
    return at


@lru_cache(maxsize=4_096)
def screen_of(rules: Screening) -> Screen:
    """The compiled rules; equal rules share one."""
    return Screen(rules)


NOT_SCREENED: Final = Screening(output="pass", secrets="pass", hidden="pass")


def output_problems(schema: DeferredSchema, members: Mapping[str, msgspec.Raw]) -> tuple[str, ...]:
    """Why a tool's result is not what its pinned output schema declares, as sentences that repeat nothing of the result; empty if it is.

    The result is one that is no error: those need no structured content (2025-06-18, server/tools, Error Handling).
    """
    raw = members.get("structuredContent")
    if raw is None:
        return ("The structured content that the schema declares is missing.",)
    try:
        value: Any = msgspec.json.decode(raw)
        return schema.problems(value)
    except SchemaUnusable as unusable:
        return (f"The schema cannot be used: {unusable}",)
    except (msgspec.DecodeError, RecursionError):
        return ("The structured content cannot be read.",)
