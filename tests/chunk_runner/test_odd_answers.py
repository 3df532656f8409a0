"""Answers of handlers that Python or polars choke on: each ends no more than its row, and is the same in every way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import orjson
import polars as pl
import pytest

import engine.handlers.row_adapter
from engine.chunk_runner.outcome_writer import OutcomeWriter
from engine.handlers import BatchAdapter, RowAdapter, RowFailure
from engine.model import Chunk, Counts, Dialect
from engine.native import loops
from engine.readers import PlainText
from engine.readers.frames import read_frame
from engine.results import PartWriter, format_record, result_json
from engine.results.csv_format import encode_lines, result_line
from tests.results.memory_storage import MemoryStorage

DATA = b'a,b\r\n"x,""y",z\n\xc3\xa9,\n"a\r\nb",1\nlast,2'
ROWS = 5
Files = tuple[bytes, bytes, Counts]


class Indexed(str):
    """A text that gives something else when it is cut."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        return 42


class Stripped(str):
    """A text that fails when it is stripped, formatted or compared."""

    __slots__ = ()

    def strip(self, chars: str | None = None) -> Any:
        raise SystemExit(3)

    def __format__(self, spec: str) -> str:
        raise SystemExit(3)


class Saying(Exception):
    """An exception with a text of any kind."""

    def __str__(self) -> str:
        return self.args[0]  # type: ignore[no-any-return]


class Nameless(type):
    """Of classes that fail at their own name."""

    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise ValueError("no name")


class NamelessError(Exception, metaclass=Nameless):
    """Its class has no name to tell."""


class Thing:
    """Python shows where it lies."""


def ways_of_rows(answer: Any) -> list[tuple[bytes, bytes]]:
    """What comes of a handler that returns the answer, or raises it: compiled twice, and in Python."""

    def handler(*_: Any) -> Any:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    adapter = RowAdapter(handler, "job", {}, result_json=result_json)
    plain, found = PlainText(DATA, ord(","), ord('"')), []
    (piece,) = plain.slices(100)
    how: Any = {"limits": (100, 1000), "marks": (plain.delimiter, plain.quote)}
    for run in (
        lambda lines: adapter.run_text(1, DATA, 0, **how, **lines),
        lambda lines: adapter.run_to_lines(1, piece.rows, piece.records, **lines),  # type: ignore[arg-type]
    ):
        lines = {"success": loops.new_lines(0), "failed": loops.new_lines(0)}
        run(lines)  # type: ignore[no-untyped-call]
        found.append((loops.take_lines(lines["success"]), loops.take_lines(lines["failed"])))
    rows: Any = piece.rows
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine.handlers.row_adapter, "loops", None)
        pairs = list(zip(rows, adapter.run(1, rows), strict=True))
    accepted = [result_line(row, outcome) for row, outcome in pairs if not isinstance(outcome, RowFailure)]
    refused = [result_line(row, outcome.message) for row, outcome in pairs if isinstance(outcome, RowFailure)]
    return [*found, (encode_lines(accepted), encode_lines(refused))]


def ways_of_batches(handler: Callable[..., Any]) -> list[Files]:
    """What comes of a batch handler: by the frame, by the compiled texts of its rows, and by texts in Python."""
    chunk = Chunk(chunk_index=0, byte_start=0, byte_end=len(DATA), first_row_index=1, row_count=ROWS)
    frame = read_frame(DATA, chunk, Dialect(), ["a", "b"])
    assert frame is not None
    (piece,) = PlainText(DATA, ord(","), ord('"')).slices(100)
    rows: Any = piece.rows
    adapter = BatchAdapter(handler, "job", {}, column_names=["a", "b"])

    def by_frame(writer: OutcomeWriter) -> None:
        begin = 0
        for outcome in adapter.run_frame(1, frame.frame):
            writer.add_frame(frame, begin, outcome)
            begin += len(outcome.errors)

    def by_texts(writer: OutcomeWriter) -> None:
        writer.add_rows(writer.records(piece), adapter.run(1, rows), has_blank=False, are_json=False)

    def by_python(writer: OutcomeWriter) -> None:
        writer.add_rows(list(map(format_record, rows)), adapter.run(1, rows), has_blank=False, are_json=False)

    return [written(way) for way in (by_frame, by_texts, by_python)]


