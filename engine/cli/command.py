"""`rowmill`: from the command line to an exit code."""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import FrameType, MappingProxyType

from engine.cli.arguments import make_parser
from engine.cli.console import flush_streams, prepare_streams, tell
from engine.cli.failure import tell_defect, tell_failure
from engine.cli.logs import configure_logging
from engine.errors import InterruptedJobError, RowmillError

#: Module and function of each command; loaded when it is called, as what inspects takes as long to load as a small run.
_COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "run": ("run_command", "run_source"),
        "inspect": ("query_commands", "inspect_source"),
        "status": ("query_commands", "show_status"),
        "retry": ("again_command", "retry_job"),
        "pause": ("query_commands", "pause_job"),
        "resume": ("again_command", "resume_job"),
        "cancel": ("query_commands", "cancel_job"),
    }
)


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit code; no error leaves as a traceback unasked.

    Args:
        words: the command line after the program's name; None for this process's own.
    """
    words = sys.argv[1:] if words is None else list(words)
    prepare_streams()
    # Before anything else, so that a `kill` at any moment ends in the same way as Ctrl-C.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _run(words)
    finally:
        flush_streams()


def _command(name: str) -> Callable[[argparse.Namespace, Sequence[str]], int]:
    module, function = _COMMANDS[name]
    command: Callable[[argparse.Namespace, Sequence[str]], int]
    command = getattr(import_module(f"engine.cli.{module}"), function)
    return command


def _run(words: Sequence[str]) -> int:
    # Known before parsing, since parsing may be what fails.
    as_json, debug = "--json" in words, "--debug" in words
    arguments: argparse.Namespace | None = None
    try:
        arguments = make_parser().parse_args(words)
        configure_logging(verbose=arguments.verbose, debug=debug)
        return _command(arguments.command)(arguments, words)
    except RowmillError as error:
        if debug:
            tell(traceback.format_exc().rstrip())
        return tell_failure(error, as_json=as_json, source=getattr(arguments, "source", None))
    except KeyboardInterrupt:
        return tell_failure(InterruptedJobError("The command was interrupted."), as_json=as_json)
    except Exception as error:  # noqa: BLE001 - whatever it is, the user gets a sentence and not a stack
        return tell_defect(error, as_json=as_json, debug=debug, source=getattr(arguments, "source", None))


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
