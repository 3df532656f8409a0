"""How a record of a result file is written: RFC 4180, quoted only where needed. Pure.

A line of a result file is the row as it was read, and one cell more: `import_result` or
`import_error`. Records end in CRLF, the text is UTF-8 without a byte order mark. One form and no
choices, so that the same rows give the same bytes whoever writes them.

What is per row is written for speed: a row is joined first and looked at afterwards, because most
rows need no quotes at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

#: Which of the two result files, and which of a chunk's two parts.
ResultKind = Literal["success", "failed"]
KINDS: tuple[ResultKind, ResultKind] = ("success", "failed")

#: Result file → the name of its last column; fixed by the usage guide.
EXTRA_COLUMN: dict[ResultKind, str] = {"success": "import_result", "failed": "import_error"}

#: RFC 4180, section 2, item 1.
LINE_END = "\r\n"

#: First characters that make a spreadsheet run a cell (OWASP, "CSV Injection").
_FORMULA_STARTS = "=+-@\t\r"
#: A cell to be marked: a formula, or one that looks like a marked formula already.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def header_cells(
    plan_header: Sequence[str],
    column_count: int,
    kind: ResultKind,
    result_header: Literal["positional", "source"] = "positional",
) -> list[str]:
    """The names in the first line of a success or failed file; `kind` decides the last of them, see `column_names`."""
    return [*column_names(plan_header, column_count, result_header), EXTRA_COLUMN[kind]]


def column_names(
    plan_header: Sequence[str], column_count: int, result_header: Literal["positional", "source"] = "positional"
) -> list[str]:
    """The names of the source's own columns in a result file.

    Args:
        plan_header: the source's own names; empty where it has no header rows.
        column_count: how many `col_…` there are.
        result_header: the import option. "source" keeps the source's names as they are (twice the
            same is possible); without a header in the source the names are positional all the same.
    """
    if result_header == "source" and plan_header:
        return list(plan_header)
    return [f"col_{index}" for index in range(column_count)]


def header_line(cells: Sequence[str], *, escape_formulae: bool = False) -> bytes:
    """The header as stored, line end included."""
    row = list(cells)
    return encode_lines([format_record(escape_row(row) if escape_formulae else row)])


def format_record(row: list[str]) -> str:
    """The cells of a row joined and quoted where needed, without a line end.

    This is the beginning of a line, to be followed by the extra cell; `result_line` does both. By
    itself it is not a record in two cases: `[]` and `[""]` both give the empty text.
    """
    line = ",".join(row)
    # As many commas as joints: none is inside a cell. The cheap common case comes first.
    if line.count(",") == len(row) - 1 and '"' not in line and "\n" not in line and "\r" not in line:
        return line
    # The test is written out here: a call per cell would double the time.
    return ",".join(
        [
            cell
            if '"' not in cell and "," not in cell and "\n" not in cell and "\r" not in cell
            else '"' + cell.replace('"', '""') + '"'
            for cell in row
        ]
    )


def quote_cell(text: str) -> str:
    """One cell as it stands in a record that has other cells too."""
    if '"' in text or "," in text or "\n" in text or "\r" in text:
        return '"' + text.replace('"', '""') + '"'
    return text


def result_line(row: list[str], extra: str) -> str:
    """A whole line of a result file without its line end: the row's cells, then `extra` as the last cell.

    Rows keep the number of cells they have: nothing is padded, so in a row that is too short the
    extra cell stands further left than its name in the header. `[]` with `x` gives `x`, `[""]`
    with `x` gives `,x`, and `[]` with the empty text gives `""`, as an empty line is no record.
    """
    if row:
        return format_record(row) + "," + quote_cell(extra)
    return quote_cell(extra) or '""'


def plain_line(row: list[str]) -> str:
    """A whole line without a further cell and its line end: `[]` gives an empty line, `[""]` a quoted empty cell."""
    return format_record(row) or ('""' if row else "")


def encode_lines(lines: Sequence[str]) -> bytes:
    r"""The lines as bytes, each with its line end.

    Never raises: what UTF-8 cannot hold (half of a surrogate pair, which a handler's message may
    contain) is written visibly as `\ud800`.
    """
    return encode_text(LINE_END.join(lines) + LINE_END) if lines else b""


def encode_text(text: str) -> bytes:
    """As `encode_lines`, for lines that have their ends."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="backslashreplace")


def escape_formula(cell: str) -> str:
    """Mark a cell that a spreadsheet would run with a leading apostrophe; numbers stay as they are.

    A cell that looks marked already (`'=1`) is marked once more, so that `unescape_formula` gives
    back exactly what was there.
    """
    return "'" + cell if _runs(cell) else cell


def unescape_formula(cell: str) -> str:
    """Undo `escape_formula`; a cell that it never gives, as `'word` or `'-1`, stays as it is."""
    return cell[1:] if cell.startswith("'") and _runs(cell[1:]) else cell


def escape_row(row: list[str]) -> list[str]:
    """`escape_formula` for every cell; the very same list where nothing is to be marked."""
    for cell in row:
        if cell and (cell[0] in _FORMULA_STARTS or cell[0] == "'"):
            return [escape_formula(cell) for cell in row]
    return row


def _runs(cell: str) -> bool:
    return _FORMULA.match(cell) is not None and _NUMBER.fullmatch(cell.lstrip("'")) is None
