"""What the gateway seals and hands to clients, each kind with its own keys, label and one refusal.

A client carries such text and brings it back; it can neither read nor change it. Whatever is wrong with a text (altered, foreign, of
another kind, under a key that is gone) gives the one refusal of its kind, so that nobody learns which it was
(MCP 2026-07-28, basic/patterns/mrtr, Server Requirements 4 and 5; 2025-11-25, basic/transports, Session Management).
"""

import enum

from customhouse.core.refusal import Reason, Refused


class Seal(enum.Enum):
    """The kinds: a label that separates them, and how one that does not open is refused."""

    SESSION = ("session", Reason.SESSION_UNKNOWN)
    REQUEST_STATE = ("request state", Reason.INVALID_REQUEST_STATE)
    TASK = ("task", Reason.UNKNOWN_TASK)

    def __init__(self, label: str, reason: Reason) -> None:
        self.label = label.encode()
        self.reason = reason

    def refused(self) -> Refused:
        """The refusal of this kind, the same whatever is wrong."""
        return Refused(self.reason)


def bound(*facts: str) -> bytes:
    """Facts that a sealed text is bound to, as bytes that no other facts give: each goes in with its length."""
    return b"".join(len(fact).to_bytes(4, "big") + fact for fact in map(str.encode, facts))
