"""`rowmill inspect`, `status`, `pause` and `cancel`."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict

from engine import runs
from engine.cli import flags
from engine.cli.console import write, write_json
from engine.cli.given_options import import_options
from engine.cli.inspection_text import inspection_text
from engine.cli.summary import summary
from engine.config import EngineConfig
from engine.errors import EXIT_SUCCEEDED
from engine.inspection import inspect
from engine.report import JobReport
from engine.status import Status

#: Characters of a line where the width of the terminal is unknown.
_DEFAULT_WIDTH = 100


def inspect_source(arguments: argparse.Namespace, _words: Sequence[str]) -> int:
    """Print what a source is; returns the exit code."""
    options = import_options(arguments, flags.READING_FLAGS)
    config = EngineConfig.from_env(s3_endpoint_url=arguments.s3_endpoint_url)
    inspection = inspect(arguments.source, config=config, options=options)
    if arguments.json:
        write_json(asdict(inspection))
    else:
        write(inspection_text(inspection, width=shutil.get_terminal_size((_DEFAULT_WIDTH, 24)).columns))
    return EXIT_SUCCEEDED


def show_status(arguments: argparse.Namespace, _words: Sequence[str]) -> int:
    """Print how far a job is; returns the exit code, which is not the job's."""
    return _tell(runs.status, arguments)


def cancel_job(arguments: argparse.Namespace, _words: Sequence[str]) -> int:
    """Ask for a job's end and print how it is; returns the exit code."""
    return _tell(runs.cancel, arguments, _cancel_text)


def pause_job(arguments: argparse.Namespace, _words: Sequence[str]) -> int:
    """Have no further chunk begin and print how the job is; returns the exit code."""
    return _tell(runs.pause, arguments, lambda report: f"Job {report.job.job_id} pauses after the chunks in hand.")


def _tell(
    act: Callable[..., JobReport],
    arguments: argparse.Namespace,
    say: Callable[[JobReport], str] | None = None,
) -> int:
    """Do something with the job that is meant, and print how it is then.

    Args:
        say: what people are told before.
    """
    output_dir = flags.OUTPUT_DIR.value_in(arguments) or runs.DEFAULT_OUTPUT_DIR
    report = act(arguments.job_id, output_dir=output_dir, ledger=arguments.ledger)
    if arguments.json:
        write_json(report.to_dict())
        return EXIT_SUCCEEDED
    if say is not None:
        write(say(report))
    write(summary(report))
    return EXIT_SUCCEEDED


def _cancel_text(report: JobReport) -> str:
    job_id, status = report.job.job_id, report.job.status
    if status is Status.CANCELLED:
        return f"Job {job_id} is cancelled."
    if status.is_final:
        return f"Job {job_id} had {status} before; there is nothing left to cancel."
    return f"Job {job_id} will end after the batches in hand; what is done gets its result files."
