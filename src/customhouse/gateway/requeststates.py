"""Request states of modern clients: sealed when a request needs more input, opened and held against its retry.

A state that does not open, has expired, or was given for another request, endpoint or caller gets one refusal. That a state is used
once is held by who is asked next: the server for its own state, the parking store for a call that waits.
"""

from customhouse.core.protocol.requeststate import (
    MAX_SEALED_CHARACTERS,
    Approved,
    Asking,
    Parked,
    RequestState,
    ServersOwn,
    packed,
    unpacked,
)
from customhouse.core.sealing import Seal
from customhouse.ports.traffic import Clock, Sealer


class RequestStates:
    """Seals and opens states. `bound_to` is what `core.protocol.requeststate.bound_to` gives for the present request."""

    def __init__(self, sealer: Sealer, clock: Clock) -> None:
        self._sealer = sealer
        self._clock = clock

    def seal(
        self,
        waits: ServersOwn | Parked | Asking,
        round_number: int,
        expires_at: float,
        bound_to: bytes,
        approved: Approved | None = None,
    ) -> str:
        """The text for `requestState`. Raises `Refused` RESULT_TOO_LARGE for a server's state beyond 64 KiB."""
        state = RequestState(waits, round_number, int(expires_at), approved)
        return self._sealer.seal(Seal.REQUEST_STATE, packed(state), bound_to)

    def open(self, text: object, bound_to: bytes) -> RequestState:
        """The state of a retry. Raises `Refused` INVALID_REQUEST_STATE, the same whatever is wrong."""
        if type(text) is not str or len(text) > MAX_SEALED_CHARACTERS:
            raise Seal.REQUEST_STATE.refused()
        return unpacked(self._sealer.open(Seal.REQUEST_STATE, text, bound_to), self._clock.now())
