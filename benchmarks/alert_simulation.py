"""A simulated year of spend and of latencies through the whole checks: false incidents, and how soon a change is seen.

`--days N` simulates less than a year, `--only spend|latency` one half. Truth is known: nothing changes, or one thing
does. The last line is one JSON object.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from watchkeeper.budgets.assessment import Usual, assess, usual_before
from watchkeeper.budgets.budget import Budget
from watchkeeper.budgets.ledger import Ledger, ledger_of
from watchkeeper.budgets.memory import Memory, remembered
from watchkeeper.budgets.words import findings as budget_findings
from watchkeeper.latency.changes import changes_of, slow_since
from watchkeeper.latency.check import look_at_streams, stream_key
from watchkeeper.latency.look import baselines
from watchkeeper.latency.memory import Baseline, Memories
from watchkeeper.latency.streams import Answers, Labels, Stream, Traffic

UTC = ZoneInfo("UTC")
MONDAY = datetime(2025, 1, 6, tzinfo=UTC)
STEPS = 288
"""Five minutes of a day."""
LEARNED = 60
"""Days before the first check: what the checks learn from."""

Floats = NDArray[np.float64]


def spend_facts(
    rng: np.random.Generator,
    *,
    days: int,
    per_hour: float = 200,
    between_days: float = 0.04,
    volume: Floats | None = None,
    unit: Floats | None = None,
) -> pa.Table:
    """Facts of requests: a rhythm of day and week, days that differ, costs of a cent and a third with a long tail.

    Args:
        volume, unit: shape (days * STEPS,); what requests and their costs are multiplied with.
    """
    hour = 1 + 0.6 * np.sin((np.arange(STEPS) / STEPS - 0.3) * 2 * np.pi)
    week = (1, 1.05, 1.05, 1, 0.95, 0.5, 0.45)
    rate = np.concatenate(
        [per_hour / 12 * hour * week[day % 7] * np.exp(rng.normal(0, between_days)) for day in range(days)]
    )
    steps = np.repeat(np.arange(rate.size), rng.poisson(rate if volume is None else rate * volume))
    at = (MONDAY.timestamp() + 300 * (steps + rng.random(steps.size))) * 1e6
    cost = rng.lognormal(np.log(1e7), 0.8, steps.size) * (1.0 if unit is None else unit[steps])
    return pa.table(
        {
            "started_at": pa.array(at.astype(np.int64), pa.timestamp("us", tz="UTC")),
            "source": pa.nulls(steps.size, pa.string()),
            "cost_nano_usd": pa.array(cost.astype(np.int64)),
            "unpriced": pa.array(np.zeros(steps.size, np.int64)),
        }
    )


def budget(limit_usd: float = 1e9) -> Budget:
    """A month's budget that is never reached, as the settings' defaults make it."""
    return Budget(name="all", period="month", limit_nano_usd=int(limit_usd * 1e9), zone=UTC, least_nano_usd=500_000_000)


def ledgers(facts: pa.Table, first_day: int, last_day: int) -> Iterator[tuple[int, Ledger]]:
    """Day by day the ledger the check would read then, up to the day's end."""
    at = facts.column("started_at").to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6
    for day in range(first_day, last_day, 10):
        until = min(last_day, day + 10)
        since, ends = (MONDAY + timedelta(days=n) for n in (max(0, day - LEARNED), until))
        first, last = np.searchsorted(at, [since.timestamp(), ends.timestamp()])
        whole = ledger_of(facts.slice(first, last - first), now=ends, zone=UTC)
        for each in range(day, until):
            yield each, whole


def spend_incidents(
    facts: pa.Table, first_day: int, last_day: int, *, every: int = 2, from_step: int = 0
) -> list[tuple[float, str]]:
    """Day (and fraction) at which each incident opened, and its rule; checks every ten minutes.

    Args:
        every: Steps of five minutes between two checks.
        from_step: Of the first day.
    """
    opened: list[tuple[float, str]] = []
    memory, is_open = Memory(), False
    for day, whole in ledgers(facts, first_day, last_day):
        midnight = MONDAY + timedelta(days=day)
        usual: Usual = usual_before(whole.upto(midnight), midnight)
        for step in range(from_step if day == first_day else 0, STEPS, every):
            seen = assess(budget(), whole.upto(midnight + timedelta(minutes=5 * step)), usual)
            memory, _ = remembered(memory, seen)
            found = [f for f in budget_findings(seen, memory, {}) if f.kind == "cost-spike"]
            if found and not is_open:
                opened.append((day + step / STEPS, min(memory.held, key=lambda rule: memory.held[rule].since)))
            is_open = bool(found)
    return opened


