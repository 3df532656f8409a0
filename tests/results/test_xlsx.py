import io
import os
import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl.utils.escape import unescape

from engine.errors import ObjectMissingError, OptionError, OutputNotWritableError
from engine.model import Part
from engine.results import make_result_file
from engine.results.csv_format import encode_lines, result_line
from engine.results.text_worksheet import MAX_CELL_UNITS, MAX_SHEET_COLUMNS, cut_cell, escape_text
from engine.results.xlsx import merge_xlsx
from tests.results.memory_storage import MemoryStorage

Rows = list[list[str]]
HEADER = ["col_0", "col_1", "import_error"]

CELLS = st.one_of(
    st.text(alphabet=st.sampled_from('<>&"\r\n\t \x00\x01\x0b\ufffe\uffff_x01aAé😀'), max_size=12),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(["=1+1", "1", "1.0", "-1e5", "TRUE", "#N/A", "http://a.b", "<r>x</r>", "<r></is></c>", "_x0041_"]),
)


def stored_parts(storage: MemoryStorage, *contents: Rows) -> list[Part]:
    parts = []
    for index, rows in enumerate(contents):
        info = storage.write(f"part-{index}", encode_lines([result_line(row[:-1], row[-1]) for row in rows]))
        parts.append(Part(key=info.key, size_bytes=info.size_bytes))
    return parts


def sheets(data: bytes) -> dict[str, Rows]:
    """What openpyxl finds; it leaves control characters escaped, so they are undone here."""
    book = openpyxl.load_workbook(io.BytesIO(data))
    found = {}
    for sheet in book.worksheets:
        rows = []
        for row in sheet.iter_rows():
            cells = []
            for cell in row:
                assert cell.value is None or cell.data_type == "s"
                cells.append("" if cell.value is None else unescape(cell.value))
            rows.append(cells)
        found[sheet.title] = rows
    book.close()
    return found


def padded(rows: Rows) -> Rows:
    width = max(len(row) for row in rows)
    return [row + [""] * (width - len(row)) for row in rows]


@settings(deadline=None)
@given(st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=6))
def test_openpyxl_finds_every_cell_as_the_text_it_was(rows: Rows) -> None:
    storage = MemoryStorage()
    merge_xlsx(storage, "t.xlsx", HEADER, stored_parts(storage, rows), None)
    assert sheets(storage.objects["t.xlsx"]) == {"rows": padded([HEADER, *rows])}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_escaped_text_is_well_formed_xml_and_unescapes_to_itself(text: str) -> None:
    parsed = ElementTree.fromstring(f"<t>{escape_text(text)}</t>").text or ""  # noqa: S314 - our own text
    assert unescape(parsed) == text


def test_parts_are_joined_in_order_and_the_info_is_the_objects() -> None:
    storage = MemoryStorage()
    parts = stored_parts(storage, [["a", "", "1"]], [["b", "c\nd", "2"]])
    info = merge_xlsx(storage, "t.xlsx", HEADER, parts, None)
    assert sheets(storage.objects["t.xlsx"]) == {"rows": [HEADER, ["a", "", "1"], ["b", "c\nd", "2"]]}
    assert info == storage.stat("t.xlsx")


def test_without_rows_there_is_a_header() -> None:
    storage = MemoryStorage()
    merge_xlsx(storage, "t.xlsx", HEADER, [], None)
    assert sheets(storage.objects["t.xlsx"]) == {"rows": [HEADER]}


def test_the_header_row_is_frozen() -> None:
    storage = MemoryStorage()
    merge_xlsx(storage, "t.xlsx", HEADER, [], None)
    book = openpyxl.load_workbook(io.BytesIO(storage.objects["t.xlsx"]))
    assert book.active.freeze_panes == "A2"


def test_nothing_in_the_file_depends_on_when_or_by_whom_it_was_made() -> None:
    files = []
    for umask in (0o022, 0o077):
        storage = MemoryStorage()
        parts = stored_parts(storage, [["a", "b", "x"]] * 50)
        old = os.umask(umask)
        try:
            merge_xlsx(storage, "t.xlsx", HEADER, parts, None)
        finally:
            os.umask(old)
        files.append(storage.objects["t.xlsx"])
    assert files[0] == files[1]
    with zipfile.ZipFile(io.BytesIO(files[0])) as archive:
        assert {info.date_time[0] for info in archive.infolist()} == {1980}
        assert re.findall(rb"20\d\d-\d\d-\d\d", archive.read("docProps/core.xml")) == [b"2000-01-01"] * 2


