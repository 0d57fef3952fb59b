"""The tables of the books, for every database that SQLAlchemy speaks to.

What is filtered by is a column; the rest of a value stands in `body` (see `encoding`). `SCHEMA` has one row that says which revision made
the tables, and which is the oldest version of the code that still runs on them.
"""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, LargeBinary, MetaData, Table, Text, text

SCHEMA_VERSION: Final = 2
"""What this code reads and writes. The number of the revision that made it so."""

METADATA: Final = MetaData()

SEQUENCE: Final = BigInteger().with_variant(Integer, "sqlite")
"""SQLite's own row number has to be called INTEGER."""

SCHEMA: Final = Table(
    "store_schema",
    METADATA,
    Column("schema_version", Integer, nullable=False),
    Column("readable_from", Integer, nullable=False),
)
TENANTS: Final = Table("tenants", METADATA, Column("name", Text, primary_key=True), Column("body", Text, nullable=False))
CONTENTS: Final = Table("contents", METADATA, Column("digest", Text, primary_key=True), Column("content", LargeBinary, nullable=False))
VERSIONS: Final = Table(
    "versions",
    METADATA,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("body", Text, nullable=False),
    Index("versions_by_state", "state", "kind", "name", "number"),
)
REVIEWS: Final = Table(
    "reviews",
    METADATA,
    Column("sequence", SEQUENCE, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("body", Text, nullable=False),
    Index("reviews_by_digest", "digest", "sequence"),
)
HISTORY: Final = Table(
    "history",
    METADATA,
    Column("sequence", SEQUENCE, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("body", Text, nullable=False),
    Index("history_by_name", "kind", "name", "sequence"),
    Index("history_by_tenant", "tenant", "sequence"),
)
CAPTURES: Final = Table(
    "captures",
    METADATA,
    Column("server", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
)
"""1, 2, 3 and so on for each server: one row for each time it said something else, so that looking often takes no room."""
MARKS: Final = Table("marks", METADATA, Column("name", Text, primary_key=True), Column("value", LargeBinary, nullable=False))
APPROVALS: Final = Table(
    "approvals",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("requester", Text, nullable=False),
    Column("groups", Text, nullable=False),
    Column("asked_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("standing", Text, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("happenings", Integer, nullable=False),
    Column("heard", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Index("approvals_live", "fingerprint", unique=True, sqlite_where=text("live = 1"), postgresql_where=text("live")),
    Index("approvals_live_of", "live", "tenant", "asked_at"),
    Index("approvals_by_tenant", "tenant", "asked_at"),
    Index("approvals_unheard", "asked_at", "id", sqlite_where=text("happenings > heard"), postgresql_where=text("happenings > heard")),
    Index("approvals_open", "is_open", "expires_at"),
)
"""Requests for approvals. `live`: an equal call meets it; one at most for each call. `is_open`: something is to be done when it expires.
`heard`: how many of its happenings the ledger was told."""
REVOKED_APPROVERS: Final = Table(
    "revoked_approvers",
    METADATA,
    Column("approver", Text, primary_key=True),
    Column("revoked_by", Text, nullable=False),
    Column("revoked_at", Float, nullable=False),
)
"""Who may not approve calls any more, as `tenant/person`."""
