"""Parquet becomes text value by value; damaged and hostile files are told within bounds."""

from __future__ import annotations

import base64
import io
import json
import random
import re
import uuid
import zlib
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest
from hypothesis import given
from hypothesis import strategies as st

import engine
from engine.config import EngineConfig
from engine.errors import SourceDamagedError, SourceError, SourceFormatError, SourceProtectedError, SourceTooLargeError
from engine.readers import BrokenRow
from engine.readers.arrow_text import as_text
from engine.readers.parquet import ParquetReader
from tests.readers.strategies import examples
from tests.reading import read

MIB = 1024 * 1024
BERLIN = ZoneInfo("Europe/Berlin")
#: `[1, 2]`, nothing, `[1, 2]` as lists of a fixed length, which pyarrow writes and reads from 26 on; deflated.
LISTS_OF_TWO = (
    "eNpdUk1PwkAQnZZmJcSTyZLdpAcuNDERBBPUEDjMYhEiRmyCRm4NNoWEj1qqXP1d/gn/jkdn2wqJL7s7Mzuvb16yHaPX5MCnfHrGS5QwzmwAMG"
    "kXTgr6/C4YkMHM4/+aW3LUAsG2s3mw8rkJLVMYFDkbdajdsoS1XGwTanCraoqjYBmsgnUCZSZtaTtgk0CVgbw2/JT4R+BQLpU/DVpOcWiTOSCJ"
    "zqnDLNmn2UXS1m3mFCmAtMUxet7DczvzIX6Mc40r1HjEDHeIO1Qh9hFD7IXpnVKI9zrpIQ7Ti0MkuPujMSa9HSUeTnQ9OEirXDynqjnii9Zzdc"
    "yk02Ki59L8gfaRfqxyZ+j23D0zm4d7fRW93j4lWR3iTepvllM1+gc6drsgKpEfv70HSW0WRTU/jje7ykcQbxebdeXist6oN6Wtn/mLnnJMf8Av"
    "bbpuPg=="
)


def parquet(table: pa.Table, **settings: Any) -> bytes:
    target = io.BytesIO()
    pq.write_table(table, target, **settings)
    return target.getvalue()


def drained(data: bytes) -> list[pa.RecordBatch]:
    """All batches, read in this process."""
    reader = ParquetReader(io.BytesIO(data), EngineConfig(), size_bytes=len(data), source="s")  # type: ignore[arg-type]
    return list(reader.batches())


