"""Spans around scans, chunks and merges, where the host process has OpenTelemetry set up; else nothing.

Nothing is imported for it: a host that traces has loaded the package before. One span a chunk, none a
row. Attributes are ids and counts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def span(name: str, **attributes: str | int) -> Iterator[None]:
    """A span of the tracer `rowmill` while the context lasts; an error that leaves it is recorded there."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        yield
        return
    facts = {f"rowmill.{key}": value for key, value in attributes.items()}
    with trace.get_tracer("rowmill").start_as_current_span(name, attributes=facts):
        yield
