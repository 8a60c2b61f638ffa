"""`spend reconcile`: whether the invoice agrees."""

import os
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from watchkeeper.cli.console import ConfigOption, JsonOption, print_json, say
from watchkeeper.cli.instants import instant_of
from watchkeeper.cli.tabular import money, word
from watchkeeper.foundation.errors import Misconfigured, NotFound

if TYPE_CHECKING:
    from watchkeeper.spending.invoice import Invoice
    from watchkeeper.spending.invoice_csv import Role
    from watchkeeper.spending.reconcile import Compared, Reconciliation

_DAY_HELP = "A day (2026-11-01), ISO time with a zone, or an age: 30d."


def reconcile(
    invoice: Annotated[
        Path | None,
        typer.Argument(help="CSV: OpenAI's and Anthropic's cost exports, or any. None: ask the provider's cost API."),
    ] = None,
    provider: Annotated[str, typer.Option("--provider", help="As records name it: openai, anthropic …")] = "openai",
    since: Annotated[
        str | None, typer.Option("--since", help=f"First day; default: the invoice's, or 7d. {_DAY_HELP}")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", help=f"The day after the last; default: the invoice's end. {_DAY_HELP}")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column", metavar="WHAT=HEADER", help="Where day, model, cost, class, currency or tier is. Repeatable."
        ),
    ] = None,
    day_format: Annotated[
        str | None, typer.Option("--day-format", help="Of days that are not ISO, e.g. %m/%d/%Y.", show_default=False)
    ] = None,
    timezone: Annotated[str, typer.Option("--timezone", help="Whose days the invoice has.")] = "UTC",
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0, max=1, help="Share of the invoice that may differ.")
    ] = 0.05,
    minimum: Annotated[
        float, typer.Option("--minimum-usd", min=0, max=1e6, help="Smaller differences are not told.")
    ] = 0.10,
    key_env: Annotated[
        str | None,
        typer.Option("--api-key-env", help="Environment variable of the administrator's key.", show_default=False),
    ] = None,
    base_url: Annotated[
        str | None, typer.Option("--base-url", help="Instead of the provider's own address.", show_default=False)
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", help="Show the days that agree too.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """An invoice against our figure per model and day. Exit 1: one differs by more than the tolerance; says why.

    Only days that are over are compared.
    """
    from watchkeeper.app import open_app
    from watchkeeper.foundation.money import nano_usd
    from watchkeeper.jobs.prices import price_list
    from watchkeeper.spending import service
    from watchkeeper.spending.reconcile import Tolerance

    zone = _zone(timezone)
    columns = _columns(column or [])
    with open_app(config) as opened:
        now = opened.clock.now()
        first, after = _day("--since", since, now, zone), _day("--until", until, now, zone)
        if first and after and first >= after:
            raise Misconfigured("--since must be a day before --until")
        last = None if after is None else after - timedelta(days=1)
        if invoice is None:
            charged = _asked(provider, key_env, base_url, first, last, now, zone)
        else:
            charged = _read(invoice, provider, columns, day_format, first, last, now, zone)
        found = service.reconcile(
            opened.store, opened.settings.store.facts, charged, price_list(opened.settings),
            tolerance=Tolerance(share=tolerance, nano_usd=nano_usd(minimum)),
        )  # fmt: skip
    if as_json:
        print_json(_document(found))
    else:
        _print(found, show_all=show_all)
    if found.differing:
        raise typer.Exit(1)


def _read(
    file: Path,
    provider: str,
    columns: dict["Role", str],
    day_format: str | None,
    first: date | None,
    last: date | None,
    now: datetime,
    zone: ZoneInfo,
) -> "Invoice":
    from watchkeeper.spending.invoice import invoice_of
    from watchkeeper.spending.invoice_csv import read_csv

    sheet = read_csv(file, columns=columns, day_format=day_format, zone=zone)
    return invoice_of(
        provider, sheet.lines, first=first, last=last, zone=zone, now=now, ignored=sheet.ignored
    )  # fmt: skip


def _asked(
    provider: str,
    key_env: str | None,
    base_url: str | None,
    first: date | None,
    last: date | None,
    now: datetime,
    zone: ZoneInfo,
) -> "Invoice":
    from watchkeeper.spending.cost_reports import COST_APIS, fetch
    from watchkeeper.spending.invoice import invoice_of

    if provider not in COST_APIS:
        raise NotFound("cost API", provider, list(COST_APIS), where="(name an invoice file instead)")
    if zone.key != "UTC":
        raise Misconfigured("--timezone: the cost APIs have days of UTC")
    name = key_env or COST_APIS[provider].key_env
    key = os.environ.get(name)
    if not key:
        raise Misconfigured(
            f"the environment variable {name} has no key; it takes an administrator's key of {provider}"
        )
    yesterday = now.date() - timedelta(days=1)
    last = min(last or yesterday, yesterday)
    first = first or last - timedelta(days=6)
    lines = fetch(provider, key, first, last, base_url=base_url)
    return invoice_of(provider, lines, first=first, last=last, zone=zone, now=now)


def _columns(given: list[str]) -> dict["Role", str]:
    from watchkeeper.spending.invoice_csv import ROLES

    found: dict[Role, str] = {}
    for text in given:
        name, equals, header = text.partition("=")
        role = next((role for role in ROLES if role == name.strip()), None)
        if role is None or not equals or not header.strip():
            raise Misconfigured(f"--column {text!r}: write WHAT=HEADER; WHAT is one of {', '.join(ROLES)}")
        found[role] = header.strip()
    return found


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise Misconfigured(f"--timezone {name!r}: no such time zone; write UTC or America/New_York") from None


def _day(option: str, text: str | None, now: datetime, zone: ZoneInfo) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        at = instant_of(option, text, now)
        return None if at is None else at.astimezone(zone).date()


def _document(found: "Reconciliation") -> dict[str, Any]:
    from watchkeeper.foundation.money import usd

    def row(each: "Compared") -> dict[str, Any]:
        why = each.explained
        return {
            "model": each.model,
            "day": each.day.isoformat(),
            "invoice_usd": usd(each.invoice_nano_usd),
            "ours_usd": usd(each.ours_nano_usd),
            "difference_usd": usd(each.gap),
            "calls": each.calls,
            "unpriced": each.unpriced,
            "differs": each.differs,
            "explained": None
            if why is None
            else {"cause": why.cause, "closes": why.closes, "usd": usd(why.nano_usd), "words": why.words},
        }

    return {
        "provider": found.invoice.provider,
        "first_day": found.invoice.first.isoformat(),
        "last_day": found.invoice.last.isoformat(),
        "timezone": found.invoice.zone.key,
        "invoice_usd": usd(sum(each.invoice_nano_usd for each in found.rows)),
        "ours_usd": usd(sum(each.ours_nano_usd for each in found.rows)),
        "other": {"lines": found.other_lines, "usd": usd(found.other_nano_usd)},
        "ignored_rows": found.invoice.ignored,
        "calls_without_provider": found.nameless,
        "differs": bool(found.differing),
        "rows": [row(each) for each in found.rows],
    }


def _print(found: "Reconciliation", *, show_all: bool) -> None:
    invoice, ours = (sum(getattr(each, name) for each in found.rows) for name in ("invoice_nano_usd", "ours_nano_usd"))
    print(
        f"{found.invoice.provider} {found.invoice.first} to {found.invoice.last} ({found.invoice.zone.key}): "
        f"invoice {money(invoice)}, ours {money(ours)}, {_percent(invoice, ours)}"
    )
    rows = [
        [
            str(each.day),
            word(each.model),
            money(each.invoice_nano_usd),
            money(each.ours_nano_usd),
            _percent(each.invoice_nano_usd, each.ours_nano_usd),
            _why(each),
        ]
        for each in (found.rows if show_all else found.differing)
    ]
    for line in _aligned([["day", "model", "invoice", "ours", "differs by", "because"], *rows] if rows else []):
        print(line)
    agree = len(found.rows) - len(found.differing) - found.slight
    least = money(found.tolerance.nano_usd)
    said = [
        (agree, "of model and day agree"),
        (found.slight, f"differ by more than {found.tolerance.share:.0%}, but by less than {least}"),
        (found.other_lines, f"lines name no model (credits, fees): {money(found.other_nano_usd)}, not compared"),
        (found.nameless, "recorded calls name no provider and are not compared"),
        (found.invoice.ignored, "rows are no lines: no amount, sums, other days, or days that are not over"),
    ]
    for count, words in said:
        if count:
            say(f"{count:,} {words}")


def _why(each: "Compared") -> str:
    if not each.differs:
        return ""
    if each.explained is None:
        return "not explained"
    return f"{each.explained.words} ({each.explained.closes:.0%} of it)"


def _percent(invoice: int, ours: int) -> str:
    return "-" if not invoice else f"{(ours - invoice) / abs(invoice):+.1%}"


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            c.rjust(w) if 2 <= n <= 4 else c.ljust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
