"""An invoice beside our figures: model by model and day by day, with what most likely explains a difference."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from watchkeeper.cost.prices import PriceList, RateCard, Unpriced
from watchkeeper.foundation.money import NANO_PER_USD
from watchkeeper.spending.difference import Case, Explained, explain_difference
from watchkeeper.spending.invoice import Class, Invoice, Line, model_names, start_of
from watchkeeper.spending.recorded import Figures, Recorded

ALL_MODELS = "(all models)"
"""Where the invoice does not name models, days are compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """Which differences matter: those above both.

    Attributes:
        share: Of the invoice (of our figure where there is no invoice), in [0, 1).
        nano_usd: Below it nobody cares.
    """

    share: float = 0.05
    nano_usd: int = NANO_PER_USD // 10

    def exceeded(self, invoice: int, ours: int) -> bool:
        """Whether these two figures differ by more."""
        off = abs(invoice - ours)
        return off > self.nano_usd and off > self.share * (abs(invoice) or ours)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One model on one day.

    Attributes:
        calls: Recorded ones.
        unpriced: Of those, without a cost and not failed.
        differs: By more than the tolerance.
        explained: None where it does not differ, or nothing closes half of it.
    """

    model: str
    day: date
    invoice_nano_usd: int
    ours_nano_usd: int
    calls: int
    unpriced: int
    differs: bool
    explained: Explained | None

    @property
    def gap(self) -> int:
        """What the invoice has more, nano-dollars."""
        return self.invoice_nano_usd - self.ours_nano_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """An invoice compared.

    Attributes:
        rows: By day and model.
        other_nano_usd: Credits, fees and other lines that name no model; they are compared with nothing.
        other_lines: How many.
        nameless: Recorded calls that name no provider; they are in no figure.
        tolerance: What the rows were held against.
    """

    invoice: Invoice
    rows: Sequence[Compared]
    tolerance: Tolerance
    other_nano_usd: int
    other_lines: int
    nameless: int

    @property
    def differing(self) -> list[Compared]:
        """The rows that differ by more than the tolerance, the largest difference first."""
        return sorted((row for row in self.rows if row.differs), key=lambda row: -abs(row.gap))

    @property
    def slight(self) -> int:
        """How many rows differ by more than the share, and by so little money that nobody is told."""
        strict = Tolerance(share=self.tolerance.share, nano_usd=0)
        return sum(not row.differs and strict.exceeded(row.invoice_nano_usd, row.ours_nano_usd) for row in self.rows)


def reconciled(invoice: Invoice, ours: Recorded, prices: PriceList, tolerance: Tolerance) -> Reconciliation:
    """Compare every model and day that either side has."""
    charges, others = _charges(invoice.lines)
    by_model = bool(charges) or not others
    if not by_model:  # nobody named a model: days are all there is to compare
        charges, others = [line for line in others if line.nano_usd >= 0], [o for o in others if o.nano_usd < 0]
    named = model_names({model for model, _ in ours.cells}, {line.model or "" for line in charges})
    # A credit stands under a name of its own, which is no model.
    stray = {line.model for line in charges if line.nano_usd < 0} - {
        line.model for line in charges if line.nano_usd >= 0
    }
    known = {named[model] for model, _ in ours.cells}
    strays = [line for line in charges if line.model in stray and named[line.model or ""] not in known]
    charges = [line for line in charges if line not in strays]

    def key(model: str, day: date) -> tuple[date, str]:
        return day, named[model] if by_model else ALL_MODELS

    lines: dict[tuple[date, str], list[Line]] = {}
    for line in charges:
        lines.setdefault(key(line.model or "", line.day), []).append(line)
    figures: dict[tuple[date, str], list[tuple[str, Figures]]] = {}
    for (model, day), each in ours.cells.items():
        figures.setdefault(key(model, day), []).append((model, each))
    known |= set() if by_model else {ALL_MODELS}
    rows = [
        _compared(invoice, place, lines.get(place, []), figures.get(place, []), ours, prices, tolerance, known)
        for place in sorted({*lines, *figures})
    ]
    others = [*others, *strays]
    return Reconciliation(
        invoice=invoice,
        tolerance=tolerance,
        rows=rows,
        other_nano_usd=sum(line.nano_usd for line in others),
        other_lines=len(others),
        nameless=ours.nameless,
    )


def _charges(lines: Sequence[Line]) -> tuple[list[Line], list[Line]]:
    """The lines that name a model, and the others."""
    return [line for line in lines if line.model], [line for line in lines if not line.model]


def _compared(
    invoice: Invoice,
    place: tuple[date, str],
    lines: Sequence[Line],
    figures: Sequence[tuple[str, Figures]],
    ours: Recorded,
    prices: PriceList,
    tolerance: Tolerance,
    known: set[str],
) -> Compared:
    day, model = place
    by_class: dict[Class, int] = {}
    for line in lines:
        if line.usage is not None:
            by_class[line.usage] = by_class.get(line.usage, 0) + line.nano_usd
    case = Case(
        invoice_nano_usd=sum(line.nano_usd for line in lines),
        by_class=by_class,
        batch_nano_usd=sum(line.nano_usd for line in lines if line.batch),
        recorded=[(each, _card(prices, invoice, name, day)) for name, each in figures],
        known_model=model in known,
        hours=ours.hours.get(day, ()),
    )
    differs = tolerance.exceeded(case.invoice_nano_usd, case.ours)
    return Compared(
        model=model,
        day=day,
        invoice_nano_usd=case.invoice_nano_usd,
        ours_nano_usd=case.ours,
        calls=sum(each.calls for _, each in figures),
        unpriced=sum(each.unpriced for _, each in figures),
        differs=differs,
        explained=explain_difference(case) if differs else None,
    )


def _card(prices: PriceList, invoice: Invoice, model: str, day: date) -> RateCard | None:
    card = prices.card(invoice.provider, model, at=start_of(day, invoice.zone)) if model else None
    return None if isinstance(card, Unpriced) else card
