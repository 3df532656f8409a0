"""Memory does not grow with the file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MB = 1_000_000
#: 500 bytes a row, so that a gigabyte is read in a quarter of a minute.
ROW = b'%d,Ana Mar\xc3\xada,"Oak Street 5, ""back"" door",' + b"x" * 455 + b"\r\n"


def write_table(path: Path, size_bytes: int) -> int:
    """A table of about that size; returns its rows."""
    rows = size_bytes // 510
    with path.open("wb") as file:
        file.write(b"id,name,street,note\r\n")
        for start in range(0, rows, 10_000):
            file.write(b"".join(ROW % index for index in range(start, min(rows, start + 10_000))))
    return rows


def peak_of_each_process(command: list[str], folder: Path) -> tuple[list[float], bytes]:
    """Run to the end; the peak resident memory in MB that every process of it tells, the largest first, and its output.

    Each tells when it ends: looks from outside would miss what it takes after the last of them.
    """
    folder.mkdir()
    done = subprocess.run(command, env={**os.environ, "TEST_PEAKS": str(folder)}, stdout=subprocess.PIPE, check=False)
    return sorted((int(path.read_text()) / 1000 for path in folder.iterdir()), reverse=True), done.stdout


@pytest.mark.timeout(400)
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_a_gigabyte_takes_the_memory_of_a_hundred_megabytes(tmp_path: Path) -> None:
    peaks = {}
    for size in (100 * MB, 1_000 * MB):
        source = tmp_path / "table.csv"
        rows = write_table(source, size)
        command = [
            sys.executable, "-m", "engine.cli", "run", str(source),
            # What it remembers comes to lie behind blocks of the source, and must not keep their places.
            "--handler", "tests.integration.handlers.accept_and_remember",
            "--output-dir", str(tmp_path / "out"), "--workers", "2", "--json",
        ]  # fmt: skip
        peaks[size], output = peak_of_each_process(command, tmp_path / f"peaks of {size}")
        report = json.loads(output)
        assert report["status"] == "succeeded"
        assert report["success_count"] == rows
        for file in report["result_files"].values():
            Path(file["url"]).unlink()
    print({size // MB: [round(peak) for peak in found] for size, found in peaks.items()})
    small, large = peaks.values()
    assert len(small) == len(large) == 3
    for before, after in zip(small, large, strict=True):
        assert after <= 1.10 * before
        assert after <= 80