def column(values: list[Any], kind: pa.DataType) -> list[str | None]:
    """As it comes out of a file."""
    data = parquet(pa.table({"a": pa.array(values, kind)}))
    return [text for batch in drained(data) for text in batch.column(0).to_pylist()]


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (pa.null(), None, ""),
        (pa.int64(), None, ""),
        (pa.bool_(), True, "TRUE"),
        (pa.bool_(), False, "FALSE"),
        (pa.int64(), 2**63 - 1, "9223372036854775807"),
        (pa.uint64(), 2**64 - 1, "18446744073709551615"),
        (pa.int8(), -5, "-5"),
        (pa.float64(), 1.0, "1"),
        (pa.float64(), 0.1, "0.1"),
        (pa.float64(), 123456789012.0, "123456789012"),
        (pa.float64(), 1.5e15, "1500000000000000"),
        (pa.float64(), 1e20, "100000000000000000000"),
        (pa.float64(), 1e21, "1000000000000000000000"),
        (pa.float64(), -1e-7, "-0.0000001"),
        (pa.float64(), 1e-8, "0.00000001"),
        (pa.float64(), float("nan"), "NaN"),
        (pa.float64(), float("-inf"), "-Infinity"),
        (pa.float32(), 0.1, "0.1"),
        (pa.decimal128(5, 2), Decimal("1.10"), "1.10"),
        (pa.decimal128(20, 10), Decimal("1E-10"), "0.0000000001"),
        (pa.decimal256(50, 2), Decimal("-1234.50"), "-1234.50"),
        (pa.date32(), date(2024, 2, 29), "2024-02-29"),
        (pa.timestamp("s"), datetime(2024, 2, 29, 13, 5), "2024-02-29 13:05:00"),
        (pa.timestamp("ms"), datetime(2024, 2, 29), "2024-02-29 00:00:00"),
        (pa.timestamp("us"), datetime(1, 1, 1, 0, 0, 0, 120000), "0001-01-01 00:00:00.120"),
        (pa.timestamp("ns"), datetime(1969, 12, 31, 23, 59, 59, 1), "1969-12-31 23:59:59.000001"),
        (pa.timestamp("us", "UTC"), datetime(2024, 2, 29, tzinfo=UTC), "2024-02-29 00:00:00Z"),
        (pa.timestamp("us", "Europe/Berlin"), datetime(2024, 2, 29, 1, tzinfo=BERLIN), "2024-02-29 00:00:00Z"),
        (pa.time32("s"), time(13, 5), "13:05:00"),
        (pa.time64("us"), time(0, 0, 0, 10), "00:00:00.000010"),
        (pa.duration("us"), timedelta(days=1, hours=12), "36:00:00"),
        (pa.duration("ms"), timedelta(seconds=-1.5), "-00:00:01.500"),
        (pa.string(), "00012", "00012"),
        (pa.string(), "a\nb\0é", "a\nb\0é"),
        (pa.large_string(), "x", "x"),
        (pa.dictionary(pa.int32(), pa.string()), "x", "x"),
        (pa.binary(), b"\xc3\xa9", "é"),
        (pa.binary(), b"\xe9\x00", "0xe900"),
        (pa.binary(2), b"ab", "ab"),
        (pa.uuid(), uuid.UUID(int=1).bytes, "00000000-0000-0000-0000-000000000001"),
        (pa.list_(pa.int64()), [1, None, 3], "[1,null,3]"),
        (pa.list_(pa.int64()), [], "[]"),
        (pa.list_(pa.list_(pa.float64())), [[1.0], [], None], "[[1],[],null]"),
        (pa.struct({"a": pa.bool_(), "b": pa.string()}), {"a": True, "b": 'x"'}, '{"a":true,"b":"x\\""}'),
        (pa.struct({"d": pa.date32(), "n": pa.decimal128(5, 2)}), {"d": date(2024, 2, 29), "n": Decimal("1.10")},
         '{"d":"2024-02-29","n":1.10}'),
        (pa.map_(pa.string(), pa.int64()), [("a", 1), ("b", None)], '{"a":1,"b":null}'),
        (pa.map_(pa.int64(), pa.bool_()), [(1, True)], '{"1":true}'),
    ],
)  # fmt: skip
def test_a_value_is_text_as_people_see_it(kind: pa.DataType, value: Any, text: str) -> None:
    assert column([value, None, value], kind) == [text, "", text]
    assert column([None, value], kind) == ["", text]


def test_lists_of_a_fixed_length_are_read_and_where_pyarrow_reads_none_that_are_empty_it_is_named() -> None:
    kind = pa.list_(pa.int64(), 2)
    assert column([[1, 2], [3, None]], kind) == ["[1,2]", "[3,null]"]
    data = zlib.decompress(base64.b64decode(LISTS_OF_TWO))
    if int(pa.__version__.partition(".")[0]) >= 26:
        assert column([[1, 2], None], kind) == ["[1,2]", ""]
        assert [text for batch in drained(data) for text in batch.column(0).to_pylist()] == ["[1,2]", "", "[1,2]"]
    else:
        with pytest.raises(SourceFormatError, match=f"pyarrow {re.escape(pa.__version__)} .*pyarrow 26"):
            drained(data)


