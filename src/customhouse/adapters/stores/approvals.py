"""Requests for approvals in a store: one set of rules over shelves in memory or in tables.

Each method is one transaction of one writer. A database with several writers refuses the second one: by the unique index on what is live
for a call, and because a row is only replaced where its version is the one that was read.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from customhouse.core.approval import (
    HOUR_SECONDS,
    LIVE,
    ApprovalRequest,
    Asked,
    BoundCall,
    FloodLimits,
    Standing,
    StillApprover,
    asked,
    consumed,
    decided,
    forgotten,
    in_order,
    settled,
)
from customhouse.core.identity import Caller
from customhouse.core.instants import DAY_SECONDS
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.approvals import Unheard

KEPT_SECONDS = 30 * DAY_SECONDS
"""From the expiry of a request to its end in the store, a month; the ledger has what happened for longer."""


class Shelf(Protocol):
    """The requests within one transaction."""

    def get(self, request_id: str) -> ApprovalRequest | None: ...

    def live(self, fingerprint: str) -> ApprovalRequest | None: ...

    def live_of(self, tenant: str) -> Iterable[ApprovalRequest]: ...

    def asked_since(self, tenant: str, since: float) -> Iterable[Asked]:
        """Those that wait, and those that were asked later than this."""

    def over(self, now: float) -> Iterable[ApprovalRequest]:
        """Those past their expiry that are live or still hold arguments."""

    def drop_before(self, at: float) -> None:
        """Forget those that are over, were told to the ledger, and expired earlier than this."""

    def put(self, request: ApprovalRequest, was: ApprovalRequest | None) -> None:
        """Add a request, or replace what it was. Raises `Refused` CHANGED_MEANWHILE."""

    def is_revoked(self, approver: str) -> bool: ...

    def set_revoked(self, approver: str, by: str, at: float) -> None: ...

    def unset_revoked(self, approver: str) -> None: ...

    def unheard(self, limit: int) -> tuple[Unheard, ...]: ...

    def hear(self, request_id: str, count: int) -> None: ...


class Shelves(Protocol):
    """Where the shelf is."""

    def reading(self) -> AbstractContextManager[Shelf]: ...

    def writing(self) -> AbstractContextManager[Shelf]: ...

    def close(self) -> None: ...


def _always(_approver: str, _group: str) -> bool:
    return True


class StoredApprovals:
    """An implementation of `ports.approvals.Approvals`. `still_approver` is asked beside the store's own list of who was revoked."""

    def __init__(self, shelves: Shelves, still_approver: StillApprover = _always) -> None:
        self._shelves = shelves
        self._still_approver = still_approver
        self._drop_at = 0.0

    def find(self, call: BoundCall, now: float) -> ApprovalRequest | None:
        with self._shelves.reading() as shelf:
            return self._found(shelf, call, now)

    def get(self, request_id: str, now: float) -> ApprovalRequest:
        with self._shelves.reading() as shelf:
            return settled(_known(shelf, request_id), now, self._judge(shelf))

    def ask(self, request: ApprovalRequest, limits: FloodLimits) -> ApprovalRequest:
        with self._shelves.writing() as shelf:
            self._clear(shelf, request.call, request.asked_at)
            others = shelf.asked_since(request.call.tenant, request.asked_at - HOUR_SECONDS)
            kept = asked(request, shelf.live(request.call.fingerprint), others, limits)
            if kept is request:
                shelf.put(request, None)
            return kept

    def waiting(self, tenant: str, now: float) -> tuple[ApprovalRequest, ...]:
        with self._shelves.reading() as shelf:
            judge = self._judge(shelf)
            return tuple(in_order(one for one in shelf.live_of(tenant) if settled(one, now, judge).standing is Standing.WAITING))

    def decide(
        self, request_id: str, approver: Caller, approves: bool, now: float, *, note: str = "", sees_cut: bool = False
    ) -> ApprovalRequest:
        with self._shelves.writing() as shelf:
            was = _known(shelf, request_id)
            if shelf.is_revoked(f"{approver.tenant}/{approver.person}"):
                raise Refused(Reason.NOT_AN_APPROVER, message="Your right to approve was revoked.")
            now_is = decided(was, approver, approves, now, note=note, sees_cut=sees_cut)
            shelf.put(now_is, was)
            return now_is

    def consume(self, request_id: str, call: BoundCall, chain: str, round_number: int, now: float) -> ApprovalRequest:
        with self._shelves.writing() as shelf:
            was = shelf.get(request_id)
            if was is None:
                raise Refused(Reason.APPROVAL_NEEDED, note="there is no such approval")
            used = consumed(was, call, chain, round_number, now, self._judge(shelf))
            shelf.put(used, was)
            return used

    def expire(self, now: float) -> int:
        with self._shelves.reading() as shelf:
            is_due = now >= self._drop_at or any(True for _ in shelf.over(now))
        if not is_due:  # what is asked every second does not take the place of somebody who writes
            return 0
        with self._shelves.writing() as shelf:
            judge, count = self._judge(shelf), 0
            for was in tuple(shelf.over(now)):
                shelf.put(forgotten(settled(was, now, judge)), was)
                count += 1
            shelf.drop_before(now - KEPT_SECONDS)
            self._drop_at = now + HOUR_SECONDS
            return count

    def revoke(self, approver: str, by: str, now: float) -> None:
        with self._shelves.writing() as shelf:
            shelf.set_revoked(approver, by, now)
            tenant = approver.partition("/")[0]
            for was in tuple(shelf.live_of(tenant)):
                now_is = settled(was, now, self._judge(shelf))
                if now_is is not was:
                    shelf.put(now_is, was)

    def restore(self, approver: str) -> None:
        with self._shelves.writing() as shelf:
            shelf.unset_revoked(approver)

    def unheard(self, limit: int = 100) -> tuple[Unheard, ...]:
        with self._shelves.reading() as shelf:
            return shelf.unheard(limit)

    def hear(self, request_id: str, count: int) -> None:
        with self._shelves.writing() as shelf:
            shelf.hear(request_id, count)

    def close(self) -> None:
        self._shelves.close()

    def _judge(self, shelf: Shelf) -> StillApprover:
        return lambda approver, group: not shelf.is_revoked(approver) and self._still_approver(approver, group)

    def _found(self, shelf: Shelf, call: BoundCall, now: float) -> ApprovalRequest | None:
        live = shelf.live(call.fingerprint)
        found = None if live is None else settled(live, now, self._judge(shelf))
        return found if found is not None and found.standing in LIVE and found.call == call else None

    def _clear(self, shelf: Shelf, call: BoundCall, now: float) -> None:
        """What is over makes room for a new request of the same call."""
        live = shelf.live(call.fingerprint)
        if live is not None and (now_is := settled(live, now, self._judge(shelf))) is not live:
            shelf.put(now_is, live)


