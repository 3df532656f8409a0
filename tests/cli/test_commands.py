# ruff: noqa: S607 - our own program
"""What `rowmill run`, `inspect` and `status` print, to people and to programs."""

from __future__ import annotations

import os
import pty
import shlex
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from engine.cli.failure import failure_document
from engine.errors import RowmillError
from tests.cli.command_line import (
    HANDLERS,
    ROWMILL,
    environment,
    read_table,
    rowmill,
    the_object,
    warm_rowmill,
    write_table,
)

#: The guide's status response as far as a command line can know it.
GUIDE_FIELDS = {
    "id",
    "file_id",
    "status",
    "celery_task_id",
    "created_by_id",
    "created_at",
    "started_at",
    "finished_at",
    "total_rows",
    "processed_rows",
    "success_count",
    "failure_count",
    "percentage",
    "result_files",
    "error_message",
}


def test_json_is_one_object_with_the_fields_of_the_guide(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", 100)
    done = warm_rowmill("run", "t.csv", "--handler", f"{HANDLERS}.refuse_sevenths", "--json", cwd=tmp_path)
    report = the_object(done.stdout)
    assert done.returncode == 0, done.stderr
    assert report.keys() >= GUIDE_FIELDS
    assert (report["status"], report["total_rows"], report["processed_rows"]) == ("succeeded", 100, 100)
    assert (report["success_count"], report["failure_count"], report["percentage"]) == (86, 14, 100.0)
    assert report["error_message"] is None
    assert len(read_table(report["result_files"]["success_file"]["url"])) == 86
    assert len(read_table(report["result_files"]["failed_file"]["url"])) == 14
    assert report == the_object(warm_rowmill("status", "--json", cwd=tmp_path).stdout)
    # An attempt that never became a job has the same fields.
    assert failure_document(RowmillError("no"), source=None, report=None).keys() == report.keys()


def test_a_file_with_only_a_header_succeeds_with_no_rows(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", 0)
    done = warm_rowmill("run", "t.csv", "--handler", f"{HANDLERS}.accept", "--json", cwd=tmp_path)
    report = the_object(done.stdout)
    assert (done.returncode, report["status"], report["total_rows"]) == (0, "succeeded", 0)
    for file in ("success_file", "failed_file"):
        assert read_table(report["result_files"][file]["url"]) == []


def test_what_a_handler_prints_does_not_reach_stdout(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", 3)
    done = warm_rowmill("run", "t.csv", "--handler", f"{HANDLERS}.chatty", "--json", cwd=tmp_path)
    assert the_object(done.stdout)["processed_rows"] == 3
    assert "a handler talks" in done.stderr


def test_the_summary_names_counts_files_time_and_rate(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", 1234)
    done = warm_rowmill("run", "t.csv", "--handler", f"{HANDLERS}.refuse_sevenths", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for fragment in ("succeeded", "1,234 of 1,234 rows", "1,058", "176", "rows/s", " s,"):
        assert fragment in done.stdout
    for name in ("t.success.csv", "t.failed.csv"):
        assert str(tmp_path / "rowmill-results" / name) in done.stdout


def test_progress_lines_stand_on_stderr_where_there_is_no_terminal(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", 10)
    lines = warm_rowmill("run", "t.csv", "--handler", f"{HANDLERS}.accept", cwd=tmp_path).stderr.splitlines()
    assert "has begun" in lines[0]
    assert lines[-1].startswith("rowmill: succeeded after ")
    assert "\x1b" not in "".join(lines)


def test_options_reach_the_handler_as_json_or_text(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", 1)
    words = [
        "number=1.5",
        "flag=true",
        "text=hello world",
        "list=[1, 2]",
        "empty=",
        "odd=NaN",
        "count_total_first=false",
    ]
    flags = [word for option in words for word in ("--option", option)]
    done = warm_rowmill(
        "run", "t.csv", "--handler", f"{HANDLERS}.echo_options", "--batch-size", "7", *flags, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    (row,) = read_table(tmp_path / "rowmill-results" / "t.success.csv")
    seen = the_object(row[-1])
    expected = {"number": 1.5, "flag": True, "text": "hello world", "list": [1, 2], "empty": "", "odd": "NaN"}
    assert seen.items() >= {**expected, "batch_size": 7, "count_total_first": False}.items()


def test_flags_come_before_the_environment(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", 1)
    words = ["run", "t.csv", "--handler", f"{HANDLERS}.echo_options", "--batch-size", "7", "--no-count-first"]
    variables = {"ROWMILL_BATCH_SIZE": "9", "ROWMILL_CHUNK_SIZE": "11", "ROWMILL_OUTPUT_DIR": "elsewhere"}
    done = warm_rowmill(*words, cwd=tmp_path, **variables)
    assert done.returncode == 0, done.stderr
    (row,) = read_table(tmp_path / "elsewhere" / "t.success.csv")
    seen = the_object(row[-1])
    assert (seen["batch_size"], seen["chunk_size"], seen["count_total_first"]) == (7, 11, False)


def test_a_handler_beside_the_caller_is_found(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", 2)
    (tmp_path / "beside.py").write_text("def save(row_index, row, import_job_id, options):\n    return {'ok': True}\n")
    done = rowmill("run", "t.csv", "--handler", "beside.save", "--json", cwd=tmp_path, PYTHONPATH="")
    assert the_object(done.stdout)["success_count"] == 2


def test_resume_of_a_job_that_has_succeeded_gives_its_report_again(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", 5)
    words = ["run", "t.csv", "--handler", f"{HANDLERS}.accept", "--json"]
    first, again = warm_rowmill(*words, cwd=tmp_path), warm_rowmill(*words, "--resume", cwd=tmp_path)
    assert again.returncode == 0
    assert the_object(first.stdout) == the_object(again.stdout)


def test_inspect_prints_what_was_found(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes('id;näme\n1;"a\nb"\n2;\x1b[31mred\n'.encode("cp1252"))
    found = the_object(warm_rowmill("inspect", "t.csv", "--json", cwd=tmp_path).stdout)
    assert (found["delimiter"], found["quote_char"], found["encoding"]) == (";", '"', "cp1252")
    assert found["header"] == ["id", "näme"]
    assert (found["total_rows"], found["column_count"]) == (2, 2)
    assert found["rows"] == [["1", "a\nb"], ["2", "\x1b[31mred"]]
    text = warm_rowmill("inspect", "t.csv", cwd=tmp_path).stdout
    assert "\x1b" not in text, "a file must not be able to steer the terminal"
    assert r"a\nb" in text


def test_inspect_is_cut_to_the_width_of_the_terminal(tmp_path: Path) -> None:
    cells = [f"column {number} 漢字" for number in range(200)]
    (tmp_path / "t.csv").write_text(",".join(cells) + "\n" + ",".join(["x" * 500] * 200) + "\n")
    lines = warm_rowmill("inspect", "t.csv", cwd=tmp_path, COLUMNS="60").stdout.splitlines()
    table = lines[lines.index("") + 1 :]
    assert len(table) == 3
    assert all(line.endswith("…") and len(line) <= 60 for line in table)


def test_inspect_shows_what_is_left_out_and_how_sure_it_is(tmp_path: Path) -> None:
    text = "Report of 2024\n\ncol_0;col_1;import_error\n1;1,5;wrong\n2;2,5;wrong\n"
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    shown = warm_rowmill("inspect", "t.csv", cwd=tmp_path, COLUMNS="100").stdout
    for line in (
        "delimiter  ';' (100% sure)",
        "escape     none (100% sure)",
        "line ends  LF",
        "decimal    ',' (100% sure)",
        "left out   2 lines above the header (95% sure)",
        "left out   the last column, import_error: this is a result file",
        "left out   Report of 2024",
    ):
        assert f"{line}\n" in shown
    assert "skip_rows=0" in shown
    given = warm_rowmill("inspect", "t.csv", "--skip-rows", "0", "--added-columns", "keep", "--json", cwd=tmp_path)
    found = the_object(given.stdout)
    assert (found["header"], found["detection"]["preamble"], found["added_column"]) == (["Report of 2024"], [], None)


def test_inspect_takes_the_dialect_as_given(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("'a|b'|c\n")
    words = ["inspect", "t.csv", "--delimiter", "|", "--quote-char", "", "--header-rows", "0", "--json"]
    assert the_object(warm_rowmill(*words, cwd=tmp_path).stdout)["rows"] == [["'a", "b'", "c"]]


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", 5)
    for words in (["inspect", "t.csv"], ["run", "t.csv", "--handler", f"{HANDLERS}.accept"], ["run", "--help"]):
        command = shlex.join([ROWMILL, *words])
        done = subprocess.run(
            ["bash", "-c", f"({command}; echo code $? >&2) | true"],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert "code 0" in done.stderr
        assert "BrokenPipe" not in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_error(tmp_path: Path, closed: str) -> None:
    write_table(tmp_path / "t.csv", 5)
    command = shlex.join([ROWMILL, "run", "t.csv", "--handler", f"{HANDLERS}.accept", "--json"])
    done = subprocess.run(
        ["bash", "-c", f"{command} {closed}"], cwd=tmp_path, env=environment(), capture_output=True, check=False
    )
    assert done.returncode == 0
    assert len(read_table(tmp_path / "rowmill-results" / "t.success.csv")) == 5


def test_a_terminal_gets_a_bar_with_rate_time_left_and_failures(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", 600)
    words = [ROWMILL, "run", "t.csv", "--handler", f"{HANDLERS}.refuse_sevenths", "--option", "delay_seconds=0.005"]
    words += ["--workers", "1", "--batch-size", "20", "--json"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        words,
        cwd=tmp_path,
        env=environment(TERM="xterm", COLUMNS="110"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # how a terminal on Linux says that its other end is closed
                break
            seen += piece
        stdout = process.stdout.read() if process.stdout else b""
    os.close(ours)
    assert process.returncode == 0
    assert the_object(stdout.decode())["failure_count"] == 85
    text = seen.decode()
    for fragment in ("processing", "━", "/600 rows", "rows/s", " left", " failed"):
        assert fragment in text
    assert text.endswith("\x1b[?25h\r\x1b[1A\x1b[2K"), "the bar is gone and the cursor back"


def test_a_defect_is_told_in_a_sentence_and_with_a_traceback_on_demand(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", 2)
    # The command's own process meets an exception that nobody expects.
    (tmp_path / "sitecustomize.py").write_text(
        "import engine.runs\ndef run(*_, **__): raise KeyError('oops')\nengine.runs.run.__code__ = run.__code__\n"
    )
    words = ["run", "t.csv", "--handler", f"{HANDLERS}.accept", "--json"]
    done = rowmill(*words, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "defect of rowmill" in done.stderr
    assert "Traceback" not in done.stderr
    assert the_object(done.stdout)["error_code"] == "internal_error"
    assert "Traceback" in rowmill(*words, "--debug", cwd=tmp_path, PYTHONPATH=str(tmp_path)).stderr


def test_modules_of_the_standard_librarys_names_beside_the_handler_do_no_harm(tmp_path: Path) -> None:
    for name in ("csv.py", "json.py", "engine/__init__.py", "numpy.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "mine.py").write_text("def accept(*_): return {'ok': True}\n")
    write_table(tmp_path / "t.csv", 3)
    done = warm_rowmill("run", "t.csv", "--handler", "mine.accept", "--json", cwd=tmp_path)
    assert the_object(done.stdout)["success_count"] == 3, done.stderr


def test_retry_runs_the_refused_rows_alone(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", 100)
    done = warm_rowmill("run", "t.csv", "--handler", f"{HANDLERS}.refuse_sevenths", "--json", cwd=tmp_path)
    first = the_object(done.stdout)
    assert first["errors_by_message"]
    done = warm_rowmill("retry", first["id"][:8], "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    second = the_object(done.stdout)
    assert (second["total_rows"], second["status"]) == (14, "succeeded")
    assert second["id"] != first["id"]
    files = second["result_files"]
    again = [row[:2] for kind in ("success_file", "failed_file") for row in read_table(files[kind]["url"])]
    assert sorted(again) == sorted(row[:2] for row in read_table(first["result_files"]["failed_file"]["url"]))
    assert files["success_file"]["url"].endswith("t.retry.success.csv")
    assert list((tmp_path / "rowmill-results" / ".rowmill").rglob("*.csv")) == []
    third = the_object(warm_rowmill("retry", "--json", cwd=tmp_path).stdout)
    assert third["total_rows"] == second["failure_count"]


def test_what_has_ended_well_is_neither_retried_nor_paused_nor_resumed(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", 3)
    warm_rowmill("run", "t.csv", "--handler", f"{HANDLERS}.accept", cwd=tmp_path)
    says = {"retry": "has refused no row", "pause": "cannot be paused", "resume": "cannot be resumed"}
    for command, text in says.items():
        done = warm_rowmill(command, cwd=tmp_path)
        assert (done.returncode, text in done.stderr) == (42, True), done.stderr


def test_a_job_that_nobody_runs_can_be_paused_and_resumed(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", 3)
    warm_rowmill("run", "t.csv", "--handler", f"{HANDLERS}.accept", cwd=tmp_path)
    ledger = tmp_path / "rowmill-results" / ".rowmill" / "ledger.sqlite3"
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("UPDATE jobs SET status = 'running', phase = 'processing', finished_at = NULL")
        connection.execute("UPDATE chunks SET status = 'planned', success_count = 0, failure_count = 0")
    assert the_object(warm_rowmill("pause", "--json", cwd=tmp_path).stdout)["phase"] == "paused"
    assert "running (paused)" in warm_rowmill("status", cwd=tmp_path).stdout
    assert the_object(warm_rowmill("resume", "--json", cwd=tmp_path).stdout)["phase"] == "processing"
    # Still nobody runs it: now it is gone on with here.
    assert the_object(warm_rowmill("resume", "--json", cwd=tmp_path).stdout)["status"] == "succeeded"


def test_a_failed_job_is_resumed_to_the_end_it_would_have_had(tmp_path: Path) -> None:
    """With a handler's module that stands beside whoever calls, as it did for the run."""
    write_table(tmp_path / "t.csv", 100)
    (tmp_path / "my_handlers.py").write_text(
        "import os\n"
        "def accept(row_index, row, import_job_id, options):\n"
        "    ok = row_index % 7 > 0 or os.path.exists('relaxed')\n"
        "    return {'ok': True, 'result': {}} if ok else {'ok': False, 'error': 'seventh'}\n"
    )
    flags = ("--handler", "my_handlers.accept", "--max-errors", "3", "--chunk-size", "10", "--workers", "1")
    assert warm_rowmill("run", "t.csv", *flags, cwd=tmp_path).returncode == 52
    before = the_object(warm_rowmill("status", "--json", cwd=tmp_path).stdout)
    (tmp_path / "relaxed").touch()
    done = warm_rowmill("resume", "--json", "--workers", "1", cwd=tmp_path)
    report = the_object(done.stdout)
    assert (done.returncode, report["status"], report["processed_rows"]) == (0, "succeeded", 100)
    assert report["id"] == before["id"]
    assert report["failure_count"] == before["failure_count"]
    assert sum(len(read_table(file["url"])) for file in report["result_files"].values() if file["url"]) == 100
    again = warm_rowmill("resume", cwd=tmp_path)
    assert (again.returncode, "cannot be resumed" in again.stderr) == (42, True)


def test_a_failed_job_whose_source_has_changed_is_not_resumed(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", 100)
    flags = ("--handler", f"{HANDLERS}.refuse_sevenths", "--max-errors", "3", "--chunk-size", "10", "--workers", "1")
    assert warm_rowmill("run", "t.csv", *flags, cwd=tmp_path).returncode == 52
    write_table(tmp_path / "t.csv", 99)
    assert warm_rowmill("resume", cwd=tmp_path).returncode == 16


def test_too_many_errors_have_an_exit_code_and_files(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", 100)
    flags = ("--handler", f"{HANDLERS}.refuse_sevenths", "--max-errors", "3", "--chunk-size", "10", "--workers", "1")
    done = warm_rowmill("run", "t.csv", *flags, "--json", cwd=tmp_path)
    report = the_object(done.stdout)
    assert (done.returncode, report["error_code"]) == (52, "too_many_errors")
    assert sum(len(read_table(file["url"])) for file in report["result_files"].values()) == 100
    done = warm_rowmill("run", "t.csv", "--handler", f"{HANDLERS}.accept", "--max-error-rate", "2", cwd=tmp_path)
    assert (done.returncode, "max_error_rate must be a number from 0 to 1" in done.stderr) == (2, True)


def test_inspect_says_which_cells_of_a_workbook_are_the_table(tmp_path: Path) -> None:
    fixture = Path(__file__).parents[1] / "staging" / "excel" / "fixtures" / "cells.xlsx"
    shown = warm_rowmill("inspect", str(fixture), "--sheet", "1", "--table", "A1:C3", cwd=tmp_path)
    assert shown.returncode == 0
    facts = [line.split(maxsplit=1) for line in shown.stdout.splitlines()[1:7]]
    assert facts == [
        ["workbook", "xlsx"],
        ["sheet", "Sheet"],
        ["sheets", "Sheet"],
        ["header", "row 1"],
        ["columns", "3"],
        ["rows", "2 in 1 chunks"],
    ]
    missing = warm_rowmill("inspect", str(fixture), "--sheet", "People", cwd=tmp_path)
    assert missing.returncode == 2
    assert "has no sheet 'People'" in missing.stderr
