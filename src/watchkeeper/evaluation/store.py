"""Reads and writes of what judges have said; the only file that queries it."""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col

from watchkeeper.evaluation.judgement import Reading, Vote
from watchkeeper.evaluation.tables import JudgementRow

_TOGETHER = 500  # well below the number of parameters that SQLite takes
_HASH = "sha256:"


def votes(session: Session, version: str, input_hashes: Iterable[str]) -> dict[tuple[str, int], Vote]:
    """Every vote by one version of a judge on these inputs: (input hash, number) -> the vote."""
    wanted = sorted(each.removeprefix(_HASH) for each in input_hashes)
    found: dict[tuple[str, int], Vote] = {}
    for start in range(0, len(wanted), _TOGETHER):
        query = sa.select(JudgementRow.metadata.tables["judgements"]).where(
            col(JudgementRow.judge_version) == version.removeprefix(_HASH),
            col(JudgementRow.input_hash).in_(wanted[start : start + _TOGETHER]),
        )
        for row in session.execute(query):
            found[_HASH + row.input_hash, row.vote] = Vote(
                input_hash=_HASH + row.input_hash,
                number=row.vote,
                reading=Reading(value=row.value, explanation=row.explanation),
                model_served=row.model_served,
                cost_nano_usd=row.cost_nano_usd,
                unpriced=row.unpriced,
                at=row.judged_at,
            )
    return found


def save_votes(session: Session, version: str, cast: Sequence[Vote]) -> None:
    """Keep votes; missing ones are left out, and of two on the same the first stays."""
    rows = [
        {
            "judge_version": version.removeprefix(_HASH),
            "input_hash": vote.input_hash.removeprefix(_HASH),
            "vote": vote.number,
            "value": vote.reading.value,
            "explanation": vote.reading.explanation or "",
            "model_served": vote.model_served,
            "cost_nano_usd": vote.cost_nano_usd,
            "unpriced": vote.unpriced,
            "judged_at": vote.at,
        }
        for vote in cast
        if vote.reading.value is not None
    ]
    if rows:
        session.execute(_insert(session, JudgementRow.metadata.tables["judgements"]).on_conflict_do_nothing(), rows)


def _insert(session: Session, table: sa.Table) -> Any:
    if session.get_bind().dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as pg_insert

        return pg_insert(table)
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert

    return sqlite_insert(table)
