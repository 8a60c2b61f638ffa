"""Which file holds the facts of which hour."""

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from watchkeeper.database import columns  # noqa: F401  constraint names


class FactHour(SQLModel, table=True):
    """One hour of one fact table as it was written last.

    `version` is the hour's in touched_hours when it was read: while they agree, the file is what the store holds.
    `file` is NULL where the hour has no rows.
    """

    __tablename__ = "fact_hours"
    __table_args__ = {"sqlite_with_rowid": False}

    fact: str = Field(primary_key=True)  # columns.FACTS
    hour: int = Field(primary_key=True)  # request.hour_of
    version: int = Field(sa_type=sa.BigInteger)
    file: str | None = None
    rows: int
    bytes: int = Field(sa_type=sa.BigInteger)
