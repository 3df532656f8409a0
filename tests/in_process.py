"""A job run step by step in the test's own process: real ledger and files, no worker processes."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from engine.chunk_runner import ChunkRunner, Ran
from engine.config import EngineConfig
from engine.coordinator import Coordinator
from engine.ledger import SqliteLedger
from engine.ledger import owner as owners
from engine.model import Job
from engine.options import ImportOptions
from engine.progress import MemoryProgress

HANDLERS = "tests.sample_handlers"


def csv_bytes(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def read_csv(path: str | Path | None) -> list[list[str]]:
    """Every record, by Python's own reader."""
    assert path is not None
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def numbered(count: int, *, bad: Iterable[int] = ()) -> list[list[str]]:
    """A header and so many rows; those of the row indexes `bad` are refused by the handler `by_cell`."""
    refused = set(bad)
    return [["name", "value"], *([f"row {n}", "bad" if n in refused else "good"] for n in range(1, count + 1))]


class RecordingExecutor:
    """Takes orders and does nothing."""

    def __init__(self) -> None:
        self.chunks: list[int] = []
        self.plans = 0
        self.finishes = 0
        self.helps: list[tuple[int, int]] = []

    def send_chunks(self, job_id: str, chunk_indexes: Sequence[int]) -> None:
        self.chunks.extend(chunk_indexes)

    def send_plan(self, job_id: str) -> None:
        self.plans += 1

    def send_finish(self, job_id: str) -> None:
        self.finishes += 1

    def send_help(self, job_id: str, position: int, step: int) -> None:
        self.helps.append((position, step))


class InProcess:
    """One folder with a source, an output and a ledger; and whoever works there, by the name of an owner."""

    def __init__(self, folder: Path, config: EngineConfig | None = None) -> None:
        self.folder = folder
        self.config = config or EngineConfig(progress_interval_seconds=0)
        self.source = folder / "people.csv"
        self.output = folder / "out"
        #: Owners that are gone. Of all other names but that of this process nothing is known.
        self.dead: set[str] = set()
        self.ledger = SqliteLedger(folder / "ledger.sqlite3", is_dead=self._is_dead)
        self.progress = MemoryProgress()
        self.executor = RecordingExecutor()
        self.job_id = ""

    def close(self) -> None:
        self.ledger.close()

    def coordinator(self, owner: str = "coordinator", **more: Any) -> Coordinator:
        return Coordinator(self.ledger, self.progress, self.config, owner=owner, **more)

    def runner(self, owner: str = "worker", **more: Any) -> ChunkRunner:
        return ChunkRunner(self.ledger, self.progress, self.config, owner=owner, **more)

    def create(self, data: bytes | list[list[str]], handler: str = "accept", **options: Any) -> Job:
        self.source.write_bytes(data if isinstance(data, bytes) else csv_bytes(data))
        path = handler if "." in handler else f"{HANDLERS}.{handler}"
        checked = ImportOptions.from_mapping(options)
        job = self.coordinator().create(str(self.source), path, checked, str(self.output), executor="local")
        self.job_id = job.job_id
        return job

    def plan(self, data: bytes | list[list[str]], handler: str = "accept", **options: Any) -> Job:
        """Create and scan."""
        self.create(data, handler, **options)
        self.coordinator().plan(self.job_id)
        return self.job()

    def job(self) -> Job:
        return self.ledger.job(self.job_id)

    def chunk_count(self) -> int:
        return len(list(self.ledger.chunk_states(self.job_id)))

    def run_chunk(self, index: int = 0, owner: str = "worker", **more: Any) -> Ran:
        return self.runner(owner, **more).run(self.job_id, index)

    def run_all(self, owner: str = "worker", **more: Any) -> None:
        runner = self.runner(owner, **more)
        for index in range(self.chunk_count()):
            runner.run(self.job_id, index)

    def finish(self) -> Job:
        assert self.coordinator().finish(self.job_id)
        return self.job()

    def run(self, data: bytes | list[list[str]], handler: str = "accept", **options: Any) -> Job:
        """From the beginning to the end."""
        self.plan(data, handler, **options)
        self.run_all()
        return self.finish()

    def result(self, kind: str = "success", suffix: str = "csv") -> Path:
        return self.output / f"people.{kind}.{suffix}"

    def results(self) -> tuple[bytes, bytes]:
        return self.result("success").read_bytes(), self.result("failed").read_bytes()

    def parts(self) -> list[Path]:
        """Parts and staged copies that are there at present."""
        return sorted(path for path in (self.output / ".rowmill").rglob("*") if path.is_file())

    def _is_dead(self, owner: str) -> bool | None:
        return True if owner in self.dead else owners.is_dead(owner)


Here = Callable[..., InProcess]
