"""What on-call work leaves in the store: incidents, their history, and what the channel is to be told."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from watchkeeper.database import columns  # noqa: F401  constraint names

_OPEN = sa.text("resolved_at IS NULL")


class Incident(SQLModel, table=True):
    """One thing that is or was wrong. The database holds that only one is open for a dedup key."""

    __tablename__ = "incidents"
    __table_args__ = (
        sa.Index("uq_incidents_one_open", "dedup_key", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
    )

    id: str = Field(primary_key=True)
    kind: str = Field(index=True)
    severity: str  # critical | error | warning | info
    status: str  # pending | firing | acknowledged | silenced | resolved
    subject: dict[str, Any] = Field(sa_type=sa.JSON)
    dedup_key: str = Field(index=True)
    summary: str
    first_move: str
    opened_at: datetime = Field(index=True)
    last_seen_at: datetime
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    occurrences: int
    evidence: dict[str, Any] = Field(sa_type=sa.JSON)
    links: dict[str, Any] = Field(sa_type=sa.JSON)
    slack_channel: str | None = None
    slack_ts: str | None = None


class IncidentEvent(SQLModel, table=True):
    """The audit trail: every change of an incident, who made it and when."""

    __tablename__ = "incident_events"

    id: int | None = Field(default=None, primary_key=True)
    incident_id: str = Field(foreign_key="incidents.id", index=True)
    at: datetime
    what: str  # opened | seen | changed | acknowledged | resolved | posted
    who: str
    detail: str = ""


class Delivery(SQLModel, table=True):
    """The outbox: one thing the channel is to be told, written with the change it tells of.

    A pending row of an incident is rendered when it is sent, so it tells the newest state. A row is
    `sending` from before the call until its outcome is known; what happened to it in between can be
    learned from the channel's history by its key.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        sa.UniqueConstraint("incident_id", "seq"),
        sa.Index("ix_deliveries_waiting", "status", "created_at"),
    )

    id: str = Field(primary_key=True)
    incident_id: str | None = Field(default=None, foreign_key="incidents.id")  # a notice has none
    seq: int  # order within the incident; 0 for a notice
    action: str  # post | update | thread
    key: str = Field(unique=True)  # travels in the message's metadata
    payload: dict[str, Any] | None = Field(default=None, sa_type=sa.JSON)  # of a notice: what it says
    status: str = "pending"  # pending | sending | sent | failed
    tries: int = 0
    not_before: datetime | None = None
    held_by: str | None = None  # why not_before: rate-limit | refused | trouble
    owner: str | None = None  # who is sending it now; host:pid:start
    claimed_until: datetime | None = None
    first_tried_at: datetime | None = None
    last_error: str | None = None
    target: str | None = None  # the channel as it was configured
    channel: str | None = None  # its id, as the answer gave it
    ts: str | None = None
    created_at: datetime
    sent_at: datetime | None = None
