"""The compiled loops. What they take is checked by `engine.native`'s callers: bytes in UTF-8, one-byte dialects."""

from collections.abc import Callable
from typing import Any

from typing_extensions import Buffer

class Lines:
    """Lines of a result file while they grow, in memory that nothing else reaches: an opaque object of `new_lines`.

    Whatever is asked of them while they are being written raises RuntimeError.
    """

def new_lines(expected_bytes: int, /) -> Lines:
    """None yet; what is expected is set aside."""

def size_of_lines(lines: Lines, /) -> int:
    """Bytes."""

def take_lines(lines: Lines, /) -> bytes:
    """All of them, in UTF-8 with their line ends; there are none afterwards."""

#: What the loops that call a row handler need to know. In this order: the outcome of an exact dict whose "ok" is True,
#: and that has no "result"; what gives the outcome of whatever else is returned; what gives that of whatever a handler,
#: or the former, raises, but for KeyboardInterrupt; what gives the last outcome of a row after which a guard `is_set`;
#: the type of a refused row's outcome, which has a `message`; what gives the JSON of a result.
_Rules = tuple[
    Any,
    Callable[[Any], Any],
    Callable[[BaseException], Any],
    Callable[[Any, Any], Any],
    type,
    Callable[[Any], str] | None,
]

def run_text(
    data: bytes,
    start: int,
    max_rows: int,
    max_bytes: int,
    delimiter: int,
    quote: int,
    handler: Callable[..., Any],
    first_row_index: int,
    job_id: str,
    options: Any,
    guard: Any,
    rules: _Rules,
    success: Lines,
    failed: Lines,
    /,
) -> tuple[int, int, list[str]]:
    """What `cut_rows` and `run_rows` do together, one row after the other.

    Args:
        data, start, max_rows, max_bytes, delimiter, quote: as `cut_rows` takes them.
        handler and the rest: as `run_rows` takes them.

    Returns:
        How many rows were run; the offset of the next record; the messages of the refused ones.
    """

def run_rows(
    rows: list[Any],
    texts: bytes,
    ends: bytes,
    start: int,
    handler: Callable[..., Any],
    first_row_index: int,
    job_id: str,
    options: Any,
    guard: Any,
    rules: _Rules,
    success: Lines,
    failed: Lines,
    /,
) -> list[str]:
    """What `handler(row_index, row, job_id, options)` comes to for each row, as lines; the refused ones' messages.

    The JSON of a result is made as soon as its row was run, within the savepoint of the row.

    Args:
        texts, ends, start: those of a `RowTexts`, as many as there are rows.
        guard: None, or what has `is_set` after a row that the rules settle.
        rules: see there; where the result is a plain object, its JSON is made here.
        success, failed: get the lines at their end; what they hold after an error is not to be used.

    Raises:
        KeyboardInterrupt: as well as what the rules and `guard.is_set` raise.
        ValueError: the arguments do not belong together.
    """

def call_rows(
    rows: list[Any],
    handler: Callable[..., Any],
    first_row_index: int,
    job_id: str,
    options: Any,
    guard: Any,
    rules: _Rules,
    /,
) -> list[Any]:
    """As `run_rows`, without texts: the outcomes of the rows, in place of a result its JSON.

    Args:
        rules: see there; where they give no JSON, the results are left as they are.
    """

def positions_of(items: list[Any], kind: type, /) -> list[int]:
    """Ascending positions of the items that are of exactly this type."""

def cut_rows(
    data: bytes, start: int, max_rows: int, max_bytes: int, delimiter: int, quote: int, /
) -> tuple[list[list[str]], bytes, bytes, int]:
    """The next rows of a table, as `csv.reader` gives them.

    Args:
        data: UTF-8 in which a CR stands only before a LF.
        start: a record's start.
        max_rows: at most so many rows, at least one.
        max_bytes: no further row once so many bytes are cut.
        delimiter, quote: ASCII bytes; a quote below zero stands for none.

    Returns:
        The rows; their texts as `csv.writer` would write them without line ends, one after the other; where each of
        these ends (native `ssize_t`s, -1 for a row without cells); the offset of the next record.
    """

def column_rows(
    columns: list[tuple[Buffer, Buffer | None, int]], row_count: int, wants_rows: bool, /
) -> tuple[list[list[str]], bytes, bytes]:
    """Rows of columns of text.

    Args:
        columns: at least one, each as Arrow holds it: `int32` offsets, UTF-8 bytes (None where there are none), and
            which value is the first row's. A null is an empty cell.
        wants_rows: whether to make the rows, or their texts alone.

    Returns:
        The rows; their texts, and where each ends, as `cut_rows` gives them.

    Raises:
        UnicodeDecodeError: a cell is not UTF-8.
        ValueError: offsets point elsewhere.
    """

