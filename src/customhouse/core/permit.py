"""Authority to reach a server: a permit for one call of a caller, or an errand of the gateway itself.

Upstream adapters accept one of the two and nothing else. Neither holds the caller's credential, so it cannot leak to a server.
A permit is made in one place, after identity and policy said yes; an import contract holds that.
"""

import enum

import msgspec

from customhouse.core.identity import Caller
from customhouse.core.manifest import ServerDefinition


class Permit(msgspec.Struct, frozen=True, gc=False):
    """Identity and policy said yes to one call."""

    call_id: str
    server: ServerDefinition
    session_key: str
    """Whose upstream session carries the call: the caller's authorisation context, or empty where a reviewer marked the server
    stateless."""
    changes_things: bool
    """The call is a write: it is never sent twice."""


class Purpose(enum.Enum):
    """Why the gateway itself calls a server."""

    CAPTURE = "capture"
    PROBE = "probe"


class Errand(msgspec.Struct, frozen=True):
    """Authority for work without a caller, named by purpose and server."""

    purpose: Purpose
    server: ServerDefinition


def permit(call_id: str, caller: Caller, server: ServerDefinition, *, changes_things: bool) -> Permit:
    """The permit for one call. Only the deciding step of the exchange may ask for it."""
    return Permit(call_id, server, "" if server.stateless else caller.context_digest, changes_things)
