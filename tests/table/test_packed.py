"""A compressed table gives the rows of the table itself, whatever its encoding and dialect."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

import engine
from engine.config import EngineConfig
from engine.errors import (
    OptionError,
    SourceBinaryError,
    SourceDamagedError,
    SourceEmptyError,
    SourceError,
    SourceFormatError,
    SourceProtectedError,
)
from engine.readers import BrokenRow
from tests.readers.reference import csv_rows
from tests.readers.strategies import TableText, block_sizes, examples, text_tables
from tests.reading import read
from tests.sources import zipped


def workbook(kind: str) -> bytes:
    return (Path(__file__).parent.parent / "staging" / "excel" / "fixtures" / f"cells.{kind}").read_bytes()


def pack_zip(data: bytes) -> bytes:
    return zipped({"folder/": b"", "folder/table.csv": data, "__MACOSX/folder/._table.csv": b"x", ".DS_Store": b"y"})


PACKS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstd.compress, "zip": pack_zip}
packs = pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)


@examples(40)
@given(
    text_tables,
    st.sampled_from(list(PACKS.values())),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"]),
    block_sizes,
)
def test_a_packed_table_has_the_rows_of_csv(
    tmp_path: Path, table: TableText, pack: Callable[[bytes], bytes], encoding: str, block_bytes: int
) -> None:
    text = "h\n" + table.text
    reading = read(
        tmp_path / "t.csv",
        pack(text.encode(encoding)),
        EngineConfig(scan_block_bytes=block_bytes),
        header_rows=0,
        delimiter=table.delimiter,
        quote_char=table.quote_char or "",
        escape_char="",  # `csv_rows` knows of none, and a backslash before a quote looks like one
        encoding=encoding.removesuffix("-sig"),
    )
    assert reading.rows == csv_rows(text, delimiter=table.delimiter, quote_char=table.quote_char)


@packs
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"])
def test_dialect_and_encoding_are_found_inside(tmp_path: Path, pack: Callable[[bytes], bytes], encoding: str) -> None:
    text = "name;città\n" + "Anna;Forlì\n" * 30_000
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode(encoding))
    plain = engine.inspect(path)
    path.write_bytes(pack(text.encode(encoding)))
    packed = engine.inspect(path)
    assert (packed.encoding, packed.delimiter, packed.header, packed.total_rows, packed.rows, packed.confidence) == (
        (plain.encoding, plain.delimiter, plain.header, plain.total_rows, plain.rows, plain.confidence)
    )
    assert packed.has_byte_order_mark == plain.has_byte_order_mark
    assert packed.delimiter == ";"
    assert packed.header == ["name", "città"]


@packs
def test_an_encoding_that_only_the_end_speaks_for_is_found(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    data = b"a,b\n" + b"1,2\n" * 100_000 + b"caf\xe9,3\n"
    reading = read(tmp_path / "t.csv", pack(data))
    assert reading.rows[-1] == ["café", "3"]
    assert reading.plan.dialect.encoding == "cp1252"
    assert reading.plan.details["kind"] in PACKS


@packs
def test_a_broken_record_costs_its_row(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    reading = read(tmp_path / "t.csv", pack("a,b\n1,2\n3,\ud83d\n5,6\n".encode("utf-16-le", "surrogatepass")))
    assert reading.good_rows == [["1", "2"], ["5", "6"]]
    assert isinstance(reading.rows[1], BrokenRow)
    assert "Line 3" in reading.rows[1].error


def test_a_member_of_an_archive_is_chosen_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "t.zip"
    path.write_bytes(zipped({"a.csv": b"x\n1\n", "b/c.csv": b"y\n2\n"}))
    assert list(engine.read_rows(path, member="a.csv")) == [["1"]]
    assert list(engine.read_rows(path, member="b/c.csv")) == [["2"]]
    with pytest.raises(SourceFormatError, match=r"2 files \(a\.csv, b/c\.csv\).*option member"):
        list(engine.read_rows(path))
    with pytest.raises(OptionError, match=r"not 'c\.csv'; it holds a\.csv, b/c\.csv"):
        list(engine.read_rows(path, member="c.csv"))


def test_an_archive_is_listed_shortly_and_its_names_are_made_harmless(tmp_path: Path) -> None:
    path = tmp_path / "t.zip"
    path.write_bytes(zipped({f"\x1b[31m{number}" + "x" * 300: b"" for number in range(500)}))
    with pytest.raises(SourceFormatError, match="and 490 more") as caught:
        list(engine.read_rows(path))
    assert "\x1b" not in caught.value.message
    assert len(caught.value.message) < 1500


def test_an_entry_without_a_name_is_an_entry(tmp_path: Path) -> None:
    data = zipped({"a": b"x\n1\n"}).replace(b"\x01\x00\x00\x00a", b"\x00\x00\x00\x00", 1)  # the local header
    central = data.index(b"PK\x01\x02")
    data = data[: central + 28] + b"\0\0" + data[central + 30 : central + 46] + data[central + 47 :]
    size, offset = struct.unpack_from("<II", data, len(data) - 10)
    data = data[:-10] + struct.pack("<II", size - 1, offset - 1) + data[-2:]
    (tmp_path / "t.zip").write_bytes(data)
    assert list(engine.read_rows(tmp_path / "t.zip")) == [["1"]]


def test_names_of_entries_are_never_paths(tmp_path: Path) -> None:
    path = tmp_path / "inner" / "t.zip"
    path.parent.mkdir()
    path.write_bytes(zipped({"../../escaped.csv": b"a\n1\n"}))
    assert list(engine.read_rows(path)) == [["1"]]
    assert [each.name for each in tmp_path.rglob("*") if each.is_file()] == ["t.zip"]


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (zipped({}), SourceFormatError, "without a file"),
        (zipped({"a/": b""}), SourceFormatError, "without a file"),
        (zipped({"a.csv": b""}), SourceEmptyError, "is empty"),
        (gzip.compress(b"", mtime=0), SourceEmptyError, "is empty"),
        (gzip.compress(b"\r\n\r\n", mtime=0), SourceEmptyError, "is empty"),
        (zipped({"a.zip": zipped({"b.csv": b"a\n"})}), SourceFormatError, "another packed file"),
        (gzip.compress(gzip.compress(b"a,b\n", mtime=0), mtime=0), SourceFormatError, "another packed file"),
        (zstd.compress(gzip.compress(b"a,b\n", mtime=0)), SourceFormatError, "another packed file"),
        pytest.param(zipped({"a": workbook("xlsx")}), SourceFormatError, "holds a workbook", id="xlsx in zip"),
        pytest.param(zipped({"a": workbook("xls")}), SourceFormatError, "holds a workbook", id="xls in zip"),
        pytest.param(gzip.compress(workbook("ods")), SourceFormatError, "holds a workbook", id="ods in gzip"),
        (zipped({"a.parquet": b"PAR1\x15\x04" + bytes(99)}), SourceFormatError, "holds Parquet"),
        (zipped({"a.csv": b"\x89PNG\r\n\x1a\n" + bytes(100)}), SourceBinaryError, r"\(a\.csv\) is a PNG picture"),
        (gzip.compress(b"<!doctype html><html>", mtime=0), SourceBinaryError, "web page"),
        (gzip.compress(b"x".ljust(257, b"\0") + b"ustar\0" + bytes(300), mtime=0), SourceBinaryError, "tar archive"),
        (gzip.compress(b"SQLite format 3\0" + bytes(100), mtime=0), SourceBinaryError, "SQLite"),
        (gzip.compress(bytes(5000), mtime=0), SourceBinaryError, "not text"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0)[:-3], SourceDamagedError, "breaks off"),
        (zipped({"a.csv": b"a,b\n"}, method=zipfile.ZIP_BZIP2), SourceFormatError, "a method that is not supported"),
    ],
)  # fmt: skip
def test_what_holds_no_table_is_told(tmp_path: Path, data: bytes, error: type[SourceError], message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    with pytest.raises(error, match=message) as caught:
        engine.inspect(path)
    assert str(path) in caught.value.message


def test_an_archive_with_a_password_is_told(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.csv": b"a,b\n"}))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "t.zip").write_bytes(data)
    with pytest.raises(SourceProtectedError, match=r"password \(a\.csv\)"):
        engine.inspect(tmp_path / "t.zip")


def test_an_archive_that_was_written_as_a_stream_is_read(tmp_path: Path) -> None:
    """Its local headers have neither sizes nor checksums."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.data += bytes(data)
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
        archive.writestr("a.csv", "a,b\n" + "1,2\n" * 1000)
    (tmp_path / "t.zip").write_bytes(pipe.data)
    assert len(list(engine.read_rows(tmp_path / "t.zip"))) == 1000


def test_a_job_imports_a_packed_table_and_leaves_no_copy(tmp_path: Path) -> None:
    path = tmp_path / "people.csv.gz"
    path.write_bytes(gzip.compress(("id,email\n" + "1,a@b\n" * 25_000).encode("utf-16")))
    report = engine.run(path, "tests.sample_handlers.accept", output_dir=tmp_path / "out", executor="local", workers=1)
    assert report.succeeded
    assert report.counts.success_count == 25_000
    assert not list((tmp_path / "out").rglob("*unpacked*"))


@packs
def test_a_preview_unpacks_the_start_only(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(pack(b"a,b\n" + b"".join(b"%d,x\n" % number for number in range(2_000_000))))
    preview = engine.preview(path, config=EngineConfig(max_unpacked_bytes=4_000_000))  # less than all of it
    assert preview.rows == [[str(number), "x"] for number in range(5)]
