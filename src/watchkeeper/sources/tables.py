"""How far each source was read, and what it calls the requests that came from it."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from watchkeeper.database import columns  # noqa: F401  constraint names


class Watermark(SQLModel, table=True):
    """One source: everything that started before `pulled_until` was read; who reads it now."""

    __tablename__ = "watermarks"

    source: str = Field(primary_key=True)
    pulled_until: datetime | None = None
    pulled_at: datetime | None = None  # when the newest pull ended well
    failed_at: datetime | None = None  # the newest failure since then
    failing_since: datetime | None = None  # the first failure since then
    error: str | None = None
    owner: str | None = None  # who pulls at the moment
    seen_at: datetime | None = None  # its newest sign of life


class RemoteRequest(SQLModel, table=True):
    """What a source calls one of our root spans, so that scores find their way back and people find its page."""

    __tablename__ = "remote_requests"
    __table_args__ = {"sqlite_with_rowid": False}

    trace_id: str = Field(primary_key=True)
    span_id: str = Field(primary_key=True)
    source: str = Field(primary_key=True)
    remote_trace_id: str
    remote_id: str
    url: str | None = None
