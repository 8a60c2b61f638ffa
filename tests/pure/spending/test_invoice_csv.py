"""Invoices as files: the providers' own exports, anybody's, and hostile ones."""

from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from watchkeeper.foundation.errors import Misconfigured, Rejected
from watchkeeper.spending.invoice import Line, model_names, usage_class
from watchkeeper.spending.invoice_csv import read_csv

UTC = ZoneInfo("UTC")
OPENAI = (
    "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,quantity,quantity_unit,line_item,"
    "user_id,api_key_id,project_id,organization_id,project_name,organization_name,user_email,api_source\n"
    "1790467200,1790553600,2026-09-27T00:00:00+00:00,2026-09-28T00:00:00+00:00,,,,,,,,,,,,,\n"
    "1790553600,1790640000,2026-09-28T00:00:00+00:00,2026-09-29T00:00:00+00:00,0.50000000000,usd,1000,tokens,"
    '"gpt-5-nano, cached input",,,,,,,,\n'
    "1790553600,1790640000,2026-09-28T00:00:00+00:00,2026-09-29T00:00:00+00:00,1.25,usd,1000,tokens,"
    '"gpt-5-nano, batch output",,,,,,,,\n'
)
ANTHROPIC = (
    "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type,"
    "inference_geo,speed\n"
    "2026-08-15,Claude Haiku 4.5,Default,key,message,≤ 200k,input_no_cache,0.19,0.19,token,global,\n"
    "2026-08-15,Claude Haiku 4.5,Default,key,batch,≤ 200k,input_cache_write_5m,0.03,0.03,token,global,\n"
)


def read(tmp_path: Path, text: str | bytes, **options: Any) -> list[Line]:
    file = tmp_path / "invoice.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_csv(file, **{"zone": UTC, **options}).lines


def test_the_cost_export_of_openai_is_read_as_it_is(tmp_path: Path) -> None:
    day = date(2026, 9, 28)
    assert read(tmp_path, OPENAI) == [
        Line(day=day, model="gpt-5-nano", usage="cache_read", nano_usd=500_000_000),
        Line(day=day, model="gpt-5-nano", usage="output", nano_usd=1_250_000_000, batch=True),
    ]


def test_the_cost_export_of_anthropic_is_read_as_it_is(tmp_path: Path) -> None:
    day = date(2026, 8, 15)
    assert read(tmp_path, ANTHROPIC) == [
        Line(day=day, model="Claude Haiku 4.5", usage="input", nano_usd=190_000_000),
        Line(day=day, model="Claude Haiku 4.5", usage="cache_write", nano_usd=30_000_000, batch=True),
    ]


def test_an_export_of_a_spreadsheet_is_read_byte_order_mark_semicolons_quoted_lines_and_all(tmp_path: Path) -> None:
    text = (
        '\r\n"Date";"Model";"Note";"Amount"\r\n2026/11/1;gpt-a;"two\r\nlines; and ""quotes""";1.234,50\r\n'
        "2026/11/2;gpt-a;refund;(3,00)\r\n;;;\r\nTotal;;;1.231,50\r\n"
    )
    wanted = [
        Line(day=date(2026, 11, 1), model="gpt-a", usage=None, nano_usd=1_234_500_000_000),
        Line(day=date(2026, 11, 2), model="gpt-a", usage=None, nano_usd=-3_000_000_000),
    ]
    assert read(tmp_path, b"\xef\xbb\xbf" + text.encode()) == wanted
    assert read(tmp_path, text.encode("utf-16")) == wanted
    assert read(tmp_path, "sep=;" + text) == wanted


