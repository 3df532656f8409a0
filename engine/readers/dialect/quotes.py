"""Quotes: which character they are, and what stands before them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

#: Of a quoted cell, in one piece, and pieces of it between doubled quotes and escapes; longer ones do not count.
_QUOTED_CHARACTERS = 500
_QUOTED_PIECES = 50
#: What stands before each of so many is looked at faster than a text is searched for each pair.
_FEW_QUOTES = 5_000


def quote_of(sample: str, delimiter: str, later: Sequence[str]) -> str:
    """The character that quotes cells between these delimiters, the usual one where nothing speaks for another."""
    if delimiter == "'":
        return '"'
    usual = "" if delimiter == '"' else '"'
    apostrophes = _quoted(sample, delimiter, "'", later)
    # An apostrophe at the start of a cell may be a word's own: nearly all must close, one alone not do.
    needs_quotes = any(delimiter in content or "''" in content for content in apostrophes)
    if not apostrophes or (len(apostrophes) < 2 and not needs_quotes):
        return usual
    opening = _quoted_cells(delimiter, "'")[1]
    texts = [text for text in (sample, *later) if _may_open(text, delimiter, "'")]
    if len(apostrophes) < 0.9 * sum(len(opening.findall(text)) for text in texts):
        return usual
    return "'" if not usual or len(apostrophes) > 2 * len(_quoted(sample, delimiter, usual, later)) else usual


def has_quoted_cells(texts: Sequence[str], delimiter: str, quote: str) -> bool:
    """Whether any cell stands in quotes."""
    return bool(quote) and bool(_quoted("", delimiter, quote, texts))


def has_blanks_before_quotes(texts: Sequence[str], delimiter: str, quote: str) -> bool:
    """Whether quoted cells, as far as they are not the first of their line, stand behind blanks more often than not."""
    edge, mark = re.escape(delimiter), re.escape(quote)
    behind = rf"{mark}[^{mark}\r\n]*+{mark}(?=[{edge}\r\n]|$)"
    counts = [0, 0]
    for text in texts:
        if f"{delimiter} {quote}" in text or f"{delimiter}  " in text:
            counts[0] += len(re.findall(rf"(?<={edge}) ++{behind}", text, re.MULTILINE))
            counts[1] += len(re.findall(rf"(?<={edge}){behind}", text, re.MULTILINE))
    return counts[0] > counts[1]


def is_quoted(cell: str) -> bool:
    """Whether it begins and ends with the same quote."""
    return len(cell) > 1 and cell[0] == cell[-1] and cell[0] in "\"'"


def _quoted(sample: str, delimiter: str, quote: str, later: Sequence[str]) -> list[str]:
    """What stands in whole quoted cells."""
    whole = _quoted_cells(delimiter, quote)[0]
    texts = [text for text in (sample, *later) if _may_open(text, delimiter, quote)]
    return [content for text in texts for content in whole.findall(text)]


def _may_open(text: str, delimiter: str, quote: str) -> bool:
    """Whether it is worth looking for quoted cells, which takes many times as long."""
    before = (delimiter, "\n", "\r") if delimiter == " " else (delimiter, "\n", "\r", " ")
    if text.startswith(quote):
        return True
    if text.count(quote) > _FEW_QUOTES:
        return any(edge + quote in text for edge in before)
    return any(piece.endswith(before) for piece in text.split(quote)[:-1])


@lru_cache(maxsize=64)
def _quoted_cells(delimiter: str, quote: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What finds whole quoted cells, and what finds their beginnings."""
    edge = re.escape(delimiter)
    opening = rf"(?:^|(?<={edge})){'' if delimiter == ' ' else ' *+'}{quote}"
    # Bounded, so that openings that never close do not each look through the whole text.
    content = rf"(?:[^{quote}\\]{{1,{_QUOTED_CHARACTERS}}}+|{quote}{quote}|\\[\s\S]){{0,{_QUOTED_PIECES}}}+"
    whole = rf"{opening}({content}){quote}(?=[{edge}\r\n]|$)"
    return re.compile(whole, re.MULTILINE), re.compile(opening, re.MULTILINE)
