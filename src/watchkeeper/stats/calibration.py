"""What people would have said, from a judge's verdicts on many answers and people's on a few.

The judge's own rate is wrong by as much as the judge is. Corrected, it is right whatever the judge is worth, for the
labels carry it; a good judge makes the interval narrower, a bad one cannot hurt. The labelled answers must be a
random part of the judged ones, at least among those with one verdict.

Sources:
    By verdict: post-stratification of the labels, Wilson's interval in each verdict, square-and-add (`proportions`).
    A. N. Angelopoulos, J. C. Duchi and T. Zrnic, "PPI++: efficient prediction-powered inference", arXiv 2311.01453
    (2023): graded judges.
    J. Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20 (1960)
    37-46, with the standard error of J. L. Fleiss, J. Cohen and B. S. Everitt, Psychological Bulletin 72 (1969) 323.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from watchkeeper.stats.proportions import Z_95, Part, exact_low, weighted_sum
from watchkeeper.stats.weighted import share_of

CERTIFIED_AT = 0.8
"""Lowest sensitivity and specificity, both at their exact one-sided 95 % lower bounds, of a judge to be trusted."""

_Floats = NDArray[np.float64]
_Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One answer, judged and perhaps labelled.

    Attributes:
        judge: The judge's score in [0, 1]; None is a judgement that is missing, and a verdict of its own.
        human: A person's score in [0, 1]; None is not labelled.
        inclusion: The probability with which the answer was judged, in (0, 1].
    """

    judge: float | None
    human: float | None
    inclusion: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A mean and its 95 % interval; both None where there is nothing to say it from."""

    mean: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Judge against people on the labelled answers; None where it cannot be said.

    Attributes:
        kappa: Cohen's, pass/fail only.
        kappa_interval: 95 %.
        tpr: Share of what people pass that the judge passes.
        tnr: Share of what people fail that the judge fails.
        tpr_low, tnr_low: Exact one-sided 95 % lower bounds.
        correlation: Of a graded judge with people.
    """

    kappa: float | None = None
    kappa_interval: tuple[float, float] | None = None
    tpr: float | None = None
    tnr: float | None = None
    tpr_low: float | None = None
    tnr_low: float | None = None
    correlation: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The judge's rate, people's rate, and how far the judge can be trusted.

    Attributes:
        labels: Answers with a person's score.
        missing: Answers without a judgement.
    """

    raw: Rate
    corrected: Rate
    labels: int
    missing: int
    agreement: Agreement

    @property
    def certified(self) -> bool:
        """Whether both lower bounds reach the limit."""
        a = self.agreement
        return a.tpr_low is not None and a.tnr_low is not None and min(a.tpr_low, a.tnr_low) >= CERTIFIED_AT


def calibrate(rows: Sequence[Judged]) -> Calibration:
    """The judge's uncorrected rate, the corrected one, and their agreement."""
    judge = np.array([np.nan if row.judge is None else row.judge for row in rows], dtype=np.float64)
    human = np.array([np.nan if row.human is None else row.human for row in rows], dtype=np.float64)
    weights = np.array([1 / row.inclusion for row in rows], dtype=np.float64)
    judged, labelled = ~np.isnan(judge), ~np.isnan(human)
    binary = _is_binary(judge[judged])
    raw = Rate(mean=None, interval=None)
    if judged.any():
        raw = _rate(*share_of(judge[judged], weights[judged], graded=not binary))
    corrected = Rate(mean=None, interval=None)
    if labelled.any():
        by_verdict = binary or (labelled & judged).sum() < 3
        corrected = (_by_verdict if by_verdict else _by_prediction)(judge, human, weights, labelled)
    both = labelled & judged
    agreement = Agreement()
    if both.any():
        pass_fail = binary and _is_binary(human[both])
        agreement = (_agreement if pass_fail else _graded_agreement)(judge[both], human[both], weights[both])
    return Calibration(
        raw=raw, corrected=corrected, labels=int(labelled.sum()), missing=int((~judged).sum()), agreement=agreement
    )


def _rate(mean: float, interval: tuple[float, float]) -> Rate:
    return Rate(mean=mean, interval=interval)


def _is_binary(values: _Floats) -> bool:
    return bool(((values == 0) | (values == 1)).all())


def _by_verdict(judge: _Floats, human: _Floats, weights: _Floats, labelled: _Mask) -> Rate:
    """People's rate inside each verdict, weighted with the verdict's share of all that was judged.

    Holds too where answers of one verdict were labelled more often than those of the other.
    """
    total = float(weights.sum())
    graded = not _is_binary(human[labelled])
    parts = []
    for verdict in _verdicts(judge):
        share = float(weights[verdict].sum()) / total
        mine = verdict & labelled
        if mine.any():
            mean, (low, high) = share_of(human[mine], weights[mine], graded=graded)
            parts.append(Part(weight=share, share=mean, low=low, high=high))
        else:
            parts.append(Part(weight=share, share=0.5, low=0.0, high=1.0))
    # The shares of the verdicts are themselves estimated from so many judged answers.
    middle = sum(part.weight * part.share for part in parts)
    size = total**2 / float(weights @ weights)
    unsure = sum(part.weight * (part.share - middle) ** 2 for part in parts) / size
    return _rate(*weighted_sum(parts, more=Z_95**2 * unsure))


