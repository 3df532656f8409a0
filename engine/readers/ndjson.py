"""Lines of JSON objects → the columns there are, and rows of text; a line that is none is a broken row.

Cells hold what is written: numbers digit by digit, texts as they are, TRUE and FALSE as in a
spreadsheet, nothing for null and for a key that an object lacks, and JSON for what is nested.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any

from engine.errors import SourceFormatError
from engine.readers.rows import MAX_BROKEN_BYTES, BrokenRow, Row

#: Different keys that the objects of a source may have together.
MAX_COLUMNS = 10_000
#: Values of one object, nested ones included: each takes some hundred bytes of memory while its line is read.
MAX_VALUES = 1_000_000
#: Bytes cut into lines at once.
_SLICE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is not blank."""

    number: int
    """1-based, blank lines counted."""
    data: bytes
    """Without its end; of one that is too long only the start."""
    size_bytes: int
    """Of the whole line."""
    is_whole: bool = True


def read_lines(blocks: Iterable[bytes], *, max_line_bytes: int) -> Iterator[Line]:
    """The lines of a stream, in memory of `max_line_bytes`; a byte order mark and blank lines are left out."""
    number, start, hidden_bytes = 1, b"", 0  # of the line in hand; hidden is what is not kept of one that is too long
    for block in _slices(blocks):
        *ended, rest = block.split(b"\n")
        for piece in ended:
            if hidden_bytes:
                yield Line(number, start, len(start) + hidden_bytes + len(piece), is_whole=False)
            else:
                yield from _line(number, start + piece, max_line_bytes)
            number, start, hidden_bytes = number + 1, b"", 0
        if hidden_bytes:
            hidden_bytes += len(rest)
            continue
        start += rest
        if len(start) > max_line_bytes:
            hidden_bytes = len(start)
            start = start[:MAX_BROKEN_BYTES]
            hidden_bytes -= len(start)
    if hidden_bytes:
        yield Line(number, start, len(start) + hidden_bytes, is_whole=False)
    else:
        yield from _line(number, start, max_line_bytes)


def find_columns(lines: Iterable[Line], *, source: str, max_bytes: int | None = None) -> tuple[str, ...]:
    """The keys of the objects, in the order in which they first appear.

    Args:
        max_bytes: objects behind so many bytes are not looked at.

    Raises:
        SourceFormatError: there are none, or more than MAX_COLUMNS.
    """
    names: dict[str, None] = {}
    seen_bytes = 0
    for line in lines:
        found = _parse(line)
        if not isinstance(found, str):
            names.update(dict.fromkeys(found))
        if len(names) > MAX_COLUMNS:
            raise SourceFormatError(
                f"The objects in {source} have more than {MAX_COLUMNS:,} different keys. Nest what is no column.",
                source=source,
            )
        seen_bytes += line.size_bytes
        if max_bytes is not None and seen_bytes >= max_bytes:
            break
    if not names:
        raise SourceFormatError(f"{source} holds no JSON object with a key, so it has no columns.", source=source)
    return tuple(names)


def read_objects(lines: Iterable[Line], columns: Sequence[str]) -> Iterator[Row]:
    """A row for each line, of as many cells as there are columns.

    A line that is no object is a broken row: its text stands in the first cell.

    Raises:
        UnknownKeyError: an object has a key that is no column.
    """
    index_of = {name: index for index, name in enumerate(columns)}
    blank = [""] * len(columns)
    for line in lines:
        found = _parse(line)
        if isinstance(found, str):
            yield _broken(line, found, blank)
            continue
        row = blank.copy()
        try:
            for key, value in found.items():
                row[index_of[key]] = value if value.__class__ is str else _cell(value)
        except KeyError as error:
            raise UnknownKeyError(str(error.args[0])) from error
        except RecursionError:
            yield _broken(line, "it is nested too deeply", blank)
        else:
            yield row


class UnknownKeyError(Exception):
    """An object has a key that is no column."""


class _Number(str):
    """A number as it is written."""

    __slots__ = ()


class _RepeatedKeyError(ValueError):
    """An object has a key twice, and it is not for us to say which of them counts."""


#: The same short numbers come again and again.
_cached_number = lru_cache(maxsize=10_000)(_Number)
_SHORT_NUMBER = 24


def _number(text: str) -> _Number:
    return _cached_number(text) if len(text) <= _SHORT_NUMBER else _Number(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        name = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _RepeatedKeyError(f"the key {_short(name)} is there twice")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_number, parse_float=_number, parse_constant=_number)


def _parse(line: Line) -> dict[str, Any] | str:
    """The object of a line, or what is wrong with it."""
    if not line.is_whole:
        return f"it is {line.size_bytes:,} bytes long, which is too long for a row; its start is kept here"
    if len(line.data) > MAX_VALUES and sum(map(line.data.count, (b",", b"[", b"{"))) > MAX_VALUES:
        return f"it holds more than {MAX_VALUES:,} values"
    try:
        text = line.data.decode("utf-8")
        found = _DECODER.decode(text)
        if "\\u" in text:
            json.dumps(found, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        return f"the byte {line.data[error.start]:02X} is not UTF-8 text. Save the file as UTF-8"
    except UnicodeEncodeError:
        return r"it holds half a character (\ud800 to \udfff), which is no text"
    except json.JSONDecodeError as error:
        return f"it is not JSON ({error.msg[:100]}, at character {error.pos + 1}). Each line must be one JSON object"
    except _RepeatedKeyError as error:
        return str(error)
    except RecursionError:
        return "it is nested too deeply"
    if not isinstance(found, dict):
        return "it is JSON, but no object. Each line must be one JSON object"
    return found


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if value is True or value is False:
        return "TRUE" if value else "FALSE"
    if value.__class__ is _Number:
        return str(value)
    return _json(value)


def _json(value: Any) -> str:
    """Compact JSON with the numbers as they were written."""
    kind = value.__class__
    if kind is _Number:
        return str(value)
    if kind is str:
        return encode_basestring(value)
    if kind is dict:
        return "{" + ",".join([f"{encode_basestring(key)}:{_json(each)}" for key, each in value.items()]) + "}"
    if kind is list:
        return "[" + ",".join(map(_json, value)) + "]"
    return "null" if value is None else "true" if value else "false"


def _broken(line: Line, why: str, blank: list[str]) -> BrokenRow:
    # An incremental decoder leaves out the character that the cut went through.
    text = codecs.getincrementaldecoder("utf-8")("backslashreplace").decode(line.data, line.is_whole)
    return BrokenRow([text, *blank[1:]], f"Line {line.number}: {why}.")


def _short(name: str) -> str:
    shown = name if len(name) <= 60 else f"{name[:57]}..."
    return json.dumps(shown)


def _line(number: int, data: bytes, max_line_bytes: int) -> Iterator[Line]:
    size_bytes = len(data)
    if number == 1:
        data = data.removeprefix(codecs.BOM_UTF8)
    if size_bytes > max_line_bytes:
        yield Line(number, data[:MAX_BROKEN_BYTES], size_bytes, is_whole=False)
    elif data.strip():
        yield Line(number, data.removesuffix(b"\r"), size_bytes)


def _slices(blocks: Iterable[bytes]) -> Iterator[bytes]:
    for block in blocks:
        for start in range(0, len(block), _SLICE_BYTES):
            yield block[start : start + _SLICE_BYTES]
