"""The same on a laptop: the SQLite ledger, worker processes of the command's own, no services.

A killed worker is replaced by the run itself; a killed command is gone on with by `rowmill resume`. Either way the
files are byte for byte those of a run that nothing happened to.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command_line import HANDLERS, rowmill, the_object, warm_rowmill, write_table

ROWS = 90
RUN = ("run", "t.csv", "--handler", f"{HANDLERS}.refuse_sevenths", "--chunk-size", "15", "--workers", "2")
#: Point and which hit of it → whether it is the command that dies there, and not one of its workers.
POINTS = {
    ("plan.chunks_added", 1): True,
    ("chunks.marked_sent", 1): True,
    ("chunk.claimed", 3): False,
    ("part.written", 3): False,
    ("chunk.marked", 2): False,
    ("chunk.committed", 2): False,
    ("concatenate.completing", 1): True,
    ("finish.success_file", 1): True,
    ("finish.files_made", 1): True,
    ("finish.ended", 1): True,
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    write_table(folder / "t.csv", ROWS)
    assert warm_rowmill(*RUN, cwd=folder).returncode == 0
    return files_of(folder)


def files_of(folder: Path) -> list[bytes]:
    return [(folder / "rowmill-results" / f"t.{kind}.csv").read_bytes() for kind in ("success", "failed")]


@pytest.mark.parametrize(("point", "nth"), POINTS, ids=[f"{point}-{nth}" for point, nth in POINTS])
def test_a_local_run_whose_process_is_killed_anywhere_gives_the_same_files(
    tmp_path: Path, undisturbed: list[bytes], point: str, nth: int
) -> None:
    write_table(tmp_path / "t.csv", ROWS)
    hits = tmp_path / "hits"
    hits.mkdir()
    armed = {"ROWMILL_FAILPOINTS": f"{point}:kill:{nth}", "ROWMILL_FAILPOINTS_DIR": str(hits)}
    done = rowmill(*RUN, cwd=tmp_path, **armed)
    assert (hits / f"{point}.{nth}").exists()
    assert (done.returncode != 0) == POINTS[point, nth], done.stderr
    if done.returncode and point != "finish.ended":
        resumed = warm_rowmill("resume", "--json", cwd=tmp_path)
        assert the_object(resumed.stdout)["processed_rows"] == ROWS, resumed.stderr
    report = the_object(warm_rowmill("status", "--json", cwd=tmp_path).stdout)
    assert (report["status"], report["success_count"], report["failure_count"]) == ("succeeded", 78, 12)
    assert files_of(tmp_path) == undisturbed
