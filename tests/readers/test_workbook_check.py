"""A workbook that would cost its reader more than it should is refused before it is parsed."""

from __future__ import annotations

import io
import random
import struct
import warnings
import zipfile
import zlib
from typing import Any

import pytest
import xlsxwriter
from hypothesis import given
from hypothesis import strategies as st

from engine.config import EngineConfig
from engine.errors import SourceDamagedError, SourceError, SourceFormatError, SourceProtectedError, SourceTooLargeError
from engine.readers.workbook_check import check_workbook
from engine.readers.zip_entries import inflate_entry, list_entries
from tests.readers.strategies import examples
from tests.sources import compound_file, zipped

MIB = 1024 * 1024
BILLION_LAUGHS = b"""<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol1 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;">]>
<sst><si><t>&lol1;</t></si></sst>"""


def checked(data: bytes, **settings: Any) -> None:
    check_workbook(io.BytesIO(data), EngineConfig(**settings))


def workbook(rows: int = 50) -> bytes:
    target = io.BytesIO()
    generator = random.Random(1)  # noqa: S311
    with xlsxwriter.Workbook(target, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        for row in range(rows):
            sheet.write_row(row, 0, [row, f"name {generator.random()}", "same"])
    return target.getvalue()


WORKBOOK = workbook()


def with_lying_sizes(data: bytes, size: int) -> bytes:
    """The same archive, every header of which claims that its entry unpacks to `size` bytes."""
    changed = bytearray(data)
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = changed.find(signature)
        while at >= 0:
            struct.pack_into("<I", changed, at + offset, size)
            at = changed.find(signature, at + 4)
    return bytes(changed)


def test_a_workbook_passes_and_is_left_as_it_was() -> None:
    checked(WORKBOOK)
    checked(workbook(20_000))
    checked(compound_file({"Workbook": bytes(5000)}))


def test_blank_cells_that_pack_well_pass_while_they_are_few() -> None:
    checked(zipped({"xl/worksheets/sheet1.xml": b'<c r="A1"/>' * 300_000}))


@pytest.mark.parametrize("claimed", [None, 0, 100, 2**31])
def test_a_part_that_unpacks_to_many_times_its_size_is_a_bomb_whatever_its_headers_claim(claimed: int | None) -> None:
    data = zipped({"xl/workbook.xml": b"<workbook/>", "xl/worksheets/sheet1.xml": bytes(64 * MIB)})
    if claimed is not None:
        data = with_lying_sizes(data, claimed)
    with pytest.raises(SourceTooLargeError, match=r"bomb: xl/worksheets/sheet1\.xml unpacks to more than 100 times"):
        checked(data)


def test_the_parts_together_are_counted() -> None:
    parts = {f"{number}.xml": b"<x>" + random.Random(number).randbytes(MIB) for number in range(5)}  # noqa: S311
    with pytest.raises(SourceTooLargeError, match="more than the 4,194,304 bytes"):
        checked(with_lying_sizes(zipped(parts), 10), max_workbook_bytes=4 * MIB)
    checked(zipped(parts), max_workbook_bytes=6 * MIB)


def test_one_part_in_many_places_is_counted_in_each() -> None:
    """Entries that share their bytes: a small file of a thousand large parts."""
    inner = zipped({"a": random.Random(1).randbytes(MIB)})  # noqa: S311
    directory = inner.index(b"PK\x01\x02")
    entry, end = inner[directory:-22], bytearray(inner[-22:])
    entries = b"".join(entry.replace(b"a", bytes([0x62 + number]), 1) for number in range(20))
    struct.pack_into("<HHI", end, 8, 20, 20, len(entries))
    data = inner[:directory] + entries + bytes(end)
    with pytest.raises(SourceTooLargeError, match="bytes that are allowed"):
        checked(data, max_workbook_bytes=10 * MIB)


def test_too_many_parts_are_refused() -> None:
    data = zipped({f"{number}.xml": b"<x/>" for number in range(1001)})
    with pytest.raises(SourceTooLargeError, match="more than the 1,000 entries"):
        checked(data)
    checked(data, max_archive_entries=1001)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("xl/workbook.xml", "xl/workbook.xml"),
        ("xl/workbook.xml", "XL/Workbook.xml"),
        ("xl/workbook.xml", "xl\\workbook.xml"),
        ("xl/workbook.xml", "/xl/workbook.xml"),
        ("xl/workbook.xml", "./xl/workbook.xml"),
        ("xl/workbook.xml", "\\xl\\WORKBOOK.XML"),
    ],
)
def test_two_parts_of_one_name_are_refused(first: str, second: str) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in (first, second):
            archive.writestr(name, b"<x/>")
    with pytest.raises(SourceDamagedError, match="twice"):
        checked(target.getvalue())


