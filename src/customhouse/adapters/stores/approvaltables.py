"""Requests for approvals as rows of the registry's file, which two processes share: the gateway asks and uses, people decide.

One writer at a time over all processes makes each use the only one. The version in the condition of an update, and the unique index on what
is live for a call, hold the same where a database has several writers.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import msgspec
from sqlalchemy import Connection, Row, delete, insert, select, union_all, update
from sqlalchemy.exc import IntegrityError

from customhouse.adapters.stores.approvals import Shelf, StoredApprovals
from customhouse.adapters.stores.encoding import decoded, encoded
from customhouse.adapters.stores.sqlite import SqliteStores
from customhouse.adapters.stores.tables import APPROVALS, REVOKED_APPROVERS
from customhouse.core.approval import LIVE, ApprovalRequest, Asked, Standing, StillApprover
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.approvals import Unheard

_GROUPS = msgspec.json.Decoder(tuple[str, ...]).decode


class TableShelves:
    """Shelves in the tables of a file."""

    def __init__(self, stores: SqliteStores) -> None:
        self._stores = stores

    @contextmanager
    def reading(self) -> Iterator[Shelf]:
        with self._stores.tables(writes=False) as connection:
            yield TableShelf(connection)

    @contextmanager
    def writing(self) -> Iterator[Shelf]:
        with self._stores.tables(writes=True) as connection:
            yield TableShelf(connection)

    def close(self) -> None:
        self._stores.close()


def approvals_in(stores: SqliteStores, still_approver: StillApprover | None = None) -> StoredApprovals:
    """The requests in the file of the books. Closing them closes the books."""
    shelves = TableShelves(stores)
    return StoredApprovals(shelves) if still_approver is None else StoredApprovals(shelves, still_approver)


class TableShelf:
    """The rows within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, request_id: str) -> ApprovalRequest | None:
        return _one(self._connection.execute(select(APPROVALS.c.body).where(APPROVALS.c.id == request_id)).first())

    def live(self, fingerprint: str) -> ApprovalRequest | None:
        query = select(APPROVALS.c.body).where(APPROVALS.c.fingerprint == fingerprint, APPROVALS.c.live)
        return _one(self._connection.execute(query).first())

    def live_of(self, tenant: str) -> Iterable[ApprovalRequest]:
        query = select(APPROVALS.c.body).where(APPROVALS.c.tenant == tenant, APPROVALS.c.live)
        return [decoded(row.body, ApprovalRequest) for row in self._connection.execute(query)]

    def asked_since(self, tenant: str, since: float) -> Iterable[Asked]:
        of_tenant = select(APPROVALS.c.requester, APPROVALS.c.groups, APPROVALS.c.asked_at, APPROVALS.c.standing)
        of_tenant = of_tenant.where(APPROVALS.c.tenant == tenant)
        lately = of_tenant.where(APPROVALS.c.asked_at > since)
        longer = of_tenant.where(APPROVALS.c.asked_at <= since, APPROVALS.c.live, APPROVALS.c.standing == Standing.WAITING.value)
        for row in self._connection.execute(union_all(lately, longer)):
            yield Asked(tenant, row.requester, _GROUPS(row.groups), row.asked_at, row.standing == Standing.WAITING.value)

    def over(self, now: float) -> Iterable[ApprovalRequest]:
        query = select(APPROVALS.c.body).where(APPROVALS.c.is_open, APPROVALS.c.expires_at <= now)
        return [decoded(row.body, ApprovalRequest) for row in self._connection.execute(query)]

    def drop_before(self, at: float) -> None:
        over = (~APPROVALS.c.is_open, APPROVALS.c.expires_at < at, APPROVALS.c.happenings <= APPROVALS.c.heard)
        self._connection.execute(delete(APPROVALS).where(*over))

    def put(self, request: ApprovalRequest, was: ApprovalRequest | None) -> None:
        row = {
            "fingerprint": request.call.fingerprint,
            "tenant": request.call.tenant,
            "requester": request.requester,
            "groups": msgspec.json.encode(request.call.groups).decode(),
            "asked_at": request.asked_at,
            "expires_at": request.expires_at,
            "standing": request.standing.value,
            "live": request.standing in LIVE,
            "is_open": request.standing in LIVE or bool(request.arguments),
            "version": request.version,
            "happenings": request.happenings,
            "body": encoded(request),
        }
        try:
            if was is None:
                self._connection.execute(insert(APPROVALS).values(id=request.id, heard=0, **row))
                return
            same = (APPROVALS.c.id == was.id, APPROVALS.c.version == was.version)
            changed = self._connection.execute(update(APPROVALS).where(*same).values(row)).rowcount
        except IntegrityError as taken:
            raise Refused(Reason.CHANGED_MEANWHILE) from taken
        if changed != 1:
            raise Refused(Reason.CHANGED_MEANWHILE)

    def is_revoked(self, approver: str) -> bool:
        query = select(REVOKED_APPROVERS.c.approver).where(REVOKED_APPROVERS.c.approver == approver)
        return self._connection.execute(query).first() is not None

    def set_revoked(self, approver: str, by: str, at: float) -> None:
        self.unset_revoked(approver)
        self._connection.execute(insert(REVOKED_APPROVERS).values(approver=approver, revoked_by=by, revoked_at=at))

    def unset_revoked(self, approver: str) -> None:
        self._connection.execute(delete(REVOKED_APPROVERS).where(REVOKED_APPROVERS.c.approver == approver))

    def unheard(self, limit: int) -> tuple[Unheard, ...]:
        query = select(APPROVALS.c.body, APPROVALS.c.heard).where(APPROVALS.c.happenings > APPROVALS.c.heard)
        rows = self._connection.execute(query.order_by(APPROVALS.c.asked_at, APPROVALS.c.id).limit(limit))
        return tuple(Unheard(decoded(row.body, ApprovalRequest), row.heard) for row in rows)

    def hear(self, request_id: str, count: int) -> None:
        self._connection.execute(update(APPROVALS).where(APPROVALS.c.id == request_id).values(heard=count))


def _one(row: Row[tuple[str]] | None) -> ApprovalRequest | None:
    return None if row is None else decoded(row.body, ApprovalRequest)
