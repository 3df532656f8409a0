"""The import options of one job: names, types, bounds and defaults.

`KNOWN` is the single table; the command line, the API and the README's list follow it. A key that
is not in it is a custom option: it goes to the handler as it came and nowhere else.
"""

from __future__ import annotations

import codecs
import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal

from engine.errors import OptionError

#: Rows; the guide's default.
DEFAULT_BATCH_SIZE = 500
#: Rows that a batch handler is called with: a call costs some tenths of a millisecond for the frame alone.
DEFAULT_BATCH_SIZE_IN_BATCH_MODE = 20_000
#: Levels of the custom options: they are copied by recursion, here and in whatever keeps them.
MAX_CUSTOM_OPTIONS_DEPTH = 32
#: Of the custom options' JSON, which is kept with the job and copied for every chunk.
MAX_CUSTOM_OPTIONS_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """The options of one job, checked."""

    batch_size: int = DEFAULT_BATCH_SIZE
    """Rows between two looks at progress and cancel, and those a batch handler is called with; 1 to 100,000."""
    count_total_first: bool = True
    """Whether the scan ends before the first chunk starts, so that the percentage is known throughout."""
    header_rows: int = 1
    """Records before the data; 0 to 1,000. The last of them names the columns."""
    output_format: Literal["csv", "xlsx"] = "csv"
    create_result_file_records: bool = True
    """Whether the Django integration makes FileModel records of the result files."""
    handler_path: str | None = None
    """A handler among the allowed ones, in place of the view's."""
    chunk_size: int | None = None
    """Rows in a chunk, at most; 1 to 10,000,000. None: the engine chooses."""
    delimiter: str | None = None
    """One character; None: found by looking."""
    quote_char: str | None = None
    """One character, or "" where quotes mean nothing; None: found by looking."""
    escape_char: str | None = None
    """One character, or "" where there is none; None: found by looking."""
    skip_initial_space: bool | None = None
    """Whether blanks at the start of a cell are left out; None: only those before a quoted cell, if it has some."""
    encoding: str | None = None
    """A codec name such as "utf-8", "cp1252", "utf-16"; None: found by looking."""
    skip_rows: int | None = None
    """Lines, or rows of a sheet, above the header that are left out; 0 to 1,000,000. None: found by looking."""
    decimal: str | None = None
    """The decimal mark of its numbers, "." or ","; None: found by looking. Cells stay as they are."""
    added_columns: Literal["auto", "ignore", "keep"] = "auto"
    """Whether the last column is one that a result file adds: "auto" tells by a positional header."""
    sheet: str | int | None = None
    """Of a workbook, by name or by number counted from 1; None: the first visible one that has cells."""
    table: str | None = None
    """Of a workbook: an Excel table, a named range, or a range such as A3:J500; None: all cells of the sheet."""
    member: str | None = None
    """The file in a ZIP archive that is the table; None: the only one."""
    result_header: Literal["positional", "source"] = "positional"
    """Result files name columns col_0, col_1, … or as the source's header does."""
    max_errors: int | None = None
    """Refused rows after which the job ends as failed; 0 and more. None: any number."""
    max_error_rate: float | None = None
    """Share of refused rows, 0 to 1, with the same end; judged after 1,000 rows, or the whole of a shorter source."""
    custom: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Every unknown key of the request, for the handler."""

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> ImportOptions:
        """Check what a request or a command line gave.

        Args:
            given: option names to values; values as JSON has them (no strings for numbers).

        Raises:
            OptionError: a known option has a wrong type or is out of bounds, or the custom ones
                are not JSON or too large. The fact `option` names the culprit.
        """
        if not isinstance(given, Mapping):
            raise _refusal("options", "options must be an object of names and values.")
        known: dict[str, Any] = {}
        custom: dict[str, Any] = {}
        for name, value in given.items():
            check = KNOWN.get(name)
            if check is None:
                custom[str(name)] = value
            else:
                known[name] = check(name, value)
        if _is_nested_deeper(custom, MAX_CUSTOM_OPTIONS_DEPTH):
            template = "A custom option is nested more than %(limit)s levels deep."
            raise _refusal("options", template, limit=str(MAX_CUSTOM_OPTIONS_DEPTH))
        try:
            text = json.dumps(custom, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise _refusal("options", "A custom option is not JSON: %(why)s.", why=str(error)) from error
        if len(text) > MAX_CUSTOM_OPTIONS_BYTES:
            template = "The custom options take %(size)s bytes; %(limit)s are allowed."
            raise _refusal("options", template, size=f"{len(text):,}", limit=f"{MAX_CUSTOM_OPTIONS_BYTES:,}")
        # As a ledger gives them back, so that a handler and a resumed run see the same (lists for tuples).
        options = cls(**known, custom=MappingProxyType(json.loads(text)))
        if options.delimiter and options.delimiter == options.quote_char:
            raise _refusal("quote_char", "delimiter and quote_char must differ.")
        if options.escape_char and options.escape_char in (options.delimiter, options.quote_char):
            raise _refusal("escape_char", "escape_char must differ from delimiter and quote_char.")
        return options

    @staticmethod
    def defaults_for(mode: Literal["row", "batch"]) -> dict[str, int]:
        """Defaults that differ from the fields' own, by what the handler is called with."""
        if mode == "row":
            return {}
        return {"batch_size": DEFAULT_BATCH_SIZE_IN_BATCH_MODE}

    def for_handler(self) -> dict[str, Any]:
        """A fresh dict of what the handler sees: every known option, then the custom ones."""
        known = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "custom"}
        return {**known, **copy.deepcopy(dict(self.custom))}