def test_names_that_lead_elsewhere_are_only_names() -> None:
    checked(zipped({"../../etc/passwd": b"<x/>", "C:\\x.xml": b"<x/>", "/root": b"<x/>"}))


@pytest.mark.parametrize(
    "part",
    [
        BILLION_LAUGHS,
        b"\xef\xbb\xbf" + BILLION_LAUGHS,
        BILLION_LAUGHS.decode().encode("utf-16"),
        BILLION_LAUGHS.decode().encode("utf-16-be"),
        b" " * 700_000 + b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
        b"<!--" + b"-" * 262_140 + b"--><!DOCTYPE x><x/>",
        *(b"<!--" + b"x" * (262_144 - 7 - size) + b"--><!DOCTYPE x><x/>" for size in range(12)),
    ],
)
def test_a_document_type_is_refused(part: bytes) -> None:
    with pytest.raises(SourceFormatError, match=r"DTD.* in xl/sharedStrings\.xml"):
        checked(zipped({"xl/workbook.xml": b"<workbook/>", "xl/sharedStrings.xml": part}))


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("xl/sharedStrings.xml", b"<sst><si><t>&lt;!DOCTYPE html&gt;</t></si></sst>"),
        ("xl/media/picture.svg", b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN"><svg/>'),
        ("xl/sharedStrings.bin", "x<!DOCTYPE html>".encode("utf-16-le")),
        ("xl/empty.xml", b""),
    ],
)
def test_a_text_or_a_picture_with_one_is_not(name: str, part: bytes) -> None:
    checked(zipped({name: part}))


def test_an_encrypted_part_is_told() -> None:
    data = bytearray(zipped({"xl/workbook.xml": b"<x/>"}))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(SourceProtectedError, match="password"):
        checked(bytes(data))


def test_a_method_that_is_not_known_is_told() -> None:
    with pytest.raises(SourceFormatError, match="a method that is not supported"):
        checked(zipped({"xl/workbook.xml": b"<x/>"}, method=zipfile.ZIP_LZMA))


@pytest.mark.parametrize("size", range(0, len(WORKBOOK), len(WORKBOOK) // 40))
def test_one_that_breaks_off_is_told(size: int) -> None:
    with pytest.raises(SourceDamagedError):
        checked(WORKBOOK[:size])


@examples(300)
@given(st.integers(0, len(WORKBOOK) - 1), st.integers(1, 255))
def test_a_changed_byte_is_noticed_where_it_changes_a_part(position: int, change: int) -> None:
    damaged = bytearray(WORKBOOK)
    damaged[position] ^= change
    try:
        checked(bytes(damaged))
    except SourceError:
        return
    assert contents(bytes(damaged)) == contents(WORKBOOK)


def test_an_entry_that_swallows_the_next_ones_is_noticed() -> None:
    damaged = bytearray(WORKBOOK)
    lengths = WORKBOOK.index(b"PK\x01\x02") + 30  # of the extra field, and of the comment
    damaged[lengths] ^= 64
    with pytest.raises(SourceDamagedError):
        checked(bytes(damaged))
    damaged = bytearray(WORKBOOK)
    damaged[lengths + 2] ^= 64
    with pytest.raises(SourceDamagedError):
        checked(bytes(damaged))


def contents(data: bytes) -> list[bytes]:
    file = io.BytesIO(data)
    return [b"".join(inflate_entry(file, entry, source="s")) for entry in list_entries(file, source="s")]


@examples(100)
@given(
    st.dictionaries(st.text("abc", min_size=1), st.binary(max_size=2000), max_size=4),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    st.binary(max_size=40),
)
def test_an_entry_inflates_to_what_was_packed(parts: dict[str, bytes], method: int, before: bytes) -> None:
    parts = {name: data * (len(data) + 1) for name, data in parts.items()}
    file = io.BytesIO(before + zipped(parts, method=method))
    found = {
        entry.filename: b"".join(inflate_entry(file, entry, source="s")) for entry in list_entries(file, source="s")
    }
    assert found == parts


@pytest.mark.parametrize("level", [0, 1, 9])
def test_pieces_are_small_however_much_a_block_unpacks_to(level: int) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        archive.writestr("a", bytes(20 * MIB) + b"x" * 1000)
    (entry,) = list_entries(target, source="s")
    sizes, checksum = [], 0
    for piece in inflate_entry(target, entry, source="s"):
        sizes.append(len(piece))
        checksum = zlib.crc32(piece, checksum)
    assert sum(sizes) == 20 * MIB + 1000
    assert max(sizes) <= 256 * 1024
    assert checksum == entry.CRC
