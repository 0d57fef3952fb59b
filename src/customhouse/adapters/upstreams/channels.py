"""One server behind channels that carry messages both ways: which era it speaks, and which channel carries which call.

Source: MCP 2026-07-28, basic/versioning and basic/transports/stdio, Backward Compatibility. A modern server keeps nothing between requests
and never asks back, so one channel serves all. A legacy server is shared as far as its reviewer allows while it may ask nothing; calls
whose client offers something that a server may ask for get a channel of their own per conversation and go over it one after the other,
so that no question reaches a caller it was not meant for.
"""

import asyncio
import logging
import math
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec

from customhouse.adapters.upstreams.answers import decoded
from customhouse.adapters.upstreams.duplex import SILENT, Conversation, again
from customhouse.adapters.upstreams.overhearing import MAX_URIS, Overhearing
from customhouse.adapters.upstreams.watching import MAX_WATCHED, Watching
from customhouse.core.backoff import LONGEST_PAUSE_SECONDS, RESTED, Backoff, failed
from customhouse.core.manifest import Era, ServerDefinition, canonical_bytes
from customhouse.core.permit import Errand, Permit
from customhouse.core.protocol.eras import UNSUPPORTED_VERSION, shows_modern
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.traffic import Ask, Clock, Hearing, Listener, UpstreamAnswer

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_LINES = 64
"""Channels per server, the one that idled longest ended first; on stdio each is a process."""

MAX_PER_CALLER = 16
"""Of these for the conversations of one authorisation context, so that nobody crowds out the others."""

IDLE_SECONDS = 300.0
"""How long a channel may idle: a person who reads an answer comes back within minutes."""

VERDICT_SECONDS = 3_600.0
"""How long a server is not asked again which era it speaks. Asking costs a process; a pinned program does not change by itself."""

MAX_BACKOFFS = 1_000
"""Channels whose failures are remembered, per server."""

CLOSE_SECONDS = 5.0
"""How long all channels together may take to end, before what is left is ended by force."""


class LineKey(msgspec.Struct, frozen=True):
    """Which channel carries a call."""

    era: Era
    session_key: str = ""
    conversation: str = ""
    capabilities: str = ""
    """Canonical JSON; empty where nothing was declared, and then calls share the channel."""


def _legacy_key(session_key: str, ask: Ask) -> LineKey:
    if not ask.capabilities:
        return LineKey(Era.LEGACY, session_key)
    return LineKey(Era.LEGACY, session_key, ask.conversation, canonical_bytes(dict(ask.capabilities)).decode())


_NOTHING: Mapping[str, Any] = {}


class Line:
    """A channel that stands, and who uses it."""

    __slots__ = ("conversation", "fresh", "idle_since", "key", "opened_at", "overhearing", "subscription", "turn", "users")

    def __init__(self, key: LineKey, conversation: Conversation, overhearing: Overhearing, now: float) -> None:
        self.key = key
        self.conversation = conversation
        self.overhearing = overhearing
        self.opened_at = now
        self.idle_since = now
        self.users = 0
        self.fresh = True
        """Nothing was called on it yet."""
        self.turn = asyncio.Lock()
        self.subscription: int | None = None
        """The one at a modern server that tells what changes."""


