"""The state of a request that waits for more input, as bytes to be sealed into `requestState`.

Source: MCP 2026-07-28, basic/patterns/mrtr: a state comes back exactly as it was given, with the same method and parameters and
`inputResponses`; it counts as attacker-controlled; it should be bound to principal, request and expiry; single use is for the server to
hold.

What a state is bound to does not stand in it: it is sealed for the present request, and opens for an equal one alone. A server's own
state is carried as it was; a server that sees one credential for everybody is so never handed the state of another caller.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from customhouse.core.identity import Caller
from customhouse.core.refusal import Reason, Refused
from customhouse.core.sealing import bound

MAX_SERVER_STATE_BYTES = 65_536
"""Of a server's own state. Clients carry it twice over the wire for each round."""

MAX_SEALED_CHARACTERS = 90_000
"""Longer texts are not looked at: 64 KiB and its frame, sealed, are 87,500 characters."""

NOT_COUNTED = frozenset({"_meta", "inputResponses", "requestState"})
"""Parameters that differ between a request and its retry: what belongs to one sending alone."""

_canonical = msgspec.json.Encoder(order="sorted").encode


class ServersOwn(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=0):
    """A modern server asked: the retry goes to it."""

    state: str | None
    """Its own requestState, exactly; None where it gave none, and then gets none."""


class Parked(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=1):
    """A legacy server asked: the call is still running and waits for the answer."""

    replica: str
    """The gateway process that holds the call."""
    handle: str
    """Its name there: 32 hexadecimal digits, good for one round."""


class Asking(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=2):
    """A person was asked to approve the call, which no server has heard of yet."""

    approval_id: str


class Approved(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the first round of an approved call used; the rounds behind it are the same call."""

    approval_id: str
    chain: str
    """The id of the call of that round."""


class RequestState(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a client carries between two rounds of one request."""

    waits: ServersOwn | Parked | Asking
    round: int
    """How many times input was asked for, this one included; from 1."""
    expires_at: int
    """Unix seconds; the state is refused from then on."""
    approved: Approved | None = None


_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(RequestState).decode


def bound_to(caller: Caller, endpoint: str, method: str, server: str, name: str, params: Mapping[str, Any]) -> bytes:
    """What a state is sealed for: the caller as authorised, and the request but for what belongs to one sending alone.

    `server` and `name` are what the request's name stands for now, so that a state does not follow a name to another server.
    """
    counted = {key: value for key, value in params.items() if key not in NOT_COUNTED}
    return bound(caller.context_digest, endpoint, method, server, name, blake2b(_canonical(counted), digest_size=32).hexdigest())


def packed(state: RequestState) -> bytes:
    """The state as bytes. Raises `Refused` RESULT_TOO_LARGE for a server's state of more than `MAX_SERVER_STATE_BYTES`."""
    if isinstance(state.waits, ServersOwn) and state.waits.state is not None:
        size = len(state.waits.state.encode())
        if size > MAX_SERVER_STATE_BYTES:
            raise Refused(Reason.RESULT_TOO_LARGE, {"bytes": size, "allowed": MAX_SERVER_STATE_BYTES})
    return _encode(state)


def unpacked(data: bytes, now: float) -> RequestState:
    """The state of bytes that opened. Raises `Refused` INVALID_REQUEST_STATE for one that has expired or is of another layout."""
    try:
        state = _decode(data)
    except (msgspec.MsgspecError, ValueError):
        raise Refused(Reason.INVALID_REQUEST_STATE) from None
    if now >= state.expires_at:
        raise Refused(Reason.INVALID_REQUEST_STATE)
    return state
