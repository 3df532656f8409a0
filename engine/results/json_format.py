"""What a handler returned as `result`, as the JSON that stands in the cell `import_result`. Pure."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Mapping
from typing import Any

import orjson

from engine.returned_values import plain_text

#: Dates go through `_plain`, so that both ways below write them alike.
_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATETIME
#: The integers that orjson writes itself.
_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**64 - 1
#: Deeper values, and those that contain themselves, are written as text; below Python's own limit.
_MAX_DEPTH = 100
#: Stands between results that are written in one go: no JSON of orjson's own holds a NUL.
_NUL: Any = orjson.Fragment("\0")
SEPARATOR = ",\0,"


def result_json(result: Any) -> str:
    r"""Compact JSON of any value, the same text for the same value. Never raises.

    Dates become ISO texts, sets sorted lists, arrays lists, NaN and infinity null, and what JSON
    has no form for becomes its `str()`. Integers keep all their digits. Half of a surrogate pair
    is written as its escape (`\ud800`).
    """
    try:
        return orjson.dumps(result, _plain, _OPTIONS).decode()
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001, S110 - the value is the team's, and so is what its methods raise: SystemExit
        pass
    # Huge integers, odd keys, lone surrogates, cycles: rare, so this way may be slow.
    try:
        return _dump(result, 0)
    except RecursionError:
        # Python's versions differ in how deep a str() goes; the same value must give the same text.
        return _dump_text(f"<{type(result).__qualname__}>")
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001
        return _dump_text(_text(result))


def results_json(results: list[Any]) -> list[str]:
    """`result_json` of each, several times faster where orjson can write them all."""
    joined = joined_json(results)
    texts = joined.split(SEPARATOR) if joined else []
    # A result may hold the separator only if it brought JSON of its own (orjson.Fragment).
    return texts if len(texts) == len(results) else [result_json(result) for result in results]


def joined_json(results: list[Any]) -> str:
    """`result_json` of each with `SEPARATOR` between them; empty where orjson cannot write them all."""
    return json_array(results).decode()[1:-1]


def json_array(results: list[Any]) -> bytes:
    """`result_json` of each with `SEPARATOR` between them, in brackets; empty where orjson cannot write them all."""
    if not results:
        return b""
    separated = [_NUL] * (2 * len(results) - 1)
    separated[::2] = results
    try:
        array = orjson.dumps(separated, _plain, _OPTIONS)
        if not array.isascii():
            array.decode()  # a result may have brought bytes of its own (orjson.Fragment)
        return array
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - as in result_json
        return b""


def _plain(value: Any) -> Any:
    """The nearest that JSON has to a value it has no form for."""
    if isinstance(value, type):
        return _text(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, set | frozenset):
        # The order of a set differs between processes; result files must not.
        return sorted(value, key=result_json)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode(errors="backslashreplace")
    if hasattr(value, "tolist"):
        return value.tolist()
    return _text(value)


def _text(value: Any) -> str:
    """`str(value)`; where that fails, or would show a memory address, the name of its type."""
    kind = type(value)
    if kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__:  # type: ignore[comparison-overlap]
        return f"<{kind.__qualname__}>"
    try:
        return plain_text(value)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - as in result_json
        return f"<{kind.__qualname__}>"


def _dump(value: Any, depth: int) -> str:
    """What orjson would write, could it write all of it."""
    if depth > _MAX_DEPTH:
        raise RecursionError
    if isinstance(value, enum.Enum):
        return _dump(value.value, depth + 1)
    if isinstance(value, str):
        return _dump_text(value)
    if value is None or isinstance(value, bool):
        return orjson.dumps(value).decode()
    if isinstance(value, int):
        return _dump_integer(value)
    if isinstance(value, float):
        return orjson.dumps(float(value)).decode()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return "{" + ",".join([f"{_dump_key(key)}:{_dump(item, depth + 1)}" for key, item in value.items()]) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join([_dump(item, depth + 1) for item in value]) + "]"
    return _dump(_plain(value), depth + 1)


def _dump_key(key: Any) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    if isinstance(key, str):
        return _dump_text(key)
    if key is None or isinstance(key, int | float):
        return f'"{_dump(key, 0).strip(chr(34))}"'
    return _dump_text(key.isoformat() if hasattr(key, "isoformat") else _text(key))


def _dump_integer(number: int) -> str:
    if _MIN_INTEGER <= number <= _MAX_INTEGER:
        return orjson.dumps(int(number)).decode()
    try:
        return int.__repr__(number)
    except ValueError:  # more digits than Python is willing to write (sys.set_int_max_str_digits)
        return f'"{hex(number)}"'


def _dump_text(text: str) -> str:
    try:
        return orjson.dumps(str(text)).decode()
    except orjson.JSONEncodeError:
        # Differs from orjson only in passing lone surrogates, which then become escapes.
        return json.dumps(text, ensure_ascii=False).encode(errors="backslashreplace").decode()
