"""Numbers as they stand in a workbook's XML, and their percentages."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from engine.staging.excel.number_texts import percent_text
from engine.staging.excel.texts import number_text
from tests.readers.strategies import examples

numbers = (
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=6).map(str)
    | st.floats(allow_nan=False, allow_infinity=False, min_value=-1e30, max_value=1e30).map(repr)
    | st.integers(-(10**17), 10**17).map(str)
    | st.sampled_from(
        ["0", "-0", "0.0", "00.5", ".5", "5.", "1E-7", "0.05", "-0.001", "0.1", "1e3", "64.59999999999999"]
    )
)


@examples(500)
@given(numbers, st.integers(0, 4))
def test_a_percentage_is_a_hundred_times_the_number(text: str, decimals: int) -> None:
    found = percent_text(text, decimals)
    assert found.endswith("%")
    whole, _, behind = found[:-1].partition(".")
    assert Decimal(found[:-1]) == Decimal(number_text(float(text))) * 100
    assert len(behind) >= decimals
    assert len(behind) == decimals or not behind.endswith("0")
    assert whole == str(int(whole)) or whole == "-0"


@examples(1000)
@given(
    st.floats(allow_nan=False, allow_infinity=False)
    | st.builds(lambda n, k: n / 10**k, st.integers(), st.integers(0, 9))
)
def test_a_number_that_16_digits_cannot_tell_from_one_of_15_is_that_one(value: float) -> None:
    short = f"{value:.15g}"
    expected = short if f"{float(short):.16g}" == f"{value:.16g}" else repr(value)
    if value.is_integer() and abs(value) < 10**16:
        expected = str(int(value))
    assert number_text(value) == format(Decimal(expected), "f")
