"""Reading back the records that this room wrote. Pure.

`csv.reader` would do, but for its limit of 131,072 characters a cell, which can only be raised for
the whole process; and lines without a quote, nearly all, are split faster without it.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator


def read_records(blocks: Iterable[bytes]) -> Iterator[list[str]]:
    """The rows of a part, whatever the blocks it comes in: a character or a record may span several.

    Memory is bounded by a block and the longest record.

    Args:
        blocks: UTF-8 records as `csv_format` writes them (RFC 4180, no stray quotes), in order.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    unfinished_line = ""
    #: Lines of a record in which a quoted cell is still open.
    unfinished_record: list[str] = []
    for block in blocks:
        lines = (unfinished_line + decoder.decode(block)).split("\n")
        unfinished_line = lines.pop()
        for line in lines:
            if not unfinished_record and '"' not in line:
                yield line.removesuffix("\r").split(",")
            elif (line.count('"') % 2 == 1) == bool(unfinished_record):
                # An odd number of quotes closes what is open; an even one leaves nothing open.
                unfinished_record.append(line.removesuffix("\r"))
                yield _split_quoted("\n".join(unfinished_record))
                unfinished_record.clear()
            else:
                unfinished_record.append(line)
    decoder.decode(b"", final=True)
    if unfinished_line:
        yield _split_quoted("\n".join([*unfinished_record, unfinished_line]))


def _split_quoted(record: str) -> list[str]:
    cells: list[str] = []
    #: Pieces of a quoted cell between whose first and last there were commas.
    pieces: list[str] = []
    is_open = False
    for piece in record.split(","):
        if not is_open and not piece.startswith('"'):
            cells.append(piece)
            continue
        pieces.append(piece)
        if piece.count('"') % 2:
            is_open = not is_open
        if not is_open:
            cells.append(",".join(pieces)[1:-1].replace('""', '"'))
            pieces.clear()
    return cells
