"""An invoice from a file of comma-separated values: the providers' cost exports as they are, others by columns."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from watchkeeper.foundation.errors import Misconfigured, Rejected
from watchkeeper.spending.amounts import decimal_sign, nano_amount
from watchkeeper.spending.invoice import Class, Line, usage_class

Role = Literal["day", "model", "cost", "class", "currency", "tier"]
"""What a column tells."""

ROLES: tuple[Role, ...] = ("day", "model", "cost", "class", "currency", "tier")

_LARGEST = 512 * 2**20
_SUMS = {"total", "sum", "subtotal", "grand total", "gesamt", "summe"}

_NAMES: Mapping[Role, Sequence[str]] = {
    "day": ("usage_date_utc", "start_time_iso", "start_time", "usage_date", "date", "day", "timestamp", "period"),
    "model": ("model", "model_version", "model_name", "line_item", "description", "sku"),
    "cost": ("cost_usd", "amount_value", "amount_usd", "cost", "amount", "total_cost", "total", "price_usd", "usd"),
    "class": ("token_type", "usage_class", "class", "usage_type", "line_item"),
    "currency": ("amount_currency", "currency"),
    "tier": ("service_tier", "tier", "usage_type", "line_item"),
}
"""Role -> headers it is found by, the surest first. The first of each are Anthropic's and OpenAI's cost exports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """The lines of a file, and how many rows were none: without an amount, or sums."""

    lines: list[Line]
    ignored: int


