"""The real exchange in a small world: verifier, ledger, upstreams, clock and reply in memory, policy and pins as in a deployment."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from customhouse.adapters.sealers.aead import AeadSealer
from customhouse.adapters.sealers.keyring import first_keyring
from customhouse.adapters.stores.approvals import MemoryShelves, StoredApprovals
from customhouse.config.tree import Sessions as SessionSettings
from customhouse.core.approval import FloodLimits
from customhouse.core.budget import Rate
from customhouse.core.catalogue import offer, portal_endpoint, server_endpoint
from customhouse.core.identity import Caller
from customhouse.core.manifest import Effect, Manifest, Pin, ServerDefinition, ToolReview, digest_of
from customhouse.core.permit import Errand, Permit
from customhouse.core.policy import compile_policy, policy_servers
from customhouse.core.policygrants import Grant
from customhouse.core.protocol.revisions import META_CAPABILITIES, META_VERSION, NAMED_BY
from customhouse.core.protocol.sse import event
from customhouse.core.record import Record
from customhouse.core.refusal import Reason, Refused
from customhouse.gateway.admission import Admission
from customhouse.gateway.approving import ApprovalTerms, Approving
from customhouse.gateway.arrival import Arrival, Keeper, Passed
from customhouse.gateway.exchange import Exchange
from customhouse.gateway.leaving import Leaving
from customhouse.gateway.live import Live, View
from customhouse.gateway.parking import Parking, ParkingLimits
from customhouse.gateway.questions import Questions
from customhouse.gateway.requeststates import RequestStates
from customhouse.gateway.rounds import RoundLimits, Rounds, size_of_answer
from customhouse.gateway.taints import Taints
from customhouse.gateway.taskids import TaskIds
from customhouse.ports.traffic import Ask, Clock, Ledger, Listener, Sealer, UpstreamAnswer, Upstreams
from customhouse.wiring import build_conversations
from tests.core.policy_world import caller

PUBLIC = "http://gateway.test"
INFO = {"name": "customhouse", "version": "test"}
MANY = Rate(1000, 1000)
DRAFT = {"type": "object", "properties": {"title": {"type": "string"}, "tag": {"type": "string"}}, "required": ["title"]}
ROUTED = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}

RULES = """
@id("readers-read") permit (principal in Group::"acme/readers", action in Action::"read", resource in Server::"notes");
@id("readers-draft") permit (principal in Group::"acme/readers", action == Action::"call:notes/add", resource in Server::"notes")
when { context.arguments has tag && context.arguments.tag == "draft" };
@id("strangers-read") permit (principal in Group::"other/readers", action in Action::"read", resource in Server::"foreign");
"""


def tool(name: str, schema: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "description": f"Does {name}.", "inputSchema": schema or {"type": "object"}, **more}


MANIFEST = Manifest(
    server_info={"name": "notes", "version": "1"},
    capabilities={"tools": {"listChanged": True}, "prompts": {}, "resources": {"subscribe": True}, "completions": {}, "logging": {}},
    instructions="Keep notes.",
    tools=(
        tool("add", DRAFT),
        tool("purge"),
        tool("route", ROUTED),
        tool("scoped"),
        tool(
            "search", {"type": "object", "properties": {"query": {"type": "string"}, "limit": {"type": "integer"}}, "required": ["query"]}
        ),
        tool("shape", outputSchema={"type": "array"}, execution={"taskSupport": "optional"}),
        tool("unreviewed"),
    ),
    prompts=({"name": "daily"},),
    resources=({"uri": "note://a", "name": "a"},),
    resource_templates=({"uriTemplate": "note://by/{who}", "name": "by"},),
)
REVIEWS = {
    "add": ToolReview(Effect.WRITE),
    "purge": ToolReview(Effect.DESTRUCTIVE),
    "route": ToolReview(Effect.READ),
    "scoped": ToolReview(Effect.READ, ("notes:deep", "notes:read")),
    "search": ToolReview(Effect.READ),
    "shape": ToolReview(Effect.READ, (), 2.0),
}


def definition(name: str, tenant: str = "acme", **more: Any) -> ServerDefinition:
    fixed: dict[str, Any] = {"owner": "team", "contact": "c@example.org", "url": "http://127.0.0.1:1/mcp", "tools": REVIEWS}
    return ServerDefinition(name=name, tenant=tenant, **(fixed | more))


NOTES = definition("notes", max_concurrent_calls=2)
FOREIGN = definition("foreign", "other")


@dataclass
class Moving:
    """A clock that stands until somebody moves it."""

    at: float = 1000.0

    def now(self) -> float:
        return 1.7e9 + self.at

    def monotonic(self) -> float:
        return self.at


class Tokens:
    """A verifier: the token `<person> <group>...` means that person in those groups; a few words mean something else."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, str]] = []

    def name_of(self, token: bytes, resource: str) -> object:
        return token, resource

    def known(self, name: Any) -> Caller | None:
        token, resource = name
        return None if token.startswith(b"new ") else self._read(token.decode(), resource)

    async def verify(self, token: bytes, resource: str) -> Caller:
        return self._read(token.decode().removeprefix("new "), resource)

    def _read(self, token: str, resource: str) -> Caller:
        self.asked.append((token.encode(), resource))
        if token == "bad":
            raise Refused(Reason.INVALID_TOKEN)
        if token == "unknown-issuer":
            raise Refused(Reason.ISSUER_UNAVAILABLE)
        person, *words = token.split()
        scopes = frozenset(word.removeprefix("scope=") for word in words if word.startswith("scope="))
        groups = [word for word in words if "=" not in word]
        return caller(person, *groups, tenant="other" if "tenant=other" in words else "acme", scopes=scopes)