def written(way: Callable[[OutcomeWriter], None]) -> Files:
    storage = MemoryStorage()
    with PartWriter(storage, "success") as success, PartWriter(storage, "failed") as failed:
        writer = OutcomeWriter(success, failed, is_remote=False, has_files=True, escapes=False)
        way(writer)
        writer.finish()
    return storage.objects.get("success", b""), storage.objects.get("failed", b""), writer.counts


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param({"ok": False, "error": Indexed("taken")}, "taken", id="a text that is cut to a number"),
        pytest.param({"ok": False, "error": Saying(Indexed("taken"))}, "taken", id="a text of a text of this kind"),
        pytest.param({"ok": False, "error": Thing()}, "<tests.chunk_runner.test_odd_answers.Thing object>", id="thing"),
        pytest.param(Saying(Stripped(" bad")), "Saying: bad", id="an exception whose text cannot be stripped"),
        pytest.param(Saying(5), "Saying", id="an exception whose text is none"),
        pytest.param(NamelessError("bad"), "NamelessError: bad", id="an exception whose class has no name"),
        pytest.param(ValueError("\ud800"), "ValueError: \\ud800", id="half of a surrogate pair"),
        pytest.param(
            ValueError(Thing()), "ValueError: <tests.chunk_runner.test_odd_answers.Thing object>", id="error of a thing"
        ),
    ],
)
def test_a_refusal_or_a_crash_of_any_kind_ends_its_row_with_the_same_text(answer: Any, message: str) -> None:
    (piece,) = PlainText(DATA, ord(","), ord('"')).slices(100)
    expected = encode_lines([result_line(row, message) for row in piece.rows])  # type: ignore[arg-type]
    assert ways_of_rows(answer) == [(b"", expected)] * 3

    def batch_handler(_first: int, batch: pl.DataFrame, *_: Any) -> Any:
        if isinstance(answer, BaseException):
            raise answer
        return [answer["error"]] * batch.height

    assert ways_of_batches(batch_handler) == [(b"", expected, Counts(failure_count=ROWS))] * 3


def test_a_message_of_the_handlers_own_is_left_as_it_is() -> None:
    answer = {"ok": False, "error": "<object at 0x7f00>"}
    assert all(b"<object at 0x7f00>" in failed for _, failed in ways_of_rows(answer))


def test_an_answer_of_the_wrong_form_is_told_without_where_it_lies() -> None:
    for _, failed in ways_of_rows(Thing()):
        assert failed.count(b"Thing <tests.chunk_runner.test_odd_answers.Thing object>") == ROWS
    for _, failed, _ in ways_of_batches(lambda *_: Thing()):
        assert failed.count(b"Thing <tests.chunk_runner.test_odd_answers.Thing object>") == ROWS


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        pytest.param(
            test_an_answer_of_the_wrong_form_is_told_without_where_it_lies, "<function test_an", id="function"
        ),
        pytest.param(orjson.Fragment(b"\xff"), '"<Fragment>"', id="bytes that are no text"),
        pytest.param({"a": orjson.Fragment(b"\xff\n")}, '{"a":"<Fragment>"}', id="bytes that are no text in a dict"),
    ],
)
def test_a_result_of_any_kind_is_the_same_text_in_every_way(result: Any, expected: str) -> None:
    text = result_json(result)
    assert expected in text
    assert " at 0x" not in text
    (piece,) = PlainText(DATA, ord(","), ord('"')).slices(100)
    lines = encode_lines([result_line(row, text) for row in piece.rows])  # type: ignore[arg-type]
    assert ways_of_rows({"ok": True, "result": result}) == [(lines, b"")] * 3
    answer: Callable[..., Any] = lambda _, batch, *__: {"error": [None] * ROWS, "result": [result] * batch.height}  # noqa: E731
    assert ways_of_batches(answer) == [(lines, b"", Counts(success_count=ROWS))] * 3


@pytest.mark.parametrize(
    ("column", "beyond", "within"),
    [
        pytest.param(
            pl.Series("at", [2**62, 5]).cast(pl.Datetime("us")),
            2**62,
            '{"at":"1970-01-01T00:00:00.000005"}',
            id="year 148108",
        ),
        pytest.param(
            pl.Series("at", [2**30, 1], dtype=pl.Int32).cast(pl.Date), 2**30, '{"at":"1970-01-02"}', id="date"
        ),
        pytest.param(
            pl.Series("at", [2**62, 1]).cast(pl.Duration("ms")), 2**62, result_json({"at": timedelta(seconds=0.001)}),
            id="duration",
        ),
    ],
)  # fmt: skip
def test_what_python_has_no_value_for_is_a_number_and_ends_nothing(column: pl.Series, beyond: int, within: str) -> None:
    def handler(_first: int, batch: pl.DataFrame, *_: Any) -> Mapping[str, Any]:
        pattern = (batch["a"] == "last").to_list()
        values = [column[1:] if is_last else column[:1] for is_last in pattern]
        return {"error": [None] * batch.height, "result": pl.concat(values).to_frame()}

    (piece,) = PlainText(DATA, ord(","), ord('"')).slices(100)
    texts = [f'{{"at":{beyond}}}'] * (ROWS - 1) + [within]
    lines = encode_lines([result_line(row, text) for row, text in zip(piece.rows, texts, strict=True)])  # type: ignore[arg-type]
    assert ways_of_batches(handler) == [(lines, b"", Counts(success_count=ROWS))] * 3


@pytest.mark.parametrize("is_struct", [False, True], ids=["a column", "a struct"])
def test_results_under_names_that_hold_a_nul_do_not_end_the_process(is_struct: bool) -> None:
    def handler(_first: int, batch: pl.DataFrame, *_: Any) -> Mapping[str, Any]:
        frame = batch.select(pl.col("a").alias("a\0b"))
        return {"error": [None] * batch.height, "result": frame.select(pl.struct("a\0b")) if is_struct else frame}

    files = ways_of_batches(handler)
    assert files[0] == files[1] == files[2]
    assert files[0][0].count(b'{""a\\u0000b"":') == (1 + is_struct) * ROWS
