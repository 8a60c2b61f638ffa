"""Reads and writes of what is remembered of budgets; the only file that queries it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, delete, select

from watchkeeper.budgets.memory import Held, Memory
from watchkeeper.budgets.tables import BudgetState
from watchkeeper.foundation.clock import format_time, parse_time


@dataclass(frozen=True, slots=True, kw_only=True)
class LastCheck:
    """What a budget's last check said; `spent_nano_usd` of the period it was in then."""

    checked_at: datetime
    spent_nano_usd: int
    unpriced: int
    verdict: str


def memories(session: Session) -> dict[str, Memory]:
    """Budget -> what is remembered of it."""
    return {
        row.name: Memory(
            starts=row.period_starts,
            told=tuple(row.told),
            held={
                rule: Held(since=parse_time(since), last=parse_time(last)) for rule, (since, last) in row.held.items()
            },
        )
        for row in session.exec(select(BudgetState))
    }


def last_checks(session: Session) -> dict[str, LastCheck]:
    """Budget -> what its last check said."""
    names = LastCheck.__dataclass_fields__
    return {row.name: LastCheck(**{n: getattr(row, n) for n in names}) for row in session.exec(select(BudgetState))}


def remember(session: Session, name: str, memory: Memory, last: LastCheck) -> None:
    """Keep a budget's state in place of what was kept."""
    held: dict[str, Any] = {rule: [format_time(h.since), format_time(h.last)] for rule, h in memory.held.items()}
    session.merge(
        BudgetState(
            name=name,
            checked_at=last.checked_at,
            period_starts=memory.starts,
            told=list(memory.told),
            held=held,
            spent_nano_usd=last.spent_nano_usd,
            unpriced=last.unpriced,
            verdict=last.verdict,
        )
    )


def forget(session: Session, name: str) -> None:
    """Nothing is remembered of a budget that is no more."""
    session.execute(delete(BudgetState).where(col(BudgetState.name) == name))
