"""Session ids of legacy clients: sealed at `initialize`, opened at every later request.

An id that opened is kept with its session, since opening is on the path of every legacy call. What is kept is found by the id and then held
against the caller and the endpoint of the present request, so keeping it lets nobody in.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from customhouse.core.identity import Caller
from customhouse.core.protocol.sessionid import MAX_ID_CHARACTERS, Session, bound_to, opened, packed, unpacked
from customhouse.core.refusal import Reason, Refused
from customhouse.core.sealing import Seal
from customhouse.ports.traffic import Clock, Sealer

MAX_KEPT = 10_000
"""Opened ids kept, about 2 KB each, the least recently used ones dropped first."""


class SessionIds:
    """Mints and opens session ids. Whether a session ended is for `ports.sessions.Sessions` to say."""

    def __init__(self, sealer: Sealer, clock: Clock, new_id: Callable[[], str], max_age_seconds: float) -> None:
        """`new_id` gives 32 fresh hexadecimal digits."""
        self._sealer = sealer
        self._clock = clock
        self._new_id = new_id
        self._max_age_seconds = max_age_seconds
        self._kept: OrderedDict[str, Session] = OrderedDict()

    def mint(
        self, caller: Caller, endpoint: str, revision: str, capabilities: Mapping[str, Any], client_info: Mapping[str, Any]
    ) -> tuple[Session, str]:
        """A new session and its id: visible ASCII, at most 1,024 characters."""
        session = opened(
            nonce=bytes.fromhex(self._new_id()),
            caller=caller,
            endpoint=endpoint,
            revision=revision,
            capabilities=capabilities,
            client_info=client_info,
            now=self._clock.now(),
        )
        text = self._sealer.seal(Seal.SESSION, packed(session), bound_to(caller, endpoint))
        self._keep(text, session)
        return session, text

    def open(self, text: str, caller: Caller, endpoint: str) -> Session:
        """The session of an id. Raises `Refused` SESSION_REQUIRED for an empty one, else SESSION_UNKNOWN, the same whatever is wrong."""
        session = self._kept.get(text)
        if session is None:
            session = self._unseal(text, caller, endpoint)
        elif session.principal != caller.principal or session.endpoint != endpoint:
            raise Seal.SESSION.refused()
        else:
            self._kept.move_to_end(text)
        if session.issued_at + self._max_age_seconds <= self._clock.now():
            raise Seal.SESSION.refused()
        return session

    def _unseal(self, text: str, caller: Caller, endpoint: str) -> Session:
        if not text:
            raise Refused(Reason.SESSION_REQUIRED)
        if len(text) > MAX_ID_CHARACTERS:
            raise Seal.SESSION.refused()
        data = self._sealer.open(Seal.SESSION, text, bound_to(caller, endpoint))
        try:
            session = unpacked(data, caller, endpoint)
        except ValueError:  # sealed by a gateway of another version
            raise Seal.SESSION.refused() from None
        self._keep(text, session)
        return session

    def _keep(self, text: str, session: Session) -> None:
        self._kept[text] = session
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
