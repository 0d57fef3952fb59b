"""All servers of a deployment, each over the transport that its definition names or that it turns out to speak.

Source: MCP 2026-07-28, basic/transports/streamable-http, Backward Compatibility: a server that answers a POST with 400, 404 or 405 and
no error of the modern era may be one of HTTP+SSE, which a GET shows.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, cast

from customhouse.adapters.upstreams.channels import Channels
from customhouse.adapters.upstreams.dialling import Address, dial
from customhouse.adapters.upstreams.duplex import again
from customhouse.adapters.upstreams.endpoint import Dial
from customhouse.adapters.upstreams.eventsource import EventSourceServer, NoStream
from customhouse.adapters.upstreams.legacysessions import NotSpoken
from customhouse.adapters.upstreams.stdio import StdioServer
from customhouse.adapters.upstreams.streamable import StreamableServer
from customhouse.core.manifest import Era, ServerDefinition
from customhouse.core.permit import Errand, Permit, Purpose
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.hosts import Child
from customhouse.ports.traffic import Ask, Clock, Hearing, Listener, Secrets, UpstreamAnswer
from customhouse.wire.client import ClientConnection, KnownHead
from customhouse.wire.deadlines import Deadlines

log = logging.getLogger(__name__)

Server = StreamableServer | Channels
Start = Callable[[ServerDefinition], Awaitable[Child]]
"""Starts the program of a definition with `stdio`. Raises `Refused`."""

LEAVING_SECONDS = 600.0
"""For the questions of a call that is under way: what `bridges.answer_timeout_seconds` is by default."""

_NOTHING: Mapping[str, Any] = {}


async def no_programs(definition: ServerDefinition) -> Child:
    """Where no programs are started."""
    raise Refused(Reason.SERVER_NOT_STARTED, note=f"{definition.name} is a program, and none are started here")


class TransportUpstreams:
    """Implements `ports.traffic.Sources`; a server is found by the definition in the authority."""

    def __init__(self, secrets: Secrets, clock: Clock, hearing: Hearing, start: Start = no_programs, dialled: Dial = dial) -> None:
        """`dialled` makes connections for Streamable HTTP; a bench hands in its own, which goes nowhere."""
        self._secrets = secrets
        self._clock = clock
        self._hearing = hearing
        self._start = start
        self._dialled = dialled
        self._servers: dict[int, Server] = {}
        """By the identity of the definition, which the server holds: two versions of one server are two servers."""
        self._served: dict[int, ServerDefinition] | None = None
        """What may be called, once somebody said so."""
        self._leaving: dict[int, float] = {}
        """Servers that are served no more, and when they are closed: calls that are under way end first."""
        self._attended: set[str] = set()
        self._looking: dict[int, asyncio.Task[EventSourceServer | None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._deadlines = Deadlines(clock.monotonic)
        self._tls = ssl.create_default_context()  # one for all: building one costs 5 to 25 ms

    # The port

    def call(self, authority: Permit | Errand, ask: Ask, listener: Listener) -> Coroutine[Any, Any, UpstreamAnswer]:
        """See `ports.traffic.Upstreams`."""
        definition = authority.server
        server = self._servers.get(id(definition)) or self._begin(definition)
        if type(server) is StreamableServer:  # cheaper than to ask whether it is one of an abstract class
            return server.call(authority, ask, listener)
        return self._over_channels(cast(Channels, server), authority, ask, listener)

    async def era_of(self, errand: Errand) -> Era:
        """The era to capture a server in: modern if it speaks it, else legacy. Raises `Refused` if it is away."""
        deadline = self._clock.monotonic() + errand.server.call_timeout_seconds
        return Era.MODERN if await self._server(errand.server).speaks_modern(deadline) else Era.LEGACY

    async def discovery(
        self, errand: Errand, era: Era, capabilities: Mapping[str, Any] = _NOTHING, conversation: str = ""
    ) -> dict[str, Any]:
        """What the server says of itself to whoever declares these capabilities: its DiscoverResult or InitializeResult."""
        try:
            return await self._server(errand.server).discovery(errand, era, capabilities, conversation)
        except NotSpoken as unspoken:
            older = await self._older(errand.server) if unspoken.may_be_older else None
            if older is None:
                raise again(unspoken.refused) from None
        return await older.discovery(errand, era, capabilities, conversation)

    # Beside calls

    def attend(self, definition: ServerDefinition) -> None:
        """From now on changes of the server's lists are heard, on a stream that the gateway keeps open where there is one.

        Servers on channels are heard while a channel stands; none is opened for that alone. One that cannot be called is not heard either.
        """
        self._attended.add(definition.name)
        try:
            server = self._server(definition)
        except Refused as unusable:
            log.warning("%s is not listened to: %s", definition.name, unusable.note)
            return
        if isinstance(server, StreamableServer):
            server.attend()

    def retain(self, served: Sequence[ServerDefinition]) -> None:
        """These definitions are served now, and no others; the very values, since equal ones of another view are others. Calls that are
        under way at a server that is served no more have the time of a call and of its questions to end."""
        self._served = {id(definition): definition for definition in served}
        for key, server in self._servers.items():
            if key not in self._served and key not in self._leaving:
                self._leave(server.definition)
        for key in self._served.keys() & self._leaving.keys():
            del self._leaving[key]

    def forget(self, conversation: str) -> None:
        """A conversation of a caller ended: what is kept for it alone at servers ends with the next sweep, or behind its last call."""
        for server in self._servers.values():
            server.forget(conversation)

    def sweep(self) -> None:
        """End what idles, and pass on what was held back; called once a second."""
        now = self._clock.monotonic()
        for server in self._servers.values():
            server.sweep(now)
        for key in [key for key, until in self._leaving.items() if until <= now]:
            del self._leaving[key]
            self._end(self._servers.pop(key))

    async def close(self) -> None:
        """End all sessions, channels and connections."""
        for looking in self._looking.values():
            looking.cancel()
        await asyncio.gather(*(server.close() for server in self._servers.values()), *self._ending)

    # Servers

    def _server(self, definition: ServerDefinition) -> Server:
        return self._servers.get(id(definition)) or self._begin(definition)

    def _begin(self, definition: ServerDefinition) -> Server:
        if definition.stdio is not None:
            return self._put(StdioServer(definition, lambda: self._start(definition), self._clock, self._hearing))
        try:
            fresh = StreamableServer(
                definition, self._secrets, self._clock, self._hearing, self._deadlines, self._connect, self._over_older_transport
            )
        except LookupError as missing:
            raise Refused(Reason.UPSTREAM_UNREACHABLE, note=f"its credential cannot be read: {missing}") from missing
        if definition.name in self._attended:
            fresh.attend()
        return self._put(fresh)

    def _put(self, fresh: Server) -> Server:
        """A server takes the place of what was known under its name."""
        before = self._servers.get(id(fresh.definition))
        self._servers[id(fresh.definition)] = fresh
        if self._served is not None and id(fresh.definition) not in self._served:
            self._leave(fresh.definition)
        if before is not None:
            self._end(before)
        return fresh

    def _leave(self, definition: ServerDefinition) -> None:
        self._leaving[id(definition)] = self._clock.monotonic() + definition.call_timeout_seconds + LEAVING_SECONDS

    def _end(self, server: Server) -> None:
        ending = asyncio.get_running_loop().create_task(server.close())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    def _connect(
        self, server: ServerDefinition, address: Address, known_heads: dict[bytes, KnownHead]
    ) -> Coroutine[Any, Any, ClientConnection]:
        return self._dialled(server, address, self._tls, known_heads)

    # Channels

    async def _over_channels(self, server: Channels, authority: Permit | Errand, ask: Ask, listener: Listener) -> UpstreamAnswer:
        """In a task of its own: what waits for a channel is bounded by its task."""
        try:
            return await asyncio.get_running_loop().create_task(server.call(authority, ask, listener))
        except NoStream:
            if self._servers.get(id(server.definition)) is server:
                self._begin(server.definition)  # it is another server now, which the next call finds out
            raise

    async def _over_older_transport(self, authority: Permit | Errand, ask: Ask, listener: Listener) -> UpstreamAnswer | None:
        """See `streamable.Elsewhere`."""
        older = await self._older(authority.server)
        return None if older is None else await self._over_channels(older, authority, ask, listener)

    async def _older(self, definition: ServerDefinition) -> EventSourceServer | None:
        """The server over HTTP+SSE if it is one, which it then stays; looked at once, however many wait."""
        looking = self._looking.get(id(definition))
        if looking is None:
            looking = self._looking[id(definition)] = asyncio.get_running_loop().create_task(self._look_for_older(definition))
            looking.add_done_callback(lambda _: self._looking.pop(id(definition), None))
        return await asyncio.shield(looking)

    async def _look_for_older(self, definition: ServerDefinition) -> EventSourceServer | None:
        older = EventSourceServer(definition, self._secrets, self._clock, self._hearing, self._tls)
        with contextlib.suppress(Refused):
            await older.discovery(Errand(Purpose.PROBE, definition), Era.LEGACY)
            log.info("%s speaks HTTP+SSE", definition.name)
            self._put(older)
            return older
        await older.close()
        return None
