"""An ODS workbook in which cells that the libraries would not give as their user sees them are texts.

calamine takes an error that LibreOffice saved for an empty text, `=TRUE()` for a number, a percentage or
a price of `1.50` for a plain one, and a moment at midnight for a date. Replacements of bytes make texts of
such cells, before they are parsed.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from engine.staging.excel.number_texts import percent_text

_CONTENT = "content.xml"
_CELL = b"<table:table-cell"
_PIECE_BYTES = 1024 * 1024
_ERROR = b' office:string-value="" calcext:value-type="error"'
#: A boolean that LibreOffice saved as a number: a formula, or one that it shows as a boolean.
_BOOLEAN = re.compile(
    rb'(table:formula="of:=(?:TRUE|FALSE)\(\)" )?office:value-type="float" office:value="([01])" '
    rb'calcext:value-type="float"><text:p>([^<]*)</text:p>'
)
_BOOLEAN_TEXTS = {b"1": b"TRUE", b"0": b"FALSE"}
_PERCENTAGE = re.compile(
    rb'office:value-type="percentage" office:value="([^"]+)" calcext:value-type="percentage"><text:p>([^<]*)</text:p>'
)
#: A number that may be shown with zeros at its end.
_PADDED = re.compile(
    rb'office:value-type="float" office:value="(-?[0-9]+(?:\.[0-9]+)?)" '
    rb'calcext:value-type="float"><text:p>(-?[0-9]+[.,][0-9]*0)</text:p>'
)
#: A date at midnight, and what is shown of it.
_MIDNIGHT = re.compile(
    rb'office:value-type="date" office:date-value="([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T00:00:00)?" '
    rb'calcext:value-type="date"><text:p>([^<]*)</text:p>'
)
#: In what is shown of a time of day.
_CLOCK = re.compile(rb":|[AP]M")
#: One of these stands where there is something to replace.
_SIGNS = (_ERROR, b"TRUE", b"FALSE", b'"percentage"', b'"date"', b"0</text:p>")
_TEXT = b'office:value-type="string"><text:p>%s</text:p>'
#: What reading the archive raises where it is damaged; then the libraries say what is wrong.
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, OSError, RuntimeError)


def workbook_of_texts(path: str) -> bytes | None:
    """The workbook with its content changed; None where there is nothing to change, or nothing that can be.

    Memory is that of the compressed workbook and some pieces.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            with archive.open(_CONTENT) as content:
                if not any(sign in piece for piece in _pieces(content) for sign in _SIGNS):
                    return None
            return _changed(archive)
    except _BROKEN:
        return None


def _changed(archive: zipfile.ZipFile) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as changed:
        for name in ("mimetype", "META-INF/manifest.xml"):
            changed.writestr(name, archive.read(name))
        with archive.open(_CONTENT) as content, changed.open(_CONTENT, "w", force_zip64=True) as target:
            for piece in _pieces(content):
                target.write(_with_texts(piece))
    return file.getvalue()


def _pieces(content: IO[bytes]) -> Iterator[bytes]:
    """Pieces that end before a cell."""
    rest = b""
    while block := content.read(max(_PIECE_BYTES, len(rest))):
        whole = rest + block
        place = max(0, whole.rfind(_CELL))
        yield whole[:place]
        rest = whole[place:]
    yield rest


def _with_texts(xml: bytes) -> bytes:
    xml = xml.replace(_ERROR, b"")
    if b"TRUE" in xml or b"FALSE" in xml:
        xml = _BOOLEAN.sub(_boolean, xml)
    xml = _PADDED.sub(_padded, xml)
    if b'"date"' in xml:
        xml = _MIDNIGHT.sub(_midnight, xml)
    return _PERCENTAGE.sub(_percentage, xml) if b'"percentage"' in xml else xml


def _boolean(found: re.Match[bytes]) -> bytes:
    text = _BOOLEAN_TEXTS[found[2]]
    return _TEXT % text if found[1] or found[3] == text else found[0]


def _padded(found: re.Match[bytes]) -> bytes:
    shown = found[2].replace(b",", b".")
    return _TEXT % shown if shown.rstrip(b"0").rstrip(b".") == found[1] else found[0]


def _midnight(found: re.Match[bytes]) -> bytes:
    """With a time of day where its format has one."""
    return _TEXT % (found[1] + b" 00:00:00" if _CLOCK.search(found[2]) else found[1])


def _percentage(found: re.Match[bytes]) -> bytes:
    """With as many decimals as are shown, and never fewer than the number has."""
    shown = re.search(rb"[.,]([0-9]+)", found[2])
    try:
        text = percent_text(found[1].decode(), len(shown[1]) if shown else 0)
    except ValueError:
        return found[0]
    return _TEXT % text.encode()
