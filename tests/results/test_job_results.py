"""What a job leaves behind: the two result files, whatever the rows and however they were cut."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import EngineConfig
from engine.model import Counts
from engine.status import Status
from tests import sample_handlers
from tests.in_process import InProcess, csv_bytes, numbered, read_csv
from tests.readers.strategies import examples

MakeHere = Callable[..., InProcess]


@pytest.fixture
def make_here(tmp_path: Path) -> Iterator[MakeHere]:
    made: list[InProcess] = []

    def make(**config: Any) -> InProcess:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(InProcess(folder, EngineConfig(progress_interval_seconds=0, **config)))
        return made[-1]

    yield make
    for here in made:
        here.close()


@pytest.fixture
def here(make_here: MakeHere) -> InProcess:
    return make_here()


def test_the_files_are_as_the_usage_guide_prints_them(here: InProcess) -> None:
    here.run(b"first,last,email\nJohn,Doe,bad address\nAda,Lovelace,ada@example.com\n", "by_cell")
    success, failed = here.results()
    assert failed == b"col_0,col_1,col_2,import_error\r\nJohn,Doe,bad address,row 1: bad address\r\n"
    assert success == (b'col_0,col_1,col_2,import_result\r\nAda,Lovelace,ada@example.com,"{""row"":2,""cells"":3}"\r\n')


def test_the_sources_own_header_can_be_kept(here: InProcess) -> None:
    here.run(b'"the, name",name,name,\nJohn,Doe,bad,x\n', "by_cell", result_header="source")
    assert read_csv(here.result("failed")) == [
        ["the, name", "name", "name", "", "import_error"],
        ["John", "Doe", "bad", "x", "row 1: bad"],
    ]


def test_of_several_header_rows_the_last_names_the_columns(here: InProcess) -> None:
    here.run(b"a report\n\nname,mail\nAda,bad\n", "by_cell", header_rows=3, result_header="source")
    assert read_csv(here.result("failed")) == [["name", "mail", "import_error"], ["Ada", "bad", "row 1: bad"]]


@pytest.mark.parametrize("result_header", ["positional", "source"])
def test_without_a_header_the_columns_are_those_of_the_first_row(here: InProcess, result_header: str) -> None:
    here.run(b"a,b,c\nd,bad,f\n", "by_cell", header_rows=0, result_header=result_header)
    assert read_csv(here.result("success"))[0] == ["col_0", "col_1", "col_2", "import_result"]
    assert read_csv(here.result("failed"))[1:] == [["d", "bad", "f", "row 2: bad"]]


def test_ragged_rows_reach_the_handler_and_the_files_as_they_are(here: InProcess) -> None:
    here.run(b'a,b,c\n1\n1,2,3,4,5\n"",\nbad\n1,2,3\n', "by_cell")
    assert read_csv(here.result("failed")) == [["col_0", "col_1", "col_2", "import_error"], ["bad", "row 4: bad"]]
    cells = [(row[:-1], json.loads(row[-1])["cells"]) for row in read_csv(here.result("success"))[1:]]
    assert cells == [(["1"], 1), (["1", "2", "3", "4", "5"], 5), (["", ""], 2), (["1", "2", "3"], 3)]


@pytest.mark.parametrize("data", [b"a,b\n", b"a,b", b"a,b\r\n\r\n", b"\xef\xbb\xbfa,b\n\n\n"])
@pytest.mark.parametrize("count_total_first", [True, False])
def test_a_source_that_is_only_a_header_succeeds_with_no_rows(
    here: InProcess, data: bytes, count_total_first: bool
) -> None:
    job = here.run(data, count_total_first=count_total_first)
    assert (job.status, job.total_rows, job.counts) == (Status.SUCCEEDED, 0, Counts())
    assert here.results() == (b"col_0,col_1,import_result\r\n", b"col_0,col_1,import_error\r\n")


def test_results_of_every_kind_are_json_in_one_cell(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    results = [{"ü": [1, None, 'a"b']}, None, "text", 1.5, {...}, {1: "one"}, "\ud800", b"bytes"]
    monkeypatch.setattr(
        sample_handlers, "various", lambda index, *_: {"ok": True, "result": results[index - 1]}, raising=False
    )
    here.run(numbered(len(results)), "various")
    cells = [row[-1] for row in read_csv(here.result())[1:]]
    assert cells[:4] == ['{"ü":[1,null,"a\\"b"]}', "null", '"text"', "1.5"]
    assert [json.loads(cell) for cell in cells][5:] == [{"1": "one"}, "\ud800", "bytes"]


def test_an_error_of_any_characters_is_one_cell(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = ['say "no"', "two\nlines\r\n", "a,b", "é😀\x00", " ", "\ud800", "x" * 40_000]
    monkeypatch.setattr(
        sample_handlers, "various", lambda index, *_: {"ok": False, "error": errors[index - 1]}, raising=False
    )
    here.run(numbered(len(errors)), "various")
    assert [row[-1] for row in read_csv(here.result("failed"))[1:]] == [*errors[:5], "\\ud800", "x" * 32_000]


def test_cells_that_a_spreadsheet_would_run_are_marked_when_that_is_wanted(make_here: MakeHere) -> None:
    rows = [["=name", "b"], ["=1+1", "bad =x"], ["+49 30", "-5"], ["@x", "bad"], ["'=q", "a"]]
    here = make_here(escape_formulae=True)
    here.run(rows, "by_cell", result_header="source")
    assert read_csv(here.result("failed")) == [
        ["'=name", "b", "import_error"],
        ["'=1+1", "bad =x", "row 1: bad =x"],
        ["'@x", "bad", "row 3: bad"],
    ]
    assert [row[:2] for row in read_csv(here.result())[1:]] == [["'+49 30", "-5"], ["''=q", "a"]]
    plain = make_here()
    plain.run(rows, "by_cell", result_header="source")
    assert [row[:2] for row in read_csv(plain.result("failed"))] == [rows[0], rows[1], rows[3]]


def sheet(path: Path) -> list[list[Any]]:
    book = openpyxl.load_workbook(path, read_only=True)
    try:
        return [["" if cell is None else cell for cell in row] for row in book.active.iter_rows(values_only=True)]
    finally:
        book.close()


@pytest.mark.parametrize("escape_formulae", [False, True])
def test_an_excel_file_holds_the_same_cells_as_texts(make_here: MakeHere, escape_formulae: bool) -> None:
    rows = [["a", "b"], *([f"0{n}", "bad\nline" if n % 4 == 0 else "=1+1"] for n in range(1, 30))]
    found: dict[str, list[list[Any]]] = {}
    for output_format in ("csv", "xlsx"):
        here = make_here(escape_formulae=escape_formulae and output_format == "xlsx")
        here.run(rows, "by_cell", output_format=output_format, chunk_size=8)
        read = sheet if output_format == "xlsx" else read_csv
        found[output_format] = [
            *read(here.result("success", output_format)),
            *read(here.result("failed", output_format)),
        ]
    assert found["xlsx"] == found["csv"]
    assert found["xlsx"][1][:2] == ["01", "=1+1"]


def test_a_broken_record_fails_alone_and_keeps_its_text(here: InProcess) -> None:
    job = here.run(b'a,b\n1,good\n2,"open\n3,good\n', "by_cell")
    assert (job.status, job.counts) == (Status.SUCCEEDED, Counts(success_count=2, failure_count=1))
    assert [row[:2] for row in read_csv(here.result())[1:]] == [["1", "good"], ["3", "good"]]
    ((text, rest, message),) = read_csv(here.result("failed"))[1:]
    assert (text, rest) == ("2", '"open')
    assert message.startswith("Line 3: ")


# However the rows are cut

CELL = st.one_of(
    st.text(st.sampled_from("ab ,;\"'\n\r\té😀=+"), max_size=6),
    st.sampled_from(["", "0", "bad", "x" * 50]),
)
#: At least two cells: a row of one empty cell is a blank line in CSV, and that is no row.
ROW = st.lists(CELL, min_size=2, max_size=4)


def expected_files(data: bytes, refused: set[int]) -> tuple[bytes, bytes]:
    """What Python's own module makes of it."""
    header, *rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
    columns = [f"col_{index}" for index in range(len(header))]
    files = []
    for extra in ("import_result", "import_error"):
        out = io.StringIO(newline="")
        out.write(",".join([*columns, extra]) + "\r\n")
        for row_index, row in enumerate(rows, 1):
            if (row_index in refused) is (extra == "import_error"):
                cell = f"refused, {row_index}" if row_index in refused else json.dumps({"row": row_index})
                cell = cell.replace(" ", "") if extra == "import_result" else cell
                quoted = [
                    f'"{text.replace(chr(34), chr(34) * 2)}"' if set(text) & set('",\r\n') else text
                    for text in [*row, cell]
                ]
                out.write(",".join(quoted) + "\r\n")
        files.append(out.getvalue().encode())
    return files[0], files[1]


