"""The parts of an XLSX or XLSM workbook that say what its sheets, tables and styles are."""

from __future__ import annotations

import posixpath
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO
from xml.etree import ElementTree
from zipfile import BadZipFile, ZipFile

from engine.staging.excel.marks import CellKinds
from engine.staging.excel.number_formats import NumberFormat, number_format

_PIECE_BYTES = 1024 * 1024
#: Of workbook.xml, its relations, the styles and a table each; a workbook of people has some KiB.
_MAX_PART_BYTES = 16 * 1024 * 1024
#: Of a sheet that are looked through for a first value; one that begins with so much else is taken to have some.
_MAX_BLANK_BYTES = 64 * 1024 * 1024
_WORKBOOK = "xl/workbook.xml"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_STRICT_RELATION = "{http://purl.oclc.org/ooxml/officeDocument/relationships}id"
#: What opening or parsing a part raises where it is missing, damaged, encrypted or not what it should be.
BROKEN_PART = (
    BadZipFile,
    EOFError,
    ElementTree.ParseError,
    KeyError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
    zlib.error,
)


class UnusualWorkbookError(ValueError):
    """The parts are not where Excel puts them; only calamine may know its way about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetPart:
    """A worksheet."""

    name: str
    is_visible: bool
    part: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePart:
    """An Excel table, or a name that stands for a range."""

    name: str
    sheet: str
    area: str
    """As `A3:J500`."""
    total_rows: int = 0
    """Rows at its end that hold sums."""


class Ooxml:
    """An open workbook; nothing is read that is not asked for."""

    def __init__(self, file: BinaryIO) -> None:
        """
        Raises:
            UnusualWorkbookError: the parts that name the sheets are not found.
        """
        try:
            self._zip = ZipFile(file)
            workbook = self._parse(_WORKBOOK)
            relations = self._relations(_WORKBOOK)
            self.sheets = [
                SheetPart(
                    name=element.get("name", ""),
                    is_visible=element.get("state", "visible") == "visible",
                    part=relations[element.get(_RELATION) or element.get(_STRICT_RELATION) or ""][1],
                )
                for element in _children(workbook, "sheets", "sheet")
            ]
            self._names = [
                (element.get("name", ""), element.text or "")
                for element in _children(workbook, "definedNames", "definedName")
            ]
            properties = next((e for e in workbook if _local(e) == "workbookPr"), None)
        except BROKEN_PART as error:
            raise UnusualWorkbookError(str(error)) from error
        self.is_1904 = properties is not None and properties.get("date1904") in ("1", "true")
        kinds = {part: kind for kind, part in relations.values()}
        self.worksheets = [
            sheet
            for sheet in self.sheets
            if kinds.get(sheet.part) == "worksheet" and sheet.part in self._zip.NameToInfo
        ]
        if not self.worksheets:
            raise UnusualWorkbookError("no worksheet is found")

    def has_cells(self, sheet: SheetPart) -> bool:
        """Whether a sheet holds any value; its part is read as far as the first."""
        tail, looked_at = b"", 0
        try:
            with self._zip.open(sheet.part) as file:
                while looked_at < _MAX_BLANK_BYTES and (piece := file.read(_PIECE_BYTES)):
                    whole = tail + piece
                    if any(mark in whole for mark in (b"<v>", b"<is>", b":v>", b":is>")):
                        return True
                    tail, looked_at = whole[-8:], looked_at + len(piece)
        except BROKEN_PART:
            return True  # whoever reads the sheet will say what is wrong with it
        return looked_at >= _MAX_BLANK_BYTES

    def cell_kinds(self) -> CellKinds:
        """What the parts beside a sheet say of its cells.

        Raises:
            UnusualWorkbookError: the part of the styles cannot be read.
        """
        try:
            formats = self._formats()
            relations = self._relations(_WORKBOOK).values()
        except BROKEN_PART as error:
            raise UnusualWorkbookError(str(error)) from error
        return CellKinds(
            formats=tuple(formats.items()),
            is_1904=self.is_1904,
            has_strings=self.strings_part() is not None,
            has_metadata=any(kind == "sheetMetadata" for kind, _ in relations),
        )

    def strings_part(self) -> str | None:
        """The name of the part of the shared strings; None where there is none."""
        return self._part_of_kind("sharedStrings")

    def tables(self) -> list[TablePart]:
        """The Excel tables of all worksheets, then the names that stand for one range.

        Raises:
            UnusualWorkbookError: a part that describes one cannot be read.
        """
        try:
            return self._tables()
        except BROKEN_PART as error:
            raise UnusualWorkbookError(str(error)) from error

    def _tables(self) -> list[TablePart]:
        found: list[TablePart] = []
        for sheet in self.worksheets:
            for kind, part in self._relations(sheet.part).values():
                if kind == "table":
                    table = self._parse(part)
                    found.append(
                        TablePart(
                            name=table.get("displayName") or table.get("name") or "",
                            sheet=sheet.name,
                            area=table.get("ref", ""),
                            total_rows=int(table.get("totalsRowCount") or 0),
                        )
                    )
        for name, formula in self._names:
            sheet_name, mark, area = formula.rpartition("!")
            if mark and not name.startswith("_xlnm.") and "," not in formula and "(" not in formula:
                unquoted = sheet_name.removeprefix("'").removesuffix("'").replace("''", "'")
                found.append(TablePart(name=name, sheet=unquoted, area=area.replace("$", "")))
        return found

    def _parse(self, part: str) -> ElementTree.Element:
        with self._zip.open(part) as file:
            text = file.read(_MAX_PART_BYTES)
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
            raise UnusualWorkbookError(f"{part} has a document type")
        return ElementTree.fromstring(text)  # noqa: S314 - without a document type there are no entities to expand

    def _relations(self, part: str) -> dict[str, tuple[str, str]]:
        """Id → kind (the last word of the type) and name of the parts that a part refers to."""
        folder, name = posixpath.split(part)
        try:
            relations = self._parse(f"{folder}/_rels/{name}.rels")
        except KeyError:
            return {}
        return {
            element.get("Id", ""): (
                element.get("Type", "").rpartition("/")[2],
                posixpath.normpath(posixpath.join("/", folder, element.get("Target", ""))).lstrip("/"),
            )
            for element in relations
        }

    def _part_of_kind(self, kind: str) -> str | None:
        """The part that the workbook refers to as its styles, or its shared strings; None where there is none."""
        parts = (part for found, part in self._relations(_WORKBOOK).values() if found == kind)
        return next((part for part in parts if part in self._zip.NameToInfo), None)

    def _formats(self) -> dict[int, NumberFormat]:
        """The formats of those styles that do not show numbers as they are."""
        part = self._part_of_kind("styles")
        if part is None:
            return {}
        styles = self._parse(part)
        codes = {
            int(element.get("numFmtId", "0")): element.get("formatCode", "")
            for element in _children(styles, "numFmts", "numFmt")
        }
        numbers = [int(element.get("numFmtId", "0")) for element in _children(styles, "cellXfs", "xf")]
        found = {number: number_format(number, codes.get(number)) for number in set(numbers)}
        return {style: format_ for style, number in enumerate(numbers) if (format_ := found[number]) is not None}


def _children(root: ElementTree.Element, parent: str, child: str) -> Iterator[ElementTree.Element]:
    for element in root:
        if _local(element) == parent:
            yield from (inner for inner in element if _local(inner) == child)


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