@examples(200)
@given(st.lists(st.none() | st.floats(allow_subnormal=False) | st.integers(-(2**53), 2**53).map(float), min_size=1))
def test_a_float_is_the_number_it_was(values: list[float | None]) -> None:
    texts = as_text(pa.array(values, pa.float64())).to_pylist()
    for value, text in zip(values, texts, strict=True):
        assert (value is None) == (text is None)
        if value is not None:
            assert repr(float(text)) == repr(value)
            if value == value and abs(value) != float("inf") and value.is_integer():
                assert text.lstrip("-").isdigit()


nested = st.recursive(
    st.sampled_from(
        [(pa.int64(), st.integers(-(2**63), 2**63 - 1)), (pa.string(), st.text()), (pa.bool_(), st.booleans())]
    ),
    lambda inner: st.one_of(
        inner.map(lambda pair: (pa.list_(pair[0]), st.lists(st.none() | pair[1], max_size=4))),
        st.tuples(inner, inner).map(
            lambda pair: (
                pa.struct({"x": pair[0][0], "ü": pair[1][0]}),
                st.fixed_dictionaries({"x": st.none() | pair[0][1], "ü": st.none() | pair[1][1]}),
            )
        ),
    ),
    max_leaves=4,
)  # fmt: skip


@examples(150)
@given(nested, st.data(), st.integers(0, 3))
def test_nested_values_are_the_json_that_python_makes(kind: Any, data: st.DataObject, skipped: int) -> None:
    if not pa.types.is_nested(kind[0]):
        return
    values = data.draw(st.lists(st.none() | kind[1], max_size=6))
    texts = as_text(pa.array(values, kind[0]).slice(skipped)).to_pylist()
    assert [text and json.loads(text) for text in texts] == values[skipped:]


def test_texts_that_are_not_utf_8_cost_their_rows(tmp_path: Path) -> None:
    raw = pa.array([b"ok", b"\xe9t\xe9", None], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    reading = read(tmp_path / "t.parquet", parquet(pa.table({"a": text, "b": [1, 2, 3]})))
    assert reading.good_rows == [["ok", "1"], ["", "3"]]
    assert reading.rows[1] == BrokenRow([r"\xe9t\xe9", "2"], "Row 2: 'a' holds bytes that are not UTF-8 text.")


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "brotli", "lz4"])
def test_a_table_of_several_row_groups_is_read_in_any_compression(tmp_path: Path, compression: str) -> None:
    table = pa.table({"id": range(50_000), "name": [f"name {number % 7}" for number in range(50_000)]})
    path = tmp_path / "t.csv"
    reading = read(path, parquet(table, row_group_size=7_000, compression=compression), chunk_size=6_000)
    assert reading.rows == [[str(number), f"name {number % 7}"] for number in range(50_000)]
    assert reading.plan.header == ("id", "name")
    assert [chunk.row_count for chunk in reading.chunks] == [6_000] * 8 + [2_000]


def test_inspect_and_a_job_read_it(tmp_path: Path) -> None:
    path = tmp_path / "people.parquet"
    path.write_bytes(parquet(pa.table({"id": [1, 2], "born": [date(2000, 1, 1), None]})))
    assert engine.inspect(path).rows == [["1", "2000-01-01"], ["2", ""]]
    report = engine.run(path, "tests.sample_handlers.accept", output_dir=tmp_path / "out", executor="local", workers=1)
    assert report.counts.success_count == 2


def test_names_of_columns_may_repeat_and_a_table_without_rows_is_one(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["x"]), pa.array([2])], names=["a", "a"])
    assert read(tmp_path / "t.parquet", parquet(table)).rows == [["x", "2"]]
    reading = read(tmp_path / "t.parquet", parquet(table.slice(0, 0)))
    assert (reading.rows, reading.plan.header) == ([], ("a", "a"))
    with pytest.raises(SourceFormatError, match="0 columns"):
        read(tmp_path / "t.parquet", parquet(pa.table({})))


