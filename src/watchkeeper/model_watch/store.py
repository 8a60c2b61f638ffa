"""Reads and writes of model sightings; the only file that queries them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from watchkeeper.model_watch.tables import CatalogPoll, ModelSighting


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One model as it was seen in its provider's list."""

    provider: str
    model: str
    first_seen_at: datetime
    last_seen_at: datetime
    retires_on: str | None
    announced_at: datetime | None


def sightings(session: Session, provider: str | None = None) -> list[Sighting]:
    """Every model ever seen, by provider and name."""
    query = select(ModelSighting).order_by(ModelSighting.provider, ModelSighting.model)
    if provider is not None:
        query = query.where(ModelSighting.provider == provider)
    return [
        Sighting(**{name: getattr(row, name) for name in Sighting.__dataclass_fields__}) for row in session.exec(query)
    ]


def was_read(session: Session, provider: str) -> bool:
    """Whether the provider's list was ever read; the first reading announces nothing."""
    poll = session.get(CatalogPoll, provider)
    return poll is not None and poll.read_at is not None


def record_read(
    session: Session, provider: str, offered: Mapping[str, str | None], *, silent: Collection[str], now: datetime
) -> None:
    """Store a list that was read: model -> retirement date. Models in `silent` count as announced."""
    known = {row.model: row for row in session.exec(select(ModelSighting).where(ModelSighting.provider == provider))}
    for model, retires_on in offered.items():
        if (row := known.get(model)) is not None:
            row.last_seen_at, row.retires_on = now, retires_on
            session.add(row)
        else:
            session.add(
                ModelSighting(
                    provider=provider,
                    model=model,
                    first_seen_at=now,
                    last_seen_at=now,
                    retires_on=retires_on,
                    announced_at=now if model in silent else None,
                )
            )
    session.merge(CatalogPoll(provider=provider, read_at=now, failed_at=None, error=None))


def record_failure(session: Session, provider: str, error: str, *, now: datetime) -> None:
    """Store that a list could not be read; what was seen before stays as it is."""
    poll = session.get(CatalogPoll, provider) or CatalogPoll(provider=provider)
    poll.failed_at, poll.error = now, error
    session.add(poll)


def unannounced(session: Session) -> list[str]:
    """PROVIDER/MODEL of models that were seen and not yet announced."""
    found = session.exec(select(ModelSighting).where(col(ModelSighting.announced_at).is_(None)))
    return sorted(f"{row.provider}/{row.model}" for row in found)


def mark_announced(session: Session, models: Sequence[str], *, now: datetime) -> None:
    """Remember that these models (PROVIDER/MODEL) were announced."""
    for name in models:
        provider, _, model = name.partition("/")
        if (row := session.get(ModelSighting, (provider, model))) is not None:
            row.announced_at = now
            session.add(row)


def polls(session: Session) -> dict[str, tuple[datetime | None, datetime | None, str | None]]:
    """Provider -> when its list was last read, when it last failed, and why."""
    return {row.provider: (row.read_at, row.failed_at, row.error) for row in session.exec(select(CatalogPoll))}
