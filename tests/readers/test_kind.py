"""A source is what its content says: tables are told apart, and what is none is refused by its name."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import struct
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet
import pytest
import xlsxwriter
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from engine.compound_file import CompoundFile
from engine.errors import (
    SourceBinaryError,
    SourceDamagedError,
    SourceEmptyError,
    SourceError,
    SourceFormatError,
    SourceProtectedError,
    SourceTooLargeError,
)
from engine.readers import HEAD_BYTES, SourceKind, tell_kind
from tests.readers.strategies import TableText, examples, soups, text_tables
from tests.sources import compound_file, zipped


def told(data: bytes, **facts: Any) -> SourceKind:
    return tell_kind(io.BytesIO(data), data[:HEAD_BYTES], size_bytes=len(data), source="s", **facts)


def xlsx() -> bytes:
    target = io.BytesIO()
    book = openpyxl.Workbook()
    book.active.append(["a", "b"])
    book.save(target)
    return target.getvalue()


def written_by_xlsxwriter() -> bytes:
    target = io.BytesIO()
    with xlsxwriter.Workbook(target, {"in_memory": True}) as book:
        book.add_worksheet().write_row(0, 0, ["a", "b"])
    return target.getvalue()


def parquet() -> bytes:
    target = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({"a": [1, 2]}), target)
    return target.getvalue()


def package(content_type: str, part: str = "xl/workbook.bin") -> bytes:
    types = f'<?xml version="1.0"?><Types><Override PartName="/{part}" ContentType="{content_type}"/></Types>'
    return zipped({"[Content_Types].xml": types.encode(), part: b"x"})


def open_document(content_type: str, manifest: bytes = b"<manifest/>") -> bytes:
    return zipped({"mimetype": content_type.encode(), "content.xml": b"<x/>", "META-INF/manifest.xml": manifest})


MAIN = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"
ODS = "application/vnd.oasis.opendocument.spreadsheet"
BOF = struct.pack("<HH", 0x0809, 4) + bytes(4)
FILE_PASS = struct.pack("<HH", 0x002F, 6) + bytes(6)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"a,b\n1,2\n", "text"),
        (b"\xef\xbb\xbfa,b\n1,2\n", "text"),
        ("a;b\n1;2\n".encode("utf-16"), "text"),
        (b"x", "text"),
        (gzip.compress(b"a,b\n", mtime=0), "gzip"),
        (zstd.compress(b"a,b\n"), "zstd"),
        (b"\x50\x2a\x4d\x18\x02\0\0\0xx" + zstd.compress(b"a,b\n"), "zstd"),
        (zipped({"a.csv": b"a,b\n"}), "zip"),
        (zipped({}), "zip"),
        (zipped({"a.csv": b"a,b\n", "mimetype": b"something"}), "zip"),
        (xlsx(), "xlsx"),
        (written_by_xlsxwriter(), "xlsx"),
        (package("application/vnd.ms-excel.sheet.macroEnabled.main+xml", "xl/workbook.xml"), "xlsm"),
        (package("application/vnd.ms-excel.sheet.binary.macroEnabled.main"), "xlsb"),
        (package("application/xml", "xl/workbook.xml"), "xlsx"),
        (package("application/xml", "xl/workbook.bin"), "xlsb"),
        (open_document(ODS), "ods"),
        (open_document(ODS + "-template"), "ods"),
        (compound_file({"Workbook": BOF + bytes(5000)}), "xls"),
        (compound_file({"Book": BOF + bytes(5000)}), "xls"),
        (compound_file({"Workbook": BOF}), "xls"),
        (parquet(), "parquet"),
        (b'{"a": 1}\n{"b": [2]}\n', "ndjson"),
        (b'\n {"a": 1}', "ndjson"),
        (b"{}\n{}\n", "ndjson"),
        (b'{"a": 1}\n{"broken": \n{"b": 2}\n', "ndjson"),
        ('\ufeff{"a": 1}\r\n{"a": "\u00fc"}\r\n'.encode("utf-16-le"), "ndjson"),
        (b'{"a": "' + b"x" * 2 * HEAD_BYTES + b'"}\n', "ndjson"),
        (b'{"a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}\n", "ndjson"),
        (b'{"a": ' + b"9" * 10_000 + b"}\n", "ndjson"),
    ],
)
def test_a_table_is_told_by_its_content(data: bytes, kind: str) -> None:
    assert told(data) is SourceKind(kind)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1},{"b":2}\n{"a":1},{"b":2}\n',
        "{id},{name}\n{1},{2}\n",
        '{"a":1};x\n{"a":2};y\n',
        '"{""a"": 1}",x\n"{""a"": 1}",y\n',
        'data\n{"a": 1}\n{"a": 2}\n',
        "[id],[name]\n1,2\n",
        "<name>,<age>\n1,2\n",
        "PAR1,PAR2\n1,PAR1",
        "GIF8;x\n1;2",
        "PK,ID\n1,2",
        "%PDF;y\n1;2",
        "a,b,ftyp\n1,2,3\n",
        "BM,a\n1,2\n",
        "II*,a\n1,2\n",
        "RIFF,a\n1,2\n",
        "xml,<?xml\n",
        "MIME-Version:,x\n1,2\n",
        "-- dumps,x\n1,2\n",
        "PGDMP,x\n1,2\n",
        "/*,x\n1,2\n",
    ],
)
def test_a_csv_that_looks_like_something_else_is_a_csv(text: str) -> None:
    assert told(text.encode()) is SourceKind.TEXT


@pytest.mark.parametrize("text", ['{"a": 1}\n{"a": 2}\n', '[{"a": 1}]', '{\n"a": 1\n}', "<html>,b\n1,2\n"])
def test_who_names_a_delimiter_says_that_it_is_a_csv(text: str) -> None:
    assert told(text.encode(), is_csv=True) is SourceKind.TEXT


@examples(40)
@given(st.lists(st.dictionaries(st.text(), st.none() | st.text() | st.integers() | st.lists(st.text())), min_size=1))
def test_objects_line_by_line_are_ndjson(rows: list[dict[str, Any]]) -> None:
    assert told("\n".join(map(json.dumps, rows)).encode()) is SourceKind.NDJSON


@examples(40)
@given(text_tables)
def test_a_table_of_text_is_text(table: TableText) -> None:
    if table.text:
        assert told(("h\n" + table.text).encode()) is SourceKind.TEXT


def sqlite_file(folder: Path) -> bytes:
    connection = sqlite3.connect(folder / "x.sqlite")
    connection.execute("create table t (a)")
    connection.commit()
    connection.close()
    return (folder / "x.sqlite").read_bytes()


def test_a_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceBinaryError, match="SQLite"):
        told(sqlite_file(tmp_path))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"<!DOCTYPE html>\n<html><body>Please log in</body></html>", "web page"),
        (b"\xef\xbb\xbf\r\n  <HTML><head>", "web page"),
        (b"<!-- made by us -->\n<!-- and them --><html>", "web page"),
        ("<!DOCTYPE html><html>".encode("utf-16"), "web page"),
        (b"<table><tr><td>1</td></tr></table>", "web page"),
        (b"<style>td {}</style><table><tr><td>1</td></tr></table>", "web page .* with a table in it"),
        (
            b'<html xmlns:x="urn:schemas-microsoft-com:office:excel"><table>',
            r"exported for Excel.*save it as XLSX or CSV",
        ),
        (b'<?xml version="1.0"?><Workbook>', "XML document"),
        (
            b'<?xml version="1.0"?>\n<?mso-application progid="Excel.Sheet"?>\n'
            b'<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet">',
            "XML spreadsheet of Excel 2003.*save it as XLSX or CSV",
        ),
        (b"MIME-Version: 1.0\r\nX-Document-Type: Workbook\r\nContent-Type: multipart/related; x\r\n", "web archive"),
        (
            b"From: <Saved by Blink>\nSubject: a\nMIME-Version: 1.0\nContent-Type: multipart/related;\n\ttype=x\n",
            "web archive",
        ),
        (b"--\n-- PostgreSQL database dump\n--\n\nSET x = 0;\n", "dump of a database"),
        (b"-- MySQL dump 10.13  Distrib 8.0\n--\n", "dump of a database"),
        (b"/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19\n", "dump of a database"),
        (b"-- phpMyAdmin SQL Dump\n-- version 5\n", "dump of a database"),
        (b"PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE t (a);\n", "dump of a database"),
        (b"PGDMP\x01\x0e\0" + bytes(100), "dump of a database"),
        (zipped({"Index/Document.iwa": b"x", "Index/Tables/DataList.iwa": b"x"}), "document of Numbers"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", "SVG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG picture"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "JPEG picture"),
        (b"GIF89a" + bytes(100), "GIF picture"),
        (b"BM" + struct.pack("<IHHI", 1000, 0, 0, 54) + bytes(100), "BMP picture"),
        (b"RIFF\x24\0\0\0WEBPVP8 " + bytes(100), "WebP picture"),
        (b"\0\0\0\x20ftypisom" + bytes(100), "video"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\x7fELF" + bytes(100), "program"),
        (b"BZh91AY&SY" + bytes(100), "bzip2"),
        (b"\xfd7zXZ\0" + bytes(100), "xz"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(100), "7z"),
        (b"Rar!\x1a\x07\0" + bytes(100), "RAR"),
        (b"a.csv".ljust(257, b"\0") + b"ustar\0" + bytes(300), "tar archive"),
        (zipped({"[Content_Types].xml": b"wordprocessingml.document.main+xml"}), "Word"),
        (zipped({"[Content_Types].xml": b"presentationml.presentation.main+xml"}), "PowerPoint"),
        (open_document("application/vnd.oasis.opendocument.text"), "document"),
        (compound_file({"WordDocument": bytes(5000)}), "Word"),
        (compound_file({"Other": bytes(5000)}), "without a workbook"),
    ],
)
def test_what_is_no_table_is_refused_by_its_name(data: bytes, name: str) -> None:
    with pytest.raises(SourceBinaryError, match=name):
        told(data)


@pytest.mark.parametrize("text", ['[{"a": 1}, {"a": 2}]', '[\n  {\n  "a": 1}]', '{\n  "a": 1\n}', "[{}]"])
def test_a_json_document_is_no_table(text: str) -> None:
    with pytest.raises(SourceFormatError, match="one JSON object per line"):
        told(text.encode())


def test_nothing_is_empty() -> None:
    with pytest.raises(SourceEmptyError):
        told(b"")


@pytest.mark.parametrize(
    "data",
    [
        compound_file({"EncryptionInfo": bytes(200), "EncryptedPackage": bytes(9000)}),
        compound_file({"Workbook": BOF + FILE_PASS + bytes(5000)}),
        compound_file({"Workbook": BOF + struct.pack("<HH", 0x0086, 0) + FILE_PASS + bytes(5000)}),
        open_document(ODS, b"<manifest:file-entry><manifest:encryption-data/></manifest:file-entry>"),
    ],
    ids=["xlsx", "xls", "xls after another record", "ods"],
)
def test_a_workbook_with_a_password_is_told(data: bytes) -> None:
    with pytest.raises(SourceProtectedError, match="password"):
        told(data)


def test_a_password_is_told_of_an_xls_that_is_too_short_for_sectors_of_its_own() -> None:
    """As LibreOffice writes a small one; here its second record is made the one that says so."""
    whole = (Path(__file__).parents[1] / "staging" / "excel" / "fixtures" / "formats.xls").read_bytes()
    compound = CompoundFile(io.BytesIO(whole))
    stream = compound.read("Workbook")
    assert len(stream) < 4096
    assert told(whole) == "xls"
    with pytest.raises(SourceProtectedError, match="password"):
        told(compound.with_stream("Workbook", stream[:20] + FILE_PASS[:2] + stream[22:]))


@pytest.mark.parametrize("whole", [xlsx(), compound_file({"Workbook": BOF + bytes(5000)})[:2000], parquet()])
def test_one_that_breaks_off_is_told(whole: bytes) -> None:
    for size in range(12, len(whole) - 1, len(whole) // 50):
        with pytest.raises(SourceDamagedError):
            told(whole[:size])


def test_an_archive_with_too_many_entries_is_refused_before_they_are_listed() -> None:
    data = zipped({f"{number}.csv": b"" for number in range(11)})
    assert told(data, max_entries=11) is SourceKind.ZIP
    with pytest.raises(SourceTooLargeError, match="more than the 10 entries"):
        told(data, max_entries=10)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}" + "x" * 60_000, b"")
    with pytest.raises(SourceTooLargeError):
        told(target.getvalue(), max_entries=10)


@examples(300)
@given(st.data(), st.sampled_from([xlsx(), compound_file({"Workbook": BOF + bytes(5000)}), parquet(), zipped({})]))
def test_a_damaged_file_is_told_or_taken_and_nothing_else_happens(data: st.DataObject, whole: bytes) -> None:
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with suppress(SourceError):
        assert isinstance(told(bytes(damaged)), SourceKind)


@examples(300)
@given(
    soups(),
    st.sampled_from([b"", b"PK\x03\x04", b"PAR1", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"{", b"[", b"<", b"<!--"]),
)
def test_any_bytes_are_told_or_refused(soup: bytes, start: bytes) -> None:
    with suppress(SourceError):
        assert isinstance(told(start + soup), SourceKind)
