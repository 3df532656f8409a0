"""What stands around a table is found and shown, and never taken for more than it is."""

from __future__ import annotations

import pytest

from engine.model import Dialect
from engine.readers.layout import Layout, describe, line_end

SEMICOLON = Dialect(delimiter=";")


def layout(text: str, *, header_rows: int = 1, skip_rows: int | None = None, dialect: Dialect = SEMICOLON) -> Layout:
    return describe(text, dialect, is_whole=True, header_rows=header_rows, skip_rows=skip_rows)


@pytest.mark.parametrize(
    ("above", "table"),
    [
        (["Report of 2024", ""], "id;name\n1;a\n"),
        (["Report of 2024", "made by hand", ""], "id;name;value\n1;a;2\n2;b;3\n"),
        (["Report of 2024"], "id;name;value\n1;a;2\n2;b;3\n"),
        (["# made by a tool; of the bank", "# version 3"], "id;name;value\n1;a;2\n2;b;3\n"),
        (["Account:;DE12 3456", "", "From:;2024-01-01", ""], "day;text;amount\n1;a;2\n2;b;3\n"),
        (["Report of 2024;;", ";;"], "id;name;value\n1;a;2\n2;b;3\n"),  # as a spreadsheet program saves them
        (["Table 1;;;"], "id;name;value;note\n1;a;2;x\n2;b;3;\n"),
        (["Report;;;", "From:;2024-01-01;;", ";;;"], "id;name;value;note\n1;a;2;x\n2;b;3;\n"),
        (["# made by a tool;;"], "id;name;value\n1;a;2\n2;b;3\n"),
        (["# made by a tool", "# 2024"], "id;name\n1;a\n2;b\n"),
        (['"Report', 'in two lines"', ""], "id;name\n1;a\n"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_above_the_header_are_found(above: list[str], table: str, end: str) -> None:
    text = "\n".join([*above, table]).replace("\n", end)
    found = layout(text)
    assert list(found.preamble) == above
    assert found.preamble_confidence >= 0.8
    assert found.agreement == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "id;name\n1;a\n2;b\n",
        "id\n1;a\n2;b\n",  # a header with a delimiter too few
        "id;name\n1;a;2\n2;b;3\n",
        "name\nAnna;Bonn\nBob;Ulm\n",
        "id\n1;a;2\n2;b;3\n",  # what follows is no header
        "a;b\n1;2\n\nx;y;z\n1;2;3\n4;5;6\n7;8;9\n",  # two tables
        "only\none\ncolumn\n\nhere\n",
        "title\n\nid;name\n",  # no row below: the first line may be the header
        "\n\nid;name\n1;a\n",
        "title\n\n;;\n;;\n",
        "#;name\n1;a\n2;b\n",
        "name;;\n1;a;2\n2;b;3\n",  # numbers are in no header
        "name;\nAnna;Bonn\nBob;Ulm\n",
        "name;;\nAnna;Bonn;\nBob;Ulm;\n",  # nor are empty cells
        "name;city;value\nAnna;;\nBob;;\n",
        "From:;To:;Sum:\nAnna;Bob;x\n",
        "".join(f"title {number}\n" for number in range(100)) + "\nid;name;value\n1;a;2\n2;b;3\n",
    ],
)
def test_what_may_be_data_is_not_taken_for_lines_above_the_header(text: str) -> None:
    assert layout(text).preamble == ()


def test_without_a_header_nothing_stands_above_it() -> None:
    assert layout("Report\n\nid;name\n1;a\n", header_rows=0).preamble == ()


DATA = "1;2024-01-01;a\n2;2024-01-02;b\n3;2024-01-03;c\n"
NAMES = "id;day;note\n"


@pytest.mark.parametrize(
    ("above", "header", "rows"),
    [
        ("Report\n\n", "number;date;text\n" + NAMES, 2),
        ("Report\n\n", "key;;other\n" + NAMES, 2),
        ("Report\nby hand\n\n", "a;b;c\nd;e;f\n" + NAMES, 3),
        ("Report\n", "number;date;text\n" + NAMES, 2),
    ],
)
def test_lines_above_a_header_of_several_rows_are_found(above: str, header: str, rows: int) -> None:
    assert "\n".join(layout(above + header + DATA, header_rows=rows).preamble) + "\n" == above


@pytest.mark.parametrize(
    ("text", "rows", "counted"),
    [
        ("Report\n" + NAMES + DATA, 2, 1),  # the title is one of the two
        ("Report\n\n" + NAMES + DATA, 3, 2),
        ("Report\n\n" + NAMES + DATA, 2, 2),
        ("Report\n\nkey;;other\n" + NAMES + DATA, 4, 2),
        ("Report\n\n" + NAMES + "a;b;c\nd;e;f\ng;h;i\nj;k;l\n", 2, 2),  # nothing tells names from data
        ("Report\n\n" + NAMES + "x;day;y\n1;2024-01-02;b\n", 2, 2),  # too few rows to tell
        ("Report\n\n" + NAMES + ";;\n" + DATA, 2, 2),
        (NAMES + DATA, 2, 0),
    ],
)
def test_no_row_of_data_is_made_a_header_by_them(text: str, rows: int, counted: int) -> None:
    found = layout(text, header_rows=rows)
    assert (found.preamble, found.counted_lines) == ((), counted)


def test_given_lines_are_left_out_as_they_are() -> None:
    assert layout("a;b\n1;2\r\n3;4\n", skip_rows=2).preamble == ("a;b", "1;2")
    assert layout("a;b\n1;2\n", skip_rows=0).preamble == ()
    assert layout("a;b\n1;2\n", skip_rows=99).preamble == ("a;b", "1;2", "")
    assert layout("Report\n\nid;name\n1;a\n", skip_rows=0).preamble == ()


@pytest.mark.parametrize(
    ("text", "name"),
    [("a\nb\n", "LF"), ("a\r\nb", "CRLF"), ("a\rb\r", "CR"), ("a\r", "CR"), ("a\nb\r\n", "mixed"), ("a\rb\n", "mixed"),
     ("a", ""), ("a\r\nb\r", "CRLF")],
)  # fmt: skip
def test_line_ends_have_a_name(text: str, name: str) -> None:
    assert line_end(text) == name


def test_the_decimal_mark_is_that_of_most_numbers() -> None:
    assert layout("a;b\n1,5;x\n2,25;y\n").decimal == ","
    assert layout("a;b\n1.5;x\n2.25;y\n1.000,5;z\n").decimal == "."
    assert layout("a;b\n1.000,5;x\n").decimal == ","
    assert layout("a;b\n1;x\n").decimal is None


def test_a_header_of_numbers_looks_like_data() -> None:
    assert layout("1;a\n2;b\n").header_looks_like_data
    assert not layout("id;name\n2;b\n").header_looks_like_data
    assert not layout("a;b\nc;d\n").header_looks_like_data
    assert not layout("1;a\n2;b\n", header_rows=0).header_looks_like_data
