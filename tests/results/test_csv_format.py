import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.results.csv_format import (
    LINE_END,
    encode_lines,
    escape_formula,
    escape_row,
    format_record,
    header_cells,
    header_line,
    quote_cell,
    result_line,
    unescape_formula,
)

#: Any text UTF-8 can hold, with what makes CSV difficult more often than by chance.
CELLS = st.one_of(
    st.text(alphabet=st.sampled_from("\",\r\n\t;= 'a0é😀\0\ufeff"), max_size=8),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
ROWS = st.lists(CELLS, max_size=8)
NUMBERS = st.one_of(
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["+1", "-1.", "-.5", "+1e9", "-1E-9", "-0", "+00.10"]),
)


def parse(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))


@given(rows=st.lists(st.tuples(ROWS, CELLS), max_size=6))
@example(rows=[([], ""), ([], "x"), ([""], ""), ([""], "x"), (["", ""], "")])
def test_pythons_csv_module_reads_back_every_row_with_its_extra_cell(rows: list[tuple[list[str], str]]) -> None:
    data = encode_lines([result_line(row, extra) for row, extra in rows])
    assert parse(data) == [[*row, extra] for row, extra in rows]


@given(row=ROWS, extra=CELLS)
@example(row=[], extra="")
@example(row=[""], extra="")
def test_lines_are_byte_for_byte_what_pythons_csv_writer_makes(row: list[str], extra: str) -> None:
    expected = io.StringIO(newline="")
    csv.writer(expected, lineterminator=LINE_END).writerow([*row, extra])
    assert encode_lines([result_line(row, extra)]) == expected.getvalue().encode()


@given(row=ROWS, extra=CELLS)
def test_a_line_is_the_record_followed_by_the_extra_cell(row: list[str], extra: str) -> None:
    if row:
        assert result_line(row, extra) == f"{format_record(row)},{quote_cell(extra)}"


@pytest.mark.parametrize(
    ("row", "extra", "line"),
    [
        ([], "x", "x"),
        ([], "", '""'),
        ([""], "x", ",x"),
        ([""], "", ","),
        (["a", "b"], "x,y", 'a,b,"x,y"'),
        (['5" pipe', "a,b"], "", '"5"" pipe","a,b",'),
        (["a\rb", "c\nd"], "e", '"a\rb","c\nd",e'),
    ],
)
def test_rows_at_the_edge(row: list[str], extra: str, line: str) -> None:
    assert result_line(row, extra) == line


def test_no_lines_are_no_bytes_and_lone_surrogates_are_shown() -> None:
    assert encode_lines([]) == b""
    assert encode_lines(["é", "\ud800!"]) == "é\r\n\\ud800!\r\n".encode()


def test_header_is_positional_as_in_the_guide() -> None:
    cells = header_cells(["name", "surname", "email"], 3, "failed")
    assert header_line(cells) == b"col_0,col_1,col_2,import_error\r\n"
    assert header_cells([], 2, "success") == ["col_0", "col_1", "import_result"]


def test_header_keeps_the_sources_names_when_asked() -> None:
    cells = header_cells(["name", "a,b"], 2, "success", "source")
    assert header_line(cells) == b'name,"a,b",import_result\r\n'
    assert header_cells([], 1, "failed", "source") == ["col_0", "import_error"]


def test_header_is_escaped_like_any_row() -> None:
    cells = header_cells(["=cmd"], 1, "failed", "source")
    assert header_line(cells, escape_formulae=True) == b"'=cmd,import_error\r\n"


@pytest.mark.parametrize("cell", ["=1+1", "+49 30 1", "-1-1", "@SUM(A1)", "\tx", "\rx", "'=1", "-1,5", "--1", "-1\n"])
def test_cells_a_spreadsheet_would_run_get_an_apostrophe(cell: str) -> None:
    assert escape_formula(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["", "a", "'a", "'", "1", "a=b", " =1", "'-1"])
def test_other_cells_are_left_alone(cell: str) -> None:
    assert escape_formula(cell) == unescape_formula(cell) == cell


@given(NUMBERS)
def test_numbers_are_never_escaped(number: str) -> None:
    assert escape_formula(number) == number
    assert unescape_formula(number) == number


@given(st.text(alphabet=st.sampled_from("'=+-@\t\r1e.x"), max_size=6) | CELLS)
def test_unescape_restores_whatever_was_escaped(cell: str) -> None:
    assert unescape_formula(escape_formula(cell)) == cell


@given(ROWS)
def test_escaping_a_row_escapes_its_cells(row: list[str]) -> None:
    assert escape_row(row) == [escape_formula(cell) for cell in row]
