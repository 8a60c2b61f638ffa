"""How far a request has come, step by step, for somebody who misses one."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from watchkeeper.foundation.money import show_usd
from watchkeeper.observability.request import Request, totals


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: whether it is done, and what is to say about it. Of those that are `needed` each request has all."""

    step: str
    done: bool
    detail: str
    needed: bool = True


def steps_of(
    spans: Sequence[Sequence[Any]] | None, requests: Sequence[Request], prices: Mapping[str, str | None]
) -> list[Step]:
    """The steps of one trace.

    Args:
        spans: Its packed pieces (`pieces.packed`); None when it was not sent as spans.
        requests: What was put together from them, or imported.
        prices: Call's span id -> the price its cost was reckoned with.
    """
    return [_received(spans), _assembled(spans, requests), *(_priced(r, prices) for r in requests)]


def _received(spans: Sequence[Sequence[Any]] | None) -> Step:
    if spans is None:
        return Step(step="received", done=True, detail="as a whole record, by import or POST /api/requests")
    kinds = Counter("log record" if row[3] == "log" else str(row[3]) for row in spans)
    told = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
    pulled, kept = (
        next((row[7]["own"][name] for row in spans if name in row[7].get("own", ())), None)
        for name in ("pulled_from", "content_kept")
    )
    way = "over OTLP" if pulled is None else f"pulled from {pulled}"
    less = "" if kept is None else f"; words not kept (content {kept})"
    return Step(step="received", done=True, detail=f"{len(spans)} spans {way}: {told}{less}")


def _assembled(spans: Sequence[Sequence[Any]] | None, requests: Sequence[Request]) -> Step:
    if not requests:
        return Step(step="assembled", done=False, detail="only log records so far; their spans have not arrived")
    root = requests[0].span_id
    missing = next((row[1] for row in spans or () if row[0] == root and row[1] is not None), None)
    late = f"; its parent {missing} has not arrived or is no part of it" if missing else ""
    routes = ", ".join(r.route for r in requests)
    return Step(step="assembled", done=True, detail=f"{len(requests)} request(s): {routes}{late}")


def _priced(request: Request, prices: Mapping[str, str | None]) -> Step:
    sums = totals(request.calls)
    if not request.calls:
        return Step(step="priced", done=False, detail=f"{request.span_id} has no calls")
    by = sorted({str(prices.get(call.span_id) or "the record itself") for call in request.calls if call.cost_nano_usd})
    suspect = sorted({flag for call in request.calls for flag in call.flags})
    detail = f"{sums.calls - sums.unpriced} of {sums.calls} calls, {show_usd(sums.cost_nano_usd)}"
    detail += f", by {', '.join(by)}" if by else ""
    detail += f"; figures that do not add up: {', '.join(suspect)}" if suspect else ""
    return Step(step="priced", done=not sums.unpriced, detail=detail)
