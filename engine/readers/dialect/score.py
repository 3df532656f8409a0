"""How well a candidate explains a sample."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice

from engine.readers.dialect.verdict import UNTESTED, WEAK_DELIMITERS, Verdict
from engine.readers.dialect.weak_delimiters import (
    NAME,
    WEAK_SHARE,
    is_below_one_name,
    is_colon_table,
    is_spaced_table,
    without_titles_and_footers,
)
from engine.readers.sample import sample_records

#: Records looked at; more do not change the verdict on files seen so far, and cost milliseconds each.
_SAMPLE_RECORDS = 300
#: A cell that holds no other candidate, or is a number with decimal or thousands marks, a time, an address, a path.
_PLAIN_CELL = re.compile(
    r"[^,;\t|^~:]*"
    r"|[+-]?[\d.,' ]*\d%?"
    r"|(?:[\d./-]+[ T])?\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?[AaPp][Mm])?(?:Z|[+-]\d\d:?\d\d)?"
    r"|[A-Za-z][A-Za-z+.-]*://\S*"
    r"|[A-Za-z]:\\[^\t|]*"
)
#: A cell in which commas, semicolons and colons are followed by a space, as in a sentence.
_PROSE_CELL = re.compile(r"(?:[^,;\t|^~:]|[,;:](?: |$))*")
_PROSE_WEIGHT = 0.5
_DECIMAL_COMMA = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})*,\d+|[+-]?\d+,\d+")
#: Below this share of records that agree on a delimiter, a weak one on which all agree is looked at again.
_RAGGED_SHARE = 0.95


def judge(verdict: Verdict, sample: str, *, is_whole: bool) -> tuple[Verdict, float]:
    """The verdict with its confidence, and a score to compare it by; 0.0 where it cuts nothing."""
    records = list(islice(sample_records(sample, verdict.dialect(), is_whole=is_whole), _SAMPLE_RECORDS))
    widths = Counter(len(record.cells) for record in records if record.cells != [""])
    if not widths:
        return verdict, 0.0
    width, agreeing = max(widths.items(), key=lambda item: (item[1] * (item[0] > 1), item[0]))
    if width < 2:
        return verdict, 0.0
    delimiter, quote = verdict.delimiter, verdict.quote_char
    table = [record for record in records if record.cells != [""]]
    share = agreeing / len(table)
    cells = [cell for record in table for cell in record.cells]
    plainness = [_plainness(cell, verdict) for cell in cells]
    score = share * (sum(plainness) / len(cells)) ** 2 * (1 - 0.5 / width)
    if delimiter in WEAK_DELIMITERS:
        core = without_titles_and_footers(table, width)
        is_table = is_spaced_table if delimiter == " " else is_colon_table
        if is_below_one_name(core, table):
            return verdict, 0.0
        if sum(len(record.cells) == width for record in core) < WEAK_SHARE * len(core) or not is_table(core, width):
            return verdict, 0.0
        score /= share or 1.0
        score *= WEAK_DELIMITERS[delimiter]
    elif _follow_blanks(cells, len(table)):
        score *= _PROSE_WEIGHT
    quoted = [weight > 0 for cell, weight in zip(cells, plainness, strict=True) if quote and quote in cell]
    found = Verdict(
        delimiter=delimiter,
        quote_char=quote,
        escape_char=verdict.escape_char,
        blanks_before_quotes=verdict.blanks_before_quotes,
        confidence=round(share, 3),
        quote_confidence=round(sum(quoted) / len(quoted), 3) if quoted else UNTESTED,
    )
    return found, score


def is_column_of_decimals(sample: str) -> bool:
    """Whether below a header of one cell, which may come again, each line is a number with a decimal comma."""
    header, *lines = sample.strip("\r\n").splitlines() or [""]
    numbers = [line for line in lines[:_SAMPLE_RECORDS] if line != header]
    return "," not in header and bool(numbers) and all(map(_DECIMAL_COMMA.fullmatch, numbers))


def is_better_table(verdict: Verdict, score: float, best: Verdict, sample: str, is_whole: bool) -> bool:
    """Whether a weak delimiter cuts all records alike, below a header of names, where the best one so far does not."""
    if verdict.delimiter not in WEAK_DELIMITERS or not score or best.confidence >= _RAGGED_SHARE:
        return False
    records = list(islice(sample_records(sample, verdict.dialect(), is_whole=is_whole), _SAMPLE_RECORDS))
    table = [record for record in records if record.cells != [""]]
    width = Counter(len(record.cells) for record in table).most_common(1)[0][0]
    core = without_titles_and_footers(table, width)
    if 2 * sum(any(cell.endswith(best.delimiter) for cell in record.cells) for record in core) > len(core):
        return False  # blanks behind commas separate nothing
    header = [cell.strip("\"'") for cell in core[0].cells]
    is_named = len(set(header)) == width and all(map(NAME.fullmatch, header))
    return len(core) > 1 and is_named and all(len(record.cells) == width for record in core)


def _follow_blanks(cells: Sequence[str], records: int) -> bool:
    """Whether nearly all cells but the first of each record begin with a blank, as the parts of a sentence do."""
    return sum(cell.startswith(" ") for cell in cells) >= 0.9 * (len(cells) - records)


def _plainness(cell: str, verdict: Verdict) -> float:
    """How much a cell looks like one: 1.0, less for a sentence, 0.0 where it should have been cut or quoted."""
    quote, escape = verdict.quote_char, verdict.escape_char
    if escape and escape in cell:
        cell = re.sub(rf"{re.escape(escape)}.", "", cell, flags=re.DOTALL)
    if verdict.blanks_before_quotes:
        cell = cell.lstrip(" ")
    if quote and quote in cell:
        inside = cell[1:-1]
        is_quoted = len(cell) > 1 and cell[0] == cell[-1] == quote and quote not in inside.replace(2 * quote, "")
        return float(is_quoted)
    if _PLAIN_CELL.fullmatch(cell):
        return 1.0
    return _PROSE_WEIGHT if _PROSE_CELL.fullmatch(cell) else 0.0
