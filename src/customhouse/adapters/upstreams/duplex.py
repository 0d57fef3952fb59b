"""One MCP conversation over a channel that carries messages both ways: ids, answers, progress, questions of the server, cancelling.

Sources: JSON-RPC 2.0; MCP 2024-11-05 to 2025-11-25, basic/lifecycle, basic/utilities; MCP 2026-07-28, basic/transports/stdio and
basic/patterns/cancellation. On such a channel nothing says which call a question or a log message of the server belongs to, so it
belongs to a call only if no other one is unfinished; progress says it by its token.

Nothing here waits for the channel to be read: a message is judged when it arrives, and what a call has to hear waits in the call, bounded.
"""

import asyncio
import contextlib
import itertools
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from customhouse import __version__
from customhouse.adapters.upstreams.answers import OWN_HOP, Message, broken, decoded, plain_result, read_answer
from customhouse.adapters.upstreams.overhearing import Overhearing
from customhouse.adapters.upstreams.pending import Pending
from customhouse.core.manifest import Era
from customhouse.core.protocol.capabilities import declared, declared_to
from customhouse.core.protocol.eras import MODERN_ERRORS, next_offer
from customhouse.core.protocol.interaction import KINDS, Question, problem_of
from customhouse.core.protocol.revisions import (
    LEGACY_REVISIONS,
    LOG_LEVELS,
    META_CAPABILITIES,
    META_CLIENT,
    META_LOG_LEVEL,
    META_VERSION,
    NEWEST_LEGACY,
    NEWEST_MODERN,
)
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.traffic import Ask, Listener, UpstreamAnswer

log = logging.getLogger(__name__)

CLIENT_INFO = {"name": "customhouse", "version": __version__}

MAX_RUBBISH = 256
"""Messages in a row that are no JSON-RPC, or that answer nothing, before the channel is ended. Some programs print a page of greeting."""

BURST_MESSAGES = 1_000
"""Messages beside answers that are read within a second; what comes faster stays where it is, which holds the server."""

MAX_UNFINISHED = 1_000
"""Cancelled requests that a server has not answered, remembered per channel."""

UNFINISHED_SECONDS = 60.0
"""How long what a server says may still belong to a request that was cancelled; many never answer one."""

MAX_QUESTIONS = 100
"""Questions of a server within one call; the gateway answers the next one itself."""

SETTLE_SECONDS = 1.0
"""How long a server may take to answer a ping behind the greeting; one that does not is called all the same."""

TAKE_IN_SECONDS = 0.1
"""How long a server that asked at once gets to make use of the answer: the reference server for files looks at each folder first."""

LATE_SECONDS = 5.0
"""How long after an answer a server may still log about its call; meanwhile no call of another conversation is told what it logs."""

_HEAD = b'{"jsonrpc":"2.0","id":'
_OF_ONE_CALL = frozenset({"notifications/message", "notifications/elicitation/complete"})
_OWN_FAULT = OWN_HOP - MODERN_ERRORS
_CALLS = frozenset({"tools/call", "prompts/get", "resources/read", "completion/complete"})
"""Requests of callers; whatever else is asked is the gateway's own affair, and nobody's secret."""
_RANK = {level: rank for rank, level in enumerate(LOG_LEVELS)}
_encode = msgspec.json.Encoder().encode
_decode_batch = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Channel(Protocol):
    """Carries whole messages to a server; what comes back goes to `Conversation.receive`."""

    async def send(self, message: bytes) -> None:
        """Return once the channel has taken the message. Raises `Refused` if it cannot."""

    def end(self) -> None:
        """End the channel and everything behind it. May be called twice."""


