"""Log lines on stderr. Only the command line configures logging; the engine never does."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from engine.cli.console import visible

_TOLD_ANYWAY = ("job %s is failing", "job %s failed")
_ALWAYS_THERE = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure_logging(*, verbose: bool, debug: bool) -> None:
    """Warnings to stderr, with `verbose` what happens to jobs and chunks too; tracebacks only with `debug`."""
    handler = _CurrentStderrHandler()
    handler.setFormatter(_FactsFormatter(with_tracebacks=debug))
    handler.addFilter(_is_not_told_anyway)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    # The libraries' own INFO is of no use to who asked for jobs and chunks.
    logging.getLogger("engine").setLevel(logging.INFO if verbose else logging.NOTSET)


class _CurrentStderrHandler(logging.StreamHandler[TextIO]):
    """Writes to whatever stderr is at that moment, so that a line lands above a progress bar and not in it."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Nothing: a terminal that is gone must not end the job."""


class _FactsFormatter(logging.Formatter):
    """`rowmill: warning: chunks taken back (job_id=…, chunks=2)`."""

    def __init__(self, *, with_tracebacks: bool) -> None:
        super().__init__()
        self._with_tracebacks = with_tracebacks

    def format(self, record: logging.LogRecord) -> str:
        facts = ", ".join(f"{name}={value}" for name, value in vars(record).items() if name not in _ALWAYS_THERE)
        line = f"rowmill: {record.levelname.lower()}: {record.getMessage()}" + (f" ({facts})" if facts else "")
        if record.exc_info and self._with_tracebacks:
            return f"{visible(line)}\n{self.formatException(record.exc_info)}"
        return visible(line)


def _is_not_told_anyway(record: logging.LogRecord) -> bool:
    """The end of a failed job is the command's own last word; said twice it would look like two failures."""
    return not (record.name.startswith("engine.coordinator.") and str(record.msg).startswith(_TOLD_ANYWAY))
