"""The fast way from records to XML gives what the careful one gives, and both what a spreadsheet reads back."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openpyxl.utils.escape import unescape

from engine.errors import OptionError
from engine.results.csv_format import encode_lines, format_record
from engine.results.sheet_rows import MAX_SHEET_COLUMNS, _plain_rows, xml_of_records, xml_of_rows

Rows = list[list[str]]

CELLS = st.one_of(
    st.text(st.sampled_from('ab,"&<>'), max_size=5),
    st.text(st.sampled_from('a,"&<>\r\n\t \x00\x1f\ufffe\uffff_x01é😀'), max_size=8),
    st.sampled_from(["", "_x0041_", "%s", "{}", "a\nb", "a\r\nb", "x" * 16_384]),
)
ROWS = st.lists(st.lists(CELLS, min_size=1, max_size=4), min_size=1, max_size=6)


def records(rows: Rows) -> bytes:
    return encode_lines([format_record(row) or '""' for row in rows])


@given(ROWS)
@example([["a&b", "<c>"], ["", "d"]])
def test_records_become_the_same_xml_as_their_cells(rows: Rows) -> None:
    assert xml_of_records(records(rows), 7, 7) == xml_of_rows(rows, 7, 7)


@given(ROWS)
def test_every_cell_stands_at_its_place_as_the_text_it_was(rows: Rows) -> None:
    found = xml_of_rows(rows, 5, 5)
    assert (found.row_count, found.column_count) == (len(rows), max(map(len, rows)))
    table = ElementTree.fromstring(f"<s>{found.xml}</s>")  # noqa: S314 - our own text
    for number, (row, element) in enumerate(zip(rows, table, strict=True), 5):
        assert element.get("r") == str(number)
        cells = {cell.get("r"): unescape(cell.findtext("is/t") or "") for cell in element}
        assert {cell.get("t") for cell in element} <= {"inlineStr"}
        expected = {f"{'ABCD'[column]}{number}": text for column, text in enumerate(row) if text}
        assert cells == expected | {f"{'ABCD'[len(row) - 1]}{number}": row[-1]}


def test_ordinary_rows_take_the_fast_way() -> None:
    assert _plain_rows(records([["1", 'a "b", c', "", "é & Co", "two\nlines"]])) is not None


@pytest.mark.parametrize("cell", [" a", "a ", "\ta", "a\n", "a\rb", "\x01", "\ufffe", "_x0041_", "x" * 20_000])
def test_rows_with_a_cell_that_needs_care_do_not(cell: str) -> None:
    assert _plain_rows(records([["1", cell, "b"]])) is None


def test_a_row_too_wide_is_named_by_its_line_on_either_way() -> None:
    rows = [["a"], ["b"] * (MAX_SHEET_COLUMNS + 1)]
    for make in (lambda: xml_of_records(records(rows), 2, 102), lambda: xml_of_rows(rows, 2, 102)):
        with pytest.raises(OptionError, match=r"Row 103 of the result has 16,385 cells"):
            make()
