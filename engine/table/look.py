"""What every kind of source comes to before its chunks are run."""

from __future__ import annotations

from dataclasses import dataclass

from engine.model import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the start of a source says, before it is scanned."""

    plan: Plan
    confidence: float
    """Share of the sampled records that have the usual number of cells."""
    source_encoding: str
    """Of the source itself; a staged copy's is UTF-8."""
    mark_bytes: int
    header_records: tuple[tuple[str, ...], ...]
