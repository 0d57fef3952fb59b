"""What happens outside of calls, told to those who listen: modern clients on listen streams, legacy sessions on their own stream.

Sources: MCP 2026-07-28, basic/patterns/subscriptions; MCP 2025-11-25, basic/transports (Listening for Messages from the Server, Multiple
Connections) and server/resources (Subscriptions).

A client is told that a list changed when what the list shows this client is another one, which is looked for once a second and only after
the view or the drift changed; a server that says its lists changed causes a capture, no notification. An open stream costs no task: its
exchange waits for `let_go`, and what has to be told is written by one task for all.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from itertools import islice
from typing import Any

import msgspec

from customhouse.core.catalogue import NOWHERE, Entry
from customhouse.core.identity import Caller
from customhouse.core.listing import offers, shown
from customhouse.core.permit import Permit
from customhouse.core.protocol.replay import StoredEvent, identified, read_event_id
from customhouse.core.protocol.results import answer_bytes, stamped
from customhouse.core.protocol.sessionid import Session
from customhouse.core.protocol.sse import COMMENT
from customhouse.core.protocol.subscriptions import ACKNOWLEDGED, LISTS, Filter, honoured, read_filter, tagged
from customhouse.core.record import Record
from customhouse.core.refusal import Reason, Refused
from customhouse.gateway.admission import Admission
from customhouse.gateway.arrival import Reply
from customhouse.gateway.call import JSON, Answer, Call, encode
from customhouse.gateway.conversations import Conversations
from customhouse.gateway.ears import Ear, Ears
from customhouse.gateway.kept import Kept
from customhouse.gateway.live import NO_VIEW, Live
from customhouse.gateway.outlets import Notice, Outlet, list_changed
from customhouse.gateway.relay import Relay
from customhouse.gateway.subscriptions import ServerSaidNo, Subscriptions
from customhouse.ports.traffic import Ask, Clock

AT_ONCE = 250
"""Streams that are written to in one turn of the loop, about 2 ms, and then calls have theirs."""

MAX_SHOWN = 20_000
"""Pairs of endpoint and authorisation context whose lists are remembered; made anew when there are more."""

SUBSCRIBING_AT_ONCE = 8
"""Subscriptions that one listen request makes at the same time."""

RATE_PAUSE_SECONDS = 0.25
"""Between two looks whether the rate of a caller allows the next resource of a filter."""

KEPT_FOR_SECONDS = 300.0
"""For which a legacy session's stream stays the one its messages go to after its connection was lost."""