def _verdicts(judge: _Floats) -> list[_Mask]:
    """One mask a verdict that occurs; a missing judgement is a verdict. A graded judge: above and below its middle."""
    missing = np.isnan(judge)
    if _is_binary(judge[~missing]):
        masks = [judge == 0, judge == 1, missing]
    else:
        middle = float(np.median(judge[~missing]))
        masks = [judge <= middle, judge > middle, missing]
    return [mask for mask in masks if mask.any()]


def _by_prediction(judge: _Floats, human: _Floats, weights: _Floats, labelled: _Mask) -> Rate:
    """PPI++: the judge's mean over everything, moved by its mean error over the labelled; tuned so that a judge
    who knows nothing is not listened to."""
    known = np.where(np.isnan(judge), np.nanmean(judge), judge)
    f, y, w = known[labelled], human[labelled], weights[labelled]
    rest = ~labelled
    if not rest.any():
        return _rate(*share_of(y, w, graded=not _is_binary(y)))
    var_rest, var_labelled = _variance_of_mean(known[rest], weights[rest]), _variance_of_mean(f, w)
    tuned = 0.0
    if var_rest + var_labelled > 0:
        tuned = min(1.0, max(0.0, _covariance_of_means(y, f, w) / (var_labelled + var_rest)))
    error = y - tuned * f
    mean = tuned * _mean(known[rest], weights[rest]) + _mean(error, w)
    spread = tuned**2 * var_rest + _variance_of_mean(error, w)
    kish = float(w.sum()) ** 2 / float(w @ w)
    # As in a graded stratum: one more label with the spread of pass and fail.
    inside = min(1.0, max(0.0, mean))
    spread = (spread * kish**2 + inside * (1 - inside)) / ((kish + 1) * kish) if kish > 1.5 else 1.0
    half = float(special.stdtrit(max(1.0, kish - 1), 0.975)) * math.sqrt(spread)
    return _rate(inside, (max(0.0, mean - half), min(1.0, mean + half)))


def _mean(values: _Floats, weights: _Floats) -> float:
    return float(weights @ values) / float(weights.sum())


def _variance_of_mean(values: _Floats, weights: _Floats) -> float:
    return _covariance_of_means(values, values, weights)


def _covariance_of_means(a: _Floats, b: _Floats, weights: _Floats) -> float:
    if a.size < 2:
        return 0.0
    off = float((weights**2) @ ((a - _mean(a, weights)) * (b - _mean(b, weights))))
    return off / float(weights.sum()) ** 2 * a.size / (a.size - 1)


def _agreement(judge: _Floats, human: _Floats, weights: _Floats) -> Agreement:
    good, bad = human == 1, human == 0
    tpr = _mean(judge[good], weights[good]) if good.any() else None
    tnr = _mean(1 - judge[bad], weights[bad]) if bad.any() else None
    kappa, interval = _kappa(judge, human, weights)
    return Agreement(
        kappa=kappa,
        kappa_interval=interval,
        tpr=tpr,
        tnr=tnr,
        tpr_low=exact_low(int(judge[good].sum()), int(good.sum()), 0.05) if good.any() else None,
        tnr_low=exact_low(int((1 - judge[bad]).sum()), int(bad.sum()), 0.05) if bad.any() else None,
    )


def _kappa(judge: _Floats, human: _Floats, weights: _Floats) -> tuple[float | None, tuple[float, float] | None]:
    total = float(weights.sum())
    table = np.array([[weights[(judge == j) & (human == h)].sum() for h in (0, 1)] for j in (0, 1)]) / total
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    agreed, chance = float(np.trace(table)), float(rows @ columns)
    if chance >= 1:
        return None, None  # both said one thing only: nothing to agree about
    kappa = (agreed - chance) / (1 - chance)
    size = total**2 / float(weights @ weights)
    on = sum(table[i, i] * ((1 - chance) - (rows[i] + columns[i]) * (1 - agreed)) ** 2 for i in (0, 1))
    off = (1 - agreed) ** 2 * sum(table[i, 1 - i] * (columns[i] + rows[1 - i]) ** 2 for i in (0, 1))
    variance = (on + off - (agreed * chance - 2 * chance + agreed) ** 2) / (size * (1 - chance) ** 4)
    half = Z_95 * math.sqrt(max(0.0, float(variance)))
    return kappa, (max(-1.0, kappa - half), min(1.0, kappa + half))


def _graded_agreement(judge: _Floats, human: _Floats, weights: _Floats) -> Agreement:
    spread = _variance_of_mean(judge, weights) * _variance_of_mean(human, weights)
    if spread <= 0:
        return Agreement()
    return Agreement(correlation=_covariance_of_means(judge, human, weights) / math.sqrt(spread))