def test_a_row_that_is_too_long_fails_alone(tmp_path: Path) -> None:
    texts = ["a", "x" * 9_000_000, "b", "y" * 9_000_000]
    config = EngineConfig(max_record_bytes=10_000_000)
    reading = read(tmp_path / "t.parquet", parquet(pa.table({"a": texts, "b": texts})), config)
    assert reading.good_rows == [["a", "a"], ["b", "b"]]
    assert reading.rows[1] == BrokenRow(
        ["", ""], "Row 2: it is more than 10,000,000 bytes long, which is too long for a row."
    )


def test_the_limit_of_rows_holds_before_any_is_read(tmp_path: Path) -> None:
    data = parquet(pa.table({"a": range(11)}))
    with pytest.raises(SourceTooLargeError, match="more than the 10 rows"):
        read(tmp_path / "t.parquet", data, EngineConfig(max_rows=10))


WHOLE = parquet(
    pa.table(
        {
            "a": [1, None, 3] * 50,
            "b": ["x", "yy", None] * 50,
            "c": [[1.5], [], None] * 50,
            "d": [datetime(2024, 2, 29)] * 150,
        }
    ),
    row_group_size=40,
)


@examples(300)
@given(st.data())
def test_a_damaged_file_is_told_or_read_and_nothing_else_happens(data: st.DataObject) -> None:
    damaged = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with suppress(SourceError):
        drained(bytes(damaged))


@examples(100)
@given(st.integers(12, len(WHOLE) - 1))
def test_one_that_breaks_off_is_told(tmp_path: Path, size: int) -> None:
    with pytest.raises(SourceDamagedError):
        read(tmp_path / "t.parquet", WHOLE[:size])


def footer(content: bytes) -> bytes:
    """The pages of the whole file with another footer."""
    size = int.from_bytes(WHOLE[-8:-4], "little")
    return WHOLE[: -8 - size] + content + len(content).to_bytes(4, "little") + b"PAR1"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 200,
        b"\xff" * 200,
        b"\x15\x04" * 500,
        b"\x1c" * 5_000,  # structs within structs
        b"\x19\xfc\xff\xff\xff\x7f" * 50,  # a list of two thousand million structs
        random.Random(1).randbytes(4_000),  # noqa: S311
    ],
    ids=["empty", "zeros", "ones", "integers", "structs", "list", "random"],
)
def test_a_footer_of_garbage_is_told(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(SourceError) as caught:
        read(tmp_path / "t.parquet", footer(content))
    assert isinstance(caught.value, SourceDamagedError | SourceFormatError | SourceTooLargeError)


def test_a_damaged_page_is_told_by_the_process_that_reads_it(tmp_path: Path) -> None:
    data = bytearray(parquet(pa.table({"a": [str(number) * 20 for number in range(1_000)]}), use_dictionary=False))
    data[200:2_000] = bytes(1_800)
    with pytest.raises(SourceDamagedError, match="not readable as Parquet"):
        read(tmp_path / "t.parquet", bytes(data))
    assert not list((tmp_path / "workspace").rglob("*.arrow"))


def test_names_and_contents_do_not_matter(tmp_path: Path) -> None:
    assert len(read(tmp_path / "people.csv", WHOLE).rows) == 150
    assert read(tmp_path / "people.parquet", b"a,b\n1,2\n").rows == [["1", "2"]]


def test_a_footer_that_claims_to_be_huge_is_refused(tmp_path: Path) -> None:
    data = WHOLE[:-8] + (len(WHOLE) - 12).to_bytes(4, "little") + b"PAR1"
    with pytest.raises(SourceDamagedError):
        read(tmp_path / "t.parquet", data)


def test_an_encrypted_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceProtectedError, match="encrypted"):
        read(tmp_path / "t.parquet", b"PARE" + WHOLE[4:-4] + b"PARE")


class _Wrapping(pe.KmsClient):  # type: ignore[misc]
    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
        return base64.b64encode(key_bytes)

    def unwrap_key(self, wrapped_key: bytes, master_key_identifier: str) -> bytes:
        return base64.b64decode(wrapped_key)