class Conversation:
    """What is said on one channel. A channel that ended is never used again."""

    def __init__(self, server: str, overhearing: Overhearing, monotonic: Callable[[], float]) -> None:
        self.server = server
        self.revision = ""
        """Empty until an era is settled."""
        self.capabilities: dict[str, Any] = {}
        """Declared at `initialize`, in the modern form; a legacy server may ask for these."""
        self.initialize_result: dict[str, Any] = {}
        self.over: Refused | None = None
        """Why the channel is not to be used any more."""
        self.dismissed = False
        """It ended because the gateway did not need it any more."""
        self.on_over: Callable[[Refused], None] = lambda _: None
        self.rubbish = 0
        """Messages in a row that meant nothing; an answer to a request starts the row again."""
        self.messages = 0
        """Everything that arrived."""
        self.answers = 0
        """Answers to requests among it."""
        self.dropped = 0
        """Messages that a call had no room for, or that belonged to no call."""
        self._channel: Channel
        self._overhearing = overhearing
        self._monotonic = monotonic
        self._ids = itertools.count(1)
        self._pending: dict[int, Pending] = {}
        self._unfinished: OrderedDict[int, float] = OrderedDict()
        self._ended: OrderedDict[str, float] = OrderedDict()
        """When the last call of each conversation ended, of those that ended lately."""
        self._unwatched: set[int] = set()
        self._level = len(LOG_LEVELS)
        self._noise_allowed = BURST_MESSAGES
        self._noise_since = monotonic()
        self._errands: set[asyncio.Task[None]] = set()

    def begin(self, channel: Channel) -> None:
        """The channel stands; from here on it may be sent to."""
        self._channel = channel

    @property
    def modern(self) -> bool:
        """Whether the modern era was settled."""
        return self.revision == NEWEST_MODERN

    @property
    def settled(self) -> bool:
        """Nothing is in flight and the server owes no answer, so the next question can only belong to the next call."""
        return not self._pending and not self._unfinished

    # Requests of the gateway

    async def call(self, ask: Ask, listener: Listener) -> UpstreamAnswer:
        """One request and its answer, in the era of the conversation. Raises `Refused`."""
        if not self.modern and ask.log_level:
            self._raise_level(ask.log_level)
        answer = await self.request(ask, listener)
        if answer.error is not None and answer.error["code"] in _OWN_FAULT:
            raise broken(f"error {answer.error['code']} for the gateway's request")
        return answer

    async def request(self, ask: Ask, listener: Listener) -> UpstreamAnswer:
        """The same, whatever error the server answers with."""
        if self.over is not None:
            raise again(self.over)
        own_id, heard_before = next(self._ids), self.messages
        pending = Pending(own_id, ask, listener, self._monotonic)
        self._pending[own_id] = pending
        try:
            await self._channel.send(self._framed(own_id, ask))
            return await pending.outcome()
        except asyncio.CancelledError:
            self._abandon(pending)
            if pending.was_late():
                if self.messages == heard_before and len(self._pending) == 1:
                    self.end(Refused(Reason.UPSTREAM_TIMED_OUT, note="not a word until the deadline"))
                raise Refused(Reason.UPSTREAM_TIMED_OUT) from None
            raise
        finally:
            del self._pending[own_id]
            pending.close()
            if ask.method in _CALLS:
                self._note_end(ask.conversation)

    def _note_end(self, conversation: str) -> None:
        now = self._monotonic()
        self._ended[conversation] = now
        self._ended.move_to_end(conversation)
        while next(iter(self._ended.values())) + LATE_SECONDS <= now:
            self._ended.popitem(last=False)

    def _framed(self, own_id: int, ask: Ask) -> bytes:
        params: dict[str, Any] = dict(ask.params)
        meta = dict(ask.meta)
        if ask.wants_progress:
            meta["progressToken"] = own_id
        if self.modern:
            meta |= {META_VERSION: NEWEST_MODERN, META_CAPABILITIES: declared_to(ask.capabilities, NEWEST_MODERN), META_CLIENT: CLIENT_INFO}
            if ask.log_level:
                meta[META_LOG_LEVEL] = ask.log_level
        if meta:
            params["_meta"] = meta
        return _encode({"jsonrpc": "2.0", "id": own_id, "method": ask.method, "params": params})

    def _abandon(self, pending: Pending) -> None:
        """Nobody waits for the answer any more: the server is told, unless it is a greeting, which must not be cancelled."""
        if pending.answered or pending.ask.method == "initialize":
            return
        self._unfinished[pending.own_id] = self._monotonic()
        if len(self._unfinished) > MAX_UNFINISHED:
            self._unfinished.popitem(last=False)
        self._tell({"method": "notifications/cancelled", "params": {"requestId": pending.own_id}})

    def _raise_level(self, level: str) -> None:
        """The level of a legacy server is one for all: the most verbose that any call wanted (2025-11-25, server/utilities/logging)."""
        rank = _RANK.get(level, len(LOG_LEVELS))
        offered = self.initialize_result.get("capabilities")
        if rank < self._level and isinstance(offered, dict) and "logging" in offered:
            self._level = rank
            own_id = next(self._ids)
            self._unwatched.add(own_id)
            self._tell({"id": own_id, "method": "logging/setLevel", "params": {"level": level}})

    # Greetings

    def settle_modern(self) -> None:
        """Speak modern from here on; there is no greeting in that era."""
        self.revision = NEWEST_MODERN

    async def initialize(self, capabilities: dict[str, Any], deadline: float) -> None:
        """The handshake of the legacy era. Raises `Refused` ERA_UNSUPPORTED if the server knows no revision that the gateway knows."""
        offered = NEWEST_LEGACY
        self.revision = offered
        answer = await self._greet(offered, capabilities, deadline)
        if offered := next_offer(answer.error, offered):
            answer = await self._greet(offered, capabilities, deadline)
        if answer.result is None:
            raise Refused(Reason.ERA_UNSUPPORTED, note=f"initialize: error {(answer.error or {}).get('code')}")
        said = decoded(answer.result)
        if said.get("protocolVersion") not in LEGACY_REVISIONS:
            raise Refused(Reason.ERA_UNSUPPORTED, note="initialize answered with an unknown revision")
        self.revision, self.initialize_result = said["protocolVersion"], said
        self.capabilities = declared(declared_to(capabilities, self.revision), self.revision)
        await self._channel.send(_encode({"jsonrpc": "2.0", "method": "notifications/initialized"}))

    async def _greet(self, offered: str, capabilities: dict[str, Any], deadline: float) -> UpstreamAnswer:
        params = {"protocolVersion": offered, "capabilities": declared_to(capabilities, offered), "clientInfo": CLIENT_INFO}
        return await self.request(Ask("initialize", params, Era.LEGACY, deadline), SILENT)

    async def settle_in(self, listener: Listener) -> None:
        """Let a server that was just greeted ask for the roots before its first call, whose listener this is.

        Some ask as soon as they are initialized and answer no question of a call until they know. Nothing says that they have asked
        all, but the answer to a ping that follows the greeting comes behind what the greeting made them ask.
        """
        own_id = next(self._ids)
        ping = Ask("ping", {}, Era.LEGACY, self._monotonic() + SETTLE_SECONDS)
        pending = self._pending[own_id] = Pending(own_id, ping, listener, self._monotonic)
        try:
            await self._channel.send(self._framed(own_id, ping))
            await pending.outcome()
            await asyncio.gather(*pending.questions.values(), return_exceptions=True)
            if pending.questions_asked:
                await asyncio.sleep(TAKE_IN_SECONDS)
        except asyncio.CancelledError:
            self._unwatched.add(own_id)
            if not pending.was_late():
                raise
        finally:
            del self._pending[own_id]
            pending.close()

    def listen(self, wanted: dict[str, Any]) -> "tuple[int, asyncio.Future[dict[str, Any]]]":
        """Ask a modern server to tell what changes (2026-07-28, basic/patterns/subscriptions).

        Returns the id of the subscription, and what will hold the changes that the server agrees to tell.
        """
        own_id = next(self._ids)
        self._unwatched.add(own_id)
        agreed = self._overhearing.subscriptions[own_id] = asyncio.get_running_loop().create_future()
        meta = {META_VERSION: NEWEST_MODERN, META_CAPABILITIES: {}, META_CLIENT: CLIENT_INFO}
        self._tell({"id": own_id, "method": "subscriptions/listen", "params": {"notifications": wanted, "_meta": meta}})
        return own_id, agreed

    def stop_listening(self, own_id: int) -> None:
        """End a subscription; another one has taken its place."""
        self._overhearing.end(own_id)
        self._tell({"method": "notifications/cancelled", "params": {"requestId": own_id}})

    def subscribe(self, uri: str) -> None:
        """Make a subscription again that an earlier channel had; its answer is not waited for."""
        own_id = next(self._ids)
        self._unwatched.add(own_id)
        self._tell({"id": own_id, "method": "resources/subscribe", "params": {"uri": uri}})

    # What the server says

    def receive(self, data: bytes) -> None:
        """One message as it arrived, or a batch of them; never raises."""
        self.messages += 1
        if data.startswith(_HEAD):
            end = data.find(b",", len(_HEAD), len(_HEAD) + 20)
            if end > 0 and (digits := data[len(_HEAD) : end]).isdigit() and (pending := self._pending.get(int(digits))) is not None:
                result = plain_result(data, pending.own_id)
                if result is not None:
                    self.rubbish = 0
                    self.answers += 1
                    pending.settle(UpstreamAnswer(result, None, self.revision))
                    return
        for part in self._parts(data):
            if self.over is not None:
                return
            try:
                self._hear(read_answer(part), len(part))
            except Refused as reason:
                self._count_rubbish(reason.note)

    def _parts(self, data: bytes) -> list[bytes]:
        """Legacy revisions up to 2025-03-26 may answer in batches; since nothing rests on it, all legacy ones may."""
        if self.modern or not data.lstrip().startswith(b"["):
            return [data]
        try:
            return [bytes(part) for part in _decode_batch(data)]
        except (ValueError, RecursionError):
            return [data]  # no array either, so it is rubbish

    def _hear(self, message: Message, size_bytes: int) -> None:
        method, message_id = message.method, message.id
        if not method:
            self._answer(message, message_id)
        elif message_id is None:
            self._notification(method, message, size_bytes)
        elif method == "ping":
            self._tell({"id": message_id, "result": {}})
        elif self.modern:
            raise broken("a request of the server in the modern era")
        else:
            self._question(message_id, method, message.params())

    def _answer(self, message: Message, message_id: str | int | None) -> None:
        if message_id is None and "error" in message.members and len(self._pending) == 1:
            (message_id,) = self._pending  # an error that no request id could be read for
        pending = self._pending.get(message_id) if type(message_id) is int else None
        if pending is None:
            if type(message_id) is int and message_id in self._unfinished:
                del self._unfinished[message_id]
            elif type(message_id) is int and message_id in self._unwatched:
                self._unwatched.discard(message_id)
                self._overhearing.end(message_id)
            else:
                raise broken("an answer to nothing that was asked")
            return
        self.rubbish = 0
        self.answers += 1
        try:
            result = message.result()
            pending.settle(UpstreamAnswer(result, message.error() if result is None else None, self.revision))
        except Refused as reason:
            pending.fail(reason)

    def _notification(self, method: str, message: Message, size_bytes: int) -> None:
        params = message.params()
        if method == "notifications/progress":
            token = params.get("progressToken")
            pending = self._pending.get(token) if type(token) is int else None
            if pending is not None and pending.ask.wants_progress:
                self.dropped += pending.hear(method, params, size_bytes)
            else:
                self.dropped += 1
        elif method in _OF_ONE_CALL:
            if (only := self._only()) is not None and not self._others_lately(only.ask.conversation):
                self.dropped += only.hear(method, params, size_bytes)
            else:
                self.dropped += 1
        elif method == "notifications/cancelled":
            for pending in self._pending.values():
                pending.withdraw(params.get("requestId"))
        else:
            self._overhearing.hear(method, params, modern=self.modern)

    def _only(self) -> Pending | None:
        """The one call that what the server says can belong to."""
        if len(self._pending) != 1:
            return None
        if self._unfinished and self._monotonic() - next(reversed(self._unfinished.values())) < UNFINISHED_SECONDS:
            return None
        (only,) = self._pending.values()
        return only

    def _others_lately(self, conversation: str) -> bool:
        """Whether a call of another conversation ended so lately that the server may still speak of it."""
        since = self._monotonic() - LATE_SECONDS
        return any(at > since and other != conversation for other, at in self._ended.items())

    def _question(self, message_id: str | int, method: str, params: dict[str, Any]) -> None:
        """MCP 2025-11-25, client features: what was not declared is answered with -32601, a mode that was not with -32602."""
        if KINDS.get(method, "") not in self.capabilities:
            self._refuse(message_id, -32601, "The client does not offer this.")
        elif problem := problem_of(Question(method, params), self.capabilities):
            self._refuse(message_id, -32602, f"The client is not asked this: {problem}.")
        elif (only := self._only()) is None:
            self._refuse(message_id, -32602, "This belongs to no request of the client.")
        elif only.questions_asked >= MAX_QUESTIONS:
            self._refuse(message_id, -32603, "Too many questions within one request.")
        elif message_id in only.questions:
            raise broken("two questions with one id")
        else:
            only.question(message_id, self._put(only, message_id, method, params))

    async def _put(self, pending: Pending, message_id: str | int, method: str, params: dict[str, Any]) -> None:
        """Put a question to the caller and send what came of it."""
        try:
            reply = await pending.listener.ask(method, params, self.revision)
        except BaseException as ended:
            # Whatever ended the question, the server must not wait for it, unless it withdrew it itself.
            if message_id in pending.questions:
                self._refuse(message_id, -32603, "The question was not answered.")
            if not isinstance(ended, Refused):
                raise
            pending.fail(ended)
        else:
            self._tell({"id": message_id, **reply})

    def _refuse(self, message_id: str | int, code: int, sentence: str) -> None:
        self._tell({"id": message_id, "error": {"code": code, "message": sentence}})

    def _tell(self, message: dict[str, Any]) -> None:
        """Send something whose fate nobody waits for. A channel that does not take it is about to end by itself."""
        task = asyncio.get_running_loop().create_task(self._send_quietly(_encode({"jsonrpc": "2.0", **message})))
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def _send_quietly(self, message: bytes) -> None:
        with contextlib.suppress(Refused):
            await self._channel.send(message)

    def pause_seconds(self) -> float:
        """How long the channel should not be read after this message, so that a server that only talks cannot take the whole loop."""
        noise = self.messages - self.answers
        if noise < self._noise_allowed:
            return 0.0
        now = self._monotonic()
        pause = max(0.0, self._noise_since + 1.0 - now)
        self._noise_allowed, self._noise_since = noise + BURST_MESSAGES, now + pause
        return pause

    # Rubbish and the end

    def _count_rubbish(self, why: str) -> None:
        self.rubbish += 1
        if self.rubbish & (self.rubbish - 1) == 0:  # the first, second, fourth, ...: enough to find it, too few to fill a disk
            log.warning("%s sent something that is no MCP message (%d in a row): %s", self.server, self.rubbish, why)
        if self.rubbish > MAX_RUBBISH:
            self.end(broken(f"{self.rubbish} messages in a row that are no MCP"))

    def end(self, why: Refused) -> None:
        """The channel is over: whatever is in flight fails with the same reason, once."""
        if self.over is not None:
            return
        self.over = why
        for pending in list(self._pending.values()):
            pending.fail(again(why))
        for own_id in list(self._overhearing.subscriptions):
            self._overhearing.end(own_id)
        self._channel.end()
        self.on_over(why)

    def dismiss(self, note: str) -> None:
        """End the channel because it is not needed any more."""
        if self.over is None:
            self.dismissed = True
            self.end(Refused(Reason.UPSTREAM_DIED, note=note))


class _Silent:
    """Hears nothing and offers nothing; for requests whose progress nobody wants."""

    def notify(self, method: str, params: dict[str, Any]) -> None:
        """Nobody listens."""

    def room(self) -> None:
        """Nobody is slow."""

    async def ask(self, method: str, params: dict[str, Any], revision: str) -> dict[str, Any]:
        """Nobody answers; with no capabilities declared, nothing gets here."""
        return {"error": {"code": -32601, "message": "The client does not offer this."}}


SILENT: Listener = _Silent()


def again(refused: Refused) -> Refused:
    """The same refusal for one more call; one exception raised in several tasks would collect all their tracebacks."""
    return type(refused)(refused.reason, refused.detail, message=refused.message, note=refused.note)
