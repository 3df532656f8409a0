"""Which delimiter and quote a CSV uses, judged by a sample of its text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from engine.model import Dialect
from engine.readers.records import RecordSplitter

#: In the order of preference when two explain the sample equally well.
DELIMITERS: tuple[str, ...] = (",", ";", "\t", "|")
QUOTES: tuple[str, ...] = ('"', "'")
#: Records looked at; more do not change the verdict on files seen so far, and cost milliseconds each.
_SAMPLE_RECORDS = 300
_SAMPLE_CHARACTERS = 64 * 1024
#: A cell that holds no other candidate, or is a number with decimal or thousands marks.
_PLAIN_CELL = re.compile(r"[^,;\t|]*|[+-]?[\d.,' ]*\d%?")
#: A cell in which commas and semicolons are followed by a space, as in a sentence.
_PROSE_CELL = re.compile(r"(?:[^,;\t|]|[,;](?: |$))*")
_PROSE_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class Verdict:
    """A delimiter, a quote, and how well they explain the sample."""

    delimiter: str
    quote_char: str
    """Empty where quotes mean nothing."""
    confidence: float
    """Share of the sample's records that have the usual number of cells; 0.0 where nothing was found."""


def detect_dialect(
    text: str, *, is_whole: bool, delimiters: Sequence[str] = DELIMITERS, quote_char: str | None = None
) -> Verdict:
    """Judge a sample from the start of a source.

    Args:
        text: the sample; need not end with a whole record.
        is_whole: whether the sample is the whole source, so that its last record counts.
        delimiters: candidates.
        quote_char: the one to use, "" for none; None to find it too.

    Each candidate cuts the sample; the one whose records agree most on their number of cells wins,
    less where its cells hold other candidates, or quotes in other places than at both ends. A text
    that no candidate cuts has one column.
    """
    sample = text[:_SAMPLE_CHARACTERS]
    is_whole = is_whole and len(sample) == len(text)
    quote = _quote(sample, delimiters) if quote_char is None else quote_char
    candidates = [delimiter for delimiter in delimiters if delimiter != quote]
    best, best_score = Verdict(candidates[0] if candidates else ",", quote, 0.0), 0.0
    for delimiter in candidates:
        if delimiter not in sample:
            continue
        records = [cells for cells in _records(sample, delimiter, quote, is_whole=is_whole) if cells != [""]]
        widths = Counter(map(len, records))
        if not widths:
            continue
        width, agreeing = max(widths.items(), key=lambda item: (item[1] * (item[0] > 1), item[0]))
        if width < 2:
            continue
        agreement = agreeing / len(records)
        cells = [cell for record in records for cell in record]
        plainness = sum(_plainness(cell, quote) for cell in cells) / len(cells)
        score = agreement * plainness**2 * (1 - 0.5 / width)
        if sum(cell.startswith(" ") for cell in cells) >= 0.9 * (len(cells) - len(records)):
            score *= _PROSE_WEIGHT
        if score > best_score + 1e-9:
            best, best_score = Verdict(delimiter, quote, round(agreement, 3)), score
    return best


def _quote(sample: str, delimiters: Sequence[str]) -> str:
    edges = "".join(re.escape(delimiter) for delimiter in delimiters)
    counts = {}
    for quote in QUOTES:
        if quote not in delimiters:
            opening = rf"(?:^|(?<=[{edges}])){quote}"
            whole = rf"{opening}(?:[^{quote}\r\n]++|{quote}{quote})*+{quote}(?=[{edges}\r\n]|$)"
            counts[quote] = len(re.findall(whole, sample, re.MULTILINE))
            # An apostrophe at the start of a cell may be a word's own: nearly all must close.
            if quote == "'" and counts[quote] < 0.9 * len(re.findall(opening, sample, re.MULTILINE)):
                counts[quote] = 0
    if counts.get("'", 0) > max(1, 2 * counts.get('"', 0)):
        return "'"
    return '"' if '"' in counts else ""


def _plainness(cell: str, quote: str) -> float:
    """How much a cell looks like one: 1.0, less for a sentence, 0.0 where it should have been cut or quoted."""
    if quote and quote in cell:
        inside = cell[1:-1]
        is_quoted = len(cell) > 1 and cell[0] == cell[-1] == quote and quote not in inside.replace(2 * quote, "")
        return float(is_quoted)
    if _PLAIN_CELL.fullmatch(cell):
        return 1.0
    return _PROSE_WEIGHT if _PROSE_CELL.fullmatch(cell) else 0.0


def _records(sample: str, delimiter: str, quote: str, *, is_whole: bool) -> list[list[str]]:
    """The sample's records as raw cells, quotes included."""
    data = sample.encode("utf-8", "replace")
    splitter = RecordSplitter(Dialect(delimiter=delimiter, quote_char=quote or None), max_record_bytes=len(data))
    spans = list(islice(splitter.split(data, is_last=is_whole), _SAMPLE_RECORDS))
    if len(spans) < _SAMPLE_RECORDS and (not spans or spans[-1].end < len(data) / 2):
        # A quote that is open until the end of the sample is rather a stray one.
        spans = list(islice(splitter.split(data, is_last=True), _SAMPLE_RECORDS))
    end, mark = re.escape(delimiter), re.escape(quote)
    cell = f"[^{end}]*"
    if quote:
        cell = f"{mark}(?:[^{mark}]|{mark}{mark})*+{mark}{cell}|{cell}"
    cells = re.compile(f"({cell})(?:{end}|\\Z)")
    records = []
    for span in spans:
        record = data[span.start : span.end].decode("utf-8").rstrip("\r\n")
        if span.broken_cell is not None:
            records.append(record.split(delimiter))
        else:
            # Where the record does not end with a delimiter, the pattern matches once more behind its last cell.
            found = cells.findall(record)
            records.append(found if record.endswith(delimiter) or not record else found[:-1])
    return records
