"""What is seen of a run while it runs: a bar on a terminal, a line now and then elsewhere. All of it on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from engine.cli.console import tell
from engine.cli.rate import Rate, clock_text
from engine.report import JobReport
from engine.status import Phase

#: Seconds between two lines where there is no terminal.
_LINE_SECONDS = 5.0
#: Environment variables by which rich is told that there is a terminal.
_TERMINAL_NAMES = {"FORCE_COLOR", "TTY_COMPATIBLE"}


class Display(Protocol):
    """Shows reports of one job between `with` and its end."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Leave the terminal as it was."""

    def show(self, report: JobReport) -> None:
        """Show the newest state."""

    def say(self, text: str) -> None:
        """A line for the user that stays."""

    def end(self, report: JobReport, *, seconds: float) -> None:
        """Show how it ended, after so long."""


def make_display() -> Display:
    """A bar where stderr is a terminal that can redraw a line, else lines."""
    if not (sys.stderr.isatty() or _TERMINAL_NAMES & os.environ.keys()):
        return LineDisplay()
    # Rich takes a while to load, and runs without a terminal do without.
    from engine.cli.bar_display import make_bar

    return make_bar() or LineDisplay()


def activity(report: JobReport) -> str:
    """What the job is doing, in one word."""
    job = report.job
    if job.phase is Phase.PROCESSING and job.total_rows is not None and report.counts.processed_rows >= job.total_rows:
        # Told before the ledger is: the last row is through, and joining the parts has begun.
        return str(Phase.MERGING)
    return job.shown_phase or str(job.status)


def details(report: JobReport, rate: Rate) -> str:
    """Rows, rows a second, time left and failures, as far as they are known."""
    job, counts = report.job, report.counts
    total = "" if job.total_rows is None else f"/{job.total_rows:,}"
    parts = [f"{counts.processed_rows:,}{total} rows"]
    if rate.rows_per_second is not None:
        parts.append(f"{rate.rows_per_second:,.0f} rows/s")
    left = rate.seconds_left(job.total_rows)
    if left is not None:
        parts.append(f"{clock_text(left)} left")
    parts.append(f"{counts.failure_count:,} failed")
    return " · ".join(parts)


def measure(rate: Rate, now_seconds: float, report: JobReport) -> None:
    """Count time from when rows can come, so that the scan does not make them look slow."""
    if report.job.phase is Phase.PROCESSING or report.counts.processed_rows:
        rate.add(now_seconds, report.counts.processed_rows)


class LineDisplay:
    """A line at the start, one when the activity changes after a while, and one every few seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, interval_seconds: float = _LINE_SECONDS) -> None:
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._rate = Rate()
        self._next_line: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, report: JobReport) -> None:
        """Say where the job is, unless it was said a moment ago."""
        now = self._clock()
        measure(self._rate, now, report)
        if self._next_line is None:
            self.say(f"rowmill: job {report.job.job_id} has begun")
        elif now >= self._next_line:
            self.say(f"rowmill: {activity(report)}: {details(report, self._rate)}")
        else:
            return
        self._next_line = now + self._interval_seconds

    def say(self, text: str) -> None:
        """A line."""
        tell(text)

    def end(self, report: JobReport, *, seconds: float) -> None:
        """The last line."""
        counts = report.counts
        self.say(
            f"rowmill: {report.job.status} after {seconds:.1f} s: {counts.processed_rows:,} rows, "
            f"{counts.failure_count:,} of them failed"
        )
