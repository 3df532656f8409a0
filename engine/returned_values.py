"""What a handler returned or raised, as plain values that none of the team's code has a say in any more.

A subclass of `str` may answer as it likes whatever it is asked, an exception may fail at its own text, and a column
may hold what Python has no value for. Whoever asks for these meets nothing of it behind here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars

#: How Python shows where an object lies: another place in each process, where result files are to be the same.
_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+(?=>)")
_WHOLE = slice(None)
#: Names under which forms and serializers have the errors of no field.
_OF_NO_FIELD = ("__all__", "non_field_errors")
#: Where ValidationErrors have their errors: by field, without one, and REST framework's.
_ATTRIBUTES_OF_REASONS = ("message_dict", "messages", "detail")
#: The name of a class, whatever its metaclass says.
_name_of_type = type.__dict__["__name__"].__get__


def plain_text(value: Any) -> str:
    """The text that a value is, or `str(value)` without memory addresses; exactly a `str`. Raises what that raises."""
    if isinstance(value, str):
        return str.__getitem__(value, _WHOLE)
    return without_addresses(str.__getitem__(str(value), _WHOLE))


def reason_text(error: Any) -> str:
    """As `plain_text`, with the errors of a form or a serializer as a line to read.

    `{"email": ["Enter a valid email address.", "Taken."]}` is `email: Enter a valid email address. Taken.`
    """
    if isinstance(error, dict):
        texts = ((plain_text(name), reason_text(value)) for name, value in error.items())
        return "; ".join(text if name in _OF_NO_FIELD else f"{name}: {text}" for name, text in texts if text)
    if isinstance(error, list | tuple):
        return " ".join(filter(None, map(reason_text, error)))
    return plain_text(error)


def exception_text(error: BaseException) -> str:
    """What an exception says; of a ValidationError the reasons, as `reason_text`. Raises what its class does."""
    for name in _ATTRIBUTES_OF_REASONS:
        reasons = getattr(error, name, None)
        if isinstance(reasons, dict | list):
            return reason_text(reasons)
    return plain_text(error)


def without_addresses(text: str) -> str:
    """`<Thing object at 0x7f…>` as `<Thing object>`."""
    return _ADDRESS.sub("", text) if " at 0x" in text else text


def type_name(value: Any) -> str:
    """The name of a value's type; never raises."""
    return str.__getitem__(_name_of_type(type(value)), _WHOLE)


def column_values(column: polars.Series) -> list[Any]:
    """The values of a column; a date or duration beyond Python's is the number that stands for it. Never raises.

    The same value gives the same, whatever stands beside it.
    """
    try:
        return column.to_list()
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - a panic of polars is no Exception
        if len(column) == 1:
            return [_physical_value(column)]
    middle = len(column) // 2
    return column_values(column[:middle]) + column_values(column[middle:])


def frame_values(frame: polars.DataFrame) -> list[dict[str, Any]]:
    """Each row of a frame as a dict, of values as `column_values` gives them."""
    columns = [column_values(column) for column in frame.get_columns()]
    return [dict(zip(frame.columns, row, strict=True)) for row in zip(*columns, strict=True)]


def _physical_value(column: polars.Series) -> Any:
    try:
        return column.to_physical().to_list()[0]
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - as above
        return f"<{column.dtype}>"