@examples(60)
@given(data=st.data())
def test_every_row_is_in_one_of_the_files_however_it_was_cut(data: st.DataObject) -> None:
    rows = data.draw(st.lists(ROW, max_size=25))
    refused = data.draw(st.sets(st.integers(1, max(1, len(rows)))))
    table = csv_bytes([["a", "b", "c"], *rows])
    options = data.draw(
        st.fixed_dictionaries(
            {
                "chunk_size": st.integers(1, 30),
                "batch_size": st.integers(1, 30),
                "count_total_first": st.booleans(),
            }
        )
    )
    order = data.draw(st.randoms(use_true_random=False))
    with tempfile.TemporaryDirectory(prefix="rowmill-test-") as folder:
        here = InProcess(Path(folder))
        try:
            here.plan(table, "by_index", refused=sorted(refused), delimiter=",", quote_char='"', **options)
            indexes = list(range(here.chunk_count()))
            order.shuffle(indexes)
            for index in indexes:
                here.run_chunk(index, owner=f"worker-{index % 3}")
            job = here.finish()
            assert here.results() == expected_files(table, refused)
            failures = len(refused & set(range(1, len(rows) + 1)))
            assert job.counts == Counts(success_count=len(rows) - failures, failure_count=failures)
        finally:
            here.close()
