"""The usage guide's own handlers give what the guide says."""

from __future__ import annotations

import logging
import sys
import types
from typing import Any

import pytest

from engine.handlers import RowAdapter, RowFailure, resolve_handler
from engine.options import ImportOptions
from tests.handlers.guide_handlers import MyModel

GUIDE = "tests.handlers.guide_handlers"
RETURNED_NOTHING = (
    'The handler returned None, not a dict with "ok": it must return '
    '{"ok": True, "result": {...}} or {"ok": False, "error": "..."}.'
)


def outcomes(name: str, *rows: list[str], **options: Any) -> list[Any]:
    handler = resolve_handler(f"{GUIDE}.{name}")
    given = ImportOptions.from_mapping(options).for_handler()
    return RowAdapter(handler, "a1b2c3d4-e5f6", given).run(1, rows)


@pytest.fixture(autouse=True)
def _no_rows_yet() -> None:
    MyModel.created = []


@pytest.fixture
def _guides_application(monkeypatch: pytest.MonkeyPatch) -> None:
    models = types.ModuleType("apps.myapp.models")
    models.MyModel = MyModel  # type: ignore[attr-defined]
    for name, module in [("apps", types.ModuleType("apps")), ("apps.myapp", types.ModuleType("apps.myapp"))]:
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "apps.myapp.models", models)


@pytest.mark.usefixtures("_guides_application")
def test_the_first_handler_saves_and_refuses() -> None:
    found = outcomes("my_import_handler", ["Ada", "ada@example.com"], ["Bob", ""], ["Eve"])
    assert found == [{"id": 17}, RowFailure("Email is required"), RowFailure("list index out of range")]
    assert MyModel.created == [("ada@example.com", {"name": "Ada"})]


def test_the_first_handler_without_its_application_refuses_every_row() -> None:
    assert outcomes("my_import_handler", ["Ada", "ada@example.com"]) == [RowFailure("No module named 'apps'")]


@pytest.mark.parametrize("name", ["custom_options", "log_important_events"])
def test_a_handler_that_returns_nothing_refuses_its_rows(name: str) -> None:
    assert outcomes(name, ["a"], update_existing=True) == [RowFailure(RETURNED_NOTHING)]


def test_the_good_forms_are_good() -> None:
    assert outcomes("good_success", ["a"]) == [{"id": 123}]
    assert outcomes("good_failure", ["a"]) == [RowFailure("Validation failed")]


def test_the_bad_forms_fail_their_row_and_say_why() -> None:
    (not_a_dict,) = outcomes("bad_not_a_dict", ["a"])
    assert not_a_dict == RowFailure(RETURNED_NOTHING.replace("returned None", "returned bool True"))
    (wrong_key,) = outcomes("bad_wrong_key", ["a"])
    assert wrong_key == RowFailure('The handler returned a dict without "ok": it must say True or False.')


def test_dots_in_braces_are_a_result_too() -> None:
    assert outcomes("handle_exceptions", ["a"]) == [{...}]


def test_short_rows_reach_the_handler_that_checks_their_length() -> None:
    found = outcomes("validate_input", ["a"], [], ["a", "b", "no address"], ["a", "b", "c@d", "e"])
    assert [failure.message for failure in found] == [
        "Row has insufficient columns",
        "Row has insufficient columns",
        "Invalid email format",
        RETURNED_NOTHING,
    ]


def test_the_handler_that_caches_sees_the_batch_size() -> None:
    rows = [[f"{number}@example.com", "x"] for number in range(7)]
    assert outcomes("use_bulk_operations", *rows, batch_size=3) == [{"cached": True}] * 7
    assert [model.data["email"] for model in MyModel.created] == [row[0] for row in rows[:6]]


def test_the_handler_that_logs_knows_row_and_job(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        outcomes("log_important_events", ["a"], ["b"])
    assert [record.getMessage() for record in caplog.records] == [
        "Processing row 1 for job a1b2c3d4-e5f6",
        "Processing row 2 for job a1b2c3d4-e5f6",
    ]
