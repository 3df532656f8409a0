"""Memory does not grow with the file."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

MB = 1_000_000
#: 500 bytes a row, so that two gigabytes are read in half a minute.
ROW = b'%d,Ana Mar\xc3\xada,"Oak Street 5, ""back"" door",' + b"x" * 455 + b"\r\n"


ONE_CHUNK_AND_ITS_PART = 27  # MB


def write_table(path: Path, size_bytes: int) -> int:
    """A table of about that size; returns its rows."""
    rows = size_bytes // 510
    with path.open("wb") as file:
        file.write(b"id,name,street,note\r\n")
        for start in range(0, rows, 10_000):
            file.write(b"".join(ROW % index for index in range(start, min(rows, start + 10_000))))
    return rows


def peak_of_each_process(command: list[str]) -> tuple[list[float], bytes]:
    """Run to the end; the peak resident memory in MB of every process of it, the largest first, and its output."""
    peaks: dict[int, int] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:

        def processes() -> Iterator[psutil.Process]:
            with suppress(psutil.NoSuchProcess):
                parent = psutil.Process(process.pid)
                yield parent
                yield from parent.children(recursive=True)

        while process.poll() is None:
            for each in processes():
                with suppress(OSError):
                    for line in Path(f"/proc/{each.pid}/status").read_text().splitlines():
                        if line.startswith("VmHWM:"):
                            peaks[each.pid] = int(line.split()[1])
            time.sleep(0.02)
        assert process.stdout is not None
        output = process.stdout.read()
    return sorted((peak / 1000 for peak in peaks.values()), reverse=True), output


@pytest.mark.timeout(400)
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_two_gigabytes_take_the_memory_of_a_hundred_megabytes(tmp_path: Path) -> None:
    peaks = {}
    for size in (100 * MB, 2_000 * MB):
        source = tmp_path / "table.csv"
        rows = write_table(source, size)
        command = [
            sys.executable, "-m", "engine.cli", "run", str(source),
            "--handler", "tests.integration.handlers.accept",
            "--output-dir", str(tmp_path / "out"), "--workers", "2", "--json",
        ]  # fmt: skip
        peaks[size], output = peak_of_each_process(command)
        report = json.loads(output)
        assert report["status"] == "succeeded"
        assert report["success_count"] == rows
        for file in report["result_files"].values():
            Path(file["url"]).unlink()
    print({size // MB: [round(peak) for peak in found] for size, found in peaks.items()})
    small, large = peaks.values()
    assert len(small) == len(large) == 3
    for before, after in zip(small, large, strict=True):
        # Once, in a run of all tests, two processes took 24 MB more over the large file, about a chunk (13 MB) and its
        # part (14 MB). Neither busy processors nor several runs at once have brought that back, and why is not known.
        assert after <= 1.10 * before + ONE_CHUNK_AND_ITS_PART
        assert after <= 250
