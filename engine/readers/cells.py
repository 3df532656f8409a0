"""One record's text → its cells, by the rule of `records`; where `csv.reader` can read it, the same cells."""

from __future__ import annotations

import re

from engine.model import Dialect


class CellSplitter:
    """Splits records of a dialect that hold no stray quote."""

    def __init__(self, dialect: Dialect) -> None:
        self._delimiter = dialect.delimiter
        self._skips_blanks = dialect.skip_initial_space == "always"
        quote, escape = dialect.quote_char or "", dialect.escape_char or ""
        self._special = quote + escape
        delimiter, quote, escape = re.escape(dialect.delimiter), re.escape(quote), re.escape(escape)
        blanks = "" if dialect.skip_initial_space == "never" else " *+"
        kept_blanks = blanks if self._skips_blanks else ""
        escaped = rf"|{escape}[\s\S]?+" if escape else ""
        plain = f"{kept_blanks}((?:[^{delimiter}{escape}]++{escaped})*+)"
        quoted = f"{blanks}{quote}((?:[^{quote}{escape}]++|{quote}{quote}{escaped})*+){quote}([^{delimiter}]*+)"
        cell = f"(?:{quoted}|{plain})" if quote else f"(?:(?!)()()|{plain})"
        self._cell = re.compile(f"{cell}({delimiter}|\\Z)")
        #: What stands for one character: a doubled quote, and an escape before what it has power over.
        escape_power = rf"{escape}([{delimiter}{quote}{escape}\r\n])" if escape else "(?!)()"
        self._in_quotes = re.compile(f"{quote}({quote})|{escape_power}" if quote else f"(?!)()|{escape_power}")
        self._outside = re.compile(escape_power)

    def cells(self, record: str) -> list[str]:
        """The cells of a record, which comes without its line end; [] of a blank line."""
        if not record:
            return []
        if not any(special in record for special in self._special):
            cells = record.split(self._delimiter)
            if not self._skips_blanks:
                return cells
            if self._delimiter != " ":
                return [cell.lstrip(" ") for cell in cells]
        cells = []
        position = 0
        while True:
            found = self._cell.match(record, position)
            assert found is not None, "the record has a stray quote"
            quoted, behind, plain, end = found.groups()
            if plain is None:
                cells.append(self._in_quotes.sub(r"\1\2", quoted) + behind)
            else:
                cells.append(self._outside.sub(r"\1", plain))
            if not end:
                return cells
            position = found.end()
