"""Requests for the approval of calls, and who may not approve any more. What was there before is not touched."""

from alembic import op
from sqlalchemy import Boolean, Column, Float, Integer, Text, text

revision = "0002"
down_revision = "0001"

READABLE_FROM = 1
"""The oldest version of the code that runs on these tables."""


def upgrade() -> None:
    op.create_table(
        "approvals",
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
    )
    sqlite, others, behind = text("live = 1"), text("live"), text("happenings > heard")
    op.create_index("approvals_live", "approvals", ["fingerprint"], unique=True, sqlite_where=sqlite, postgresql_where=others)
    op.create_index("approvals_live_of", "approvals", ["live", "tenant", "asked_at"])
    op.create_index("approvals_by_tenant", "approvals", ["tenant", "asked_at"])
    op.create_index("approvals_unheard", "approvals", ["asked_at", "id"], sqlite_where=behind, postgresql_where=behind)
    op.create_index("approvals_open", "approvals", ["is_open", "expires_at"])
    op.create_table(
        "revoked_approvers",
        Column("approver", Text, primary_key=True),
        Column("revoked_by", Text, nullable=False),
        Column("revoked_at", Float, nullable=False),
    )
    op.execute("UPDATE store_schema SET schema_version = 2")
