from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest

from engine.errors import StorageError
from engine.json_logs import JsonFormatter
from tests.in_process import InProcess, numbered


def record(message: str = "chunk done", *arguments: object, **facts: object) -> logging.LogRecord:
    made = logging.getLogger("engine.x").makeRecord("engine.x", logging.INFO, "f", 1, message, arguments, None)
    made.__dict__.update(facts)
    return made


def test_a_record_is_one_object_on_one_line() -> None:
    text = JsonFormatter().format(record("two\nlines of %s", "a job", job_id="a\r\nb", rows=7, path=Path("/x")))
    assert "\n" not in text
    assert "\r" not in text
    told = json.loads(text)
    assert told.pop("time").endswith("+00:00")
    assert told == {
        "level": "info",
        "logger": "engine.x",
        "message": "two\nlines of a job",
        "job_id": "a\r\nb",
        "rows": 7,
        "path": "/x",
    }


def test_a_fact_does_not_pass_for_what_every_record_has() -> None:
    told = json.loads(JsonFormatter().format(record(level="forged", time="forged", logger="forged")))
    assert (told["level"], told["logger"], told["time"] == "forged") == ("info", "engine.x", False)


def test_a_traceback_is_told() -> None:
    failed = record()
    try:
        raise ValueError("no")
    except ValueError:
        failed.exc_info = sys.exc_info()
    assert "ValueError: no" in json.loads(JsonFormatter().format(failed))["traceback"]


def test_what_the_engine_logs_has_ids_and_counts_and_no_cells(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="engine")
    here = InProcess(tmp_path)
    here.run(numbered(20, bad=[3]), "by_cell", chunk_size=10)
    told = [json.loads(JsonFormatter().format(each)) for each in caplog.records]
    assert {each["job_id"] for each in told if "job_id" in each} == {here.job_id}
    done = [(each["chunk_index"], each["attempt"], each["rows"]) for each in told if each["message"] == "chunk done"]
    assert done == [(0, 1, 10), (1, 1, 10)]
    assert not any("good" in str(each) or "bad" in str(each) for each in told)
    here.close()


def test_a_plain_log_says_which_job_failed_and_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    here = InProcess(tmp_path)
    here.plan(numbered(3))
    here.coordinator().fail(here.job_id, StorageError("The disk\nis full."))
    here.close()
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert lines
    assert all(here.job_id in line and r"The disk\nis full." in line for line in lines)
