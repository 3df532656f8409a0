"""`rowmill run`."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module

from engine import runs
from engine.cli import flags
from engine.cli.console import write, write_json
from engine.cli.failure import is_worth_resuming, tell_failure
from engine.cli.given_options import import_options, workers_in
from engine.cli.progress_display import make_display
from engine.cli.summary import summary
from engine.config import EngineConfig
from engine.errors import (
    EXIT_JOB_CANCELLED,
    EXIT_JOB_FAILED,
    EXIT_SUCCEEDED,
    InterruptedJobError,
    RowmillError,
)
from engine.native import loops
from engine.report import JobReport
from engine.runtime.local_fork import ForkedProcess, can_fork, fork_workers
from engine.runtime.process_memory import ROWS_BYTES, keep_freed_memory
from engine.status import Status
from engine.storage import load_for

#: Workers that are forked, at most; a machine may start so many in a moment, and refuse thousands.
_MOST_FORKS = 64
#: How a job's end becomes the command's.
EXIT_CODES = {Status.SUCCEEDED: EXIT_SUCCEEDED, Status.CANCELLED: EXIT_JOB_CANCELLED}


class _Watch:
    """Remembers when the run began, with how many rows, and the newest report."""

    def __init__(self) -> None:
        self.started_at = time.monotonic()
        self.rows_before = 0
        self.report: JobReport | None = None

    def see(self, report: JobReport) -> None:
        if self.report is None:
            self.rows_before = report.counts.processed_rows
        self.report = report


def run_source(arguments: argparse.Namespace, words: Sequence[str]) -> int:
    """Import a source and print what came of it; returns the exit code.

    Args:
        words: the command line after the program's name, for telling how to resume.
    """
    given = _Given(arguments)
    keep_freed_memory(ROWS_BYTES)
    forked = _fork_workers(given)
    watch = _Watch()
    display = make_display()
    if loops is None:
        # The scan needs it then; before a file of that name beside the handler could be taken for it.
        import_module("numpy")
    # A handler's module stands beside whoever calls, not beside this program.
    sys.path.insert(0, os.getcwd())
    if not arguments.resume:
        _hint_at_unfinished(given, display.say)

    def see(report: JobReport) -> None:
        watch.see(report)
        display.show(report)

    try:
        with display:
            report = runs.run(
                arguments.source,
                given.handler,
                batch_handler=given.batch_handler,
                output_dir=given.output_dir,
                executor=given.executor,  # type: ignore[arg-type]  # checked there, with an error that names it
                workers=given.workers,
                resume=arguments.resume,
                overwrite=arguments.overwrite,
                ledger=given.ledger,
                config=given.config,
                on_progress=see,
                on_interrupt=lambda: display.say(
                    "rowmill: interrupted; chunks in hand get a few seconds to end (again Ctrl-C: none)"
                ),
                forked=forked,
                options=given.options,
            )
    except RowmillError as error:
        return _tell_failure(error, arguments, given, watch, words)
    except KeyboardInterrupt:
        return _tell_failure(InterruptedJobError("The command was interrupted."), arguments, given, watch, words)
    seconds = time.monotonic() - watch.started_at
    display.end(report, seconds=seconds)
    if arguments.json:
        write_json(report.to_dict())
    else:
        write(summary(report, seconds=seconds, rows=report.counts.processed_rows - watch.rows_before))
    return EXIT_CODES.get(report.job.status, EXIT_JOB_FAILED)


def _fork_workers(given: _Given) -> list[ForkedProcess]:
    """The workers of a local run, forked before anything else is loaded or begun, where that is possible."""
    count = os.cpu_count() or 1 if given.workers is None else given.workers
    load_for([given.source_url, given.output_dir], given.config)
    if given.executor != "local" or not 0 < count <= _MOST_FORKS or not can_fork():
        return []
    return fork_workers(count, import_path=[os.getcwd(), *sys.path])


class _Given:
    """The command line and the environment, put together."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.handler: str | None = arguments.handler
        self.batch_handler: str | None = arguments.batch_handler
        self.options = import_options(arguments, (*flags.READING_FLAGS, *flags.RUNNING_FLAGS))
        self.executor: str = flags.EXECUTOR.value_in(arguments) or "local"
        self.workers = workers_in(arguments)
        self.output_dir: str = flags.OUTPUT_DIR.value_in(arguments) or runs.DEFAULT_OUTPUT_DIR
        self.ledger: str | None = arguments.ledger
        self.config = EngineConfig.from_env(redis_url=arguments.redis_url, s3_endpoint_url=arguments.s3_endpoint_url)
        self.source_url = arguments.source if "://" in arguments.source else os.path.abspath(arguments.source)


def _hint_at_unfinished(given: _Given, say: Callable[[str], None]) -> None:
    """Mention the newest job if it was about the same source and did not come to its end."""
    try:
        earlier = runs.status(output_dir=given.output_dir, ledger=given.ledger, config=given.config)
    except RowmillError:
        return
    job, done = earlier.job, earlier.counts.processed_rows
    if job.source.url == given.source_url and done and job.status not in (Status.SUCCEEDED, Status.CANCELLED):
        say(
            f"rowmill: job {job.job_id} of the same source is {job.status} and has {done:,} rows done; "
            "--resume would go on with it, this begins a new job"
        )


def _tell_failure(
    error: RowmillError, arguments: argparse.Namespace, given: _Given, watch: _Watch, words: Sequence[str]
) -> int:
    report = _newest_report(watch, given)
    return tell_failure(
        error,
        as_json=arguments.json,
        source=given.source_url,
        report=report,
        how_to_go_on=_how_to_go_on(error, report, given, words),
    )


def _newest_report(watch: _Watch, given: _Given) -> JobReport | None:
    """The job as the ledger has it by now, or as it was last seen."""
    if watch.report is None:
        return None
    try:
        return runs.status(
            watch.report.job.job_id, output_dir=given.output_dir, ledger=given.ledger, config=given.config
        )
    except RowmillError:
        return watch.report


def _how_to_go_on(error: RowmillError, report: JobReport | None, given: _Given, words: Sequence[str]) -> str | None:
    if report is None:
        return None
    if error.facts.get("goes_on"):
        place = runs.ledger_url_for(given.ledger, given.output_dir, given.config)
        job = f"{report.job.job_id} --ledger {shlex.quote(place)}"
        called = shlex.join(program())
        return f"Ask for it with: {called} status {job}\nrowmill: End it with: {called} cancel {job}"
    if not is_worth_resuming(error, report):
        return None
    return f"What is done is kept. Go on with: {resume_command(words)}"


def resume_command(words: Sequence[str]) -> str:
    """The same command line with --resume, as a shell takes it."""
    # Behind the command's name, because what follows a "--" would not be taken for a flag.
    resumed = list(words) if "--resume" in words else [words[0], "--resume", *words[1:]]
    return shlex.join([*program(), *resumed])


def program() -> list[str]:
    """How this program is called again: by its bare name where that leads to it."""
    called = sys.argv[0]
    name = os.path.basename(called)
    if name == "__main__.py":
        return [sys.executable, "-m", "engine.cli"]
    found = shutil.which(name)
    return [name] if found and os.path.realpath(found) == os.path.realpath(called) else [called]
