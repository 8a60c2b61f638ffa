"""Reads and writes of the sample, its scores and the hours they stand for; the only file that queries them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, select

from watchkeeper.foundation.clock import as_utc
from watchkeeper.observability import tables as records
from watchkeeper.scoring import tables
from watchkeeper.scoring.hours import Group, SampledHour
from watchkeeper.scoring.sampling import Before, Key, Sample
from watchkeeper.scoring.scored import MOST_ATTEMPTS, RETRIED, Judged, SampledRequest, ScoredSample, State, Waiting
from watchkeeper.scoring.signals import Appearance, Said, Usual

_META = tables.Sample.metadata.tables
_SAMPLES, _SCORES, _HOURS, _SEEN = (_META[name] for name in ("samples", "scores", "sampled_hours", "first_seen"))
_RECORDS = records.Request.metadata.tables
_TOGETHER = 5_000


def touched_hours(session: Session, since: int, until: int) -> dict[int, int]:
    """Hour of [since, until) in which requests started -> its version, in order."""
    t = _RECORDS["touched_hours"].c
    query = sa.select(t.hour, t.version).where(t.hour >= since, t.hour < until).order_by(t.hour)
    return {row.hour: row.version for row in session.execute(query)}


def said(session: Session, since: datetime, until: datetime) -> Said:
    """What users said about requests that started in [since, until)."""
    r, f, p = (_RECORDS[name].c for name in ("requests", "feedback", "posted_feedback"))
    inside = (r.started_at >= since, r.started_at < until)
    sent = sa.select(f.trace_id, f.kind, f.value).join(
        _RECORDS["requests"], sa.and_(r.trace_id == f.trace_id, r.span_id == f.request_span_id)
    )
    posted = sa.select(p.trace_id, p.kind, p.value).join(_RECORDS["requests"], r.trace_id == p.trace_id)
    negative, edited = set(), set()
    for query in (sent.where(*inside), posted.where(*inside)):
        for trace_id, kind, value in session.execute(query):
            if kind == "edit":
                edited.add(trace_id)
            elif _is_negative(value):
                negative.add(trace_id)
    return Said(negative=negative, edited=edited)


def _is_negative(value: str | None) -> bool:
    """Feedback's value is JSON text: a number below zero, false, or a word for a thumb down."""
    if value is None:
        return False
    return value.startswith("-") or value.strip('"').lower() in ("false", "down", "negative", "bad", "dislike")


def usual(session: Session, day: str) -> dict[str, Usual] | None:
    """What was kept as usual for a day; None when nothing was."""
    row = session.get(tables.SamplingDay, day)
    if row is None:
        return None
    return {
        route: Usual(
            latency_ms=_pair(each.get("latency_ms")), output=_pair(each.get("output")), rare=bool(each.get("rare"))
        )
        for route, each in row.usual.items()
    }


def _pair(values: Sequence[float] | None) -> tuple[float, float] | None:
    return None if values is None else (values[0], values[1])


def keep_usual(session: Session, day: str, found: Mapping[str, Usual]) -> None:
    """Keep what is usual for a day; what is kept already stays."""
    values = {"day": day, "usual": {route: asdict(each) for route, each in found.items()}}
    session.execute(_insert(session, _META["sampling_days"]).on_conflict_do_nothing(), [values])


def first_seen(session: Session, routes: Collection[str] | None = None) -> dict[Appearance, float]:
    """(route, dimension, value) -> when it first stood there, seconds since 1970."""
    query = select(tables.FirstSeen)
    if routes is not None:
        query = query.where(col(tables.FirstSeen.route).in_(routes))
    return {(row.route, row.dimension, row.value): row.at.timestamp() for row in session.exec(query)}


def keep_first_seen(session: Session, found: Mapping[Appearance, float]) -> None:
    """Keep first appearances; one that is known already stays, or a request would stop being new."""
    rows = [
        {"route": route, "dimension": dimension, "value": value, "at": _time(at)}
        for (route, dimension, value), at in sorted(found.items())
    ]
    if rows:
        session.execute(_insert(session, _SEEN).on_conflict_do_nothing(), rows)


