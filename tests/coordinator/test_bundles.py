"""Parts that are joined on the way to the merge: the files are the same, whatever bundles there are."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.coordinator import bundling
from engine.coordinator.parts import parts_by_chunk
from engine.errors import StorageUnavailableError
from engine.model import Part
from engine.results import KINDS, bundles
from engine.results.bundles import Bundle, bundle_of, sealed_bundles, with_bundles
from engine.runtime.job_steps import JobSteps
from engine.status import Phase, Status
from engine.storage import ObjectInfo, open_storage
from engine.storage.local import LocalFolderStorage
from tests.in_process import InProcess, numbered

JOB = "job"


@st.composite
def parts_and_bundles(draw: st.DrawFn) -> tuple[list[tuple[int, bytes]], list[tuple[Bundle, bytes]]]:
    """The bytes of chunks' parts, and bundles: of some of these parts, or of what others once wrote."""
    steps = draw(st.lists(st.integers(1, 3), max_size=12))
    contents = st.binary(min_size=1, max_size=6)
    parts = [(index, draw(contents)) for index in accumulate(steps)]
    made = []
    for number in range(draw(st.integers(0, 8)) if parts else 0):
        first = draw(st.integers(0, len(parts) - 1))
        last = draw(st.integers(first, len(parts) - 1))
        held = parts[first : last + 1]
        if draw(st.booleans()):
            # Of an attempt that lost, or without a chunk that had no outcome then.
            held = [(index, draw(contents)) for index, _ in held if draw(st.integers(0, 3))] or held
        bundle = bundle_of([(index, part(data)) for index, data in held], f"{number:x}")
        assert bundle is not None
        made.append((bundle, b"".join(data for _, data in held)))
    return parts, made


def part(data: bytes) -> Part:
    return Part(key="part", size_bytes=len(data), crc32=zlib.crc32(data))


@given(parts_and_bundles())
def test_bundles_stand_for_exactly_the_parts_that_the_ledger_names(
    drawn: tuple[list[tuple[int, bytes]], list[tuple[Bundle, bytes]]],
) -> None:
    parts, made = drawn
    contents = {bundle.token: data for bundle, data in made}
    named = [(index, replace(part(data), key=str(index))) for index, data in parts]
    pieces = with_bundles(named, [bundle for bundle, _ in made])
    by_key = {str(index): data for index, data in parts}
    told = b"".join(contents[each.token] if isinstance(each, Bundle) else by_key[each.key] for each in pieces)
    assert told == b"".join(data for _, data in parts)
    # Where one that holds the right bytes begins with a part that was taken as it is, it was not seen.
    for bundle, data in made:
        span = [each for index, each in parts if bundle.first_chunk <= index <= bundle.last_chunk]
        is_right = data == b"".join(span)
        assert not (is_right and any(each.key == str(bundle.first_chunk) for each in pieces if isinstance(each, Part)))


def test_parts_without_a_checksum_are_in_no_bundle() -> None:
    known, unknown = part(b"a"), Part(key="part", size_bytes=1)
    assert bundle_of([(0, known), (1, unknown)], "1") is None
    bundle = Bundle(first_chunk=0, last_chunk=1, size_bytes=2, crc32=0, token="1")  # noqa: S106
    assert with_bundles([(0, known), (1, unknown)], [bundle]) == [known, unknown]


@given(st.integers(0, 10**10), st.integers(0, 10**10), st.integers(1, 10**13), st.integers(0, 2**32 - 1))
def test_a_name_is_read_as_it_was_written(first: int, last: int, size: int, crc32: int) -> None:
    bundle = Bundle(first_chunk=first, last_chunk=last, size_bytes=size, crc32=crc32, token="0a")  # noqa: S106
    for kind in KINDS:
        stored = [
            ObjectInfo(key=bundle.key(JOB, kind), size_bytes=size, etag=""),
            ObjectInfo(key=bundle.seal_key(JOB, kind), size_bytes=0, etag=""),
        ]
        assert all(info.key.startswith(bundles.prefix(JOB, kind)) for info in stored)
        assert sealed_bundles(stored) == [bundle]


def test_what_is_not_sealed_or_not_whole_is_no_bundle() -> None:
    bundle = bundle_of([(0, part(b"abc")), (1, part(b"d"))], "0a")
    assert bundle is not None
    key, seal = bundle.key(JOB, "failed"), bundle.seal_key(JOB, "failed")
    for sizes in ({key: 4}, {seal: 0}, {key: 3, seal: 0}, {"parts/job/bundles/failed/x.csv": 4, f"{key}.sealed": 0}):
        assert sealed_bundles(ObjectInfo(key=key, size_bytes=size, etag="") for key, size in sizes.items()) == []


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InProcess]:
    """On a storage that copies nothing by itself, with groups of four chunks."""
    monkeypatch.setattr(LocalFolderStorage, "least_copied_bytes", 1_000_000)
    monkeypatch.setattr(bundling, "GROUP_BYTES", 440)
    made = InProcess(tmp_path)
    yield made
    made.close()


