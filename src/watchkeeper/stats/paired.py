"""Did the candidate lose against the baseline on the same cases? A verdict in three values.

`pass`: a loss as large as the margin is excluded with 95 %. `regressed`: no loss at all is excluded with
95 %. `inconclusive`: neither. What is missing is never dropped and never a zero: a pass must hold if every
missing attempt went against the candidate, a regression if every one went for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from watchkeeper.stats.evidence import ALPHA, BinaryEvidence, Evidence, GradedEvidence
from watchkeeper.stats.exact_pairs import critical_score
from watchkeeper.stats.families import holm
from watchkeeper.stats.planning import cases_for, cases_for_family, cases_to_pass, check_margin, loss_found
from watchkeeper.stats.reasons import reason_of, reason_of_family

Verdict = Literal["pass", "regressed", "inconclusive"]

FEWEST_TO_REGRESS = 5
"""Five cases all lost come up in 3 % of runs by chance, four in 6 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CasePair:
    """One case with its attempts on both sides.

    Attributes:
        case: The case's id.
        baseline: One score in [0, 1] per attempt, None for a missing one. No attempt at all counts as
            one that is missing. The sides may have different numbers of attempts.
        candidate: Likewise.
    """

    case: str
    baseline: tuple[float | None, ...]
    candidate: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A verdict and the figures behind it. Shares, not points: -0.05 is a loss of five points.

    Attributes:
        method: "binary" when every case has one attempt a side and every score is 0 or 1, else "graded".
        cases: All cases, also those with missing attempts.
        baseline_mean: Mean over the cases of the mean over their attempts that are there; None when there
            are none.
        candidate_mean: Likewise.
        difference: candidate_mean - baseline_mean; below 0 is a loss; None when either is None.
        interval: Two-sided, at `confidence`, never of width zero. With missing attempts it reaches from
            the low end if they all went against the candidate to the high end if all went for it. None
            when difference is None.
        decision_interval: The same at 90 %: 5 % at each end, the error rate of each verdict.
        p_value: One-sided p of "nothing was lost", at its largest over what is missing: what
            "regressed" is decided on. None when difference is None.
        p_better: One-sided p of "nothing was gained", likewise.
        p_two_sided: Twice the smaller of the two, at most 1.
        p_adjusted: p_value adjusted for the family (Holm); None until `decide_family`.
        margin: The accepted loss.
        detectable: Smallest loss found with 80 % at this number of cases and this spread; None when it
            cannot be told (no compared case, or one graded one).
        verdict: See the module.
        reason: One sentence for people: which bound decides.
        lost: Binary: compared cases right before and wrong now; None for graded.
        gained: Binary: compared cases wrong before and right now; None for graded.
        missing_baseline: Missing attempts.
        missing_candidate: Likewise.
        more_cases: When inconclusive: how many MORE cases like these would decide, with 80 %; None when
            more cases would not.
        more_cases_verdict: What it would then be.
    """

    method: Literal["binary", "graded"]
    cases: int
    baseline_mean: float | None
    candidate_mean: float | None
    difference: float | None
    interval: tuple[float, float] | None
    decision_interval: tuple[float, float] | None
    p_value: float | None
    p_better: float | None
    p_two_sided: float | None
    margin: float
    detectable: float | None
    verdict: Verdict
    reason: str
    lost: int | None
    gained: int | None
    missing_baseline: int
    missing_candidate: int
    more_cases: int | None
    more_cases_verdict: Literal["pass", "regressed"] | None
    p_adjusted: float | None = None
    confidence: float = 0.95


def compare(pairs: Sequence[CasePair], *, margin: float = 0.05) -> Comparison:
    """The verdict on one scorer, paired on the case.

    Args:
        pairs: One per case; the cases are a sample of those the application meets.
        margin: The loss the team accepts, a share in (0, 1].

    Returns:
        The verdict and its figures. P(pass) is at most 5 % when the true loss is the margin or more,
        P(regressed) at most 5 % when nothing was lost: for binary scores at every number of cases and
        every share of changed cases, for graded ones in every shape tried (docs/statistics.md).

    Raises:
        ValueError: If the margin is not in (0, 1], a score is not in [0, 1], or a case comes twice.

    Source:
        Binary: the exact unconditional tests of `exact_pairs` on Tango's score and McNemar's mid-p. Graded:
        `bounded_mean`. Missing: worst-case bounds, C. F. Manski, "Partial Identification of Probability
        Distributions" (2003), chapter 1.
    """
    check_margin(margin)
    _check_pairs(pairs)
    binary = all(_is_binary(pair) for pair in pairs)
    missing_baseline = sum(_missing(pair.baseline) for pair in pairs)
    missing_candidate = sum(_missing(pair.candidate) for pair in pairs)
    baseline_mean = _mean([m for pair in pairs if (m := _known_mean(pair.baseline)) is not None])
    candidate_mean = _mean([m for pair in pairs if (m := _known_mean(pair.candidate)) is not None])

    known = [d for pair in pairs if (d := _difference(pair, None, None)) is not None]
    compared = _evidence(known, binary=binary)
    if not missing_baseline and not missing_candidate:
        worst = best = compared
    else:
        worst = _evidence([_filled(pair, baseline=1.0, candidate=0.0) for pair in pairs], binary=binary)
        best = _evidence([_filled(pair, baseline=0.0, candidate=1.0) for pair in pairs], binary=binary)

    undecided = Comparison(
        method="binary" if binary else "graded",
        cases=len(pairs),
        baseline_mean=baseline_mean,
        candidate_mean=candidate_mean,
        difference=None,
        interval=None,
        decision_interval=None,
        p_value=None,
        p_better=None,
        p_two_sided=None,
        margin=margin,
        detectable=_detectable(compared),
        verdict="inconclusive",
        reason="",
        lost=compared.lost if isinstance(compared, BinaryEvidence) else 0 if binary else None,
        gained=compared.gained if isinstance(compared, BinaryEvidence) else 0 if binary else None,
        missing_baseline=missing_baseline,
        missing_candidate=missing_candidate,
        more_cases=None,
        more_cases_verdict=None,
    )
    if worst is None or best is None or baseline_mean is None or candidate_mean is None:
        return replace(undecided, reason=reason_of(undecided))
    p_worse, p_better = best.p_worse(), worst.p_better()
    verdict: Verdict = "pass" if worst.passes(margin) else "regressed" if p_worse <= ALPHA else "inconclusive"
    more = _more_cases(worst, best, cases=len(pairs), margin=margin) if verdict == "inconclusive" else None
    decided = replace(
        undecided,
        difference=candidate_mean - baseline_mean,
        interval=(worst.low(0.025), best.high(0.025)),
        decision_interval=(worst.low(0.05), best.high(0.05)),
        p_value=p_worse,
        p_better=p_better,
        p_two_sided=min(1.0, 2 * min(p_worse, p_better)),
        verdict=verdict,
        more_cases=more[0] if more else None,
        more_cases_verdict=more[1] if more else None,
    )
    overturned = verdict == "inconclusive" and worst is not best and _decides(compared, margin)
    return replace(decided, reason=reason_of(decided, only_missing=overturned))


def prepare(cases: int, margin: float) -> None:
    """Reckon ahead what a pass/fail comparison of that many cases needs: up to a second for thousands.

    It is remembered in this process, so that the verdict comes at once when the last answer is there.
    """
    if cases:
        critical_score(cases, margin)


def decide_family(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The verdicts of several primary scorers that decide together.

    A regression stays one only if its p, adjusted by Holm over all of them, is at most 0.05; else it becomes
    inconclusive. A pass needs no adjustment, for all of them must pass.

    Args:
        comparisons: Of every primary scorer; one without a p counts as a test that found nothing.

    Returns:
        In the order given, each with p_adjusted (None where there is no p).
    """
    adjusted = holm([1.0 if c.p_value is None else c.p_value for c in comparisons])
    decided = []
    for comparison, p in zip(comparisons, adjusted, strict=True):
        if comparison.p_value is None:
            decided.append(comparison)
        elif comparison.verdict == "regressed" and p > ALPHA:
            more = max(1, cases_for_family(comparison.cases, comparison.p_value, p) - comparison.cases)
            weaker = replace(
                comparison, p_adjusted=p, verdict="inconclusive", more_cases=more, more_cases_verdict="regressed"
            )
            decided.append(replace(weaker, reason=reason_of_family(weaker, len(comparisons))))
        else:
            decided.append(replace(comparison, p_adjusted=p))
    return decided