class Listening:
    """All open streams of one gateway process."""

    def __init__(self, live: Live, relay: Relay, admission: Admission, conversations: Conversations, clock: Clock) -> None:
        self._live = live
        self._relay = relay
        self._admission = admission
        self._conversations = conversations
        self._clock = clock
        self.subscriptions = Subscriptions(relay.rounds.upstreams, clock)
        self._ears = Ears(live, self.subscriptions, clock)
        self._outlets: dict[Outlet, None] = {}
        self._following: dict[Reply, Caller] = {}
        """Streams that were taken up again, and with whose token."""
        self._of_session: dict[str, list[Outlet]] = {}
        self._due: dict[Outlet, None] = {}
        self._blocked: dict[Outlet, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._writing = False
        self._looking = False
        self._looked_at = (live.view, live.drift_version, live.view.policy.epoch(clock.now()))
        self._shown: dict[tuple[str, str], Mapping[str, int]] = {}

    def __len__(self) -> int:
        return len(self._outlets)

    def updated(self, server: str, session_key: str, uri: str) -> None:
        """A server says that a resource changed, to whoever subscribed with this session key; see `ports.traffic.Hearing`."""
        self._ears.updated(server, session_key, uri)

    # Modern clients

    async def listen(self, call: Call) -> Answer | None:
        """`subscriptions/listen`: acknowledged with what is honoured of the filter, then open until the gateway or the client ends it."""
        asked = read_filter(call.message.params)
        reply, caller, path = call.reply, call.caller, call.endpoint.path
        tag = encode(call.message.id)
        outlet = Outlet(caller, path, reply, frozenset(), tag=tag)
        self._admission.step_aside(caller)
        ear = self._ears.open(caller, path, lambda notice: self._tell(outlet, notice))
        try:
            can = offers(call.endpoint, caller, call.revision)
            await self._subscribe_all(call, ear, asked, can)
            accepted = honoured(asked, can, ear.uris, downlink=True)
            told = {"jsonrpc": "2.0", "method": ACKNOWLEDGED, "params": tagged({"notifications": accepted.params()}, call.message.id)}
            reply.event(encode(told))
            reply.room()
            outlet.kinds = accepted.lists
            info = call.view.server_info
            del asked, accepted, told, can
            _forget_request(call)
            await self.hold(outlet, reply)
        finally:
            self._ears.close(ear)
            self._admission.step_back(caller)
        call.trail.outcome = "listened"
        result = stamped({}, call.message.era, call.message.method, info)
        return Answer(200, JSON, answer_bytes(call.message.id, encode(tagged(result, call.message.id))))

    async def _subscribe_all(self, call: Call, ear: Ear, asked: Filter, can: Mapping[str, Any]) -> None:
        """Subscribe what may be read and can be subscribed to; the rest is not honoured."""
        if not asked.uris or not can.get("resources", {}).get("subscribe"):
            return
        turns = asyncio.Semaphore(SUBSCRIBING_AT_ONCE)
        now = self._clock.monotonic()

        async def one(uri: str) -> None:
            of_its_own = msgspec.structs.replace(call, trail=msgspec.structs.replace(call.trail))
            async with turns:
                await self._within_rate(call.caller)
                try:
                    entry, granted = self._relay.may_read(of_its_own, uri)
                    await self._take(of_its_own, ear, entry, granted, now)
                except (Refused, ServerSaidNo):
                    return  # what is not honoured is missing from the acknowledgement (basic/patterns/subscriptions, Acknowledgment)

        await asyncio.gather(*(one(uri) for uri in sorted(asked.uris)))
        call.trail.decision, call.trail.policy_digest = "permit" if ear.uris else "deny", call.view.policy.digest

    async def _within_rate(self, caller: Caller) -> None:
        """Each resource of a filter counts as a request of its own, or one request could make a thousand at a server. It waits its turn."""
        while True:
            try:
                return self._admission.take(caller, self._clock.monotonic())
            except Refused:
                await asyncio.sleep(RATE_PAUSE_SECONDS)

    # Legacy sessions

    async def subscribe(self, call: Call) -> Answer:
        """`resources/subscribe` of a legacy session. Raises `Refused`."""
        session, uri = _session(call), call.message.params.get("uri")
        entry, granted = self._relay.may_read(call, uri)
        sessions = self._conversations.sessions
        await sessions.subscribe(session, entry.name)
        ear = self._ears.of_session(session.key)
        if ear is None:
            ear = self._open_ear(call, session)
        try:
            await self._take(call, ear, entry, granted, self._clock.monotonic())
        except ServerSaidNo as said:
            await sessions.unsubscribe(session, entry.name)
            return self._relay.relayed_error(call, entry, said.error, said.revision or entry.revision)
        except BaseException:
            await sessions.unsubscribe(session, entry.name)
            raise
        return self._done(call)

    def _open_ear(self, call: Call, session: Session) -> Ear:
        ear = self._ears.open(call.caller, call.endpoint.path, lambda notice: self._tell_session(session.key, notice), session.key)
        self._conversations.sessions.watch(session, lambda: self._ears.close(ear), holds=False)
        return ear

    async def unsubscribe(self, call: Call) -> Answer:
        """`resources/unsubscribe` of a legacy session."""
        session, uri = _session(call), call.message.params.get("uri")
        if type(uri) is not str:
            raise Refused(Reason.INVALID_PARAMS, message="`uri` is not a string.")
        await self._conversations.sessions.unsubscribe(session, uri)
        if (ear := self._ears.of_session(session.key)) is not None:
            self._ears.release(ear, uri)
        return self._done(call)

    def _done(self, call: Call) -> Answer:
        call.trail.outcome = "answered"
        return Answer(200, JSON, answer_bytes(call.message.id, b"{}"))

    async def _take(self, call: Call, ear: Ear, entry: Entry, granted: Permit, since: float) -> None:
        if not can_subscribe(call, entry):
            raise Refused(Reason.UNKNOWN_METHOD)
        deadline = since + entry.call_timeout_seconds
        self._admission.call(entry.server)
        try:
            await self._ears.take(ear, granted, Ask("resources/subscribe", {"uri": entry.name}, call.message.era, deadline))
        finally:
            self._admission.called(entry.server)

    async def downlink(self, session: Session, caller: Caller, reply: Reply, stream: str, trail: Record) -> None:
        """The stream of a GET: what happens outside of calls, until the client leaves or the session ends."""
        self._admission.step_aside(caller)
        self._ears.heard_by(session.key, caller)
        kept = Kept(self._conversations.streams, session, stream)
        outlet = Outlet(caller, session.endpoint, reply, frozenset(LISTS), kept=kept)
        own = self._of_session.setdefault(session.key, [])
        for other in [one for one in own if not one.heard]:
            self._forget(other)
        self._of_session.setdefault(session.key, own).append(outlet)
        unwatch = self._conversations.sessions.watch(session, reply.let_go, holds=True)
        reply.cancel_when_left()
        outlet.begin()
        try:
            await self.hold(outlet, reply)
        except asyncio.CancelledError:
            outlet.reply, outlet.detached_at = None, self._clock.monotonic()
            raise
        finally:
            unwatch()
            self._admission.step_back(caller)
            if outlet.reply is not None:
                self._forget(outlet)
        trail.outcome = "listened"

    async def resume(self, session: Session, caller: Caller, last_event_id: str, reply: Reply, trail: Record) -> None:
        """The rest of a stream whose connection was lost: what came after that event and still comes. Raises `Refused` EVENTS_GONE."""
        self._admission.step_aside(caller)
        try:
            events = await self._conversations.streams.follow(session, last_event_id)
            at = read_event_id(last_event_id)
            outlet = next((one for one in self._of_session.get(session.key, ()) if at is not None and one.is_stream_of(at)), None)
            async with aclosing(events):
                await self._follow(session, caller, events, outlet, reply)
        finally:
            self._admission.step_back(caller)
        trail.outcome = "listened"

    async def _follow(
        self, session: Session, caller: Caller, events: AsyncGenerator[StoredEvent, None], outlet: Outlet | None, reply: Reply
    ) -> None:
        unwatch = self._conversations.sessions.watch(session, reply.give_up, holds=True)
        reply.cancel_when_left()
        self._following[reply] = caller
        if outlet is not None:
            self._ears.heard_by(session.key, caller)
            outlet.caller = caller
            outlet.followers += 1
        try:
            reply.send(COMMENT)
            async for stored in events:
                reply.send(identified(stored))
                if (full := reply.room()) is not None:
                    await full
        finally:
            del self._following[reply]
            unwatch()
            if outlet is not None:
                outlet.followers -= 1
                outlet.detached_at = self._clock.monotonic()

    # Telling

    def attach(self, outlet: Outlet, session: Session) -> None:
        """The session hears on this stream, too, from now on."""
        outlet.session_key, outlet.kinds, outlet.shown = session.key, frozenset(LISTS), self._shown_to(outlet)
        self._of_session.setdefault(session.key, []).append(outlet)

    def detach(self, outlet: Outlet) -> None:
        """The session hears on this stream no more."""
        own = self._of_session.get(outlet.session_key, [])
        if outlet in own:
            own.remove(outlet)
        if not own:
            self._of_session.pop(outlet.session_key, None)
        outlet.session_key, outlet.kinds = "", frozenset()

    async def hold(self, outlet: Outlet, reply: Reply) -> None:
        """Tell what there is to tell on an open stream, until its client leaves or it has to end."""
        outlet.shown = self._shown_to(outlet)
        self._outlets[outlet] = None
        try:
            await reply.hold()
        finally:
            if outlet.kept is None:
                self._forget(outlet)

    def _forget(self, outlet: Outlet) -> None:
        for row in (self._outlets, self._due, self._blocked):
            row.pop(outlet, None)
        if outlet.kept is not None:
            self.detach(outlet)
            outlet.kept.finish()

    def _tell_session(self, session_key: str, notice: Notice) -> None:
        """On exactly one stream of the session: the newest that somebody listens to, else the newest that may be resumed."""
        own = self._of_session.get(session_key, [])
        outlet = next((one for one in reversed(own) if one.heard), own[-1] if own else None)
        if outlet is not None:
            self._tell(outlet, notice)

    def _tell(self, outlet: Outlet, notice: Notice) -> None:
        outlet.tell(notice)
        self._due[outlet] = None
        if not self._writing:
            self._writing = True
            self._start(self._write())

    async def _write(self) -> None:
        try:
            while self._due:
                for outlet in list(islice(self._due, AT_ONCE)):
                    del self._due[outlet]
                    if not outlet.flush():
                        self._blocked[outlet] = None
                await asyncio.sleep(0)
        finally:
            self._writing = False

    def _shown_to(self, outlet: Outlet) -> Mapping[str, int]:
        group = (outlet.path, outlet.caller.context_digest)
        found = self._shown.get(group)
        if found is None:
            view = self._live.view
            if len(self._shown) >= MAX_SHOWN:
                self._shown.clear()
            endpoint = view.endpoints.get(outlet.path)
            visible = partial(view.policy.visible, now=self._clock.now(), portal="" if endpoint is None else endpoint.portal)
            seen = {} if endpoint is None else shown(endpoint, outlet.caller, visible, self._live.is_drifted)
            found = self._shown[group] = seen
        return found

    async def _look(self) -> None:
        """The view or the drift changed, or a grant ended: tell each client whose lists show something else; judge subscriptions again."""
        try:
            told: set[str] = set()
            for number, outlet in enumerate(list(self._outlets)):
                if number % AT_ONCE == AT_ONCE - 1 or (outlet.path, outlet.caller.context_digest) not in self._shown:
                    await asyncio.sleep(0)
                now, before = self._shown_to(outlet), outlet.shown
                outlet.shown = now
                for kind in outlet.kinds:
                    if now.get(kind) != before.get(kind):
                        self._tell_of_list(outlet, kind, told)
            await self._ears.judge()
        finally:
            self._looking = False

    def _tell_of_list(self, outlet: Outlet, kind: str, told: set[str]) -> None:
        if not outlet.session_key:
            self._tell(outlet, list_changed(kind))
        elif (mark := f"{outlet.session_key} {kind}") not in told:
            told.add(mark)
            self._tell_session(outlet.session_key, list_changed(kind))

    def sweep(self) -> None:
        """Once a second: look for changes, end what has to end, and try again where a client did not take what was told."""
        now, wall = self._clock.monotonic(), self._clock.now()
        if self._live.draining:
            self._end([one for one in self._outlets if not one.busy])
            for outlet in [one for one in self._outlets if one.reply is None]:
                self._forget(outlet)  # whoever follows it hears its end; who follows a call hears its answer first
            return
        self._end([one for one in self._outlets if one.caller.expires_at <= wall])
        for reply in [one for one, caller in self._following.items() if caller.expires_at <= wall]:
            reply.give_up()
        for outlet in [one for one in self._outlets if not one.heard and one.detached_at + KEPT_FOR_SECONDS <= now]:
            self._forget(outlet)
        for outlet in list(self._blocked):
            del self._blocked[outlet]
            self._due[outlet] = None
        if self._due and not self._writing:
            self._writing = True
            self._start(self._write())
        state = (self._live.view, self._live.drift_version, self._live.view.policy.epoch(wall))
        if state != self._looked_at and not self._looking:
            self._looked_at, self._looking = state, True
            self._shown.clear()
            self._start(self._look())

    def _end(self, outlets: Iterable[Outlet]) -> None:
        for outlet in list(outlets):
            if outlet.reply is not None:
                outlet.reply.let_go()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """The gateway ends."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.subscriptions.close()


def _forget_request(call: Call) -> None:
    """Nothing of a request but its id is needed any more, and its stream may stay open for long: a filter may be as long as a body, and a
    view that is held is not let go."""
    call.view, call.endpoint = NO_VIEW, NOWHERE
    call.arrival.body = b""
    call.message.params.clear()
    if call.arrival.passed.agreed.meta is not call.message.meta:  # what is remembered with a head is small, and still needed
        call.message.meta.clear()


def _session(call: Call) -> Session:
    if call.session is None:
        raise Refused(Reason.SESSION_REQUIRED)
    return call.session


def can_subscribe(call: Call, entry: Entry) -> bool:
    """Whether the server of a resource tells of its changes."""
    said = call.endpoint.servers[entry.server.name].capabilities.get("resources")
    return type(said) is dict and said.get("subscribe") is True
