"""Lines of result files made from columns, with no Python object per row; the bytes are those of `result_line`."""

from __future__ import annotations

import io
from itertools import compress
from typing import TYPE_CHECKING, Any

import orjson

from engine.native import RowTexts, loops
from engine.results.csv_format import LINE_END
from engine.results.json_format import results_json
from engine.results.lines import lines_of_texts, success_lines_of_texts
from engine.returned_values import column_values

if TYPE_CHECKING:
    import polars as pl

#: What makes a cell need quotes.
_SPECIAL = '[",\r\n]'
#: What JSON cannot hold as it is.
_ESCAPED = r'["\\\x00-\x1f]'


def frame_records(frame: pl.DataFrame) -> pl.Series:
    """`format_record` of every row.

    Args:
        frame: columns of type String without nulls, at least one.
    """
    import polars as pl

    return pl.select(pl.concat_str([_quoted(column) for column in frame], separator=",")).to_series()


def accepted_lines(
    records: pl.Series, results: pl.DataFrame | pl.Series | list[Any] | None, is_accepted: pl.Series
) -> bytes:
    """Whole lines of the accepted rows: each record, and its result as JSON.

    Args:
        results: one per row; a null in a list or series, like None in place of all, gives `{}`.
        is_accepted: which rows.
    """
    import polars as pl

    records = records.filter(is_accepted)
    texts = accepted_json(results, is_accepted)
    if isinstance(results, pl.DataFrame) and results.width:
        return _written(records, _in_quotes(texts))  # there are names in all of them
    return frame_lines(records, texts)


def accepted_lines_of_texts(
    texts: RowTexts, results: pl.DataFrame | pl.Series | list[Any] | None, is_accepted: pl.Series, refused: list[int]
) -> bytes:
    """As `accepted_lines`, for rows all of which have cells.

    Args:
        refused: ascending positions of all other rows.
    """
    assert loops is not None
    if isinstance(results, list):
        some = [{} if result is None else result for result in compress(results, is_accepted)]
        return success_lines_of_texts(texts, refused, some)
    lines = _lines_of_columns(texts, refused, results)
    if lines is not None:
        return lines
    column = accepted_json(results, is_accepted)
    # The longest text that Python has to hold for a chunk; JSON of polars' making has no NUL in it.
    joined = column.str.join("\0").item().encode() if len(column) else b""
    lines = loops.joined_lines(texts.joined, texts.ends, texts.start, refused, True, joined, 0)
    return lines if lines is not None else lines_of_texts(texts, refused, True, column.to_list())


def _lines_of_columns(texts: RowTexts, refused: list[int], results: pl.DataFrame | pl.Series | None) -> bytes | None:
    """By the compiled loop; None where it does not write the results' types."""
    import polars as pl

    assert loops is not None
    is_object = not isinstance(results, pl.Series)
    columns = [results] if isinstance(results, pl.Series) else [] if results is None else results.get_columns()
    # Others are not handed over at all: what they are made of has names as well.
    if not all(column.dtype.is_integer() or column.dtype in (pl.Boolean, pl.String) for column in columns):
        return None
    named = [
        # Under no name: polars ends the process at one that holds a NUL, as the source's own header may.
        (_before_value(column.name, is_first=not number), column.alias("").__arrow_c_stream__())
        for number, column in enumerate(columns)
    ]
    return loops.json_lines(texts.joined, texts.ends, texts.start, refused, named, is_object)


def _before_value(name: str, *, is_first: bool) -> bytes:
    return (b"{" if is_first else b",") + orjson.dumps(name).replace(b'"', b'""') + b":"


def accepted_json(results: pl.DataFrame | pl.Series | list[Any] | None, is_accepted: pl.Series) -> pl.Series:
    """JSON of the accepted rows' results."""
    import polars as pl

    if results is None or (isinstance(results, pl.DataFrame) and not results.width):
        return pl.Series(["{}"]).new_from_index(0, int(is_accepted.sum()))
    if isinstance(results, list):
        some = [{} if result is None else result for result in compress(results, is_accepted)]
        return pl.Series(results_json(some), dtype=pl.String)
    return json_column(results.filter(is_accepted))


def frame_lines(records: pl.Series, extras: pl.Series) -> bytes:
    """Whole lines: each record, and its extra cell.

    Args:
        records: of rows that have cells, as `frame_records` gives them.
        extras: texts as they are to be read back, without nulls, as many.
    """
    return _written(records, _quoted(extras))


def _written(records: pl.Series, cells: pl.Series) -> bytes:
    import polars as pl

    if records.is_empty():
        return b""
    out = io.BytesIO()
    lines = pl.DataFrame([records.alias("record"), cells.alias("extra")])
    lines.write_csv(out, include_header=False, quote_style="never", line_terminator=LINE_END)
    return out.getvalue()


def json_column(results: pl.DataFrame | pl.Series) -> pl.Series:
    """`result_json` of every row: a frame's as an object, a series' as its value; null gives `{}`."""
    import polars as pl

    if isinstance(results, pl.Series):
        return pl.select(pl.when(results.is_null()).then(pl.lit("{}")).otherwise(_json(results))).to_series()
    pieces: list[Any] = []
    for number, column in enumerate(results):
        name = orjson.dumps(column.name).decode()
        pieces += [pl.lit(("," if number else "{") + name + ":"), _json(column)]
    return pl.select(pl.concat_str([*pieces, pl.lit("}")])).to_series()


def _quoted(column: pl.Series) -> pl.Series:
    import polars as pl

    needs = column.str.contains(_SPECIAL)
    if not needs.any():
        return column
    return pl.select(pl.when(needs).then(_in_quotes(column)).otherwise(column)).to_series()


def _in_quotes(column: pl.Series) -> pl.Series:
    import polars as pl

    doubled = column.str.replace_all('"', '""', literal=True)
    return pl.select(pl.concat_str(pl.lit('"'), doubled, pl.lit('"'))).to_series()


def _json(column: pl.Series) -> pl.Series:
    """JSON of every value."""
    import polars as pl

    if column.dtype.is_integer() or column.dtype == pl.Boolean:
        texts = column.cast(pl.String)
    elif column.dtype == pl.String and not column.str.contains(_ESCAPED).any():
        texts = pl.select(pl.concat_str(pl.lit('"'), column, pl.lit('"'))).to_series()
    else:
        # Floats, dates, lists: polars writes some of them otherwise.
        return pl.Series(results_json(column_values(column)), dtype=pl.String)
    return texts.fill_null("null")
