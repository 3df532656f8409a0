"""Rows of dialects with escapes, or with blanks before quotes, by `csv.reader` all the same.

`csv.reader` reads both otherwise than the exact rule of `records`: to it an escape has power over any
character, and blanks are left out before every cell or before none. So each escape with the character
that it has power over, and each blank that stays, is written in another way before: by a control
character that the text does not hold, and a letter. What `csv.reader` makes of the rest is the exact
rule, and in the cells the marks become again what they stand for. Most rows hold none.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from engine.model import Dialect

#: One that the text does not hold is the mark.
_CONTROLS = tuple(chr(code) for code in (*range(1, 9), *range(14, 27)))
_LETTERS = "edqnr"


def marked_rows(data: bytes, dialect: Dialect) -> Iterator[list[str]] | None:
    """The rows of whole records none of which is broken; None where they have to be read by the exact rule.

    Args:
        data: bytes that decode, beginning at a record's start.
        dialect: of any kind.
    """
    if dialect.skip_initial_space == "quoted" and dialect.quote_char is None:
        dialect = replace(dialect, skip_initial_space="never")
    specials = (dialect.delimiter, dialect.quote_char, dialect.escape_char)
    if " " in specials and dialect.skip_initial_space != "never":
        return None  # what is a blank, and what separates cells, is for the exact rule to say
    if any(special and special in _LETTERS for special in specials):
        return None
    unused = (control for control in _CONTROLS if control.encode() not in data and control not in specials)
    mark, separator = next(unused, None), next(unused, None)
    if mark is None or separator is None:
        return None
    return _rows(_with_marks(data, dialect, mark.encode()), dialect, mark, separator)


def _with_marks(data: bytes, dialect: Dialect, mark: bytes) -> bytes:
    escape, delimiter = (dialect.escape_char or "").encode("ascii"), dialect.delimiter.encode("ascii")
    quote = (dialect.quote_char or "").encode("ascii")
    if escape and escape in data:
        # Of several escapes in a row the first has power over the second, and so on.
        data = data.replace(escape + escape, mark + b"e").replace(escape + delimiter, mark + b"d")
        if quote:
            data = data.replace(escape + quote, mark + b"q")
        else:
            data = data.replace(escape + b"\n", mark + b"n").replace(escape + b"\r", mark + b"r")
    if dialect.skip_initial_space == "quoted":
        data = _with_kept_blanks(data, delimiter, quote, mark)
    return data


def _with_kept_blanks(data: bytes, delimiter: bytes, quote: bytes, mark: bytes) -> bytes:
    """A mark before the blanks with which cells begin, if no quote stands behind them."""
    if data.startswith(b" "):
        data = mark + data
    for edge in (delimiter, b"\n", b"\r"):
        data = data.replace(edge + b" ", edge + mark + b" ")
    data = data.replace(mark + b" " + quote, b" " + quote)
    if mark + b"  " in data:
        data = re.sub(re.escape(mark) + rb"(  ++" + re.escape(quote) + rb")", rb"\1", data)
    return data


def _rows(data: bytes, dialect: Dialect, mark: str, separator: str) -> Iterator[list[str]]:
    """The rows, the marks in them undone; `separator` is another character that the text does not hold."""
    escape, quote = dialect.escape_char, dialect.quote_char
    meanings = zip(_LETTERS + " ", (escape, dialect.delimiter, quote, "\n", "\r", " "), strict=True)
    undo = [(mark + letter, meaning) for letter, meaning in meanings if meaning]
    if escape and quote:
        # Before a line end in quotes an escape is left out; elsewhere a cell has none.
        undo = [(escape + "\r", "\r"), (escape + "\n", "\n"), *undo]
    options = {**reader_options(dialect), "skipinitialspace": dialect.skip_initial_space != "never"}
    is_touched = False

    def lines() -> Iterator[str]:
        nonlocal is_touched
        open_ends = (f"{escape}\n", f"{escape}\r\n", f"{escape}\r") if escape and quote else ()
        for line in io.TextIOWrapper(io.BytesIO(data), encoding=dialect.encoding, newline=""):
            is_touched = is_touched or mark in line or (bool(open_ends) and line.endswith(open_ends))
            yield line

    for row in csv.reader(lines(), **options):
        if is_touched:
            is_touched = False
            text = separator.join(row)
            for written, meaning in undo:
                if written in text:
                    text = text.replace(written, meaning)
            row = text.split(separator)
        yield row


def reader_options(dialect: Dialect) -> dict[str, Any]:
    """Keyword arguments of `csv.reader` for a dialect's delimiter and quote."""
    if dialect.quote_char is None:
        return {"delimiter": dialect.delimiter, "quoting": csv.QUOTE_NONE, "quotechar": None}
    return {"delimiter": dialect.delimiter, "quotechar": dialect.quote_char}
