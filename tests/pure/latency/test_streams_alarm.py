"""Streams of latencies through the whole check: simulated months, real arrivals with real latencies."""

import csv
import gzip
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from benchmarks.alert_simulation import answers, change_incidents, latency_incidents

from watchkeeper.latency.check import check_traffic
from watchkeeper.latency.look import baselines, look
from watchkeeper.latency.memory import LONGEST, Baseline, Memories
from watchkeeper.latency.streams import Answers, Stream, traffic_of
from watchkeeper.stats.slowness import Hour, slower

DATA = Path(os.environ.get("WATCHKEEPER_DATA", Path(__file__).parents[4] / "shared" / "data"))
START = datetime(2026, 11, 2, tzinfo=UTC)
FIRST = 15 * 24
"""The first hour with two weeks before it, and a day between."""


def test_two_stream_years_without_a_change_raise_at_most_one_incident():
    found = []
    for seed in range(24):
        each = answers(np.random.default_rng(seed), days=45, per_hour=(30, 60, 100, 200)[seed % 4])
        found += latency_incidents({Stream(f"r{seed}", "m", "p"): each}, FIRST, 45 * 24)
    assert len(found) <= 1


def test_twice_the_latency_at_200_requests_an_hour_is_seen_within_four_hours():
    delays = []
    for seed in range(9):
        onset = FIRST + 7 + seed
        each = answers(np.random.default_rng(100 + seed), days=17, per_hour=200, slower_from=onset / 24)
        seen = [hour for hour, _ in latency_incidents({Stream("r", "m", "p"): each}, FIRST, 17 * 24) if hour > onset]
        delays.append(min(seen, default=99) - onset)
    assert np.median(delays) <= 4


def test_a_hundred_changes_of_a_prompt_that_change_nothing_raise_at_most_one_incident():
    found = 0
    for seed in range(8):
        each = answers(np.random.default_rng(200 + seed), days=94, per_hour=60)
        found += change_incidents(each, 94, every_days=7, first_day=7)
    assert found <= 1


def test_the_baseline_stays_as_it_was_while_the_incident_is_open_and_two_weeks_at_most():
    each = answers(np.random.default_rng(5), days=34, per_hour=30, slower_from=16)
    first = START.replace(year=2025, month=1, day=6)
    opened, memory, usual = None, {}, {}
    for hour in range(16 * 24, 34 * 24):
        now = first + timedelta(hours=hour)
        if hour % 24 == 0:
            usual = baselines(each, now)
        looked = look(each, usual, memory, now, ratio=1.2, streams=1)
        memory = looked.watched
        if looked.slow and opened is None:
            opened, before = now, looked.baselines
        if opened is not None and looked.slow:
            assert looked.baselines == before
            ended = now
    assert opened is not None
    assert timedelta(days=13) < ended - opened < LONGEST


def last_hour(slow, *, first_slow=0, tokens=100.0, now=START):
    """A hundred requests in the hour before `now`; some of them slow, their first token too."""
    at = now.timestamp() - 3600 + 36.0 * np.arange(100)
    latency, first = np.full(100, 90.0), np.full(100, 90.0)
    latency[:slow], first[:first_slow] = 200.0, 200.0
    return Answers(at=at, latency_ms=latency, ttft_ms=first, output=np.full(100, tokens))


def past(**changes):
    """The baselines of a stream whose p95 was 100 ms, with answers of 100 tokens."""
    values = {"share": 0.05, "limit": 100.0, "spread": 0.01, "requests": 5000, "output": 100.0, "per_token": 1.0}
    return {test: Baseline(**values | changes) for test in ("latency_ms p95", "ttft_ms p95")}


def test_asked_again_within_the_hour_it_is_not_two_hours_running():
    likely, usual = 22, past()
    p = slower([Hour(requests=100, slow=likely)], 0.01, share=0.05)
    assert 1e-5 < p < 1e-3

    def seen(minutes, memory):
        now = START + timedelta(minutes=minutes)
        return look(last_hour(likely, now=now), usual, memory, now, ratio=1.2, streams=1)

    first = seen(0, {})
    again = seen(10, first.watched)
    assert (dict(first.slow), dict(again.slow)) == ({}, {})
    assert dict(seen(40, again.watched).slow) == {}
    assert list(seen(60, again.watched).slow) == ["latency_ms p95"]
    assert dict(seen(60 * 4, again.watched).slow) == {}  # hours without a check are no hours running


