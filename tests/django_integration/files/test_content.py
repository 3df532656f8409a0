"""What a file is, by its first bytes."""

from __future__ import annotations

import gzip
import io
import sys
import zipfile
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from django_integration.files.content import BINARY, HEAD_BYTES, HTML, PROGRAM, TEXT, kind_of, why_refused


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        b"a,b\n1,2\n",
        b"\xef\xbb\xbfa,b\n",
        "name;größe\n".encode("cp1252"),
        "a,b\n1,2\n".encode("utf-16"),
        "a,b\n1,2\n".encode("utf-16-le"),
        "名前,値\n".encode("shift_jis"),
        b"MZ,BZh,GIF\n1,2,3\n",
        b"BM,PK\n",
        b"<5,>5\n1,2\n",
        b"<b>,x\n",
        b'"<html>",x\n',
        b"#id,name\n",
        b"\n\n\n",
        b"a\tb\r\n",
    ],
)
def test_tables_are_text(text: bytes) -> None:
    assert kind_of(text) == TEXT
    assert why_refused(text, "x.csv") is None


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (zipped(), "zip"),
        (gzip.compress(b"a,b\n", mtime=0), "gzip"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1....", "ole"),
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"%PDF-1.4", "pdf"),
        (b"\xff\xd8\xff\xe0", "jpeg"),
        (b"GIF89a", "gif"),
        (Path(sys.executable).resolve().read_bytes()[:HEAD_BYTES], PROGRAM),
        (b"MZ\x90\0\3\0\0\0", PROGRAM),
        (b"#!/bin/sh\n", PROGRAM),
        (b" \r\n<!DocType HTML>", HTML),
        (b"\xef\xbb\xbf<HTML>", HTML),
        ("<script>alert(1)</script>".encode("utf-16"), HTML),
        (b"<?xml version='1.0'?><svg/>", HTML),
        (b"<svg onload=alert(1)>", HTML),
        (bytes(range(1, 32)) * 20, BINARY),
    ],
)
def test_other_kinds_are_told_and_are_no_csv(content: bytes, kind: str) -> None:
    assert kind_of(content) == kind
    refusal = why_refused(content, "Some.CSV")
    assert refusal is not None
    assert "not a .csv file. Save it anew as one" in refusal


def test_a_name_and_its_content_belong_together() -> None:
    assert why_refused(zipped(), "x.xlsx") is None
    # The engine tells old and new workbooks by their content, too, and those that have a password.
    assert why_refused(zipped(), "x.xls") is None
    assert why_refused(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "x.xlsx") is None
    assert why_refused(zipped(), "x.parquet") is not None
    assert why_refused(b"a,b\n", "x.xlsx") is not None
    assert why_refused(b"a\tb\n", "x.xls") is None
    assert why_refused(b"<html><table>", "x.xls") is not None
    assert why_refused(gzip.compress(b""), "x.csv.gz") is None
    assert why_refused(zstd.compress(b"a"), "x.csv.zst") is None
    assert why_refused(b"\x50\x2a\x4d\x18\x01\0\0\0x" + zstd.compress(b"a"), "x.csv.zst") is None
    assert why_refused(zstd.compress(b"a"), "x.csv") is not None
    assert why_refused(b"PAR1\x15\x04", "x.parquet") is None
    assert why_refused(b'{"a": 1}\n', "x.ndjson") is None
    assert why_refused(b"<html>", "x.ndjson") is not None
    assert why_refused(b"%PDF-1.4", "x.pdf") is None


def test_of_unknown_endings_only_programs_and_web_pages_are_refused() -> None:
    assert why_refused(b"a,b\n", "x.dat") is None
    assert why_refused(b"%PDF-1.4", "x.dat") is None
    assert why_refused(b"\x7fELF", "x.dat") is not None
    assert why_refused(b"<html>", "x.dat") is not None


@given(st.binary(max_size=200), st.text(max_size=20))
def test_any_bytes_have_a_kind_and_any_refusal_a_message(content: bytes, name: str) -> None:
    assert kind_of(content)
    assert why_refused(content, name) != ""
