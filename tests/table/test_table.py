"""A source is read to the same rows whatever it is cut into, and what is broken in it costs no other row."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from engine.config import EngineConfig
from engine.errors import (
    SourceChangedError,
    SourceEmptyError,
    SourceFormatError,
    SourceIsDirectoryError,
    SourceMissingError,
)
from engine.options import ImportOptions
from engine.readers import BrokenRow, Row
from engine.storage import open_location
from engine.table import TablePlanner, pin_source, read_chunk
from tests.readers.reference import (
    count_lines,
    csv_rows,
    reference_records,
    without_trailing_blank_lines,
)
from tests.readers.strategies import TableText, block_sizes, examples, record_limits, soups, text_tables
from tests.reading import Reading, read

#: No detection, and every record a row.
PLAIN: dict[str, Any] = {
    "header_rows": 0,
    "skip_rows": 0,
    "delimiter": ",",
    "quote_char": '"',
    "escape_char": "",
    "skip_initial_space": False,
    "encoding": "utf-8",
}

configs = st.builds(EngineConfig, scan_block_bytes=block_sizes, max_chunk_bytes=block_sizes)
chunk_sizes = st.integers(1, 9)


def no_workspace() -> NoReturn:
    raise AssertionError("nothing is to be staged")


def check_chunks(reading: Reading, data: bytes, records: list[tuple[int, int]]) -> None:
    """The chunks cover the data region without gap, and say rightly which rows and lines they hold."""
    end, row_index = reading.plan.data_start, 1
    for index, chunk in enumerate(reading.chunks):
        assert chunk.chunk_index == index
        assert chunk.byte_start == end
        assert chunk.first_row_index == row_index
        assert chunk.first_line_number == 1 + count_lines(data[:end])
        assert chunk.row_count > 0
        row_index += chunk.row_count
        end = chunk.byte_end
        assert end == records[row_index - 2][1]
    assert row_index - 1 == len(records) == reading.total_rows


@examples(150)
@given(text_tables, configs, chunk_sizes, st.booleans())
def test_the_rows_are_those_of_csv(
    tmp_path: Path, table: TableText, config: EngineConfig, chunk_size: int, has_mark: bool
) -> None:
    text = table.text.removeprefix("\ufeff")
    data = ("\ufeff" * has_mark + text).encode()
    reading = read(
        tmp_path / "t.csv",
        data,
        config,
        **{**PLAIN, "delimiter": table.delimiter, "quote_char": table.quote_char or "", "chunk_size": chunk_size},
    )
    assert reading.rows == csv_rows(text, delimiter=table.delimiter, quote_char=table.quote_char)
    mark_bytes = 3 * has_mark
    found = reference_records(
        without_trailing_blank_lines(text.encode()), delimiter=table.delimiter, quote_char=table.quote_char
    )
    check_chunks(reading, data, [(mark_bytes + r.start, mark_bytes + r.end) for r in found])


@examples(250)
@given(
    soups(),
    record_limits,
    st.lists(st.tuples(configs, chunk_sizes), min_size=2, max_size=3),
    st.sampled_from(["", "", "\\"]),
)
def test_rows_do_not_depend_on_how_the_source_is_cut(
    tmp_path: Path, data: bytes, max_record_bytes: int, cuts: list[tuple[EngineConfig, int]], escape_char: str
) -> None:
    assume(data.strip(b"\r\n"))
    records = reference_records(
        without_trailing_blank_lines(data), max_record_bytes=max_record_bytes, escape_char=escape_char
    )
    readings = []
    for config, chunk_size in cuts:
        small = EngineConfig(
            scan_block_bytes=config.scan_block_bytes,
            max_chunk_bytes=config.max_chunk_bytes,
            max_record_bytes=max_record_bytes,
        )
        reading = read(tmp_path / "t.csv", data, small, **{**PLAIN, "escape_char": escape_char}, chunk_size=chunk_size)
        check_chunks(reading, data, [(record.start, record.end) for record in records])
        assert [isinstance(row, BrokenRow) for row in reading.rows] == [record.is_broken for record in records]
        readings.append(reading.rows)
    assert all(rows == readings[0] for rows in readings)


@examples(60)
@given(text_tables, st.integers(1, 3), configs)
def test_header_rows_are_left_out_and_blank_lines_above_them(
    tmp_path: Path, table: TableText, header_rows: int, config: EngineConfig
) -> None:
    # Without blank lines at the end, which are no rows, and may be of a header.
    text = table.text.removeprefix("\ufeff").rstrip("\r\n") + "\n"
    options = {**PLAIN, "delimiter": table.delimiter, "quote_char": table.quote_char or "", "header_rows": header_rows}
    expected = csv_rows(text, delimiter=table.delimiter, quote_char=table.quote_char)
    while expected and not expected[0]:
        expected.pop(0)
    if len(expected) < header_rows:
        with pytest.raises((SourceFormatError, SourceEmptyError), match=r"fewer than|nothing but line ends"):
            read(tmp_path / "t.csv", text.encode(), config, **options)
        return
    reading = read(tmp_path / "t.csv", text.encode(), config, **options)
    assert reading.rows == expected[header_rows:]
    assert list(map(list, reading.look.header_records)) == expected[:header_rows]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("blank_lines", [0, 1, 2, 3, 1000, 5000])
@pytest.mark.parametrize("last", ["x,y", '"x\n"', '"x\n\n\n'])
def test_blank_lines_at_the_end_are_no_rows_and_elsewhere_they_are(
    tmp_path: Path, line_end: str, blank_lines: int, last: str
) -> None:
    text = f"a,b{line_end}{line_end}{line_end}{last}" + line_end * blank_lines
    reading = read(tmp_path / "t.csv", text.encode(), EngineConfig(scan_block_bytes=4096), header_rows=1)
    assert reading.rows[:2] == [[], []]
    assert len(reading.rows) == 3
    assert reading.chunks[-1].byte_end <= len(text)


def test_millions_of_blank_lines_are_rows_or_nothing(tmp_path: Path) -> None:
    count = 1_500_000
    reading = read(tmp_path / "t.csv", b"a,b\n1,2\n" + b"\n" * count + b"3,4\n" + b"\r\n" * count)
    assert reading.total_rows == count + 2
    assert reading.rows[:2] + reading.rows[-2:] == [["1", "2"], [], [], ["3", "4"]]


# A stray quote


def table_without_chances(draw: st.DrawFn) -> list[list[str]]:
    """Rows of whose quoted cells none begins with what may follow a quote.

    A stray quote in front of such a cell would make a well-formed cell with it by chance: in
    `1,"x⏎2,","⏎` a quote too many before x closes before the comma of the second row, and
    csv.reader reads both lines as one row too.
    """
    cell = st.text(st.sampled_from('ab,\n\r"é'), max_size=4).map(lambda text: f"x{text}" if text else text)
    return draw(st.lists(st.lists(cell, min_size=1, max_size=3), min_size=3, max_size=5))


safe_tables = st.composite(table_without_chances)()


@examples(25)
@given(safe_tables, st.sampled_from(["\n", "\r\n"]), configs, chunk_sizes)
@example([["x", "xa\nb"], ["x,", 'x"'], ["xc", ""]], "\n", EngineConfig(scan_block_bytes=3), 1)
def test_a_quote_too_many_anywhere_leaves_all_other_rows_as_they_are(
    tmp_path: Path, table: list[list[str]], line_end: str, config: EngineConfig, chunk_size: int
) -> None:
    damage_everywhere(tmp_path, table, line_end, config, chunk_size, b'"')


@examples(25)
@given(safe_tables, st.sampled_from(["\n", "\r\n"]), configs, chunk_sizes)
def test_an_undecodable_byte_anywhere_leaves_all_other_rows_as_they_are(
    tmp_path: Path, table: list[list[str]], line_end: str, config: EngineConfig, chunk_size: int
) -> None:
    damage_everywhere(tmp_path, table, line_end, config, chunk_size, b"\xff")


def damage_everywhere(
    tmp_path: Path, table: list[list[str]], line_end: str, config: EngineConfig, chunk_size: int, damage: bytes
) -> None:
    """Put the damage at every position in turn; rows before it and behind it stay exact, one at least holds it."""
    lines = []
    for row in table:
        line = io.StringIO()
        csv.writer(line, lineterminator="\r\n").writerow(row)
        lines.append((line.getvalue().removesuffix("\r\n") + line_end).encode())
    for number, line in enumerate(lines):
        before, behind = b"".join(lines[:number]), b"".join(lines[number + 1 :])
        for position in range(len(line) - len(line_end) + 1):
            data = before + line[:position] + damage + line[position:] + behind
            found = read(tmp_path / "t.csv", data, config, **PLAIN, chunk_size=chunk_size).rows
            rows_behind = len(table) - number - 1
            assert found[:number] == table[:number]
            assert found[len(found) - rows_behind :] == table[number + 1 :]
            assert len(found) > number + rows_behind


def test_every_line_with_a_stray_quote_fails_alone(tmp_path: Path) -> None:
    data = b"a,b\n" + b"".join(b'%d,"open\n%d,good\n' % (number, number) for number in range(500))
    reading = read(tmp_path / "t.csv", data, chunk_size=7)
    assert reading.good_rows == [[str(number), "good"] for number in range(500)]
    errors = [row.error for row in reading.rows if isinstance(row, BrokenRow)]
    assert [error.partition(":")[0] for error in errors] == [f"Line {2 * number + 2}" for number in range(500)]


def test_a_cell_over_the_limit_costs_one_row_where_it_is_one_line(tmp_path: Path) -> None:
    data = b"a,b\n1,x\n2," + b"y" * 300_000 + b"\n3,z\n"
    for chunk_size in (1, 100):
        reading = read(tmp_path / "t.csv", data, EngineConfig(max_record_bytes=1000), chunk_size=chunk_size)
        assert reading.good_rows == [["1", "x"], ["3", "z"]]
        (broken,) = (row for row in reading.rows if isinstance(row, BrokenRow))
        assert broken.cells == ["2", "y" * (64 * 1024 - 2)]
        assert broken.error.startswith("Line 3: the record is 300,003 bytes long")


# Encodings


def late(encoding: str, *, lines: int = 120_000) -> bytes:
    """A table whose only characters beyond ASCII come behind its first megabyte."""
    text = "id,name\n" + "1234567,plain\n" * lines
    return text.encode() + "1,Zoë “née” Müller\n".encode(encoding) * (lines // 100)


@pytest.mark.parametrize("count_total_first", [True, False])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_an_encoding_is_found_by_characters_that_come_late(
    tmp_path: Path, encoding: str, count_total_first: bool
) -> None:
    data = late(encoding)
    assert len(data) > 1_600_000
    reading = read(tmp_path / "t.csv", data, count_total_first=count_total_first)
    assert reading.plan.dialect.encoding == encoding
    assert reading.rows[-1] == ["1", "Zoë “née” Müller"]
    assert len(reading.good_rows) == 121_200


def test_one_late_broken_byte_does_not_change_a_long_text_of_another_encoding(tmp_path: Path) -> None:
    data = late("utf-8") + b"2,\xe9\n" * 20
    reading = read(tmp_path / "t.csv", data)
    assert reading.plan.dialect.encoding == "utf-8"
    assert len(reading.good_rows) == 121_200
    assert reading.rows[-1] == BrokenRow(
        ["2", r"\xe9"],
        "Line 121221: the bytes E9 are not utf-8 text. "
        "Save the file as UTF-8, or name the encoding it has with the option encoding.",
    )


def test_a_rare_byte_between_the_samples_fails_its_row_where_chunks_start_before_the_scan_ends(tmp_path: Path) -> None:
    lines = [b"1234567,plain\n"] * 150_000
    lines[20_000] = b"1,\xe9\n"  # just behind the first 256 KiB
    data = b"id,name\n" + b"".join(lines)
    assert read(tmp_path / "t.csv", data).rows[20_000] == ["1", "é"]
    reading = read(tmp_path / "t.csv", data, count_total_first=False)
    assert reading.plan == reading.look.plan
    (broken,) = (row for row in reading.rows if isinstance(row, BrokenRow))
    assert broken.error.startswith("Line 20002: the bytes E9 are not utf-8 text.")


def test_a_header_in_a_code_page_does_not_make_the_rest_one(tmp_path: Path) -> None:
    data = "größe,name\n".encode("cp1252") + b"1,plain\n" * 40_000 + "2,é漢\n".encode() * 1000
    reading = read(tmp_path / "t.csv", data)
    assert reading.plan.dialect.encoding == "utf-8"
    assert reading.plan.header == (r"gr\xf6\xdfe", "name")
    assert reading.rows[-1] == ["2", "é漢"]


def test_a_header_alone_can_speak_for_a_code_page(tmp_path: Path) -> None:
    reading = read(tmp_path / "t.csv", "größe,name\n".encode("cp1252") + b"1,plain\n" * 100_000)
    assert reading.plan.header == ("größe", "name")


def test_the_header_is_decoded_with_the_encoding_that_the_rest_speaks_for(tmp_path: Path) -> None:
    # Behind what the first look takes in, and between the samples from further on.
    data = b"1,plain\n" * 40_000 + "2,Größe\n".encode("cp1252") * 9 + b"1,plain\n" * 400_000
    reading = read(tmp_path / "t.csv", "größe,name\n".encode() + data)
    assert reading.look.plan.header == ("größe", "name")
    assert reading.plan.dialect.encoding == "cp1252"
    assert reading.plan.header == ("grÃ¶ÃŸe", "name")
    assert reading.rows[40_000] == ["2", "Größe"]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "iso8859-15", "cp850", "mac-roman", "koi8-r"])
def test_a_given_code_page_is_used(tmp_path: Path, encoding: str) -> None:
    data = b"a,b\n" + bytes(byte for byte in range(0xA0, 0x100)) + b",x\n"
    reading = read(tmp_path / "t.csv", data, encoding=encoding)
    assert reading.rows == [[bytes(range(0xA0, 0x100)).decode(encoding), "x"]]


def test_a_mark_settles_the_encoding(tmp_path: Path) -> None:
    reading = read(tmp_path / "t.csv", b"\xef\xbb\xbfa,b\n" + b"1,\xe9\n" * 9 + b"3,c\n")
    assert reading.plan.dialect.encoding == "utf-8"
    assert reading.plan.header == ("a", "b")
    assert reading.good_rows == [["3", "c"]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "cp1252", "latin-1"])
@pytest.mark.parametrize("is_given", [True, False])
def test_the_same_table_in_any_encoding_has_the_same_rows(tmp_path: Path, encoding: str, is_given: bool) -> None:
    text = "name;größe\r\n" + 'Zoë;"1,5\r\n""x"""\r\n' * 50
    given: dict[str, Any] = {"encoding": encoding} if is_given else {}
    reading = read(tmp_path / "t.csv", text.encode(encoding), **given)
    assert reading.rows == csv_rows(text, delimiter=";")[1:]
    assert reading.plan.header == ("name", "größe")
    assert reading.look.source_encoding.startswith(encoding.replace("-sig", "").replace("latin-1", "")[:6])