TABLE = numbered(120, bad=[1, 2, 14, 27, 38, 39, 55, 77, 120])


def undisturbed(here: InProcess) -> tuple[bytes, bytes]:
    """The files of a run without bundles."""
    here.run(TABLE, "by_cell", chunk_size=10)
    return here.results()


def run(here: InProcess, *, chunk_indexes: range | None = None, **options: Any) -> None:
    """Every chunk by the steps of a worker; the merge is still to come."""
    here.plan(TABLE, "by_cell", **{"chunk_size": 10, **options})
    steps = JobSteps(here.coordinator(), here.runner(), here.executor)
    for index in chunk_indexes or range(here.chunk_count()):
        steps.chunk(here.job_id, index)


def stored(here: InProcess, kind: str = "success") -> list[Path]:
    return [path for path in here.parts() if f"/bundles/{kind}/" in str(path) and path.suffix == ".csv"]


def pieces(here: InProcess, kind: Any = "success") -> list[str]:
    """What a result file is made of."""
    job = here.job()
    parts = [(index, part) for index, part, _ in parts_by_chunk(job, here.ledger, kind)]
    output = open_storage(job.output_url, here.config)
    return [piece.key for piece in bundling.in_fewer_pieces(job, kind, output, parts)]


@pytest.mark.parametrize("order", [range(12), range(11, -1, -1)], ids=["forwards", "backwards"])
def test_the_last_chunk_of_a_group_stores_its_parts_as_one(here: InProcess, order: range) -> None:
    expected = undisturbed(here)
    run(here, chunk_indexes=order)
    # Of three groups the one whose last chunk is the last of all is left to the merge.
    assert len(stored(here)) == 2
    made = pieces(here)
    assert sum("/bundles/" in key for key in made) == 2
    assert len(made) == 6
    here.finish()
    assert here.results() == expected
    assert here.parts() == [], "swept with the parts"


def test_bundles_that_are_not_whole_not_sealed_or_gone_cost_nothing(
    here: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = undisturbed(here)
    run(here)
    first, second = stored(here)
    first.write_bytes(first.read_bytes()[:-1])
    second.with_suffix(".sealed").unlink()
    assert not any("/bundles/" in key for key in pieces(here))
    first.with_suffix(".csv").unlink()
    here.finish()
    assert here.results() == expected

    run(here)
    listed = LocalFolderStorage.list

    def gone_after_the_look(storage: LocalFolderStorage, prefix: str) -> Iterator[ObjectInfo]:
        found = list(listed(storage, prefix))
        if "/bundles/" in prefix:
            for path in stored(here):
                path.unlink()
        return iter(found)

    monkeypatch.setattr(LocalFolderStorage, "list", gone_after_the_look)
    here.finish()
    assert here.results() == expected


def test_a_storage_that_is_away_costs_the_bundle_only(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = undisturbed(here)
    write = LocalFolderStorage.write

    def away(storage: LocalFolderStorage, key: str, data: Any) -> ObjectInfo:
        if "/bundles/" in key:
            raise StorageUnavailableError("away")
        return write(storage, key, data)

    monkeypatch.setattr(LocalFolderStorage, "write", away)
    run(here)
    assert stored(here) == []
    here.finish()
    assert here.results() == expected


def test_a_bundle_that_comes_after_the_end_is_removed(here: InProcess) -> None:
    run(here, chunk_indexes=range(3))
    late = here.coordinator()
    # It has seen the job at work; then all is done, and swept, by others.
    late.bundle(here.job_id, 0)
    outcomes = here.ledger.done_outcomes(here.job_id, range(3))
    assert outcomes is not None
    kept = {path: path.read_bytes() for path in here.parts()}
    here.run_all()
    here.finish()
    for path, data in kept.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    late._bundling._store(here.job(), [*outcomes, *((3 + index, outcome) for index, outcome in outcomes)])
    assert stored(here) == []


def test_a_cancelled_job_and_a_failed_one_that_goes_on_use_what_fits(here: InProcess) -> None:
    expected = undisturbed(here)
    run(here, chunk_indexes=range(8))
    here.coordinator().cancel(here.job_id)
    assert here.finish().status is Status.CANCELLED
    success, failed = here.results()
    assert expected[0].startswith(success)
    assert expected[1].startswith(failed)

    run(here, chunk_indexes=range(8))
    before = len(stored(here))
    assert before
    here.coordinator().fail(here.job_id, StorageUnavailableError("for good"))
    here.coordinator().finish(here.job_id)
    assert here.job().status is Status.FAILED
    assert len(stored(here)) == before, "kept with the parts"
    here.coordinator().resume(here.job_id)
    assert here.job().phase is Phase.PROCESSING
    here.run_all()
    here.finish()
    assert here.results() == expected


@pytest.mark.parametrize("options", [{"output_format": "xlsx"}, {"chunk_size": 60}])
def test_excel_files_and_large_chunks_have_no_bundles(here: InProcess, options: dict[str, Any]) -> None:
    run(here, **options)
    assert stored(here) == stored(here, "failed") == []
