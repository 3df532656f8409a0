"""rowmill's engine: huge CSV files into two exact result files, on a laptop or on Celery."""

from engine.config import EngineConfig
from engine.errors import RowmillError
from engine.handlers import batch_handler, idempotency_key, not_atomic
from engine.inspection import Inspection, Preview, inspect, preview, read_rows
from engine.options import ImportOptions
from engine.report import JobReport
from engine.runs import cancel, pause, resume, retry, run, status

__all__ = [
    "EngineConfig",
    "ImportOptions",
    "Inspection",
    "JobReport",
    "Preview",
    "RowmillError",
    "batch_handler",
    "cancel",
    "idempotency_key",
    "inspect",
    "not_atomic",
    "pause",
    "preview",
    "read_rows",
    "resume",
    "retry",
    "run",
    "status",
]
