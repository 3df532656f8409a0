import io
import os
import re
import zipfile
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import fastexcel
import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.utils.escape import unescape

from engine.errors import InconsistentJobError, ObjectMissingError, OptionError, OutputNotWritableError
from engine.model import Part
from engine.results import sheet_fragments
from engine.results.csv_format import encode_lines, result_line
from engine.results.sheet_fragments import CountedPart, SheetFragments
from engine.results.sheet_rows import MAX_CELL_UNITS, MAX_SHEET_COLUMNS, cut_cell, escape_text
from engine.results.xlsx import merge_xlsx
from tests.readers.strategies import examples
from tests.results.memory_storage import MemoryStorage

Rows = list[list[str]]
HEADER = ["col_0", "col_1", "import_error"]

CELLS = st.one_of(
    st.text(alphabet=st.sampled_from('<>&"\r\n\t \x00\x01\x0b\ufffe\uffff_x01aAé😀'), max_size=12),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(["=1+1", "1", "1.0", "-1e5", "TRUE", "#N/A", "http://a.b", "<r>x</r>", "<r></is></c>", "_x0041_"]),
)


def stored_parts(storage: MemoryStorage, *contents: Rows) -> list[CountedPart]:
    parts = []
    for index, rows in enumerate(contents):
        info = storage.write(f"part-{index}", encode_lines([result_line(row[:-1], row[-1]) for row in rows]))
        part = Part(key=info.key, size_bytes=info.size_bytes)
        parts.append(CountedPart(part=part, row_count=len(rows)))
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


@examples(150)
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
    parts = [*stored_parts(storage, [["a"]]), CountedPart(part=Part(key="gone", size_bytes=5), row_count=1)]
    with pytest.raises(ObjectMissingError):
        merge_xlsx(storage, "t.xlsx", HEADER, parts, str(tmp_path))
    assert "t.xlsx" not in storage.objects
    assert os.listdir(tmp_path) == []


@pytest.fixture
def spooled_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fragments of any size go through the temporary folder, as large ones do."""
    monkeypatch.setattr(sheet_fragments, "MAX_HELD_BYTES", 1)


@pytest.mark.usefixtures("spooled_at_once")
def test_a_large_fragment_is_streamed_and_leaves_nothing_in_the_temporary_folder(tmp_path: Path) -> None:
    storage = MemoryStorage()
    merge_xlsx(storage, "t.xlsx", HEADER, stored_parts(storage, [["a", "b", "c"]]), str(tmp_path))
    assert sheets(storage.objects["t.xlsx"]) == {"rows": [HEADER, ["a", "b", "c"]]}
    assert len(storage.streamed) == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("spooled_at_once")
def test_a_temporary_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    storage = MemoryStorage()
    with pytest.raises(OutputNotWritableError, match=r"absent.*ROWMILL_TEMP_DIR"):
        merge_xlsx(storage, "t.xlsx", HEADER, stored_parts(storage, [["a"]]), str(tmp_path / "absent"))


def test_a_full_disk_is_an_output_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("There is no device here that is always full.")
    storage = MemoryStorage()
    parts = stored_parts(storage, [["a"]])
    with open("/dev/full", "w+b", buffering=0) as full:
        monkeypatch.setattr(sheet_fragments, "SpooledTemporaryFile", lambda *_args, **_more: full)
        with pytest.raises(OutputNotWritableError, match="No space left"):
            merge_xlsx(storage, "t.xlsx", HEADER, parts, str(tmp_path))
    assert list(storage.objects) == ["part-0"]


def test_columns_are_as_wide_as_their_cells_within_limits() -> None:
    storage = MemoryStorage()
    rows = [["x" * 20, "y" * 500, "a\nbc"]]
    merge_xlsx(storage, "t.xlsx", HEADER, stored_parts(storage, rows))
    book = openpyxl.load_workbook(io.BytesIO(storage.objects["t.xlsx"]))
    widths = [round(book.active.column_dimensions[name].width) for name in "ABC"]
    assert widths[0] in range(20, 25)
    assert widths[1] in range(60, 65)
    assert widths[2] in range(12, 17)


@examples(60)
@given(
    # calamine leaves the escapes of the two non-characters as they are.
    rows=st.lists(
        st.lists(CELLS.filter(lambda cell: not set(cell) & {"\ufffe", "\uffff"}), min_size=1, max_size=3), max_size=12
    ),
    cuts=st.lists(st.integers(0, 12), max_size=3),
    fragment_rows=st.integers(1, 5),
    max_sheet_rows=st.integers(2, 9),
)
def test_calamine_finds_the_rows_however_they_are_cut_into_parts_and_fragments(
    rows: Rows, cuts: list[int], fragment_rows: int, max_sheet_rows: int
) -> None:
    storage = MemoryStorage()
    edges = sorted({0, len(rows), *(cut % (len(rows) + 1) for cut in cuts)})
    parts = stored_parts(storage, *(rows[start:end] for start, end in pairwise(edges)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sheet_fragments, "FRAGMENT_ROWS", fragment_rows)
        merge_xlsx(storage, "t.xlsx", HEADER, parts, max_sheet_rows=max_sheet_rows)
    book = fastexcel.read_excel(storage.objects["t.xlsx"])
    found: Rows = []
    for name in book.sheet_names:
        header, *others = book.load_sheet(name, header_row=None, dtypes="string").to_arrow().to_pylist()
        assert list(header.values())[:3] == HEADER
        found.extend([cell or "" for cell in row.values()] for row in others)
    width = max(map(len, found), default=0)
    assert found == [row + [""] * (width - len(row)) for row in rows]


def test_fragments_cover_every_row_once_and_none_reaches_into_a_second_sheet() -> None:
    part = CountedPart(part=Part(key="p", size_bytes=1), row_count=2_500_000)
    fragments = SheetFragments(MemoryStorage(), "f", [part])
    plans = [fragments.plan(index) for index in range(fragments.count)]
    assert [plan.start for plan in plans[1:]] == [plan.end for plan in plans[:-1]]
    assert (plans[0].start, plans[-1].end) == (0, 2_500_000)
    assert {(plan.start // 1_048_575, (plan.end - 1) // 1_048_575) for plan in plans} == {(0, 0), (1, 1), (2, 2)}
    assert all(plan.first_row_number == plan.start % 1_048_575 + 2 for plan in plans)
    assert (fragments.sheet_count, fragments.rows_of_sheet(2)) == (3, 2_500_000 - 2 * 1_048_575)


def test_a_part_with_fewer_rows_than_counted_is_a_defect_and_not_a_shorter_file() -> None:
    storage = MemoryStorage()
    (part,) = stored_parts(storage, [["a", "b"]])
    with pytest.raises(InconsistentJobError, match="part-0"):
        merge_xlsx(storage, "t.xlsx", HEADER, [CountedPart(part=part.part, row_count=2)])
    assert list(storage.objects) == ["part-0"]
