"""What a source is, told by its content and never by its name; what is no table at all is refused as what it is."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import TYPE_CHECKING, BinaryIO

from engine.compound_file import SIGNATURE, CompoundFile
from engine.errors import (
    SourceBinaryError,
    SourceDamagedError,
    SourceEmptyError,
    SourceError,
    SourceFormatError,
    SourceProtectedError,
)
from engine.readers.encoding import byte_order_mark, wide_without_mark

if TYPE_CHECKING:
    from zipfile import ZipInfo


class SourceKind(StrEnum):
    """The forms of sources that are read."""

    TEXT = "text"
    """CSV in any dialect and encoding."""
    NDJSON = "ndjson"
    GZIP = "gzip"
    ZSTD = "zstd"
    ZIP = "zip"
    """An archive that is no workbook; what it holds is not looked at."""
    XLSX = "xlsx"
    XLSM = "xlsm"
    XLSB = "xlsb"
    XLS = "xls"
    ODS = "ods"
    PARQUET = "parquet"

    @property
    def is_workbook(self) -> bool:
        """Whether it holds sheets."""
        return self in _WORKBOOKS

    @property
    def is_packed(self) -> bool:
        """Whether a table comes out when it is unpacked."""
        return self in (SourceKind.GZIP, SourceKind.ZSTD, SourceKind.ZIP)


_WORKBOOKS = frozenset({SourceKind.XLSX, SourceKind.XLSM, SourceKind.XLSB, SourceKind.XLS, SourceKind.ODS})

#: First bytes of common files that hold no table, and at which offset → what to call them, and what to do.
_UNPACK, _SAVE_AS = "Unpack it and import the table inside.", "Import a table, such as a CSV file."
_REFUSED: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"%PDF-", "a PDF", "A PDF holds no cells; ask for the table as CSV or Excel."),
    (0, b"\x89PNG\r\n", "a PNG picture", _SAVE_AS),
    (0, b"\xff\xd8\xff", "a JPEG picture", _SAVE_AS),
    (0, b"GIF87a", "a GIF picture", _SAVE_AS),
    (0, b"GIF89a", "a GIF picture", _SAVE_AS),
    (0, b"II*\0", "a TIFF picture", _SAVE_AS),
    (0, b"MM\0*", "a TIFF picture", _SAVE_AS),
    (0, b"\0\0\1\0", "an icon", _SAVE_AS),
    (0, b"\x7fELF", "a program", _SAVE_AS),
    (0, b"SQLite format 3\0", "a SQLite database", "Export its table as CSV and import that."),
    (0, b"\xfd7zXZ\0", "compressed with xz", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (257, b"ustar\0", "a tar archive", _UNPACK),
    (257, b"ustar  \0", "a tar archive", _UNPACK),
    (0, b"ARROW1\0\0", "an Arrow or Feather file", "Write it as Parquet or CSV and import that."),
    (0, b"Obj\x01", "an Avro file", "Write it as Parquet or CSV and import that."),
    (0, b"{\\rtf1", "a text with formats (RTF)", _SAVE_AS),
)  # fmt: skip

_REFUSED_PATTERNS = tuple(
    (re.compile(pattern, re.DOTALL), name, remedy)
    for pattern, name, remedy in (
        (rb"RIFF....WEBPVP8", "a WebP picture", _SAVE_AS),
        (rb"\0\0\0.ftyp", "a video or picture", _SAVE_AS),
        (rb"BM....\0\0\0\0", "a BMP picture", _SAVE_AS),
        (rb"BZh[1-9]1AY&SY", "compressed with bzip2", _UNPACK),
    )
)

_SAVE_ANEW = "Open it in a spreadsheet program, save it as XLSX or CSV, and import that."
_LOOK_INTO_IT = "Open it to see what it says (often it is an error or a login page), and export the table as CSV."
#: How documents begin whose tags a table does not begin with, behind white space, comments and in any case.
_MARKUP: tuple[tuple[bytes, str], ...] = (
    (b"<!doctype html", "a web page (HTML)"),
    (b"<html", "a web page (HTML)"),
    (b"<head>", "a web page (HTML)"),
    (b"<script", "a web page (HTML)"),
    (b"<meta ", "a web page (HTML)"),
    (b"<style", "a web page (HTML)"),
    (b"<table", "a web page (HTML)"),
    (b"<svg", "an SVG picture"),
    (b"<?xml", "an XML document"),
    (b"<workbook", "an XML document"),
)
#: What programs write whose "export to Excel" is no workbook: somewhere in the start of such a document → its name.
_EXPORTS: tuple[tuple[bytes, str], ...] = (
    (b"urn:schemas-microsoft-com:office:spreadsheet", "an XML spreadsheet of Excel 2003"),
    (b"urn:schemas-microsoft-com:office:excel", "a web page (HTML) that was exported for Excel"),
    (b"<table", "a web page (HTML) with a table in it"),
)
#: How other texts begin that are no table → what to call them, and what to do.
_OTHER_TEXTS = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), name, remedy)
    for pattern, name, remedy in (
        (
            rb"(?=.{0,2000}multipart/related)\s*(?:[a-z-]+:[^\n]*\n[ \t]*)*?MIME-Version:",
            "a web archive (MHTML)",
            _SAVE_ANEW,
        ),
        (
            rb"\s*(?:--\s+)?--[^\n]*(?:sql|mariadb|database) dump"
            rb"|/\*M?!\d|PGDMP[\0-\x08]|PRAGMA foreign_keys=OFF;\s+BEGIN",
            "a dump of a database",
            "Export its table as CSV and import that.",
        ),
    )
)  # fmt: skip
_XML_COMMENT = re.compile(rb"\s*(?:<!--.*?-->\s*)*", re.DOTALL)

#: The content type of a workbook's main part → its kind; templates and both dialects of OOXML included.
_MAIN_PARTS: tuple[tuple[bytes, SourceKind], ...] = (
    (b"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml", SourceKind.XLSX),
    (b"application/vnd.openxmlformats-officedocument.spreadsheetml.template.main+xml", SourceKind.XLSX),
    (b"application/vnd.ms-excel.sheet.macroenabled.main+xml", SourceKind.XLSM),
    (b"application/vnd.ms-excel.template.macroenabled.main+xml", SourceKind.XLSM),
    (b"application/vnd.ms-excel.addin.macroenabled.main+xml", SourceKind.XLSM),
    (b"application/vnd.ms-excel.sheet.binary.macroenabled.main", SourceKind.XLSB),
)
_CONTENT_TYPES_NAME = "[Content_Types].xml"
_OTHER_DOCUMENTS = (
    (b"wordprocessingml", "a Word document"),
    (b"presentationml", "a PowerPoint presentation"),
)
_IWORK_PART = re.compile(r"Index/[\w/-]+\.iwa$")
#: Of [Content_Types].xml, mimetype and the manifest that are looked at.
_PART_BYTES = 1024 * 1024

#: Lines that are looked at for NDJSON.
_SAMPLE_LINES = 100
_KEY = rb'"(?:[^"\\]|\\.)*"\s*:'
_JSON_START = re.compile(rb"\s*\{\s*(?:\}|" + _KEY + rb")")
_JSON_DOCUMENT = re.compile(rb"\s*(?:\[\s*\{\s*(?:\}|" + _KEY + rb")|\{[ \t]*+[\r\n]\s*+" + _KEY + rb")")


def tell_kind(
    file: BinaryIO, head: bytes, *, size_bytes: int, source: str, is_csv: bool = False, max_entries: int | None = None
) -> SourceKind:
    """The kind of a source.

    Args:
        file: the source, seekable; read only where its start leaves the kind open.
        head: its first `HEAD_BYTES` bytes, or all of it.
        size_bytes: of the source.
        source: its name for messages.
        is_csv: the user says so by naming a delimiter: text is then neither NDJSON nor a document.
        max_entries: of an archive; None for the usual limit.

    Raises:
        SourceEmptyError: there is nothing in it.
        SourceBinaryError: it is no table: a picture, a PDF, a web page.
        SourceFormatError: it is a document of text, but no table: JSON of another form than NDJSON.
        SourceProtectedError: a workbook with a password.
        SourceDamagedError: it begins as an archive, a workbook or Parquet, and breaks off.
        SourceTooLargeError: an archive with too many entries.
    """
    if not head:
        raise SourceEmptyError(f"{source} is empty: it has no bytes.", source=source)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return _kind_of_archive(file, source, max_entries)
    if head.startswith(SIGNATURE):
        return _kind_of_compound(file, source)
    if head.startswith(b"PARE") and any(byte < 9 for byte in head[4:64]):
        raise SourceProtectedError(f"{source} is encrypted Parquet. Write it without encryption.", source=source)
    if head.startswith(b"PAR1") and _is_parquet(file, head, size_bytes, source):
        return SourceKind.PARQUET
    return kind_of_start(head, is_whole=size_bytes <= len(head), source=source, is_csv=is_csv)


def kind_of_start(head: bytes, *, is_whole: bool, source: str, is_csv: bool = False) -> SourceKind:
    """The kind as far as a start of some KiB says, for what cannot be entered anywhere: raises as `tell_kind` does."""
    if head.startswith(b"\x1f\x8b"):
        return SourceKind.GZIP
    if head.startswith(b"\x28\xb5\x2f\xfd") or (head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F):
        return SourceKind.ZSTD  # the latter: a frame that is to be skipped stands first
    if head.startswith(b"PK\x03\x04"):
        return SourceKind.ZIP
    if head.startswith(SIGNATURE):
        return SourceKind.XLS
    if head.startswith(b"PAR1") and any(byte < 9 for byte in head[4:64]):
        return SourceKind.PARQUET
    for offset, signature, name, remedy in _REFUSED:
        if head.startswith(signature, offset):
            raise _refused(source, name, remedy)
    for pattern, name, remedy in _REFUSED_PATTERNS:
        if pattern.match(head):
            raise _refused(source, name, remedy)
    if is_csv:
        return SourceKind.TEXT
    return _kind_of_text(head, is_whole, source)


def _kind_of_text(head: bytes, is_whole: bool, source: str) -> SourceKind:
    text = _as_single_bytes(head)
    start = text[_end_of_comments(text) :][:64].lower()
    for tag, name in _MARKUP:
        if start.startswith(tag):
            lower = text.lower()
            raise next(
                (_refused(source, export, _SAVE_ANEW) for mark, export in _EXPORTS if mark in lower),
                _refused(source, name, _LOOK_INTO_IT),
            )
    for pattern, name, remedy in _OTHER_TEXTS:
        if pattern.match(text):
            raise _refused(source, name, remedy)
    if _is_ndjson(text, is_whole):
        return SourceKind.NDJSON
    if _JSON_DOCUMENT.match(text):
        raise SourceFormatError(
            f"{source} is a JSON document. Write one JSON object per line (NDJSON; `jq -c '.[]'` makes it of a list), "
            "or name the delimiter if it is a CSV that only begins so.",
            source=source,
        )
    return SourceKind.TEXT


def _is_ndjson(text: bytes, is_whole: bool) -> bool:
    """Whether the first line begins as a JSON object and at least half of the first lines are ones.

    A line of a CSV is none: behind the object that is its first cell stands a delimiter.
    """
    lines = text.lstrip().splitlines()[: _SAMPLE_LINES + 1]
    if not lines or not _JSON_START.match(lines[0]):
        return False
    if not is_whole:
        lines = lines[:-1] if len(lines) > 1 else lines
    elif len(lines) > _SAMPLE_LINES:
        lines = lines[:_SAMPLE_LINES]
    if len(lines) == 1 and not is_whole:
        return True  # a line that is longer than the sample
    lines = [line for line in lines if line.strip()]
    return 2 * sum(map(_is_object, lines)) >= len(lines)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line.decode("utf-8", "replace"), parse_int=str, parse_float=str), dict)
    except RecursionError:
        return True  # nested too deeply for a row, which is for the reader to say
    except ValueError:
        return False


def _as_single_bytes(head: bytes) -> bytes:
    """The start as UTF-8 where it is a wide text, without a byte order mark."""
    encoding, mark_bytes = byte_order_mark(head) or (wide_without_mark(head[:4096]), 0)
    if encoding is None or encoding == "utf-8":
        return head[mark_bytes:]
    return head[mark_bytes:].decode(encoding, "replace").encode("utf-8", "replace")


def _end_of_comments(text: bytes) -> int:
    found = _XML_COMMENT.match(text)
    return found.end() if found else 0


def _is_parquet(file: BinaryIO, head: bytes, size_bytes: int, source: str) -> bool:
    """Whether a file that begins with PAR1 is Parquet and whole; False for a text that happens to begin so."""
    file.seek(max(0, size_bytes - 8))
    tail = file.read(8)
    footer_bytes = int.from_bytes(tail[:4], "little")
    if size_bytes >= 12 and tail.endswith(b"PAR1") and footer_bytes + 12 <= size_bytes:
        return True
    if any(byte < 9 for byte in head[4:64]) or len(head) < 12:
        raise SourceDamagedError(
            f"{source} begins as a Parquet file and does not end as one: it is cut or damaged. Upload it again.",
            source=source,
        )
    return False


def _kind_of_archive(file: BinaryIO, source: str, max_entries: int | None) -> SourceKind:
    # What only archives need takes a while to load.
    from engine.readers.zip_entries import MAX_ENTRIES, list_entries

    found = list_entries(file, source=source, max_entries=MAX_ENTRIES if max_entries is None else max_entries)
    entries = {entry.filename: entry for entry in found}
    types = next((entry for name, entry in entries.items() if name.lower() == _CONTENT_TYPES_NAME.lower()), None)
    if types is not None:
        return _kind_of_package(_start_of(file, types, source), set(entries), source)
    if "mimetype" in entries:
        return _kind_of_open_document(file, entries, source)
    if "Index.zip" in entries or any(_IWORK_PART.match(name) for name in entries):
        raise _refused(source, "a document of Numbers", "In Numbers choose File, Export To, CSV or Excel.")
    return SourceKind.ZIP


def _kind_of_package(content_types: bytes, names: set[str], source: str) -> SourceKind:
    """The kind of an OOXML package, by the content type of its main part."""
    types = _as_single_bytes(content_types).lower()
    for content_type, kind in _MAIN_PARTS:
        if content_type in types:
            return kind
    for word, name in _OTHER_DOCUMENTS:
        if word in types:
            raise _refused(source, name, "Copy the table into a workbook, or save it as CSV.")
    # Some programs declare the main part by its ending only.
    if "xl/workbook.xml" in names:
        return SourceKind.XLSX
    if "xl/workbook.bin" in names:
        return SourceKind.XLSB
    return SourceKind.ZIP


def _kind_of_open_document(file: BinaryIO, entries: dict[str, ZipInfo], source: str) -> SourceKind:
    content_type = _start_of(file, entries["mimetype"], source)[:200].strip()
    if not content_type.startswith(b"application/vnd.oasis.opendocument.spreadsheet"):
        if content_type.startswith(b"application/"):
            raise _refused(source, "a document, not a workbook", "Copy the table into a workbook, or save it as CSV.")
        return SourceKind.ZIP
    manifest = entries.get("META-INF/manifest.xml")
    if manifest is not None and b"encryption-data" in _start_of(file, manifest, source):
        raise _protected(source)
    return SourceKind.ODS


def _kind_of_compound(file: BinaryIO, source: str) -> SourceKind:
    try:
        found = CompoundFile(file)
        is_encrypted = "EncryptedPackage" in found.streams or found.has_encrypted_workbook()
    except ValueError as error:
        raise SourceDamagedError(
            f"{source} begins as an old Office file and is cut or damaged. Upload it again.", source=source
        ) from error
    if is_encrypted:
        raise _protected(source)
    if "Workbook" in found.streams or "Book" in found.streams:
        return SourceKind.XLS
    name = "an old Word document" if "WordDocument" in found.streams else "an old Office file without a workbook"
    raise _refused(source, name, "Save the table as CSV or Excel and import that.")


def _start_of(file: BinaryIO, entry: ZipInfo, source: str) -> bytes:
    from engine.readers.zip_entries import inflate_entry

    found = b""
    for piece in inflate_entry(file, entry, source=source):
        found += piece
        if len(found) >= _PART_BYTES:
            break
    return found


def _refused(source: str, name: str, remedy: str) -> SourceError:
    return SourceBinaryError(f"{source} is {name}, not a table. {remedy}", source=source)


def _protected(source: str) -> SourceProtectedError:
    return SourceProtectedError(
        f"{source} is protected by a password. Save it without one (in Excel: File, Info, Protect Workbook, "
        "Encrypt with Password, and empty the field), and import that.",
        source=source,
    )
