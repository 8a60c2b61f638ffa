"""Models that providers were seen to offer."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from watchkeeper.database import columns  # noqa: F401  constraint names


class ModelSighting(SQLModel, table=True):
    """One model in one provider's catalogue, since when and until when it was seen there."""

    __tablename__ = "model_sightings"

    provider: str = Field(primary_key=True)
    model: str = Field(primary_key=True)
    first_seen_at: datetime
    last_seen_at: datetime
    retires_on: str | None = None
    announced_at: datetime | None = None  # when `model.appeared` was emitted for it


class CatalogPoll(SQLModel, table=True):
    """The last good and the last failed reading of one provider's model list."""

    __tablename__ = "catalog_polls"

    provider: str = Field(primary_key=True)
    read_at: datetime | None = None
    failed_at: datetime | None = None
    error: str | None = None
