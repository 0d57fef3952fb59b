"""A revision as the next version might bring it: it expands, so today's code still runs on it."""

from alembic import op
from sqlalchemy import Column, Integer, Text

revision = "0003"
down_revision = "0002"

READABLE_FROM = 1


def upgrade() -> None:
    op.add_column("versions", Column("region", Text, nullable=True))
    op.add_column("history", Column("weight", Integer, nullable=True))
    op.create_table("regions", Column("name", Text, primary_key=True))
    op.execute("UPDATE store_schema SET schema_version = 3")