def _known(shelf: Shelf, request_id: str) -> ApprovalRequest:
    found = shelf.get(request_id)
    if found is None:
        raise Refused(Reason.NOTHING_OF_THAT_NAME)
    return found


# In memory


@dataclass(slots=True)
class _Memory:
    """The shelf in the memory of one process; what stands in it is immutable, so a copy of the tables is a copy of all."""

    requests: dict[str, ApprovalRequest] = field(default_factory=dict)
    revoked: dict[str, tuple[str, float]] = field(default_factory=dict)
    heard: dict[str, int] = field(default_factory=dict)

    def get(self, request_id: str) -> ApprovalRequest | None:
        return self.requests.get(request_id)

    def live(self, fingerprint: str) -> ApprovalRequest | None:
        found = (one for one in self.requests.values() if one.standing in LIVE and one.call.fingerprint == fingerprint)
        return next(found, None)

    def live_of(self, tenant: str) -> Iterable[ApprovalRequest]:
        return [one for one in self.requests.values() if one.call.tenant == tenant and one.standing in LIVE]

    def asked_since(self, tenant: str, since: float) -> Iterable[Asked]:
        for one in self.requests.values():
            waits = one.standing is Standing.WAITING
            if one.call.tenant == tenant and (waits or one.asked_at > since):
                yield Asked(tenant, one.requester, one.call.groups, one.asked_at, waits)

    def over(self, now: float) -> Iterable[ApprovalRequest]:
        return [one for one in self.requests.values() if one.expires_at <= now and (one.standing in LIVE or one.arguments)]

    def drop_before(self, at: float) -> None:
        for one in tuple(self.requests.values()):
            is_open = one.standing in LIVE or bool(one.arguments)
            if not is_open and one.expires_at < at and one.happenings <= self.heard.get(one.id, 0):
                del self.requests[one.id]
                self.heard.pop(one.id, None)

    def put(self, request: ApprovalRequest, was: ApprovalRequest | None) -> None:
        if self.requests.get(request.id) != was:
            raise Refused(Reason.CHANGED_MEANWHILE)
        self.requests[request.id] = request

    def is_revoked(self, approver: str) -> bool:
        return approver in self.revoked

    def set_revoked(self, approver: str, by: str, at: float) -> None:
        self.revoked[approver] = (by, at)

    def unset_revoked(self, approver: str) -> None:
        self.revoked.pop(approver, None)

    def unheard(self, limit: int) -> tuple[Unheard, ...]:
        found = [Unheard(one, self.heard.get(one.id, 0)) for one in self.requests.values()]
        behind = [one for one in found if one.request.happenings > one.heard]
        return tuple(sorted(behind, key=lambda one: (one.request.asked_at, one.request.id))[:limit])

    def hear(self, request_id: str, count: int) -> None:
        self.heard[request_id] = count


class MemoryShelves:
    """Shelves in the memory of one process: gone when it ends."""

    def __init__(self) -> None:
        self._shelf = _Memory()
        self._turn = threading.Lock()
        self._closed = False

    @contextmanager
    def reading(self) -> Iterator[Shelf]:
        yield self._present()

    @contextmanager
    def writing(self) -> Iterator[Shelf]:
        with self._turn:
            before = self._present()
            shelf = replace(before, requests=dict(before.requests), revoked=dict(before.revoked), heard=dict(before.heard))
            yield shelf
            self._shelf = shelf

    def close(self) -> None:
        self._closed = True

    def _present(self) -> _Memory:
        if self._closed:
            raise Refused(Reason.STORE_UNAVAILABLE, note="The store was closed.")
        return self._shelf
