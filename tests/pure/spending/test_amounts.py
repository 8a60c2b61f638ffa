"""Money as spreadsheets write it: read in one way only, or refused."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.spending.amounts import decimal_sign, nano_amount


@pytest.mark.parametrize(
    ("text", "sign", "usd"),
    [
        ("12.5", ".", "12.5"),
        ("$1,234.50", ".", "1234.5"),
        ("1.234,50", ",", "1234.5"),
        ("1 234,50 USD", ",", "1234.5"),
        ("1\u202f234,50", ",", "1234.5"),
        ("1'234.50", ".", "1234.5"),
        ("-3", ".", "-3"),
        ("(3.00)", ".", "-3"),
        ("\u22123.00", ".", "-3"),
        ("-$3.00", ".", "-3"),
        ("3.00-", ".", "-3"),
        ("1.5e-05", ".", "0.000015"),
        (".25", ".", "0.25"),
        ("0.0038359800000000000000", ".", "0.00383598"),
        ("1,234,567", ".", "1234567"),
    ],
)
def test_an_amount_is_read_exactly(text: str, sign: str, usd: str) -> None:
    assert nano_amount(text, sign) == Decimal(usd) * 10**9


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "banana",
        "NaN",
        "Infinity",
        "1.2.3",
        "12,34.5",
        "1,23,456.0",
        "0x10",
        "€3",
        "3 EUR",
        "9e99",
        "=1+1",
        "٣",
    ],
)
def test_what_is_no_amount_of_dollars_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"amount|US dollars|charged"):
        nano_amount(text, ".")


@pytest.mark.parametrize(
    ("values", "semicolons", "sign"),
    [
        (["1,234", "1,234.5"], False, "."),
        (["1.234", "1.234,5"], True, ","),
        (["1,5", "2"], False, ","),
        (["1.5", "2"], True, "."),
        (["1,234"], False, "."),
        (["1,234"], True, ","),
        (["1,234,567"], True, "."),
        (["0,125"], False, ","),
        (["12"], False, "."),
    ],
)
def test_the_decimal_sign_is_what_the_whole_column_says(values: list[str], semicolons: bool, sign: str) -> None:
    assert decimal_sign(values, semicolons=semicolons) == sign


def test_a_column_with_both_decimal_signs_is_refused() -> None:
    with pytest.raises(ValueError, match="decimal comma"):
        decimal_sign(["1.50", "1,50"], semicolons=False)


@given(st.decimals(-(10**9), 10**9, places=4, allow_nan=False), st.sampled_from(["en", "de"]))
def test_whatever_the_spelling_the_amount_is_the_same(amount: Decimal, spelling: str) -> None:
    text = f"{amount:,.4f}"
    if spelling == "de":
        text = text.translate(str.maketrans(",.", ".,"))
    assert nano_amount(text, decimal_sign([text], semicolons=False)) == amount * 10**9