def test_columns_and_days_of_another_name_and_form_can_be_told(tmp_path: Path) -> None:
    text = "When\tWhat\tNet (USD)\tPaid\n11/02/2026\tgpt-a\t1.5\t99\n"
    with pytest.raises(
        Misconfigured, match="no column looks like the day; name it: --column day=HEADER; there are: When"
    ):
        read(tmp_path, text)
    columns = {"day": "when", "model": "What", "cost": "Net (USD)"}
    with pytest.raises(Rejected, match=r"invoice.csv:2: day: '11/02/2026' is no ISO day; .*--day-format"):
        read(tmp_path, text, columns=columns)
    [line] = read(tmp_path, text, columns=columns, day_format="%m/%d/%Y")
    assert (line.day, line.model, line.nano_usd) == (date(2026, 11, 2), "gpt-a", 1_500_000_000)
    with pytest.raises(Misconfigured, match="no column 'Gross' for cost"):
        read(tmp_path, text, columns={**columns, "cost": "Gross"})


def test_an_instant_is_of_the_day_it_is_in_where_the_invoice_is_from(tmp_path: Path) -> None:
    text = "date,model,cost\n2026-11-02T03:00:00Z,a,1\n2026-11-02T00:00:00Z,a,1\n"
    days = [line.day.day for line in read(tmp_path, text, zone=ZoneInfo("America/New_York"))]
    assert days == [1, 2]  # the second is a whole day of UTC, as reports begin it


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("date,model,cost\n2026-11-01,a,12 EUR\n", "invoice.csv:2: cost: '12 EUR' is not in US dollars"),
        ("date,model,cost,currency\n2026-11-01,a,12,eur\n", "invoice.csv:2: currency: 'EUR' is not USD"),
        ("date,model,cost\n2026-11-01,a,1\n2026-11-31,a,1\n", "invoice.csv:3: day: '2026-11-31'"),
        ("date,model,cost\n2026-11-01,a,banana\n", "invoice.csv:2: cost: 'banana' is no amount"),
        ('date,model,cost\n2026-11-01,a,1.5\n2026-11-01,a,"1,5"\n', "cost: some amounts have a decimal point"),
        ("usage_date_utc,model_version,usage_output_tokens\n2026-11-01,a,5\n", "has tokens but no cost"),
        (b"date,model,cost\n2026-11-01,\xff\xfe,1\n", "is not UTF-8 text"),
        (b"PK\x03\x04\x00\x00", "is no text"),
        ('date,model,cost\n2026-11-01,"' + "a" * 200_000 + '",1\n', "row: field larger"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises((Misconfigured, Rejected)) as error:
        read(tmp_path, text)
    assert said in str(error.value)
    assert len(str(error.value)) < 400


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot be read: No such file"):
        read_csv(tmp_path / "none.csv", zone=UTC)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("cached input", "cache_read"),
        ("input_cache_read", "cache_read"),
        ("cache_creation.ephemeral_5m_input_tokens", "cache_write"),
        ("input_no_cache", "input"),
        ("uncached_input_tokens", "input"),
        ("output_tokens", "output"),
        ("web search", "other"),
        ("", None),
    ],
)
def test_the_words_of_providers_are_usage_classes(text: str, wanted: str | None) -> None:
    assert usage_class(text) == wanted


def test_models_are_compared_under_one_name() -> None:
    names = model_names(
        {"claude-haiku-4-5-20251001", "claude-3-5-haiku-20241022", "gpt-4o-2024-08-06", "gpt-4o-2024-05-13", "gpt-5"},
        {"Claude Haiku 4.5", "Claude Haiku 3.5", "gpt-4o", "openai/gpt-5", "o9"},
    )
    assert names["Claude Haiku 4.5"] == names["claude-haiku-4-5-20251001"] == "claude-haiku-4-5"
    assert names["Claude Haiku 3.5"] == names["claude-3-5-haiku-20241022"]
    assert names["gpt-4o"] == names["gpt-4o-2024-08-06"] == names["gpt-4o-2024-05-13"] == "gpt-4o"
    assert names["openai/gpt-5"] == names["gpt-5"] == "gpt-5"
    assert names["o9"] == "o9"


def test_snapshots_that_both_sides_name_stay_apart() -> None:
    both = {"gpt-4o-2024-08-06", "gpt-4o-2024-05-13"}
    assert model_names(both, both) == {name: name for name in both}
