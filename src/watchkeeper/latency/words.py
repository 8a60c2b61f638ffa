"""Findings about latencies and timeouts, in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from watchkeeper.foundation.clock import format_time
from watchkeeper.foundation.finding import Finding
from watchkeeper.latency.changes import SlowSince
from watchkeeper.latency.check import Checked
from watchkeeper.latency.look import Slow
from watchkeeper.latency.streams import Stream
from watchkeeper.latency.timeouts import TimedOut

_MEASURES = {"latency_ms": "latency", "ttft_ms": "time to first token"}
_DIMENSIONS = {"prompt": "prompt version", "model": "model", "release": "release"}
_SHOWN = 10

_Said = tuple[float, str, dict[str, Any]]
"""Ratio, the sentence about it, and its figures."""


def findings(checked: Checked) -> list[Finding]:
    """What holds now: one a route and model that is slower, one a route that times out."""
    found = []
    for subject, said in _by_subject(checked, longer=False):
        said.sort(key=lambda each: -each[0])
        _, sentence, worst = said[0]
        found.append(
            Finding(
                kind="latency-regression",
                severity="warning",
                subject=subject,
                summary=f"{_where(subject)}: {sentence}.",
                evidence={"worst": worst, "others": [values for _, _, values in said[1:_SHOWN]]},
            )
        )
    return found + [_timed_out(each) for each in checked.timed_out]


def longer_answers(checked: Checked) -> Sequence[tuple[Mapping[str, str], str]]:
    """Routes and models that take longer because their answers became longer: no regression, but worth knowing."""
    found = []
    for subject, said in _by_subject(checked, longer=True):
        said.sort(key=lambda each: -each[0])
        tokens = next((v["output_ratio"] for _, _, v in said if v["output_ratio"] is not None), 1.0)
        found.append(
            (subject, f"{_where(subject)}: answers became longer ({tokens:.2f} times the tokens); {said[0][1]}.")
        )
    return found


def _by_subject(checked: Checked, *, longer: bool) -> list[tuple[dict[str, str], list[_Said]]]:
    groups: dict[tuple[tuple[str, str], ...], list[_Said]] = {}
    for stream, slow in checked.slow:
        if slow.longer == longer:
            groups.setdefault(tuple(stream.subject.items()), []).append(_against_past(stream, slow))
    for changed in checked.since_change:
        if changed.longer == longer:
            subject = Stream(changed.route, changed.model).subject
            groups.setdefault(tuple(subject.items()), []).append(_against_change(changed))
    return [(dict(subject), groups[subject]) for subject in sorted(groups)]


def _against_past(stream: Stream, slow: Slow) -> _Said:
    measure, quantile = slow.test.split()
    name = f"{quantile} {_MEASURES[measure]}"
    hours = f"{slow.hours} h"
    now = "nothing was measured lately" if slow.now is None else f"{_ms(slow.now)} in the last {hours}"
    sentence = f"{name} {now}, {slow.ratio:.2f} times the {_ms(slow.usual)} of the two weeks before"
    if stream.prompt:
        sentence += f" (prompt {stream.prompt})"
    return (
        slow.ratio,
        sentence,
        {
            "measure": measure,
            "quantile": quantile,
            "prompt": stream.prompt or None,
            "against": "the two weeks that ended a day before",
            "before_ms": round(slow.usual, 1),
            "now_ms": None if slow.now is None else round(slow.now, 1),
            "ratio": round(slow.ratio, 3),
            "p": slow.p,
            "hours": slow.hours,
            "requests": slow.requests,
            "since": format_time(slow.since),
            "output_ratio": _rounded(slow.output_ratio),
            "per_token_ratio": _rounded(slow.per_token_ratio),
        },
    )


def _against_change(changed: SlowSince) -> _Said:
    measure, quantile = changed.test.split()
    q, change = changed.quantile, changed.change
    ratio = q.ratio or 1.0
    named = f"{_DIMENSIONS[change.dimension]} {change.value}"
    sentence = (
        f"{quantile} {_MEASURES[measure]} {_ms(q.after or 0.0)} since {named} of {format_time(change.at)[:16]}Z, "
        f"{ratio:.2f} times the {_ms(q.before or 0.0)} of the day before it"
    )
    return (
        ratio,
        sentence,
        {
            "measure": measure,
            "quantile": quantile,
            "against": f"the day before {named}",
            "changed_at": format_time(change.at),
            "before_ms": _rounded(q.before),
            "now_ms": _rounded(q.after),
            "ratio": round(ratio, 3),
            "interval": q.interval,
            "output_ratio": _rounded(changed.output_ratio),
        },
    )


def _timed_out(seen: TimedOut) -> Finding:
    lately = "no requests" if seen.rate is None else f"{seen.timed_out} of {seen.requests} requests ({seen.rate:.1%})"
    return Finding(
        kind="timeouts",
        severity="error",
        subject={"route": seen.route},
        summary=f"{seen.route}: {lately} of the last 3 h timed out; usual is {seen.usual:.2%}.",
        evidence={
            "rate": seen.rate,
            "timed_out": seen.timed_out,
            "requests": seen.requests,
            "usual_rate": seen.usual,
            "allowed_rate": seen.allowed,
            "since": format_time(seen.since),
        },
    )


def _where(subject: Mapping[str, str]) -> str:
    return f"{subject['route']} on {subject['model']}" if "model" in subject else subject["route"]


def _ms(value: float) -> str:
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.0f} ms"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def summary_line(checked: Checked) -> str:
    """One line: how much was looked at, and how many have too little past."""
    known = sum(1 for looked in checked.streams.values() if looked.baselines)
    young: Sequence[Stream] = [stream for stream, looked in checked.streams.items() if not looked.baselines]
    said = f"{known} of {len(checked.streams)} streams compared with their two weeks"
    return f"{said}; {len(young)} have too little past" if young else said
