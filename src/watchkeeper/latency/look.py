"""Is a stream slower than its last two weeks: every test of one stream at one time."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

import numpy as np

from watchkeeper.latency.memory import APART, HOLD, LONGEST, RUNNING, Baseline, Watched
from watchkeeper.latency.streams import Answers, Floats
from watchkeeper.stats.slowness import Hour, burstiness, is_alarm, slower

BASELINE, GAP = timedelta(days=14), timedelta(hours=24)
"""The past that is compared with, and how long before now it ends: slowness must not enter its own past."""

HISTORY = BASELINE + GAP

Measure = Literal["latency_ms", "ttft_ms"]
SHARES: Mapping[str, float] = {"p50": 0.5, "p95": 0.05}
"""Quantile -> share of requests above it."""

TESTS: Mapping[str, tuple[Measure, str]] = {
    f"{measure} {quantile}": (measure, quantile) for measure in ("latency_ms", "ttft_ms") for quantile in SHARES
}

_FEWEST, _FEWEST_HOURS = 200, 24
"""Requests and hours with any that a baseline needs."""

_STILL = 0.05
"""p below which a stream that was found slow still is: to end needs less than to begin, or it would begin again."""

_ENOUGH = 100
_LONGER = 1.1
"""Output tokens over the baseline's above which answers became longer."""

