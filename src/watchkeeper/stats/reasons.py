"""A verdict's reason in one sentence: which bound decides, in points of a hundred."""

from typing import TYPE_CHECKING

from watchkeeper.stats.planning import cases_to_pass

if TYPE_CHECKING:
    from watchkeeper.stats.paired import Comparison


def reason_of(comparison: "Comparison", *, only_missing: bool = False) -> str:
    """Why the verdict is what it is.

    Args:
        comparison: With everything but its reason.
        only_missing: Whether the cases that are complete would decide.
    """
    if comparison.cases == 0:
        return "there are no cases"
    if comparison.decision_interval is None or comparison.p_value is None or comparison.p_better is None:
        empty = "candidate" if comparison.candidate_mean is None else "baseline"
        return f"no attempt of the {empty} has a score"
    low, high = comparison.decision_interval
    accepted = f"{_points(comparison.margin)} accepted"
    if comparison.verdict == "pass":
        if comparison.p_better <= 0.05 and low > 0:
            return f"better: {_points(low)} to {_points(high)} points are gained (90 % interval)"
        kind = "a small loss, within the margin" if comparison.p_value <= 0.05 else "no loss beyond the margin"
        return f"{kind}: {_at_most(low)} (90 % interval), {accepted}"
    if comparison.verdict == "regressed":
        if high < 0:
            lost = f"{_points(-high)} to {_points(-low)} points are lost (90 % interval)"
            return f"worse: {lost}, p = {_p(comparison.p_value)}"
        return f"worse: were nothing lost, figures like these would come up with p = {_p(comparison.p_value)} only"
    return _undecided(comparison, low, high, accepted, only_missing=only_missing)


def reason_of_family(comparison: "Comparison", scorers: int) -> str:
    """Why a regression on its own is none among several primary scorers."""
    return (
        f"worse on its own (p = {_p(comparison.p_value or 0.0)}), but not among {scorers} primary scorers "
        f"(Holm-adjusted p = {_p(comparison.p_adjusted or 0.0)}, above 0.05){_more(comparison)}"
    )


def _undecided(comparison: "Comparison", low: float, high: float, accepted: str, *, only_missing: bool) -> str:
    missing = comparison.missing_baseline + comparison.missing_candidate
    attempts = f"{missing} missing {'attempt' if missing == 1 else 'attempts'}"
    if only_missing:
        gained = f"{_points(high)} gained" if high > 0 else f"{_points(-high)} lost"
        return (
            f"{attempts} could overturn it: between {_points(-low)} points lost and {gained}, "
            f"depending on what they would have been{_more(comparison) or '; more cases would not decide, these would'}"
        )
    fewest = cases_to_pass(comparison.margin)
    if comparison.cases < fewest:
        reason = f"too few cases to pass: {comparison.cases} of at least {fewest}, and a loss is not shown"
    elif low > -comparison.margin:
        reason = f"{_at_most(low)} (90 % interval), {accepted}, but too narrowly for {comparison.cases} cases"
    else:
        reason = (
            f"a loss of up to {_points(-low)} points is not excluded (90 % interval), {accepted}, and none is shown"
        )
    if missing:
        reason += f"; with {attempts}"
        if comparison.more_cases is None:
            reason += "; more cases would not decide while as large a share is missing"
    return reason + _more(comparison)


def _more(comparison: "Comparison") -> str:
    if comparison.more_cases is None:
        return ""
    more = f"{comparison.more_cases} more {'case' if comparison.more_cases == 1 else 'cases'} like these"
    return f"; about {more} would decide ({comparison.more_cases_verdict})"


def _at_most(low: float) -> str:
    return f"at most {_points(-low)} points are lost" if low < 0 else f"at least {_points(low)} points are gained"


def _points(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0")


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= 1e-6 else "below 0.000001"
