"""The failed file, corrected and uploaded again, imports; rows reach the handler as if they had been right at first."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import engine
from engine.config import EngineConfig
from engine.results import added_column_of, escape_row, original_row
from tests.in_process import InProcess, read_csv
from tests.readers.strategies import cells, examples
from tests.reading import read

HANDLER = "tests.results.test_result_fidelity.check"
FIX = {"wrong": "right", "": "filled"}


def check(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> dict[str, Any]:
    """Refuses what is to be corrected, and keeps every row in a file."""
    seen = Path(options["seen"])
    if len(row) != 3 or row[1] in FIX:
        return {"ok": False, "error": f'row, of "{len(row)}" cells'}
    with seen.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    return {"ok": True, "result": {"id": row[0]}}


def rows_seen(path: Path) -> list[list[str]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    return sorted(rows)


def corrected(row: list[str]) -> list[str]:
    return [row[0], FIX.get(row[1], row[1]), *row[2:3]] if len(row) > 1 else [*row, "filled", ""]


ROWS = [
    ["1", "fine", 'a "quoted", one'],
    ["2", "wrong", "two\nlines"],
    ["3", "", "=1+1"],
    ["4", "wrong", "'=already marked"],
    ["5", "wrong"],
    ["6", "wrong", "x", "one more"],
    ["007", "wrong", " blanks kept "],
    ["8", "wrong", "-1"],
    ["9"],
    ["10", "wrong", "'quoted'"],
    ["11", "wrong", "C:\\dir\\"],
]


def made_right(rows: list[list[str]]) -> list[list[str]]:
    """As a user corrects them: to three cells, the second one filled."""
    return [(corrected(row) + [""] * 3)[:3] for row in rows]


@pytest.mark.parametrize(
    ("escape_formulae", "result_header", "delimiter"),
    [(False, "positional", ","), (True, "positional", ";"), (True, "source", ",")],
)
def test_the_corrected_failed_file_imports(
    tmp_path: Path, escape_formulae: bool, result_header: str, delimiter: str
) -> None:
    config = EngineConfig(escape_formulae=escape_formulae, temp_dir=str(tmp_path))
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows([["id", "state", "note"], *ROWS])
    options = {"seen": str(tmp_path / "seen"), "result_header": result_header}
    first = engine.run(
        tmp_path / "t.csv", HANDLER, output_dir=tmp_path / "1", config=config, workers=1, options=options
    )
    assert (first.counts.success_count, first.counts.failure_count) == (1, 10)

    failed = Path(str(first.job.result_files.failed_url))
    with failed.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header[-1] == "import_error"
    # As the user does it, who sees the cells as they are in the file and leaves the messages where they are.
    fixed = [[*(corrected(row[:-1]) + [""] * 3)[:3], row[-1]] for row in rows]
    with (tmp_path / "again.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *fixed])
    if result_header == "source":
        options["added_columns"] = "ignore"
    again = engine.run(
        tmp_path / "again.csv", HANDLER, output_dir=tmp_path / "2", config=config, workers=1, options=options
    )
    assert (again.counts.success_count, again.counts.failure_count) == (10, 0)
    assert rows_seen(tmp_path / "seen") == sorted(made_right(ROWS))


def test_a_corrected_workbook_imports_too(tmp_path: Path) -> None:
    config = EngineConfig(escape_formulae=True, temp_dir=str(tmp_path))
    table = [row for row in ROWS[1:] if len(row) == 3]
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "state", "note"], *table])
    options = {"seen": str(tmp_path / "seen"), "output_format": "xlsx"}
    first = engine.run(
        tmp_path / "t.csv", HANDLER, output_dir=tmp_path / "1", config=config, workers=1, options=options
    )
    assert first.counts.failure_count == len(table)
    book = openpyxl.load_workbook(str(first.job.result_files.failed_url))
    (sheet,) = book.worksheets
    for row in sheet.iter_rows(min_row=2):
        row[1].value = FIX[row[1].value or ""]
    book.save(tmp_path / "again.xlsx")
    again = engine.run(
        tmp_path / "again.xlsx", HANDLER, output_dir=tmp_path / "2", config=config, workers=1, options=options
    )
    assert (again.counts.success_count, again.counts.failure_count) == (len(table), 0)
    assert rows_seen(tmp_path / "seen") == sorted(made_right(table))


def test_rows_that_nobody_corrected_come_back_as_they_were(tmp_path: Path) -> None:
    """Ragged ones too, and those of a failed file of a failed file."""
    config = EngineConfig(escape_formulae=True, temp_dir=str(tmp_path))
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "state", "note"], *ROWS[1:]])
    source = tmp_path / "t.csv"
    for number in range(3):
        report = engine.run(
            source,
            HANDLER,
            output_dir=tmp_path / str(number),
            config=config,
            workers=1,
            seen=str(tmp_path / "seen"),
        )
        assert report.counts.failure_count == len(ROWS) - 1
        source = Path(str(report.job.result_files.failed_url))
    assert list(engine.read_rows(source, config=config)) == ROWS[1:]
    contents = {path.read_bytes() for path in tmp_path.glob("*/*.failed.csv")}
    assert len(contents) == 1


@examples(200)
@given(st.lists(cells(), max_size=5), cells())
def test_a_row_of_a_result_file_is_the_row_it_was(row: list[str], extra: str) -> None:
    assert original_row([*row, extra], unescape_formulae=False) == row
    assert original_row([*escape_row(row), extra], unescape_formulae=True) == row


@pytest.mark.parametrize(
    ("header", "choice", "name"),
    [
        (["col_0", "col_1", "import_error"], "auto", "import_error"),
        (["col_0", "import_result"], "auto", "import_result"),
        (["import_error"], "auto", "import_error"),
        (["col_0", "col_1", "import_error"], "keep", None),
        (["id", "import_error"], "auto", None),
        (["id", "import_error"], "ignore", "import_error"),
        (["id", "name"], "ignore", None),
        (["col_1", "col_0", "import_error"], "auto", None),
        (["col_0", "import_error", "col_1"], "auto", None),
        (["import_error", "col_1"], "auto", None),
        ([], "auto", None),
    ],
)
def test_a_column_is_ours_below_a_positional_header_or_where_the_user_says_so(
    header: list[str], choice: Any, name: str | None
) -> None:
    assert added_column_of(header, choice) == name


def test_a_column_of_the_users_own_is_kept_and_the_user_told(tmp_path: Path) -> None:
    data = b"id,import_error\n1,disk full\n"
    reading = read(tmp_path / "t.csv", data)
    assert reading.rows == [["1", "disk full"]]
    assert reading.plan.header == ("id", "import_error")
    assert any("added_columns=ignore" in text for text in reading.plan.detection.advice)
    assert read(tmp_path / "t.csv", data, added_columns="keep").plan.detection.advice == ()
    ours = engine.inspect(tmp_path / "t.csv", added_columns="ignore")
    assert (ours.added_column, ours.header, ours.column_count, ours.rows) == ("import_error", ["id"], 1, [["1"]])


ONE_FOR_ALL: dict[str, Any] = {}


def reuse(row_index: int, row: list[str], import_job_id: str, options: dict[str, Any]) -> dict[str, Any]:
    """One dict for all rows, as a handler may have that spares itself a new one."""
    result = ONE_FOR_ALL
    result["row"] = row_index
    return {"ok": True, "result": result}


SOURCES = {
    "plain.csv": b"a,b\n1,x\n2,y\n3,z\n",
    "broken.csv": b'a,b\n1,x\n2,y\n3,z\n4,"open\n',
    "returns.csv": b"a,b\r1,x\r2,y\r3,z\r",
    "lines.ndjson": b'{"a": 1}\n{"a": 2}\n{"a": 3}\n',
}


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "python"])
@pytest.mark.parametrize("name", SOURCES)
def test_a_result_is_what_it_was_when_its_row_was_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, compiled: bool
) -> None:
    if not compiled:
        for module in (
            *("handlers.row_adapter", "readers.slices", "readers.arrow_text", "readers.arrow_rows"),
            *("chunk_runner.outcome_writer", "results.parts"),
        ):
            monkeypatch.setattr(f"engine.{module}.loops", None, raising=False)
    here = InProcess(tmp_path)
    try:
        here.plan(SOURCES[name], f"{__name__}.reuse", header_rows=0 if name.endswith("ndjson") else 1)
        here.run_all()
        here.coordinator().finish(here.job_id)
        rows = read_csv(here.job().result_files.success_url)
    finally:
        here.close()
    assert [row[-1] for row in rows[1:]] == ['{"row":1}', '{"row":2}', '{"row":3}']
