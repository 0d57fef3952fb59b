"""Everything: tenants, contents, versions, reviews, history, captures, marks.

Contents, reviews and history are only ever added to. Triggers hold that against a slip in a database shell, also against a REPLACE, which
fires no trigger for the row that it removes (SQLite, lang_conflict).
"""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Text

revision = "0001"
down_revision = None

READABLE_FROM = 1
"""The oldest version of the code that runs on these tables."""

ADDED_TO = ("contents", "reviews", "history")
NUMBERED = ("reviews", "history")


def upgrade() -> None:
    sequence = BigInteger().with_variant(Integer, "sqlite")
    schema = op.create_table(
        "store_schema",
        Column("schema_version", Integer, nullable=False),
        Column("readable_from", Integer, nullable=False),
    )
    op.create_table("tenants", Column("name", Text, primary_key=True), Column("body", Text, nullable=False))
    op.create_table("contents", Column("digest", Text, primary_key=True), Column("content", LargeBinary, nullable=False))
    op.create_table(
        "versions",
        Column("kind", Text, primary_key=True),
        Column("name", Text, primary_key=True),
        Column("number", Integer, primary_key=True, autoincrement=False),
        Column("state", Text, nullable=False),
        Column("body", Text, nullable=False),
    )
    op.create_index("versions_by_state", "versions", ["state", "kind", "name", "number"])
    op.create_table(
        "reviews",
        Column("sequence", sequence, primary_key=True, autoincrement=False),
        Column("digest", Text, nullable=False),
        Column("body", Text, nullable=False),
    )
    op.create_index("reviews_by_digest", "reviews", ["digest", "sequence"])
    op.create_table(
        "history",
        Column("sequence", sequence, primary_key=True, autoincrement=False),
        Column("kind", Text, nullable=False),
        Column("name", Text, nullable=False),
        Column("tenant", Text, nullable=False),
        Column("body", Text, nullable=False),
    )
    op.create_index("history_by_name", "history", ["kind", "name", "sequence"])
    op.create_index("history_by_tenant", "history", ["tenant", "sequence"])
    op.create_table(
        "captures",
        Column("server", Text, primary_key=True),
        Column("number", Integer, primary_key=True, autoincrement=False),
        Column("body", Text, nullable=False),
    )
    op.create_table("marks", Column("name", Text, primary_key=True), Column("value", LargeBinary, nullable=False))
    op.bulk_insert(schema, [{"schema_version": 1, "readable_from": READABLE_FROM}])
    if op.get_bind().dialect.name == "sqlite":
        _only_add()


def _only_add() -> None:
    for table in ADDED_TO:
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}"
                f" BEGIN SELECT RAISE(ABORT, 'rows of {table} are only ever added'); END"
            )
    op.execute(
        "CREATE TRIGGER contents_no_replace BEFORE INSERT ON contents"
        " WHEN EXISTS (SELECT 1 FROM contents WHERE digest = NEW.digest)"
        " BEGIN SELECT RAISE(ABORT, 'rows of contents are only ever added'); END"
    )
    for table in NUMBERED:
        last = f"(SELECT max(sequence) FROM {table})"  # noqa: S608 - the names stand above
        op.execute(
            f"CREATE TRIGGER {table}_no_gap BEFORE INSERT ON {table} WHEN NEW.sequence IS NOT coalesce({last}, 0) + 1"
            f" BEGIN SELECT RAISE(ABORT, 'each row of {table} has the number after the last one'); END"
        )
