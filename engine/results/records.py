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


def record_pieces(blocks: Iterable[bytes], piece_bytes: int) -> Iterator[bytes]:
    """The bytes of a part, cut into whole records; where exactly depends on the blocks.

    Memory is bounded by a block, a piece and the longest record.

    Args:
        blocks: as `read_records` takes them.
        piece_bytes: what a piece has at most, unless its only record is longer.
    """
    unfinished = b""
    for block in blocks:
        data = unfinished + block
        start = 0
        while (end := _end_of_records(data, start, start + piece_bytes)) > start:
            yield data[start:end]
            start = end
        unfinished = data[start:]
    if unfinished:
        yield unfinished


def count_records(piece: bytes) -> int:
    """How many records there are in one of the `record_pieces`, without reading them."""
    if b'"' not in piece:
        return piece.count(b"\n")
    # Quotes are paired, so every second stretch between two of them is outside.
    return sum([stretch.count(b"\n") for stretch in piece.split(b'"')[::2]])


def _end_of_records(data: bytes, start: int, wanted: int) -> int:
    """Where the last record that ends at or before `wanted` ends, or else the first after it; `start` for none."""
    end = data.rfind(b"\n", start, wanted) + 1
    quotes = data.count(b'"', start, end) if end else 0
    while end > start and quotes % 2:
        earlier = data.rfind(b"\n", start, end - 1) + 1
        quotes -= data.count(b'"', max(earlier, start), end)
        end = earlier
    if end > start:
        return end
    # One record is longer than a piece.
    end, quotes = start, 0
    while (later := data.find(b"\n", end) + 1) > 0:
        quotes += data.count(b'"', end, later)
        end = later
        if quotes % 2 == 0:
            return end
    return start


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