class Channels(ABC):
    """One server, whatever the transport; a transport says how a channel is opened."""

    may_be_modern: bool
    """Whether the transport exists in the modern era, so that the server is asked."""

    def __init__(self, definition: ServerDefinition, clock: Clock, hearing: Hearing) -> None:
        self.definition = definition
        self._clock = clock
        self._hearing = hearing
        self._lines: OrderedDict[LineKey, Line] = OrderedDict()
        self._opening: dict[LineKey, asyncio.Task[Line]] = {}
        self._backoffs: OrderedDict[LineKey, Backoff] = OrderedDict()
        self._verdict: bool | None = None
        self._verdict_until = 0.0
        self._probing: asyncio.Task[bool] | None = None
        self._wanted: dict[str, Any] = {}
        self._subscribed: dict[LineKey, set[str]] = {}
        self._watching = Watching()
        self._kept: set[asyncio.Task[Any]] = set()
        self._closed = False

    @abstractmethod
    async def connect(self, conversation: Conversation) -> None:
        """Open a channel and give it to the conversation (`Conversation.begin`); its task of reading goes to `keep`. Raises `Refused`."""

    def keep(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Run something that ends by itself; `close` waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._kept.add(task)
        task.add_done_callback(self._let_go)
        return task

    def _let_go(self, task: "asyncio.Task[Any]") -> None:
        self._kept.discard(task)
        if not task.cancelled():
            task.exception()  # those who waited were told; if none did, nobody is left to tell

    # Calls

    async def call(self, authority: Permit | Errand, ask: Ask, listener: Listener) -> UpstreamAnswer:
        """One request and its answer, in the era of the server; sent once, whatever happens to the channel. Raises `Refused`."""
        key = _MODERN
        session_key = authority.session_key if isinstance(authority, Permit) else ""
        if not await self.speaks_modern(ask.deadline):
            if ask.method in _SUBSCRIBING:
                return await self._subscribe(LineKey(Era.LEGACY, session_key), ask, listener)
            key = _legacy_key(session_key, ask)
        elif ask.method in _SUBSCRIBING:
            return await self._watch(session_key, ask)
        answer = await self._carry(key, ask, listener)
        if key is _MODERN and answer.error is not None and answer.error["code"] == UNSUPPORTED_VERSION:
            self._verdict = None  # it is another server now
        return answer

    async def _carry(self, key: LineKey, ask: Ask, listener: Listener) -> UpstreamAnswer:
        while True:
            line = await self._line(key, ask)
            line.users += 1
            try:
                if not key.capabilities:
                    return await line.conversation.call(ask, listener)
                async with self._alone(line, ask.deadline):
                    if line.conversation.over is None and line.conversation.settled:
                        if line.fresh and "roots" in line.conversation.capabilities:
                            await line.conversation.settle_in(listener)
                        line.fresh = False
                        return await line.conversation.call(ask, listener)
                    # What a cancelled call left behind might ask in the name of the next one.
                    line.conversation.dismiss("an earlier call was cancelled and never answered")
            finally:
                line.users -= 1
                line.idle_since = self._clock.monotonic()

    @asynccontextmanager
    async def _alone(self, line: Line, deadline: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(deadline - self._clock.monotonic()):
                await line.turn.acquire()
        except TimeoutError:
            raise Refused(Reason.BUSY, note="an earlier call of this conversation is still with the server") from None
        try:
            yield
        finally:
            line.turn.release()

    async def _subscribe(self, key: LineKey, ask: Ask, listener: Listener) -> UpstreamAnswer:
        """Subscriptions of a caller are on the channel that all its conversations share, and are made again when that is opened again."""
        answer = await self._carry(key, ask, listener)
        uri = ask.params.get("uri")
        if answer.error is None and type(uri) is str:
            uris = self._subscribed.setdefault(key, set())
            if ask.method != "resources/subscribe":
                uris.discard(uri)
            elif len(uris) < MAX_URIS:
                uris.add(uri)
            if not uris:
                del self._subscribed[key]
        return answer

    async def _watch(self, session_key: str, ask: Ask) -> UpstreamAnswer:
        """The same at a modern server: one subscription of the channel for all callers, replaced by one that watches what is wanted now."""
        uri = str(ask.params.get("uri"))
        line = await self._line(_MODERN, ask)
        async with self._alone(line, ask.deadline):
            before = self._watching.uris
            if ask.method == "resources/unsubscribe":
                self._watching.discard(uri, session_key)
            elif uri in self._watching or len(self._watching) < MAX_WATCHED:
                self._watching.add(uri, session_key)
            try:
                agreed = before if self._watching.uris == before else await self._listen(line, ask.deadline)
            except BaseException:
                self._watching.discard(uri, session_key)
                raise
            if uri not in agreed:
                self._watching.discard(uri, session_key)
        if ask.method == "resources/unsubscribe" or uri in self._watching:
            return UpstreamAnswer({}, None, line.conversation.revision)
        untold = {"code": -32602, "message": "The server does not tell changes of this resource."}
        return UpstreamAnswer(None, untold, line.conversation.revision)

    async def _listen(self, line: Line, deadline: float) -> list[Any]:
        """Listen to what is wanted now; returns the resources whose changes the server agrees to tell. Raises `Refused`.

        The subscription before goes on until the new one stands, so that nothing is missed between the two.
        """
        before, line.subscription = line.subscription, None
        said: dict[str, Any] = {}
        if wanted := self._filter():
            subscription, agreed = line.conversation.listen(wanted)
            try:
                async with asyncio.timeout(deadline - self._clock.monotonic()):
                    said = await agreed
            except TimeoutError:
                raise Refused(Reason.UPSTREAM_TIMED_OUT) from None
            finally:
                line.subscription, stale = (subscription, before) if said else (before, subscription)
                if stale is not None:
                    line.conversation.stop_listening(stale)
        elif before is not None:
            line.conversation.stop_listening(before)
        if line.conversation.over is not None:
            raise again(line.conversation.over)
        resources = said.get("resourceSubscriptions")
        return resources if isinstance(resources, list) else []

    def _filter(self) -> dict[str, Any]:
        return {**self._wanted, **({"resourceSubscriptions": self._watching.uris} if len(self._watching) else {})}

    async def discovery(
        self, errand: Errand, era: Era, capabilities: Mapping[str, Any] = _NOTHING, conversation: str = ""
    ) -> dict[str, Any]:
        """What the server says of itself: its DiscoverResult or InitializeResult, decoded strictly. Raises `Refused`."""
        deadline = self._clock.monotonic() + self.definition.call_timeout_seconds
        ask = Ask("server/discover", {}, era, deadline, capabilities=capabilities, conversation=conversation)
        if era is Era.LEGACY:
            return (await self._line(_legacy_key("", ask), ask)).conversation.initialize_result
        if not await self.speaks_modern(deadline):
            raise Refused(Reason.ERA_UNSUPPORTED, {"speaks": "legacy"})
        return decoded((await self.call(errand, ask, SILENT)).result or {})

    # Eras

    async def speaks_modern(self, deadline: float) -> bool:
        """Whether the server speaks the modern era: asked once, the answer kept. Raises `Refused` if it is away."""
        if not self.may_be_modern:
            return False
        if self._verdict is None or self._clock.monotonic() >= self._verdict_until:
            if self._probing is None or self._probing.done():
                self._probing = self.keep(self._probe())
            return await self._soon(self._probing, deadline)
        return self._verdict

    async def _probe(self) -> bool:
        """Ask a channel that serves for nothing else: a legacy server may end on a request before `initialize`.

        An answer decides. Silence and an end mean legacy only if `initialize` succeeds later; they are kept long enough to see that.
        """
        if (line := self._lines.get(_MODERN)) is not None and line.conversation.over is None:
            self._judge(modern=True, seconds=VERDICT_SECONDS)
            return True
        try:
            line = self._new_line(_MODERN)
            await self._start(line)
        except Refused:
            if self._verdict is None:
                raise
            self._judge(modern=self._verdict, seconds=LONGEST_PAUSE_SECONDS)
            return self._verdict
        seconds = self.definition.connect_timeout_seconds
        ask = Ask("server/discover", {}, Era.MODERN, self._clock.monotonic() + seconds)
        try:
            line.conversation.settle_modern()
            answer = await line.conversation.request(ask, SILENT)
            said = decoded(answer.result or {})
        except BaseException as ended:
            line.conversation.dismiss("no answer to the question of the era")
            if not isinstance(ended, Refused):
                raise
            self._judge(modern=False, seconds=2 * seconds)
            return False
        if not shows_modern(said, answer.error):
            line.conversation.dismiss("a server of the legacy era")
            self._judge(modern=False, seconds=VERDICT_SECONDS)
            return False
        self._judge(modern=True, seconds=VERDICT_SECONDS)
        self._wanted = changes_offered(said)
        self._adopt(line)
        return True

    def _judge(self, *, modern: bool, seconds: float) -> None:
        self._verdict, self._verdict_until = modern, self._clock.monotonic() + seconds

    # Lines

    async def _line(self, key: LineKey, ask: Ask) -> Line:
        """The channel of a key; opened once, however many calls wait for it."""
        line = self._lines.get(key)
        if line is not None and line.conversation.over is None:
            self._lines.move_to_end(key)
            return line
        opening = self._opening.get(key)
        if opening is None:
            opening = self._begin_opening(key, dict(ask.capabilities) if key.capabilities else {})
        return await self._soon(opening, ask.deadline)

    def _begin_opening(self, key: LineKey, capabilities: dict[str, Any]) -> "asyncio.Task[Line]":
        opening = self._opening[key] = self.keep(self._open(key, capabilities))
        opening.add_done_callback(lambda _: self._opening.pop(key, None))
        return opening

    async def _soon(self, task: "asyncio.Task[T]", deadline: float) -> T:
        """What others may wait for too; the server has not seen the call yet."""
        try:
            async with asyncio.timeout(deadline - self._clock.monotonic()):
                return await asyncio.shield(task)
        except TimeoutError:
            raise Refused(Reason.UPSTREAM_UNREACHABLE, note="the server did not start in time") from None
        except Refused as refused:
            raise again(refused) from None
        except asyncio.CancelledError:
            own = asyncio.current_task()
            if task.cancelled() and own is not None and not own.cancelling():  # not this call was cancelled, but what it waits for
                raise Refused(Reason.DRAINING, note=_CLOSED) from None
            raise

    async def _open(self, key: LineKey, capabilities: dict[str, Any]) -> Line:
        line = self._new_line(key)
        await self._start(line)
        if key.era is Era.LEGACY:
            deadline = self._clock.monotonic() + self.definition.connect_timeout_seconds
            try:
                await line.conversation.initialize(capabilities, deadline)
            except BaseException as ended:
                if self._verdict is False and not any(other.era is Era.LEGACY for other in self._lines):
                    self._verdict = None
                line.conversation.end(ended if isinstance(ended, Refused) else Refused(Reason.UPSTREAM_UNREACHABLE, note="not opened"))
                if isinstance(ended, Refused) and ended.reason in (Reason.UPSTREAM_TIMED_OUT, Reason.UPSTREAM_DIED):
                    raise Refused(Reason.UPSTREAM_UNREACHABLE, note=f"initialize: {ended.note or 'no answer in time'}") from ended
                raise
            if self._verdict is False:
                self._judge(modern=False, seconds=VERDICT_SECONDS)
        else:
            line.conversation.settle_modern()
        self._adopt(line)
        return line

    def _new_line(self, key: LineKey) -> Line:
        """A line without a channel. Raises `Refused` BUSY, or UPSTREAM_UNREACHABLE while a server that failed rests."""
        if self._closed:
            raise Refused(Reason.DRAINING, note=_CLOSED)
        now = self._clock.monotonic()
        wait_seconds = self._backoffs.get(key, RESTED).wait_seconds(now)
        if wait_seconds > 0.0:
            raise Refused(Reason.UPSTREAM_UNREACHABLE, {"retryAfterSeconds": int(wait_seconds) + 1}, note="the server failed just now")
        self._make_room(key)
        subscribers_of = self._watching.subscribers_of if key.era is Era.MODERN else lambda _: (key.session_key,)
        overhearing = Overhearing(self.definition.name, self._hearing, subscribers_of)
        line = Line(key, Conversation(self.definition.name, overhearing, self._clock.monotonic), overhearing, now)
        line.conversation.on_over = lambda why: self._over(line, why)
        return line

    async def _start(self, line: Line) -> None:
        """Open the channel of a line, within the time that a connection may take."""
        try:
            async with asyncio.timeout(self.definition.connect_timeout_seconds):
                await self.connect(line.conversation)
        except TimeoutError:
            self._note_failure(line)
            raise Refused(Reason.UPSTREAM_UNREACHABLE, note="no channel in time") from None
        except Refused:
            self._note_failure(line)
            raise

    def _adopt(self, line: Line) -> None:
        if self._closed:
            line.conversation.dismiss(_CLOSED)
        if line.conversation.over is not None:
            raise again(line.conversation.over)
        self._lines[line.key] = line
        line.idle_since = self._clock.monotonic()
        if line.key.era is Era.MODERN and (wanted := self._filter()):
            line.subscription, _ = line.conversation.listen(wanted)
        for uri in self._subscribed.get(line.key, ()):
            line.conversation.subscribe(uri)

    def _make_room(self, key: LineKey) -> None:
        """For a channel that is to be opened, and counted already. Raises `Refused` BUSY."""
        lines, opening = list(self._lines.values()), list(self._opening)
        if key.session_key and key.capabilities:
            own = [line for line in lines if line.key.session_key == key.session_key and line.key.capabilities]
            own_opening = [one for one in opening if one.session_key == key.session_key and one.capabilities]
            if len(own) + len(own_opening) > MAX_PER_CALLER:
                self._end_idle(own, f"{MAX_PER_CALLER} channels of this caller to this server are in use")
                return
        if len(lines) + len(opening) > MAX_LINES:
            self._end_idle(lines, f"{MAX_LINES} channels of this server are in use")

    def _end_idle(self, lines: list[Line], note: str) -> None:
        idle = sorted((line for line in lines if not line.users), key=lambda line: self._listened_to(line.key))
        if not idle:
            raise Refused(Reason.BUSY, note=note)
        self._subscribed.pop(idle[0].key, None)  # a call is worth more than what only listens
        idle[0].conversation.dismiss("room for another channel")

    def _over(self, line: Line, why: Refused) -> None:
        """A channel ended: by itself, which is a failure, or because it was ended here."""
        if self._lines.get(line.key) is line:
            del self._lines[line.key]
        if line.conversation.dismissed:
            return
        self._note_failure(line)
        log.warning("a channel to %s ended: %s", self.definition.name, why.note or why.reason.name)

    def _note_failure(self, line: Line) -> None:
        now = self._clock.monotonic()
        before = self._backoffs.pop(line.key, RESTED)
        self._backoffs[line.key] = failed(before, now - line.opened_at, now)
        if len(self._backoffs) > MAX_BACKOFFS:
            self._backoffs.popitem(last=False)

    def _listened_to(self, key: LineKey) -> bool:
        return key in self._subscribed or (key is _MODERN and len(self._watching) > 0)

    # Housekeeping

    def forget(self, conversation: str) -> None:
        """The channels of this conversation have been used for the last time."""
        for line in self._lines.values():
            if line.key.conversation == conversation:
                line.idle_since = -math.inf

    def sweep(self, now: float) -> None:
        """Pass on what was held back, end what nobody used for long, and open again what somebody listens to; called once a second."""
        for line in list(self._lines.values()):
            line.overhearing.sweep()
            if not line.users and not self._listened_to(line.key) and now - line.idle_since >= IDLE_SECONDS:
                line.conversation.dismiss("not used for long")
        for key in () if self._closed else [*self._subscribed, _MODERN]:
            resting = self._backoffs.get(key, RESTED).wait_seconds(now) > 0.0
            if self._listened_to(key) and key not in self._lines and key not in self._opening and not resting:
                self._begin_opening(key, {})

    async def close(self) -> None:
        """End all channels and wait until they have ended."""
        self._closed = True
        for task in list(self._opening.values()):
            task.cancel()
        if self._probing is not None:
            self._probing.cancel()
        for line in list(self._lines.values()):
            line.conversation.dismiss(_CLOSED)
        while self._kept:
            _, late = await asyncio.wait(self._kept, timeout=CLOSE_SECONDS)
            for task in late:
                task.cancel()


_MODERN = LineKey(Era.MODERN)
_SUBSCRIBING = frozenset({"resources/subscribe", "resources/unsubscribe"})
_CLOSED = "the gateway is shutting down"


def changes_offered(discovered: dict[str, Any]) -> dict[str, Any]:
    """The changes that a server says it tells about, as a filter for `subscriptions/listen`."""
    capabilities = discovered.get("capabilities")
    offered = capabilities if isinstance(capabilities, dict) else {}
    kinds = [kind for kind in ("tools", "prompts", "resources") if isinstance(offered.get(kind), dict) and offered[kind].get("listChanged")]
    return {f"{kind}ListChanged": True for kind in kinds}
