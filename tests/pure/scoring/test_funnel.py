"""What stands still on the way to a score, and when that is said."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.pure.scoring.test_estimates import hour

from watchkeeper.foundation.finding import Finding
from watchkeeper.scoring.funnel import Funnel, funnel_of, stall_finding, summed
from watchkeeper.scoring.scored import State

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def row(**given: Any) -> Funnel:
    values: dict[str, Any] = {
        "route": "answers", "hour": 1, "seen": 1000, "eligible": 1000, "sampled": 20, "judged": 20, "valid": 20,
        "expected": 20.0,
    }  # fmt: skip
    return Funnel(**(values | given))


def state(*, ran: timedelta | None = timedelta(minutes=10)) -> State:
    return State(salt="00", began=NOW - timedelta(days=1), ran_at=None if ran is None else NOW - ran)


def stalled(*rows: Funnel, at: State | None = None, newest: datetime | None = NOW) -> Finding | None:
    return stall_finding(at or state(), rows, newest=newest, now=NOW)


def test_a_funnel_that_flows_is_not_a_stall() -> None:
    assert stalled(row()) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"eligible": 0, "sampled": 0, "judged": 0, "valid": 0, "expected": 0.0}, "none is eligible"),
        ({"sampled": 0, "judged": 0, "valid": 0}, "none was sampled"),
        ({"judged": 0, "valid": 0}, "none was judged"),
        ({"valid": 0}, "none has a score"),
    ],
)
def test_a_stage_that_gives_nothing_is_named(given: dict[str, Any], said: str) -> None:
    found = stalled(row(**given))
    assert found is not None
    assert (found.kind, found.subject) == ("check-stalled", {"check": "score-live"})
    assert said in found.summary


def test_nothing_of_little_traffic_is_chance() -> None:
    assert stalled(row(seen=99, eligible=0, sampled=0, judged=0, valid=0, expected=0.0)) is None
    assert stalled(row(sampled=0, judged=0, valid=0, expected=9.0)) is None
    assert stalled(row(sampled=9, judged=0, valid=0, expected=9.0)) is None


def test_hours_are_added_up_before_anything_is_called_nothing() -> None:
    assert stalled(row(sampled=0, judged=0, valid=0), row(hour=2)) is None
    assert summed([row(), row(hour=2)]) == [
        row(hour=None, seen=2000, eligible=2000, sampled=40, judged=40, valid=40, expected=40.0)
    ]


def test_no_run_for_three_intervals_is_a_stall_if_requests_came() -> None:
    silent = state(ran=timedelta(minutes=46))
    found = stalled(at=silent)
    assert found is not None
    assert "no run has ended well since 2026-11-24T11:14Z" in found.summary
    assert stalled(at=state(ran=timedelta(minutes=45))) is None
    assert stalled(at=silent, newest=NOW - timedelta(hours=1)) is None
    assert stalled(at=silent, newest=None) is None


def test_a_first_run_that_never_ends_well_is_a_stall_too() -> None:
    found = stalled(at=state(ran=None))
    assert found is not None
    assert "no run has ended well yet" in found.summary


def test_before_the_first_run_nothing_stands_still() -> None:
    assert stall_finding(None, [], newest=NOW, now=NOW) is None


def test_samples_are_counted_in_their_own_hour_and_route() -> None:
    at = datetime.fromtimestamp(hour(1).hour * 3600, UTC)
    route = hour(1).route
    samples = [(route, at, True, True), (route, at, True, False), (route, at + timedelta(hours=1), True, True)]
    [found] = funnel_of([hour(100)], samples)
    assert (found.seen, found.eligible, found.sampled, found.judged, found.valid) == (100, 100, 2, 2, 1)
    assert found.expected == 50.0
