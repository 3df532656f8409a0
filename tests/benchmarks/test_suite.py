"""The benchmarks run from a fresh clone, count right, and tell slower from faster."""

from __future__ import annotations

import csv
import json
import socket
import socketserver
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import openpyxl
import pytest

from benchmarks import generate, people, report, stage_workbook
from benchmarks.__main__ import main
from benchmarks.cases import all_cases
from benchmarks.cases.peers import _ranges
from benchmarks.growth import _fit, late_proxy
from benchmarks.measure import CaseFailedError, run
from benchmarks.report import CaseResult

ROWS = 500


def result(name: str, *seconds: float, baseline: str = "naive importer", problem: str | None = None) -> CaseResult:
    return CaseResult(
        name=name,
        group="import",
        rows=ROWS,
        baseline=baseline,
        seconds=list(seconds),
        whole_seconds=list(seconds),
        cpu_seconds=1.0,
        server_cpu_seconds=0.0,
        peak_mib=[50.0],
        problem=problem,
    )


def test_a_small_run_measures_keeps_and_prints_its_cases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "kept.json"
    words = ["--only", "naive importer", "--only", "row mode, local, 1 worker"]
    rows = 20_000  # enough work that a look finds the worker alive, however busy the machine
    assert (
        main(["--rows", str(rows), "--rounds", "1", "--no-plots", "--no-flights", "--output", str(kept), *words]) == 0
    )
    facts, results, growth = report.load(kept)
    assert [each.name for each in results] == ["naive importer", "rowmill row mode, local, 1 worker"]
    for each in results:
        assert each.problem is None
        assert (each.rows, len(each.seconds)) == (rows, 1)
        assert each.cpu_seconds is not None
        assert 0 < each.cpu_seconds < 60
        assert each.peak_mib[0] > 5
    assert len(results[1].peak_mib) == 2, "the worker is measured as well"
    assert facts["versions"]["polars"]
    assert growth is None
    assert "| rowmill row mode, local, 1 worker |" in capsys.readouterr().out


def test_a_case_that_counts_wrong_or_fails_is_no_figure(tmp_path: Path) -> None:
    with pytest.raises(CaseFailedError, match="ended with 3: no such thing"):
        run([sys.executable, "-c", "import sys; print('no such thing'); sys.exit(3)"], {}, tmp_path)


def test_memory_and_time_of_children_are_seen(tmp_path: Path) -> None:
    child = "import time; held = bytearray(60_000_000); time.sleep(2)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}]); print('{{\"seconds\": 7}}')"
    found = run([sys.executable, "-c", parent], {}, tmp_path)
    assert found.seconds == 7
    assert found.whole_seconds >= 2
    assert len(found.peak_mib) == 2
    assert 60 < found.peak_mib[0] < 120
    assert found.peak_mib[1] < 40


def test_tables_are_the_same_each_time_and_their_refusals_known(tmp_path: Path) -> None:
    people.write_table(tmp_path / "a.csv", ROWS)
    people.write_table(tmp_path / "b.csv", ROWS)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    assert len(rows) == ROWS
    assert sum(not people.check_email(1, row, "", {})["ok"] for row in rows) == people.refused(ROWS) > 0


def test_the_ranges_of_a_peer_are_whole_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.cases.peers._BLOCK_BYTES", 1000)
    people.write_table(tmp_path / "a.csv", ROWS)
    data = (tmp_path / "a.csv").read_bytes()
    pieces = [data[start:end] for start, end in _ranges(str(tmp_path / "a.csv"))]
    assert len(pieces) > 20
    assert b"".join(pieces) == data.partition(b"\n")[2]
    assert all(piece.count(b'"') % 2 == 0 and piece.endswith(b"\n") for piece in pieces)


def test_case_names_are_unique_and_baselines_exist() -> None:
    names = [case.name for case in all_cases()]
    assert len(set(names)) == len(names)
    assert {case.baseline for case in all_cases()} <= set(names)


def test_compare_goes_by_ratios_to_the_baseline_where_there_is_one() -> None:
    old = [result("naive importer", 4.0, 4.0), result("rowmill", 2.0, 2.0), result("alone", 1.0, baseline="gone")]
    # The machine is half as fast now; rowmill has become slower beyond that.
    new = [result("naive importer", 8.0, 8.0), result("rowmill", 8.0, 8.0), result("alone", 1.01, baseline="gone")]
    assert report.compare(old, new) == [
        ("naive importer", ROWS, 0.5, "SLOWER in seconds"),
        ("rowmill", ROWS, 0.5, "SLOWER against naive importer"),
        ("alone", ROWS, pytest.approx(0.99, abs=0.01), "same in seconds"),
    ]


