"""What a file is, told by its first bytes, and whether its name says the same. No I/O."""

from __future__ import annotations

from pathlib import PurePosixPath

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

#: Bytes that `kind_of` wants to see.
HEAD_BYTES = 4096

TEXT, BINARY, HTML, PROGRAM = "text", "binary", "html", "program"

#: First bytes → kind.
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole"),
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"%PDF-", "pdf"),
    (b"\x89PNG\r\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"PAR1", "parquet"),
    (b"SQLite format 3\x00", "sqlite"),
    (b"\x7fELF", PROGRAM),
    (b"\xca\xfe\xba\xbe", PROGRAM),
    (b"\xcf\xfa\xed\xfe", PROGRAM),
    (b"\xce\xfa\xed\xfe", PROGRAM),
    (b"\x00asm", PROGRAM),
    (b"#!/", PROGRAM),
)

#: How documents begin that a browser would run, after white space and in any case.
_MARKUP = (b"<!doctype", b"<html", b"<head", b"<body", b"<script", b"<iframe", b"<svg", b"<?xml", b"<?php", b"<!--")

_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")

#: What no text holds on purpose; NUL stands in UTF-16 and padded exports, and is left to the reader.
_CONTROLS = bytes([*range(0x01, 0x09), *range(0x0E, 0x1A), *range(0x1C, 0x20)])

#: Ending → the kinds it may be. A name with another ending may be any but a program or a web page.
_KINDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((".csv", ".tsv", ".tab", ".txt", ".json", ".jsonl", ".ndjson"), (TEXT,)),
    # A workbook with a password is no archive, and one in the older format may have the newer ending: the engine
    # reads it, or says what is wrong with it. Many programs export text with tabs for Excel, and call it .xls.
    **dict.fromkeys((".xlsx", ".xlsm", ".xlsb"), ("zip", "ole")),
    ".xls": ("zip", "ole", TEXT),
    **dict.fromkeys((".ods", ".docx", ".zip"), ("zip",)),
    ".gz": ("gzip",),
    ".zst": ("zstd",),
    ".xz": ("xz",),
    ".bz2": ("bzip2",),
    ".7z": ("7z",),
    ".parquet": ("parquet",),
    ".pdf": ("pdf",),
    ".png": ("png",),
    ".jpg": ("jpeg",),
    ".jpeg": ("jpeg",),
    ".gif": ("gif",),
    **dict.fromkeys((".xml", ".html", ".htm", ".svg"), (HTML, TEXT)),
}

_NAMES: dict[str, Promise] = {
    TEXT: _("text"),
    BINARY: _("binary data"),
    HTML: _("a web page or XML"),
    PROGRAM: _("a program"),
    "zip": _("a ZIP archive or an Excel workbook (.xlsx)"),
    "ole": _("an old Excel workbook (.xls)"),
    "gzip": _("a gzip archive"),
    "zstd": _("a Zstandard archive"),
    "xz": _("an xz archive"),
    "bzip2": _("a bzip2 archive"),
    "7z": _("a 7z archive"),
    "rar": _("a RAR archive"),
    "pdf": _("a PDF"),
    "png": _("a PNG picture"),
    "jpeg": _("a JPEG picture"),
    "gif": _("a GIF picture"),
    "parquet": _("a Parquet file"),
    "sqlite": _("a SQLite database"),
}


def kind_of(head: bytes) -> str:
    """What the first `HEAD_BYTES` bytes of a file say that it is."""
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F:
        return "zstd"  # a frame that is to be skipped stands first
    if head.startswith(b"BZh") and head[4:10] == b"1AY&SY":
        return "bzip2"
    # A table may begin with the letters MZ; the zero bytes of a Windows program's header are in none.
    if head.startswith(b"MZ") and b"\0" in head:
        return PROGRAM
    if _visible(head).startswith(_MARKUP):
        return HTML
    if b"\0" not in head and len(head) - len(head.translate(None, _CONTROLS)) > 0.05 * len(head):
        return BINARY
    return TEXT


def why_refused(head: bytes, file_name: str) -> str | None:
    """A message where a file of this name's ending does not begin as one does; None where it does."""
    kind = kind_of(head)
    extension = PurePosixPath(file_name).suffix.lower()
    allowed = _KINDS.get(extension)
    fits = kind in allowed if allowed is not None else kind not in (PROGRAM, HTML)
    if fits:
        return None
    # Translators: the placeholders are "a PNG picture" and ".csv".
    message = _("The content is %(kind)s, not a %(extension)s file. Save it anew as one, or give it its own ending.")
    return str(message % {"kind": _NAMES[kind], "extension": extension})


def _visible(head: bytes) -> bytes:
    """The start as ASCII characters in lower case, also of UTF-16, without mark and white space."""
    text = head[:512]
    for mark in _MARKS:
        text = text.removeprefix(mark)
    if text.count(0) > len(text) // 4:
        text = text.replace(b"\0", b"")
    return text.lstrip().lower()
