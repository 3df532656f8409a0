from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from engine.errors import SourceEmptyError
from tests.in_process import InProcess, numbered


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """What a host has set up; OpenTelemetry lets that be done once a process."""
    made, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(made))
    trace.set_tracer_provider(provider)
    return made


@pytest.fixture
def here(tmp_path: Path, exporter: InMemorySpanExporter) -> Iterator[InProcess]:
    exporter.clear()
    made = InProcess(tmp_path)
    yield made
    made.close()


def test_a_scan_each_chunk_and_the_merge_are_spans_with_ids(here: InProcess, exporter: InMemorySpanExporter) -> None:
    here.run(numbered(20), chunk_size=10)
    spans = [(span.name, dict(span.attributes or {})) for span in exporter.get_finished_spans()]
    job = {"rowmill.job_id": here.job_id}
    assert spans == [
        ("rowmill.plan", job),
        ("rowmill.chunk", {**job, "rowmill.chunk_index": 0}),
        ("rowmill.chunk", {**job, "rowmill.chunk_index": 1}),
        ("rowmill.finish", job),
    ]


def test_an_error_is_on_its_span(here: InProcess, exporter: InMemorySpanExporter) -> None:
    here.create(b"")
    with pytest.raises(SourceEmptyError):
        here.coordinator().plan(here.job_id)
    (span,) = exporter.get_finished_spans()
    assert not span.status.is_ok
    assert [event.name for event in span.events] == ["exception"]


def test_the_engine_loads_nothing_for_it() -> None:
    code = "import sys, engine, engine.runtime.local_worker; sys.exit('opentelemetry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
