"""What the data plane asks of the world."""

from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from customhouse.core.identity import Caller
from customhouse.core.manifest import Era
from customhouse.core.permit import Errand, Permit
from customhouse.core.record import Record
from customhouse.core.sealing import Seal


class Verifier(Protocol):
    """Turns a bearer token into a caller."""

    def name_of(self, token: bytes, resource: str) -> object:
        """What a token for a resource is known by: equal for equal tokens, and worthless to whoever reads it in memory."""

    def known(self, name: object) -> Caller | None:
        """The caller of a token that was verified before and is still valid; None: ask `verify`.

        Synchronous and cheap: it is on the path of every call.
        """

    async def verify(self, token: bytes, resource: str) -> Caller:
        """Verify a token for one resource (the URL of the endpoint, RFC 8707).

        Raises `Refused`: INVALID_TOKEN, or ISSUER_UNAVAILABLE where the issuer's keys are not to be had.
        """


class Ledger(Protocol):
    """The append-only, tamper-evident audit log."""

    def append(self, record: Record, *, durable: bool) -> Awaitable[None]:
        """Awaited, returns once the record is written; with `durable`, once it is on stable storage (fdatasync).

        Raises `Refused` LEDGER_UNAVAILABLE if that is not possible.
        """

    @property
    def writable(self) -> bool:
        """False after a write failed, until one succeeds again; readiness shows it."""


class Ask(msgspec.Struct, frozen=True, gc=False):
    """One request for a server, as judged: nothing in it comes from bytes that were not read."""

    method: str
    params: Mapping[str, Any]
    """Parameters without `_meta`, with the server's own names."""
    era: Era
    """The client's, in which the server is spoken to if it can be."""
    deadline: float
    """On the monotonic clock: nothing is waited for longer."""
    meta: Mapping[str, Any] = {}
    """Vendor and trace keys that travel on; the connection's own keys are stamped by the adapter."""
    wants_progress: bool = False
    log_level: str = ""
    """The least severity of log messages the client wants, or empty."""
    mirrored_headers: Sequence[tuple[str, str]] = ()
    """`Mcp-Param-*` headers, computed from the judged arguments."""
    capabilities: Mapping[str, Any] = {}
    """What the client declared, cut to what the gateway relays; declared to the server, never widened."""
    conversation: str = ""
    """Which conversation, never that of two callers; part of the key of what a legacy server remembers."""


class UpstreamAnswer(msgspec.Struct, gc=False):
    """What a server answered: the members of its result undecoded, or its error."""

    result: dict[str, msgspec.Raw] | None = None
    error: dict[str, Any] | None = None
    revision: str = ""
    """The revision that the server was spoken to in."""


class Listener(Protocol):
    """Hears what a server says while it works on a call."""

    def notify(self, method: str, params: dict[str, Any]) -> None:
        """A progress or log message of this very call."""

    def room(self) -> Awaitable[None] | None:
        """What was said so far goes out now, together. Awaited, where there is something to await, before more is read."""

    async def ask(self, method: str, params: dict[str, Any], revision: str) -> dict[str, Any]:
        """What a legacy server of this revision asks while it works on the call: sampling, elicitation or roots, of a kind and mode that
        the call's capabilities declare.

        Returns `{"result": ...}` or `{"error": ...}` for the server. `Refused` ends the call.
        """


class Hearing(Protocol):
    """Hears what a server says outside of calls."""

    def changed(self, server: str, kind: str) -> None:
        """A list of the server is another one now: `tools`, `prompts` or `resources`."""

    def updated(self, server: str, session_key: str, uri: str) -> None:
        """A resource that was subscribed to changed."""


class Upstreams(Protocol):
    """The MCP servers, as far as a permit or an errand reaches."""

    def call(self, authority: Permit | Errand, ask: Ask, listener: Listener) -> Coroutine[Any, Any, UpstreamAnswer]:
        """Ask the server and wait for its answer. A cancelled wait cancels the work at the server.

        Raises `Refused` with a reason of the upstream section of the table, or ERA_UNSUPPORTED.
        """


class Sources(Upstreams, Protocol):
    """The same servers, asked what they offer."""

    async def era_of(self, errand: Errand) -> Era:
        """The era to capture a server in: modern if it speaks it, else legacy. Raises `Refused` if it is away."""

    async def discovery(self, errand: Errand, era: Era, capabilities: Mapping[str, Any], conversation: str) -> Mapping[str, Any]:
        """What the server says of itself to a client with these capabilities: its DiscoverResult or InitializeResult."""


class Secrets(Protocol):
    """Resolves references to secrets."""

    def read(self, reference: str) -> str:
        """The value behind `env:NAME` or `file:PATH`, without surrounding white space.

        Raises `LookupError` with the reference, never the value, in its message.
        """


class Sealer(Protocol):
    """Seals what clients carry for the gateway, so that they can neither read nor change it."""

    def seal(self, kind: Seal, plaintext: bytes, bound_to: bytes) -> str:
        """A text of A-Z, a-z, 0-9, `-` and `_` that opens only as this kind and for the same `bound_to`. Never the same text twice."""

    def open(self, kind: Seal, text: str, bound_to: bytes) -> bytes:
        """What was sealed. Raises the one `Refused` of the kind, whatever is wrong; the text may be anything a client sent."""


class Clock(Protocol):
    """Time, so that tests can move it."""

    def now(self) -> float:
        """Unix seconds."""

    def monotonic(self) -> float:
        """Seconds of a clock that never steps."""
