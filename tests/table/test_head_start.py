"""A scan that was begun ahead finds what any scan finds, and whatever goes wrong is told as ever."""

from __future__ import annotations

import gzip
import tempfile
import threading
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import EngineConfig
from engine.errors import HandlerError, RowmillError, SourceChangedError, SourceEmptyError
from engine.model import Chunk
from engine.options import ImportOptions
from engine.storage import open_storage
from engine.table import HeadStart, TablePlanner, pin_source
from tests.in_process import HANDLERS, InProcess, csv_bytes, numbered
from tests.readers.strategies import block_sizes, examples, soups, text_tables

MakeHere = Callable[..., InProcess]

configs = st.builds(EngineConfig, scan_block_bytes=block_sizes, max_chunk_bytes=block_sizes)


def asked(times: int) -> Iterator[bool]:
    yield from repeat(True, times)
    yield from repeat(False)


def planned(planner: TablePlanner | HeadStart) -> Any:
    """All that a scan says, or the trouble that it tells."""
    try:
        look = planner.look()
        chunks = [chunk for found in planner.chunks(look.plan) for chunk in found]
        return look, chunks, planner.total_rows, planner.settle_encoding(look.plan)
    except RowmillError as error:
        return type(error), str(error)


@examples(200)
@given(
    data=soups() | text_tables.map(lambda table: table.text.encode()) | st.just(b"a,b\n\xe4,1\n" * 9),
    config=configs,
    steps=st.integers(0, 9),
    options=st.fixed_dictionaries(
        {}, optional={"chunk_size": st.integers(1, 9), "count_total_first": st.booleans(), "header_rows": st.just(0)}
    ),
)
def test_what_is_found_does_not_depend_on_when_it_was_begun(
    data: bytes, config: EngineConfig, steps: int, options: dict[str, Any]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "people.csv")
        path.write_bytes(data)
        source, checked = pin_source(str(path), config), ImportOptions.from_mapping(options)
        times = asked(steps)
        start = HeadStart.of(source, checked, config, go_on=lambda: next(times))
        assert [each.name for each in Path(folder).iterdir()] == ["people.csv"], "nothing is written"
        expected = planned(
            TablePlanner(
                source, checked, config, workspace=lambda: open_storage(f"{folder}/workspace", config), job_id="job"
            )
        )
        if start is None:
            staged = not isinstance(expected[0], type) and expected[0].plan.readable != source
            assert staged or isinstance(expected[0], type)
        else:
            assert planned(start) == expected


@pytest.mark.parametrize(
    "data",
    [gzip.compress(b"a,b\n1,2\n"), "a,b\n1,2\n".encode("utf-16"), b'{"a": 1}\n{"a": 2}\n'],
    ids=["packed", "in a wide encoding", "of JSON"],
)
def test_what_has_to_be_staged_is_not_begun(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(data)
    config = EngineConfig()
    options = ImportOptions.from_mapping({})
    assert HeadStart.of(pin_source(str(path), config), options, config, go_on=lambda: True) is None
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def make_here(tmp_path: Path) -> Iterator[MakeHere]:
    made: list[InProcess] = []

    def make(config: EngineConfig | None = None) -> InProcess:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(InProcess(folder, config))
        return made[-1]

    yield make
    for each in made:
        each.close()


def create(here: InProcess, *, handler: str = "by_cell_in_batches", waits: int = 3, **options: Any) -> Any:
    """The coordinator that created a job after it had to wait for its handler so many times."""
    times = asked(waits)
    coordinator = here.coordinator(is_loading=lambda: next(times))
    here.job_id = coordinator.create(
        str(here.source),
        f"{HANDLERS}.{handler}",
        ImportOptions.from_mapping(options),
        str(here.output),
        handler_mode="batch",
    ).job_id
    return coordinator


def chunks_of(here: InProcess) -> list[Chunk]:
    return [state.chunk for state in here.ledger.chunk_states(here.job_id)]


@pytest.mark.parametrize("waits", [0, 1, 5, 10_000])
@pytest.mark.parametrize("options", [{}, {"chunk_size": 7}], ids=["by itself", "by size"])
def test_a_job_is_planned_the_same_however_long_its_handler_took(
    make_here: MakeHere, waits: int, options: dict[str, int]
) -> None:
    jobs = []
    for count in (0, waits):
        one = make_here(config=EngineConfig(scan_block_bytes=64, max_chunk_bytes=256))
        one.source.write_bytes(csv_bytes(numbered(40)))
        assert create(one, waits=count, **options).plan(one.job_id)
        job = one.job()
        assert job.plan is not None
        plan = (job.plan.dialect, job.plan.header, job.plan.data_start, job.plan.chunk_rows, job.plan.chunk_bytes)
        jobs.append((plan, job.total_rows, job.status, job.phase, chunks_of(one)))
    assert jobs[0] == jobs[1]
    assert jobs[0][1] == 40


def test_a_handler_that_does_not_load_leaves_no_job_and_no_scan(make_here: MakeHere) -> None:
    one = make_here(config=EngineConfig(scan_block_bytes=64))
    one.source.write_bytes(csv_bytes(numbered(4_000)))
    with pytest.raises(HandlerError, match="no 'nowhere'"):
        create(one, handler="nowhere", waits=1)
    assert list(one.ledger.jobs()) == []
    assert not [thread for thread in threading.enumerate() if thread.name == "rowmill-ahead"]


def test_a_source_that_is_empty_is_told_of_by_the_job(make_here: MakeHere) -> None:
    one = make_here()
    one.source.write_bytes(b"")
    with pytest.raises(SourceEmptyError):
        create(one).plan(one.job_id)
    assert one.job().error_code == SourceEmptyError.code


def test_a_source_that_changes_meanwhile_fails_the_job(make_here: MakeHere) -> None:
    one = make_here(config=EngineConfig(scan_block_bytes=64))
    one.source.write_bytes(csv_bytes(numbered(4_000)))
    coordinator = create(one, waits=1)
    one.source.write_bytes(csv_bytes(numbered(4_001)))
    with pytest.raises(SourceChangedError):
        coordinator.plan(one.job_id)
    assert one.job().error_code == SourceChangedError.code


def test_a_scan_that_was_begun_can_be_left(make_here: MakeHere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.coordinator.planning._LOOK_SECONDS", 0)
    one = make_here(config=EngineConfig(scan_block_bytes=64))
    one.source.write_bytes(csv_bytes(numbered(4_000)))
    coordinator = create(one, waits=1)
    coordinator.plan(one.job_id, should_stop=lambda: True)
    assert one.job().total_rows is None, "it was not scanned to its end"
    assert one.coordinator().plan(one.job_id), "and whoever resumes the job does that"
    assert one.job().total_rows == 4_000
