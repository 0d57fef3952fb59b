"""One transaction on the tables, in SQL that every database understands.

Statements that write rest on there being one writer at a time, or on the database refusing the second one by a primary key.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, CursorResult, Executable, Table, exists, func, insert, literal, select, update
from sqlalchemy.exc import DBAPIError

from customhouse.adapters.stores.encoding import decoded, encoded
from customhouse.adapters.stores.tables import CAPTURES, CONTENTS, HISTORY, MARKS, REVIEWS, TENANTS, VERSIONS
from customhouse.core.refusal import Reason, Refused
from customhouse.core.review import Kind, Review, State, Version
from customhouse.ports.stores import Captured, Event, Tenant

IN_ONE_QUERY = 500
"""Digests; a query may hold some 30,000 values in the smallest of databases, 999 in old ones."""
LARGEST_INTEGER = 2**63 - 1


class SqlBooks:
    """An implementation of `ports.stores.Books`."""

    def __init__(self, connection: Connection, refusal: Callable[[DBAPIError], Refused], *, writes: bool) -> None:
        self._connection = connection
        self._refusal = refusal
        self._writes = writes
        self.over = False
        self.failure: Refused | None = None
        """Why nothing can come of this transaction any more: some errors end it in the database, and what followed would stand alone."""

    def tenants(self) -> tuple[Tenant, ...]:
        return tuple(decoded(row.body, Tenant) for row in self._read(select(TENANTS.c.body).order_by(TENANTS.c.name)))

    def put_tenant(self, tenant: Tenant) -> None:
        before = self._read(select(TENANTS.c.body).where(TENANTS.c.name == tenant.name).with_for_update()).scalar()
        body = encoded(tenant, before or "{}")
        self._put(TENANTS, {"name": tenant.name}, {"body": body}, there=before is not None)

    def add_content(self, digest: str, content: bytes) -> None:
        there = exists().where(CONTENTS.c.digest == digest)
        row = select(literal(digest), literal(bytes(content))).where(~there)
        self._write(insert(CONTENTS).from_select(["digest", "content"], row))

    def contents(self, digests: Iterable[str]) -> Mapping[str, bytes]:
        found: dict[str, bytes] = {}
        for some in _portions(digests):
            rows = self._read(select(CONTENTS.c.digest, CONTENTS.c.content).where(CONTENTS.c.digest.in_(some)))
            found.update((row.digest, row.content) for row in rows)
        return found

    def versions(self, kind: Kind | None = None, name: str | None = None, states: Iterable[State] | None = None) -> tuple[Version, ...]:
        query = select(VERSIONS.c.body).order_by(VERSIONS.c.kind, VERSIONS.c.name, VERSIONS.c.number)
        if kind is not None:
            query = query.where(VERSIONS.c.kind == kind.value)
        if name is not None:
            query = query.where(VERSIONS.c.name == name)
        if states is not None:
            query = query.where(VERSIONS.c.state.in_(sorted({state.value for state in states})))
        return tuple(decoded(row.body, Version) for row in self._read(query))

    def add_version(self, version: Version) -> None:
        if self._body_of(version) is not None:
            raise Refused(
                Reason.CHANGED_MEANWHILE, note=f"There is a version {version.number} of {version.kind.value} {version.name} already."
            )
        row = _place(version) | {"state": version.state.value, "body": encoded(version)}
        self._write(insert(VERSIONS).values(row))

    def replace_version(self, version: Version, was: Version) -> None:
        if _place(version) != _place(was):
            raise ValueError("A version takes the place of itself alone.")
        before = self._body_of(was)
        if before is None or decoded(before, Version) != was:
            raise Refused(Reason.CHANGED_MEANWHILE, note=f"Version {was.number} of {was.kind.value} {was.name} is not what it was.")
        values = {"state": version.state.value, "body": encoded(version, before)}
        self._put(VERSIONS, _place(was), values, there=True)

    def reviews(self, digests: Iterable[str]) -> tuple[Review, ...]:
        found: list[tuple[int, str]] = []
        for some in _portions(digests):
            rows = self._read(select(REVIEWS.c.sequence, REVIEWS.c.body).where(REVIEWS.c.digest.in_(some)))
            found += [(row.sequence, row.body) for row in rows]
        return tuple(decoded(body, Review) for _, body in sorted(found))

    def add_review(self, review: Review) -> None:
        row = {"sequence": self._next(REVIEWS), "digest": review.digest, "body": encoded(review)}
        self._write(insert(REVIEWS).values(row))

    def note(self, event: Event) -> Event:
        body = encoded(msgspec.structs.replace(event, sequence=self._next(HISTORY)))
        noted = decoded(body, Event)
        row = {"sequence": noted.sequence, "kind": noted.kind, "name": noted.name, "tenant": noted.tenant, "body": body}
        self._write(insert(HISTORY).values(row))
        return noted

    def history(self, *, kind: str = "", name: str = "", tenant: str = "", after: int = 0, limit: int = 1000) -> tuple[Event, ...]:
        query = select(HISTORY.c.body).where(HISTORY.c.sequence > _bounded(after)).order_by(HISTORY.c.sequence).limit(_bounded(limit))
        for column, wanted in ((HISTORY.c.kind, kind), (HISTORY.c.name, name), (HISTORY.c.tenant, tenant)):
            query = query.where(column == wanted) if wanted else query
        return tuple(decoded(row.body, Event) for row in self._read(query))

    def add_captured(self, captured: Captured) -> None:
        newest = select(CAPTURES.c.number, CAPTURES.c.body).where(CAPTURES.c.server == captured.server)
        row = self._read(newest.order_by(CAPTURES.c.number.desc()).limit(1)).first()
        same = row is not None and msgspec.structs.replace(decoded(row.body, Captured), at=captured.at) == captured
        number = row.number + (not same) if row is not None else 1
        body = encoded(captured, row.body if row is not None and same else "{}")
        self._put(CAPTURES, {"server": captured.server, "number": number}, {"body": body}, there=same)

    def captured(self, server: str | None = None) -> tuple[Captured, ...]:
        newest = select(CAPTURES.c.server, func.max(CAPTURES.c.number).label("number")).group_by(CAPTURES.c.server)
        if server is not None:
            newest = newest.where(CAPTURES.c.server == server)
        last = newest.subquery()
        same = (CAPTURES.c.server == last.c.server) & (CAPTURES.c.number == last.c.number)
        rows = self._read(select(CAPTURES.c.body).join(last, same).order_by(CAPTURES.c.server))
        return tuple(decoded(row.body, Captured) for row in rows)

    def put_mark(self, name: str, value: bytes) -> None:
        there = self._read(select(MARKS.c.name).where(MARKS.c.name == name).with_for_update()).first() is not None
        self._put(MARKS, {"name": name}, {"value": bytes(value)}, there=there)

    def mark(self, name: str) -> bytes | None:
        value: bytes | None = self._read(select(MARKS.c.value).where(MARKS.c.name == name)).scalar()
        return value

    def _body_of(self, version: Version) -> str | None:
        query = select(VERSIONS.c.body).filter_by(**_place(version)).with_for_update()
        body: str | None = self._read(query).scalar()
        return body

    def _next(self, table: Table) -> int:
        last: int | None = self._read(select(func.max(table.c.sequence))).scalar()
        return (last or 0) + 1

    def _put(self, table: Table, place: Mapping[str, object], values: Mapping[str, object], *, there: bool) -> None:
        self._write(update(table).filter_by(**place).values(values) if there else insert(table).values({**place, **values}))

    def _read(self, statement: Executable) -> CursorResult[Any]:
        if self.over:
            raise RuntimeError("This transaction is over.")
        if self.failure is not None:
            raise self.failure
        try:
            return self._connection.execute(statement)
        except DBAPIError as failed:
            self.failure = self._refusal(failed)
            raise self.failure from failed

    def _write(self, statement: Executable) -> None:
        if not self._writes:
            raise RuntimeError("This transaction only reads.")
        self._read(statement)


def _place(version: Version) -> dict[str, object]:
    return {"kind": version.kind.value, "name": version.name, "number": version.number}


def _portions(digests: Iterable[str]) -> Iterator[list[str]]:
    every = sorted(set(digests))
    return (every[start : start + IN_ONE_QUERY] for start in range(0, len(every), IN_ONE_QUERY))


def _bounded(number: int) -> int:
    """A number that a database can compare with; a negative limit would mean none."""
    return min(max(number, 0), LARGEST_INTEGER)
