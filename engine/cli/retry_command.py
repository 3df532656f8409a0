"""`rowmill retry`."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Sequence

from engine import runs
from engine.cli import arguments as flags
from engine.cli.console import write, write_json
from engine.cli.failure import tell_failure
from engine.cli.progress_display import make_display
from engine.cli.run_command import EXIT_CODES, program
from engine.cli.summary import summary
from engine.config import EngineConfig
from engine.errors import EXIT_JOB_FAILED, RowmillError
from engine.report import JobReport


def retry_job(arguments: argparse.Namespace, words: Sequence[str]) -> int:
    """Run the refused rows of a job again and print what came of it; returns the exit code."""
    output_dir = flags.OUTPUT_DIR.value_in(arguments) or runs.DEFAULT_OUTPUT_DIR
    config = EngineConfig.from_env(redis_url=arguments.redis_url, s3_endpoint_url=arguments.s3_endpoint_url)
    display, seen, started_at = make_display(), list[JobReport](), time.monotonic()

    def see(report: JobReport) -> None:
        seen[:] = [report]
        display.show(report)

    try:
        with display:
            report = runs.retry(
                arguments.job_id,
                output_dir=output_dir,
                executor=flags.EXECUTOR.value_in(arguments) or "local",
                workers=flags.workers_in(arguments),
                ledger=arguments.ledger,
                config=config,
                on_progress=see,
            )
    except RowmillError as error:
        how = f"Go on with: {shlex.join([*program(), *words])}" if seen else None
        return tell_failure(error, as_json=arguments.json, report=seen[0] if seen else None, how_to_go_on=how)
    seconds = time.monotonic() - started_at
    display.end(report, seconds=seconds)
    if arguments.json:
        write_json(report.to_dict())
    else:
        write(summary(report, seconds=seconds, rows=report.counts.processed_rows))
    return EXIT_CODES.get(report.job.status, EXIT_JOB_FAILED)
