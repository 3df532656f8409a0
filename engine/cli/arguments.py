"""The commands, their arguments, and what their help says."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any, NoReturn

from engine.cli.console import write
from engine.cli.exit_codes import exit_codes
from engine.cli.flag import Flag
from engine.cli.flags import (
    BATCH_HANDLER,
    EXECUTOR,
    HANDLER,
    JOBS_EXECUTOR,
    LEDGER,
    OPTION,
    OUTPUT_DIR,
    READING_FLAGS,
    REDIS_URL,
    RUNNING_FLAGS,
    S3_ENDPOINT_URL,
    WORKERS,
)
from engine.errors import OptionError

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


class _Version(argparse.Action):
    """Looks the version up when it is asked for: that takes a tenth of the time in which a command starts."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        version = import_module("importlib.metadata").version("rowmill")
        write(f"rowmill {version}")
        parser.exit()


def make_parser() -> Parser:
    """The parser of `rowmill` with its commands."""
    parser = Parser(
        prog="rowmill",
        description="Import huge CSV and Excel files: every row is in exactly one of two result files.",
        epilog=f"examples:\n  rowmill inspect people.csv\n  rowmill run people.csv --handler handlers.save_person\n"
        f"\n{_exit_codes_text()}",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and end")
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
    group.add_argument(
        "--overwrite",
        action="store_true",
        help="replace result files of another source that have the same names (default: refuse to begin)",
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
            _add(command, "where it runs", JOBS_EXECUTOR, WORKERS, REDIS_URL, S3_ENDPOINT_URL)
        _add_talk(command)
    return parser


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
