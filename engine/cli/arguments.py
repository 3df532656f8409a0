"""The flags of every command: name, phrase, unit, default and environment variable of each."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from engine.cli.exit_codes import exit_codes
from engine.config import EngineConfig
from engine.errors import OptionError
from engine.options import ImportOptions
from engine.runs import DEFAULT_OUTPUT_DIR

_OPTIONS = ImportOptions()
_CONFIG = EngineConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One flag that takes a value."""

    name: str
    """As typed, `--batch-size`; the attribute is `batch_size`."""
    value: str
    """What stands for its value in the help."""
    phrase: str
    default: str
    unit: str | None = None
    environment: str | None = None
    """Variable that is read where the flag is not given."""
    is_number: bool = False
    is_boolean: bool = False
    is_repeatable: bool = False

    @property
    def attribute(self) -> str:
        """Its name in Python, and in the import options where it is one of them."""
        return self.name.removeprefix("--").replace("-", "_")

    def help(self) -> str:
        """The phrase with unit, default and environment variable."""
        facts = [
            *([f"unit: {self.unit}"] if self.unit else []),
            f"default: {self.default}",
            *([f"environment: {self.environment}"] if self.environment else []),
        ]
        return f"{self.phrase} ({'; '.join(facts)})".replace("%", "%%")

    def add_to(self, parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
        """Declare it; without the flag its attribute is None, or [] where it can be repeated."""
        settings: dict[str, Any] = {"action": "append", "default": []} if self.is_repeatable else {}
        parser.add_argument(self.name, metavar=self.value, help=self.help(), **settings)

    def value_in(self, arguments: argparse.Namespace) -> Any:
        """What was given by flag, or else by environment; None where neither is."""
        text = getattr(arguments, self.attribute)
        if text is None and self.environment:
            text = os.environ.get(self.environment) or None
        if self.is_boolean:
            return {"true": True, "false": False}.get(text, text)
        return _number(text) if self.is_number and text is not None else text


#: Flags that are import options under the same name: how a file is read.
READING_FLAGS = (
    Flag(
        name="--header-rows",
        value="NUMBER",
        phrase="records before the data; the last of them names the columns",
        unit="records",
        default=str(_OPTIONS.header_rows),
        is_number=True,
    ),
    Flag(
        name="--delimiter",
        value="CHARACTER",
        phrase=r"what separates the cells; \t for a tab",
        default="found by looking",
    ),
    Flag(
        name="--quote-char",
        value="CHARACTER",
        phrase="what encloses a cell; an empty text where quotes mean nothing",
        default="found by looking",
    ),
    Flag(
        name="--escape-char",
        value="CHARACTER",
        phrase="makes a quote, a delimiter or itself behind it part of the cell; an empty text where there is none",
        default="found by looking",
    ),
    Flag(
        name="--skip-initial-space",
        value="true|false",
        phrase="leave out blanks at the start of cells",
        default="only those before a quoted cell, where it has some",
        is_boolean=True,
    ),
    Flag(name="--encoding", value="NAME", phrase="such as utf-8, cp1252 or utf-16", default="found by looking"),
    Flag(name="--member", value="NAME", phrase="the file in a ZIP archive that is the table", default="the only one"),
    Flag(
        name="--skip-rows",
        value="NUMBER",
        phrase="above the header that are no part of the table",
        unit="lines",
        default="found by looking",
        is_number=True,
    ),
    Flag(
        name="--sheet",
        value="NAME",
        phrase="of a workbook, or its number counted from 1",
        default="the first visible one that has cells",
    ),
    Flag(
        name="--table",
        value="NAME",
        phrase="of a workbook: an Excel table, a named range, or a range such as A3:J500",
        default="all cells of the sheet",
    ),
    Flag(
        name="--decimal",
        value=".|,",
        phrase="decimal mark of the numbers, which stay as they are",
        default="found by looking",
    ),
    Flag(
        name="--added-columns",
        value="auto|ignore|keep",
        phrase="what to do with a last column import_error or import_result; auto ignores it below a positional header",
        default=_OPTIONS.added_columns,
    ),
    Flag(
        name="--chunk-size",
        value="NUMBER",
        phrase="the most rows that are dispatched, retried and counted together",
        unit="rows",
        default="chosen by the engine",
        environment="ROWMILL_CHUNK_SIZE",
        is_number=True,
    ),
)
#: Flags that are import options under the same name: how rows are run and results written.
RUNNING_FLAGS = (
    Flag(
        name="--batch-size",
        value="NUMBER",
        phrase="between two looks at progress and cancel",
        unit="rows",
        default=str(_OPTIONS.batch_size),
        environment="ROWMILL_BATCH_SIZE",
        is_number=True,
    ),
    Flag(
        name="--output-format",
        value="csv|xlsx",
        phrase="format of the two result files",
        default=_OPTIONS.output_format,
        environment="ROWMILL_OUTPUT_FORMAT",
    ),
    Flag(
        name="--max-errors",
        value="NUMBER",
        phrase="refused rows beyond which the job ends as failed",
        unit="rows",
        default="any number",
        environment="ROWMILL_MAX_ERRORS",
        is_number=True,
    ),
    Flag(
        name="--max-error-rate",
        value="SHARE",
        phrase="share of refused rows with the same end, judged after 1,000 rows or at the end of a shorter source",
        unit="0 to 1",
        default="any share",
        environment="ROWMILL_MAX_ERROR_RATE",
        is_number=True,
    ),
    Flag(
        name="--result-header",
        value="positional|source",
        phrase="name the columns of the result files col_0, col_1, … or as the source does",
        default=_OPTIONS.result_header,
        environment="ROWMILL_RESULT_HEADER",
    ),
)
OPTION = Flag(
    name="--option",
    value="KEY=VALUE",
    phrase="an import option, or any other name, which goes to the handler; VALUE is read as JSON where it is "
    "JSON, else as text; may be repeated",
    default="none",
    is_repeatable=True,
)
HANDLER = Flag(
    name="--handler",
    value="PATH",
    phrase="the function that decides over a row, as package.module.function; the current folder is searched first",
    default="none, this or --batch-handler must be given",
)
BATCH_HANDLER = Flag(
    name="--batch-handler",
    value="PATH",
    phrase="in its place, a function that decides over a polars frame of rows at once",
    default="none",
)
EXECUTOR = Flag(
    name="--executor",
    value="local|celery",
    phrase="run the rows in processes of this command, or on Celery workers that were started elsewhere",
    default="local",
    environment="ROWMILL_EXECUTOR",
)
WORKERS = Flag(
    name="--workers",
    value="NUMBER",
    phrase="how many the local executor starts",
    unit="processes",
    default="one per processor",
    environment="ROWMILL_WORKERS",
    is_number=True,
)
OUTPUT_DIR = Flag(
    name="--output-dir",
    value="PLACE",
    phrase="a folder or s3://bucket/prefix for the two result files",
    default=DEFAULT_OUTPUT_DIR,
    environment="ROWMILL_OUTPUT_DIR",
)
LEDGER = Flag(
    name="--ledger",
    value="PLACE",
    phrase="the SQLite file that knows jobs and chunks: a path or sqlite:///path",
    default=".rowmill/ledger.sqlite3 below --output-dir",
    environment="ROWMILL_LEDGER",
)
REDIS_URL = Flag(
    name="--redis-url",
    value="URL",
    phrase="broker and live counters of the celery executor",
    default=_CONFIG.redis_url,
    environment="REDIS_URL",
)
S3_ENDPOINT_URL = Flag(
    name="--s3-endpoint-url",
    value="URL",
    phrase="where S3 is, for s3:// addresses",
    default="Amazon's",
    environment="S3_ENDPOINT_URL",
)

_RUN_EXAMPLES = """\
examples:
  rowmill run people.csv --handler handlers.save_person
  rowmill run people.csv --handler handlers.save_person --option update_existing=true --workers 4
  rowmill run s3://uploads/people.csv --handler handlers.save_person --executor celery \\
      --output-dir s3://results/people --ledger /srv/rowmill/ledger.sqlite3
  rowmill run people.csv --handler handlers.save_person --resume
  rowmill run people.csv --batch-handler handlers.save_people
"""
_INSPECT_EXAMPLES = """\
examples:
  rowmill inspect people.csv
  rowmill inspect people.xlsx --sheet 'Staff 2024'
  rowmill inspect s3://uploads/people.csv --encoding cp1252 --delimiter ';' --json
"""
_STATUS_EXAMPLES = """\
examples:
  rowmill status
  rowmill status 1a2b3c4d --output-dir results --json
"""
_PAUSE_EXAMPLES = """\
examples:
  rowmill pause
  rowmill pause 1a2b3c4d --output-dir results
"""
_RESUME_EXAMPLES = """\
examples:
  rowmill resume
  rowmill resume 1a2b3c4d --output-dir results --workers 4
"""
_RETRY_EXAMPLES = """\
examples:
  rowmill retry
  rowmill retry 1a2b3c4d --output-dir results --workers 4
"""
_CANCEL_EXAMPLES = """\
examples:
  rowmill cancel
  rowmill cancel 1a2b3c4d --ledger /srv/rowmill/ledger.sqlite3
"""


class Parser(argparse.ArgumentParser):
    """A parser whose complaints travel like every other error; a flag is only known by its full name."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": argparse.RawDescriptionHelpFormatter, **settings})

    def error(self, message: str) -> NoReturn:
        """Raise OptionError in place of leaving the process."""
        raise OptionError(f"{message[:1].upper()}{message[1:]}.", usage=self.format_usage().strip())


def make_parser() -> Parser:
    """The parser of `rowmill` with its commands."""
    parser = Parser(
        prog="rowmill",
        description="Import huge CSV and Excel files: every row is in exactly one of two result files.",
        epilog=f"examples:\n  rowmill inspect people.csv\n  rowmill run people.csv --handler handlers.save_person\n"
        f"\n{_exit_codes_text()}",
    )
    version = importlib.metadata.version("rowmill")
    parser.add_argument("--version", action="version", version=f"rowmill {version}", help="print the version and end")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands")

    run = _command(commands, "run", "import a source and wait for the end", _RUN_EXAMPLES)
    run.add_argument("source", metavar="SOURCE", help="a CSV file or workbook, or s3://bucket/key")
    _add_one_of(run, "handler, one of", HANDLER, BATCH_HANDLER)
    _add(run, "import options", OPTION, *READING_FLAGS, *RUNNING_FLAGS).add_argument(
        "--no-count-first",
        action="store_true",
        help="begin with the first chunks while rows are still being counted (default: count first)",
    )
    group = _add(run, "where it runs", EXECUTOR, WORKERS, OUTPUT_DIR, LEDGER, REDIS_URL, S3_ENDPOINT_URL)
    group.add_argument(
        "--resume",
        action="store_true",
        help="go on with the newest unfinished job of the same source, handler, options and output "
        "(default: begin a new job)",
    )
    _add_talk(run)

    inspect = _command(
        commands, "inspect", "print dialect, encoding, header, row count and first rows", _INSPECT_EXAMPLES
    )
    inspect.add_argument("source", metavar="SOURCE", help="a CSV file or workbook, or s3://bucket/key")
    _add(inspect, "options", *READING_FLAGS, OPTION, S3_ENDPOINT_URL)
    _add_talk(inspect)

    for name, phrase, examples in (
        ("status", "print how far a job is", _STATUS_EXAMPLES),
        ("retry", "run the refused rows of an ended job again, in a job of their own", _RETRY_EXAMPLES),
        ("pause", "have no further chunk of a job begin; those in hand end", _PAUSE_EXAMPLES),
        (
            "resume",
            "let a paused job go on in the processes that run it; go on here with one that failed or was left",
            _RESUME_EXAMPLES,
        ),
        ("cancel", "end a job; what was done by then gets its result files", _CANCEL_EXAMPLES),
    ):
        command = _command(commands, name, phrase, examples)
        command.add_argument(
            "job_id", metavar="JOB_ID", nargs="?", help="its id or the first characters of it (default: the newest job)"
        )
        _add(command, "where the job is", OUTPUT_DIR, LEDGER)
        if name in ("retry", "resume"):
            _add(command, "where it runs", EXECUTOR, WORKERS, REDIS_URL, S3_ENDPOINT_URL)
        _add_talk(command)
    return parser


def import_options(arguments: argparse.Namespace, flags: Sequence[Flag]) -> dict[str, Any]:
    """The options of the command line as `ImportOptions.from_mapping` takes them; it also checks them.

    Raises:
        OptionError: an option is not of the form KEY=VALUE, or is given twice.
    """
    options: dict[str, Any] = {}
    for text in arguments.option:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise OptionError(f"--option must be of the form KEY=VALUE, not {text!r}.", option="option")
        if name in options:
            raise OptionError(f"The option {name} is given twice. Give it once.", option=name)
        options[name] = _json_or_text(value)
    for flag in flags:
        if getattr(arguments, flag.attribute) is not None and flag.attribute in options:
            raise OptionError(
                f"{flag.attribute} is given by {flag.name} and by --option. Give it once.", option=flag.attribute
            )
        value = flag.value_in(arguments)
        if value is not None:
            options.setdefault(flag.attribute, value)
    if getattr(arguments, "no_count_first", False):
        if options.get("count_total_first", False) is True:
            raise OptionError("--no-count-first and count_total_first=true contradict.", option="count_total_first")
        options["count_total_first"] = False
    return options


def workers_in(arguments: argparse.Namespace) -> int | None:
    """How many processes were asked for. Raises OptionError where that is no number."""
    workers = WORKERS.value_in(arguments)
    if workers is not None and not isinstance(workers, int):
        raise OptionError(f"workers must be a whole number, not {workers!r}.", option="workers")
    return workers


def _command(commands: Any, name: str, phrase: str, examples: str) -> Parser:
    parser: Parser = commands.add_parser(
        name,
        help=phrase,
        description=f"{phrase[:1].upper()}{phrase[1:]}.",
        epilog=f"{examples}\n{_exit_codes_text()}",
    )
    return parser


def _add(parser: Parser, title: str, *flags: Flag) -> argparse._ArgumentGroup:
    group = parser.add_argument_group(title)
    for flag in flags:
        flag.add_to(group)
    return group


def _add_one_of(parser: Parser, title: str, *flags: Flag) -> None:
    group = parser.add_argument_group(title).add_mutually_exclusive_group(required=True)
    for flag in flags:
        flag.add_to(group)


def _add_talk(parser: Parser) -> None:
    group = parser.add_argument_group("what is printed")
    group.add_argument(
        "--json", action="store_true", help="print exactly one JSON object to stdout (default: text for people)"
    )
    group.add_argument("--verbose", action="store_true", help="log every job and chunk to stderr (default: warnings)")
    group.add_argument(
        "--debug", action="store_true", help="show the traceback of an error (default: its message only)"
    )


def _exit_codes_text() -> str:
    return "exit codes:\n" + "\n".join(f"  {code:>3}  {meaning}" for code, meaning in exit_codes().items())


def _number(text: str) -> float | str:
    """A number; anything else stays as it is, for the option's own check to name."""
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_not_json)
    except (ValueError, RecursionError):
        return text


def _not_json(name: str) -> NoReturn:
    """NaN and Infinity, which Python's parser lets pass, are no JSON and so are texts."""
    raise ValueError(name)