@pytest.mark.parametrize(
    ("row_count", "expected"),
    [(0, [1]), (1, [2]), (2, [3]), (3, [3, 2]), (4, [3, 3]), (5, [3, 3, 2])],
)
def test_a_full_sheet_rolls_over_and_repeats_the_header(row_count: int, expected: list[int]) -> None:
    storage = MemoryStorage()
    rows = [[f"r{index}", "x", "y"] for index in range(row_count)]
    merge_xlsx(storage, "t.xlsx", HEADER, stored_parts(storage, rows), None, max_sheet_rows=3)
    found = sheets(storage.objects["t.xlsx"])
    assert list(found) == ["rows", "rows 2", "rows 3"][: len(expected)]
    assert [len(sheet) for sheet in found.values()] == expected
    assert all(sheet[0] == HEADER for sheet in found.values())
    assert [row for sheet in found.values() for row in sheet[1:]] == rows


def test_cells_too_long_for_excel_are_cut_with_a_note() -> None:
    storage = MemoryStorage()
    rows = [["x" * 32_767, "y" * 32_768, "😀" * 20_000]]
    merge_xlsx(storage, "t.xlsx", HEADER, stored_parts(storage, rows), None)
    fits, cut, emoji = sheets(storage.objects["t.xlsx"])["rows"][1]
    assert fits == "x" * 32_767
    assert len(cut) == 32_767
    assert cut.startswith("yyy")
    assert cut.endswith("y … [cut: the cell has 32,768 characters]")
    assert emoji.startswith("😀" * 16_000)
    assert emoji.endswith("😀 … [cut: the cell has 20,000 characters]")


@given(st.text("a😀", max_size=30), st.integers(0, 1_000))
def test_a_cut_cell_fits_whatever_its_characters(head: str, more: int) -> None:
    cell = head + "😀" * (MAX_CELL_UNITS // 2 - len(head) + more)
    cut = cut_cell(cell)
    assert len(cut.encode("utf-16-le")) <= 2 * MAX_CELL_UNITS
    assert cut == cell or cut.endswith(f" … [cut: the cell has {len(cell):,} characters]")


def test_rows_wider_than_excel_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    storage = MemoryStorage()
    parts = stored_parts(storage, [["a"], ["x"] * MAX_SHEET_COLUMNS, ["x"] * (MAX_SHEET_COLUMNS + 1)])
    with pytest.raises(OptionError, match=r"Row 4 of the result has 16,385 cells.*csv") as caught:
        merge_xlsx(storage, "t.xlsx", HEADER, parts, str(tmp_path))
    assert caught.value.option == "output_format"
    with pytest.raises(OptionError, match=r"16,385"):
        merge_xlsx(storage, "t.xlsx", ["x"] * (MAX_SHEET_COLUMNS + 1), [], str(tmp_path))
    merge_xlsx(storage, "wide.xlsx", ["x"] * MAX_SHEET_COLUMNS, [], str(tmp_path))
    assert "t.xlsx" not in storage.objects
    assert os.listdir(tmp_path) == []
    assert sheets(storage.objects["wide.xlsx"])["rows"] == [["x"] * MAX_SHEET_COLUMNS]


def test_a_missing_part_leaves_nothing(tmp_path: Path) -> None:
    storage = MemoryStorage()
    parts = [*stored_parts(storage, [["a"]]), Part(key="gone", size_bytes=5)]
    with pytest.raises(ObjectMissingError):
        merge_xlsx(storage, "t.xlsx", HEADER, parts, str(tmp_path))
    assert "t.xlsx" not in storage.objects
    assert os.listdir(tmp_path) == []


def test_a_temporary_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    storage = MemoryStorage()
    with pytest.raises(OutputNotWritableError, match=r"absent.*ROWMILL_TEMP_DIR"):
        merge_xlsx(storage, "t.xlsx", HEADER, [], str(tmp_path / "absent"))


def test_a_full_disk_is_an_output_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "write", full)
    storage = MemoryStorage()
    with pytest.raises(OutputNotWritableError, match="No space left"):
        merge_xlsx(storage, "t.xlsx", HEADER, stored_parts(storage, [["a"]]), str(tmp_path))
    assert storage.streamed == []
    assert os.listdir(tmp_path) == []


def test_the_output_format_chooses_how_the_file_is_made() -> None:
    storage = MemoryStorage()
    parts = stored_parts(storage, [["'=a", "x"]])
    make_result_file(
        storage,
        "r.csv",
        output_format="csv",
        header_cells=["=h", "import_error"],
        parts=parts,
        escape_formulae=True,
    )
    make_result_file(storage, "r.xlsx", output_format="xlsx", header_cells=["=h", "import_error"], parts=parts)
    assert storage.objects["r.csv"] == b"'=h,import_error\r\n'=a,x\r\n"
    assert sheets(storage.objects["r.xlsx"]) == {"rows": [["=h", "import_error"], ["'=a", "x"]]}
