"""Choose live answers and score them: load, decide, save. One run at a time, each step kept before the next."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from watchkeeper.database.engine import Store
from watchkeeper.facts import service as facts
from watchkeeper.facts import store as fact_rows
from watchkeeper.foundation.clock import Clock
from watchkeeper.foundation.collector import calm_collector
from watchkeeper.foundation.errors import Conflict
from watchkeeper.foundation.lease import is_gone, new_owner
from watchkeeper.observability.request import Request, hour_of
from watchkeeper.observability.service import requests_of
from watchkeeper.observability.steps import Step
from watchkeeper.observability.store.touched import touch
from watchkeeper.scoring import store
from watchkeeper.scoring.budget import RESERVE, affordable_rate, day_of
from watchkeeper.scoring.candidates import CANDIDATES, candidates_of
from watchkeeper.scoring.explain import scoring_steps
from watchkeeper.scoring.funnel import Funnel, funnel_of
from watchkeeper.scoring.hours import Decided, Knowledge, SampledHour, Totals, decide, due
from watchkeeper.scoring.planning import Costs, Plan, Preview, Run, costs, counted_demand, expected_demand
from watchkeeper.scoring.runner import score_all
from watchkeeper.scoring.sampling import Key, permanent_numbers
from watchkeeper.scoring.scored import Judged, ScoredSample, State
from watchkeeper.scoring.signals import (
    LEARNED,
    Appearance,
    Usual,
    appearances,
    appearances_of_facts,
    live_facts,
    multiples,
    usual_of,
)

LATE = timedelta(days=7)
"""How long after its start a request's stratum may still rise: a thumb that comes later changes nothing."""
FRESH = timedelta(hours=24)
"""How long after it was chosen a sample is scored by a run of the schedule."""

_PROFILE = timedelta(days=28)
_LEASE = timedelta(minutes=10)
"""How long a run of another machine must be silent before the next one takes over."""


def score(
    opened: Store,
    folder: Path,
    plan: Plan,
    *,
    clock: Clock,
    since: datetime | None = None,
    most_nano_usd: int | None = None,
) -> Run:
    """Sample what came in and score it. May be stopped and run again: nothing is chosen or paid for twice.

    Args:
        folder: Where the facts are written.
        since: Sample and score everything from then on, also what came before sampling began; None is the schedule's
            run, which looks at what is new and at what changed.
        most_nano_usd: Most to spend in this run; None is what is left of the day's budget.

    Raises:
        Conflict: If another run is under way.
        Transient: If a judge's provider or the store fails; what was scored is kept.
    """
    now = clock.now()
    with _one_run(opened, clock) as (owner, state):
        cost = _costs(opened, plan, now)
        rate = _rate(opened, folder, plan, state, cost, now=now, since=since, most_nano_usd=most_nano_usd)
        totals = sample(opened, folder, plan, state, rate, now=now, since=since, write=True)
        scored_since = since or now - FRESH

        def keep(given: Sequence[Judged]) -> None:
            with opened.write() as session:
                held = _held(store.state(session, locked=True), owner)
                store.save_scores(session, given, now=clock.now())
                store.save_state(session, replace(held, seen_at=clock.now()))
                touch(session, store.started(session, {(each.trace_id, each.span_id) for each in given}))

        with opened.read() as session:
            waiting = store.waiting(session, plan.named, scored_since)
        tally = score_all(
            waiting,
            plan.scorers,
            load=lambda keys: _loaded(opened, keys),
            keep=keep,
            most_nano_usd=most_nano_usd,
            cost_by_route=cost.by_route,
        )
        with opened.write() as session:
            store.save_state(session, replace(_held(store.state(session, locked=True), owner), ran_at=now))
    with opened.read() as session:
        return Run(
            rate=rate,
            target=plan.target,
            chosen=sum(totals.new.values()),
            raised=totals.raised,
            scored=tally.scored,
            missing=tally.missing,
            cached=tally.cached,
            waiting=len(store.waiting(session, plan.named, scored_since)),
            cost_nano_usd=tally.cost_nano_usd,
            spent_nano_usd=store.spent(session, day_of(now)[0]),
        )


