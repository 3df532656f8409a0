"""Pieces of a sheet's XML read by the compiled loops: as by fastexcel with marks, or not at all."""

from __future__ import annotations

from typing import Any

import fastexcel
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.native import loops
from engine.staging.excel import piece_parser
from engine.staging.excel.marks import CellKinds, IrregularSheetError, Marker
from engine.staging.excel.number_formats import NumberFormat
from engine.staging.excel.piece_parser import parse_rows, parse_strings, read_rows
from engine.staging.excel.pieces import RowPiece
from tests.readers.strategies import examples

FORMATS = ((1, NumberFormat(shows="date")), (3, NumberFormat(shows="percent", decimals=2)))
STRINGS = ["", "plain", "true", "naïve & <ça>", "x" * 300, "007", "\n", " blanks "]
MARKER = Marker(CellKinds(formats=FORMATS, has_strings=True), marks_strings=True)
SHARED = pa.array(STRINGS, pa.large_string())

#: In front of texts and within them: what has a meaning to XML, to Excel or to marks.
_TRICKY_TEXTS = [
    *("&amp;", "&lt;", "&gt;", "&quot;", "&apos;", "&#65;", "&#x1F600;", "&#10;", "&#13;", "&#32;", "&#1;", "&#xD800;"),
    *("\r\n", "\r", "\n", "\t", " ", "_x000D_", "_x000d_", "_x0041_", "_x005F_x000D_", "_x0002_", "_xD83D_", "_x00_"),
    *(
        "&",
        "&;",
        "&foo;",
        "&#;",
        "&#x;",
        "&#99999999;",
        ">",
        "]]>",
        '"',
        "'",
        "_",
        "\x01",
        "\x03A",
        "\x0b",
        "é",
        "日本",
        "😀",
    ),
]
texts = st.lists(st.sampled_from(_TRICKY_TEXTS) | st.text("abAB01x_ ", max_size=4), max_size=6).map("".join)
_DIGITS = st.text("0123456789", max_size=18)
numbers = st.one_of(
    st.builds(str, st.integers(-(10**17), 10**17)),
    st.builds(repr, st.floats(allow_nan=False, allow_infinity=False)),
    st.builds(
        "".join,
        st.tuples(
            st.sampled_from(["", "-", "+"]),
            _DIGITS,
            st.sampled_from(["", "."]),
            _DIGITS,
            st.sampled_from(["", "E5", "e-7"]),
        ),
    ),
    st.sampled_from(
        ["", "0", "-0", "0.0", "1.50", "007", ".5", "5.", "-", ".", "nan", "inf", "1_0", " 15 ", "abc", "45351.5"]
    ),
)
formulas = st.sampled_from(
    ["", "<f>A1+1</f>", '<f t="shared" si="0"/>', '<f t="shared" ref="A1:B2">A1&amp;"x"</f>', "<f/>"]
)
styles = st.sampled_from(["", ' s="0"', ' s="1"', ' s="3"', ' s="12"', ' s="03"'])


def _shared(index: int) -> str:
    return f"<v>{index}</v>"


bodies = st.one_of(
    st.builds("><v>{}</v>".format, numbers),
    st.builds(' t="n">{}<v>{}</v>'.format, formulas, numbers),
    st.builds(">{}<v>{}</v>".format, formulas, numbers),
    st.builds(' t="s">{}'.format, st.integers(0, len(STRINGS) - 1).map(_shared)),
    st.builds(' t="{}">{}<v>{}</v>'.format, st.sampled_from(["str", "e"]), formulas, texts),
    st.builds(' t="b">{}<v>{}</v>'.format, formulas, st.sampled_from("0101012")),
    st.builds(' t="inlineStr"><is><t>{}</t></is>'.format, texts),
    st.builds(' t="inlineStr"><is><t xml:space="preserve">{}</t></is>'.format, texts),
    st.sampled_from(
        [
            ">",
            "><v/>",
            "><v></v>",
            ' t="str"><v/>',
            ' t="s"><v>99</v>',
            ' t="d"><v>2024-02-29</v>',
            ' t="inlineStr"><is><t/></is>',
            ' t="inlineStr"><is></is>',
            ' t="inlineStr"><is/>',
            ' t="inlineStr"><is><r><t>a</t></r><r><rPr><b/></rPr><t>b</t></r></is>',
            ' cm="1"><v>1</v>',
            "><v>1</v><extLst/>",
            "><v>1<!-- no --></v>",
            ' t="str"><v><![CDATA[x]]></v>',
        ]
    ),
)


@st.composite
def rows_of_xml(draw: st.DrawFn) -> tuple[str, int, int]:
    """Rows, and the numbers of the first and the last of them."""
    numbers_of_rows = sorted(draw(st.sets(st.integers(1, 12), min_size=1, max_size=4)))
    xml = []
    for number in numbers_of_rows:
        cells = []
        for column in sorted(draw(st.sets(st.sampled_from([1, 2, 3, 28, 703]), max_size=4))):
            body = draw(bodies)
            reference = f'<c r="{_letters(column)}{number}"{draw(styles)}'
            is_empty = draw(st.integers(0, 9)) == 0
            cells.append(f"{reference}/>" if is_empty else f"{reference}{body}</c>")
        between = draw(st.sampled_from(["", "", "\n", " "]))
        attributes = draw(st.sampled_from(["", ' spans="1:10"', ' ht="15" customHeight="1"']))
        xml.append(f'<row r="{number}"{attributes}>{between.join(cells)}</row>{between}')
    return "".join(xml).strip(), numbers_of_rows[0], numbers_of_rows[-1]


