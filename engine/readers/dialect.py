"""Which delimiter and quote a CSV uses, judged by a sample of its text."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

#: In the order of preference when two explain the sample equally well.
DELIMITERS: tuple[str, ...] = (",", ";", "\t", "|")
QUOTES: tuple[str, ...] = ('"', "'")
#: Records looked at; more do not change the verdict on files seen so far, and cost milliseconds each.
_SAMPLE_RECORDS = 300
_SAMPLE_CHARACTERS = 64 * 1024
#: A cell that holds none of the other candidates, or is a number with decimal or thousands marks.
_PLAIN_CELL = re.compile(r"[^,;\t|]*|[+-]?[\d.,' ]*\d%?")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A delimiter, a quote, and how well they explain the sample."""

    delimiter: str
    quote_char: str
    confidence: float
    """Share of the sample's records that have the usual number of cells; 0.0 where nothing was found."""


def detect_dialect(text: str, *, is_whole: bool, delimiters: Sequence[str] = DELIMITERS) -> Verdict:
    """Judge a sample from the start of a source.

    Args:
        text: the sample; need not end with a whole record.
        is_whole: whether the sample is the whole source, so that its last record counts.
        delimiters: candidates.

    Each candidate cuts the sample; the one whose records agree most on their number of cells wins,
    less where its cells hold other candidates. A text that no candidate cuts has one column.
    """
    sample = text[:_SAMPLE_CHARACTERS]
    is_whole = is_whole and len(sample) == len(text)
    quote = _quote(sample, delimiters)
    best, best_score = Verdict(",", quote, 0.0), 0.0
    for delimiter in delimiters:
        if delimiter not in sample or delimiter == quote:
            continue
        records = _records(sample, delimiter, quote, is_whole=is_whole)
        widths = Counter(len(record) for record in records if record)
        if not widths:
            continue
        width, agreeing = max(widths.items(), key=lambda item: (item[1] * (item[0] > 1), item[0]))
        if width < 2:
            continue
        agreement = agreeing / sum(widths.values())
        cells = [cell for record in records for cell in record]
        plain = sum(_PLAIN_CELL.fullmatch(cell) is not None for cell in cells) / len(cells)
        score = agreement * plain * (1 - 0.5 / width)
        if score > best_score + 1e-9:
            best, best_score = Verdict(delimiter, quote, round(agreement, 3)), score
    return best


def _quote(sample: str, delimiters: Sequence[str]) -> str:
    edges = "".join(re.escape(delimiter) for delimiter in delimiters)
    counts = {
        quote: len(re.findall(rf"(?:^|[{edges}]){quote}[^{quote}\r\n]*{quote}(?=[{edges}]|$)", sample, re.MULTILINE))
        for quote in QUOTES
    }
    # An apostrophe at the edge of a word is common, so it must clearly prevail.
    return "'" if counts["'"] > 2 * counts['"'] and counts["'"] > 1 else '"'


def _records(sample: str, delimiter: str, quote: str, *, is_whole: bool) -> list[list[str]]:
    lines = re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$", sample)
    reader = csv.reader(lines, delimiter=delimiter, quotechar=quote)
    records: list[list[str]] = []
    try:
        records.extend(islice(reader, _SAMPLE_RECORDS))
    except csv.Error:  # a cell longer than csv's limit: judge by the records before it
        return records
    if not is_whole and len(records) < _SAMPLE_RECORDS and len(records) > 1:
        records.pop()  # the sample may end in the middle of it
    return records
