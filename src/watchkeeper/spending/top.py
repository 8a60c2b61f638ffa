"""Who spends most: segments, jobs or sessions by cost, how concentrated that is, and who is new."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

Of = Literal["segment", "job", "session"]

COLUMN_OF: dict[Of, str] = {"segment": "segment", "job": "job_id", "session": "session_id"}

COLUMNS = ("cost_nano_usd", "unpriced")
"""The columns of requests `ranked` reads, beside the one that is ranked."""

_SHARES = (0.01, 0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spender:
    """One segment, job or session.

    Attributes:
        share: Of the window's whole cost, in [0, 1]; None when nothing has a cost.
        unpriced: Calls without a cost.
        before_nano_usd: In the window before, of the same length; None when it had no request there: it is new.
    """

    name: str
    cost_nano_usd: int
    requests: int
    share: float | None
    unpriced: int
    before_nano_usd: int | None

    @property
    def new(self) -> bool:
        """It had no request in the window before."""
        return self.before_nano_usd is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The spenders of a window, most first.

    Attributes:
        spenders: The first of them.
        count: How many there are.
        total_nano_usd: Cost of every request of the window, nameless ones too.
        nameless_nano_usd: Cost of the requests that name none, and how many those are.
        concentration: 0.01 -> the share of the cost of named requests that the first 1 % have; at least one of them.
        unpriced: Calls of the window without a cost; they are in no figure.
        new: How many have no request in the window before.
    """

    spenders: Sequence[Spender]
    count: int
    total_nano_usd: int
    nameless_nano_usd: int
    nameless: int
    concentration: dict[float, float]
    unpriced: int
    new: int


def ranked(now: pa.Table, before: pa.Table, of: Of, *, limit: int) -> Ranking:
    """Rank the spenders of a window, compared with the window before it."""
    column = COLUMN_OF[of]
    sums, previous = _sums(now, column), _sums(before, column)
    nameless_cost, nameless, _ = sums.pop(None, (0, 0, 0))
    total = sum(cost for cost, _, _ in sums.values()) + nameless_cost
    order = sorted(((name, row) for name, row in sums.items() if name), key=lambda each: (-each[1][0], each[0]))
    spenders = [
        Spender(
            name=name,
            cost_nano_usd=cost,
            requests=requests,
            share=cost / total if total else None,
            unpriced=unpriced,
            before_nano_usd=previous[name][0] if name in previous else None,
        )
        for name, (cost, requests, unpriced) in order[:limit]
    ]
    return Ranking(
        spenders=spenders,
        count=len(order),
        total_nano_usd=total,
        nameless_nano_usd=nameless_cost,
        nameless=nameless,
        concentration=_concentration([row[0] for _, row in order]),
        unpriced=int(pc.sum(now["unpriced"]).as_py() or 0),
        new=sum(name not in previous for name, _ in order),
    )


def _sums(table: pa.Table, column: str) -> dict[str | None, tuple[int, int, int]]:
    """Name -> cost in nano-dollars, requests, calls without a cost."""
    sums = table.group_by(column).aggregate([("cost_nano_usd", "sum"), ([], "count_all"), ("unpriced", "sum")])
    columns = (column, "cost_nano_usd_sum", "count_all", "unpriced_sum")
    rows = zip(*(sums[name].to_pylist() for name in columns), strict=True)
    return {name: (int(cost or 0), int(count), int(unpriced or 0)) for name, cost, count, unpriced in rows}


def _concentration(costs: Sequence[int]) -> dict[float, float]:
    total = sum(costs)
    return {share: sum(costs[: math.ceil(share * len(costs))]) / total for share in _SHARES} if total else {}