def test_compare_says_by_its_exit_code_whether_something_became_slower(tmp_path: Path) -> None:
    for name, seconds in (("old", 2.0), ("new", 1.0)):
        report.save(tmp_path / name, {}, [result("naive importer", 4.0), result("rowmill", seconds)], None)
    assert main(["compare", str(tmp_path / "old"), str(tmp_path / "new")]) == 0
    assert main(["compare", str(tmp_path / "new"), str(tmp_path / "old")]) == 1


def test_a_peer_that_is_not_installed_is_named_in_the_table() -> None:
    table = report.table([result("naive importer", 1.0), result("spark", problem="not installed: pyspark")])
    assert "| spark | not installed: pyspark |" in table


def test_the_model_of_growth_finds_the_factors_of_a_line() -> None:
    measured = [
        {"rows": rows, "workers": workers, "seconds": 0.5 + 1e-6 * rows + 4e-6 * rows / workers, "peak_mib": 60.0}
        for rows in (100_000, 1_000_000, 10_000_000)
        for workers in (1, 2)
    ]
    model = _fit(measured)
    assert model["fixed_seconds"] == pytest.approx(0.5)
    assert model["serial_microseconds_per_row"] == pytest.approx(1)
    assert model["parallel_microseconds_per_row"] == pytest.approx(4)
    assert model["r_squared"] == pytest.approx(1)
    assert (model["memory_rows"], model["memory_ratio"]) == ([1_000_000, 10_000_000], 1)


def test_what_cannot_be_told_from_noise_is_no_negative_cost() -> None:
    measured = [
        {"rows": rows, "workers": workers, "seconds": 1.0 + 1e-6 * rows * (1 + workers / 20), "peak_mib": 60.0}
        for rows in (100_000, 200_000)
        for workers in (1, 2)
    ]
    model = _fit(measured)
    assert model["parallel_microseconds_per_row"] == 0
    assert model["serial_microseconds_per_row"] == pytest.approx(1.07, abs=0.1)


def test_the_proxy_answers_late_and_unchanged() -> None:
    class Shouting(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                self.wfile.write(line.upper())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Shouting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with (
            late_proxy(server.server_address[1], 100) as port,
            socket.create_connection(("127.0.0.1", port)) as connection,
            connection.makefile("rb") as answers,
        ):
            began = time.perf_counter()
            heard = []
            for word in (b"one\n", b"two\n"):
                connection.sendall(word)
                heard.append(answers.readline())
            seconds = time.perf_counter() - began
        server.shutdown()
    assert heard == [b"ONE\n", b"TWO\n"]
    assert seconds >= 0.2


def test_the_flights_are_counted_as_python_reads_them() -> None:
    assert generate.flights_csv() is not None
    assert generate.count_flights() == (336_776, 8_713)


def test_results_that_are_committed_can_be_read() -> None:
    folder = Path(report.__file__).parent / "results"
    for path in folder.glob("*.json"):
        facts, results, _ = report.load(path)
        assert facts["cores"] > 0
        assert any(each.seconds for each in results) or json.loads(path.read_text())["growth"]


def test_ratios_are_those_of_the_same_round() -> None:
    naive = replace(result("naive importer", 8.0, 4.0), rounds=[0, 1])
    quicker = replace(result("rowmill", 2.0, 1.0), rounds=[1, 2])
    assert report.ratios([naive, quicker], quicker) == [2.0]
    alone = replace(quicker, rounds=[2, 3])
    assert report.ratios([naive, alone], alone) == [3.0, 6.0], "of the median, where no round is shared"


def test_a_slow_case_is_run_once_and_that_counts(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    words = ["--only", "naive importer", "--rows", str(ROWS), "--no-plots", "--no-flights", "--output", str(kept)]
    assert main([*words, "--seconds-per-case", "0.001"]) == 0
    (each,) = report.load(kept)[1]
    assert each.rounds == [0]
    assert main([*words, "--rounds", "2"]) == 0
    (each,) = report.load(kept)[1]
    assert each.rounds == [1, 2]


def test_a_workbook_that_is_timed_is_staged_with_all_its_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    book = openpyxl.Workbook()
    for number in range(41):
        book.worksheets[0].append([number, f"row {number}"])
    book.save(tmp_path / "a.xlsx")
    stage_workbook.main(str(tmp_path / "a.xlsx"), str(tmp_path))
    assert json.loads(capsys.readouterr().out) == {"rows": 40}
