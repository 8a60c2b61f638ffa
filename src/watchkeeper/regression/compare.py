"""Baseline against candidate, case by case: scores both sides and lets stats decide."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from watchkeeper.regression.attempt import Attempts
from watchkeeper.regression.suite import Scorer, Suite
from watchkeeper.stats.families import benjamini_hochberg
from watchkeeper.stats.paired import CasePair, Comparison, compare

SLICE_FALSE_DISCOVERY_RATE = 0.10
"""Benjamini-Hochberg level of the slices; they say where, they never decide."""

FEWEST_DISCORDANT = 10
"""A slice with fewer changed cases is only described."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceResult:
    """One value of one slice field, exploratory."""

    field: str
    value: str
    comparison: Comparison
    p_adjusted: float | None
    finding: str  # worse | better | no difference shown | too few changes


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerResult:
    """One scorer over one suite, both sides."""

    scorer: Scorer
    primary: bool
    comparison: Comparison
    slices: tuple[SliceResult, ...]
    unscored: Mapping[str, int]  # reason -> attempts that were answered but not scored
    pairs: tuple[CasePair, ...]


def score_suite(suite: Suite, baseline: Attempts, candidate: Attempts) -> list[ScorerResult]:
    """Every scorer of a suite over all its cases; a case one side never answered counts as missing."""
    primaries = {scorer.name for scorer in suite.primaries}
    return [_result(suite, scorer, scorer.name in primaries, baseline, candidate) for scorer in suite.scorers]


def changed_cases(results: Sequence[ScorerResult]) -> tuple[list[str], list[str]]:
    """Case ids that fail now and did not, and that pass now and did not, by any primary scorer.

    A case passes with a mean over its repeats of at least one half. In the order of the suite; a
    case that moved both ways under two scorers is named as failing only.
    """
    failing: dict[str, None] = {}
    passing: dict[str, None] = {}
    for result in results:
        if not result.primary:
            continue
        for pair in result.pairs:
            before, after = mean_of(pair.baseline), mean_of(pair.candidate)
            if before is not None and after is not None and (before >= 0.5) != (after >= 0.5):
                (passing if after >= 0.5 else failing)[pair.case] = None
    return list(failing), [case for case in passing if case not in failing]


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean of what is there, or None."""
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def _result(suite: Suite, scorer: Scorer, primary: bool, baseline: Attempts, candidate: Attempts) -> ScorerResult:
    unscored: dict[str, int] = {}
    pairs = tuple(
        CasePair(
            case=case.id,
            baseline=_values(scorer, case.id, case.fields, suite.repeats, baseline, unscored),
            candidate=_values(scorer, case.id, case.fields, suite.repeats, candidate, unscored),
        )
        for case in suite.cases
    )
    return ScorerResult(
        scorer=scorer,
        primary=primary,
        comparison=compare(pairs, margin=scorer.margin),
        slices=tuple(_slices(suite, scorer, pairs)),
        unscored=unscored,
        pairs=pairs,
    )


def _values(
    scorer: Scorer, case_id: str, fields: Mapping[str, Any], repeats: int, attempts: Attempts, unscored: dict[str, int]
) -> tuple[float | None, ...]:
    values: list[float | None] = []
    for repeat in range(repeats):
        attempt = attempts.get((case_id, repeat))
        if attempt is None or attempt.response is None:
            values.append(None)
            continue
        score = scorer.score(attempt.response, fields)
        if score.value is None:
            reason = score.reason or "no reason given"
            unscored[reason] = unscored.get(reason, 0) + 1
        values.append(score.value)
    return tuple(values)


def _slices(suite: Suite, scorer: Scorer, pairs: Sequence[CasePair]) -> list[SliceResult]:
    groups: dict[tuple[str, str], list[CasePair]] = {}
    for field in suite.slices:
        for case, pair in zip(suite.cases, pairs, strict=True):
            if case.fields.get(field) is not None:
                groups.setdefault((field, str(case.fields[field])), []).append(pair)
    compared = {key: compare(members, margin=scorer.margin) for key, members in groups.items()}
    tested = {key: c.p_two_sided for key, c in compared.items() if c.p_two_sided is not None}
    adjusted = dict(zip(tested, benjamini_hochberg(list(tested.values())), strict=True))
    return [
        SliceResult(
            field=key[0],
            value=key[1],
            comparison=comparison,
            p_adjusted=adjusted.get(key),
            finding=_finding(comparison, adjusted.get(key), groups[key]),
        )
        for key, comparison in sorted(compared.items())
    ]


def _finding(comparison: Comparison, p_adjusted: float | None, members: Sequence[CasePair]) -> str:
    changed = sum(1 for pair in members if mean_of(pair.baseline) != mean_of(pair.candidate))
    if changed < FEWEST_DISCORDANT:
        return "too few changes"
    if p_adjusted is None or p_adjusted > SLICE_FALSE_DISCOVERY_RATE or comparison.difference is None:
        return "no difference shown"
    return "worse" if comparison.difference < 0 else "better"
