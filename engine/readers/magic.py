"""Which kind of source a file is, by its first bytes. Pure."""

from __future__ import annotations

#: Bytes that `kind_of_head` wants to see.
KIND_BYTES = 8


def kind_of_head(head: bytes) -> str:
    """ "workbook" for a ZIP archive or a compound file, as all spreadsheet programs write them; else "text"."""
    return "workbook" if head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")) else "text"
