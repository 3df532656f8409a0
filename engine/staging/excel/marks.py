"""Cells made cells of text in a sheet's XML, so that nothing of them is lost on the way through fastexcel.

fastexcel reads a sheet as text at full speed, but a text does not say what its cell was: `true` may be
a text or a boolean, `2024-02-29 00:00:00` a text or a date, a percentage is a number, an error is nothing,
and numbers are cut at nine decimals. So before a piece of the XML is parsed, plain replacements of bytes
turn such cells into texts, with a mark in front that no text can begin with; behind the parser, columns
at a time, marks are turned into what the user sees. Short plain numbers, which are most, stay as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.staging.excel.number_formats import NumberFormat
from engine.staging.excel.number_texts import shown_numbers
from engine.staging.excel.text_bytes import TextBytes, place_texts

#: In front of a number with many digits, of an index of a shared string, and of a number with a format. The format's
#: letter follows.
_NUMBER, _STRING, _FORMATTED = 1, 2, 3
_MARKS = (b"\x01", b"\x02", b"\x03")
NUMBER_MARK, FORMATTED_MARK = chr(_NUMBER), chr(_FORMATTED)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#: Styles that are looked for one by one; more of them by one regular expression.
_FEW_STYLES = 12
#: A cell as Excel, LibreOffice, openpyxl and XlsxWriter write it.
_REGULAR_CELL = re.compile(
    rb'<c r="[A-Z]{1,3}[1-9][0-9]*"(?: s="[0-9]+")?(?: t="(?:s|n|b|e|str|inlineStr)")?(?:/>|><(?:[vf][/> ]|is>|/c>))'
)
#: Of 16 digits and more, of ten characters and more with a point among them, or with an exponent: fastexcel, which
#: prints nine decimals, may have another text.
_LONG_NUMBER = re.compile(
    rb'"><v>(-?[0-9]*+(?:(?<=[0-9]{16})|\.[0-9]*+(?<=[-0-9.]{10})|(?:\.[0-9]*+)?(?=[eE]))(?:[eE][-+]?[0-9]+)?)</v>'
)
_FORMULA = re.compile(rb"<f(?: [^>]*)?(?:/>|>[^<]*</f>)")
_ESCAPED_MARK = re.compile(rb"_x000[123]_")


class IrregularSheetError(Exception):
    """The XML is not as the replacements expect it; only the parser itself may know its way about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellKinds:
    """What a workbook says of its cells beside their values."""

    formats: tuple[tuple[int, NumberFormat], ...] = ()
    """The styles whose numbers are shown otherwise than in plain digits."""
    is_1904: bool = False
    has_strings: bool = False
    """Whether there is a part of shared strings."""
    has_metadata: bool = False
    """Whether cells may refer to metadata, as those of dynamic arrays do."""


