"""Findings against open incidents, without a store."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.foundation.errors import Conflict
from watchkeeper.foundation.finding import Finding
from watchkeeper.incidents.incident import ALLOWED, STATUSES, dedup_key, move
from watchkeeper.incidents.reconcile import Scope, Transition, reconciled
from watchkeeper.incidents.runbook import filled

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)
ROUTES = st.lists(st.sampled_from(["a", "b", "c", "d"]), unique=True)


def finding(route: str, severity: str = "error", summary: str = "bad") -> Finding:
    return Finding(kind="timeouts", severity=severity, subject={"route": route}, summary=summary)  # type: ignore[arg-type]


def run(findings: list[Finding], before: list[Transition], *, at: datetime = NOW) -> list[Transition]:
    keys = [dedup_key(f.kind, f.subject) for f in findings]
    return reconciled(
        findings,
        [change.incident for change in before if change.action != "resolve"],
        scope=Scope(kinds=frozenset({"timeouts"})),
        now=at,
        first_moves={},
        ids={key: f"id-{key}" for key in keys},
        actor="test",
    )


def test_the_identity_is_the_kind_and_the_labels_in_any_order() -> None:
    assert dedup_key("timeouts", {"a": "1", "b": "2"}) == dedup_key("timeouts", {"b": "2", "a": "1"})
    assert dedup_key("timeouts", {"a": "1"}) != dedup_key("cost-spike", {"a": "1"})
    assert dedup_key("timeouts", {"a": "1"}) != dedup_key("timeouts", {"a": "2"})
    assert dedup_key("timeouts", {"a": "1"}).startswith("timeouts:")


@given(first=ROUTES, second=ROUTES)
def test_afterwards_exactly_what_is_found_is_open(first: list[str], second: list[str]) -> None:
    opened = run([finding(route) for route in first], [])
    after = run([finding(route) for route in second], opened, at=NOW + timedelta(minutes=1))
    assert {c.incident.subject["route"] for c in after if c.action != "resolve"} == set(second)
    assert {c.incident.subject["route"] for c in after if c.action == "resolve"} == set(first) - set(second)
    assert {c.incident.subject["route"] for c in after if c.action == "open"} == set(second) - set(first)


def test_of_two_findings_with_one_identity_the_more_severe_counts() -> None:
    (change,) = run([finding("a", "warning"), finding("a", "critical"), finding("a", "info")], [])
    assert change.incident.severity == "critical"


@pytest.mark.parametrize("start", STATUSES)
@pytest.mark.parametrize("to", STATUSES)
def test_a_step_is_allowed_by_the_table_or_refused(start: str, to: str) -> None:
    if to == start or to in ALLOWED[start]:  # type: ignore[index]
        assert move(start, to) == to  # type: ignore[arg-type]
    else:
        with pytest.raises(Conflict):
            move(start, to)  # type: ignore[arg-type]


def test_resolved_is_the_end() -> None:
    assert ALLOWED["resolved"] == frozenset()


def test_a_first_move_is_filled_from_the_labels_and_stays_one_line() -> None:
    assert filled("keep {a}, not {b} {c}", {"a": "x`\n`y", "b": "z"}) == "keep x' 'y, not z {c}"
