"""What `rowmill inspect` prints for people."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size

from engine.cli.console import visible
from engine.inspection import Inspection
from engine.model import Detection

#: Characters of a cell that are shown.
_MAX_CELL_WIDTH = 30


def inspection_text(inspection: Inspection, *, width: int) -> str:
    """Facts, then the header and the first rows in columns, cut to `width` characters."""
    mark = " with byte order mark" if inspection.has_byte_order_mark else ""
    found = inspection.detection
    blanks = {"never": "", "quoted": ", blanks before quotes left out", "always": ", blanks before cells left out"}
    facts = [
        ("source", f"{visible(inspection.source)}, {inspection.size_bytes:,} bytes"),
        *(
            _workbook_facts(inspection)
            if "sheet" in inspection.details
            else [
                ("encoding", f"{inspection.encoding}{mark}{_certainty(found, 'encoding')}"),
                (
                    "delimiter",
                    f"{inspection.delimiter!r}{blanks[inspection.skip_initial_space]}{_certainty(found, 'delimiter')}",
                ),
                ("quote", _character(inspection.quote_char) + _certainty(found, "quote_char")),
                ("escape", _character(inspection.escape_char) + _certainty(found, "escape_char")),
                ("line ends", found.line_end or "none"),
                ("decimal", _character(found.decimal) + _certainty(found, "decimal")),
                ("left out", f"{len(found.preamble):,} lines above the header{_certainty(found, 'skip_rows')}"),
                ("columns", f"{inspection.column_count:,}, in {inspection.confidence:.0%} of the sampled records"),
            ]
        ),
        ("rows", f"{inspection.total_rows:,} in {inspection.chunk_count:,} chunks"),
    ]
    if inspection.added_column:
        facts.append(("left out", f"the last column, {inspection.added_column}: this is a result file"))
    facts += [("left out", visible(line)) for line in found.preamble]
    facts += [("advice", text) for text in found.advice]
    lines = [_fit(f"{name:<9}  {text}", width) if name == "left out" else f"{name:<9}  {text}" for name, text in facts]
    header = [inspection.header] if inspection.header else []
    lines += ["", *_table([*header, *inspection.rows], has_header=bool(header), width=width)]
    return "\n".join(lines).rstrip("\n")


def _workbook_facts(inspection: Inspection) -> list[tuple[str, str]]:
    found = inspection.details
    begins = ("header", "header_row") if "header_row" in found else ("data from", "first_row")
    return [
        ("workbook", str(found["kind"])),
        ("sheet", visible(str(found["sheet"]))),
        *([("sheets", visible(str(found["sheets"])))] if "sheets" in found else []),
        (begins[0], f"row {found[begins[1]]:,}"),
        ("columns", f"{inspection.column_count:,}"),
    ]


def _character(character: str | None) -> str:
    return "none" if character is None else repr(character)


def _certainty(found: Detection, name: str) -> str:
    """How sure it is, where that was found by looking."""
    confidence = found.confidence.get(name)
    return "" if confidence is None else f" ({confidence:.0%} sure)"


def _table(rows: list[list[str]], *, has_header: bool, width: int) -> list[str]:
    """Aligned lines; what does not fit is left out behind an ellipsis."""
    # What lies beyond the width is never shown, so that a row of a million cells costs no more than others.
    shown = [[_cut(visible(cell[: _MAX_CELL_WIDTH + 1])) for cell in row[: width // 2 + 1]] for row in rows]
    columns = max((len(row) for row in shown), default=0)
    widths = [max((cell_len(row[c]) for row in shown if c < len(row)), default=0) for c in range(columns)]
    lines = [_fit("  ".join(set_cell_size(cell, widths[c]) for c, cell in enumerate(row)), width) for row in shown]
    if has_header:
        lines.insert(1, _fit("  ".join("-" * w for w in widths), width))
    return lines


def _cut(cell: str) -> str:
    return cell if cell_len(cell) <= _MAX_CELL_WIDTH else set_cell_size(cell, _MAX_CELL_WIDTH - 1) + "…"


def _fit(line: str, width: int) -> str:
    line = line.rstrip()
    return line if cell_len(line) <= width else set_cell_size(line, width - 1) + "…"
