"""A budget's state in words: summaries of findings, notices, and what a figure leaves out."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from watchkeeper.budgets.assessment import SPIKES, Assessment, window
from watchkeeper.budgets.behind import Behind
from watchkeeper.budgets.budget import Budget
from watchkeeper.budgets.memory import HOLD, Memory
from watchkeeper.foundation.clock import format_time
from watchkeeper.foundation.finding import Finding, Severity
from watchkeeper.foundation.money import NANO_PER_USD, nano_usd, show_usd, usd
from watchkeeper.stats.budget import Forecast

_NAMES = {"volume": "volume", "mix": "mix of routes and models", "tokens": "tokens a request", "price": "prices",
          "failures": "failed calls"}  # fmt: skip
HOURS: Mapping[str, int] = {
    "fast": 3, "fast-volume": 3, "unit-cost": 6, "slow": 24, "slow-volume": 24, "forecast": 24, "limit": 24,
}  # fmt: skip
"""Rule -> the hours that explain it."""


def leading(memory: Memory) -> tuple[str | None, str | None]:
    """The rule that says best what is out of the ordinary, and the one that says where the budget ends."""
    spike = next((rule for rule in SPIKES if rule in memory.held), None)
    return spike, next((rule for rule in ("limit", "forecast") if rule in memory.held), None)


def findings(now: Assessment, memory: Memory, reasons: Mapping[int, Behind]) -> list[Finding]:
    """What holds of a budget, told.

    Args:
        memory: After this check.
        reasons: Hours -> what is behind the spend of the last so many hours.
    """
    spike, end = leading(memory)
    found = []
    for kind, rule in (("cost-spike", spike), ("budget-burn", end)):
        if rule is not None:
            reason = reasons.get(HOURS[rule])
            said = _spike(now, rule) if kind == "cost-spike" else _end(now, rule)
            if rule not in now.rules:
                ended = format_time(memory.held[rule].last)[11:16]
                said = f"{said} Last seen {ended}Z; over when it has not been for {HOLD.seconds // 3600} h."
            severity: Severity = "error" if rule in ("fast", "fast-volume", "limit") else "warning"
            found.append(
                Finding(
                    kind=kind,
                    severity=severity,
                    subject={"budget": now.budget.name},
                    summary=" ".join([said, *_because(reason), *left_out(now)]),
                    evidence=evidence(now, memory, reason),
                )
            )
    return found


def threshold_notice(now: Assessment, threshold: float) -> tuple[str, str]:
    """Key and text of the message that a share of the limit is spent; the key is the period's own."""
    term, budget = now.term, now.budget
    period = format_time(term.starts if term.ends is not None else now.at)
    said = f"Budget {budget.name}: {threshold:.0%} of {_of(budget)} is reached: {show_usd(now.spent_nano_usd)} spent."
    return f"budget:{budget.name}:{period}:{threshold:g}", " ".join([said, *_forecast_words(now), *left_out(now)])


def state_line(now: Assessment, verdict: str) -> str:
    """One line: verdict, spent of the limit, where it ends, what is left out."""
    budget = now.budget
    spent = f"{show_usd(now.spent_nano_usd)} of {_of(budget)} ({now.share:.0%})"
    return " ".join([f"{budget.name}: {verdict}, {spent}.", *_forecast_words(now), *left_out(now)])


def left_out(now: Assessment) -> list[str]:
    """What the figure does not hold."""
    return (
        [f"{_count(now.unpriced)} no cost and {'is' if now.unpriced == 1 else 'are'} not in it."]
        if now.unpriced
        else []
    )


def period_name(budget: Budget) -> str:
    """day, week, month, or the length of a rolling period."""
    if isinstance(budget.period, str):
        return budget.period
    hours = budget.period.total_seconds() / 3600
    return f"{hours / 24:g}d" if hours % 24 == 0 else f"{hours:g}h"


def evidence(now: Assessment, memory: Memory, reason: Behind | None) -> dict[str, Any]:
    """The figures behind a finding, as JSON values; money in US dollars."""
    found: dict[str, Any] = {
        "spent_usd": _dollars(now.spent_nano_usd),
        "limit_usd": _dollars(now.budget.limit_nano_usd),
        "period": period_name(now.budget),
        "period_starts": format_time(now.term.starts),
        "unpriced_calls": now.unpriced,
        "rules": {rule: format_time(held.since) for rule, held in memory.held.items()},
    }
    for name, burning in (("money", now.money), ("volume", now.volume)):
        if burning is not None:
            found[name] = [
                {"hours": w.hours, "seen": round(w.spent, 4), "usual": round(w.expected, 4), "ratio": round(w.ratio, 2)}
                for w in burning.windows
            ]
    if now.unit is not None:
        found["unit_cost_usd"] = {"now": now.unit.now, "usual": now.unit.usual, "ratio": round(now.unit.ratio, 3)}
    if now.forecast is not None:
        found["forecast"] = forecast_values(now.forecast)
    if reason is not None:
        found["excess"] = {
            "hours": reason.hours,
            "against": "the same hours a week before",
            **{
                label: [
                    {label: part.name, "usd": _dollars(part.now), "week_before_usd": _dollars(part.before)}
                    for part in parts
                ]
                for label, parts in reason.top.items()
            },
        }
        if reason.change is not None:
            found["change_usd"] = _dollars(reason.change.change)
            found["parts_usd"] = {name: _dollars(part) for name, part in reason.change.parts.items()}
    return found