def hours(session: Session, since: int, until: int, routes: Collection[str] | None = None) -> list[SampledHour]:
    """The hours of [since, until) that were looked at, in order."""
    row = tables.SampledHour
    query = select(row).where(row.hour >= since, row.hour < until)
    if routes is not None:
        query = query.where(col(row.route).in_(routes))
    return [
        SampledHour(
            hour=found.hour,
            route=found.route,
            version=found.version,
            seen=found.seen,
            eligible=found.eligible,
            unsettled=found.unsettled,
            rates=tuple(found.rates),
            population=[
                Group(segment=segment, prompt=prompt, model=model, stratum=stratum, requests=count)
                for segment, prompt, model, stratum, count in found.population
            ],
        )
        for found in session.exec(query.order_by(col(row.hour), col(row.route)))
    ]


def save_hours(session: Session, found: Iterable[SampledHour]) -> None:
    """Write what is known of hours now."""
    for each in found:
        population = [[g.segment, g.prompt, g.model, g.stratum, g.requests] for g in each.population]
        session.merge(tables.SampledHour(**(asdict(each) | {"population": population, "rates": list(each.rates)})))


def before(session: Session, since: datetime, until: datetime) -> dict[Key, Before]:
    """The samples that started in [since, until)."""
    s = _SAMPLES.c
    query = sa.select(s.trace_id, s.span_id, s.stratum, s.inclusion)
    query = query.where(s.started_at >= since, s.started_at < until)
    return {(t, span): Before(stratum=stratum, inclusion=pi) for t, span, stratum, pi in session.execute(query)}


def save_samples(session: Session, found: Sequence[Sample], *, now: datetime) -> None:
    """Write samples that are new or were raised; scores of raised ones follow."""
    fresh = [each for each in found if each.new or each.raised]
    if not fresh:
        return
    insert = _insert(session, _SAMPLES)
    # Of two runs at once neither may lower what the other wrote.
    higher = insert.excluded.inclusion >= _SAMPLES.c.inclusion
    changed = {name: insert.excluded[name] for name in ("started_at", "route", "segment", "prompt", "model", "stratum")}
    session.execute(
        insert.on_conflict_do_update(
            index_elements=["trace_id", "span_id"],
            set_=changed | {"inclusion": insert.excluded.inclusion},
            where=higher,
        ),
        [
            {
                "trace_id": each.trace_id,
                "span_id": each.span_id,
                "started_at": _time(each.at),
                "route": each.route,
                "segment": each.segment,
                "prompt": each.prompt,
                "model": each.model,
                "stratum": each.stratum,
                "inclusion": each.inclusion,
                "u": each.u,
                "chosen_at": now,
            }
            for each in fresh
        ],
    )
    for each in fresh:
        if each.raised:
            mine = (_SCORES.c.trace_id == each.trace_id, _SCORES.c.span_id == each.span_id)
            session.execute(sa.update(_SCORES).where(*mine).values(inclusion=each.inclusion, stratum=each.stratum))


def waiting(session: Session, scorers: Mapping[str, Sequence[tuple[str, str]]], since: datetime) -> list[Waiting]:
    """Samples that started or were chosen since a time and lack a score, by their permanent number.

    A score that is missing because the outside world failed is waited for until it was tried MOST_ATTEMPTS times.

    Args:
        scorers: Route -> (name, version) of what scores it.
    """
    s, c = _SAMPLES.c, _SCORES.c
    found: dict[Key, Waiting] = {}
    lacking: dict[Key, list[str]] = {}
    for route, mine in scorers.items():
        for name, version in mine:
            same = sa.and_(
                c.trace_id == s.trace_id, c.span_id == s.span_id, c.scorer == name, c.scorer_version == version
            )
            done = sa.or_(c.value.is_not(None), c.missing.not_like(f"{RETRIED}%"), c.attempts >= MOST_ATTEMPTS)
            query = sa.select(s.trace_id, s.span_id, s.route, s.u, s.stratum, s.inclusion).where(
                s.route == route, sa.or_(s.started_at >= since, s.chosen_at >= since), ~sa.exists().where(same, done)
            )
            for row in session.execute(query):
                key = (row.trace_id, row.span_id)
                lacking.setdefault(key, []).append(name)
                found[key] = Waiting(
                    trace_id=row.trace_id,
                    span_id=row.span_id,
                    route=row.route,
                    u=row.u,
                    stratum=row.stratum,
                    inclusion=row.inclusion,
                    scorers=tuple(lacking[key]),
                )
    return sorted(found.values(), key=lambda each: (each.u, each.span_id))


