"""Arrow columns of any type → text as people see it, by the rules that hold for the cells of workbooks.

| type | text |
|---|---|
| null | empty |
| boolean | `TRUE`, `FALSE` |
| integer, decimal | all digits: `12`, `1.10` |
| float | the fewest digits that name it, without an exponent: `1` not `1.0`, `0.1`; `NaN` |
| date, time, timestamp | `2024-02-29`, `13:05:00.500`, `2024-02-29 13:05:00`; with a zone in UTC and with `Z` |
| duration | `36:00:00`, `-00:00:01.500` |
| text | itself |
| binary | as UTF-8 where it is that, else `0x` and hexadecimal digits |
| list, struct, map | JSON |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_FLOAT_NAMES = {"nan": "NaN", "-nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_UNITS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def as_text(column: pa.Array) -> pa.Array:
    """A column as text of the same length; a null stays one.

    Raises:
        UndecodableError: a text is not UTF-8, although its type says so.
        pa.ArrowInvalid: a value that its type does not have.
    """
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        if isinstance(kind, pa.UuidType):
            return _by_value(column, str)
        return as_text(column.storage)
    if pa.types.is_dictionary(kind):
        return as_text(column.dictionary).take(column.indices)
    if pa.types.is_null(kind):
        return pa.nulls(len(column), pa.string())
    if pa.types.is_boolean(kind):
        return pc.if_else(column, "TRUE", "FALSE")
    if _is_text(kind):
        return _checked(column)
    if pa.types.is_floating(kind):
        return _floats(column)
    if pa.types.is_decimal(kind):
        return _without_exponent(column.cast(pa.string()), lambda text: format(Decimal(text), "f"))
    if pa.types.is_timestamp(kind):
        return _timestamps(column)
    if pa.types.is_time(kind):
        return _short_fraction(column.cast(pa.string()))
    if pa.types.is_duration(kind):
        per_second = _UNITS_PER_SECOND[kind.unit]
        return _by_value(column.cast(pa.int64()), lambda units: _duration(units, per_second))
    if _is_binary(kind):
        return _binaries(column)
    if pa.types.is_nested(kind):
        texts = _json_texts(column)
        return pa.array([None if text == "null" else text for text in texts], pa.string())
    return column.cast(pa.string())


class UndecodableError(ValueError):
    """A text column holds bytes that are not UTF-8."""


def as_lenient_text(column: pa.Array) -> tuple[pa.Array, list[int]]:
    """As `as_text` for a text column with undecodable values: those as \\xNN, and where they are."""
    texts, wrong = [], []
    for index, value in enumerate(column.cast(pa.large_binary()).to_pylist()):
        try:
            texts.append(None if value is None else value.decode("utf-8"))
        except UnicodeDecodeError:
            texts.append(value.decode("utf-8", "backslashreplace"))
            wrong.append(index)
    return pa.array(texts, pa.string()), wrong


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_binary(kind: pa.DataType) -> bool:
    is_variable = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    return bool(is_variable or pa.types.is_fixed_size_binary(kind))


def _checked(column: pa.Array) -> pa.Array:
    # Readers take a file's word that a text is UTF-8; a cast from bytes looks.
    try:
        return column.cast(pa.binary()).cast(pa.string())
    except pa.ArrowInvalid as error:
        raise UndecodableError(str(error)[:200]) from error


def _binaries(column: pa.Array) -> pa.Array:
    try:
        return column.cast(pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        return _by_value(column, _text_or_hex)


def _text_or_hex(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return f"0x{value.hex()}"


def _floats(column: pa.Array) -> pa.Array:
    if pa.types.is_float16(column.type):
        column = column.cast(pa.float32())
    return _without_exponent(column.cast(pa.string()), _plain_float, also="n")


def _plain_float(text: str) -> str:
    if text in _FLOAT_NAMES:
        return _FLOAT_NAMES[text]
    return format(Decimal(text), "f")


def _without_exponent(texts: pa.Array, plain: Callable[[str], str], *, also: str = "") -> pa.Array:
    """Rewrite those of the texts that hold an exponent, or one of the letters `also`."""
    is_odd = pc.match_substring_regex(texts, f"[eE{also}]")
    if not pc.any(is_odd).as_py():
        return texts
    rewritten = [plain(text) for text in texts.filter(is_odd).to_pylist()]
    return pc.replace_with_mask(texts, is_odd.fill_null(False), pa.array(rewritten, pa.string()))


def _timestamps(column: pa.Array) -> pa.Array:
    kind = column.type
    texts = column.view(pa.timestamp(kind.unit)).cast(pa.string())  # with a zone: the same instant in UTC
    texts = _short_fraction(texts)
    return pc.binary_join_element_wise(texts, "Z", "") if kind.tz else texts


def _short_fraction(texts: pa.Array) -> pa.Array:
    """Without zeros at the end of a fraction of a second, three at a time."""
    return pc.replace_substring_regex(texts, r"\.?(?:000)+$", "") if _has_fraction(texts) else texts


def _has_fraction(texts: pa.Array) -> bool:
    return bool(pc.any(pc.match_substring(texts, ".")).as_py())


def _duration(units: int, per_second: int) -> str:
    sign = "-" if units < 0 else ""
    seconds, fraction = divmod(abs(units), per_second)
    tail = f".{fraction:0{len(str(per_second)) - 1}d}" if fraction else ""
    while tail.endswith("000"):
        tail = tail[:-3]
    return f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{tail}"


def _by_value(column: pa.Array, show: Callable[[Any], str]) -> pa.Array:
    return pa.array([None if value is None else show(value) for value in column.to_pylist()], pa.string())


def _json_texts(column: pa.Array) -> list[str]:
    """JSON of every value, compact; dates and bytes as texts."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType) and not isinstance(kind, pa.UuidType):
        return _json_texts(column.storage)
    if pa.types.is_dictionary(kind):
        return _json_texts(column.dictionary_decode())
    if pa.types.is_map(kind):
        keys = [text if text.startswith('"') else encode_basestring(text) for text in _json_texts(column.keys)]
        pairs = list(map(":".join, zip(keys, _json_texts(column.items), strict=True)))
        edges, valid = column.offsets.to_pylist(), column.is_valid().to_pylist()
        spans = zip(edges, edges[1:], valid, strict=False)
        return ["{" + ",".join(pairs[start:end]) + "}" if is_there else "null" for start, end, is_there in spans]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        lengths = pc.list_value_length(column).fill_null(0).to_pylist()
        return _listed(column, _json_texts(column.flatten()), lengths)
    if pa.types.is_struct(kind):
        names = [encode_basestring(field.name) for field in kind]
        fields = [_json_texts(field) for field in column.flatten()]
        rows = (
            "{" + ",".join([f"{name}:{text}" for name, text in zip(names, row, strict=True)]) + "}"
            for row in (zip(*fields, strict=True) if fields else ((),) * len(column))
        )
        return [text if valid else "null" for text, valid in zip(rows, column.is_valid().to_pylist(), strict=True)]
    if pa.types.is_nested(kind):
        raise pa.ArrowNotImplementedError(f"a column of the type {kind}")
    is_bare = pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)
    is_bare = is_bare or pa.types.is_floating(kind)
    try:
        texts = as_text(column).to_pylist()
    except UndecodableError:
        texts = as_lenient_text(column)[0].to_pylist()
    if pa.types.is_boolean(kind):
        texts = [text and text.lower() for text in texts]
    return ["null" if text is None else text if is_bare else encode_basestring(text) for text in texts]


def _listed(column: pa.Array, items: Sequence[str], lengths: Sequence[int]) -> list[str]:
    found, start = [], 0
    for length, valid in zip(lengths, column.is_valid().to_pylist(), strict=True):
        found.append("[" + ",".join(items[start : start + length]) + "]" if valid else "null")
        start += length
    return found
