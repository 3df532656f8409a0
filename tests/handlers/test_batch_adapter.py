from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.handlers import BatchAdapter, RowFailure, batch_handler, frame_columns, mode_of, not_atomic

ROWS = [["1", "a"], ["2", ""], ["3", "c"], ["4", "d"]]
WRONG = "no a"


def run(handler: Any, rows: list[list[str]] = ROWS, first: int = 1, **more: Any) -> list[Any]:
    return BatchAdapter(handler, "job", {"x": 1}, column_names=["id", "name"], **more).run(first, rows)


def failures(outcomes: list[Any]) -> dict[int, str]:
    return {i: outcome.message for i, outcome in enumerate(outcomes, 1) if isinstance(outcome, RowFailure)}


def test_a_handler_gets_text_columns_with_empty_cells_as_empty_text_and_the_index_of_the_first_row() -> None:
    seen: list[Any] = []

    def handler(first: int, batch: pl.DataFrame, job_id: str, options: dict[str, Any]) -> Any:
        seen.append((first, batch.schema, batch.rows(), job_id, options))
        return [None] * batch.height

    assert run(handler, first=41) == [{}] * 4
    assert seen == [
        (41, pl.Schema({"id": pl.String, "name": pl.String}), [tuple(row) for row in ROWS], "job", {"x": 1})
    ]


ERRORS = [None, WRONG, None, None]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (ERRORS, WRONG),
        (tuple(ERRORS), WRONG),
        (pl.Series(ERRORS), WRONG),
        (pa.array(ERRORS), WRONG),
        (pa.chunked_array([ERRORS]), WRONG),
        (np.array(ERRORS, dtype=object), WRONG),
        (np.array([float("nan"), WRONG, float("nan"), None], dtype=object), WRONG),
        (pl.Series([None, 1, None, None]), "1"),
    ],
)
def test_every_form_of_an_error_column_is_taken(column: Any, message: str) -> None:
    expected = {2: message}
    assert failures(run(lambda *_: column)) == expected
    assert failures(run(lambda *_: {"error": column})) == expected


@pytest.mark.parametrize(
    "results",
    [
        [{"n": 1}, None, {"n": 3}, {"n": 4}],
        pl.DataFrame({"n": [1, 2, 3, 4]}),
        pl.DataFrame({"n": [1, 2, 3, 4]}).to_struct("n"),
        pa.table({"n": [1, 2, 3, 4]}),
    ],
    ids=lambda results: type(results).__name__,
)
def test_results_come_as_a_column_or_a_frame(results: Any) -> None:
    outcomes = run(lambda *_: {"error": ERRORS, "result": results})
    assert outcomes == [{"n": 1}, RowFailure(WRONG), {"n": 3}, {"n": 4}]


def test_a_row_without_a_result_has_an_empty_one() -> None:
    assert run(lambda *_: {"error": [None] * 4, "result": [None, 0, "", False]}) == [{}, 0, "", False]


def test_an_empty_error_is_still_a_refusal() -> None:
    assert failures(run(lambda *_: ["", None, None, None])) == {1: "The handler refused the row without saying why."}


@pytest.mark.parametrize(
    ("returned", "named"),
    [
        (None, "returned None as error"),
        ("no", "returned str 'no' as error"),
        ({"result": []}, 'a mapping without "error"'),
        (pl.Series([True, False, True, True]), "truth values"),
        (pl.DataFrame({"error": ERRORS}), "as error"),
        ({"error": ERRORS, "result": 7}, "returned int 7 as result"),
    ],
)
def test_another_form_fails_the_batch_at_once_and_names_what_came(returned: Any, named: str) -> None:
    calls: list[int] = []

    def handler(first: int, *_: Any) -> Any:
        calls.append(first)
        return returned

    messages = failures(run(handler))
    assert list(messages) == [1, 2, 3, 4]
    assert all(named in message for message in messages.values())
    assert calls == [1]


def test_a_wrong_length_fails_the_rows_it_comes_of_and_names_both() -> None:
    def forgets_rows_without_a_name(_: int, batch: pl.DataFrame, *__: Any) -> Any:
        return [None] * batch.filter(pl.col("name") != "").height

    assert failures(run(forgets_rows_without_a_name)) == {
        2: 'The batch handler returned a column "error" of length 0 for a batch of 1 row(s).'
    }


