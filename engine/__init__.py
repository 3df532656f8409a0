"""rowmill's engine: huge CSV files into two exact result files, on a laptop or on Celery."""

from engine.config import EngineConfig
from engine.errors import RowmillError
from engine.options import ImportOptions
from engine.report import JobReport
from engine.runs import Inspection, cancel, inspect, read_rows, run, status

__all__ = [
    "EngineConfig",
    "ImportOptions",
    "Inspection",
    "JobReport",
    "RowmillError",
    "cancel",
    "inspect",
    "read_rows",
    "run",
    "status",
]
