"""The Python API of jobs: run one, ask for it, hold it, end it."""

from engine.runs.beginning import retry, run
from engine.runs.books import DEFAULT_OUTPUT_DIR, ledger_url_for
from engine.runs.steering import cancel, pause, resume, status
from engine.runs.working import OnProgress

__all__ = [
    "DEFAULT_OUTPUT_DIR",
    "OnProgress",
    "cancel",
    "ledger_url_for",
    "pause",
    "resume",
    "retry",
    "run",
    "status",
]
