"""Reads and writes of suite runs, attempts and verdicts; the only file that queries them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from watchkeeper.providers.interface import Usage
from watchkeeper.regression.attempt import AttemptResult, Attempts
from watchkeeper.regression.tables import Attempt, SuiteRun, Verdict, VerdictRun


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """One run as stored; see regression.tables.SuiteRun."""

    id: str
    identity: str
    suite: str
    suite_version: str
    provider: str
    model: str
    prompt: str | None
    planned: int
    status: str
    owner: str | None
    seen_at: datetime
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVerdict:
    """One verdict as stored; `document` is what `--json` printed."""

    id: str
    kind: str
    baseline: str
    candidate: str
    verdict: str
    document: dict[str, Any]
    decided_at: datetime


def runs_of(session: Session, identity: str) -> list[StoredRun]:
    """The runs that asked the same questions, newest first."""
    found = session.exec(
        select(SuiteRun)
        .where(SuiteRun.identity == identity)
        .order_by(col(SuiteRun.started_at).desc(), col(SuiteRun.id).desc())
    )
    return [_run(row) for row in found]


def was_judged(session: Session, run_id: str) -> bool:
    """Whether a verdict was based on the run."""
    return session.exec(select(VerdictRun.run_id).where(VerdictRun.run_id == run_id).limit(1)).first() is not None


def add_run(session: Session, run: StoredRun, params: dict[str, Any]) -> None:
    """Insert a new run."""
    fields = {name: getattr(run, name) for name in StoredRun.__dataclass_fields__}
    session.add(SuiteRun(**fields, params=params))


def set_run(session: Session, run_id: str, *, status: str, owner: str | None, now: datetime) -> None:
    """Change who is filling a run and how far it is."""
    finished = None if status == "running" else now
    session.execute(
        sa.update(SuiteRun)
        .where(col(SuiteRun.id) == run_id)
        .values(status=status, owner=owner, seen_at=now, finished_at=finished)
    )


def save_attempts(session: Session, run_id: str, attempts: Sequence[AttemptResult], *, now: datetime) -> None:
    """Store a batch of attempts, replacing missing ones of the same case, and the owner's sign of life."""
    table = SuiteRun.metadata.tables["attempts"]
    if session.get_bind().dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as pg_insert

        statement: Any = pg_insert(table)
    else:
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        statement = sqlite_insert(table)
    keys = ["run_id", "case_id", "repeat"]
    statement = statement.on_conflict_do_update(
        index_elements=keys, set_={c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys}
    )
    session.execute(statement, [_row(run_id, attempt) for attempt in attempts])
    session.execute(sa.update(SuiteRun).where(col(SuiteRun.id) == run_id).values(seen_at=now))


def count_answers(session: Session, run_id: str) -> int:
    """How many attempts of a run have an answer."""
    query = sa.select(sa.func.count()).where(col(Attempt.run_id) == run_id, col(Attempt.response).is_not(None))
    return int(session.execute(query).scalar_one())


def attempts_of(session: Session, run_id: str) -> Attempts:
    """Everything a run has so far."""
    rows = session.execute(sa.select(SuiteRun.metadata.tables["attempts"]).where(col(Attempt.run_id) == run_id))
    return {(row.case_id, row.repeat): _attempt(row) for row in rows}


def add_verdict(
    session: Session, verdict: StoredVerdict, runs: Sequence[tuple[str, str]], override: dict[str, str] | None
) -> None:
    """Store a verdict and which runs, as (run id, side), it was based on."""
    session.add(
        Verdict(
            id=verdict.id,
            kind=verdict.kind,
            baseline=verdict.baseline,
            candidate=verdict.candidate,
            verdict=verdict.verdict,
            document=verdict.document,
            override_by=override["by"] if override else None,
            override_why=override["why"] if override else None,
            decided_at=verdict.decided_at,
        )
    )
    session.flush()
    session.add_all([VerdictRun(verdict_id=verdict.id, run_id=run_id, side=side) for run_id, side in runs])


def verdicts(session: Session, *, limit: int) -> list[StoredVerdict]:
    """The newest verdicts first."""
    found = session.exec(select(Verdict).order_by(col(Verdict.decided_at).desc()).limit(limit))
    return [_verdict(row) for row in found]


def verdict_by_id(session: Session, verdict_id: str) -> StoredVerdict | None:
    """One verdict, by its id or by the beginning of it that is unique."""
    found = session.exec(select(Verdict).where(col(Verdict.id).startswith(verdict_id, autoescape=True)).limit(2)).all()
    return _verdict(found[0]) if len(found) == 1 else None


def runs_of_verdict(session: Session, verdict_id: str) -> list[tuple[StoredRun, str]]:
    """The runs a verdict compared, each with its side."""
    found = session.exec(
        select(SuiteRun, VerdictRun.side)
        .join(VerdictRun, col(VerdictRun.run_id) == SuiteRun.id)
        .where(VerdictRun.verdict_id == verdict_id)
        .order_by(SuiteRun.suite, VerdictRun.side)
    )
    return [(_run(run), side) for run, side in found]


def _run(row: SuiteRun) -> StoredRun:
    return StoredRun(**{name: getattr(row, name) for name in StoredRun.__dataclass_fields__})


def _verdict(row: Verdict) -> StoredVerdict:
    return StoredVerdict(**{name: getattr(row, name) for name in StoredVerdict.__dataclass_fields__})


def _row(run_id: str, a: AttemptResult) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "case_id": a.case_id,
        "repeat": a.repeat,
        "response": _storable(a.response),
        "error_type": a.error_type,
        "error": a.error,
        "model_served": a.model_served,
        "system_fingerprint": a.system_fingerprint,
        "finish_reason": a.finish_reason,
        "request_id": a.request_id,
        "tokens_input": a.usage.input,
        "tokens_output": a.usage.output,
        "tokens_cache_read": a.usage.cache_read,
        "tokens_cache_write": a.usage.cache_write,
        "tokens_reasoning": a.usage.reasoning,
        "cost_nano_usd": a.cost_nano_usd,
        "ttft_ms": a.ttft_ms,
        "latency_ms": a.latency_ms,
        "tries": a.tries,
        "finished_at": a.finished_at,
    }


def _storable(text: str | None) -> str | None:
    """An answer may hold NUL, which PostgreSQL cannot keep, or half a surrogate pair, which nobody can."""
    return None if text is None else text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _attempt(row: Any) -> AttemptResult:
    return AttemptResult(
        case_id=row.case_id,
        repeat=row.repeat,
        response=row.response,
        error_type=row.error_type,
        error=row.error,
        model_served=row.model_served,
        system_fingerprint=row.system_fingerprint,
        finish_reason=row.finish_reason,
        request_id=row.request_id,
        usage=Usage(
            input=row.tokens_input,
            output=row.tokens_output,
            cache_read=row.tokens_cache_read,
            cache_write=row.tokens_cache_write,
            reasoning=row.tokens_reasoning,
        ),
        cost_nano_usd=row.cost_nano_usd,
        ttft_ms=row.ttft_ms,
        latency_ms=row.latency_ms,
        tries=row.tries,
        finished_at=row.finished_at,
    )
