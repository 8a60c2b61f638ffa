"""An invoice beside the stored calls: what agrees, what differs, and the class that explains it best."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from watchkeeper.cost.prices import PriceList
from watchkeeper.cost.rates import Override, Rates
from watchkeeper.database.engine import Store
from watchkeeper.foundation.errors import NothingToCheck
from watchkeeper.foundation.money import NANO_PER_USD
from watchkeeper.observability import service as records
from watchkeeper.observability.request import Call, Request, Tokens
from watchkeeper.spending import service
from watchkeeper.spending.invoice import Line, invoice_of
from watchkeeper.spending.reconcile import Compared, Reconciliation, Tolerance

DAY = date(2026, 11, 20)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
RATES = Rates(input=Decimal(2), cache_read=Decimal("0.2"), cache_write=Decimal("2.5"), output=Decimal(8))
PRICES = PriceList(
    overrides=[
        Override(provider="openai", model="gpt-a*", effective_from=datetime(2026, 1, 1, tzinfo=UTC), rates=RATES)
    ]
)
TOKENS = Tokens(input=400_000, cache_read=600_000, cache_write=100_000, output=50_000, reasoning=150_000)
"""Of one call; it costs 0.80 + 0.12 + 0.25 + 0.40 + 1.20 = 2.77 USD."""
ONE = 2_770_000_000


def request(number: int, *, at: datetime = NOON, **changes: Any) -> Request:
    call = Call(
        span_id=f"{number:016x}", provider="openai", model_served="gpt-a", tokens=TOKENS, cost_nano_usd=ONE
    )  # fmt: skip
    return Request(
        trace_id=f"{number:032x}", span_id=f"{number:016x}", started_at=at, route="r", calls=[replace(call, **changes)]
    )


def line(usd: float, *, model: str | None = "gpt-a", day: date = DAY, **changes: Any) -> Line:
    return replace(Line(day=day, model=model, usage=None, nano_usd=round(usd * NANO_PER_USD)), **changes)


def reconciled(
    store: Store, folder: Path, requests: Sequence[Request], lines: Sequence[Line], **options: Any
) -> Reconciliation:
    records.import_requests(store, requests)
    given = {"provider": "openai", "first": None, "last": None, "zone": ZoneInfo("UTC"), "now": NOW, **options}
    provider = given.pop("provider")
    return service.reconcile(store, folder, invoice_of(provider, lines, **given), PRICES, tolerance=Tolerance())


def only(found: Reconciliation) -> Compared:
    [row] = found.rows
    return row


def cause(found: Reconciliation) -> str | None:
    row = only(found)
    assert row.differs
    return row.explained.cause if row.explained else None


def test_a_figure_within_five_percent_agrees_and_above_it_differs(store: Store, tmp_path: Path) -> None:
    requests = [request(n) for n in range(1, 11)]
    assert not only(reconciled(store, tmp_path, requests, [line(27.70 / 0.951)])).differs
    assert only(reconciled(store, tmp_path, [], [line(27.70 / 0.949)])).differs
    assert not only(reconciled(store, tmp_path, [], [line(27.70 / 1.049)])).differs
    assert only(reconciled(store, tmp_path, [], [line(27.70 / 1.051)])).differs


def test_cents_are_no_difference(store: Store, tmp_path: Path) -> None:
    small = request(1, cost_nano_usd=20_000_000)
    assert not only(reconciled(store, tmp_path, [small], [line(0.11)])).differs
    assert only(reconciled(store, tmp_path, [], [line(0.13)])).differs


@pytest.mark.parametrize(
    ("usd", "wanted"),
    [
        (10 * (2.77 + 0.6 * 1.8), "cache_read"),  # the invoice charges cache reads as input
        (10 * (2.77 - 0.6 * 1.8), "cache_read"),  # our figure would, were it reckoned so
        (10 * (2.77 + 1.20), "reasoning"),
        (10 * (2.77 - 1.20), "reasoning"),
        (10 * 2.77 / 2, "batch"),
        (10 * 2.77 * 5, None),
    ],
)
def test_the_class_that_closes_most_of_the_difference_is_named(
    sqlite_store: Store, tmp_path: Path, usd: float, wanted: str | None
) -> None:
    found = reconciled(sqlite_store, tmp_path, [request(n) for n in range(1, 11)], [line(usd)])
    assert cause(found) == wanted
    if explained := only(found).explained:
        assert explained.closes == pytest.approx(1, abs=1e-6)
        assert explained.nano_usd == pytest.approx(only(found).gap)


def test_batches_that_the_invoice_names_explain_what_is_missing_from_it(sqlite_store: Store, tmp_path: Path) -> None:
    lines = [line(8 * 2.77), line(2 * 2.77 / 2, batch=True)]
    found = reconciled(sqlite_store, tmp_path, [request(n) for n in range(1, 11)], lines)
    assert cause(found) == "batch"


def test_failed_calls_explain_it_when_their_cost_is_all_of_it(sqlite_store: Store, tmp_path: Path) -> None:
    good = [request(n) for n in range(1, 9)]
    failed = [request(n, error_type="timeout") for n in (20, 21)]
    found = reconciled(sqlite_store, tmp_path, [*good, *failed], [line(8 * 2.77)])
    assert cause(found) == "retries"


def test_failed_calls_that_were_charged_explain_it(sqlite_store: Store, tmp_path: Path) -> None:
    failed = [request(n, error_type="timeout", cost_nano_usd=None, tokens=Tokens()) for n in (20, 21)]
    found = reconciled(sqlite_store, tmp_path, [*(request(n) for n in range(1, 9)), *failed], [line(10 * 2.77)])
    assert cause(found) == "retries"


def test_calls_without_a_price_explain_it(sqlite_store: Store, tmp_path: Path) -> None:
    waiting = [request(n, cost_nano_usd=None) for n in (20, 21)]
    found = reconciled(sqlite_store, tmp_path, [*(request(n) for n in range(1, 9)), *waiting], [line(10 * 2.77)])
    assert cause(found) == "unpriced"
    assert only(found).unpriced == 2


def test_a_model_nobody_knows_here_or_without_any_price_is_an_unknown_model(
    sqlite_store: Store, tmp_path: Path
) -> None:
    unpriced = request(2, model_served="o-new", cost_nano_usd=None)
    lines = [line(2.77), line(4, model="never-seen"), line(3, model="o-new")]
    found = reconciled(sqlite_store, tmp_path, [request(1), unpriced], lines)
    causes = {row.model: row.explained.cause for row in found.differing if row.explained}
    assert causes == {"never-seen": "unknown_model", "o-new": "unknown_model"}


def test_a_day_without_a_record_of_a_known_model_is_missing_calls(sqlite_store: Store, tmp_path: Path) -> None:
    found = reconciled(sqlite_store, tmp_path, [request(1)], [line(2.77), line(5, day=DAY + timedelta(days=1))])
    [row] = found.differing
    assert (row.day, row.explained and row.explained.cause) == (DAY + timedelta(days=1), "missing_calls")


def test_hours_without_any_call_on_a_busy_day_are_missing_calls(sqlite_store: Store, tmp_path: Path) -> None:
    start = datetime(2026, 11, 20, tzinfo=UTC)
    busy = [request(20 * h + n + 1, at=start + timedelta(hours=h, minutes=n)) for h in range(18) for n in range(12)]
    found = reconciled(sqlite_store, tmp_path, busy, [line(24 * 12 * 2.77)])
    assert cause(found) == "missing_calls"


def test_every_class_higher_by_the_same_factor_is_missing_calls(sqlite_store: Store, tmp_path: Path) -> None:
    lines = [
        line(14 * 0.80, usage="input"),
        line(14 * 0.12, usage="cache_read"),
        line(14 * 0.25, usage="cache_write"),
        line(14 * 1.60, usage="output"),
    ]
    found = reconciled(sqlite_store, tmp_path, [request(n) for n in range(1, 11)], lines)
    assert cause(found) == "missing_calls"


def test_nothing_is_explained_by_what_closes_less_than_half(sqlite_store: Store, tmp_path: Path) -> None:
    plain = [request(n, tokens=Tokens(input=1_385_000)) for n in range(1, 11)]
    assert cause(reconciled(sqlite_store, tmp_path, plain, [line(45)])) is None


def test_days_are_those_of_the_invoice_and_other_providers_are_left_out(sqlite_store: Store, tmp_path: Path) -> None:
    late = datetime(2026, 11, 21, 3, tzinfo=UTC)
    requests = [request(1, at=late), request(2, provider="azure", at=late), request(3, provider=None, at=late)]
    new_york = reconciled(sqlite_store, tmp_path, requests, [line(2.77)], zone=ZoneInfo("America/New_York"))
    assert not new_york.differing
    assert new_york.nameless == 1
    in_utc = reconciled(sqlite_store, tmp_path, [], [line(2.77)], last=DAY + timedelta(days=1))
    assert [(row.day.day, row.gap) for row in in_utc.rows] == [(20, ONE), (21, -ONE)]


def test_credits_and_fees_stand_apart(sqlite_store: Store, tmp_path: Path) -> None:
    lines = [line(2.77), line(-50, model=None), line(3, model=None), line(-7, model="Promotional credit")]
    found = reconciled(sqlite_store, tmp_path, [request(1)], lines)
    assert not found.differing
    assert (found.other_lines, found.other_nano_usd) == (3, -54_000_000_000)


def test_a_negative_line_of_a_model_lowers_what_that_model_was_charged(sqlite_store: Store, tmp_path: Path) -> None:
    assert not reconciled(sqlite_store, tmp_path, [request(1)], [line(4.77), line(-2)]).differing


def test_without_any_model_the_days_are_compared(sqlite_store: Store, tmp_path: Path) -> None:
    requests = [request(1), request(2, model_served="gpt-ab")]
    row = only(reconciled(sqlite_store, tmp_path, requests, [line(5.54, model=None), line(-9, model=None)]))
    assert (row.model, row.differs) == ("(all models)", False)


def test_snapshots_are_compared_with_the_name_of_the_invoice(sqlite_store: Store, tmp_path: Path) -> None:
    requests = [request(1, model_served="gpt-a-2026-08-01"), request(2, model_served="gpt-a-2026-09-01")]
    row = only(reconciled(sqlite_store, tmp_path, requests, [line(5.54, model="GPT-A")]))
    assert (row.model, row.differs, row.calls) == ("gpt-a", False, 2)


def test_days_that_are_not_over_and_others_are_not_compared(sqlite_store: Store, tmp_path: Path) -> None:
    lines = [line(2.77), line(99, day=NOW.date()), line(99, day=DAY - timedelta(days=5))]
    found = reconciled(sqlite_store, tmp_path, [request(1)], lines, first=DAY)
    assert not found.differing
    assert found.invoice.ignored == 2
    with pytest.raises(NothingToCheck):
        reconciled(sqlite_store, tmp_path, [], [line(99, day=NOW.date())])


def test_a_quiet_day_has_no_holes(sqlite_store: Store, tmp_path: Path) -> None:
    burst = [request(n, at=NOON + timedelta(minutes=n), tokens=Tokens(input=1_385_000)) for n in range(1, 31)]
    assert cause(reconciled(sqlite_store, tmp_path, burst, [line(24 * 30 * 2.77)])) is None


def test_classes_that_are_higher_by_different_factors_are_not_missing_calls(
    sqlite_store: Store, tmp_path: Path
) -> None:
    plain = [request(n, tokens=Tokens(input=785_000, output=150_000)) for n in range(1, 11)]
    lines = [line(1.1 * 15.7, usage="input"), line(9 * 12.0, usage="output")]
    assert cause(reconciled(sqlite_store, tmp_path, plain, lines)) is None


def test_a_credit_of_a_recorded_model_is_that_models(sqlite_store: Store, tmp_path: Path) -> None:
    found = reconciled(sqlite_store, tmp_path, [request(1)], [line(-2)])
    assert (only(found).invoice_nano_usd, found.other_lines) == (-2_000_000_000, 0)


def test_tokens_of_calls_without_a_price_are_in_no_class(sqlite_store: Store, tmp_path: Path) -> None:
    waiting = [request(n, cost_nano_usd=None) for n in (20, 21)]
    lines = [line(8 * (2.77 - 0.6 * 1.8))]
    explained = only(
        reconciled(sqlite_store, tmp_path, [*(request(n) for n in range(1, 9)), *waiting], lines)
    ).explained  # fmt: skip
    assert explained
    assert (explained.cause, explained.closes) == ("cache_read", pytest.approx(1))
