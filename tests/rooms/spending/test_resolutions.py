"""What a resolved job costs: every attempt counts, where the job began, and what is not known is counted beside."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from watchkeeper.database.engine import Store
from watchkeeper.foundation.errors import NotFound, NothingToCheck
from watchkeeper.foundation.money import NANO_PER_USD
from watchkeeper.observability import service as records
from watchkeeper.observability.request import Call, Request
from watchkeeper.spending import service
from watchkeeper.spending.resolutions import ResolutionCosts

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=10)
_numbers = iter(range(1, 10**6))


def request(
    job: str | None, usd: float | None, *, at: datetime = LONG_AGO, model: str = "a", **changes: Any
) -> Request:
    number = next(_numbers)
    cost = None if usd is None else round(usd * NANO_PER_USD)
    call = Call(span_id=f"{number:016x}", provider="p", model_served=model, cost_nano_usd=cost)
    made = Request(
        trace_id=f"{number:032x}", span_id=f"{number:016x}", started_at=at, route="r", job_id=job, calls=[call]
    )
    return replace(made, **changes)


def costs(
    store: Store, folder: Path, requests: Sequence[Request], ends: dict[str, bool], **options: Any
) -> ResolutionCosts:
    records.import_requests(store, requests)
    for job_id, resolved in ends.items():
        records.resolve(store, job_id, resolved=resolved, at=LONG_AGO + timedelta(hours=1))
    return service.resolution_costs(store, folder, NOW - timedelta(days=30), NOW, **options)


def test_every_attempt_of_every_job_is_paid_by_the_jobs_that_were_resolved(store: Store, tmp_path: Path) -> None:
    mine = [
        request("one", 0.1),
        request("one", 0.2, error_type="timeout", at=LONG_AGO + timedelta(minutes=5)),
        request("one", 0.3, at=LONG_AGO + timedelta(minutes=9)),
        request("two", 1.0),
        request("never", 0.4),
        request("said-no", 0.5),
    ]
    found = costs(store, tmp_path, mine, {"one": True, "two": True, "said-no": False}).whole
    assert found.cost_nano_usd == 2_500_000_000
    assert (found.ratio.units, found.ratio.got, found.attempts) == (4, 2, 6)
    assert found.ratio.value == pytest.approx(1.25)
    assert found.ratio.interval is None  # two resolved jobs say nothing about others


def test_a_job_younger_than_the_timeout_is_open_and_left_out_and_older_it_was_not_resolved(
    store: Store, tmp_path: Path
) -> None:
    timeout = timedelta(hours=72)
    mine = [
        request("good", 1.0),
        request("just-open", 5.0, at=NOW - timeout + timedelta(seconds=1)),
        request("just-too-old", 5.0, at=NOW - timeout),
    ]
    found = costs(store, tmp_path, mine, {"good": True}, timeout=timeout).whole
    assert (found.open, found.ratio.units, found.cost_nano_usd) == (1, 2, 6_000_000_000)


def test_a_job_resolved_after_the_timeout_is_resolved_and_said_to_be_late(store: Store, tmp_path: Path) -> None:
    found = costs(store, tmp_path, [request("late", 1.0)], {"late": True}, timeout=timedelta(minutes=30)).whole
    assert (found.ratio.got, found.late) == (1, 1)


def test_a_job_counts_where_it_began_whatever_it_went_on_with(store: Store, tmp_path: Path) -> None:
    small_first = [
        request("up", 0.1, model="small"),
        request("up", 0.9, model="large", at=LONG_AGO + timedelta(minutes=1), route="escalated"),
        request("direct", 0.9, model="large", route="escalated"),
    ]
    found = costs(store, tmp_path, small_first, {"up": True, "direct": True}, by=["route", "model"])
    assert {group.labels: group.ratio.value for group in found.groups} == {
        ("r", "p/small"): pytest.approx(1.0), ("escalated", "p/large"): pytest.approx(0.9)
    }  # fmt: skip
    assert found.whole.spanning == 1
    assert sum(group.cost_nano_usd for group in found.groups) == found.whole.cost_nano_usd


def test_a_jobs_model_is_the_one_that_cost_most_in_its_first_request(store: Store, tmp_path: Path) -> None:
    first = request("two-models", 0.1, model="router")
    main = Call(span_id="f" * 16, provider="p", model_served="main", cost_nano_usd=NANO_PER_USD)
    found = costs(store, tmp_path, [replace(first, calls=[*first.calls, main])], {}, by=["model"])
    assert [group.labels for group in found.groups] == [("p/main",)]


def test_judge_and_regression_calls_are_left_out_unless_they_are_named(store: Store, tmp_path: Path) -> None:
    mine = [
        request("job", 1.0),
        request("job", 0.25, source="judge", at=LONG_AGO + timedelta(minutes=1)),
        request("job", 0.5, source="regression", at=LONG_AGO + timedelta(minutes=2)),
    ]
    assert costs(store, tmp_path, mine, {"job": True}).whole.ratio.value == pytest.approx(1.0)
    assert costs(store, tmp_path, [], {}, include=["judge"]).whole.ratio.value == pytest.approx(1.25)


def test_jobs_without_a_price_are_left_out_and_partly_priced_ones_are_said(store: Store, tmp_path: Path) -> None:
    failed = Call(span_id="e" * 16, model_served="a", error_type="timeout")
    with_failure = request("failed-once", 1.0)
    mine = [
        replace(with_failure, calls=[*with_failure.calls, failed]),
        request("partly", 1.0),
        request("partly", None, at=LONG_AGO + timedelta(minutes=1)),
        request("unknown", None),
        request(None, 3.0),
    ]
    found = costs(store, tmp_path, mine, {"failed-once": True, "partly": True, "unknown": True})
    whole = found.whole
    assert (whole.partly_unpriced, whole.unpriced, whole.ratio.units, whole.cost_nano_usd) == (1, 1, 2, 2_000_000_000)
    assert found.without_job == 1


def test_a_job_that_began_before_the_window_belongs_to_the_window_before(store: Store, tmp_path: Path) -> None:
    since = NOW - timedelta(days=30)
    mine = [
        request("old", 1.0, at=since - timedelta(hours=1)),
        request("old", 1.0, at=since + timedelta(hours=1)),
        request("over-before", 1.0, at=since - timedelta(hours=1)),
        request("new", 1.0, at=since + timedelta(hours=1)),
    ]
    found = costs(store, tmp_path, mine, {"old": True, "new": True})
    assert (found.whole.ratio.units, found.began_before) == (1, 1)


def test_without_jobs_or_with_an_unknown_label_it_says_so(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NothingToCheck, match="2 without job_id"):
        costs(store, tmp_path, [request(None, 1.0), request(None, 1.0)], {})
    with pytest.raises(NotFound, match="prompt_version"):
        costs(store, tmp_path, [request("j", 1.0)], {}, by=["promt_version"])
