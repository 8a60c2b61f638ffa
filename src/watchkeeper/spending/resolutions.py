"""What a resolved job costs: all of its attempts, over the jobs that were resolved.

A job belongs to the labels of its first request: what was tried first is charged with everything that had to follow.
So a job counts once, and the groups add up to the whole. Its model is the one that cost most in that first request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from watchkeeper.foundation.money import NANO_PER_USD
from watchkeeper.stats.ratios import Ratio, cost_per_resolution

OWN_SOURCES = ("judge", "regression")
"""Sources of requests that are ours and not the application's; left out unless they are named."""

REQUEST_COLUMNS = ("started_at", "job_id", "trace_id", "source")
CALL_COLUMNS = ("job_id", "trace_id", "source", "provider", "model", "error_type", "cost_nano_usd")
"""The columns of requests (with the labels asked for) and of calls that `jobs_of` reads."""


@dataclass(slots=True)
class Job:
    """A unit of work: every request that names it.

    Attributes:
        labels: Of its first request.
        cost_nano_usd: Of the calls that have a cost; None when it made calls and none of them has.
        unpriced: Calls without a cost that did not fail.
        spans_labels: A later request has another label.
    """

    id: str
    started_at: datetime
    last_at: datetime
    trace_id: str
    labels: tuple[str | None, ...]
    cost_nano_usd: int | None = 0
    attempts: int = 0
    unpriced: int = 0
    spans_labels: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a job ended, as somebody said."""

    resolved: bool
    at: datetime


@dataclass(slots=True)
class Group:
    """The jobs of one combination of labels.

    Attributes:
        ratio: US dollars a resolved job; over the jobs whose end is known and that have a cost.
        cost_nano_usd: Exact cost of those jobs, those that were not resolved too.
        attempts: Their requests.
        late: Resolved after the timeout; they count as resolved.
        open: Younger than the timeout and not resolved yet: left out.
        partly_unpriced: Have a call without a cost: they cost at least what is counted.
        unpriced: Made calls of which none has a cost: left out.
        spanning: Have a later request with other labels.
    """

    labels: tuple[str | None, ...]
    ratio: Ratio = field(default_factory=lambda: cost_per_resolution([], []))
    cost_nano_usd: int = 0
    attempts: int = 0
    late: int = 0
    open: int = 0
    partly_unpriced: int = 0
    unpriced: int = 0
    spanning: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolutionCosts:
    """Cost per resolution of the jobs that began in a window.

    Attributes:
        by: Names of the labels.
        groups: The most expensive in all first.
        whole: All of them as one.
        without_job: Requests that name no job.
        began_before: Jobs with a request in the window that began before it: left out.
    """

    by: Sequence[str]
    groups: Sequence[Group]
    whole: Group
    without_job: int
    began_before: int


def jobs_of(
    requests: pa.Table, calls: pa.Table, by: Sequence[str], *, include: Sequence[str], since: datetime
) -> tuple[list[Job], int]:
    """The jobs of these requests and calls, and how many requests from `since` on name none.

    Args:
        by: Labels, columns of `requests`; "model" is found in the calls.
        include: Of OWN_SOURCES, what is counted too.
    """
    left_out = [source for source in OWN_SOURCES if source not in include]
    requests, calls = (_of_sources(table, left_out) for table in (requests, calls))
    nameless = pc.and_(pc.is_null(requests["job_id"]), pc.greater_equal(requests["started_at"], pa.scalar(since)))
    without = int(pc.sum(nameless).as_py() or 0)
    requests = requests.filter(pc.is_valid(requests["job_id"])).sort_by(
        [("started_at", "ascending"), ("trace_id", "ascending")]
    )
    labels = [name for name in by if name != "model"]
    jobs: dict[str, Job] = {}
    columns = [requests[name].to_pylist() for name in ("started_at", "job_id", "trace_id", *labels)]
    for started_at, job_id, trace_id, *values in zip(*columns, strict=True):
        job = jobs.get(job_id)
        if job is None:
            job = jobs[job_id] = Job(job_id, started_at, started_at, trace_id, tuple(values))
        job.last_at = started_at
        job.attempts += 1
        job.spans_labels = job.spans_labels or tuple(values) != job.labels
    jobs = {job_id: job for job_id, job in jobs.items() if job.last_at >= since}
    _add_costs(jobs, calls)
    if "model" in by:
        _add_models(jobs, calls, list(by).index("model"))
    return list(jobs.values()), without


def _of_sources(table: pa.Table, left_out: Sequence[str]) -> pa.Table:
    return table.filter(pc.invert(pc.is_in(table["source"], value_set=pa.array(left_out, pa.string()))))


def _add_costs(jobs: Mapping[str, Job], calls: pa.Table) -> None:
    calls = calls.filter(pc.is_valid(calls["job_id"]))
    missing = pc.and_(pc.is_null(calls["cost_nano_usd"]), pc.is_null(calls["error_type"]))
    sums = (
        calls.select(["job_id", "cost_nano_usd"])
        .append_column("missing", pc.cast(missing, pa.int64()))
        .group_by("job_id")
        .aggregate([("cost_nano_usd", "sum"), ("cost_nano_usd", "count"), ("missing", "sum")])
    )
    columns = ("job_id", "cost_nano_usd_sum", "cost_nano_usd_count", "missing_sum")
    for job_id, cost, priced, unpriced in zip(*(sums[name].to_pylist() for name in columns), strict=True):
        if (job := jobs.get(job_id)) is not None:
            job.unpriced = unpriced
            job.cost_nano_usd = cost if priced else (None if unpriced else 0)


def _add_models(jobs: Mapping[str, Job], calls: pa.Table, place: int) -> None:
    """The model that cost most in a job's first request, else the one that was called most, stands in its labels."""
    keys = ["job_id", "trace_id", "provider", "model"]
    sums = (
        calls.filter(pc.and_(pc.is_valid(calls["job_id"]), pc.is_valid(calls["model"])))
        .select([*keys, "cost_nano_usd"])
        .group_by(keys)
        .aggregate([("cost_nano_usd", "sum"), ([], "count_all")])
    )
    best: dict[str, tuple[int, int, str]] = {}
    later: dict[str, set[str]] = {}
    columns = [*keys, "cost_nano_usd_sum", "count_all"]
    for job_id, trace_id, provider, model, cost, count in zip(*(sums[c].to_pylist() for c in columns), strict=True):
        named = f"{provider}/{model}" if provider else model
        if (job := jobs.get(job_id)) is None:
            continue
        if trace_id != job.trace_id:
            later.setdefault(job_id, set()).add(named)
        else:
            best[job_id] = max(best.get(job_id, (0, 0, "")), (cost or 0, count, named))
    for job_id, job in jobs.items():
        model = best[job_id][2] if job_id in best else None
        job.labels = (*job.labels[:place], model, *job.labels[place:])
        job.spans_labels = job.spans_labels or bool(later.get(job_id, set()) - {model})


