"""Who wants to hear which resources change, and may: one ear per listen stream of a modern client, one per legacy session.

Source: MCP 2026-07-28, ResourceUpdatedNotificationParams: what changed may lie below what was subscribed to. What a caller may not read
any more it does not hear of either; that is judged again whenever the view or the drift changed.
"""

import asyncio
from collections.abc import Callable

from customhouse.core.identity import Caller
from customhouse.core.permit import Permit
from customhouse.core.protocol.subscriptions import concerns
from customhouse.core.refusal import Refused
from customhouse.gateway.live import Live
from customhouse.gateway.outlets import Notice, updated
from customhouse.gateway.subscriptions import Source, Subscriptions
from customhouse.ports.traffic import Ask, Clock


class Ear:
    """What one stream or session hears."""

    __slots__ = ("caller", "closed", "key", "path", "silenced", "sources", "tell", "waiting")

    def __init__(self, caller: Caller, path: str, tell: Callable[[Notice], None], key: str) -> None:
        self.caller = caller
        self.path = path
        self.tell = tell
        self.key = key
        """Of the session; empty for a listen stream."""
        self.sources: dict[str, Source] = {}
        self.waiting: set[str] = set()
        """URIs whose subscription is on its way."""
        self.silenced: frozenset[str] = frozenset()
        """URIs that may not be read at present."""
        self.closed = False

    @property
    def uris(self) -> frozenset[str]:
        """What is subscribed to."""
        return frozenset(self.sources)


class Ears:
    """All ears, found by the source of what they hear."""

    def __init__(self, live: Live, subscriptions: Subscriptions, clock: Clock) -> None:
        self._live = live
        self._clock = clock
        self._subscriptions = subscriptions
        self._at: dict[tuple[str, str], dict[Ear, None]] = {}
        self._sessions: dict[str, Ear] = {}

    def open(self, caller: Caller, path: str, tell: Callable[[Notice], None], key: str = "") -> Ear:
        """A new ear; one with a key is found again by it."""
        ear = Ear(caller, path, tell, key)
        if key:
            self._sessions[key] = ear
        return ear

    def of_session(self, key: str) -> Ear | None:
        """The ear of a session, if it has one."""
        return self._sessions.get(key)

    def heard_by(self, key: str, caller: Caller) -> None:
        """A session listens with this token from now on: it hears what may be read with it, whatever an earlier token could."""
        ear = self._sessions.get(key)
        if ear is not None and ear.caller is not caller:
            ear.caller = caller
            self._judge(ear)

    async def take(self, ear: Ear, granted: Permit, ask: Ask) -> None:
        """Hear of one resource. Raises what `Subscriptions.take` raises."""
        uri = str(ask.params["uri"])
        if uri in ear.sources or uri in ear.waiting:
            return
        ear.waiting.add(uri)
        try:
            source = await self._subscriptions.take(granted, ask)
        finally:
            wanted = uri in ear.waiting
            ear.waiting.discard(uri)
        if ear.closed or not wanted:  # it was unsubscribed while the server thought about it
            self._subscriptions.release(source)
            return
        ear.sources[uri] = source
        self._at.setdefault(source[:2], {})[ear] = None

    def release(self, ear: Ear, uri: str) -> None:
        """Hear no more of one resource."""
        ear.waiting.discard(uri)
        source = ear.sources.pop(uri, None)
        if source is None:
            return
        self._subscriptions.release(source)
        if all(other[:2] != source[:2] for other in ear.sources.values()):
            there = self._at[source[:2]]
            del there[ear]
            if not there:
                del self._at[source[:2]]

    def close(self, ear: Ear) -> None:
        """Hear nothing more."""
        ear.closed = True
        for uri in list(ear.sources):
            self.release(ear, uri)
        if ear.key and self._sessions.get(ear.key) is ear:
            del self._sessions[ear.key]

    def updated(self, server: str, session_key: str, uri: str) -> None:
        """A resource changed: tell those who subscribed it, or what it lies below, and may read it."""
        notice = None
        for ear in list(self._at.get((server, session_key), ())):
            own = [one for one, source in ear.sources.items() if source[0] == server and one not in ear.silenced]
            if uri in own or (concerns({"uri": uri}, own) and self.may_read(ear, uri)):
                notice = notice or updated(uri)
                ear.tell(notice)

    async def judge(self) -> None:
        """Look again who may read what, a hundred questions in a turn of the loop."""
        asked = 0
        for ear in {ear: None for ears in self._at.values() for ear in ears}:
            asked += len(ear.sources)
            self._judge(ear)
            if asked > 100:
                asked = 0
                await asyncio.sleep(0)

    def _judge(self, ear: Ear) -> None:
        ear.silenced = frozenset(uri for uri in ear.sources if not self.may_read(ear, uri))

    def may_read(self, ear: Ear, uri: str) -> bool:
        """Whether the caller could read a resource now."""
        view, caller = self._live.view, ear.caller
        endpoint = view.endpoints.get(ear.path)
        if endpoint is None:
            return False
        try:
            entry = endpoint.resource_at(uri, caller.tenant).entry(uri, view.policy)
        except Refused:
            return False
        if entry.server.tenant != caller.tenant or self._live.is_drifted(entry.server.name, entry.kind, entry.pinned_name):
            return False
        decision = view.policy.decide(caller, entry.action, {}, endpoint.portal, self._clock.now())
        return decision.permitted and not decision.approval and caller.scopes.issuperset(entry.scopes)
