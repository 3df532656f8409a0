"""Which cells of a workbook are the table: sheet, range, titles above it, blanks around and within it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.styles import Font
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.table import Table

from engine import inspect, read_rows
from engine.errors import OptionError, SourceEmptyError
from tests.staging.excel.workbooks import write_openpyxl


def save(path: Path, *sheets: list[list[Any]], hidden: tuple[int, ...] = ()) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for index, rows in enumerate(sheets):
        sheet = book.create_sheet(f"Sheet {index + 1}")
        for row in rows:
            sheet.append(row)
        if index in hidden:
            sheet.sheet_state = "hidden"
    book.save(path)
    return path


def test_the_first_visible_sheet_that_has_cells(tmp_path: Path) -> None:
    path = save(tmp_path / "t.xlsx", [["h"], ["hidden"]], [], [["h"], ["seen"]], [["h"], ["later"]], hidden=(0,))
    assert list(read_rows(path)) == [["seen"]]
    assert list(read_rows(path, sheet="Sheet 4")) == [["later"]]
    assert list(read_rows(path, sheet=4)) == [["later"]]
    assert list(read_rows(path, sheet="4")) == [["later"]]
    assert list(read_rows(path, sheet="sheet 1")) == [["hidden"]]
    details = inspect(path).details
    assert (details["kind"], details["sheet"], details["header_row"]) == ("xlsx", "Sheet 3", 1)
    assert details["sheets"] == "Sheet 1, Sheet 2, Sheet 3, Sheet 4"


def test_a_name_that_is_a_number_goes_before_the_number(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for name in ("3", "1"):
        book.create_sheet(name).append([name])
    book.save(tmp_path / "t.xlsx")
    assert list(read_rows(tmp_path / "t.xlsx", sheet="3", header_rows=0)) == [["3"]]
    assert list(read_rows(tmp_path / "t.xlsx", sheet=3, header_rows=0)) == [["1"]]


def test_only_hidden_sheets(tmp_path: Path) -> None:
    path = save(tmp_path / "t.xlsx", [], [["h"], ["x"]], hidden=(1,))
    assert list(read_rows(path)) == [["x"]]


@pytest.mark.parametrize("sheet", ["People", 3, "0"])
def test_no_such_sheet(tmp_path: Path, sheet: Any) -> None:
    path = save(tmp_path / "t.xlsx", [["h"]], [["h"]], hidden=(1,))
    with pytest.raises(OptionError, match=r'"Sheet 1", "Sheet 2" \(hidden\)') as caught:
        list(read_rows(path, sheet=sheet))
    assert caught.value.option == "sheet"


def test_an_empty_workbook_and_an_empty_sheet(tmp_path: Path) -> None:
    path = save(tmp_path / "t.xlsx", [], [["h"], ["x"]])
    with pytest.raises(SourceEmptyError, match="Sheet 1"):
        list(read_rows(path, sheet=1))
    with pytest.raises(SourceEmptyError, match="no sheet of it holds a cell"):
        list(read_rows(save(tmp_path / "e.xlsx", [], [])))


def test_titles_and_blanks_around_the_table(tmp_path: Path) -> None:
    rows = [
        ["Report of May"],
        [None],
        [None, None, "id", "name", "city"],
        [None, None, 1, "Ann", None],
        [None],
        [None, None, None, "Bob", "Rome"],
    ]
    path = save(tmp_path / "t.xlsx", rows)
    found = inspect(path)
    assert (found.header, found.details["header_row"], found.total_rows) == (["id", "name", "city"], 3, 3)
    assert list(read_rows(path)) == [["1", "Ann", ""], ["", "", ""], ["", "Bob", "Rome"]]
    assert list(read_rows(path, skip_rows=3, header_rows=0)) == [["1", "Ann", ""], ["", "", ""], ["", "Bob", "Rome"]]
    # Without a header there is nothing that a title could be above of.
    assert next(read_rows(path, header_rows=0)) == ["Report of May", "", "", "", ""]


@pytest.mark.parametrize(
    "rows",
    [
        [["id"], [1, "Ann", "Rome"], [2, "Bob", "Oslo"]],  # a header too short is no title
        [["name", "city"], ["Ann", "Rome"]],
        [["a"], ["b"], ["c"]],
    ],
)
def test_a_row_of_data_never_becomes_the_header(tmp_path: Path, rows: list[list[Any]]) -> None:
    path = save(tmp_path / "t.xlsx", rows)
    assert inspect(path).details["header_row"] == 1
    assert len(list(read_rows(path))) == len(rows) - 1


def test_formatted_cells_without_a_value_are_no_rows(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["a", "b"])
    sheet.append([1, 2])
    for row in (900_000, 1_048_576):
        sheet.cell(row, 1).font = Font(bold=True)
    sheet.cell(2, 500).font = Font(bold=True)
    sheet.cell(100_000, 1).value = ""
    book.save(tmp_path / "t.xlsx")
    assert list(read_rows(tmp_path / "t.xlsx")) == [["1", "2"]]


def test_merged_cells_have_their_value_in_the_first(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (["a", "b", "c"], ["x", None, 1], [None, None, 2]):
        book.active.append(row)
    book.active.merge_cells("A2:B3")
    book.save(tmp_path / "t.xlsx")
    assert list(read_rows(tmp_path / "t.xlsx")) == [["x", "", "1"], ["", "", "2"]]


def with_table(path: Path) -> Path:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Plan's"
    for row in (["x"], [None], [None, "id", "n"], [None, 1, True], [None, 2, None], [None, "sum", 3], ["below"]):
        sheet.append(row)
    table = Table(displayName="People", ref="B3:C6", totalsRowCount=1)
    sheet.add_table(table)
    book.defined_names["Ids"] = DefinedName("Ids", attr_text="'Plan''s'!$B$3:$B$5")
    book.create_sheet("Other").append(["far"])
    book.save(path)
    return path


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("People", [["1", "TRUE"], ["2", ""]]),
        ("people", [["1", "TRUE"], ["2", ""]]),
        ("Ids", [["1"], ["2"]]),
        ("B3:C4", [["1", "TRUE"]]),
        ("$B$3:$C$4", [["1", "TRUE"]]),
        ("Plan's!B3:C4", [["1", "TRUE"]]),
        ("'Plan''s'!B4:C5", [["2", ""]]),
        ("B:B", [["1"], ["2"], ["sum"]]),
    ],
)
def test_tables_and_ranges(tmp_path: Path, table: str, expected: list[list[str]]) -> None:
    assert list(read_rows(with_table(tmp_path / "t.xlsx"), table=table)) == expected


def test_no_such_table_or_an_empty_range(tmp_path: Path) -> None:
    path = with_table(tmp_path / "t.xlsx")
    with pytest.raises(OptionError, match='"People", "Ids"') as caught:
        list(read_rows(path, table="Persons"))
    assert caught.value.option == "table"
    with pytest.raises(SourceEmptyError, match="no cells in the range"):
        list(read_rows(path, table="AA10:AB20"))
    with pytest.raises(OptionError, match="Other"):
        list(read_rows(path, table="Nowhere!A1:B2"))


def test_several_header_rows_and_none(tmp_path: Path) -> None:
    path = write_openpyxl(tmp_path / "t.xlsx", [["who", None], ["first", "last"], ["Ann", "Lee"]])
    assert list(read_rows(path, header_rows=2)) == [["Ann", "Lee"]]
    assert inspect(path, header_rows=2).header == ["first", "last"]
    assert len(list(read_rows(path, header_rows=0))) == 3
    assert list(read_rows(path, header_rows=3)) == []


@pytest.mark.parametrize(
    ("top", "header_rows", "header", "first"),
    [
        ([["Report"], [], ["key", None, "other"], ["id", "day", "note"]], 2, ["id", "day", "note"], "1"),
        ([["Report"], [], ["id", "day", "note"]], 1, ["id", "day", "note"], "1"),
        ([["Report"], ["id", "day", "note"]], 2, ["id", "day", "note"], "1"),  # the title is counted
        ([["Report"], [], ["key", None, "other"], ["id", "day", "note"]], 4, ["id", "day", "note"], "1"),
    ],
)
def test_titles_above_a_header_of_several_rows(
    tmp_path: Path, top: list[list[Any]], header_rows: int, header: list[str], first: str
) -> None:
    rows = [[number, f"2024-01-0{number}", "abc"[number - 1]] for number in (1, 2, 3)]
    path = save(tmp_path / "t.xlsx", [*top, *rows])
    assert inspect(path, header_rows=header_rows).header == header
    found = list(read_rows(path, header_rows=header_rows))
    assert (len(found), found[0][0]) == (3, first)


def test_rows_of_text_are_never_taken_for_a_second_row_of_the_header(tmp_path: Path) -> None:
    path = save(tmp_path / "t.xlsx", [["Report"], [], ["a", "b", "c"], *([*"xyz"] for _ in range(4))])
    assert len(list(read_rows(path, header_rows=2))) == 5
    assert len(list(read_rows(path, header_rows=2, skip_rows=2))) == 3
