"""Poisson sampling with permanent random numbers: who is chosen depends on the request alone, never on the run.

Every trace has one number u in [0, 1) for ever, and a request is taken when u is below its inclusion probability. That
probability only rises (a late thumb, a raised rate), so whoever is in stays in, and the final one is the probability
with which it came in.

Sources:
    E. Ohlsson, "Coordination of samples using permanent random numbers", in Business Survey Methods (1995).
    C.-E. Särndal, B. Swensson and J. Wretman, Model Assisted Survey Sampling (1992), 3.5: Poisson sampling.
"""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from watchkeeper.scoring.candidates import Candidates
from watchkeeper.scoring.signals import STRATA

LEAST = 0.0005
"""The least probability of any response: what could never be chosen could never be spoken for."""

SLOT_S = 900
"""Seconds of traffic that share one base rate."""
SLOTS = 3600 // SLOT_S

_AT_ONCE = 65_536

Key = tuple[str, str]
"""Trace id and span id of a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A request that was chosen.

    Attributes:
        at: When it started, seconds since 1970.
        inclusion: Its probability, the highest it ever had.
        u: Its trace's permanent number.
        raised: Its stratum or probability is higher than it was when it was chosen.
    """

    trace_id: str
    span_id: str
    at: float
    route: str
    segment: str | None
    prompt: str | None
    model: str | None
    stratum: str
    inclusion: float
    u: float
    new: bool
    raised: bool

    @property
    def key(self) -> Key:
        """Of the request."""
        return self.trace_id, self.span_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What was decided about a sampled request earlier."""

    stratum: str
    inclusion: float


def permanent_numbers(salt: bytes, trace_ids: Iterable[str]) -> NDArray[np.float64]:
    """u of every trace: HMAC-SHA256 keyed with the installation's salt, as a number in [0, 1)."""
    digest = hmac.digest
    first = b"".join(digest(salt, trace_id.encode(), "sha256")[:8] for trace_id in trace_ids)
    # 53 bits: what a float holds exactly, so that 1.0 is never reached.
    return (np.frombuffer(first, ">u8") >> np.uint64(11)).astype(np.float64) * 2.0**-53


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chosen:
    """The sample, and every request's stratum (places in STRATA) with what was recorded of samples earlier."""

    samples: Sequence[Sample]
    strata: NDArray[np.int8]


def inclusions(
    strata: NDArray[np.int8], rates: NDArray[np.float64], multiples: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The probability of every request.

    Args:
        strata: Places in STRATA, shape (requests,).
        rates: The base rate that holds for each, shape (requests,).
        multiples: In the order of STRATA.
    """
    return np.clip(rates * multiples[strata], LEAST, 1.0)


def choose(
    requests: Candidates,
    eligible: NDArray[np.bool_],
    strata: NDArray[np.int8],
    inclusion: NDArray[np.float64],
    *,
    salt: bytes,
    before: Mapping[Key, Before] | None = None,
) -> Chosen:
    """The eligible requests that are in the sample, those of `before` among them.

    Args:
        inclusion: As of now; what a request of `before` had counts where it is higher, and so does its stratum.
    """
    before = before or {}
    chosen: list[Sample] = []
    strata = strata.copy()
    places = np.flatnonzero(eligible)
    for start in range(0, places.size, _AT_ONCE):
        some = places[start : start + _AT_ONCE]
        indices = pa.array(some)
        trace_ids: Sequence[str] = requests.trace_id.take(indices).to_pylist()
        u = permanent_numbers(salt, trace_ids)
        taken = u < inclusion[some]
        if before:
            span_ids = requests.span_id.take(indices).to_pylist()
            taken |= np.fromiter((key in before for key in zip(trace_ids, span_ids, strict=True)), np.bool_, some.size)
        for n in np.flatnonzero(taken):
            place = int(some[n])
            sample = _sample(requests, place, STRATA[strata[place]], float(inclusion[place]), float(u[n]), before)
            strata[place] = STRATA.index(sample.stratum)
            chosen.append(sample)
    return Chosen(samples=chosen, strata=strata)


def _sample(
    requests: Candidates, place: int, stratum: str, inclusion: float, u: float, before: Mapping[Key, Before]
) -> Sample:
    key = (requests.trace_id[place].as_py(), requests.span_id[place].as_py())
    old = before.get(key)
    if old is not None:
        stratum = min(stratum, old.stratum, key=STRATA.index)
        inclusion = max(inclusion, old.inclusion)
    route = requests.route.name(place)
    assert route is not None
    return Sample(
        trace_id=key[0],
        span_id=key[1],
        at=float(requests.at[place]),
        route=route,
        segment=requests.segment.name(place),
        prompt=requests.prompt.name(place),
        model=requests.model.name(place),
        stratum=stratum,
        inclusion=inclusion,
        u=u,
        new=old is None,
        raised=old is not None and (old.stratum, old.inclusion) != (stratum, inclusion),
    )