# The source


def test_chunks_come_while_the_source_is_read_and_not_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b\n" + b"1,2\n" * 10_000)
    config = EngineConfig(scan_block_bytes=4000)
    options = ImportOptions.from_mapping({"chunk_size": 10})
    planner = TablePlanner(pin_source(str(path), config), options, config, workspace=no_workspace, job_id="job")
    groups = list(planner.chunks(planner.look().plan))
    assert [len(group) for group in groups] == [100] * 10


def test_a_source_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceMissingError, match="There is no file"):
        pin_source(str(tmp_path / "missing.csv"), EngineConfig())
    with pytest.raises(SourceIsDirectoryError, match="is a folder"):
        pin_source(str(tmp_path), EngineConfig())


def test_a_source_that_changes_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    reading = read(path, b"a,b\n1,2\n3,4\n")
    path.write_bytes(b"a,b\n1,2\n3,5\n")
    os.utime(path, ns=(1, 1))
    storage, key = open_location(str(path), EngineConfig())
    with pytest.raises(SourceChangedError):
        list(read_chunk(storage, key, reading.plan, reading.chunks[0], EngineConfig()))


def test_a_header_alone_has_no_rows(tmp_path: Path) -> None:
    for data in (b"a,b", b"a,b\n", b"a,b\r\n\r\n", b"\n\na,b\n"):
        reading = read(tmp_path / "t.csv", data)
        assert (reading.rows, reading.chunks, reading.plan.header) == ([], [], ("a", "b"))


@pytest.mark.parametrize("delimiter", [" ", "^", "~", ":", "x", "\x01", "'"])
def test_any_delimiter_can_be_given(tmp_path: Path, delimiter: str) -> None:
    text = f'a{delimiter}b\n1{delimiter}"2{delimiter}\n3"\n{delimiter}\n'
    expected: list[Row] = [["1", f"2{delimiter}\n3"], ["", ""]]
    assert read(tmp_path / "t.csv", text.encode(), delimiter=delimiter, quote_char='"').rows == expected


def test_without_quoting_quotes_are_text(tmp_path: Path) -> None:
    reading = read(tmp_path / "t.csv", b'a,b\n"1,2\n3",4\n', EngineConfig(scan_block_bytes=1), quote_char="")
    assert reading.rows == [['"1', "2"], ['3"', "4"]]
    assert reading.plan.dialect.quote_char is None