_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """A test of a stream that alarms.

    Attributes:
        test: Of TESTS.
        now: The quantile of the last hours, milliseconds; `hours` says how many.
        usual: Of the baseline.
        p: Of the last check.
        output_ratio, per_token_ratio: Output tokens, and milliseconds a token, over the baseline's; None where not
            known.
        longer: The answers became longer; a token takes no longer.
    """

    test: str
    since: datetime
    now: float | None
    usual: float
    hours: int
    requests: int
    p: float | None
    output_ratio: float | None
    per_token_ratio: float | None
    longer: bool

    @property
    def ratio(self) -> float:
        """Now over usual; 1 where nothing was measured lately."""
        return 1.0 if self.now is None else self.now / self.usual


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A stream after a check: the tests that had a baseline, and those that alarm."""

    watched: Mapping[str, Watched]
    baselines: Mapping[str, Baseline]
    slow: Mapping[str, Slow]


def baselines(answers: Answers, now: datetime) -> dict[str, Baseline]:
    """Test -> what the stream was in the two weeks that ended a day ago; a test with too little of it is left out."""
    end = (now - GAP).timestamp()
    past = answers.between(end - BASELINE.total_seconds(), end)
    found = {}
    for test, (measure, quantile) in TESTS.items():
        values: Floats = getattr(past, measure)
        known = ~np.isnan(values)
        values, at = values[known], past.at[known]
        hours = ((end - at) // _HOUR_S).astype(np.int64)
        sizes = np.bincount(hours)
        if values.size < _FEWEST or np.count_nonzero(sizes) < _FEWEST_HOURS:
            continue
        share = SHARES[quantile]
        limit = float(np.quantile(values, 1 - share))
        slow = np.bincount(hours, values > limit, sizes.size)
        each_hour = [Hour(requests=int(n), slow=int(x)) for n, x in zip(sizes, slow, strict=True) if n]
        if limit > 0:
            found[test] = Baseline(
                share=share,
                limit=limit,
                spread=burstiness(each_hour, share=share),
                requests=int(values.size),
                output=_quantile(past.output[known], 1 - share),
                per_token=_quantile(past.ms_per_token[known], 1 - share),
            )
    return found


def look(
    answers: Answers,
    usual: Mapping[str, Baseline],
    before: Mapping[str, Watched],
    now: datetime,
    *,
    ratio: float,
    streams: int,
) -> Looked:
    """Look at the last hours of one stream.

    Args:
        usual: Of `baselines` now; in an incident what it was when that began counts instead.
        before: What was remembered by the last check.
        ratio: Times the baseline's quantile that counts as slow.
        streams: How many are looked at in this check.
    """
    since = min((each.since for each in before.values() if each.since is not None), default=None)
    if since is not None and now - since >= LONGEST:
        before = {}  # what was slow so long is what is usual
    recent = answers.between(now.timestamp() - 24 * _HOUR_S, now.timestamp())
    watched: dict[str, Watched] = {}
    compared: dict[str, Baseline] = {}
    slow: dict[str, Slow] = {}
    for test in TESTS:
        old = before.get(test)
        base = old.baseline if old is not None and old.baseline is not None else usual.get(test)
        if base is None:
            continue
        compared[test] = base
        seen = _seen(recent, TESTS[test][0], base, now, ratio)
        watched[test] = _watch(seen, old, now, longer=_longer(seen, TESTS[test][0], ratio), streams=streams)
        if (began := watched[test].since) is not None:
            slow[test] = Slow(
                test=test,
                since=began,
                now=seen.now,
                usual=base.limit,
                hours=seen.hours,
                requests=seen.requests,
                p=seen.p,
                output_ratio=seen.output_ratio,
                per_token_ratio=seen.per_token_ratio,
                longer=watched[test].longer,
            )
    if slow:  # every test of the stream keeps its past, or the next to alarm would compare with a slow one
        watched = {test: replace(each, baseline=compared[test]) for test, each in watched.items()}
    return Looked(watched=watched, baselines=compared, slow=slow)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    p: float | None
    hours: int
    requests: int
    now: float | None = None
    output_ratio: float | None = None
    per_token_ratio: float | None = None


def _seen(recent: Answers, measure: Measure, base: Baseline, now: datetime, ratio: float) -> _Seen:
    """The last hours, as many as make a hundred requests."""
    values: Floats = getattr(recent, measure)
    known = ~np.isnan(values)
    values = values[known]
    ago = ((now.timestamp() - recent.at[known]) // _HOUR_S).astype(np.int64)
    sizes = np.bincount(np.clip(ago, 0, 23), minlength=24)
    slow = np.bincount(np.clip(ago, 0, 23), values > ratio * base.limit, 24)
    hours = min(24, int(np.searchsorted(np.cumsum(sizes), _ENOUGH)) + 1)
    used = ago < hours
    requests = int(sizes[:hours].sum())
    if not requests:
        return _Seen(p=None, hours=hours, requests=0)
    if slow[:hours].sum() <= base.share * requests:
        return _Seen(p=1.0, hours=hours, requests=requests, now=_quantile(values[used], 1 - base.share))
    counts = [Hour(requests=int(n), slow=int(x)) for n, x in zip(sizes, slow, strict=True)]
    outputs = recent.output[known][used], recent.ms_per_token[known][used]
    tokens, per_token = (_quantile(each, 1 - base.share) for each in outputs)
    return _Seen(
        p=slower(counts, base.spread, share=base.share),
        hours=hours,
        requests=requests,
        now=_quantile(values[used], 1 - base.share),
        output_ratio=tokens / base.output if tokens is not None and base.output else None,
        per_token_ratio=per_token / base.per_token if per_token is not None and base.per_token else None,
    )


def _longer(seen: _Seen, measure: Measure, ratio: float) -> bool:
    """Whether the answers became longer and a token takes no longer; the first token does not wait for the others."""
    if measure != "latency_ms" or seen.output_ratio is None or seen.per_token_ratio is None:
        return False
    return seen.output_ratio >= _LONGER and seen.per_token_ratio < ratio


def _watch(seen: _Seen, old: Watched | None, now: datetime, *, longer: bool, streams: int) -> Watched:
    p_before = None
    if old is not None and now - old.at <= RUNNING:
        # Asked again about the same hour, the check before is still the one before that hour.
        p_before = old.p_before if now - old.at < APART else old.p
    alarm = is_alarm(seen.p, p_before, streams=streams)
    at = old.at if old is not None and now - old.at < APART else now
    fresh = Watched(at=at, p=seen.p, p_before=p_before)
    if old is None or old.since is None or old.last is None:
        return replace(fresh, since=now, last=now, longer=longer) if alarm else fresh
    still = alarm or (seen.p is not None and seen.p < _STILL)
    last = now if still else old.last
    if now - last >= HOLD:
        return fresh
    return replace(fresh, since=old.since, last=last, longer=longer if still else old.longer)


def _quantile(values: Floats, share: float) -> float | None:
    known = values[~np.isnan(values)]
    return float(np.quantile(known, share)) if known.size else None