def forecast_values(ahead: Forecast) -> dict[str, Any]:
    """A forecast as JSON values."""
    between = ahead.exhausted_between or (None, None)
    return {
        "usd": ahead.usd,
        "interval": ahead.interval,
        "exhausted_at": None if ahead.exhausted_at is None else format_time(ahead.exhausted_at),
        "exhausted_between": [None if at is None else format_time(at) for at in between],
    }


def _spike(now: Assessment, rule: str) -> str:
    name, hours = now.budget.name, HOURS[rule]
    if rule == "unit-cost" and now.unit is not None:
        return (
            f"Budget {name}: a request costs {_amount(now.unit.now)}, {now.unit.ratio:.2f} times the usual "
            f"{_amount(now.unit.usual)} (last {hours} h)."
        )
    volume = rule.endswith("volume")
    seen = window(now.volume if volume else now.money, hours)
    if seen is None:
        return f"Budget {name}: spending was out of the ordinary."
    if volume:
        return (
            f"Budget {name}: {seen.spent:.0f} requests in the last {hours} h, {seen.ratio:.1f} times the usual "
            f"{seen.expected:.0f}."
        )
    return (
        f"Budget {name}: {_amount(seen.spent)} in the last {hours} h, {seen.ratio:.1f} times the usual "
        f"{_amount(seen.expected)}."
    )


def _end(now: Assessment, rule: str) -> str:
    said = f"Budget {now.budget.name}: {show_usd(now.spent_nano_usd)} of {_of(now.budget)} spent"
    if rule == "limit":
        return f"{said}: the limit is reached."
    return " ".join([f"{said}.", *_forecast_words(now)])


def _of(budget: Budget) -> str:
    calendar = isinstance(budget.period, str)
    return f"{show_usd(budget.limit_nano_usd)} a {budget.period if calendar else f'rolling {period_name(budget)}'}"


def _forecast_words(now: Assessment) -> list[str]:
    """When the money ends, with the interval; nothing where it lasts or nobody can say."""
    ahead = now.forecast
    if ahead is None or ahead.exhausted_at is None or now.term.ends is None:
        return []
    when = _day(ahead.exhausted_at, now)
    if ahead.exhausted_between is None:
        return [f"At this pace it ends {when}."]
    earliest, latest = ahead.exhausted_between
    ends = [_short(at, now) if at is not None else "not at all" for at in (earliest, latest)]
    between = f" ({ends[0]} to {ends[1]})" if ends[0] != ends[1] else ""
    return [f"It ends {when}{between}."]


def _day(at: datetime, now: Assessment) -> str:
    local = at.astimezone(_zone(now))
    if now.budget.period == "day":
        return f"at {local:%H:%M}"
    return (
        f"on {local:%A} the {_ordinal(local.day)}" if now.budget.period == "week" else f"on the {_ordinal(local.day)}"
    )


def _short(at: datetime, now: Assessment) -> str:
    local = at.astimezone(_zone(now))
    return f"{local:%H:%M}" if now.budget.period == "day" else _ordinal(local.day)


def _zone(now: Assessment) -> ZoneInfo:
    return now.budget.zone


def _ordinal(day: int) -> str:
    ending = "th" if 10 <= day % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"


def _because(reason: Behind | None) -> list[str]:
    """Who and what: the largest excess of each label, the parts of the change."""
    if reason is None:
        return []
    said = []
    most = [
        f"{label} " + " and ".join(f"{part.name or '(none)'} +{show_usd(part.excess)}" for part in parts[:2])
        for label, parts in reason.top.items()
        if parts
    ]
    if most:
        said.append(f"In the last {reason.hours} h, above the week before: {', '.join(most)}.")
    if reason.change is not None and reason.change.change:
        parts = sorted(reason.change.parts.items(), key=lambda part: -abs(part[1]))
        told = [f"{_NAMES[name]} {_signed(part)}" for name, part in parts if part]
        said.append(f"Against the same hours a week before {_signed(reason.change.change)}: {', '.join(told)}.")
    return said


def _signed(nano: int) -> str:
    return f"{'-' if nano < 0 else '+'}{show_usd(abs(nano))}"


def _amount(dollars: float) -> str:
    return show_usd(nano_usd(max(0.0, dollars)))


def _dollars(nano: int) -> float:
    return float(usd(nano)) if nano % NANO_PER_USD else nano // NANO_PER_USD


def _count(calls: int) -> str:
    return f"{calls} {'call has' if calls == 1 else 'calls have'}"
