"""Files made to hurt: each is refused with a clear error, in bounded time and memory, whatever it would unpack to."""

from __future__ import annotations

import gzip
import json
import random
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter
from backports import zstd

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")

MIB = 1024 * 1024
GIB = 1024 * MIB
BLOCK = b"some,cells\n" * (4 * MIB // 11)
REPEATS = GIB // len(BLOCK) + 1


def cost_of(path: Path, what: str = "inspect") -> dict[str, Any]:
    """Read the source in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.read_source", what, str(path)],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    print(path.name, {name: value for name, value in found.items() if name in ("peak_mb", "seconds", "code")})
    return found


def gzip_bomb(block: bytes = BLOCK) -> bytes:
    return gzip.compress(block) * REPEATS


def zstd_bomb(block: bytes = BLOCK) -> bytes:
    return zstd.compress(block) * REPEATS


def zip_bomb(
    name: str,
    block: bytes = BLOCK,
    claimed_bytes: int | None = None,
    others: Mapping[str, bytes] = MappingProxyType({}),
) -> bytes:
    """An archive one entry of which unpacks to more than a GiB; made of one block and so at once."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    bomb = packed * REPEATS + packer.flush()
    size = len(block) * REPEATS if claimed_bytes is None else claimed_bytes
    entries = [(name, bomb, 0, size, zipfile.ZIP_DEFLATED)]
    entries += [(other, data, zlib.crc32(data), len(data), zipfile.ZIP_STORED) for other, data in others.items()]
    local, central = b"", b""
    for entry, data, checksum, unpacked, method in entries:
        encoded = entry.encode()
        facts = struct.pack("<HHHHHIIIHH", 20, 0, method, 0, 33, checksum, len(data), unpacked, len(encoded), 0)
        central += (
            b"PK\x01\x02" + struct.pack("<H", 20) + facts + struct.pack("<HHHII", 0, 0, 0, 0, len(local)) + encoded
        )
        local += b"PK\x03\x04" + facts + encoded + data
    count = len(entries)
    return local + central + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, len(central), len(local), 0)


def workbook_parts(folder: Path, without: str) -> dict[str, bytes]:
    """All parts of a plain workbook but one."""
    path = folder / "plain.xlsx"
    with xlsxwriter.Workbook(path) as book:
        book.add_worksheet().write_row(0, 0, ["a", "b"])
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name != without}


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("table.csv.gz", gzip_bomb),
        ("table.csv.zst", zstd_bomb),
        ("table.zip", lambda: zip_bomb("table.csv")),
        ("lying.zip", lambda: zip_bomb("table.csv", claimed_bytes=100)),
        ("one-line.csv.gz", lambda: gzip_bomb(b"x" * 4 * MIB)),
        ("wide.csv.gz", lambda: gzip_bomb("some;cells\n".encode("utf-16-le") * 200_000)),
        ("objects.ndjson.gz", lambda: gzip_bomb(b'{"a": 1, "b": "x"}\n' * 200_000)),
        ("quotes.csv.gz", lambda: gzip_bomb(b'"",' * MIB)),
    ],
)
def test_a_bomb_is_refused_in_little_time_and_memory(tmp_path: Path, name: str, make: Callable[[], bytes]) -> None:
    path = tmp_path / name
    path.write_bytes(make())
    assert path.stat().st_size < 10 * MIB
    found = cost_of(path)
    assert found["code"] == "source_too_large"
    assert str(path) in found["message"]
    assert "decompression bomb" in found["message"]
    assert found["peak_mb"] < 220
    assert found["seconds"] < 30


@pytest.mark.parametrize("part", ["xl/worksheets/sheet1.xml", "xl/sharedStrings.xml", "[Content_Types].xml"])
@pytest.mark.parametrize("claimed_bytes", [None, 100])
def test_a_workbook_that_is_a_bomb_is_refused(tmp_path: Path, part: str, claimed_bytes: int | None) -> None:
    path = tmp_path / "table.xlsx"
    path.write_bytes(zip_bomb(part, b"<c><v>1</v></c>" * 300_000, claimed_bytes, workbook_parts(tmp_path, part)))
    found = cost_of(path)
    if claimed_bytes is None and part.startswith("xl/"):
        assert found["code"] == "source_too_large"
        assert f"{part} unpacks to more than 100 times" in found["message"]
    else:  # the lie may be noticed before the size is
        assert found["code"] in ("source_too_large", "source_damaged", "source_format")
    assert found["peak_mb"] < 300
    assert found["seconds"] < 30


