"""Shots at a running stack: which comes when is random, and follows from the seed and from how far the job is."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import psycopg
import redis

from tests.chaos.stack import Stack, Supervised

_LOOK_SECONDS = 0.1
_WATCH_WIPE_SECONDS = 60.0
#: Of a hundred shots so many hit …
_WEIGHTS = {"child": 70, "worker": 10, "parent": 6, "deploy": 6, "web": 4, "busy": 4}


@dataclass(slots=True)
class Shots:
    """What was done, and how long it took until work went on."""

    fired: Counter[str] = field(default_factory=Counter)
    seconds_to_recover: dict[str, list[float]] = field(default_factory=dict)
    """By what was hit: from the death of a process until each chunk it held was in other hands."""
    seconds_to_recover_wipes: list[float] = field(default_factory=list)
    """The longest time after a wipe of the broker in which no chunk was begun, of the first minute."""
    unrecovered: int = 0
    """Chunks of dead processes that nobody had taken over at the end."""


class Shooter:
    """Fires while a job runs; each shot has its share of the job's rows as its time."""

    def __init__(self, stack: Stack, job_id: str, *, rows: int, kills: int, wipes: int, seed: int) -> None:
        self.shots = Shots()
        self._stack = stack
        self._job_id = job_id
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        # Not before the first rows, and not after the last chunk: there is nothing left to hit.
        at = [("kill", self._random.uniform(0.0, 0.97) * rows) for _ in range(kills)]
        at += [("wipe", self._random.uniform(0.1, 0.9) * rows) for _ in range(wipes)]
        self._plan = sorted(at, key=lambda shot: shot[1])
        self._threads: list[threading.Thread] = []
        self._ended = threading.Event()
        self._database: psycopg.Connection[tuple[object, ...]] = stack.database()
        self._thread = threading.Thread(target=self._run, name="shooter")

    def __enter__(self) -> Shooter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for thread in self._threads:
            thread.join()
        self._database.close()

    def _run(self) -> None:
        has_hit_merge = not self._plan
        while not self._ended.wait(_LOOK_SECONDS / 2):
            rows, phase, owner = self._progress()
            if phase == "merging" and owner and not has_hit_merge:
                has_hit_merge = True  # what nobody would hit by chance: the process that puts the files together
                self._hit_owner(owner)
            while self._plan and rows >= self._plan[0][1]:  # all that are due, however late this look is
                what, _ = self._plan.pop(0)
                self._wipe() if what == "wipe" else self._kill()

    def _progress(self) -> tuple[int, str, str | None]:
        row = self._database.execute(
            "SELECT (SELECT coalesce(sum(success_count + failure_count), 0) FROM rowmill_imports_importchunk"
            " WHERE job_id = j.id AND status = 'done'), phase, owner FROM rowmill_imports_importjob j WHERE id = %s",
            [self._job_id],
        ).fetchone()
        assert row is not None
        return int(str(row[0])), str(row[1]), None if row[2] is None else str(row[2])

    def _kill(self) -> None:
        target = self._random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        worker: Supervised = self._random.choice(self._stack.workers)
        if target == "web":
            children = self._stack.web.children()
            if children:
                self._end(self._random.choice(children), "web server's process")
            return
        if target == "deploy":
            self.shots.fired["worker by SIGTERM"] += 1
            worker.terminate()
            return
        if target == "worker":
            children = worker.children()
            held = self._held_by([worker.pid, *children])
            worker.signal_all(signal.SIGKILL)
            self.shots.fired["whole worker"] += 1
            self._time_recovery("whole worker", held)
        elif target == "parent":
            self._end(worker.pid, "worker's parent alone")
        else:
            children = [pid for each in self._stack.workers for pid in each.children()]
            busy = [pid for pid in children if self._held_by([pid])] if target == "busy" else []
            if children:
                self._end(self._random.choice(busy or children), "worker's child")

    def _end(self, pid: int, name: str) -> None:
        held = self._held_by([pid])
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.shots.fired[name] += 1
            self._time_recovery(name, held)

    def _hit_owner(self, owner: str) -> None:
        pid = int(owner.split("|")[-2])
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.shots.fired["process that merges"] += 1

    def _held_by(self, pids: list[int]) -> list[tuple[int, int]]:
        """Index and attempt of the chunks that these processes hold."""
        found = self._database.execute(
            "SELECT chunk_index, attempt, owner FROM rowmill_imports_importchunk"
            " WHERE job_id = %s AND status = 'leased' AND owner IS NOT NULL",
            [self._job_id],
        ).fetchall()
        return [
            (int(str(index)), int(str(attempt)))
            for index, attempt, owner in found
            if int(str(owner).split("|")[-2]) in pids
        ]

    def _time_recovery(self, name: str, held: list[tuple[int, int]]) -> None:
        began = time.monotonic()
        if held:
            times = self.shots.seconds_to_recover.setdefault(name, [])
            self._watch(lambda: self._watch_chunks(held, began, times))

    def _watch_chunks(self, held: list[tuple[int, int]], began: float, times: list[float]) -> None:
        waiting = dict(held)
        query = (
            "SELECT chunk_index, attempt, status FROM rowmill_imports_importchunk"
            " WHERE job_id = %s AND chunk_index = ANY(%s)"
        )
        with self._stack.database() as database:
            while waiting and not self._ended.wait(_LOOK_SECONDS):
                for index, attempt, status in database.execute(query, [self._job_id, list(waiting)]).fetchall():
                    if status == "done" or int(str(attempt)) > waiting[int(str(index))]:
                        del waiting[int(str(index))]
                        times.append(time.monotonic() - began)
        self.shots.unrecovered += len(waiting)

    def _wipe(self) -> None:
        with redis.Redis.from_url(self._stack.redis_url) as client:
            client.flushall()
        self.shots.fired["FLUSHALL"] += 1
        began = time.monotonic()
        query = (
            "SELECT chunk_index, attempt FROM rowmill_imports_importchunk"
            " WHERE job_id = %s AND status IN ('leased', 'done')"
        )

        def begun(database: psycopg.Connection[tuple[object, ...]]) -> set[tuple[object, ...]]:
            return set(database.execute(query, [self._job_id]).fetchall())

        def watch() -> None:
            standstill, last, known = 0.0, began, None
            with self._stack.database() as database:
                while time.monotonic() < began + _WATCH_WIPE_SECONDS and not self._ended.wait(_LOOK_SECONDS):
                    now, found = time.monotonic(), begun(database)
                    standstill = max(standstill, now - last)
                    if found != known:
                        last, known = now, found
            self.shots.seconds_to_recover_wipes.append(standstill)

        self._watch(watch)

    def _watch(self, action: Callable[[], None]) -> None:
        thread = threading.Thread(target=action)
        thread.start()
        self._threads.append(thread)