class Marker:
    """Puts marks before cells, and takes them away again."""

    def __init__(self, kinds: CellKinds, *, marks_strings: bool) -> None:
        """
        Args:
            marks_strings: whether the parser is not to know the shared strings, but `unmark`.

        Raises:
            IrregularSheetError: there are more formats than letters, or what they are is in doubt.
        """
        self._kinds = kinds
        self._marks_strings = marks_strings
        self._formats = sorted({format_ for _, format_ in kinds.formats}, key=repr)
        if len(self._formats) > len(_LETTERS) or kinds.has_metadata:
            raise IrregularSheetError("too many formats, or metadata")
        letters = dict(zip(self._formats, _LETTERS, strict=False))
        self.letters = {style: letters[format_] for style, format_ in kinds.formats}
        """Style → the letter that stands behind `FORMATTED_MARK`."""
        self.letter_table = bytes(
            ord(self.letters.get(style, "\0")) for style in range(max(self.letters, default=-1) + 1)
        )
        """The same by place: a letter, or NUL, for each style up to the last one with a format."""
        self._letters = {b"%d" % style: letter.encode() for style, letter in self.letters.items()}
        styles = b"|".join(self._letters)
        self._styled = re.compile(rb' s="(' + styles + rb')"><v>') if len(self._letters) > _FEW_STYLES else None

    @staticmethod
    def check_first(xml: bytes) -> None:
        """Let the first rows of a sheet pass whose cells are written as those of the usual programs.

        Raises:
            IrregularSheetError: they are not.
        """
        if xml.count(b"<c ") + xml.count(b"<c>") != len(_REGULAR_CELL.findall(xml)):
            raise IrregularSheetError("cells are written in an unusual way")

    def mark(self, xml: bytes) -> bytes:
        """The same rows, with marks.

        Raises:
            IrregularSheetError: there is something in them that these replacements do not know.
        """
        if any(mark in xml for mark in _MARKS) or b'" ph="1">' in xml:
            raise IrregularSheetError("marks, or phonetic cells")
        if b'"><f' in xml:
            xml = _FORMULA.sub(b"", xml)
        xml = self._mark_typed(xml)
        if self._styled is not None:
            xml = self._styled.sub(lambda found: self._styled_start(found[1]), xml)
        else:
            for style in self._letters:
                xml = xml.replace(b' s="%s"><v>' % style, self._styled_start(style))
        return _LONG_NUMBER.sub(b'" t="str" ><v>\x01\\1</v>', xml)

    def _mark_typed(self, xml: bytes) -> bytes:
        kinds = _types_in(xml)
        if b"inlineStr" in kinds and b"_x000" in xml and _ESCAPED_MARK.search(xml):
            raise IrregularSheetError("texts that begin as marks do")
        # A space behind the type: what is done has another end than what is still to be done.
        if b"s" in kinds and self._marks_strings:
            xml = xml.replace(b' t="s"><v>', b' t="str" ><v>\x02')
        for kind in kinds & {b"str", b"e"}:
            xml = xml.replace(b' t="%s"><v>' % kind, b' t="str" ><v>')
        if b"n" in kinds:
            xml = xml.replace(b' t="n"><v>', b"><v>").replace(b' t="n"/>', b"/>")
        if b"b" in kinds:
            xml = xml.replace(b' t="b"><v>1<', b' t="str" ><v>TRUE<').replace(b' t="b"><v>0<', b' t="str" ><v>FALSE<')
            if b' t="b"><v>' in xml:
                raise IrregularSheetError("a boolean that is neither 0 nor 1")
        return xml

    def _styled_start(self, style: bytes) -> bytes:
        return b' s="%s" t="str" ><v>\x03%s' % (style, self._letters[style])

    def unmark(self, column: pa.Array, strings: pa.Array | None) -> pa.Array:
        """The cells of a column as the user sees them.

        Args:
            column: text, null where there is no cell.
            strings: the shared strings.

        Raises:
            IrregularSheetError: what stands behind a mark is not what it should be.
        """
        view = TextBytes(column)
        if not view.any_below(len(_MARKS) + 1):
            return column
        rows = np.flatnonzero(view.lengths)
        first = view.at(rows, 0)
        found = column
        try:
            for mark in (_NUMBER, _STRING, _FORMATTED):
                marked = rows[first == mark]
                if len(marked):
                    found = place_texts(found, marked, self._texts(mark, _rows_of(column, marked), strings))
        except (ValueError, IndexError, pa.ArrowException) as error:
            raise IrregularSheetError(str(error)) from error
        return found

    def _texts(self, mark: int, cells: pa.Array, strings: pa.Array | None) -> pa.Array:
        if mark == _NUMBER:
            return shown_numbers(_cut(cells, 1), None, is_1904=False)
        if mark == _STRING:
            assert strings is not None, "only marked with strings"
            return strings.take(_cut(cells, 1).cast(pa.int64()))
        letters = TextBytes(cells).at(np.arange(len(cells)), 1)
        texts = raw = _cut(cells, 2)
        for letter in np.unique(letters):
            rows = np.flatnonzero(letters == letter)
            format_ = self._formats[_LETTERS.index(chr(letter))]
            shown = shown_numbers(_rows_of(raw, rows), format_, is_1904=self._kinds.is_1904)
            texts = place_texts(texts, rows, shown)
        return texts


def _types_in(xml: bytes) -> set[bytes]:
    """The types of cells that there are.

    Raises:
        IrregularSheetError: there is one that is not known.
    """
    found = set()
    left = xml.count(b'" t="')
    for kind in (b"inlineStr", b"s", b"str", b"n", b"b", b"e"):
        if not left:
            break
        if count := xml.count(b' t="%s"' % kind):
            found.add(kind)
            left -= count
    if left:
        raise IrregularSheetError("a cell of an unknown type")
    return found


def _rows_of(column: pa.Array, rows: Any) -> pa.Array:
    return column if len(rows) == len(column) else column.take(pa.array(rows))


def _cut(cells: pa.Array, size: int) -> pa.Array:
    """Without so many bytes at their starts."""
    return pc.binary_slice(cells.cast(pa.binary()), size, 2**31 - 1).view(pa.string())