def crashes_on_empty(first: int, batch: pl.DataFrame, *_: Any) -> Any:
    if "" in batch["name"]:
        raise ValueError("empty name")
    return {"error": [None] * batch.height, "result": list(range(first, first + batch.height))}


def test_a_crash_fails_only_the_guilty_row() -> None:
    assert run(crashes_on_empty) == [1, RowFailure("ValueError: empty name"), 3, 4]


def test_a_handler_that_is_not_atomic_is_not_called_again() -> None:
    calls: list[int] = []

    @not_atomic
    def handler(first: int, *_: Any) -> Any:
        calls.append(first)
        raise ValueError("away")

    messages = failures(run(handler, first=5))
    assert set(messages.values()) == {"The batch of rows 5 to 8 failed: ValueError: away"}
    assert calls == [5]


def test_what_a_crashed_call_did_is_rolled_back_and_what_a_refusing_one_did_is_kept() -> None:
    log: list[str] = []

    class Guard:
        is_set = True

        def __enter__(self) -> None:
            log.append("begin")

        def __exit__(self, *_: object) -> None:
            log.append("end")

        def keep(self) -> None:
            log.append("keep")

        def undo(self) -> None:
            log.append("undo")

        def check_refusal(self) -> None:
            log.append("refusal")

    guard = Guard()
    assert failures(run(lambda *_: ERRORS, guard=guard)) == {2: WRONG}
    assert log == ["begin", "refusal", "keep", "end"]
    log.clear()
    assert list(failures(run(crashes_on_empty, ROWS[:2], guard=guard))) == [2]
    assert log == ["begin", "undo", "end", "begin", "keep", "end", "begin", "undo", "end"]


def test_ragged_rows_fail_with_both_counts_and_the_batches_around_them_have_no_gaps() -> None:
    seen: list[tuple[int, int]] = []

    def handler(first: int, batch: pl.DataFrame, *_: Any) -> Any:
        seen.append((first, batch.height))
        return [None] * batch.height

    messages = failures(run(handler, [["1", "a"], ["2"], [], ["4", "d"], ["5", "e"], ["6", "f", "g"]]))
    assert messages == {
        2: "The row has 1 cell, the table has 2 columns.",
        3: "The row has 0 cells, the table has 2 columns.",
        6: "The row has 3 cells, the table has 2 columns.",
    }
    assert seen == [(1, 1), (4, 2)]


def test_ctrl_c_passes_through() -> None:
    def handler(*_: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(handler)


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_whichever_rows_crash_exactly_those_fail(bad: list[bool]) -> None:
    def handler(_: int, batch: pl.DataFrame, *__: Any) -> Any:
        if "bad" in batch["name"]:
            raise RuntimeError("bad row")
        return [None] * batch.height

    outcomes = run(handler, [[str(i), "bad" if is_bad else "good"] for i, is_bad in enumerate(bad)])
    assert [isinstance(outcome, RowFailure) for outcome in outcomes] == bad


def test_the_decorator_says_what_a_handler_takes() -> None:
    assert (mode_of(batch_handler(lambda *_: None)), mode_of(lambda *_: None)) == ("batch", "row")


@pytest.mark.parametrize(
    ("header", "count", "names"),
    [
        (["id", "name"], 2, ["id", "name"]),
        ([], 2, ["col_0", "col_1"]),
        (["a", "a", "a"], 3, ["a", "a_2", "a_3"]),
        (["a", "a_2", "a"], 3, ["a", "a_2", "a_3"]),
        (["", " ", "col_0"], 3, ["col_0_2", "col_1", "col_0"]),
        (["a"], 2, ["a", "col_1"]),
    ],
)
def test_names_of_columns_are_those_of_the_header_made_unique(header: list[str], count: int, names: list[str]) -> None:
    assert frame_columns(header, count) == names


@given(st.lists(st.sampled_from(["", " ", "a", "a_2", "col_0", "col_1", "col_1_2", "b"]), max_size=8))
def test_names_are_always_unique_and_a_first_name_is_kept(header: list[str]) -> None:
    names = frame_columns(header, len(header))
    assert len(set(names)) == len(header)
    assert all(names[header.index(name)] == name for name in header if name.strip())