def spend_delays(
    rng: np.random.Generator, *, runs: int, onsets: Sequence[int], volume: float = 1, unit: float = 1, days: int = 2
) -> list[float]:
    """Hours from a change to its incident; `days` in hours where it was not seen in them."""
    found = []
    for run in range(runs):
        onset = 36 * STEPS + onsets[run % len(onsets)] * 12 + int(rng.integers(0, 12))
        changed = np.arange((36 + days + 1) * STEPS) >= onset
        facts = spend_facts(
            rng, days=36 + days + 1, volume=np.where(changed, volume, 1.0), unit=np.where(changed, unit, 1.0)
        )
        seen = spend_incidents(facts, 36, 36 + days + 1, from_step=onset % STEPS // 2 * 2)
        found.append(min([(at - onset / STEPS) * 24 for at, _ in seen if at * STEPS >= onset] or [24.0 * days]))
    return found


def forecast_coverage(facts: pa.Table, first_day: int, last_day: int) -> list[bool]:
    """Whether the 90 % interval held the month's truth, asked once a day at a time that moves through the day."""
    at = facts.column("started_at").to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6
    cost = facts.column("cost_nano_usd").to_numpy()
    covered = []
    for day, whole in ledgers(facts, first_day, last_day):
        now = MONDAY + timedelta(days=day, minutes=5 * (day * 37 % STEPS))
        seen = assess(budget(), whole.upto(now))
        if seen.forecast is None or seen.forecast.interval is None or seen.term.ends is None:
            continue
        if seen.term.ends > MONDAY + timedelta(days=last_day):
            continue
        month = (at >= seen.term.starts.timestamp()) & (at < seen.term.ends.timestamp())
        low, high = seen.forecast.interval
        covered.append(low <= cost[month].sum() / 1e9 <= high)
    return covered


def answers(rng: np.random.Generator, *, days: int, per_hour: float, slower_from: float | None = None) -> Answers:
    """Latencies of one stream: a level that wanders, a day's rhythm, bursts of requests, rare stalls, a long tail.

    Args:
        slower_from: Day from which everything takes twice as long; None never.
    """
    steps = days * STEPS
    shocks = 0.15 * (1 - 0.9**2) ** 0.5 * rng.normal(size=steps)
    level = np.empty(steps)
    level[0] = 0.0
    for step in range(1, steps):
        level[step] = 0.9 * level[step - 1] + shocks[step]
    level += 0.1 * np.sin(np.arange(steps) / STEPS * 2 * np.pi)
    counts = rng.poisson(per_hour / 12 * rng.gamma(4, 1 / 4, steps))
    of_step = np.repeat(np.arange(steps), counts)
    at = MONDAY.timestamp() + 300 * (of_step + rng.random(of_step.size))
    output = np.ceil(rng.lognormal(5, 0.5, at.size))
    ms = np.exp(4.0 + level[of_step] + 0.35 * rng.normal(size=at.size)) * output**0.5
    first = 0.3 * np.exp(6.0 + level[of_step] + 0.35 * rng.normal(size=at.size))
    stalled = rng.random(at.size) < 0.02
    waited = 1 + rng.exponential(3, stalled.sum())
    ms[stalled] *= waited
    first[stalled] *= waited
    if slower_from is not None:
        late = at >= MONDAY.timestamp() + slower_from * 86_400
        ms[late] *= 2
        first[late] *= 2
    order = np.argsort(at)
    return Answers(at=at[order], latency_ms=ms[order], ttft_ms=first[order], output=output[order])


def latency_incidents(
    streams: dict[Stream, Answers], first_hour: int, last_hour: int, *, count: int | None = None
) -> list[tuple[int, str]]:
    """Hour at which each incident (one a route and model) opened, and its test; a check every hour.

    Args:
        count: How many streams the check has in all; default: these.
    """
    memories, is_open, opened = Memories(), set[str](), []
    usual: dict[Stream, dict[str, Baseline]] = {}
    for hour in range(first_hour, last_hour):
        now = MONDAY + timedelta(hours=hour)
        if hour % 24 == 0 or not usual:  # the past moves slowly: once a day is enough
            usual = {stream: baselines(each, now) for stream, each in streams.items()}
        looked = look_at_streams(streams, usual, memories, now, ratio=1.2)
        memories = Memories(streams={stream_key(stream): each.watched for stream, each in looked.items()})
        for stream, each in looked.items():
            slow = [test for test, found in each.slow.items() if not found.longer]
            if slow and stream.route not in is_open:
                is_open.add(stream.route)
                opened.append((hour, slow[0]))
            if not slow:
                is_open.discard(stream.route)
    return opened


def change_incidents(each: Answers, days: int, *, every_days: int, first_day: int) -> int:
    """Incidents of changes of the prompt version that change nothing, looked at hourly for three days each."""
    version = ((each.at - MONDAY.timestamp()) // (every_days * 86_400)).astype(np.int64)
    size = each.at.size
    same = np.zeros(size, np.int64)
    traffic = Traffic(
        at=each.at, route=Labels(same, ["r"]), model=Labels(same, ["m"]),
        prompt=Labels(version, [f"p@{n}" for n in range(int(version.max()) + 1)]),
        release=Labels(same, [None]), answered=np.ones(size, np.bool_), timed_out=np.zeros(size, np.bool_),
        latency_ms=each.latency_ms, ttft_ms=each.ttft_ms, output=each.output,
    )  # fmt: skip
    found = 0
    for day in range(max(every_days, first_day), days - 3, every_days):
        if day % every_days:
            continue
        running = 0
        since, until = np.searchsorted(each.at, [MONDAY.timestamp() + 86_400 * (day + d) for d in (-2, 4)])
        near = Traffic(**{name: getattr(traffic, name)[since:until] for name in Traffic.__dataclass_fields__})
        for hour in range(3, 73):
            now = MONDAY + timedelta(days=day, hours=hour)
            past = np.asarray(near.at < now.timestamp(), np.bool_)
            changes = changes_of(near, past, now)
            running = running + 1 if changes and slow_since(near, past, changes[0], now, ratio=1.2) else 0
            if running == 2:
                found += 1
                break
    return found


def spend(days: int, details: dict[str, object]) -> int:
    """The spend half; its false incidents."""
    rng = np.random.default_rng(7)
    facts = spend_facts(rng, days=LEARNED + days)
    false = spend_incidents(facts, LEARNED, LEARNED + days)
    covered = forecast_coverage(facts, LEARNED, LEARNED + days)
    tripled = spend_delays(rng, runs=16, onsets=(9, 11, 13, 15, 17, 19, 21, 7), volume=3, days=1)
    dearer = spend_delays(rng, runs=16, onsets=(9, 12, 15, 18, 21, 0, 3, 6), unit=1.3)
    details |= {
        "spend_days": days,
        "spend_false_incidents": len(false),
        "spend_false_rules": [rule for _, rule in false],
        "forecast_covers": round(float(np.mean(covered)), 3) if covered else None,
        "tripled_seen_h_median": round(float(np.median(tripled)), 2),
        "unit_cost_up_30_percent_seen_h_p90": round(float(np.quantile(dearer, 0.9)), 1),
    }
    return len(false)


def latency(days: int, details: dict[str, object], *, streams: int = 50) -> int:
    """The latency half; its false incidents, those of changes too."""
    false, of_changes, begins = 0, 0, 15 * 24
    rates = (30, 60, 100, 200)
    for number in range(streams):  # one after the other: fifty together do not fit into memory
        rng = np.random.default_rng(1000 + number)
        each = answers(rng, days=15 + days, per_hour=rates[number % len(rates)])
        false += len(latency_incidents({Stream(f"r{number}", "m", "p"): each}, begins, begins + 24 * days))
        of_changes += change_incidents(each, 15 + days, every_days=14, first_day=14)
        print(f"stream {number + 1}: {false} false, {of_changes} after changes", file=sys.stderr)
    delays = []
    for run in range(24):
        rng = np.random.default_rng(5000 + run)
        onset = 15 * 24 + 7 + run % 12
        each = answers(rng, days=18, per_hour=200, slower_from=onset / 24)
        seen = [hour for hour, _ in latency_incidents({Stream("r", "m", "p"): each}, begins, 18 * 24) if hour > onset]
        delays.append(min(seen, default=18 * 24) - onset)
    details |= {
        "latency_days": days,
        "latency_streams": streams,
        "latency_false_incidents": false,
        "latency_false_incidents_after_changes": of_changes,
        "doubled_seen_h_median": float(np.median(delays)),
        "doubled_seen_h_p90": float(np.quantile(delays, 0.9)),
    }
    return false + of_changes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--only", choices=["spend", "latency"])
    args = parser.parse_args()
    details: dict[str, object] = {}
    false = 0
    if args.only != "latency":
        false += spend(args.days, details)
    if args.only != "spend":
        false += latency(args.days, details, streams=args.streams)
    print(
        json.dumps(
            {
                "benchmark": "alert_simulation", "value": false, "unit": "false incidents", "goal": 7,
                "better": "lower", "details": details,
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