class Book:
    """A ledger in memory that can be told to fail."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.durable: list[str] = []
        self.fails_for: Callable[[Record], bool] = lambda _: False
        self.writable = True

    async def append(self, record: Record, *, durable: bool) -> None:
        self.writable = not self.fails_for(record)
        if not self.writable:
            raise Refused(Reason.LEDGER_UNAVAILABLE, note="the disk is full")
        self.records.append(record)
        if durable:
            self.durable.append(record.kind)

    def kinds(self) -> list[str]:
        return [record.kind for record in self.records]

    @property
    def closing(self) -> Record:
        """The one closing record there is."""
        (only,) = [record for record in self.records if record.kind == "closing"]
        return only


class Servers:
    """Upstreams in memory: what was asked, and an answer that a test scripts."""

    def __init__(self) -> None:
        self.calls: list[tuple[Permit | Errand, Ask]] = []
        self.reached = asyncio.Event()
        self.reached_twice = asyncio.Event()
        self.script: Callable[[Ask, Listener], Any] | None = None

    async def call(self, authority: Permit | Errand, ask: Ask, listener: Listener) -> UpstreamAnswer:
        self.calls.append((authority, ask))
        (self.reached_twice if self.reached.is_set() else self.reached).set()
        if self.script is not None:
            answer: UpstreamAnswer = await self.script(ask, listener)
            return answer
        declared: dict[str, Any] = {"structuredContent": []} if ask.params.get("name") == "shape" else {}
        return result({"content": [{"type": "text", "text": "done"}], **declared})


def result(value: Mapping[str, Any]) -> UpstreamAnswer:
    return UpstreamAnswer({key: msgspec.Raw(msgspec.json.encode(inner)) for key, inner in value.items()})


@dataclass(eq=False)
class Back:
    """The way back to one caller."""

    connected: bool = True
    bytes_out: int = 0
    status: int = 0
    headers: bytes = b""
    body: bytes = b""
    events: list[dict[str, Any]] = field(default_factory=list)
    ended: bool = False
    cancels: bool = False
    waits: bool = False
    carried_by: "asyncio.Task[Any] | None" = None
    keeper: Keeper | None = None
    full: bool = False
    stream: bytes = b""
    """What was sent as it is, and every event."""
    held: "asyncio.Future[None] | None" = None
    said: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever something was said."""

    def whole(self, status: int, headers: bytes, *body: bytes) -> None:
        assert not self.status
        assert not self.ended
        self.status, self.headers, self.body = status, headers, b"".join(body)
        if self.keeper is not None and self.keeper.began:
            self.send(self.keeper.keep(self.body))
            self.keeper.finish()
        self.said.set()

    def event(self, data: bytes) -> None:
        self.events.append(json.loads(data))
        self.send(event(data) if self.keeper is None else self.keeper.keep(data))

    def send(self, stream: bytes) -> None:
        if self.connected:
            self.stream += stream
            self.said.set()

    def hold(self) -> Awaitable[None]:
        self.carried_by = asyncio.current_task()
        self.held = asyncio.get_running_loop().create_future()
        return self.held

    def let_go(self) -> None:
        if self.held is not None and not self.held.done():
            self.held.set_result(None)

    def leave(self) -> None:
        """The client goes away."""
        self.connected = False
        if self.cancels:
            self.give_up()

    async def hears(self, words: bytes) -> bytes:
        """The stream as soon as it has these words in it."""
        async with asyncio.timeout(5):
            while words not in self.stream:
                self.said.clear()
                await self.said.wait()
        return self.stream

    @property
    def told(self) -> list[dict[str, Any]]:
        """The messages of the stream."""
        return [json.loads(line[6:]) for line in self.stream.split(b"\n") if line.startswith(b"data: {")]

    def room(self) -> None:
        return None

    def end(self) -> None:
        self.ended = True
        self.said.set()

    def may_wait(self) -> None:
        self.waits = True
        self.carried_by = asyncio.current_task()

    def give_up(self) -> None:
        assert self.carried_by is not None
        self.carried_by.cancel()

    def cancel_when_left(self) -> None:
        self.cancels = True
        self.carried_by = self.carried_by or asyncio.current_task()

    @property
    def answer(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body)
        return value

    @property
    def refusal(self) -> str:
        """The name of the reason in the answer."""
        return str(self.answer["error"]["data"]["reason"]).upper()

    @property
    def result(self) -> dict[str, Any]:
        value: dict[str, Any] = self.answer["result"]
        return value


