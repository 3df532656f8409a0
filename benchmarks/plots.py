"""Plots of a file of results, as SVG beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

from benchmarks import report
from benchmarks.report import CaseResult

mpl.use("Agg")
#: The same figures give the same file.
mpl.rcParams["svg.hashsalt"] = "rowmill"

_COLOURS = {"floor": "#9aa5b1", "rowmill": "#d1495b", "naive": "#30638e", "other": "#edae49"}


def draw(path: Path) -> list[Path]:
    """Draw all that the file has figures for; returns the drawings."""
    facts, results, growth = report.load(path)
    drawn = []
    for rows in sorted({result.rows for result in results}):
        for groups, name in ((("floor", "import"), "import"), (("excel",), "excel"), (("model",), "model")):
            chosen = [each for each in results if each.rows == rows and each.group in groups and each.seconds]
            # Rates of another order would leave nothing of the others to be seen.
            chosen = [each for each in chosen if each.name != "read the file"]
            if chosen:
                drawn.append(_bars(chosen, f"{path.with_suffix('')}-{name}-{rows}.svg", facts))
    if growth is not None:
        drawn.append(_growth(growth, f"{path.with_suffix('')}-growth.svg"))
    return drawn


def _bars(results: Sequence[CaseResult], target: str, facts: dict[str, Any]) -> Path:
    figure, axes = plt.subplots(figsize=(9, 0.34 * len(results) + 1.2), layout="constrained")
    rates = [each.rows / each.median for each in results]
    low = [rate - each.rows / max(each.seconds) for rate, each in zip(rates, results, strict=True)]
    high = [each.rows / min(each.seconds) - rate for rate, each in zip(rates, results, strict=True)]
    colours = [_COLOURS[_kind(each)] for each in results]
    axes.barh([each.name for each in results], rates, xerr=[low, high], color=colours, ecolor="#444444", capsize=2)
    for position, rate in enumerate(rates):
        axes.annotate(f" {rate:,.0f}", (rate + high[position], position), va="center", fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel(f"rows/s, median and range, {results[0].rows:,} rows, {facts['cores']} cores")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.tick_params(labelsize=7)
    axes.margins(x=0.12)
    return _saved(figure, target)


def _kind(result: CaseResult) -> str:
    if result.group == "floor":
        return "floor"
    if result.name.startswith("rowmill"):
        return "rowmill"
    return "naive" if result.name == result.baseline else "other"


def _growth(growth: dict[str, Any], target: str) -> Path:
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    for number, (way, model) in enumerate(growth["models"].items()):
        for workers, marker in ((1, "o"), (2, "s")):
            each = [one for one in growth["measured"] if one["way"] == way and one["workers"] == workers]
            rows = [one["rows"] for one in each]
            label = f"{way}, {workers} worker{'s' if workers > 1 else ''}"
            left.plot(rows, [one["seconds"] for one in each], marker, color=f"C{number}", label=label)
            line = [
                model["fixed_seconds"]
                + (model["serial_microseconds_per_row"] + model["parallel_microseconds_per_row"] / workers) / 1e6 * row
                for row in rows
            ]
            left.plot(rows, line, "-", color=f"C{number}", alpha=0.5)
            middle.plot(rows, [one["peak_mib"] for one in each], marker, color=f"C{number}")
            if "messages" in each[0]:
                chunks = [one["chunks"] for one in each]
                right.plot(chunks, [one["messages"] for one in each], marker, color="C3", label=f"messages, {workers}")
                right.plot(chunks, [one["redis_keys"] for one in each], marker, color="C4", label=f"keys, {workers}")
    left.set(xlabel="rows", ylabel="seconds; lines: the model", xscale="log", yscale="log")
    middle.set(xlabel="rows", ylabel="peak MiB of the largest process", xscale="log", ylim=(0, None))
    right.set(xlabel="chunks", ylabel="count, by workers", ylim=(0, None))
    left.legend(fontsize=7)
    right.legend(fontsize=7)
    return _saved(figure, target)


def _saved(figure: Any, target: str) -> Path:
    figure.savefig(target, metadata={"Date": None})
    plt.close(figure)
    return Path(target)
