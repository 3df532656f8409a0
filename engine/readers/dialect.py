"""Which delimiter, quote and escape a CSV uses, judged by a sample of its text.

Each candidate cuts the sample by the exact rule; the one whose records agree most on their number
of cells wins, less where its cells hold other candidates, or quotes in other places than at both
ends. What is looked at is bounded, so that no text takes longer than a fraction of a second.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from engine.model import Dialect
from engine.readers.sample import SampleRecord, sample_records

#: In the order of preference when two explain the sample equally well.
DELIMITERS: tuple[str, ...] = (",", ";", "\t", "|", "^", "~")
#: Candidate → what its score is worth beside the others': texts are full of these characters.
WEAK_DELIMITERS: dict[str, float] = {":": 0.45, " ": 0.5}
ESCAPE = "\\"
#: Records looked at; more do not change the verdict on files seen so far, and cost milliseconds each.
_SAMPLE_RECORDS = 300
_SAMPLE_CHARACTERS = 64 * 1024
#: Before and behind the first place of a text in which an escape may stand, what is looked at.
_WINDOW_CHARACTERS = 4 * 1024
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
_LINE_END = re.compile(r"\r\n|\n|\r")
#: In it a colon is no delimiter.
_COLON_TEXT = re.compile(r"\b\d{1,2}:\d\d(?::\d\d)?\b|[A-Za-z]://|\b[A-Za-z]:\\\\|: ")
#: A number, an address: what stands in a column of its own.
_TYPED_WORD = re.compile(r"[+-]?\d[\d.,]*%?|[^\s@]+@[^\s@]+\.\w+|[a-z]+://\S+")
_TIME_WORD = re.compile(r"\d{1,2}:\d\d(?::\d\d)?")
_DATE_WORD = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}")
#: The name of a column.
_NAME = re.compile(r"[^\W\d]\w*")
#: Below this share of records that agree on a delimiter, a weak one on which all agree is looked at again.
_RAGGED_SHARE = 0.95
#: What the score of the decimal mark is worth as a delimiter.
_DECIMAL_WEIGHT = 0.01
#: So many rows of the same three or more words are no sentences.
_TELLING_ROWS = 3
#: So many of them may have an odd one among them.
_MANY_ROWS = 10
#: Titles and footers, together.
_FEW_AROUND = 3
#: Share of records that must agree on a weak delimiter.
_WEAK_SHARE = 0.9
#: Of a quoted cell, in one piece, and pieces of it between doubled quotes and escapes; longer ones do not count.
_QUOTED_CHARACTERS = 500
_QUOTED_PIECES = 50
#: Confidence in what nothing in the sample speaks for or against.
UNTESTED = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A dialect, and how well it explains the sample."""

    delimiter: str
    quote_char: str
    """Empty where quotes mean nothing."""
    escape_char: str | None = None
    blanks_before_quotes: bool = False
    """Whether blanks stand between delimiters and opening quotes."""
    confidence: float = 0.0
    """Share of the sample's records that have the usual number of cells; 0.0 where nothing was found."""
    quote_confidence: float = UNTESTED
    """Share of the cells with a quote in which it stands where quotes do."""

    def dialect(self, encoding: str = "utf-8") -> Dialect:
        """As a value of the plan."""
        return Dialect(
            delimiter=self.delimiter,
            quote_char=self.quote_char or None,
            escape_char=self.escape_char,
            skip_initial_space="quoted" if self.blanks_before_quotes else "never",
            encoding=encoding,
        )


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
        where without one there would be broken or ragged records.
    """
    sample = text[:_SAMPLE_CHARACTERS]
    is_whole = is_whole and len(sample) == len(text)
    later = [text[len(sample) :], *later]
    best: Verdict | None = None
    best_score = 0.0
    for candidate in (delimiter,) if delimiter else (*DELIMITERS, *WEAK_DELIMITERS):
        if candidate == quote_char or (candidate not in sample and not delimiter):
            continue
        for verdict in _forms(sample, later, candidate, quote_char, escape_char):
            verdict, score = _judge(verdict, sample, is_whole=is_whole)
            if candidate == decimal:
                score *= _DECIMAL_WEIGHT
            if best is None or score > best_score + 1e-9 or _is_better_table(verdict, score, best, sample, is_whole):
                best, best_score = verdict, score
    if best is None or (best_score == 0.0 and not delimiter):
        best = Verdict(
            delimiter=next(each for each in DELIMITERS if each != quote_char),
            quote_char=_quote(sample, ",", later) if quote_char is None else quote_char,
            escape_char=escape_char or None,
        )
    return _with_escape(best, [sample, *later]) if escape_char is None else best


def _forms(
    sample: str, later: Sequence[str], delimiter: str, quote_char: str | None, escape_char: str | None
) -> list[Verdict]:
    """The dialects with that delimiter that are worth a look: the plain one first."""
    quote = _quote(sample, delimiter, later) if quote_char is None else quote_char
    blanks = bool(quote) and delimiter != " " and _has_blanks_before_quotes([sample, *later], delimiter, quote)
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


def _judge(verdict: Verdict, sample: str, *, is_whole: bool) -> tuple[Verdict, float]:
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
        core = _core(table, width)
        is_table = _is_spaced_table if delimiter == " " else _is_colon_table
        if _is_below_one_name(core, table):
            return verdict, 0.0
        if sum(len(record.cells) == width for record in core) < _WEAK_SHARE * len(core) or not is_table(core, width):
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


def _is_better_table(verdict: Verdict, score: float, best: Verdict, sample: str, is_whole: bool) -> bool:
    """Whether a weak delimiter cuts all records alike, below a header of names, where the best one so far does not."""
    if verdict.delimiter not in WEAK_DELIMITERS or not score or best.confidence >= _RAGGED_SHARE:
        return False
    records = list(islice(sample_records(sample, verdict.dialect(), is_whole=is_whole), _SAMPLE_RECORDS))
    table = [record for record in records if record.cells != [""]]
    width = Counter(len(record.cells) for record in table).most_common(1)[0][0]
    core = _core(table, width)
    if 2 * sum(any(cell.endswith(best.delimiter) for cell in record.cells) for record in core) > len(core):
        return False  # blanks behind commas separate nothing
    header = [cell.strip("\"'") for cell in core[0].cells]
    is_named = len(set(header)) == width and all(map(_NAME.fullmatch, header))
    return len(core) > 1 and is_named and all(len(record.cells) == width for record in core)


def _follow_blanks(cells: Sequence[str], records: int) -> bool:
    """Whether nearly all cells but the first of each record begin with a blank, as the parts of a sentence do."""
    return sum(cell.startswith(" ") for cell in cells) >= 0.9 * (len(cells) - records)


def _core(records: Sequence[SampleRecord], width: int) -> Sequence[SampleRecord]:
    """The records without titles above and footers below, as far as these are few.

    A title may by chance have as many words as the table has columns: the records above an odd one, among the first
    few, are titles, too, if there are more below it.
    """
    agreeing = [len(record.cells) == width for record in records]
    first = max(
        (
            number + 1
            for number in range(min(_FEW_AROUND, len(agreeing)))
            if not agreeing[number] and sum(agreeing[number:]) > sum(agreeing[:number])
        ),
        default=0,
    )
    first += next((number for number, agrees in enumerate(agreeing[first:]) if agrees), len(records))
    last = len(records) - next((number for number, agrees in enumerate(reversed(agreeing)) if agrees), 0)
    is_few = len(records) - (last - first) <= max(_FEW_AROUND, len(records) // 10)
    return records[first:last] if is_few and last - first > 1 else records


def _is_below_one_name(core: Sequence[SampleRecord], table: Sequence[SampleRecord]) -> bool:
    """Whether a single name stands above records that do not begin with a header: it is that of their only column."""
    above = table[: next(number for number, record in enumerate(table) if record is core[0])]
    if not above or len(above[-1].cells) > 1 or not _NAME.fullmatch(above[-1].cells[0]):
        return False
    return not all(_NAME.fullmatch(cell.strip("\"'")) for cell in core[0].cells)


def _is_spaced_table(records: Sequence[SampleRecord], width: int) -> bool:
    """Whether it is no list of names, sentences or moments, by what its columns hold below the header."""
    if 2 * sum(any(cell.endswith((",", ";")) for cell in record.cells) for record in records) > len(records):
        return False  # blanks behind commas separate nothing
    rows = len(records) - 1
    whole = [record.cells for record in records[1:] if len(record.cells) == width]
    if width > 2 and (len(whole) == rows >= _TELLING_ROWS or len(whole) >= max(_MANY_ROWS, _WEAK_SHARE * rows)):
        return True
    if all(map(_is_quoted, (cell for record in records for cell in record.cells))):
        return True
    if not whole:
        return False
    # A blank at the end of a line, or two in a row, stand around an empty cell, if they do not make the rows ragged.
    if len(whole) == rows >= _TELLING_ROWS and "" not in records[0].cells and any("" in cells for cells in whole):
        return True
    header = records[0].cells
    is_named = len(set(header)) == len(header) == width and all(_NAME.fullmatch(name.strip("\"'")) for name in header)
    if (
        width > 2
        and is_named
        and len(whole) == rows
        and any(_is_quoted(c) and " " in c for cells in whole for c in cells)
    ):
        return True
    # The last row may be a footer, and the first one the header, below a title.
    return any(_has_typed_column(some, is_named=is_named) for some in (whole, whole[:-1], whole[1:]) if some)


def _has_typed_column(rows: Sequence[list[str]], *, is_named: bool) -> bool:
    """Whether any column holds nothing but numbers, addresses, dates or times; a date with its time is one moment."""
    columns = list(zip(*([cell.strip("\"'") for cell in cells] for cells in rows), strict=True))
    if any(all(map(_TYPED_WORD.fullmatch, column)) for column in columns):
        return True
    are_dates = [all(map(_DATE_WORD.fullmatch, column)) for column in columns]
    are_times = [all(map(_TIME_WORD.fullmatch, column)) for column in columns]
    if any(is_time and not before for before, is_time in zip([False, *are_dates], are_times, strict=False)):
        return True
    return (
        is_named
        and len(rows) >= _TELLING_ROWS
        and any(is_date and not behind for is_date, behind in zip(are_dates, [*are_times[1:], False], strict=True))
    )


def _is_colon_table(records: Sequence[SampleRecord], _width: int) -> bool:
    """Whether most colons belong to no time of day and no address."""
    # What stands in quotes is of no account.
    cells = [["" if _is_quoted(cell) else cell for cell in record.cells] for record in records]
    text = "\n".join(map(":".join, cells))
    return _COLON_TEXT.sub("", text).count(":") > 0.5 * text.count(":")


def _is_quoted(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] and cell[0] in "\"'"


def _quote(sample: str, delimiter: str, later: Sequence[str]) -> str:
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


def _quoted(sample: str, delimiter: str, quote: str, later: Sequence[str]) -> list[str]:
    """What stands in whole quoted cells."""
    whole = _quoted_cells(delimiter, quote)[0]
    texts = [text for text in (sample, *later) if _may_open(text, delimiter, quote)]
    return [content for text in texts for content in whole.findall(text)]


def _may_open(text: str, delimiter: str, quote: str) -> bool:
    """Whether it is worth looking for quoted cells, which takes many times as long."""
    before = (delimiter, "\n", "\r") if delimiter == " " else (delimiter, "\n", "\r", " ")
    return text.startswith(quote) or any(edge + quote in text for edge in before)


@lru_cache(maxsize=64)
def _quoted_cells(delimiter: str, quote: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What finds whole quoted cells, and what finds their beginnings."""
    edge = re.escape(delimiter)
    opening = rf"(?:^|(?<={edge})){'' if delimiter == ' ' else ' *+'}{quote}"
    # Bounded, so that openings that never close do not each look through the whole text.
    content = rf"(?:[^{quote}\\]{{1,{_QUOTED_CHARACTERS}}}+|{quote}{quote}|\\[\s\S]){{0,{_QUOTED_PIECES}}}+"
    whole = rf"{opening}({content}){quote}(?=[{edge}\r\n]|$)"
    return re.compile(whole, re.MULTILINE), re.compile(opening, re.MULTILINE)


def _has_blanks_before_quotes(texts: Sequence[str], delimiter: str, quote: str) -> bool:
    """Whether quoted cells, as far as they are not the first of their line, stand behind blanks more often than not."""
    edge, mark = re.escape(delimiter), re.escape(quote)
    behind = rf"{mark}[^{mark}\r\n]*+{mark}(?=[{edge}\r\n]|$)"
    counts = [0, 0]
    for text in texts:
        if f"{delimiter} {quote}" in text or f"{delimiter}  " in text:
            counts[0] += len(re.findall(rf"(?<={edge}) ++{behind}", text, re.MULTILINE))
            counts[1] += len(re.findall(rf"(?<={edge}){behind}", text, re.MULTILINE))
    return counts[0] > counts[1]


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


def _with_escape(verdict: Verdict, texts: Sequence[str]) -> Verdict:
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
