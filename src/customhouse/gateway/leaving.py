"""Words of a server on their way to a caller: the one place where they are screened, and where the conversation is tainted.

The step 9 of a call's life. A conversation has read an answer from the moment in which its bytes are made, which is before they leave and
before the closing record is waited for: a call decided later knows of it, one decided earlier does not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from customhouse.core.catalogue import Entry
from customhouse.core.protocol.results import answer_bytes
from customhouse.core.refusal import Reason, Refused
from customhouse.core.screening import output_problems
from customhouse.gateway.call import Call, encode
from customhouse.gateway.taints import Taints

_TRUE = msgspec.Raw(b"true")
_FIRST_WITH_OUTPUT = "2025-06-18"
"""The revision in which tools began to declare their output (changelog of 2025-06-18)."""


@dataclass(frozen=True)
class Leaving:
    """Screens and taints."""

    taints: Taints

    def result(self, call: Call, entry: Entry, result: Mapping[str, Any]) -> bytes:
        """The bytes of an answer with a result. Raises `Refused` UPSTREAM_BROKE_PROTOCOL for what is not UTF-8."""
        self.taints.add(call.caller.principal, entry.taint)
        body = encode({"jsonrpc": "2.0", "id": call.message.id, "result": result})
        return answer_bytes(call.message.id, screened(call, entry, encode(result))) if _suspects(entry, body) else body

    def message(self, call: Call, entry: Entry, method: str, params: Mapping[str, Any]) -> bytes:
        """The bytes of a notification."""
        self.taints.add(call.caller.principal, entry.taint)
        body = encode({"jsonrpc": "2.0", "method": method, "params": params})
        return screened(call, entry, body) if _suspects(entry, body) else body

    def value(self, call: Call, entry: Entry, value: dict[str, Any]) -> dict[str, Any]:
        """A decoded object: an error, or the parameters of a question."""
        self.taints.add(call.caller.principal, entry.taint)
        raw = encode(value)
        if not _suspects(entry, raw):
            return value
        clean: dict[str, Any] = msgspec.json.decode(screened(call, entry, raw))
        return clean


def screened(call: Call, entry: Entry, raw: bytes) -> bytes:
    """Undecoded JSON, screened; what was found stands in the record. Raises `Refused` UPSTREAM_BROKE_PROTOCOL."""
    found: dict[str, int] = {}
    try:
        clean = entry.screen.screened(raw, found)
    except ValueError:
        raise _unreadable() from None
    if found:
        told = "screened: " + ", ".join(f"{count} {name}" for name, count in sorted(found.items()))
        call.trail.note = f"{call.trail.note}; {told}"[-500:] if call.trail.note else told
    return clean


def check_output(entry: Entry, members: Mapping[str, msgspec.Raw], revision: str) -> None:
    """A tool's result against its pinned output schema. Raises `Refused` OUTPUT_INVALID.

    The result of a failed call needs no structured content (2025-06-18, server/tools, Error Handling); before that revision there is none.
    """
    if entry.output is None or members.get("isError") == _TRUE or revision < _FIRST_WITH_OUTPUT:
        return
    problems = output_problems(entry.output, members)
    if problems:
        raise Refused(Reason.OUTPUT_INVALID, {"problems": problems})


def _suspects(entry: Entry, raw: bytes) -> bool:
    try:
        return entry.screen.suspects(raw)
    except UnicodeDecodeError:
        raise _unreadable() from None


def _unreadable() -> Refused:
    return Refused(Reason.UPSTREAM_BROKE_PROTOCOL, note="the answer is not UTF-8 JSON")
