"""What the raw XML of an XLSX sheet says of its cells: which kinds of values there are at all.

fastexcel gives a whole sheet as text at full speed, but a text does not say what its cell was:
`true` may be a text or a boolean, `2024-02-29 00:00:00` a text or a date, and numbers are cut at
nine decimals. One pass over the inflated bytes, by plain searches, tells which of these there are
in the sheet; only a column in which two of them may meet has to be read again, cell by cell.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.staging.excel.texts import is_cut

#: Bytes of the piece before that are looked at again, so that no cell is cut in two.
_OVERLAP_BYTES = 512
#: Styles that are looked for one by one; with more of them in use, every kind is taken to be there.
_MAX_STYLES = 64
#: Numbers with ten decimals and more, with 17 digits, or with an exponent.
_LONG_NUMBER = re.compile(rb"<v>(-?(?:\d*\.\d{10,}|\d{17,}|[\d.]+(?=[eE]))(?:[eE][-+]?\d+)?)</v>")
_BOOLEAN_TEXT = re.compile(rb">(?:true|false)<")


@dataclass(frozen=True, slots=True, kw_only=True)
class DateStyles:
    """The styles of a workbook that show a number as a date or time, by what they show."""

    dates: frozenset[int] = frozenset()
    """Year, month or day only."""
    moments: frozenset[int] = frozenset()
    """Those, and a time of day."""
    times: frozenset[int] = frozenset()
    """A time of day only."""
    durations: frozenset[int] = frozenset()
    """Hours, minutes or seconds that go on beyond a day."""

    @property
    def all(self) -> frozenset[int]:
        """All of these."""
        return self.dates | self.moments | self.times | self.durations


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What there is in a sheet. The defaults say that there may be anything, as is not known of other formats."""

    has_booleans: bool = True
    has_boolean_texts: bool = True
    """Texts that read as a boolean does in fastexcel's text."""
    has_date_texts: bool = True
    """Texts that read as a date or time does in fastexcel's text, and that would be shown otherwise."""
    has_precise_numbers: bool = True
    """Numbers of which fastexcel's text may not hold all digits."""
    has_dates: bool = True
    """Cells whose style shows a date, a time or a duration."""
    has_durations: bool = True
    shows_dates: bool = True
    """Cells whose style shows a date only."""
    shows_moments: bool = False
    """Cells whose style shows a date and a time of day, also at midnight."""
    midnights: frozenset[tuple[int, int]] = frozenset()
    """0-based rows and columns of whole numbers of the latter kind, where there are both kinds."""
    time_day: str = "1899-12-31"
    """The day that fastexcel's text gives a time without a date."""
    is_regular: bool = False
    """Whether the XML is as the searches expect it."""


class FactFinder:
    """Searches the pieces of two parts of a workbook, that of one sheet and that of the shared strings."""

    def __init__(self, styles: DateStyles, *, sheet: str, strings: str | None, is_1904: bool) -> None:
        """
        Args:
            sheet, strings: names of the parts; None: the workbook has no shared strings.
        """
        self._sheet = sheet
        self._strings = strings
        self._styles = styles
        self._time_day = "1904-01-01" if is_1904 else "1899-12-31"
        known = styles.all
        is_few = len(known) <= _MAX_STYLES
        self._unseen_styles = {style: b' s="%d"' % style for style in known} if is_few else {}
        self._used_styles: set[int] = set() if is_few else set(known)
        self._date_texts = (b" 00:00:00<", f">{self._time_day} ".encode()) if known else ()
        self._midnight: re.Pattern[bytes] | None = None
        if styles.dates and styles.moments:
            moments = b"|".join(b"%d" % style for style in sorted(styles.moments))
            self._midnight = re.compile(rb'<c r="([A-Z]+)(\d+)" s="(?:' + moments + rb')"[^>]*><v>\d+(?:\.0*)?</v>')
        self._midnights: set[tuple[int, int]] = set()
        self._has_booleans = self._has_boolean_texts = self._has_date_texts = self._has_precise_numbers = False
        self._is_regular: bool | None = None
        self._part = ""
        self._tail = b""

    def watch(self, part: str, piece: bytes) -> None:
        """Look at the next piece of a part; those of one part come one after the other."""
        if part not in (self._sheet, self._strings):
            return
        whole = self._tail + piece if part == self._part else piece
        self._part, self._tail = part, piece[-_OVERLAP_BYTES:]
        self._has_boolean_texts = self._has_boolean_texts or _BOOLEAN_TEXT.search(whole) is not None
        self._has_date_texts = self._has_date_texts or any(text in whole for text in self._date_texts)
        if part == self._sheet:
            self._look_at_cells(whole)

    def facts(self) -> Facts:
        """What was found."""
        return Facts(
            has_booleans=self._has_booleans,
            has_boolean_texts=self._has_boolean_texts,
            has_date_texts=self._has_date_texts,
            has_precise_numbers=self._has_precise_numbers,
            has_dates=bool(self._used_styles),
            has_durations=bool(self._used_styles & self._styles.durations),
            shows_dates=bool(self._used_styles & self._styles.dates),
            shows_moments=bool(self._used_styles & self._styles.moments),
            midnights=frozenset(self._midnights),
            time_day=self._time_day,
            is_regular=self._is_regular is True,
        )

    def _look_at_cells(self, whole: bytes) -> None:
        if self._is_regular is None:
            # Names of elements and quotes as Excel writes them, and dates as numbers, not as ISO texts.
            signs = (b"<c r='", b"<c t='", b"purl.oclc.org/ooxml", b' t="d"')
            self._is_regular = b"<sheetData" in whole and not any(sign in whole for sign in signs)
        self._has_booleans = self._has_booleans or b' t="b"' in whole
        self._has_precise_numbers = self._has_precise_numbers or any(
            is_cut(float(number)) for number in _LONG_NUMBER.findall(whole)
        )
        for style in [style for style, text in self._unseen_styles.items() if text in whole]:
            self._used_styles.add(style)
            del self._unseen_styles[style]
        if self._midnight is not None:
            self._midnights.update((int(row) - 1, column_index(name)) for name, row in self._midnight.findall(whole))


def column_index(letters: bytes | str) -> int:
    """0-based column of Excel's letters: A is 0, AA is 26."""
    index = 0
    for letter in letters.encode() if isinstance(letters, str) else letters:
        index = index * 26 + letter - 64
    return index - 1