@pytest.mark.parametrize(
    ("tokens", "per_token", "longer"),
    [(200.0, 1.0, True), (200.0, 0.8, False), (105.0, 2.0, False), (None, 1.0, False)],
)
def test_longer_answers_are_those_with_more_tokens_that_take_no_longer_each(tokens, per_token, longer):
    answers_ = last_hour(60, tokens=np.nan if tokens is None else tokens)
    looked = look(answers_, past(per_token=per_token), {}, START, ratio=1.2, streams=1)
    assert looked.slow["latency_ms p95"].longer is longer


def test_a_late_first_token_is_slowness_however_long_the_answer():
    looked = look(last_hour(0, first_slow=60, tokens=200.0), past(), {}, START, ratio=1.2, streams=1)
    assert not looked.slow["ttft_ms p95"].longer


def recorded():
    """Milliseconds and output tokens of real answers of gpt-4-0314, by tokens."""
    rows = []
    for task in ("opinion", "prime", "sensitive", "code"):
        with gzip.open(DATA / "llmdrift" / f"{task}.jsonl.gz", "rt") as lines:
            rows += [json.loads(line) for line in lines]
    pairs = [(r["output_tokens"], r["latency_ms"]) for r in rows if r["model"] == "gpt-4-0314" and r["output_tokens"]]
    return np.array(sorted(pairs), float)


def real_traffic(seed, days, *, slower=lambda days_ago: 1.0):
    """The arrivals and lengths of one real hour, stretched to days, with real latencies of answers of their length."""
    rng = np.random.default_rng(seed)
    with gzip.open(DATA / "traffic" / "azure_llm_2023_conv.csv.gz", "rt") as lines:
        rows = list(csv.DictReader(lines))
    seconds = np.array([datetime.fromisoformat(r["TIMESTAMP"][:26]).timestamp() for r in rows])
    part = (seconds - seconds[0]) / (seconds[-1] - seconds[0])
    tokens = np.maximum(1, np.array([int(r["GeneratedTokens"]) for r in rows]))
    known = recorded()
    near = np.searchsorted(known[:, 0], tokens) + rng.integers(-10, 10, tokens.size)
    like = known[np.clip(near, 0, len(known) - 1)]
    end = START + timedelta(days=days)
    at = [START + timedelta(days=days * float(p)) for p in part[:-1]]
    factor = np.array([slower((end - when) / timedelta(days=1)) for when in at])
    ms = like[:-1, 1] * np.clip(tokens[:-1] / like[:-1, 0], 0.5, 2) * factor
    size = len(at)
    nothing = pa.nulls(size, pa.string())
    traces = pa.array([f"{n:032x}" for n in range(size)])
    requests = pa.table(
        {
            "started_at": pa.array(at, pa.timestamp("us", tz="UTC")), "route": pa.array(["chat"] * size),
            "prompt_id": nothing, "prompt_version": nothing, "release": nothing, "error_type": nothing,
            "tokens_output": pa.array(tokens[:-1]), "tokens_reasoning": pa.nulls(size, pa.int64()),
            "ttft_ms": pa.nulls(size, pa.float64()), "latency_ms": pa.array(ms), "trace_id": traces,
        }
    )  # fmt: skip
    return requests, pa.table({"trace_id": traces, "model": pa.array(["gpt-4-0314"] * size)}), end


def hourly(requests, calls, end, *, hours):
    """Hours before the end at which a check found the stream slower."""
    traffic, memories, slow = traffic_of(requests, calls), Memories(), []
    for ago in range(hours - 1, -1, -1):
        now = end - timedelta(hours=ago)
        past = traffic.upto(now)
        checked = check_traffic(past, memories, now, ratio=1.2, per_day=100)
        memories = checked.memories
        if any(not each.longer for _, each in checked.slow) or checked.since_change:
            slow.append(ago)
    return slow


@pytest.mark.skipif(not (DATA / "traffic").is_dir(), reason=f"the real traffic is not at {DATA}; set WATCHKEEPER_DATA")
class TestOnRealArrivalsAndLatencies:
    def test_nothing_changed_and_nothing_is_found(self):
        assert [hourly(*real_traffic(seed, 20), hours=96) for seed in (1, 2, 3)] == [[], [], []]

    def test_twice_as_slow_for_eight_hours_is_found(self):
        requests, calls, end = real_traffic(1, 20, slower=lambda days_ago: 2.0 if days_ago < 8 / 24 else 1.0)
        slow = hourly(requests, calls, end, hours=24)
        assert slow
        assert slow[0] < 8
