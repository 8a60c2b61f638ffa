"""Spend explained, divided by what was got for it, ranked and checked: what commands and checks call."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from watchkeeper.cost.prices import PriceList
from watchkeeper.database.engine import Store
from watchkeeper.facts import service as facts
from watchkeeper.facts.view import Where
from watchkeeper.foundation.errors import NotFound, NothingToCheck
from watchkeeper.spending import change, resolutions, store, top
from watchkeeper.spending.change import By, Explanation, Period
from watchkeeper.spending.invoice import Invoice
from watchkeeper.spending.reconcile import Reconciliation, Tolerance, reconciled
from watchkeeper.spending.recorded import COLUMNS as RECORDED
from watchkeeper.spending.recorded import recorded
from watchkeeper.spending.resolutions import ResolutionCosts
from watchkeeper.spending.top import Of, Ranking


def explain(
    opened: Store, folder: Path, before: Period, after: Period, *, by: By = "segment", where: Where | None = None
) -> Explanation:
    """Why the calls of `after` cost more or less than those of `before`.

    Args:
        folder: Where the facts are.
        by: What moved is told of each route and model together, of each route, or of each model.
        where: Label -> the value it must have; None is "the record says none".

    Raises:
        NotFound: If there is no such label.
        NothingToCheck: If neither window has a call.
        StoreFailed: If the store or a file cannot be read.
    """
    old, new = (
        facts.read(opened, folder, "calls", each.since, each.until, columns=change.COLUMNS, where=where)
        for each in (before, after)
    )
    if not len(old) and not len(new):
        raise NothingToCheck("neither window has a call; look at --from, --to and --where")
    return change.compare(old, new, (before, after), by=by)


def resolution_costs(
    opened: Store,
    folder: Path,
    since: datetime,
    now: datetime,
    *,
    by: Sequence[str] = (),
    timeout: timedelta = timedelta(hours=72),
    include: Sequence[str] = (),
) -> ResolutionCosts:
    """What a resolved job costs, over the jobs that began in [since, now).

    Args:
        by: Labels of requests, and "model".
        timeout: Age at which a job nobody called resolved counts as not resolved; also how far before `since` a job's
            first request is looked for.
        include: Of resolutions.OWN_SOURCES, whose requests are left out otherwise.

    Raises:
        NotFound: If there is no such label.
        NothingToCheck: If no request in the window names a job.
        StoreFailed: If the store or a file cannot be read.
    """
    known = [
        label for label in facts.labels() if label not in ("job_id", "provider", "model_requested", "finish_reason")
    ]
    for name in by:
        if name not in known:
            raise NotFound("label of jobs", name, known)
    labels = [name for name in by if name != "model"]
    columns = list(dict.fromkeys([*resolutions.REQUEST_COLUMNS, *labels]))
    requests = facts.read(opened, folder, "requests", since - timeout, now, columns=columns)
    calls = facts.read(opened, folder, "calls", since - timeout, now, columns=resolutions.CALL_COLUMNS)
    jobs, without = resolutions.jobs_of(requests, calls, by, include=include, since=since)
    if not jobs:
        raise NothingToCheck(
            f"no request names a job ({without} without job_id); records say which job they belong to by job_id"
        )
    with opened.read() as session:
        outcomes = store.outcomes(session, [job.id for job in jobs])
    return resolutions.costs_of(
        jobs, outcomes, by, since=since, now=now, timeout=timeout, without_job=without
    )  # fmt: skip


def ranking(
    opened: Store, folder: Path, of: Of, window: Period, *, limit: int = 20, where: Where | None = None
) -> Ranking:
    """The segments, jobs or sessions that cost most in a window, compared with the window of that length before it.

    Raises:
        NotFound: If there is no such label.
        NothingToCheck: If the window has no request.
        StoreFailed: If the store or a file cannot be read.
    """
    earlier = window.since - (window.until - window.since)
    columns = [top.COLUMN_OF[of], *top.COLUMNS]
    now, before = (
        facts.read(opened, folder, "requests", since, until, columns=columns, where=where)
        for since, until in ((window.since, window.until), (earlier, window.since))
    )
    if not len(now):
        raise NothingToCheck("no request in this window; look at --since, --until and --where")
    return top.ranked(now, before, of, limit=limit)


def reconcile(
    opened: Store, folder: Path, invoice: Invoice, prices: PriceList, *, tolerance: Tolerance
) -> Reconciliation:
    """Compare an invoice with the recorded calls of its provider, model by model and day by day.

    Raises:
        StoreFailed: If the store or a file cannot be read.
    """
    since, until = invoice.window
    calls = facts.read(opened, folder, "calls", since, until, columns=RECORDED)
    return reconciled(invoice, recorded(calls, invoice.provider, invoice.zone), prices, tolerance)
