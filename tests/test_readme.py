# ruff: noqa: S607 - what the README itself says
"""What the README says is run, and its tables are compared with the code."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import engine
from engine.cli.exit_codes import error_kinds, exit_codes
from engine.options import KNOWN, ImportOptions
from tests.cli.command_line import ROOT, environment

README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README, re.DOTALL | re.MULTILINE)
    assert found is not None, f"the README has no section {title}"
    return found[1]


def blocks(title: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", section(title), re.DOTALL | re.MULTILINE)


def table(title: str, first_column: str) -> Iterator[list[str]]:
    """The cells of the rows of the table whose header begins with that name."""
    lines = iter(section(title).splitlines())
    assert any(line.startswith(f"| {first_column} |") for line in lines)
    next(lines)
    for line in lines:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


@pytest.fixture
def quickstart_folder(tmp_path: Path) -> Path:
    """A folder in which the quickstart's handler was written down and its last commands were run."""
    (handlers,) = blocks("Quickstart", "python")
    (tmp_path / "handlers.py").write_text(handlers, encoding="utf-8")
    commands = blocks("Quickstart", "sh")[-1]
    done = subprocess.run(
        ["bash", "-ec", commands], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (tmp_path / "stdout").write_text(done.stdout, encoding="utf-8")
    return tmp_path


def test_the_quickstart_does_what_it_says(quickstart_folder: Path) -> None:
    stdout = (quickstart_folder / "stdout").read_text(encoding="utf-8")
    assert "3 of 3 rows" in stdout
    success = (quickstart_folder / "rowmill-results" / "people.success.csv").read_text(encoding="utf-8").splitlines()
    failed = (quickstart_folder / "rowmill-results" / "people.failed.csv").read_text(encoding="utf-8").splitlines()
    assert success == [
        "col_0,col_1,import_result",
        'ada,ada@example.com,"{""name"":""Ada""}"',
        '"grace, rear admiral",grace@example.com,"{""name"":""Grace, Rear Admiral""}"',
    ]
    assert failed == ["col_0,col_1,import_error", "bob,,'' is not an email address."]
    assert all(line in stdout for line in [*success, *failed])


def test_the_python_example_runs(quickstart_folder: Path) -> None:
    (example,) = blocks("Python API", "python")
    (quickstart_folder / "example.py").write_text(example, encoding="utf-8")
    done = subprocess.run(
        ["python", "-W", "error", "example.py"],
        cwd=quickstart_folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "True 2 1"
    assert lines[1].endswith("people.failed.csv")
    assert lines[2:4] == ["100.0", "utf-8 , ['name', 'email'] 3"]
    assert lines[4:] == [
        "['name', 'email']",
        "['ada', 'ada@example.com']",
        "['bob', '']",
        "['grace, rear admiral', 'grace@example.com']",
        "succeeded",
    ]


def test_the_batch_handler_decides_as_the_row_handler_does(quickstart_folder: Path) -> None:
    results = [quickstart_folder / "rowmill-results" / f"people.{kind}.csv" for kind in ("success", "failed")]
    by_rows = [path.read_bytes() for path in results]
    (handlers,) = blocks("Batch handlers", "python")
    (quickstart_folder / "batch_handlers.py").write_text(handlers, encoding="utf-8")
    done = subprocess.run(
        ["rowmill", "run", "people.csv", "--batch-handler", "batch_handlers.save_people"],
        cwd=quickstart_folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    by_batches = [path.read_bytes() for path in results]
    assert by_batches[0] == by_rows[0]
    assert by_batches[1].replace(b" is not", b"'' is not") == by_rows[1]


def test_the_options_table_is_that_of_the_code() -> None:
    defaults = ImportOptions()
    shown = {"True": "true", "False": "false", "None": "none"}
    expected = []
    for name in KNOWN:
        default = str(getattr(defaults, name))
        expected.append((f"`{name}`", shown.get(default, default)))
    assert [(row[0], row[2]) for row in table("Options", "option")] == expected


def test_the_exit_codes_are_those_of_the_code() -> None:
    names = {kind.exit_code: f"`{kind.code}`" for kind in error_kinds()}
    expected = [[str(code), names.get(code, ""), meaning] for code, meaning in exit_codes().items()]
    assert list(table("Exit codes", "code")) == expected


def test_every_public_name_is_documented() -> None:
    documented = {name for row in table("Python API", "name") for name in re.findall(r"engine\.(\w+)", row[0])}
    # What `inspect` returns is told beside it.
    assert documented | {"Inspection", "Preview"} == set(engine.__all__)


def test_the_sections_come_in_the_order_of_a_reader_s_questions() -> None:
    titles = re.findall(r"^## (.*)$", README, re.MULTILINE)
    expected = ["When not to use it", "Quickstart", "Celery", "Django REST framework", "Python API"]
    expected += ["Batch handlers", "Sources", "Excel", "Options", "CSV dialects", "Broken rows"]
    expected += ["Result files", "Exit codes", "How the data flows", "What is promised"]
    expected += ["Words", "Benchmarks", "Limits", "License"]
    assert titles == expected


def test_the_worker_s_line_names_the_app_that_there_is() -> None:
    (command,) = (line for line in README.splitlines() if line.startswith("celery "))
    assert command == "celery -A engine.runtime.celery_app worker"
    assert (ROOT / "engine" / "runtime" / "celery_app.py").exists()


def test_every_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", README))
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert named
    assert named <= there, named - there
