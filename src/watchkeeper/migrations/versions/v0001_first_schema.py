"""First schema (temporary: created from the metadata; replaced before the first release)."""

from alembic import op
from sqlmodel import SQLModel

revision, down_revision = "0001", None


def upgrade() -> None:
    SQLModel.metadata.create_all(op.get_bind())


def downgrade() -> None:
    SQLModel.metadata.drop_all(op.get_bind())