def table_columns(
    data: bytes, width: int, row_count: int, delimiter: int, quote: int, /
) -> tuple[bytes, bytes, list[tuple[object, object]]] | None:
    """A regular table as columns, and the texts of its rows, with no Python object for a cell or a row.

    Args:
        data: as for `cut_rows`.
        width: how many cells each row is to have, at least one.
        row_count: how many rows there are likely to be.

    Returns:
        The texts of all rows, and where each ends, as `cut_rows` gives them; the columns, each as `__arrow_c_array__`
        gives one: type "utf8 view", no nulls, in memory that is not Python's.
        None where a row has more or fewer cells, or quotes that do not begin and end a cell, or is a blank line, and
        for more than 2 GiB.
    """

def result_lines(
    texts: bytes, ends: bytes, start: int, positions: list[int], are_skipped: bool, extras: list[str], /
) -> bytes:
    """Lines of a result file, with their ends, of the named rows or of all others.

    Args:
        texts, ends, start: those of a `RowTexts`.
        positions: of rows, ascending.
        are_skipped: whether these rows get no line, or no others do.
        extras: one cell for each line.

    Raises:
        UnicodeEncodeError: a cell holds half of a surrogate pair.
        ValueError: the arguments do not belong together.
    """

def joined_lines(
    texts: bytes, ends: bytes, start: int, positions: list[int], are_skipped: bool, joined: bytes, margin: int, /
) -> bytes | None:
    """As `result_lines`, with the extra cells from one text in which a NUL stands between two of them.

    Args:
        joined: UTF-8.
        margin: 0, or 1 for a comma on each side of each NUL.

    Returns:
        None where the cells are not as many as the lines, since one of them holds the separator.
    """

def json_lines(
    texts: bytes, ends: bytes, start: int, refused: list[int], columns: list[tuple[bytes, object]], is_object: bool, /
) -> bytes | None:
    """As `result_lines`, of all rows but the refused ones, with JSON of their results as the extra cells.

    Args:
        refused: positions of rows, ascending.
        columns: of results, one for each row, as `__arrow_c_stream__` gives them; and what stands before each value of
            the column, its quotes doubled, from the brace of an object or the comma between two values on.
        is_object: whether the columns make an object, a null in which is `null`. Else there is one column, whose values
            stand by themselves, and a null is `{}`.

    Returns:
        None where a column has other values than integers, truth values and texts.

    Raises:
        ValueError: the arguments do not belong together.
    """

def record_ends(
    data: bytes, start: int, stop: int, base: int, delimiter: int, quote: int, is_last: bool, /
) -> tuple[bytes, bytes] | None:
    """The end of each record of `data[start:stop]`, which begins with one, by quote parity.

    Args:
        base: where these bytes stand in the source; offsets are those in the source.
        is_last: whether the source ends with them.

    Returns:
        Offsets behind each record, and physical lines up to and with each, as native `long long`s; None where quotes
        stand so that parity cannot be trusted.
    """

def exact_ends(
    data: bytes,
    start: int,
    stop: int,
    base: int,
    delimiter: int,
    quote: int,
    escape: int,
    skips_blanks: bool,
    is_last: bool,
    /,
) -> tuple[bytes, bytes] | None:
    """As `record_ends`, cell by cell: of any dialect, with stray quotes amid cells and blanks around quoted ones.

    Args:
        quote, escape: below zero for none.
        skips_blanks: whether a cell that begins with blanks and a quote is a quoted one.

    Returns:
        None where a record is broken (see `engine.readers.records`).
    """

def continuation_bytes(data: bytes, start: int, stop: int, /) -> int:
    """How many bytes of `data[start:stop]` are not the first of a character; -1 where it is not UTF-8 (RFC 3629)."""

def sheet_columns(
    xml: bytes,
    first_row: int,
    last_row: int,
    height: int,
    letters: bytes,
    string_offsets: Buffer | None,
    string_bytes: Buffer | None,
    /,
) -> list[tuple[bytes, bytes, bool]] | None:
    """The columns of whole rows of a sheet's XML, from A on; at least one.

    Args:
        first_row, last_row: 1-based; the rows are among them.
        height: the columns have so many rows at least, counted from the first.
        letters: of each style: the letter of its format, or NUL.
        string_offsets, string_bytes: the shared strings, with `int64` offsets; None: cells may not refer to them.

    Returns:
        Of each column `int32` offsets and UTF-8, as Arrow holds them, without nulls; and whether there are cells with
        a mark in front: 1 for a number that is not shown as it stands, 3 and a letter for one with a format.
        None where the XML is written in an unusual way, or its columns would be much larger than it.
    """

def shared_strings(xml: bytes, /) -> list[tuple[bytes, bytes, bool]] | None:
    """The texts of `si` elements as the only column; None where any is more than one plain text."""
