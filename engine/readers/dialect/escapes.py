"""Escape characters, where the sample that was judged has none and places further on cannot do without."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from engine.model import Dialect
from engine.readers.dialect.quotes import has_quoted_cells
from engine.readers.dialect.verdict import ESCAPE, Verdict
from engine.readers.sample import sample_records

#: Before and behind the first place of a text in which an escape may stand, what is looked at.
_WINDOW_CHARACTERS = 4 * 1024
_LINE_END = re.compile(r"\r\n|\n|\r")


def with_escape(verdict: Verdict, texts: Sequence[str]) -> Verdict:
    """The verdict, with an escape character where places that were not judged cannot do without."""
    specials = [special for special in (verdict.quote_char, verdict.delimiter) if special]
    if verdict.escape_char or ESCAPE in specials:
        return verdict
    telling = [window for text in texts for special in specials for window in _window(text, ESCAPE + special)]
    if not telling:
        return verdict
    plain = verdict.dialect()
    escaping = Verdict(
        delimiter=verdict.delimiter,
        quote_char=verdict.quote_char,
        escape_char=ESCAPE,
        blanks_before_quotes=verdict.blanks_before_quotes,
        confidence=verdict.confidence,
        quote_confidence=verdict.quote_confidence,
    )
    without, within = _irregular(telling, plain), _irregular(telling, escaping.dialect())
    return escaping if within < without else verdict


def with_escaped_line_ends(verdict: Verdict, texts: Sequence[str]) -> Verdict:
    """The verdict, without quotes and with an escape character where only these make rows of lines.

    MySQL exports like this: it escapes the line ends in its cells, and quotes nothing.
    """
    quote = verdict.quote_char
    telling = [window for text in texts for end in ("\n", "\r") for window in _window(text, ESCAPE + end)]
    if (
        not telling
        or verdict.delimiter == ESCAPE
        or quote == ESCAPE
        or has_quoted_cells(texts, verdict.delimiter, quote)
    ):
        return verdict
    escaping = replace(verdict, quote_char="", escape_char=ESCAPE)
    without, within = _irregular(telling, verdict.dialect()), _irregular(telling, escaping.dialect())
    return escaping if within < without else verdict


def _window(text: str, mark: str) -> list[str]:
    """The text around the first place of a mark, if it has one, from a line end on."""
    place = text.find(mark)
    if place < 0:
        return []
    piece = text[max(0, place - _WINDOW_CHARACTERS) : place + _WINDOW_CHARACTERS]
    if place <= _WINDOW_CHARACTERS:
        return [piece]
    first_end = _LINE_END.search(piece, 0, _WINDOW_CHARACTERS)
    return [piece[first_end.end() :]] if first_end is not None else []


def _irregular(texts: Sequence[str], dialect: Dialect) -> int:
    """How many records are broken, not of the usual number of cells, or have an escaped quote amid a cell."""
    quote = dialect.quote_char
    border = re.escape(dialect.delimiter + (quote or ""))
    odd = re.compile(rf"{re.escape(ESCAPE + quote)}[^{border}\r\n]") if quote else None
    irregular = 0
    for text in texts:
        records = list(sample_records(text, dialect, is_whole=False))
        widths = Counter(len(record.cells) for record in records if not record.is_broken)
        irregular += len(records) - max(widths.values(), default=0)
        if odd is not None and dialect.escape_char is None:
            irregular += sum(odd.search(record.text) is not None for record in records)
    return irregular
