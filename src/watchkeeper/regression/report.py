"""A check's outcome as the document that programs read (INTERFACES section 4)."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from watchkeeper.foundation.money import total, usd
from watchkeeper.regression.attempt import Attempts
from watchkeeper.regression.compare import ScorerResult, changed_cases, mean_of
from watchkeeper.regression.judged import JudgeCost
from watchkeeper.regression.suite import Suite
from watchkeeper.stats.paired import CasePair, decide_family
from watchkeeper.stats.paired import as_document as scorer_document

VerdictWord = Literal["pass", "regressed", "inconclusive"]
EXIT_CODES: dict[str, int] = {"pass": 0, "regressed": 1, "inconclusive": 3}
WORST_SHOWN = 3
_EXCERPT = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What stood on one side of the comparison."""

    model: str  # PROVIDER/MODEL
    prompt: str | None
    run_id: str
    reused: bool
    attempts: Attempts


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteOutcome:
    """One suite, both sides, every scorer, and what its judges cost."""

    suite: Suite
    baseline: Side
    candidate: Side
    results: Sequence[ScorerResult]
    judge: JudgeCost = field(default_factory=JudgeCost)


def decide(outcomes: Sequence[SuiteOutcome]) -> list[SuiteOutcome]:
    """Holm over all primary scorers of the check; the other scorers stay as they are."""
    places = [(o, i) for o, outcome in enumerate(outcomes) for i, r in enumerate(outcome.results) if r.primary]
    decided = decide_family([outcomes[o].results[i].comparison for o, i in places])
    results = [list(outcome.results) for outcome in outcomes]
    for (o, i), comparison in zip(places, decided, strict=True):
        results[o][i] = replace(results[o][i], comparison=comparison)
    return [replace(outcome, results=tuple(found)) for outcome, found in zip(outcomes, results, strict=True)]


def worst_of(verdicts: Sequence[str]) -> VerdictWord:
    """regressed beats inconclusive beats pass; nothing at all is inconclusive."""
    if "regressed" in verdicts:
        return "regressed"
    return "pass" if verdicts and "inconclusive" not in verdicts else "inconclusive"


def as_document(run_id: str, outcomes: Sequence[SuiteOutcome], *, override: Mapping[str, str] | None) -> dict[str, Any]:
    """The whole check. An overridden regression stays "regressed" and exits 0."""
    suites = [_suite(outcome) for outcome in outcomes]
    verdict = worst_of([suite["verdict"] for suite in suites])
    overridden = override is not None and verdict != "pass"
    return {
        "verdict": verdict,
        "exit_code": 0 if overridden else EXIT_CODES[verdict],
        "run_id": run_id,
        "override": dict(override) if override is not None and overridden else None,
        "suites": suites,
    }


def worst_cases(outcome: SuiteOutcome, *, limit: int = WORST_SHOWN) -> list[dict[str, Any]]:
    """The cases that lost most, both answers side by side, cut to a readable length.

    Of a case asked more than once: the candidate's answer that scored least beside the baseline's that scored most.
    """
    losses = [
        (after - before, pair, result.scorer.name)
        for result in outcome.results
        if result.primary
        for pair in result.pairs
        if (before := mean_of(pair.baseline)) is not None and (after := mean_of(pair.candidate)) is not None
    ]
    picked: dict[str, tuple[float, CasePair, str]] = {}
    for difference, pair, scorer in sorted(losses, key=lambda loss: loss[0]):
        if difference < 0 and len(picked) < limit:
            picked.setdefault(pair.case, (difference, pair, scorer))
    return [
        {
            "suite": outcome.suite.name,
            "case": case,
            "why": f"{scorer} {difference:+.2f}",
            "baseline": _answer(outcome.baseline.attempts, case, _repeat_of(max, pair.baseline)),
            "candidate": _answer(outcome.candidate.attempts, case, _repeat_of(min, pair.candidate)),
        }
        for case, (difference, pair, scorer) in picked.items()
    ]


def _suite(outcome: SuiteOutcome) -> dict[str, Any]:
    failing, passing = changed_cases(outcome.results)
    sides = {"baseline": outcome.baseline, "candidate": outcome.candidate}
    return {
        "suite": outcome.suite.name,
        "suite_version": outcome.suite.version,
        "verdict": worst_of([r.comparison.verdict for r in outcome.results if r.primary]),
        "routes": list(outcome.suite.routes),
        "cases": len(outcome.suite.cases),
        "repeats": outcome.suite.repeats,
        **{
            name: {"model": s.model, "prompt": s.prompt, "run_id": s.run_id, "reused": s.reused}
            for name, s in sides.items()
        },
        "scorers": [_scorer(result) for result in outcome.results],
        "newly_failing": failing,
        "newly_passing": passing,
        "errors": [error for name, side in sides.items() for error in _errors(name, side)],
        "retried": {name: sum(max(0, a.tries - 1) for a in s.attempts.values()) for name, s in sides.items()},
        "cost_usd": {
            **{name: _cost(side) for name, side in sides.items()},
            "judge": None if outcome.judge.nano_usd is None else float(usd(outcome.judge.nano_usd)),
        },
        "unpriced": {**{name: _unpriced(side) for name, side in sides.items()}, "judge": outcome.judge.unpriced},
        "latency_ms": {name: _latency(side) for name, side in sides.items()},
        "worst_cases": worst_cases(outcome),
    }


def _scorer(result: ScorerResult) -> dict[str, Any]:
    document: dict[str, Any] = scorer_document(result.comparison, name=result.scorer.name, primary=result.primary)
    document["unscored"] = dict(result.unscored)
    document["slices"] = [
        {
            "name": found.value,
            "field": found.field,
            "cases": found.comparison.cases,
            "baseline_mean": found.comparison.baseline_mean,
            "candidate_mean": found.comparison.candidate_mean,
            "difference": found.comparison.difference,
            "interval": found.comparison.interval and list(found.comparison.interval),
            "p_value": found.comparison.p_two_sided,
            "p_adjusted": found.p_adjusted,
            "finding": found.finding,
            "exploratory": True,
        }
        for found in result.slices
    ]
    return document


def _errors(side_name: str, side: Side) -> list[dict[str, Any]]:
    return [
        {"side": side_name, "case": a.case_id, "repeat": a.repeat, "error_type": a.error_type, "message": a.error}
        for a in side.attempts.values()
        if a.response is None
    ]


def _cost(side: Side) -> float | None:
    nano = total(attempt.cost_nano_usd for attempt in side.attempts.values())
    return None if nano is None else float(usd(nano))


def _unpriced(side: Side) -> int:
    return sum(1 for a in side.attempts.values() if a.response is not None and a.cost_nano_usd is None)


def _latency(side: Side) -> dict[str, float | None]:
    known = sorted(a.latency_ms for a in side.attempts.values() if a.latency_ms is not None)
    return {"p50": _quantile(known, 0.50), "p95": _quantile(known, 0.95)}


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that at least `share` of the values do not exceed; None of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def _repeat_of(pick: Callable[[Iterable[float]], float], scores: Sequence[float | None]) -> int:
    """The first repeat with the least or the greatest score."""
    return scores.index(pick(score for score in scores if score is not None))


def _answer(attempts: Attempts, case: str, repeat: int) -> str | None:
    attempt = attempts.get((case, repeat))
    return attempt.response[:_EXCERPT] if attempt is not None and attempt.response is not None else None