def _refusal(option: str, template: str, **values: Any) -> OptionError:
    """An error whose facts `template` and `values` let another room say it in another language."""
    values = {"name": option, **values}
    return OptionError(template % values, option=option, template=template, values=values)


def _integer(low: int, high: int, *, or_none: bool = False) -> Any:
    def check(name: str, value: Any) -> int | None:
        if value is None and or_none:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise _refusal(name, "%(name)s must be a whole number, not %(value)s.", value=_show(value))
        if not low <= value <= high:
            template = "%(name)s must be from %(low)s to %(high)s, not %(value)s."
            shown = f"{value:,}" if abs(value) < 10**15 else "such a long number"
            raise _refusal(name, template, low=f"{low:,}", high=f"{high:,}", value=shown)
        return value

    return check


def _share(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise _refusal(name, "%(name)s must be a number from 0 to 1, not %(value)s.", value=_show(value))
    return float(value)


def _boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _refusal(name, "%(name)s must be true or false, not %(value)s.", value=_show(value))
    return value


def _boolean_or_none(name: str, value: Any) -> bool | None:
    return None if value is None else _boolean(name, value)


def _choice(*choices: str, or_none: bool = False) -> Any:
    def check(name: str, value: Any) -> str | None:
        if value is None and or_none:
            return None
        if not isinstance(value, str) or value not in choices:
            template = '%(name)s must be "%(first)s" or "%(second)s", not %(value)s.'
            first = '", "'.join(choices[:-1])
            raise _refusal(name, template, first=first, second=choices[-1], value=_show(value))
        return value

    return check


def _text_or_none(name: str, value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not value):
        raise _refusal(name, "%(name)s must be a text, not %(value)s.", value=_show(value))
    return value


def _sheet(name: str, value: Any) -> str | int | None:
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        template = "%(name)s must be the name of a sheet, or its number counted from 1, not %(value)s."
        raise _refusal(name, template, value=_show(value))
    if isinstance(value, str):
        return _text_or_none(name, value)
    return value if value is None else int(_integer(1, 10_000)(name, value))


def _character(*, may_be_empty: bool) -> Any:
    def check(name: str, value: Any) -> str | None:
        if value is None:
            return None
        if isinstance(value, str) and value == r"\t":
            return "\t"
        if value == "" and may_be_empty:
            return ""
        if not isinstance(value, str) or len(value) != 1 or value in "\r\n\0" or not value.isascii():
            raise _refusal(name, "%(name)s must be one ASCII character, not %(value)s.", value=_show(value))
        return value

    return check


def _encoding(name: str, value: Any) -> str | None:
    if value is None:
        return None
    try:
        info = codecs.lookup(value)
        if not info._is_text_encoding:
            raise LookupError(value)
        "a".encode(info.name)  # there is one, called "undefined", that cannot
        return info.name
    except (LookupError, TypeError, ValueError) as error:
        template = '%(name)s must be a known text encoding such as "utf-8" or "cp1252", not %(value)s.'
        raise _refusal(name, template, value=_show(value)) from error


def _show(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - an object of the caller's, or a number with too many digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


#: Option name → its check. The order is the order of the README's table.
KNOWN: Mapping[str, Any] = MappingProxyType(
    {
        "batch_size": _integer(1, 100_000),
        "count_total_first": _boolean,
        "header_rows": _integer(0, 1_000),
        "output_format": _choice("csv", "xlsx"),
        "create_result_file_records": _boolean,
        "handler_path": _text_or_none,
        "chunk_size": _integer(1, 10_000_000, or_none=True),
        "delimiter": _character(may_be_empty=False),
        "quote_char": _character(may_be_empty=True),
        "escape_char": _character(may_be_empty=True),
        "skip_initial_space": _boolean_or_none,
        "encoding": _encoding,
        "skip_rows": _integer(0, 1_000_000, or_none=True),
        "decimal": _choice(".", ",", or_none=True),
        "added_columns": _choice("auto", "ignore", "keep"),
        "sheet": _sheet,
        "table": _text_or_none,
        "member": _text_or_none,
        "result_header": _choice("positional", "source"),
        "max_errors": _integer(0, 2**53, or_none=True),
        "max_error_rate": _share,
    }
)


def _is_nested_deeper(value: object, levels: int) -> bool:
    """Whether there are more levels; looks at no more than it must, so that nothing overflows."""
    if not isinstance(value, Mapping | list | tuple):
        return False
    items = value.values() if isinstance(value, Mapping) else value
    return levels == 0 or any(_is_nested_deeper(item, levels - 1) for item in items)
