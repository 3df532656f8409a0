"""`rowmill retry` and `rowmill resume`: a job of the ledger is gone on with here."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence

from engine import runs
from engine.cli import flags
from engine.cli.console import write, write_json
from engine.cli.failure import tell_failure
from engine.cli.given_options import workers_in
from engine.cli.progress_display import make_display
from engine.cli.run_command import EXIT_CODES, program
from engine.cli.summary import summary
from engine.config import EngineConfig
from engine.errors import EXIT_JOB_FAILED, EXIT_SUCCEEDED, RowmillError
from engine.report import JobReport


def retry_job(arguments: argparse.Namespace, words: Sequence[str]) -> int:
    """Run the refused rows of a job again and print what came of it; returns the exit code."""
    return _go_on(runs.retry, arguments, words)


def resume_job(arguments: argparse.Namespace, words: Sequence[str]) -> int:
    """Have a job go on and print what came of it; returns the exit code, which is the job's if it was run here."""
    return _go_on(runs.resume, arguments, words)


def _go_on(act: Callable[..., JobReport], arguments: argparse.Namespace, words: Sequence[str]) -> int:
    output_dir = flags.OUTPUT_DIR.value_in(arguments) or runs.DEFAULT_OUTPUT_DIR
    config = EngineConfig.from_env(redis_url=arguments.redis_url, s3_endpoint_url=arguments.s3_endpoint_url)
    display, seen, started_at = make_display(), list[JobReport](), time.monotonic()
    # A handler's module stands beside whoever calls, not beside this program.
    sys.path.insert(0, os.getcwd())

    def see(report: JobReport) -> None:
        # The first one stays: it tells the rows that were done before.
        seen[len(seen) and 1 :] = [report]
        display.show(report)

    try:
        with display:
            report = act(
                arguments.job_id,
                output_dir=output_dir,
                executor=flags.EXECUTOR.value_in(arguments),
                workers=workers_in(arguments),
                ledger=arguments.ledger,
                config=config,
                on_progress=see,
                on_interrupt=lambda: display.say(
                    "rowmill: interrupted; chunks in hand get a few seconds to end (again Ctrl-C: none)"
                ),
            )
    except RowmillError as error:
        how = f"Go on with: {shlex.join([*program(), *words])}" if seen else None
        return tell_failure(error, as_json=arguments.json, report=seen[-1] if seen else None, how_to_go_on=how)
    if not report.job.status.is_final:
        return _tell_that_it_goes_on(report, as_json=arguments.json)
    seconds = time.monotonic() - started_at
    display.end(report, seconds=seconds)
    if arguments.json:
        write_json(report.to_dict())
    else:
        before = seen[0].counts.processed_rows if seen else 0
        write(summary(report, seconds=seconds, rows=report.counts.processed_rows - before))
    return EXIT_CODES.get(report.job.status, EXIT_JOB_FAILED)


def _tell_that_it_goes_on(report: JobReport, *, as_json: bool) -> int:
    if as_json:
        write_json(report.to_dict())
    else:
        job_id = report.job.job_id
        write(f"Job {job_id} goes on in the processes that run it. If there are none any more, resume it once more.")
        write(summary(report))
    return EXIT_SUCCEEDED