@pytest.mark.parametrize("has_plain_footer", [True, False])
def test_encrypted_columns_are_told(tmp_path: Path, has_plain_footer: bool) -> None:
    connection = pe.KmsConnectionConfig()
    factory = pe.CryptoFactory(lambda _: _Wrapping())
    how = pe.EncryptionConfiguration(footer_key="f", column_keys={"c": ["a"]}, plaintext_footer=has_plain_footer)
    target = io.BytesIO()
    table = pa.table({"a": ["secret"] * 9})
    properties = factory.file_encryption_properties(connection, how)
    with pq.ParquetWriter(target, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    with pytest.raises(SourceProtectedError, match="encrypt"):
        read(tmp_path / "t.parquet", target.getvalue())


def test_metadata_over_which_a_library_would_end_the_process_are_told() -> None:
    """Found by the fuzzer: a histogram of levels in the footer that has another length than it must have."""
    generator = random.Random("histogram")  # noqa: S311
    start = WHOLE.rindex(b"ARROW:schema") - 1500
    for _ in range(300):
        damaged = bytearray(WHOLE)
        damaged[generator.randrange(start, len(WHOLE) - 8)] = generator.choice([0, 1, 2, 3, 255])
        with suppress(SourceError):
            drained(bytes(damaged))


def test_columns_cannot_claim_more_bytes_than_the_file_has(tmp_path: Path) -> None:
    data = parquet(pa.table({"a": np.arange(10_000)}), use_dictionary=False)
    size = int.from_bytes(data[-8:-4], "little")
    with pytest.raises(SourceDamagedError, match="claim more bytes"):
        read(tmp_path / "t.parquet", b"PAR1" + data[-8 - size :])


@pytest.mark.parametrize("is_dictionary", [True, False])
def test_a_page_that_is_huge_once_unpacked_is_refused(tmp_path: Path, is_dictionary: bool) -> None:
    data = parquet(
        pa.table({"a": ["x" * 150 * MIB, "y"]}),
        compression="zstd",
        use_dictionary=is_dictionary,
        dictionary_pagesize_limit=2**31 - 1,
    )
    assert len(data) < MIB
    with pytest.raises(SourceTooLargeError, match="needs more than the 64 MiB of memory") as caught:
        read(tmp_path / "t.parquet", data, EngineConfig(parquet_memory_bytes=64 * MIB))
    assert caught.value.limit == 64 * MIB


def test_the_time_is_limited(tmp_path: Path) -> None:
    with pytest.raises(SourceTooLargeError, match=r"longer to read than the 0\.01 seconds"):
        read(tmp_path / "t.parquet", WHOLE, EngineConfig(parquet_timeout_seconds=0.01))


def test_a_column_is_held_to_its_own_size_however_large_the_others_are() -> None:
    noise = random.Random(1).randbytes(3 * MIB)  # noqa: S311
    rows = 300
    texts = [noise[start : start + 10_000].hex() for start in range(0, 10_000 * rows, 10_000)]
    long = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * MIB]))
    data = parquet(pa.table({"noise": texts, "bomb": long}), compression="zstd", dictionary_pagesize_limit=4 * MIB)
    assert len(data) > 2 * MIB
    reader = ParquetReader(io.BytesIO(data), EngineConfig(), size_bytes=len(data), source="s")  # type: ignore[arg-type]
    assert sum(batch.num_rows for batch in reader.batches()) == rows  # together they are within the limit
    reader.learn_column_sizes()
    with pytest.raises(SourceTooLargeError, match="its column 'bomb' unpacks to more than 1,000 times its size"):
        list(reader.batches())


def test_short_values_that_repeat_are_no_bomb() -> None:
    rows = 3_000_000
    country = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["x" * 100]))
    data = parquet(pa.table({"country": country, "n": pa.array(np.arange(rows))}))
    reader = ParquetReader(io.BytesIO(data), EngineConfig(), size_bytes=len(data), source="s")  # type: ignore[arg-type]
    reader.learn_column_sizes()
    assert sum(batch.num_rows for batch in reader.batches()) == rows