def _letters(column: int) -> str:
    letters = ""
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def by_loops(piece: RowPiece) -> list[list[str]] | None:
    _, offsets, data = SHARED.buffers()
    columns = read_rows(piece, MARKER.letter_table, (offsets, data))
    if columns is None:
        return None
    for column, _ in columns:
        column.validate(full=True)
    return _shown([MARKER.unmark(column, SHARED) if has_marks else column for column, has_marks in columns])


def by_fastexcel(piece: RowPiece) -> list[list[str]] | None:
    """None where it is not to be read in pieces."""
    try:
        columns = parse_rows(piece, MARKER.mark(piece.xml), b"")
        return _shown([MARKER.unmark(column, SHARED) for column in columns])
    except (IrregularSheetError, fastexcel.FastExcelError):
        return None


def _shown(columns: list[pa.Array]) -> list[list[str]]:
    return [[cell or "" for cell in column.to_pylist()] for column in columns]


def piece_of(xml: str, first_row: int, last_row: int) -> RowPiece:
    return RowPiece(xml=xml.encode(), first_row=first_row, last_row=last_row)


@examples(400)
@given(rows_of_xml())
def test_the_loops_read_what_fastexcel_reads(rows: tuple[str, int, int]) -> None:
    check(*rows)


def check(xml: str, first_row: int, last_row: int) -> None:
    found = by_loops(piece_of(xml, first_row, last_row))
    if found is not None:
        expected = by_fastexcel(piece_of(xml, first_row, last_row))
        # The marks are put before cells with more caution than the loops need: a text may look like one of them.
        assert found == expected or (expected is None and "_x0002_" in xml)


@examples(200)
@given(rows_of_xml(), st.data())
def test_damaged_rows_are_read_as_by_fastexcel_or_left_to_it(rows: tuple[str, int, int], data: st.DataObject) -> None:
    xml, first_row, last_row = rows
    place = data.draw(st.integers(0, len(xml) - 1))
    damage = data.draw(st.sampled_from(["", xml[place] * 2, "<", ">", '"', "&", "\0", "9", "<c ", "</row>"]))
    cut = data.draw(st.booleans())
    check(xml[:place] + damage + ("" if cut else xml[place + 1 :]), first_row, last_row)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (' t="inlineStr"><is><t>a &lt; b_x000D_c</t></is>', "a < b\rc"),
        (' t="inlineStr"><is><t xml:space="preserve"> é\r\n日本 😀</t></is>', " é\n日本 😀"),
        (' t="s"><v>3</v>', "naïve & <ça>"),
        (' t="str"><f>A1&amp;B1</f><v>x_x0041_&#x1F600;</v>', "x_x0041_😀"),
        (' t="e"><f t="shared" si="0"/><v>#DIV/0!</v>', "#DIV/0!"),
        (' t="b"><v>1</v>', "TRUE"),
        ("><v>123456789012345</v>", "123456789012345"),
        ("><v>-0.25</v>", "-0.25"),
        ("><v>64.59999999999999</v>", "64.6"),
        ("><v>1E-7</v>", "0.0000001"),
        (' t="n"><v>1.50</v>', "1.5"),
        (' s="1"><v>45351</v>', "2024-02-29"),
        (' s="3"><f>A1</f><v>0.125</v>', "12.50%"),
        (' s="2"/>', ""),
        ("><f>A1</f><v></v>", ""),
    ],
)
def test_what_the_usual_programs_write_needs_no_parser(body: str, text: str) -> None:
    end = "" if body.endswith("/>") and "<" not in body else "</c>"
    xml = f'<row r="7" spans="1:3"><c r="B7"{body}{end}<c r="AA7"><v>1</v></c></row>'
    found = by_loops(piece_of(xml, 7, 7))
    assert found is not None
    assert found[1] == [text]
    assert found[26] == ["1"]


def test_cells_far_apart_are_not_given_room_for_all_between_them() -> None:
    far = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048575"><c r="XFD1048575"><v>1</v></c></row>'
    assert by_loops(piece_of(far, 1, 1_048_575)) is None


def test_a_long_string_in_many_cells_is_not_copied_into_each() -> None:
    long = pa.array(["x" * 1_000_000], pa.large_string())
    xml = "".join(f'<row r="{row}"><c r="A{row}" t="s"><v>0</v></c></row>' for row in range(1, 1001))
    _, offsets, data = long.buffers()
    assert read_rows(piece_of(xml, 1, 1000), b"", (offsets, data)) is None


def test_offsets_of_strings_that_are_not_theirs_are_not_followed() -> None:
    offsets = pa.array([0, 1_000_000, -5, 2], pa.int64()).buffers()[1]
    assert loops is not None
    for index in range(3):
        xml = f'<row r="1"><c r="A1" t="s"><v>{index}</v></c></row>'.encode()
        assert loops.sheet_columns(xml, 1, 1, 0, b"", offsets, b"abc") is None


@examples(200)
@given(
    st.lists(
        st.builds("<si><t>{}</t></si>".format, texts)
        | st.builds('<si><t xml:space="preserve">{}</t></si>'.format, texts)
        | st.sampled_from(["<si/>", "<si></si>", "<si><t/></si>", "\n", "<si><r><t>a</t></r><r><t>b</t></r></si>"]),
        max_size=6,
    ).map("".join)
)
def test_shared_strings_are_those_that_fastexcel_reads(xml: str) -> None:
    assert loops is not None
    found = loops.shared_strings(xml.encode())
    if found is not None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(piece_parser, "loops", None)
            assert parse_strings(xml.encode()).to_pylist() == parse_strings_of(found).to_pylist()


def parse_strings_of(found: Any) -> pa.Array:
    offsets, data, _ = found[0]
    return pa.StringArray.from_buffers(len(offsets) // 4 - 1, pa.py_buffer(offsets), pa.py_buffer(data))
