"""The scan finds exactly the records of the exact rule, wherever the bytes are cut, in bounded memory and time.

By the compiled loop, and by what stands in for it where there was no compiler.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

import engine.readers.scan
from engine.model import Dialect
from engine.native import loops
from engine.readers.scan import RecordScanner
from tests.readers.growth import assert_linear
from tests.readers.reference import csv_rows, line_ends, reference_records
from tests.readers.strategies import TableText, blocks_of, examples, record_limits, soups, tables

MIB = 1024 * 1024
START = 1000

#: What tempts a scanner to look at the same bytes again and again.
SOUPS = {
    "quotes": b'""',
    "a quote on every line": b'"\n',
    "a quoted line end": b'"\n",',
    "records that only end by the limit": b'x","\n',
    "an open quote before doubled ones": b'"a""\n""b""\n',
    "unterminated quotes": b'1,"abc\n2,abc\n',
    "quotes closed in the middle of text": b'1,"abc\n2,abc"d\n',
    "inches": b'1,5" pipe,2\n',
    "delimiters": b",,",
    "blank lines": b"\n\n",
    "carriage returns": b"\r\r",
    "no line end": b"ab",
    "one quoted cell": b"ab\n",
}


@pytest.fixture(autouse=True, scope="module", params=["compiled", "python"])
def implementation(request: pytest.FixtureRequest) -> Iterator[None]:
    assert loops is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine.readers.scan, "loops", loops if request.param == "compiled" else None)
        yield


def scanned(
    blocks: Iterable[bytes], dialect: Dialect, max_record_bytes: int
) -> tuple[list[int], list[bool], list[int]]:
    """Record ends, broken flags and how many lines there are up to each record, of all blocks together."""
    ends: list[int] = []
    broken: list[bool] = []
    lines: list[int] = []
    for block in RecordScanner(dialect, max_record_bytes=max_record_bytes).scan(blocks, START):
        assert len(block.ends) == len(block.line_counts) > 0
        assert len(block.broken) in (0, len(block.ends))
        ends.extend(block.ends)
        broken.extend(map(bool, block.broken or bytes(len(block.ends))))
        before = lines[-1] if lines else 0
        lines.extend(before + count for count in block.line_counts)
    return ends, broken, lines


def check(data: bytes, blocks: Iterable[bytes], dialect: Dialect, max_record_bytes: int) -> None:
    """Every byte belongs to the record that the reference says, however it came."""
    expected = reference_records(
        data,
        delimiter=dialect.delimiter,
        quote_char=dialect.quote_char,
        escape_char=dialect.escape_char,
        skips_blanks=dialect.skip_initial_space != "never",
        max_record_bytes=max_record_bytes,
    )
    ends, broken, lines = scanned(blocks, dialect, max_record_bytes)
    assert ends == [START + record.end for record in expected]
    assert broken == [record.is_broken for record in expected]
    line_numbers = {end: number for number, end in enumerate(line_ends(data), 1)}
    assert lines == [line_numbers[record.end] for record in expected]


def exhaust(blocks: Iterable[bytes], *, max_record_bytes: int = 16 * MIB) -> int:
    """The number of records, none of which is kept."""
    scanner = RecordScanner(Dialect(), max_record_bytes=max_record_bytes)
    return sum(len(block.ends) for block in scanner.scan(blocks, 0))


@examples(500)
@given(st.data(), soups(), record_limits, st.sampled_from(['"', '"', '"', None, ","]))
def test_any_bytes_fall_into_the_same_records_however_they_are_cut(
    draw: st.DataObject, data: bytes, max_record_bytes: int, quote_char: str | None
) -> None:
    escape_char = draw.draw(st.sampled_from([None, "\\"]))
    skip = draw.draw(st.sampled_from(["never", "quoted"]))
    delimiter = "a" if quote_char == "," else ","
    dialect = Dialect(delimiter=delimiter, quote_char=quote_char, escape_char=escape_char, skip_initial_space=skip)
    with pytest.MonkeyPatch.context() as patch:
        # As small as the data: else a window holds it all.
        patch.setattr(engine.readers.scan, "SLICE_BYTES", draw.draw(st.sampled_from([1, 2, 5, 16, 256 * 1024])))
        patch.setattr(engine.readers.scan, "_JOINED_BYTES", draw.draw(st.sampled_from([1, 3, 8, 4096])))
        check(data, draw.draw(blocks_of(data)), dialect, max_record_bytes)
        check(data, [data[i : i + 1] for i in range(len(data))], dialect, max_record_bytes)


def test_records_are_given_before_another_block_is_asked_for() -> None:
    asked = 0

    def blocks() -> Iterator[bytes]:
        nonlocal asked
        for _ in range(3):
            asked += 1
            yield b"a,b\n" * 100_000

    scan = RecordScanner(Dialect(), max_record_bytes=MIB).scan(blocks(), 0)
    next(scan)
    assert asked == 1
    for _ in scan:
        pass
    assert asked == 3


@examples(150)
@given(st.data(), tables(), record_limits)
def test_a_written_table_falls_into_the_same_records_however_it_is_cut(
    draw: st.DataObject, table: TableText, max_record_bytes: int
) -> None:
    data = table.text.encode()
    dialect = Dialect(delimiter=table.delimiter, quote_char=table.quote_char)
    check(data, draw.draw(blocks_of(data)), dialect, max_record_bytes)


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("cell", ["plain", '"quoted"', '"two\nlines, and ""more"""', '5" pipe'])
def test_a_table_longer_than_a_slice_has_the_rows_of_csv(cell: str, line_end: str) -> None:
    text = "".join(f"{number},{cell}{line_end}" for number in range(40_000))
    data, rows = text.encode(), len(csv_rows(text))
    assert exhaust([data]) == rows
    assert exhaust(data[i : i + 99_999] for i in range(0, len(data), 99_999)) == rows


