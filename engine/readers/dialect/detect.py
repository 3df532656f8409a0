"""The choice among all candidates."""

from __future__ import annotations

from collections.abc import Sequence

from engine.readers.dialect.escapes import with_escape, with_escaped_line_ends
from engine.readers.dialect.quotes import has_blanks_before_quotes, quote_of
from engine.readers.dialect.score import is_better_table, is_column_of_decimals, judge
from engine.readers.dialect.verdict import DELIMITERS, ESCAPE, WEAK_DELIMITERS, Verdict

_SAMPLE_CHARACTERS = 64 * 1024
#: What the score of the decimal mark is worth as a delimiter.
_DECIMAL_WEIGHT = 0.01


def detect_dialect(
    text: str,
    *,
    is_whole: bool,
    delimiter: str | None = None,
    quote_char: str | None = None,
    escape_char: str | None = None,
    decimal: str | None = None,
    later: Sequence[str] = (),
) -> Verdict:
    """Judge a sample from the start of a source.

    Args:
        text: the sample; need not end with a whole record.
        is_whole: whether the sample is the whole source, so that its last record counts.
        delimiter: the one to use; None to find it.
        quote_char: the one to use, "" for none; None to find it.
        escape_char: the one to use, "" for none; None to find it.
        decimal: the decimal mark of its numbers, which then is no delimiter unless nothing else is one.
        later: samples from further on, cut anywhere, which may use quotes and escapes that the first does not.

    Returns:
        The verdict; a text that no candidate cuts has one column. An escape character is found only
        where without one there would be broken or ragged records; quotes mean nothing where it makes lines one row.
    """
    sample = text[:_SAMPLE_CHARACTERS]
    is_whole = is_whole and len(sample) == len(text)
    later = [text[len(sample) :], *later]
    best: Verdict | None = None
    best_score = 0.0
    decimal_mark = "," if is_column_of_decimals(sample) else None
    for candidate in (delimiter,) if delimiter else (*DELIMITERS, *WEAK_DELIMITERS):
        if candidate == decimal_mark and not delimiter:
            continue
        if candidate == quote_char or (candidate not in sample and not delimiter):
            continue
        for verdict in _forms(sample, later, candidate, quote_char, escape_char):
            verdict, score = judge(verdict, sample, is_whole=is_whole)
            if candidate == decimal:
                score *= _DECIMAL_WEIGHT
            if best is None or score > best_score + 1e-9 or is_better_table(verdict, score, best, sample, is_whole):
                best, best_score = verdict, score
    if best is None or (best_score == 0.0 and not delimiter):
        best = Verdict(
            delimiter=next(each for each in DELIMITERS if each not in (quote_char, decimal_mark)),
            quote_char=quote_of(sample, ",", later) if quote_char is None else quote_char,
            escape_char=escape_char or None,
        )
    if escape_char is None:
        best = with_escape(best, [sample, *later])
    if quote_char is None and escape_char in (None, ESCAPE):
        best = with_escaped_line_ends(best, [sample, *later])
    return best


def _forms(
    sample: str, later: Sequence[str], delimiter: str, quote_char: str | None, escape_char: str | None
) -> list[Verdict]:
    """The dialects with that delimiter that are worth a look: the plain one first."""
    quote = quote_of(sample, delimiter, later) if quote_char is None else quote_char
    blanks = bool(quote) and delimiter != " " and has_blanks_before_quotes([sample, *later], delimiter, quote)
    escapes = [escape_char or None]
    if (
        escape_char is None
        and ESCAPE not in (quote, delimiter)
        and any(ESCAPE + special in sample for special in (quote or delimiter, delimiter))
    ):
        escapes.append(ESCAPE)
    return [
        Verdict(delimiter=delimiter, quote_char=quote, escape_char=escape, blanks_before_quotes=blanks)
        for escape in escapes
    ]