def preview(
    opened: Store, folder: Path, plan: Plan, *, now: datetime, since: datetime, most_nano_usd: int | None = None
) -> Preview:
    """What `score` would do, and what it would cost; nothing is written and nobody is asked."""
    with opened.read() as session:
        state = store.state(session) or _new_state(now)
        waiting = store.waiting(session, plan.named, since)
    cost = _costs(opened, plan, now)
    rate = _rate(opened, folder, plan, state, cost, now=now, since=since, most_nano_usd=most_nano_usd)
    totals = sample(opened, folder, plan, state, rate, now=now, since=since, write=False)
    price = sum(cost.by_route[route] * count for route, count in totals.new.items())
    return Preview(
        rate=rate,
        target=plan.target,
        eligible=sum(sum(each.values()) for each in totals.eligible.values()),
        new=sum(totals.new.values()),
        waiting=len(waiting),
        cost_nano_usd=price + sum(cost.by_route[each.route] for each in waiting),
        assumed=cost.assumed,
    )


def scored(opened: Store, since: datetime, until: datetime) -> tuple[list[ScoredSample], list[SampledHour]]:
    """The scores of samples of [since, until), whole hours, and the hours they stand for."""
    last = hour_of(until - timedelta(microseconds=1)) + 1
    with opened.read() as session:
        return store.scored(session, since, until), store.hours(session, hour_of(since), last)


def first_seen(opened: Store) -> dict[Appearance, datetime]:
    """When each prompt version, model and release first stood in a route."""
    with opened.read() as session:
        return {key: datetime.fromtimestamp(at, UTC) for key, at in store.first_seen(session).items()}


def funnel(opened: Store, since: datetime, until: datetime) -> list[Funnel]:
    """How many requests came how far, by route and hour of [since, until)."""
    with opened.read() as session:
        hours = store.hours(session, hour_of(since), hour_of(until) + 1)
        return funnel_of(hours, store.sampled_counts(session, since, until))


def last_run(opened: Store) -> State | None:
    """What is known of runs; None before the first."""
    with opened.read() as session:
        return store.state(session)


def why(opened: Store, requests: Sequence[Request], plan: Plan, *, now: datetime) -> list[Step]:
    """Whether the requests of a trace were eligible, sampled and judged, and why not."""
    if not requests:
        return []
    with opened.read() as session:
        state = store.state(session)
        sampled = {each.span_id: each for each in store.of_trace(session, requests[0].trace_id)}
        hours = {
            (row.hour, row.route): row
            for r in requests
            for row in store.hours(session, hour_of(r.started_at), hour_of(r.started_at) + 1)
        }
    u = None if state is None else float(permanent_numbers(bytes.fromhex(state.salt), [requests[0].trace_id])[0])
    return [
        step
        for r in requests
        for step in scoring_steps(
            r, sampled.get(r.span_id), hours.get((hour_of(r.started_at), r.route)), plan, u=u, now=now
        )
    ]


def _costs(opened: Store, plan: Plan, now: datetime) -> Costs:
    with opened.read() as session:
        return costs(plan, store.cost_per_score(session, now - LATE))


def _rate(
    opened: Store,
    folder: Path,
    plan: Plan,
    state: State,
    cost: Costs,
    *,
    now: datetime,
    since: datetime | None,
    most_nano_usd: int | None,
) -> float:
    midnight, next_midnight = day_of(now)
    weights = multiples(plan.own_multiples)
    with opened.read() as session:
        waiting = store.waiting(session, plan.named, since or now - FRESH)
        allowed = plan.day_nano_usd - store.spent(session, midnight) if most_nano_usd is None else most_nano_usd
        hours = store.hours(session, hour_of(now - LATE), hour_of(now) + 1)
    left = allowed - sum(cost.by_route[each.route] for each in waiting)
    if since is not None:
        counted = sample(opened, folder, plan, state, plan.target, now=now, since=since, write=False)
        return affordable_rate(plan.target, left, counted_demand(cost, counted.eligible), weights, reserve=1.0)
    began = max(state.ran_at or state.began, now - LATE) - plan.settle
    usage = facts.usage(
        opened, folder, day_of(now - _PROFILE)[0], now, by=("route", "source"), every=timedelta(hours=1)
    )
    demand = expected_demand(plan, cost, usage, hours, began, next_midnight - plan.settle, now=now)
    return affordable_rate(plan.target, left, demand, weights, reserve=RESERVE)


def sample(
    opened: Store,
    folder: Path,
    plan: Plan,
    state: State,
    rate: float,
    *,
    now: datetime,
    since: datetime | None,
    write: bool,
) -> Totals:
    """Decide about every hour that is new or has changed; with `since` about all from then on.

    Args:
        rate: Base rate of quarters of an hour that have none yet.
        write: Whether decisions are kept; `score` does so while it holds the one place for a run.
    """
    totals = Totals()
    rates = dict.fromkeys(plan.scorers, rate)
    with opened.read() as session:
        seen = store.first_seen(session, rates)
        start, end = hour_of(now - LATE if since is None else since), hour_of(now) + 1
        hours_due = due(
            store.touched_hours(session, start, end),
            store.hours(session, start, end, list(rates)),
            rates,
            began=hour_of(state.began) if since is None else None,
        )
    usual: dict[str, Mapping[str, Usual]] = {}
    with calm_collector():  # rows by the hundred thousand: none of them is in a circle
        for hour in hours_due:
            day = datetime.fromtimestamp(hour * 3600, UTC).date().isoformat()
            if day not in usual:
                usual[day] = _learned(opened, folder, day, seen, write=write)
            decided = _decide_hour(opened, hour, plan, state, rates, usual[day], seen, now, since is not None, write)
            totals.add(decided)
    return totals