@pytest.mark.parametrize(
    "block",
    [b"a" * MIB, b"\n" * MIB, b"\r" * MIB, b'"' * MIB, b'"a' + b"a" * MIB, b"a" * (MIB - 1) + b"\r"],
    ids=["no line end", "blank lines", "carriage returns", "quotes", "stray quotes", "lines as long as a block"],
)
def test_memory_does_not_grow_with_the_source(block: bytes) -> None:
    tracemalloc.start()
    try:
        exhaust((block for _ in range(100)), max_record_bytes=4 * MIB)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 100 * MIB / 4


@pytest.mark.parametrize("soup", SOUPS.values(), ids=SOUPS.keys())
@pytest.mark.parametrize("max_record_bytes", [1000, 16 * MIB])
def test_time_grows_with_the_source_and_no_faster(soup: bytes, max_record_bytes: int) -> None:
    def scan(data: bytes) -> None:
        exhaust((data[i : i + 64 * 1024] for i in range(0, len(data), 64 * 1024)), max_record_bytes=max_record_bytes)

    assert_linear(scan, soup * (MIB // 8 // len(soup)))


@pytest.mark.parametrize("soup", SOUPS.values(), ids=SOUPS.keys())
def test_a_quote_open_from_the_start_costs_no_more(soup: bytes) -> None:
    assert_linear(lambda data: exhaust([b'"' + data]), soup * (MIB // 32 // len(soup)))


def test_a_line_longer_than_a_record_may_be_is_one_broken_record() -> None:
    data = b"a,b\n" + b"x" * 1000 + b"\r" + b"c,d\n"
    for size in (1, 2, 7, 100, 1004, 1005, 1006):
        blocks = [data[i : i + size] for i in range(0, len(data), size)]
        assert scanned(blocks, Dialect(), 10)[:2] == ([START + 4, START + 1005, START + 1009], [False, True, False])


def test_the_lines_of_an_overlong_record_are_counted() -> None:
    data = b'"a\nb",' + b"x" * 100 + b"\nc\n"
    blocks = [data[i : i + 5] for i in range(0, len(data), 5)]
    assert scanned(blocks, Dialect(), 10) == (
        [START + 107, START + 109],
        [True, False],
        [2, 3],
    )


def test_no_blocks_have_no_records() -> None:
    assert scanned([], Dialect(), 10) == scanned([b"", b""], Dialect(), 10) == ([], [], [])
