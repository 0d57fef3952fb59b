"""What the data plane asks of the world."""

from collections.abc import Sequence
from typing import Protocol

from customhouse.core.identity import Caller
from customhouse.core.record import Record


class Verifier(Protocol):
    """Turns a bearer token into a caller."""

    def known(self, token: bytes, resource: str) -> Caller | None:
        """The caller of a token that was verified before for this resource and is still valid; None: ask `verify`.

        Synchronous and cheap: it is on the path of every call.
        """

    async def verify(self, token: bytes, resource: str) -> Caller:
        """Verify a token for one resource (the URL of the endpoint, RFC 8707).

        Raises `Refused`: INVALID_TOKEN, or ISSUER_UNAVAILABLE where the issuer's keys are not to be had.
        """


class Ledger(Protocol):
    """The append-only, tamper-evident audit log."""

    async def append(self, record: Record, *, durable: bool) -> None:
        """Return once the record is written; with `durable`, once it is on stable storage (fdatasync).

        Raises `Refused` LEDGER_UNAVAILABLE if that is not possible.
        """

    @property
    def writable(self) -> bool:
        """False after a write failed, until one succeeds again; readiness shows it."""


class Secrets(Protocol):
    """Resolves references to secrets."""

    def read(self, reference: str) -> str:
        """The value behind `env:NAME` or `file:PATH`, without surrounding white space.

        Raises `LookupError` with the reference, never the value, in its message.
        """


class Clock(Protocol):
    """Time, so that tests can move it."""

    def now(self) -> float:
        """Unix seconds."""

    def monotonic(self) -> float:
        """Seconds of a clock that never steps."""


__all__: Sequence[str] = ("Clock", "Ledger", "Secrets", "Verifier")