def rounds_over(servers: Upstreams, clock: Clock, new_id: Callable[[], str], max_rounds: int = 10) -> Rounds:
    """Rounds with real keys over servers that a test scripts."""
    sealer = AeadSealer(first_keyring(clock.now()), clock)
    parking: Parking[UpstreamAnswer] = Parking(ParkingLimits(10, 100, 1_000_000, 10_000_000), clock, new_id, size_of_answer)
    limits = RoundLimits(max_rounds, 60.0)
    return Rounds(
        servers, parking, RequestStates(sealer, clock), Questions(), clock, limits, "gateway-1", new_id, Leaving(Taints(clock, 3_600.0, 10))
    )


def approving_in_memory(sealer: Sealer, ledger: Ledger, clock: Clock, new_id: Callable[[], str], console_url: str = "") -> Approving:
    """Asks people by way of a store in memory."""
    approvals = StoredApprovals(MemoryShelves())
    terms = ApprovalTerms(900.0, 10, FloodLimits(5, 20, 50, 10), console_url)
    return Approving(lambda: approvals, RequestStates(sealer, clock), ledger, clock, new_id, terms)


class World:
    """One gateway: portal `/mcp` over `notes` and `foreign`, and each of them alone."""

    def __init__(
        self,
        rules: str = RULES,
        rate: Rate = MANY,
        argument_key: bytes = b"k" * 32,
        pinned: str = "2026-07-28",
        notes: ServerDefinition = NOTES,
        grants: tuple[Grant, ...] = (),
        more: Mapping[str, str] | None = None,
        console_url: str = "",
    ) -> None:
        servers = (notes, FOREIGN)
        pins = {server.name: Pin(server=server.name, revision=pinned, digest=digest_of(MANIFEST), manifest=MANIFEST) for server in servers}
        policy = compile_policy({"rules.cedar": rules, **(more or {})}, policy_servers(servers, pins), grants)
        offers = [offer(server, pins[server.name], policy.refs_of(server.name)) for server in servers]
        endpoints = [portal_endpoint("default", offers, PUBLIC), *(server_endpoint(one, PUBLIC) for one in offers)]
        view = View({one.path: one for one in endpoints}, policy, frozenset({b"gateway.test"}), frozenset(), INFO)
        self.live, self.clock, self.book, self.servers, self.tokens = Live(view), Moving(), Book(), Servers(), Tokens()
        self.observed: list[Record] = []
        self.forgotten: list[str] = []
        """Keys of sessions that ended."""
        self.path = "/mcp"
        """The endpoint of a request that names no other."""
        self.admission = Admission(rate, MANY, 100, 5)
        self._ids = iter(f"{n:032x}" for n in range(1, 10_000))
        sealer = AeadSealer(first_keyring(self.clock.now()), self.clock)
        self.conversations = build_conversations(
            SessionSettings(max_per_caller=3), sealer, self.clock, lambda: next(self._ids), self.forgotten.append
        )
        rounds = rounds_over(self.servers, self.clock, lambda: next(self._ids))
        self.approving = approving_in_memory(sealer, self.book, self.clock, lambda: next(self._ids), console_url)
        self.approving.states = rounds.states
        self.exchange = Exchange(
            live=self.live,
            verifier=self.tokens,
            admission=self.admission,
            rounds=rounds,
            ledger=self.book,
            clock=self.clock,
            new_id=lambda: next(self._ids),
            argument_key=argument_key,
            public_url=PUBLIC,
            observe=self.observed.append,
            conversations=self.conversations,
            task_ids=TaskIds(sealer),
            approving=self.approving,
        )

    def arrival(self, message: object, headers: Mapping[bytes, bytes | None] | None = None, **more: Any) -> Arrival:
        """A POST; a header of None is left out."""
        sent: dict[bytes, bytes | None] = {
            b"host": b"gateway.test",
            b"content-type": b"application/json",
            b"accept": b"application/json, text/event-stream",
            b"authorization": b"Bearer " + more.get("token", b"alice readers"),
            **(headers or {}),
        }
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        kept = {name: value for name, value in sent.items() if value is not None}
        return Arrival(more.get("path", self.path), more.get("query", b""), kept, body, self.clock.monotonic(), Passed())

    async def post(self, message: object, headers: Mapping[bytes, bytes | None] | None = None, **more: Any) -> Back:
        """The reply to one POST."""
        back = Back()
        await self.exchange.answer(self.arrival(message, headers, **more), back)
        return back

    async def ask(self, method: str, params: Mapping[str, Any] | None = None, **more: Any) -> Back:
        """A legacy request."""
        return await self.post(legacy(method, params), **more)

    async def open_session(self, revision: str = "2025-11-25", capabilities: Mapping[str, Any] | None = None, **more: Any) -> bytes:
        """The id of a new session."""
        said = {"protocolVersion": revision, "capabilities": dict(capabilities or {}), "clientInfo": {"name": "ide", "version": "1"}}
        return session_id(await self.ask("initialize", said, **more))

    async def say(self, session: bytes, method: str, params: Mapping[str, Any] | None = None, message_id: object = 1, **more: Any) -> Back:
        """A request within a session."""
        headers = {b"mcp-session-id": session, **more.pop("headers", {})}
        return await self.post(legacy(method, params, message_id), headers, **more)

    async def listen(self, session: bytes, last_event_id: bytes = b"", **more: Any) -> "tuple[asyncio.Task[None], Back]":
        """A GET of a session, and what comes back; it is open when its first bytes are there."""
        back = Back()
        headers = {b"mcp-session-id": session, b"accept": b"text/event-stream", b"content-type": None, **more.pop("headers", {})}
        if last_event_id:
            headers[b"last-event-id"] = last_event_id
        arrival = self.arrival(b"", headers, **more)
        open_ = asyncio.create_task(self.exchange.answer(arrival, back, self.exchange.open_downlink))
        async with asyncio.timeout(5):
            await back.said.wait()
        return open_, back

    async def subscribe_modern(
        self, notifications: Mapping[str, Any], message_id: object = 1, **more: Any
    ) -> "tuple[asyncio.Task[None], Back]":
        """A `subscriptions/listen`, acknowledged or refused."""
        message, headers = modern("subscriptions/listen", {"notifications": dict(notifications)})
        back = Back()
        arrival = self.arrival({**message, "id": message_id}, headers, **more)
        open_ = asyncio.create_task(self.exchange.answer(arrival, back))
        async with asyncio.timeout(5):
            await back.said.wait()
        return open_, back

    async def hang_up(self, session: bytes, **more: Any) -> Back:
        """A DELETE of a session."""
        back = Back()
        arrival = self.arrival(b"", {b"mcp-session-id": session, b"content-type": None, **more.pop("headers", {})}, **more)
        await self.exchange.answer(arrival, back, self.exchange.hang_up)
        return back

    async def ask_modern(
        self, method: str, params: Mapping[str, Any] | None = None, meta: Mapping[str, Any] | None = None, **more: Any
    ) -> Back:
        """A modern request."""
        message, headers = modern(method, params, meta)
        return await self.post(message, {**headers, **more.pop("headers", {})}, **more)


def session_id(back: Back) -> bytes:
    """The id that an answer brought; empty if it brought none."""
    found = re.search(rb"^mcp-session-id: (.*)\r$", back.headers, re.MULTILINE)
    return found[1] if found else b""


def legacy(method: str, params: Mapping[str, Any] | None = None, message_id: object = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": message_id, "method": method, "params": dict(params or {})}


def modern(
    method: str, params: Mapping[str, Any] | None = None, meta: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], dict[bytes, bytes | None]]:
    given = dict(params or {})
    headers: dict[bytes, bytes | None] = {b"mcp-protocol-version": b"2026-07-28", b"mcp-method": method.encode()}
    name = given.get(NAMED_BY.get(method, ""))
    if isinstance(name, str):
        headers[b"mcp-name"] = name.encode()
    stamped = {META_VERSION: "2026-07-28", META_CAPABILITIES: {}, **(meta or {})}
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**given, "_meta": stamped}}, headers
