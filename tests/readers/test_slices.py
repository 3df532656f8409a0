"""Rows come in slices as `read_rows` gives them one by one, and each with the text that `csv.writer` would write.

By the compiled loop, and by what stands in for it where there was no compiler.
"""

from __future__ import annotations

import csv
import io
import struct
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import engine.readers.slices
from engine.model import Chunk, Dialect
from engine.native import RowTexts, loops
from engine.readers import RowSlice, read_rows, read_slices
from engine.readers.records import RecordSplitter
from tests.readers.growth import assert_linear
from tests.readers.strategies import TableText, delimiters, examples, soups, tables

LIMIT = 1 << 24


def chunk_of(data: bytes, dialect: Dialect) -> Chunk:
    spans = RecordSplitter(dialect, max_record_bytes=LIMIT).split(data, is_last=True)
    irregular = any(span.broken_cell is not None for span in spans)
    return Chunk(
        chunk_index=0, byte_start=7, byte_end=7 + len(data), first_row_index=1, row_count=1, irregular=irregular
    )


def slices_of(data: bytes, dialect: Dialect, *, max_rows: int) -> list[RowSlice]:
    return list(read_slices(data, chunk_of(data, dialect), dialect, max_record_bytes=LIMIT, max_rows=max_rows))


def minimal(row: list[str]) -> str:
    """`csv.writer` writes a lone empty cell as quotes; in a result file another cell follows."""
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n").writerow([*row, "x"])
    return out.getvalue().removesuffix(",x\r\n") if row else ""


def texts_of(piece: RowSlice) -> list[str | None]:
    """Each row's text, "" for a row without cells; None where it is not known."""
    if piece.records is None:
        return [None] * len(piece.rows)
    if not isinstance(piece.records, RowTexts):
        assert piece.odd == sorted(set(piece.odd))
        return [None if position in piece.odd else text for position, text in enumerate(piece.records)]
    texts: list[str | None] = []
    at = 0
    for (end,) in struct.iter_unpack("n", piece.records.ends):
        # A row without cells has no end of its own.
        assert (end == -1) == (piece.rows[len(texts)] == [])
        texts.append("" if end == -1 else piece.records.joined[at:end].decode())
        at = max(at, end)
    assert at == len(piece.records.joined)
    return texts


def check(data: bytes, dialect: Dialect, *, max_rows: int, piece_bytes: int) -> None:
    expected = list(read_rows(data, chunk_of(data, dialect), dialect, max_record_bytes=LIMIT))
    for implementation in (loops, None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine.readers.slices, "PIECE_BYTES", piece_bytes)
            patch.setattr(engine.readers.slices, "_MANY_QUOTES", 1.0)
            patch.setattr(engine.readers.slices, "loops", implementation)
            found = slices_of(data, dialect, max_rows=max_rows)
        assert [row for piece in found for row in piece.rows] == expected
        for piece in found:
            assert 1 <= len(piece.rows) <= max_rows
            for row, text in zip(piece.rows, texts_of(piece), strict=True):
                assert isinstance(row, list) or text is None
                assert text is None or text == minimal(row)  # type: ignore[arg-type]


def test_the_compiled_loop_is_there() -> None:
    # Where these tests run there is a compiler; without the loop they would test the other way twice.
    assert loops is not None


@examples(300)
@given(tables(max_rows=30), st.integers(1, 8), st.integers(1, 60))
def test_tables_of_all_dialects(table: TableText, max_rows: int, piece_bytes: int) -> None:
    dialect = Dialect(delimiter=table.delimiter, quote_char=table.quote_char)
    check(table.text.encode(), dialect, max_rows=max_rows, piece_bytes=piece_bytes)