def _decide_hour(
    opened: Store,
    hour: int,
    plan: Plan,
    state: State,
    rates: Mapping[str, float],
    usual: Mapping[str, Usual],
    seen: dict[Appearance, float],
    now: datetime,
    raising: bool,
    write: bool,
) -> Decided:
    start = datetime.fromtimestamp(hour * 3600, UTC)
    window = (start, start + timedelta(hours=1))
    with opened.read() as session:
        fact_rows.one_snapshot(session)
        version = store.touched_hours(session, hour, hour + 1).get(hour, 0)
        requests = candidates_of(fact_rows.rows(session, CANDIDATES, CANDIDATES.columns, [window]))
        known = {row.route: row for row in store.hours(session, hour, hour + 1, list(rates))}
        before = store.before(session, *window)
        said = store.said(session, *window)
    fresh = {key: at for key, at in appearances(requests).items() if key not in seen and key[0] in rates}
    seen |= fresh
    decided = decide(
        requests,
        hour,
        version,
        rates=rates,
        known=known,
        before=before,
        by=Knowledge(
            salt=bytes.fromhex(state.salt),
            multiples=multiples(plan.own_multiples),
            usual=usual,
            first_seen=seen,
            said=said,
            settled_before=(now - plan.settle).timestamp(),
            raising=raising,
        ),
    )
    if write:
        with opened.write() as session:
            store.keep_first_seen(session, fresh)
            store.save_samples(session, decided.samples, now=now)
            store.save_hours(session, decided.hours)
            touch(session, (datetime.fromtimestamp(each.at, UTC) for each in decided.samples if each.raised))
    return decided


def _learned(
    opened: Store, folder: Path, day: str, seen: dict[Appearance, float], *, write: bool
) -> Mapping[str, Usual]:
    """What was usual on the seven days before a day; `seen` learns what appeared in them."""
    with opened.read() as session:
        kept = store.usual(session, day)
    if kept is not None:
        return kept
    until = datetime.fromisoformat(day).replace(tzinfo=UTC)
    shared = ("started_at", "route", "source")
    columns = (*shared, "prompt_id", "prompt_version", "release", "latency_ms", "tokens_output")
    requests = live_facts(facts.read(opened, folder, "requests", until - LEARNED, until, columns=columns))
    calls = live_facts(facts.read(opened, folder, "calls", until - LEARNED, until, columns=(*shared, "model")))
    found = usual_of(requests)
    fresh = {key: at for key, at in appearances_of_facts(requests, calls).items() if key not in seen}
    seen |= fresh
    if write:
        with opened.write() as session:
            store.keep_usual(session, day, found)
            store.keep_first_seen(session, fresh)
    return found


def _loaded(opened: Store, keys: Sequence[Key]) -> dict[Key, Request]:
    return {(r.trace_id, r.span_id): r for r in requests_of(opened, keys)}


@contextmanager
def _one_run(opened: Store, clock: Clock) -> Iterator[tuple[str, State]]:
    """Hold the one place there is for a run; a process that was killed leaves it free at once."""
    owner, now = new_owner(), clock.now()
    with opened.write() as session:
        state = store.state(session, locked=True) or _new_state(now)
        held = state.owner is not None and state.seen_at is not None and now - state.seen_at < _LEASE
        if held and state.owner is not None and not is_gone(state.owner):
            raise Conflict("another run is scoring at this moment; it goes on by itself, try again when it has ended")
        state = replace(state, owner=owner, seen_at=now)
        store.save_state(session, state)
    try:
        yield owner, state
    finally:
        with opened.write() as session:
            last = store.state(session, locked=True)
            if last is not None and last.owner == owner:
                store.save_state(session, replace(last, owner=None))


def _new_state(now: datetime) -> State:
    return State(salt=secrets.token_hex(32), began=now)


def _held(state: State | None, owner: str) -> State:
    if state is None or state.owner != owner:
        raise Conflict("another run has taken over, because this one was silent for too long; what it scored is kept")
    return state
