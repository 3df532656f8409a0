"""Rows that are cut, run and written one after the other come to what they come to step by step.

The oracles: `csv.reader` by way of `read_rows`, the adapter's loop in Python, `result_json` by orjson, `result_line`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import engine.handlers.row_adapter
from engine.handlers import RowAdapter, RowFailure
from engine.model import Chunk, Dialect
from engine.native import RowTexts, loops
from engine.readers import plain_text, read_rows
from engine.readers.records import RecordSplitter
from engine.results import result_json
from engine.results.csv_format import encode_lines, result_line
from tests.handlers.test_row_adapter import Guard
from tests.readers.strategies import TableText, examples, soups, tables

LIMIT = 1 << 24


class Level(IntEnum):
    HIGH = 3


class Name(str):
    __slots__ = ()


#: What a handler may return in a result: what the compiled loop writes itself, and what it leaves to Python.
scalars = st.one_of(
    st.text(max_size=8),
    st.text('"\\/\b\f\n\r\t\0\x1f\x7f,é€😀', max_size=6),
    st.integers(),
    st.integers(-(2**64), 2**65),
    st.floats(),
    st.booleans(),
    st.none(),
    st.sampled_from([date(2024, 2, 29), Decimal("1.10"), Level.HIGH, Name("x"), b"\xff", "\ud800", -(2**63), 2**63]),
)
values = st.recursive(
    scalars,
    lambda some: st.one_of(
        st.lists(some, max_size=3),
        st.tuples(some, some),
        st.dictionaries(st.text(max_size=4), some, max_size=3),
        st.dictionaries(st.one_of(st.integers(), st.none(), st.just("\ud800")), some, max_size=2),
    ),
    max_leaves=6,
)
returned = st.one_of(
    st.fixed_dictionaries({"ok": st.just(True), "result": st.dictionaries(st.text(max_size=4), values, max_size=3)}),
    st.fixed_dictionaries({"ok": st.just(True)}, optional={"result": values}),
    st.fixed_dictionaries({"ok": st.just(False)}, optional={"error": st.text('a,"\n\ud800é', max_size=5)}),
    st.sampled_from([None, {}, {"ok": 1}, ValueError("bad, very"), SystemExit(3)]),
)


def chunk_of(data: bytes, dialect: Dialect) -> Chunk:
    spans = RecordSplitter(dialect, max_record_bytes=LIMIT).split(data, is_last=True)
    irregular = any(span.broken_cell is not None for span in spans)
    return Chunk(chunk_index=0, byte_start=0, byte_end=len(data), first_row_index=1, row_count=1, irregular=irregular)


def handler_of(answers: list[Any], seen: list[tuple[int, list[str]]]) -> Callable[..., Any]:
    """Gives the answers in turn, notes what it got, and spoils it."""

    def handler(row_index: int, row: list[str], job_id: str, options: dict[str, Any]) -> Any:
        assert (job_id, options) == ("job", {"a": 1})
        seen.append((row_index, row[:]))
        row.append("spoiled")
        answer = answers[row_index % len(answers)]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return handler


def by_text(
    data: bytes,
    dialect: Dialect,
    handler: Callable[..., Any],
    *,
    max_rows: int,
    max_bytes: int = 1 << 18,
    guard: Any = None,
) -> tuple[bytes, bytes, list[str]]:
    plain = plain_text(data, chunk_of(data, dialect), dialect)
    assert plain is not None
    adapter = RowAdapter(handler, "job", {"a": 1}, guard=guard, result_json=result_json)
    lines = {"success": loops.new_lines(0), "failed": loops.new_lines(1000)}
    success, messages = b"", []
    row_index, at = 1, 0
    while at < len(plain.data):
        count, at, refused = adapter.run_text(
            row_index, plain.data, at, limits=(max_rows, max_bytes), marks=(plain.delimiter, plain.quote), **lines
        )
        assert 1 <= count <= max_rows
        row_index += count
        messages += refused
        if row_index % 3 == 0:
            size = loops.size_of_lines(lines["success"])
            taken = loops.take_lines(lines["success"])
            assert len(taken) == size
            success += taken
    return success + loops.take_lines(lines["success"]), loops.take_lines(lines["failed"]), messages


def by_known_texts(
    data: bytes, dialect: Dialect, handler: Callable[..., Any], *, max_rows: int, guard: Any = None
) -> tuple[bytes, bytes, list[str]]:
    plain = plain_text(data, chunk_of(data, dialect), dialect)
    assert plain is not None
    adapter = RowAdapter(handler, "job", {"a": 1}, guard=guard, result_json=result_json)
    lines = {"success": loops.new_lines(0), "failed": loops.new_lines(0)}
    row_index, messages = 1, []
    for piece in plain.slices(max_rows):
        assert isinstance(piece.records, RowTexts)
        messages += adapter.run_to_lines(row_index, piece.rows, piece.records, **lines)  # type: ignore[arg-type]
        row_index += len(piece.rows)
    return loops.take_lines(lines["success"]), loops.take_lines(lines["failed"]), messages


def by_steps(
    data: bytes, dialect: Dialect, handler: Callable[..., Any], *, guard: Any = None
) -> tuple[bytes, bytes, list[str]]:
    rows: list[Any] = list(read_rows(data, chunk_of(data, dialect), dialect, max_record_bytes=LIMIT))
    kept = [row[:] for row in rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine.handlers.row_adapter, "loops", None)
        outcomes = RowAdapter(handler, "job", {"a": 1}, guard=guard, result_json=result_json).run(1, rows)
    pairs = list(zip(kept, outcomes, strict=True))
    success = [result_line(row, outcome) for row, outcome in pairs if not isinstance(outcome, RowFailure)]
    refused = [(row, outcome.message) for row, outcome in pairs if isinstance(outcome, RowFailure)]
    return (
        encode_lines(success),
        encode_lines([result_line(*each) for each in refused]),
        [message for _, message in refused],
    )


def check(data: bytes, dialect: Dialect, answers: list[Any], *, max_rows: int, max_bytes: int, guarded: bool) -> None:
    if plain_text(data, chunk_of(data, dialect), dialect) is None:
        return
    seen: list[list[Any]] = [[], [], []]
    guards = [Guard() if guarded else None for _ in seen]
    handlers = [handler_of(answers, each) for each in seen]
    expected = by_steps(data, dialect, handlers[0], guard=guards[0])
    assert by_text(data, dialect, handlers[1], max_rows=max_rows, max_bytes=max_bytes, guard=guards[1]) == expected
    assert by_known_texts(data, dialect, handlers[2], max_rows=max_rows, guard=guards[2]) == expected
    assert seen[0] == seen[1] == seen[2]
    for guard in guards[1:]:
        assert guard is None or vars(guard) == vars(guards[0])


@examples(300)
@given(
    tables(),
    st.lists(returned, min_size=1, max_size=4),
    st.integers(1, 5),
    st.sampled_from([1, 30, 1 << 18]),
    st.booleans(),
)
def test_tables(table: TableText, answers: list[Any], max_rows: int, max_bytes: int, guarded: bool) -> None:
    dialect = Dialect(delimiter=table.delimiter, quote_char=table.quote_char)
    check(table.text.encode(), dialect, answers, max_rows=max_rows, max_bytes=max_bytes, guarded=guarded)


@examples(300)
@given(soups(), st.lists(returned, min_size=1, max_size=4), st.sampled_from(['"', "'", None]), st.sampled_from(",;"))
def test_soups(data: bytes, answers: list[Any], quote_char: str | None, delimiter: str) -> None:
    dialect = Dialect(delimiter=delimiter, quote_char=quote_char)
    check(data, dialect, answers, max_rows=2, max_bytes=1 << 18, guarded=False)


@examples(1000)
@given(st.dictionaries(st.text(max_size=4), values, max_size=4))
@example({"a": 1e-4, "b": 9.999999e-5, "c": 1e16, "d": 9999999999999998.0, "e": -0.0, "f": 1.0, "g": 5e-324})
@example({"a": float("nan"), "b": float("inf"), "c": 2**63 - 1, "d": 2**64 - 1, "e": 2**64})
@example({"": [[[[]]], (), {}, ("",)], "é€😀": "\x7f\x1f\x00"})
def test_a_result_is_the_cell_that_orjson_and_the_csv_rules_make_of_it(result: dict[str, Any]) -> None:
    success, _, _ = by_text(b"a\n", Dialect(), lambda *_: {"ok": True, "result": result}, max_rows=1)
    assert success == encode_lines([result_line(["a"], result_json(result))])


def test_a_result_that_contains_itself_or_is_deep_ends_nothing() -> None:
    endless: dict[str, Any] = {"a": 1}
    endless["self"] = endless
    deep: Any = 1
    for _ in range(90):
        deep = {"a": [deep]}
    for result in (endless, deep):
        success, _, _ = by_text(b"a\n", Dialect(), lambda *_, result=result: {"ok": True, "result": result}, max_rows=1)
        assert success == encode_lines([result_line(["a"], result_json(result))])


def test_one_dict_for_all_rows_is_written_as_it_is_at_each() -> None:
    result: dict[str, Any] = {}

    def handler(row_index: int, *_: Any) -> dict[str, Any]:
        result["row"] = row_index
        return {"ok": True, "result": result}

    success, _, _ = by_text(b"a\nb\n", Dialect(), handler, max_rows=2)
    assert success == b'a,"{""row"":1}"\r\nb,"{""row"":2}"\r\n'


def test_a_row_that_its_savepoint_refuses_leaves_nothing_in_the_accepted_lines() -> None:
    class Refusing(Guard):
        def keep(self) -> None:
            raise ValueError("the key is taken")

    guard = Refusing()
    success, failed, messages = by_text(b"a\nb\n", Dialect(), lambda *_: {"ok": True}, max_rows=2, guard=guard)
    assert (success, failed) == (b"", b"a,ValueError: the key is taken\r\nb,ValueError: the key is taken\r\n")
    assert messages == ["ValueError: the key is taken"] * 2


def test_a_ctrl_c_passes_through() -> None:
    def handler(row_index: int, *_: Any) -> dict[str, Any]:
        if row_index == 2:
            raise KeyboardInterrupt
        return {"ok": True}

    with pytest.raises(KeyboardInterrupt):
        by_text(b"a\nb\nc\n", Dialect(), handler, max_rows=5)


@pytest.mark.parametrize(
    ("start", "max_rows", "max_bytes", "delimiter", "quote"),
    [
        (-1, 1, 1, 44, 34), (3, 1, 1, 44, 34), (0, 0, 1, 44, 34), (0, 1, 0, 44, 34), (0, 1, 1, 200, 34),
        (0, 1, 1, 44, 200),
    ],
)  # fmt: skip
def test_arguments_out_of_range_are_refused(
    start: int, max_rows: int, max_bytes: int, delimiter: int, quote: int
) -> None:
    adapter = RowAdapter(lambda *_: {"ok": True}, "job", {}, result_json=result_json)
    success, failed = loops.new_lines(0), loops.new_lines(0)
    how: Any = {"limits": (max_rows, max_bytes), "marks": (delimiter, quote), "success": success, "failed": failed}
    with pytest.raises(ValueError, match="out of range"):
        adapter.run_text(1, b"a\n", start, **how)


def test_a_result_json_that_gives_no_text_is_told() -> None:
    nothing: Any = lambda _: None  # noqa: E731
    adapter = RowAdapter(lambda *_: {"ok": True, "result": 5}, "job", {}, result_json=nothing)
    with pytest.raises(TypeError, match="str"):
        adapter.run_text(
            1, b"a\n", 0, limits=(1, 1), marks=(44, 34), success=loops.new_lines(0), failed=loops.new_lines(0)
        )


def test_texts_that_are_not_as_many_as_the_rows_are_refused() -> None:
    adapter = RowAdapter(lambda *_: {"ok": True}, "job", {}, result_json=result_json)
    for ends in (b"", struct.pack("2n", 1, 1)):
        with pytest.raises(ValueError, match="as many texts as rows"):
            adapter.run_to_lines(
                1, [["a"]], RowTexts(b"a", ends), success=loops.new_lines(0), failed=loops.new_lines(0)
            )


def test_lines_that_are_being_written_are_nobody_elses() -> None:
    lines = {"success": loops.new_lines(0), "failed": loops.new_lines(0)}
    touched = 0

    def handler(*_: Any) -> dict[str, Any]:
        nonlocal touched
        for touch in (loops.take_lines, loops.size_of_lines, lambda _: adapter.run_text(1, b"b\n", 0, **how)):
            with pytest.raises(RuntimeError, match="being written"):
                touch(lines["success"])
            touched += 1
        return {"ok": True}

    adapter = RowAdapter(handler, "job", {}, result_json=result_json)
    how: Any = {"limits": (5, 100), "marks": (44, 34), **lines}
    assert adapter.run_text(1, b"a\n", 0, **how) == (1, 2, [])
    assert touched == 3
    assert loops.take_lines(lines["success"]) == b"a,{}\r\n"
    assert loops.take_lines(lines["success"]) == b""
    with pytest.raises(ValueError, match="PyCapsule"):
        loops.take_lines("no lines")  # type: ignore[arg-type]


assert loops is not None, "the tests need a C compiler"
