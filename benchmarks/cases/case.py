"""What a case is."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

#: Cases of a group do the same work; a floor does less than the engine and says what the machine can do.
Group = Literal["floor", "import", "excel", "database", "model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a run gives to the commands of all cases."""

    rows: int
    table: Path
    """The people as CSV."""
    excel: Path
    """The people as an Excel file; may not exist where no case reads it."""
    excel_shared: Path
    """The same with shared strings."""
    output: Path
    """A folder for what the case writes; emptied before each run."""
    environment: dict[str, str]
    """With the addresses of the services that the case needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing to measure."""

    name: str
    group: Group
    command: Callable[[Setting], list[str]]
    """What is run, by `python -m` unless it names a program."""
    baseline: str = "naive importer"
    """The case that its ratio is to."""
    modules: tuple[str, ...] = ()
    """What has to be installed."""
    services: tuple[str, ...] = ()
    """What has to run: redis, postgresql, s3; worker-1, worker-2, django-1, django-2: Celery with so many processes."""
    environment: tuple[tuple[str, str], ...] = ()
    table: Literal["people", "flights"] = "people"
    """What it reads; the flights have a size of their own."""
    counts: bool = True
    """Whether it tells how many rows were accepted and refused, which is checked then."""
    max_rows: int = 100_000_000
    """A table of more rows is left to the others: it would take too long."""
    once: bool = False
    """Slow: measured once, without a warm-up."""

    def missing(self) -> list[str]:
        """Modules that are not installed."""
        return [name for name in self.modules if importlib.util.find_spec(name) is None]