def costs_of(
    jobs: Sequence[Job],
    outcomes: Mapping[str, Outcome],
    by: Sequence[str],
    *,
    since: datetime,
    now: datetime,
    timeout: timedelta,
    without_job: int,
) -> ResolutionCosts:
    """Cost per resolution by the jobs' labels.

    A job that nobody said was resolved counts as not resolved once it is older than the timeout, and is open before;
    one of which somebody said that it was not resolved counts as that at once.
    """
    began = [job for job in jobs if job.started_at >= since]
    groups: dict[tuple[str | None, ...], list[Job]] = {}
    for job in began:
        groups.setdefault(job.labels, []).append(job)
    made = [_group(labels, members, outcomes, now, timeout) for labels, members in groups.items()]
    made.sort(key=lambda group: (-group.cost_nano_usd, [value or "" for value in group.labels]))
    return ResolutionCosts(
        by=by,
        groups=made,
        whole=_group((), began, outcomes, now, timeout),
        without_job=without_job,
        began_before=len(jobs) - len(began),
    )


def _group(
    labels: tuple[str | None, ...],
    jobs: Sequence[Job],
    outcomes: Mapping[str, Outcome],
    now: datetime,
    timeout: timedelta,
) -> Group:
    group = Group(labels=labels)
    costs: list[float] = []
    resolved: list[bool] = []
    for job in jobs:
        outcome = outcomes.get(job.id)
        if outcome is None and now - job.started_at < timeout:
            group.open += 1
            continue
        if job.cost_nano_usd is None:
            group.unpriced += 1
            continue
        good = outcome is not None and outcome.resolved
        group.late += outcome is not None and good and outcome.at - job.started_at > timeout
        group.partly_unpriced += job.unpriced > 0
        group.spanning += job.spans_labels
        group.attempts += job.attempts
        group.cost_nano_usd += job.cost_nano_usd
        costs.append(job.cost_nano_usd / NANO_PER_USD)
        resolved.append(good)
    group.ratio = cost_per_resolution(costs, resolved)
    return group