def test_a_large_workbook_that_lies_about_one_part_is_refused(tmp_path: Path) -> None:
    """Large: parsed in a process of its own, while it is looked through here."""
    path = tmp_path / "table.xlsx"
    others = workbook_parts(tmp_path, "xl/worksheets/sheet1.xml")
    others["xl/media/noise.png"] = random.Random(1).randbytes(2 * MIB)  # noqa: S311
    path.write_bytes(zip_bomb("xl/worksheets/sheet1.xml", b"<c><v>1</v></c>" * 300_000, 100, others))
    found = cost_of(path)
    assert found["code"] in ("source_too_large", "source_damaged")
    assert found["peak_mb"] < 300


@pytest.mark.parametrize(
    ("name", "make", "code"),
    [
        ("twice.csv.gz", lambda: gzip.compress(gzip_bomb()), "source_format"),
        ("zeros.csv", lambda: bytes(100 * MIB), "source_binary"),
        ("zeros.csv.gz", lambda: gzip_bomb(bytes(4 * MIB)), "source_binary"),
        ("objects.csv", lambda: b"[" + b'{"a": 1},' * MIB + b"{}]", "source_format"),
    ],
)
def test_other_large_nonsense_is_refused_by_its_start(
    tmp_path: Path, name: str, make: Callable[[], bytes], code: str
) -> None:
    path = tmp_path / name
    path.write_bytes(make())
    found = cost_of(path)
    assert found["code"] == code
    assert found["peak_mb"] < 220


def test_lines_of_ndjson_that_are_too_long_or_too_deep_cost_their_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    with path.open("wb") as file:
        file.write(b'{"a": 1}\n{"a": "')
        for _ in range(100):
            file.write(b"x" * MIB)
        file.write(b'"}\n{"a": ' + b"[" * 900_000 + b'}\n{"a": 2}\n')
    found = cost_of(path, "rows")
    assert found["rows"] == 4
    first, second = found["errors"]
    assert first.startswith("Line 2: it is 104,857,609 bytes long")
    assert second == "Line 3: it is nested too deeply."
    assert found["peak_mb"] < 350


def test_a_line_of_ndjson_that_becomes_millions_of_values_costs_its_row(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    few, many = b"{}," * 499_000, b"{}," * 5 * MIB
    path.write_bytes(b'{"a": 1}\n{"a": [' + many + b'{}]}\n{"a": [' + few + b"{}]}\n")
    found = cost_of(path, "rows")
    assert (found["rows"], found["errors"]) == (3, ["Line 2: it holds more than 1,000,000 values."])
    assert found["peak_mb"] < 400


def test_long_texts_in_a_small_file_of_parquet_cost_their_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": [b"x" * 32 * MIB] * 3}), path, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < MIB
    found = cost_of(path, "rows")
    assert found["rows"] == len(found["errors"]) == 3
    assert found["peak_mb"] < 600


def test_rows_of_parquet_that_exist_by_their_number_only_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": pa.nulls(60_000_000, pa.int8())}), path, row_group_size=60_000_000)
    assert path.stat().st_size < MIB
    found = cost_of(path)
    assert found["code"] == "source_too_large"
    assert found["peak_mb"] < 250
    assert found["children_peak_mb"] < 400
    assert found["seconds"] < 60


def test_one_long_text_that_a_million_rows_of_parquet_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    indices = pa.array([0] * 1_000_000, pa.int32())
    table = pa.table({"a": pa.DictionaryArray.from_arrays(indices, pa.array(["x" * MIB]))})
    pq.write_table(table, path, compression="zstd", dictionary_pagesize_limit=4 * MIB)
    assert path.stat().st_size < MIB
    found = cost_of(path)
    assert found["code"] == "source_too_large"
    assert found["peak_mb"] < 250
    assert found["children_peak_mb"] < 400