@examples(500)
@given(soups(), st.integers(1, 8), st.integers(1, 40), delimiters, st.sampled_from(['"', "'", None]))
@example(b'a,"b\nc\nd"\n', 1, 3, ",", '"')
@example(b'"a,"b,c\nd\n', 1, 100, ",", '"')
@example(b'"a",x"y,x"y,"b"\n', 1, 100, ",", '"')
@example(b'5" pipe,a\nb,c\n7" pipe,"a\nb"\n', 2, 100, ",", '"')
@example(b'a,"b\r\nc"\r\n\r\nd\r\n', 9, 100, ",", '"')
def test_soups_of_quotes_and_line_ends(
    data: bytes, max_rows: int, piece_bytes: int, delimiter: str, quote_char: str | None
) -> None:
    check(data, Dialect(delimiter=delimiter, quote_char=quote_char), max_rows=max_rows, piece_bytes=piece_bytes)


ORDINARY = [*"xyzxyzxyz", "1,a,", '2,"b,c",x', '"3 ""x""",d', '4,"e\nf"', '5,"g"', '6,"h,i","j,k"', "", "7,é"]


#: Of every length around those that are compared at once, and alike at both ends.
_COMMON = [text for length in range(19) for text in ("a" * length, "a" * (length // 2) + "b" * (length - length // 2))]
_COMMON += ["é" * 8, "aaaaaaaé", "éaaaaaaa", "a" * 15 + "é", "a" * 16 + "é", 'a"a', "a'a", "aa,a"]


@given(
    st.lists(st.lists(st.sampled_from(_COMMON), min_size=3, max_size=3), min_size=1, max_size=60),
    st.sampled_from([",", ";", "\t"]),
)
def test_cells_that_come_again_are_themselves(rows: list[list[str]], delimiter: str) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows(rows)
    dialect = Dialect(delimiter=delimiter)
    data = out.getvalue().encode()
    assert [row for piece in slices_of(data, dialect, max_rows=60) for row in piece.rows] == rows
    check(data, dialect, max_rows=60, piece_bytes=1 << 20)


@pytest.fixture(params=["compiled", "python"])
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "python":
        monkeypatch.setattr(engine.readers.slices, "loops", None)
    return str(request.param)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_texts_of_ordinary_records_are_passed_on(end: str, implementation: str) -> None:
    (piece,) = slices_of(end.join(ORDINARY).encode(), Dialect(), max_rows=100)
    assert piece.rows[12:16] == [["4", "e\nf"], ["5", "g"], ["6", "h,i", "j,k"], []]
    known = [text for text in texts_of(piece) if text is not None]
    if implementation == "compiled":
        assert known == [line if line != '5,"g"' else "5,g" for line in ORDINARY]
    else:
        assert piece.odd == [13, 14, 15]
        assert known == ORDINARY[:13] + ORDINARY[16:]


def test_without_the_loop_a_table_with_quotes_everywhere_is_left_to_csv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.readers.slices, "loops", None)
    (piece,) = slices_of(b'"1","a"\n"2","b"\n', Dialect(), max_rows=100)
    assert piece == RowSlice([["1", "a"], ["2", "b"]])


@pytest.mark.parametrize("encoding", ["cp1252", "iso8859-15", "utf-8"])
def test_cells_of_any_code_page_are_themselves(encoding: str, implementation: str) -> None:
    rows = [["é", "€"], ["plain", "ß,ü"], [""]]
    text = 'é,€\r\nplain,"ß,ü"\r\n""\r\n'
    (piece,) = slices_of(text.encode(encoding), Dialect(encoding=encoding), max_rows=100)
    assert piece.rows == rows
    if implementation == "compiled":
        assert texts_of(piece) == ["é,€", 'plain,"ß,ü"', ""]


@pytest.mark.parametrize("record", [b'1,"%b"\n', b'"1","%b"\n', b'1" x,"%b"\n'])
def test_a_record_of_many_lines_takes_time_in_proportion(record: bytes, implementation: str) -> None:
    def read(text: bytes) -> Any:
        data = record % text
        chunk = Chunk(chunk_index=0, byte_start=0, byte_end=len(data), first_row_index=1, row_count=1)
        return list(read_slices(data, chunk, Dialect(), max_record_bytes=LIMIT, max_rows=500))

    assert_linear(read, b"some text\n" * 100_000)