def read_csv(
    file: Path, *, columns: Mapping[Role, str] | None = None, day_format: str | None = None, zone: ZoneInfo
) -> Sheet:
    """Read an invoice.

    Args:
        columns: Role -> header, where it is not found by its name.
        day_format: As strptime has it, where days are not ISO; e.g. "%m/%d/%Y".
        zone: Whose days an instant is put into.

    Raises:
        Misconfigured: If the file cannot be read, or a column is not there.
        Rejected: At the first row that cannot be read, as `FILE:line: column: problem`.
    """
    text = _text(file)
    separator, text, skipped = _separator(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    rows: list[tuple[int, list[str]]] = []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append((reader.line_num + skipped, [cell.strip() for cell in row]))
    except csv.Error as error:
        raise Rejected(f"{file}:{reader.line_num + skipped}: row: {error}") from None
    if not rows:
        raise Misconfigured(f"{file}: is empty")
    place = _places(file, rows[0][1], columns or {})
    return _lines(file, rows[1:], place, day_format, zone, semicolons=separator == ";")


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > _LARGEST:
            raise Misconfigured(f"{file}: is larger than 512 MiB; export a shorter time")
        raw = file.read_bytes()
    except OSError as error:
        raise Misconfigured(f"{file}: cannot be read: {error.strerror}") from None
    wide = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = raw.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        raise Misconfigured(f"{file}: is not UTF-8 text; export it as CSV (UTF-8)") from None
    if "\0" in text:
        raise Misconfigured(f"{file}: is no text; export it as CSV (UTF-8)")
    return text


def _separator(text: str) -> tuple[str, str, int]:
    """What separates the columns, the text from its header on, and how many lines came before."""
    skipped = len(text) - len(text.lstrip("\r\n"))
    lines = text[:skipped].count("\n")
    text = text[skipped:]
    if told := re.match(r"sep=(.)\r?\n", text):  # written by and for Excel
        return told[1], text[told.end() :], lines + 1
    header = re.sub(r'"[^"]*"', "", text.partition("\n")[0])
    return max(",;\t|", key=header.count), text, lines


def _places(file: Path, header: Sequence[str], told: Mapping[Role, str]) -> dict[Role, int]:
    plain = [_plain(name) for name in header]
    found: dict[Role, int] = {}
    for role in ROLES:
        if role in told:
            if _plain(told[role]) not in plain:
                raise Misconfigured(f"{file}: no column {told[role]!r} for {role}; there are: {_shown(header)}")
            found[role] = plain.index(_plain(told[role]))
            continue
        known = next((name for name in _NAMES[role] if name in plain), None)
        if known is not None:
            found[role] = plain.index(known)
    if "cost" not in found and any("token" in name for name in plain):
        raise Misconfigured(
            f"{file}: has tokens but no cost; export costs, not usage, or name it: --column cost=HEADER"
        )
    for role in ("day", "cost"):
        if role not in found:
            raise Misconfigured(
                f"{file}: no column looks like the {role}; name it: --column {role}=HEADER; there are: {_shown(header)}"
            )
    return found


def _plain(name: str) -> str:
    """A header as names are compared: "Cost (USD)" is cost_usd."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _shown(header: Sequence[str]) -> str:
    names = ", ".join("".join(c if c.isprintable() else "?" for c in name)[:40] or "(nameless)" for name in header[:12])
    return f"{names}, …" if len(header) > 12 else names


def _lines(
    file: Path,
    rows: Sequence[tuple[int, list[str]]],
    place: Mapping[Role, int],
    day_format: str | None,
    zone: ZoneInfo,
    *,
    semicolons: bool,
) -> Sheet:
    def cell(row: Sequence[str], role: Role) -> str:
        at = place.get(role)
        return row[at] if at is not None and at < len(row) else ""

    amounts = [cell(row, "cost") for _, row in rows]
    try:
        sign = decimal_sign([amount for amount in amounts if amount], semicolons=semicolons)
    except ValueError as error:
        raise Rejected(f"{file}: cost: {error}") from None
    lines: list[Line] = []
    for (number, row), amount in zip(rows, amounts, strict=True):
        day = cell(row, "day")
        if not amount or not day or day.lower().rstrip(":") in _SUMS:
            continue
        if (currency := cell(row, "currency").upper()) not in ("", "USD", "US$", "$"):
            raise Rejected(f"{file}:{number}: currency: {currency[:20]!r} is not USD; convert the file first")
        try:
            on = _day(day, day_format, zone)
        except (ValueError, OverflowError, OSError):
            hint = f"is not {day_format}" if day_format else "is no ISO day; say how to read it: --day-format %m/%d/%Y"
            raise Rejected(f"{file}:{number}: day: {day[:40]!r} {hint}") from None
        try:
            nano = nano_amount(amount, sign)
        except ValueError as error:
            raise Rejected(f"{file}:{number}: cost: {error}") from None
        item = line_item(cell(row, "model"))
        usage = item[1] if place.get("class") == place.get("model") else usage_class(cell(row, "class"))
        batch = item[2] or "batch" in cell(row, "tier").lower()
        lines.append(Line(day=on, model=item[0], usage=usage, nano_usd=nano, batch=batch))
    return Sheet(lines=lines, ignored=len(rows) - len(lines))


def line_item(text: str | None) -> tuple[str | None, Class | None, bool]:
    """Model, usage class and whether it was a batch, of words like "gpt-4o-2024-08-06, cached input"."""
    name, comma, rest = (text or "").partition(",")
    return name.strip() or None, usage_class(rest) if comma else None, "batch" in rest.lower()


def _day(text: str, day_format: str | None, zone: ZoneInfo) -> date:
    if day_format is not None:
        return datetime.strptime(text, day_format).replace(tzinfo=UTC).date()
    if match := re.fullmatch(r"(\d{4})[/.](\d{1,2})[/.](\d{1,2})", text):
        return date(*map(int, match.groups()))
    seconds = re.fullmatch(r"\d{9,10}(?:\.\d+)?", text)
    at = datetime.fromtimestamp(float(text), UTC) if seconds else datetime.fromisoformat(text)
    if at.tzinfo is None:
        return at.date()
    return day_of(at, zone)


def day_of(at: datetime, zone: ZoneInfo) -> date:
    """The day an instant is in; one at which a day of UTC begins stands for that day, as in the providers' reports."""
    in_utc = at.astimezone(UTC)
    return in_utc.date() if in_utc.time() == time() else at.astimezone(zone).date()
