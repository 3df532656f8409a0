"""`scripts/chaos`: an import on the real stack while it is shot at, and the verdict."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

from tests.chaos import flights
from tests.chaos.shooting import Shooter, Shots
from tests.chaos.stack import Stack, start_stack
from tests.chaos.verdict import Verdict, judge

#: What is promised of chunks whose process, or whose whole worker, was killed; at the pace of production.
PROMISED_SECONDS, PROMISED_WORKER_SECONDS = 20.0, 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 0 when every row is where it should be, once."""
    wanted = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="rowmill-chaos-", ignore_cleanup_errors=True) as name:
        folder = Path(wanted.logs or name)
        folder.mkdir(parents=True, exist_ok=True)
        refused = flights.write(folder / "flights.csv", wanted.rows)
        _tell(f"{wanted.rows:,} rows, of which {refused:,} are to be refused; seed {wanted.seed}; logs in {folder}")
        with start_stack(
            folder,
            workers=wanted.workers,
            concurrency=wanted.concurrency,
            lease_seconds=wanted.lease_seconds,
            forks=wanted.quick,
        ) as stack:
            _tell(f"the stack answers: {wanted.workers} workers of {wanted.concurrency} processes")
            began = time.monotonic()
            job_id, seen, shots = _import_under_fire(stack, wanted, folder)
            seconds = time.monotonic() - began
            verdict = judge(stack, job_id, rows=wanted.rows, refused=refused, seen=seen, folder=folder)
            with stack.database() as database:
                query = "SELECT sum(attempt)::bigint, count(*) FROM rowmill_imports_importchunk WHERE job_id = %s"
                ((attempts, chunks),) = database.execute(query, [job_id]).fetchall()
        _tell_all(shots, verdict, seconds, attempts=int(str(attempts)), chunks=int(str(chunks)))
    return 1 if verdict.violations else 0


def _import_under_fire(
    stack: Stack, wanted: argparse.Namespace, folder: Path
) -> tuple[str, list[dict[str, Any]], Shots]:
    file_id = stack.user.upload("flight_import", "flights.csv", (folder / "flights.csv").read_bytes())
    options: dict[str, Any] = {"chunk_size": wanted.chunk_size, "batch_size": 100}
    if wanted.quick:
        options["handler_path"] = "tests.chaos.handlers.note_flights"
    job_id = stack.user.start_import("/api/flights/import/", file_id, **options)
    shooter = Shooter(stack, job_id, rows=wanted.rows, kills=wanted.kills, wipes=wanted.broker_wipes, seed=wanted.seed)
    seen: list[dict[str, Any]] = []
    began = told_at = time.monotonic()
    deadline = began + wanted.timeout_minutes * 60
    with shooter:
        while not seen or seen[-1]["status"] in ("queued", "running"):
            try:
                seen.append(stack.user.status(job_id))
            except (OSError, HTTPException):  # the web server was hit, perhaps in the middle of its answer
                time.sleep(0.2)
                continue
            if time.monotonic() > deadline:
                break
            if time.monotonic() - told_at > 10:
                told_at = time.monotonic()
                fired = sum(shooter.shots.fired.values())
                seconds = told_at - began
                _tell(f"{seconds:>6.0f} s {seen[-1]['processed_rows']:>9,} rows, {fired} shots")
            time.sleep(0.3)
    return job_id, seen, shooter.shots


def _tell_all(shots: Shots, verdict: Verdict, seconds: float, *, attempts: int, chunks: int) -> None:
    _tell(f"\nthe import took {seconds:,.0f} s; {chunks:,} chunks in {attempts:,} attempts")
    for name, number in sorted(shots.fired.items()):
        _tell(f"  {number:>5}  {name}")
    for name, times in sorted(shots.seconds_to_recover.items()):
        _tell_times(f"chunks held by a {name} in other hands after", times)
        promised = PROMISED_SECONDS if name == "worker's child" else PROMISED_WORKER_SECONDS
        late = sum(seconds > promised for seconds in times)
        _tell(f"  promised within {promised:.0f} s: {f'{late} came later' if late else 'kept'}")
    _tell(f"{shots.unrecovered} chunks of dead processes in nobody's hands at the end")
    _tell_times("wipes of the broker, no chunk was begun for", shots.seconds_to_recover_wipes)
    _tell(f"lost {verdict.lost}, duplicated {verdict.duplicated}, violations {len(verdict.violations)}")
    for violation in verdict.violations:
        _tell(f"  VIOLATION {violation}")
    _tell(f"verdict: {'FAILED' if verdict.violations else 'passed: nothing lost, nothing twice'}")


def _tell_times(what: str, seconds: list[float]) -> None:
    if len(seconds) > 1:
        cuts = statistics.quantiles(seconds, n=20, method="inclusive")
        _tell(f"{len(seconds)} {what} p50 {cuts[9]:.1f} s, p95 {cuts[18]:.1f} s, at most {max(seconds):.1f} s")
    elif seconds:
        _tell(f"1 {what} {seconds[0]:.1f} s")


def _tell(text: str) -> None:
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="rows to import")
    parser.add_argument("--kills", type=int, default=30, help="signals to workers, their children, the web server")
    parser.add_argument("--broker-wipes", type=int, default=1, help="FLUSHALLs")
    parser.add_argument("--seed", type=int, default=1, help="decides what is hit, and after how many rows")
    parser.add_argument("--workers", type=int, default=2, help="Celery workers")
    parser.add_argument("--concurrency", type=int, default=2, help="processes of each worker")
    parser.add_argument("--chunk-size", type=int, default=1_000, help="rows of a chunk")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a batch handler that costs nothing, and children that fork instead of being spawned",
    )
    parser.add_argument("--lease-seconds", type=float, help="pace of recovery; default: that of production")
    parser.add_argument("--timeout-minutes", type=float, default=60, help="after which the job counts as stuck")
    parser.add_argument("--logs", help="folder in which data and logs stay; default: a temporary one")
    return parser


if __name__ == "__main__":
    sys.exit(main())
