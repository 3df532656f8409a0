"""Result files: how a line is written, the parts of a chunk, and joining them."""

from engine.results.added_columns import added_column_of, is_named_as_added, original_row
from engine.results.csv_format import (
    EXTRA_COLUMN,
    KINDS,
    ResultKind,
    column_names,
    encode_lines,
    escape_formula,
    escape_row,
    format_record,
    header_cells,
    header_line,
    plain_line,
    quote_cell,
    result_line,
    unescape_formula,
)
from engine.results.frame_lines import accepted_lines, accepted_lines_of_texts, frame_lines, frame_records
from engine.results.json_format import result_json
from engine.results.lines import (
    extra_lines,
    lines_of_texts,
    refused_lines_of_texts,
    success_lines,
    success_lines_of_texts,
)
from engine.results.merge import merge_csv
from engine.results.parts import PartKeys, PartWriter

__all__ = [
    "EXTRA_COLUMN",
    "KINDS",
    "PartKeys",
    "PartWriter",
    "ResultKind",
    "accepted_lines",
    "accepted_lines_of_texts",
    "added_column_of",
    "column_names",
    "encode_lines",
    "escape_formula",
    "escape_row",
    "extra_lines",
    "format_record",
    "frame_lines",
    "frame_records",
    "header_cells",
    "header_line",
    "is_named_as_added",
    "lines_of_texts",
    "merge_csv",
    "original_row",
    "plain_line",
    "quote_cell",
    "refused_lines_of_texts",
    "result_json",
    "result_line",
    "success_lines",
    "success_lines_of_texts",
    "unescape_formula",
]
