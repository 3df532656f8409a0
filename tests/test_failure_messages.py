"""Why rows were refused is counted within bounds, whatever handlers say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cli.summary import summary
from engine.config import EngineConfig
from engine.failure_messages import MAX_MESSAGE_CHARACTERS, MAX_MESSAGES, FailureMessages, sum_messages
from engine.report import JobReport
from tests.in_process import InProcess, csv_bytes

BATCHES = st.lists(st.lists(st.text(max_size=3) | st.integers(0, 60).map(str), max_size=30), max_size=8)


@given(BATCHES)
def test_the_first_messages_are_counted_exactly_and_no_others(batches: list[list[str]]) -> None:
    counter = FailureMessages()
    for batch in batches:
        counter.add(batch)
    said = [message.replace("\0", "\\0").encode(errors="backslashreplace").decode() for b in batches for message in b]
    kept = list(dict.fromkeys(said))[:MAX_MESSAGES]
    assert counter.counts() == {message: count for message, count in Counter(said).items() if message in kept}
    assert list(counter.counts().values()) == sorted(counter.counts().values(), reverse=True)


def test_a_long_message_is_cut() -> None:
    counter = FailureMessages()
    counter.add(["x" * 10_000, "x" * 20_000])
    ((message, count),) = counter.counts().items()
    assert (len(message), count) == (MAX_MESSAGE_CHARACTERS, 2)


@given(st.lists(st.dictionaries(st.integers(0, 50).map(str), st.integers(1, 9)), max_size=20))
def test_a_sum_has_the_most_frequent(parts: list[dict[str, int]]) -> None:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    found = sum_messages(parts)
    assert found == {message: total[message] for message in found}
    assert sorted(found.values(), reverse=True) == sorted(total.values(), reverse=True)[:MAX_MESSAGES]


def test_a_sum_stays_small_and_keeps_what_is_frequent() -> None:
    chunks = ({f"row {chunk}-{n}": 1 for n in range(MAX_MESSAGES - 1)} | {"no email": 3} for chunk in range(500))
    found = sum_messages(chunks)
    assert (len(found), found["no email"]) == (MAX_MESSAGES, 1_500)


@pytest.mark.parametrize("handler", ["refuses_alike", "refuses_batches_alike"])
def test_a_job_tells_why_its_rows_were_refused(tmp_path: Path, handler: str) -> None:
    for files in (True, False):
        folder = tmp_path / str(files)
        folder.mkdir()
        here = InProcess(folder, EngineConfig(enable_result_files=files, progress_interval_seconds=0))
        rows = [["n"], *([str(n)] for n in range(100))]
        here.run(csv_bytes(rows), handler, chunk_size=30, batch_size=7)
        messages = here.ledger.messages(here.job_id)
        assert messages == {"Email is required": 50, "Name is required": 25}
        job = here.job()
        text = summary(JobReport(job=job, counts=job.counts, errors_by_message=messages))
        assert "Email is required × 50" in text
        assert "others" not in text
        here.close()


def test_a_chunk_that_runs_again_is_counted_once(tmp_path: Path) -> None:
    here = InProcess(tmp_path)
    here.plan([["n"], *([str(n)] for n in range(20))], "refuses_alike", chunk_size=10, batch_size=3)
    here.run_chunk(0, should_stop=lambda: True)
    assert here.ledger.messages(here.job_id) == {}
    here.run_all()
    assert here.ledger.messages(here.job_id) == {"Email is required": 10, "Name is required": 5}
    here.close()


def test_rows_that_are_broken_alike_are_counted_together() -> None:
    messages = FailureMessages()
    messages.add(f"Line {line:,}: the cell has no closing quote." for line in range(998, 1_003))
    messages.add(["Line 7: "])
    assert messages.counts() == {"The cell has no closing quote.": 5, "Line 7: ": 1}