def save_scores(session: Session, given: Sequence[Judged], *, now: datetime) -> None:
    """Write scores; one that is there already stays, unless it was missing and this is another attempt."""
    if not given:
        return
    insert = _insert(session, _SCORES)
    replaced = ("value", "label", "explanation", "missing", "judge_model", "cost_nano_usd", "cached", "scored_at")
    session.execute(
        insert.on_conflict_do_update(
            index_elements=["trace_id", "span_id", "scorer", "scorer_version"],
            set_={name: insert.excluded[name] for name in replaced} | {"attempts": _SCORES.c.attempts + 1},
            where=_SCORES.c.value.is_(None),
        ),
        [{**asdict(each), "attempts": 1, "scored_at": now} for each in given],
    )


def started(session: Session, given: Iterable[Key]) -> list[datetime]:
    """When these samples' requests started."""
    s, found = _SAMPLES.c, list[datetime]()
    for trace_id, span_id in given:
        query = sa.select(s.started_at).where(s.trace_id == trace_id, s.span_id == span_id)
        found += (as_utc(at) for at in session.execute(query).scalars())
    return found


def scored(session: Session, since: datetime, until: datetime, *, route: str | None = None) -> list[ScoredSample]:
    """Every score of samples that started in [since, until); a sample without any score is left out."""
    s, c = _SAMPLES.c, _SCORES.c
    names = ("trace_id", "span_id", "started_at", "route", "segment", "prompt", "model", "stratum", "inclusion")
    query = sa.select(
        *(s[name] for name in names), c.scorer, c.scorer_version, c.value, c.missing, c.explanation, c.scored_at
    ).join(_SCORES, sa.and_(c.trace_id == s.trace_id, c.span_id == s.span_id))
    query = query.where(s.started_at >= since, s.started_at < until)
    if route is not None:
        query = query.where(s.route == route)
    return [ScoredSample(**row) for row in session.execute(query).mappings()]


def sampled_counts(session: Session, since: datetime, until: datetime) -> list[tuple[str, datetime, bool, bool]]:
    """Of every sample that started in [since, until): its route, its start, whether it was judged, and validly."""
    s, c = _SAMPLES.c, _SCORES.c
    mine = sa.and_(c.trace_id == s.trace_id, c.span_id == s.span_id)
    judged = sa.exists().where(mine)
    valid = sa.exists().where(mine, c.value.is_not(None))
    query = sa.select(s.route, s.started_at, judged, valid).where(s.started_at >= since, s.started_at < until)
    return [(route, at, bool(j), bool(v)) for route, at, j, v in session.execute(query)]


def of_trace(session: Session, trace_id: str) -> list[SampledRequest]:
    """The samples of a trace with what was said of them."""
    found = session.exec(select(tables.Sample).where(tables.Sample.trace_id == trace_id)).all()
    scores = session.exec(select(tables.Score).where(tables.Score.trace_id == trace_id)).all()
    return [
        SampledRequest(
            span_id=each.span_id,
            stratum=each.stratum,
            inclusion=each.inclusion,
            u=each.u,
            scores=[(s.scorer, s.value, s.missing) for s in scores if s.span_id == each.span_id],
        )
        for each in found
    ]


def spent(session: Session, since: datetime) -> int:
    """Nano-dollars paid for scores since a time."""
    c = _SCORES.c
    query = sa.select(sa.func.sum(c.cost_nano_usd)).where(c.scored_at >= since, c.cached.is_(False))
    return int(session.execute(query).scalar() or 0)


def cost_per_score(session: Session, since: datetime) -> dict[str, float]:
    """Scorer -> what a score of it cost on average since a time, nano-dollars; one without a known cost is left out."""
    c = _SCORES.c
    query = sa.select(c.scorer, sa.func.avg(c.cost_nano_usd)).where(
        c.scored_at >= since, c.cached.is_(False), c.cost_nano_usd.is_not(None)
    )
    return {name: float(cost) for name, cost in session.execute(query.group_by(c.scorer))}


def state(session: Session, *, locked: bool = False) -> State | None:
    """What is known of runs; None before the first.

    Args:
        locked: Nobody else writes it until this transaction ends.
    """
    query = select(tables.ScoringState)
    row = session.exec(query.with_for_update() if locked else query).first()
    return None if row is None else State(**{name: getattr(row, name) for name in State.__dataclass_fields__})


def save_state(session: Session, now: State) -> None:
    """Keep what is known of runs."""
    session.merge(tables.ScoringState(name="live", **asdict(now)))


def _time(at: float) -> datetime:
    return as_utc(datetime.fromtimestamp(at, UTC))


def _insert(session: Session, table: sa.Table) -> Any:
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    return dialect.insert(table)
