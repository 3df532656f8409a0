"""Files as tests need them that no library writes: archives with odd entries, compound files."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping

_END, _FREE, _FAT = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD
_SECTOR = 512


def zipped(entries: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of these entries, in this order."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, data in entries.items():
            # A ZipInfo has a date of its own: every process that collects tests makes the same bytes.
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return target.getvalue()


def compound_file(streams: Mapping[str, bytes]) -> bytes:
    """An OLE2 file with these streams, at most three. Those below 4,096 bytes have a size but no data."""
    entries = [_entry("Root Entry", 5, _END, 0)]
    data, fat = b"", [_FAT, _END]  # the table itself, then the directory
    for name, content in streams.items():
        first, count = len(fat), -(-len(content) // _SECTOR)
        if len(content) < 4096:
            entries.append(_entry(name, 2, 0, len(content)))
            continue
        entries.append(_entry(name, 2, first, len(content)))
        fat.extend([*range(first + 1, first + count), _END])
        data += content.ljust(count * _SECTOR, b"\0")
    assert len(entries) <= 4
    assert len(fat) <= _SECTOR // 4
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".ljust(24, b"\0")
    header += struct.pack("<HHHHH6xIIIIIIIII", 62, 3, 0xFFFE, 9, 6, 0, 1, 1, 0, 4096, _END, 0, _END, 0)
    header += struct.pack("<109I", 0, *[_FREE] * 108)
    table = struct.pack("<128I", *fat, *[_FREE] * (128 - len(fat)))
    return header + table + b"".join(entries).ljust(_SECTOR, b"\0") + data


def _entry(name: str, kind: int, first_sector: int, size: int) -> bytes:
    encoded = (name + "\0").encode("utf-16-le")
    tail = struct.pack("<III", first_sector, size, 0)
    return encoded.ljust(64, b"\0") + struct.pack("<HBB", len(encoded), kind, 1).ljust(52, b"\xff") + tail
