"""The staged copy is the same text in UTF-8, and what cannot be decoded costs only its rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import EngineConfig
from engine.errors import SourceChangedError
from engine.readers import BrokenRow
from engine.staging import stage_blocks
from engine.storage import open_location, open_storage
from engine.table import pin_source
from tests.readers.reference import csv_rows
from tests.readers.strategies import TableText, block_sizes, examples, tables, text_tables
from tests.reading import read

WIDE = ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
#: A text in the script that the encoding is for.
SCRIPTS = {
    "shift_jis": "名前,説明\n表,ソ能\n",
    "cp932": "名前,①\n表,ソ\n",
    "euc_jp": "名前,説明\n",
    "iso2022_jp": '名前,説明\nabc,"引用,\n符"\n',
    "gb18030": "姓名,城市\n张三,北京\U00020000\n",
    "gbk": "姓名,城市\n张三,北京\n",
    "big5": "姓名,城市\n許功蓋,台北\n",
    "euc_kr": "이름,도시\n홍길동,서울\n",
    "cp949": "이름,도시\n똠방,서울\n",
    "utf-7": "Größe,+\n1,ü\n",
    "hz": "姓名,城市\n~,北京\n",
    "cp037": "NAME,CITY\nANNA,BONN\n",
}


def staged(folder: Path, data: bytes, encoding: str, *, block_bytes: int = 7) -> bytes:
    config = EngineConfig()
    path = folder / "source.csv"
    path.write_bytes(data)
    storage, key = open_location(str(path), config)
    source, workspace = pin_source(str(path), config), open_storage(str(folder / "workspace"), config)
    blocks = storage.read_blocks(key, 0, source.size_bytes, block_bytes=block_bytes, etag=source.etag)
    copy = stage_blocks(blocks, workspace, "staged/job", encoding=encoding)
    assert copy == pin_source(copy.url, config)
    return workspace.read_range("staged/job", 0, copy.size_bytes)


@examples(60)
@given(tables(), st.sampled_from(WIDE), st.booleans(), block_sizes)
def test_a_wide_text_is_copied_character_by_character(
    tmp_path: Path, table: TableText, encoding: str, has_mark: bool, block_bytes: int
) -> None:
    text = table.text.removeprefix("\ufeff")
    data = ("\ufeff" * has_mark + text).encode(encoding)
    assert staged(tmp_path, data, encoding, block_bytes=block_bytes).decode() == text


@examples(60)
@given(text_tables, st.sampled_from(WIDE), st.booleans(), block_sizes)
def test_a_wide_table_has_the_rows_of_csv(
    tmp_path: Path, table: TableText, encoding: str, has_mark: bool, block_bytes: int
) -> None:
    text = "h\n" + table.text
    reading = read(
        tmp_path / "t.csv",
        ("\ufeff" * has_mark + text).encode(encoding),
        EngineConfig(scan_block_bytes=block_bytes),
        header_rows=0,
        delimiter=table.delimiter,
        quote_char=table.quote_char or "",
        escape_char="",  # `csv_rows` knows of none, and a backslash before a quote looks like one
        encoding=encoding,
    )
    assert reading.rows == csv_rows(text, delimiter=table.delimiter, quote_char=table.quote_char)


@pytest.mark.parametrize(("encoding", "text"), SCRIPTS.items(), ids=SCRIPTS.keys())
def test_a_given_code_page_of_several_bytes_is_read(tmp_path: Path, encoding: str, text: str) -> None:
    for block_bytes in (1, 2, 3, 1000):
        config = EngineConfig(scan_block_bytes=block_bytes)
        reading = read(tmp_path / "t.csv", text.encode(encoding), config, header_rows=0, encoding=encoding)
        assert reading.rows == csv_rows(text)
        assert reading.plan.readable.url != str(tmp_path / "t.csv")


@pytest.mark.parametrize("encoding", ["shift_jis", "gb18030", "big5", "euc_kr", "cp949", "euc_jp"])
@pytest.mark.parametrize("byte", [0x80, 0x81, 0xA0, 0xC7, 0xFE, 0xFF])
def test_a_stray_byte_of_a_code_page_costs_at_most_its_row(tmp_path: Path, encoding: str, byte: int) -> None:
    lines = [b"a,b", b"cd,ef", b"g,h"]
    for position in range(len(lines[1]) + 1):
        damaged = lines[1][:position] + bytes([byte]) + lines[1][position:]
        reading = read(
            tmp_path / "t.csv",
            b"\n".join([lines[0], damaged, lines[2]]),
            header_rows=0,
            encoding=encoding,
            delimiter=",",
        )
        assert [reading.rows[0], reading.rows[-1]] == [["a", "b"], ["g", "h"]]
        assert len(reading.rows) == 3


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_half_a_character_costs_its_row_and_names_its_line(tmp_path: Path, encoding: str) -> None:
    text = "a,b\n1,\ud83d\n\ude00\n3,4\n"
    data = text.encode(encoding, "surrogatepass")
    reading = read(tmp_path / "t.csv", data, encoding=encoding)
    assert reading.good_rows == [["3", "4"]]
    error = (
        "some of its bytes are not text in the encoding of the source. "
        "Save the file as UTF-8, or name the encoding it has with the option encoding."
    )
    assert reading.rows[:2] == [
        BrokenRow(["1", r"\xff"], f"Line 2: {error}"),
        BrokenRow([r"\xff"], f"Line 3: {error}"),
    ]


def test_an_odd_byte_at_the_end_costs_the_last_row_only(tmp_path: Path) -> None:
    reading = read(tmp_path / "t.csv", "\ufeffa,b\n1,2\n3,4".encode("utf-16-le") + b"x")
    assert reading.rows[0] == ["1", "2"]
    assert isinstance(reading.rows[1], BrokenRow)


def test_a_repeat_makes_the_same_copy(tmp_path: Path) -> None:
    data = "a,b\n1,\ud83d\n".encode("utf-16", "surrogatepass")
    assert staged(tmp_path, data, "utf-16") == staged(tmp_path, data, "utf-16", block_bytes=1) == b"a,b\n1,\xff\n"


def test_a_source_that_changed_leaves_no_copy(tmp_path: Path) -> None:
    config = EngineConfig()
    path = tmp_path / "source.csv"
    path.write_text("a,b\n", encoding="utf-16")
    source = pin_source(str(path), config)
    path.write_text("a,b,c\n", encoding="utf-16")
    storage, key = open_location(str(path), config)
    workspace = open_storage(str(tmp_path / "workspace"), config)
    blocks = storage.read_blocks(key, 0, source.size_bytes, block_bytes=100, etag=source.etag)
    with pytest.raises(SourceChangedError):
        stage_blocks(blocks, workspace, "staged/job", encoding="utf-16")
    assert list(workspace.list("")) == []