def as_document(comparison: Comparison, *, name: str, primary: bool) -> dict[str, Any]:
    """The comparison as JSON values: one scorer of INTERFACES section 4, with what explains it.

    `slices` is an empty list for the caller to fill; `p_adjusted` is there only once it is known.
    """
    c = comparison
    document = {
        "name": name,
        "primary": primary,
        "baseline_mean": c.baseline_mean,
        "candidate_mean": c.candidate_mean,
        "difference": c.difference,
        "interval": None if c.interval is None else list(c.interval),
        "confidence": c.confidence,
        "p_value": c.p_value,
        "margin": c.margin,
        "detectable": c.detectable,
        "verdict": c.verdict,
        "missing": {"baseline": c.missing_baseline, "candidate": c.missing_candidate},
        "slices": [],
        "reason": c.reason,
        "method": c.method,
        "cases": c.cases,
        "lost": c.lost,
        "gained": c.gained,
        "decision_interval": None if c.decision_interval is None else list(c.decision_interval),
        "p_better": c.p_better,
        "p_two_sided": c.p_two_sided,
        "more_cases": c.more_cases,
        "more_cases_verdict": c.more_cases_verdict,
    }
    if c.p_adjusted is not None:
        document["p_adjusted"] = c.p_adjusted
    return document


