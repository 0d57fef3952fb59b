"""One MCP server over Streamable HTTP, in whichever era it speaks: one upstream request per call once warm.

Sources: MCP 2026-07-28, basic/transports/streamable-http and basic/versioning (Backward Compatibility); MCP 2025-11-25, basic/transports.

A server is spoken to in the client's era if it can be, so that nothing is lost in translation, else in the other one. What a server
answers to a greeting or to the question which versions it speaks decides; refused credentials, outages and silence decide nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from customhouse.adapters.upstreams.answers import decoded
from customhouse.adapters.upstreams.channels import changes_offered
from customhouse.adapters.upstreams.duplex import CLIENT_INFO, SILENT, again
from customhouse.adapters.upstreams.endpoint import Connect, Endpoint, encode, framed, outcome_of
from customhouse.adapters.upstreams.legacysessions import LegacySessions, NotSpoken
from customhouse.adapters.upstreams.listening import Listening
from customhouse.core.manifest import Era, ServerDefinition
from customhouse.core.permit import Errand, Permit
from customhouse.core.protocol.capabilities import declared_to
from customhouse.core.protocol.eras import UNSUPPORTED_VERSION, shows_modern
from customhouse.core.protocol.paramheaders import encode_value
from customhouse.core.protocol.revisions import (
    LEGACY_REVISIONS,
    META_CAPABILITIES,
    META_CLIENT,
    META_LOG_LEVEL,
    META_VERSION,
    MODERN_REVISIONS,
    NAMED_BY,
    NEWEST_MODERN,
    mutual,
)
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.traffic import Ask, Clock, Hearing, Listener, Secrets, UpstreamAnswer
from customhouse.wire.deadlines import Deadlines

VERDICT_SECONDS = 3_600.0
"""How long a server that speaks an era is taken to go on with it; what contradicts it in between ends the verdict."""

MISSING_SECONDS = 300.0
"""How long a server that does not speak an era is not asked again: it may be updated at any time."""

MAX_HEADS = 1_024
"""Request heads kept per server; when there are more, all are made again at need."""

_SUBSCRIBING = frozenset({"resources/subscribe", "resources/unsubscribe"})

_PLAIN_META = msgspec.Raw(encode({META_VERSION: NEWEST_MODERN, META_CAPABILITIES: {}, META_CLIENT: CLIENT_INFO}))

Elsewhere = Callable[[Permit | Errand, Ask, Listener], Awaitable[UpstreamAnswer | None]]
"""Makes a call over the older transport; None if there is none either."""


class StreamableServer:
    """One server: which era it speaks, its requests of the modern era, and its legacy sessions."""

    def __init__(
        self,
        definition: ServerDefinition,
        secrets: Secrets,
        clock: Clock,
        hearing: Hearing,
        deadlines: Deadlines,
        connect: Connect,
        elsewhere: Elsewhere,
    ) -> None:
        """`elsewhere` is asked when the server answers like one of another transport."""
        self.definition = definition
        self._endpoint = Endpoint(definition, secrets, clock, deadlines, connect)
        self._exchange = self._endpoint.exchange
        self._ids = self._endpoint.ids
        self._sessions = LegacySessions(self._endpoint, hearing)
        self._listening = Listening(self._endpoint, hearing)
        self._elsewhere = elsewhere
        self._heads: dict[tuple[str, str], bytes] = {}
        self._modern: bool | None = None
        self._modern_until = 0.0
        self._no_legacy_until = 0.0
        self._probing: asyncio.Task[bool] | None = None

    # Calls

    async def call(self, authority: Permit | Errand, ask: Ask, listener: Listener) -> UpstreamAnswer:
        """One request and its answer, in the era of the ask if the server speaks it, else in the other. Raises `Refused`."""
        if ask.method in _SUBSCRIBING:
            subscribing = self._subscribe(authority, ask, listener)
            return await asyncio.get_running_loop().create_task(subscribing)  # what bounds it in time needs a task
        once = type(authority) is Permit and authority.changes_things
        if ask.era is Era.LEGACY and self._endpoint.now() >= self._no_legacy_until:
            try:
                return await self._sessions.call(_key_of(authority), ask, listener, once=once)
            except NotSpoken as unspoken:
                if not await self._speaks_modern_alone(ask.deadline):
                    return await self._nowhere(unspoken, authority, ask, listener)
        if self._modern or await self.speaks_modern(ask.deadline):
            request, own_id = self._modern_request(ask)
            try:
                answer = await self._exchange(request, own_id, ask, listener, None, NEWEST_MODERN, once=once)
            except Refused as refused:
                if refused.reason is Reason.UPSTREAM_FAILED and refused.note.startswith("status 4"):
                    self._modern = None  # it may be another server now: it is asked again before the next call
                raise
            if answer.error is None or not self._turned_legacy(answer.error):
                return answer
        try:
            return await self._sessions.call(_key_of(authority), ask, listener, once=once)
        except NotSpoken as unspoken:
            return await self._nowhere(unspoken, authority, ask, listener)

    def _turned_legacy(self, error: dict[str, Any]) -> bool:
        """Whether the error says that the server speaks legacy revisions alone now; then it has done nothing yet."""
        if error["code"] != UNSUPPORTED_VERSION:
            return False
        self._modern, self._no_legacy_until = None, 0.0
        return speaks_legacy_alone(error)

    async def _nowhere(self, unspoken: NotSpoken, authority: Permit | Errand, ask: Ask, listener: Listener) -> UpstreamAnswer:
        """Neither era is spoken here, so nothing is known of this server; it may be one of the older transport."""
        self._modern = None
        answer = await self._elsewhere(authority, ask, listener) if unspoken.may_be_older else None
        if answer is None:
            raise again(unspoken.refused)
        return answer

    async def _subscribe(self, authority: Permit | Errand, ask: Ask, listener: Listener) -> UpstreamAnswer:
        """Subscriptions are made in the era in which calls are, too."""
        key = _key_of(authority)
        legacy_first = ask.era is Era.LEGACY and self._endpoint.now() >= self._no_legacy_until
        if not legacy_first and await self.speaks_modern(ask.deadline):
            return await self._listening.subscribe(key, ask)
        try:
            return await self._sessions.subscribe(key, ask, listener)
        except NotSpoken as unspoken:
            if legacy_first and await self._speaks_modern_alone(ask.deadline):
                return await self._listening.subscribe(key, ask)
            return await self._nowhere(unspoken, authority, ask, listener)

    async def discovery(self, errand: Errand, era: Era, capabilities: Mapping[str, Any], conversation: str) -> dict[str, Any]:
        """What the server says of itself: its DiscoverResult or InitializeResult, decoded strictly. Raises `Refused` or `NotSpoken`."""
        deadline = self._endpoint.now() + self.definition.call_timeout_seconds
        ask = Ask("server/discover", {}, era, deadline, capabilities=capabilities, conversation=conversation)
        if era is Era.LEGACY:
            return (await self._sessions.session("", ask)).initialize_result
        if not await self.speaks_modern(deadline):
            raise Refused(Reason.ERA_UNSUPPORTED, {"speaks": "legacy"})
        request, own_id = self._modern_request(ask)
        return decoded((await self._exchange(request, own_id, ask, SILENT, None, NEWEST_MODERN, once=False)).result or {})

    # Eras

    async def speaks_modern(self, deadline: float) -> bool:
        """Whether the server speaks the modern era: asked once with `server/discover`, the answer kept. Raises `Refused` if it is away."""
        if self._modern is None or self._endpoint.now() >= self._modern_until:
            if self._probing is None or self._probing.done():
                self._probing = asyncio.get_running_loop().create_task(self._probe(deadline))
            self._modern = await outcome_of(self._probing, deadline - self._endpoint.now())
            self._modern_until = self._endpoint.now() + (VERDICT_SECONDS if self._modern else MISSING_SECONDS)
        return self._modern

    async def _speaks_modern_alone(self, deadline: float) -> bool:
        """The same, of a server that just turned out to speak no legacy revision; that is kept as long."""
        modern = await self.speaks_modern(deadline)
        if modern:
            self._no_legacy_until = min(self._modern_until, self._endpoint.now() + MISSING_SECONDS)
        return modern

    async def _probe(self, deadline: float) -> bool:
        """MCP 2026-07-28, streamable-http, Backward Compatibility. 401, 403, 5xx and silence decide nothing: they are refusals."""
        ask = Ask("server/discover", {}, Era.MODERN, deadline)
        request, own_id = self._modern_request(ask)
        try:
            answer = await self._exchange(request, own_id, ask, SILENT, None, NEWEST_MODERN, once=False)
            said = decoded(answer.result or {})
        except Refused as refused:
            if refused.reason in (Reason.UPSTREAM_BROKE_PROTOCOL, Reason.UPSTREAM_FAILED) and not refused.note.startswith("status 5"):
                return False
            raise
        self._listening.kinds = changes_offered(said)
        return shows_modern(said, answer.error) and not (answer.error and speaks_legacy_alone(answer.error))

    # Modern requests

    def _modern_request(self, ask: Ask) -> tuple[bytes, int]:
        own_id = next(self._ids)
        meta: Any = _PLAIN_META
        if ask.meta or ask.wants_progress or ask.log_level or ask.capabilities:
            told = declared_to(ask.capabilities, NEWEST_MODERN)
            meta = {**ask.meta, META_VERSION: NEWEST_MODERN, META_CAPABILITIES: told, META_CLIENT: CLIENT_INFO}
            if ask.wants_progress:
                meta["progressToken"] = own_id
            if ask.log_level:
                meta[META_LOG_LEVEL] = ask.log_level
        body = encode({"jsonrpc": "2.0", "id": own_id, "method": ask.method, "params": {**ask.params, "_meta": meta}})
        parameter = NAMED_BY.get(ask.method)
        return framed(self._modern_head(ask, str(ask.params[parameter]) if parameter else ""), body), own_id

    def _modern_head(self, ask: Ask, name: str) -> bytes:
        """The head for one method and name, made once: the same few tools are called again and again."""
        head = self._heads.get((ask.method, name))
        if head is None:
            head = self._endpoint.head + f"mcp-protocol-version: {NEWEST_MODERN}\r\nmcp-method: {ask.method}\r\n".encode()
            if name:
                head += f"mcp-name: {encode_value(name)}\r\n".encode()
            if len(self._heads) >= MAX_HEADS:
                self._heads.clear()
            self._heads[ask.method, name] = head
        for header, value in ask.mirrored_headers:
            head += f"{header}: {value}\r\n".encode()
        return head

    # Housekeeping

    def attend(self) -> None:
        """From now on changes of the server's lists are heard, in whichever era it turns out to speak."""
        self._listening.attended = True

    @property
    def is_heard(self) -> bool:
        """Whether what the server says outside of calls has a way to the gateway now."""
        return self._listening.stands or self._sessions.is_heard

    def forget(self, conversation: str) -> None:
        """End what was kept for this conversation alone."""
        self._sessions.forget(conversation)

    def sweep(self, now: float) -> None:
        """End what idles, pass on what was held back; called once a second."""
        self._endpoint.sweep(now)
        if now >= self._modern_until:
            self._modern = None
        if self._modern:
            self._listening.sweep(now)
        else:
            self._sessions.attended = self._listening.attended and self._modern is False
        self._sessions.sweep(now)

    async def close(self) -> None:
        """End sessions at the server and all streams, then all connections."""
        if self._probing is not None:
            self._probing.cancel()
        self._listening.close()
        self._sessions.close()
        await self._endpoint.close()


def _key_of(authority: Permit | Errand) -> str:
    return authority.session_key if isinstance(authority, Permit) else ""


def speaks_legacy_alone(error: Mapping[str, Any]) -> bool:
    """Whether the versions that an error lists are legacy ones alone, as far as the gateway knows them."""
    data = error.get("data")
    supported = data.get("supported") if isinstance(data, dict) else None
    return not mutual(supported, MODERN_REVISIONS) and bool(mutual(supported, LEGACY_REVISIONS))
