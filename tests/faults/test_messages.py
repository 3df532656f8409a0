"""Messages that are lost, that come three times, to several processes at once; requests that are repeated; cancels."""

from __future__ import annotations

import csv
import io
import json
import random
import time

import pytest

from tests.faults.conftest import ACCEPTED, REFUSED, ROWS, Shaken, check_rows


@pytest.mark.parametrize("lose_every", [2, 3])
def test_lost_messages_are_sent_again(shaken: Shaken, lose_every: int) -> None:
    job_id = shaken.start()
    child = shaken.forks.begin("work", job_id, lose_every=lose_every)
    assert child.wait() == "exit 0", child.error()
    end = shaken.end(job_id)
    check_rows(end)
    assert end["attempts"] == [1, 1, 1]


def test_a_message_that_comes_three_times_is_done_once(shaken: Shaken) -> None:
    job_id = shaken.start()
    child = shaken.forks.begin("work", job_id, copies=3)
    assert child.wait() == "exit 0", child.error()
    end = shaken.end(job_id)
    check_rows(end)
    assert end["attempts"] == [1, 1, 1]


def test_what_rows_do_behind_their_commit_is_done_once_and_for_accepted_rows_only(shaken: Shaken) -> None:
    job_id = shaken.start("write_after_commit")
    children = [shaken.forks.begin("work", job_id, copies=2) for _ in range(2)]
    for child in children:
        assert child.wait() == "exit 0", child.error()
    end = shaken.end(job_id)
    check_rows(end)  # by a hook of each row, every tenth of which raises
    assert end["attempts"] == [1, 1, 1]


def test_copies_that_reach_three_processes_at_once_are_done_once(shaken: Shaken) -> None:
    job_id = shaken.start("write_slowly", seconds_per_row=0.005)
    children = [shaken.forks.begin("work", job_id, copies=2) for _ in range(3)]
    for child in children:
        assert child.wait() == "exit 0", child.error()
    end = shaken.end(job_id)
    check_rows(end)
    assert end["attempts"] == [1, 1, 1]


def test_requests_under_one_key_at_the_same_moment_start_one_job(shaken: Shaken) -> None:
    arguments = ("in.csv", "write", {"chunk_size": 20})
    shaken.forks.call("start", *arguments, user="impatient")  # so that its user is there
    children = [shaken.forks.begin("start", *arguments, user="impatient", key="k") for _ in range(6)]
    for child in children:
        assert child.wait() == "exit 0", child.error()
    assert len({child.answer.read_text() for child in children}) == 1


def test_requests_at_the_same_moment_do_not_exceed_the_quota(shaken: Shaken) -> None:
    name = "hasty"
    # Two by a quota of ten, which the tests' project has as every project.
    shaken.forks.call("start", "in.csv", "write", {}, user=name, jobs=8)
    file_id = shaken.forks.call("count_jobs", name)["file_id"]
    moment = time.time() + 1.0
    children = [shaken.forks.begin("post", name, file_id, moment) for _ in range(8)]
    for child in children:
        assert child.wait() == "exit 0", child.error()
    answers = [json.loads(child.answer.read_text()) for child in children]
    assert sorted(answers) == [202] * 2 + [400] * 6
    assert shaken.forks.call("count_jobs", name)["jobs"] == 10


@pytest.mark.parametrize("seed", range(4))
def test_a_cancel_at_any_moment_keeps_exactly_what_was_done(shaken: Shaken, seed: int) -> None:
    moment = random.Random(seed).uniform(0.0, 0.8)  # noqa: S311 - repeatable on purpose
    job_id = shaken.start("write_slowly", seconds_per_row=0.01)
    workers = [shaken.forks.begin("work", job_id) for _ in range(2)]
    cancelling = shaken.forks.begin("cancel", job_id, moment)
    for child in (cancelling, *workers):
        assert child.wait() == "exit 0", (moment, child.error())
    end = shaken.end(job_id)
    assert end["status"] in ("cancelled", "succeeded"), (moment, end)
    assert end["counts"] == end["recount"]
    done = {kind: [] for kind in ("success", "failed")}  # type: dict[str, list[int]]
    if end["files"][0] is not None:
        for kind, text in zip(done, end["files"], strict=True):
            done[kind] = [int(row[0]) for row in list(csv.reader(io.StringIO(text, newline="")))[1:]]
    assert done["success"] == end["written_rows"] == [row for row in ACCEPTED if row in set(end["written_rows"])]
    assert [len(done["success"]), len(done["failed"])] == end["counts"]
    assert set(done["failed"]) <= set(REFUSED)
    assert sum(end["counts"]) <= ROWS