def _check_pairs(pairs: Sequence[CasePair]) -> None:
    seen: set[str] = set()
    for pair in pairs:
        if pair.case in seen:
            raise ValueError(f"case {pair.case!r} comes twice; its repeats belong in one pair")
        seen.add(pair.case)
        for value in (*pair.baseline, *pair.candidate):
            if value is not None and not 0 <= value <= 1:
                raise ValueError(
                    f"case {pair.case!r}: a score lies between 0 and 1, got {value}; write None if missing"
                )


def _is_binary(pair: CasePair) -> bool:
    for side in (pair.baseline, pair.candidate):
        if len(side) > 1 or (side and side[0] is not None and side[0] != 0 and side[0] != 1):
            return False
    return True


def _missing(side: tuple[float | None, ...]) -> int:
    return side.count(None) if side else 1


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _known_mean(side: tuple[float | None, ...]) -> float | None:
    if len(side) == 1:
        return side[0]
    return _mean([value for value in side if value is not None])


def _difference(pair: CasePair, baseline: float | None, candidate: float | None) -> float | None:
    """The case's difference with its missing attempts filled by the values given, or left out for None."""
    before = _known_mean(_fill(pair.baseline, baseline))
    after = _known_mean(_fill(pair.candidate, candidate))
    return None if before is None or after is None else after - before


def _fill(side: tuple[float | None, ...], by: float | None) -> tuple[float | None, ...]:
    if by is None or (side and None not in side):
        return side
    return tuple(by if value is None else value for value in side) or (by,)


def _filled(pair: CasePair, *, baseline: float, candidate: float) -> float:
    difference = _difference(pair, baseline, candidate)
    assert difference is not None
    return difference


def _evidence(differences: Sequence[float], *, binary: bool) -> Evidence | None:
    if not differences:
        return None
    if binary:
        return BinaryEvidence(
            lost=sum(1 for d in differences if d < 0),
            gained=sum(1 for d in differences if d > 0),
            cases=len(differences),
        )
    # Rounded, so that means which differ by rounding alone are equal.
    rounded = np.asarray(np.round(differences, 12) + 0.0, dtype=np.float64)
    return GradedEvidence(differences=rounded)


def _decides(evidence: Evidence | None, margin: float) -> bool:
    return evidence is not None and (evidence.passes(margin) or evidence.p_worse() <= ALPHA)


def _detectable(evidence: Evidence | None) -> float | None:
    if evidence is None or evidence.spread is None:
        return None
    if isinstance(evidence, BinaryEvidence):
        return loss_found(evidence.cases, evidence.spread, graded=False)
    return loss_found(evidence.differences.size, evidence.spread, graded=True)


def _more_cases(
    worst: Evidence, best: Evidence, *, cases: int, margin: float
) -> tuple[int, Literal["pass", "regressed"]] | None:
    """More cases until a verdict, and which; the same shares of changed and missing ones supposed."""
    if worst.spread is None or best.spread is None:
        return None
    graded = isinstance(worst, GradedEvidence)
    to_pass = cases_for(worst.difference + margin, worst.spread, unseen=1 - margin if graded else None)
    to_regress = cases_for(-best.difference, best.spread, unseen=1.0 if graded else None)
    found: list[tuple[int, Literal["pass", "regressed"]]] = []
    if to_pass is not None:
        found.append((max(to_pass, cases_to_pass(margin)), "pass"))
    if to_regress is not None:
        found.append((max(to_regress, FEWEST_TO_REGRESS), "regressed"))
    if not found:
        return None
    wanted, verdict = min(found)
    return max(1, wanted - cases), verdict
