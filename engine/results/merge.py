"""Joining the parts of all chunks, in input order, into one result file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from engine.model import Part
from engine.results.csv_format import header_line
from engine.storage.protocol import ObjectInfo, Storage


def make_result_file(
    storage: Storage,
    target_key: str,
    *,
    output_format: Literal["csv", "xlsx"],
    header_cells: Sequence[str],
    parts: Iterable[Part],
    escape_formulae: bool = False,
    temp_dir: str | None = None,
) -> ObjectInfo:
    """Make one of a job's two result files, all or nothing. A second run makes the same file again.

    Args:
        target_key: with the ending that goes with `output_format`.
        header_cells: as `csv_format.header_cells` gives them.
        parts: in chunk order, as the ledger names them.
        escape_formulae: whether the CSV's header is to be escaped, as the rows of the parts were.
            Parts of an Excel file must not be: there every cell is text anyway.
        temp_dir: where an Excel file is put together; None for the system's.

    Raises:
        ObjectMissingError: a part is gone.
        OptionError: a row is too wide for Excel.
        OutputNotWritableError: the storage refuses the target, or the temporary folder is full.
    """
    if output_format == "xlsx":
        # Few processes ever make an Excel file; the others need not load the library.
        from engine.results.xlsx import merge_xlsx

        return merge_xlsx(storage, target_key, header_cells, parts, temp_dir)
    return merge_csv(storage, target_key, header_line(header_cells, escape_formulae=escape_formulae), parts)


def merge_csv(storage: Storage, target_key: str, header_line: bytes, parts: Iterable[Part]) -> ObjectInfo:
    """Make a CSV of the header line and the parts as they are. All or nothing.

    Parts are not parsed, nor copied by this process where the storage can do it itself. A second
    run makes the same file again; the parts are kept.

    Args:
        header_line: with its line end, as `csv_format.header_line` gives it.
        parts: in chunk order, as the ledger names them.

    Raises:
        ObjectMissingError: a part is gone.
        OutputNotWritableError: the storage refuses the target.
    """
    return storage.concatenate(target_key, [header_line, *parts])
