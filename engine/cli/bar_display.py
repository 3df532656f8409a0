"""The progress bar of a run on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn
from rich.table import Column
from rich.text import Text

from engine.cli.progress_display import activity, details, measure
from engine.cli.rate import Rate
from engine.report import JobReport


def make_bar() -> BarDisplay | None:
    """A bar on stderr; None where that cannot redraw a line."""
    console = Console(stderr=True, highlight=False)
    return BarDisplay(console) if console.is_terminal and not console.is_dumb_terminal else None


class BarDisplay:
    """One line that redraws itself and is gone at the end."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._rate = Rate()
        self._progress = Progress(
            _FieldColumn("activity"),
            BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=8)),
            TaskProgressColumn(),
            _FieldColumn("details"),
            console=console,
            expand=True,
            transient=True,
        )
        self._task = self._progress.add_task("", total=None, activity="starting", details="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, report: JobReport) -> None:
        """Redraw."""
        measure(self._rate, self._clock(), report)
        self._progress.update(
            self._task,
            total=report.job.total_rows,
            completed=report.counts.processed_rows,
            activity=activity(report),
            details=details(report, self._rate),
        )

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._console.print(text, markup=False, soft_wrap=True)

    def end(self, report: JobReport, *, seconds: float) -> None:
        """Nothing: the bar goes and the summary comes."""


class _FieldColumn(ProgressColumn):
    """A field of the task as plain text: it may hold what rich would take for markup."""

    def __init__(self, field: str) -> None:
        self._field = field
        super().__init__(table_column=Column(no_wrap=True))

    def render(self, task: Task) -> Text:
        return Text(str(task.fields[self._field]))
