"""Live counters of running jobs, and the flag that cancels them."""

from engine.progress.memory import MemoryProgress
from engine.progress.protocol import ProgressSnapshot, ProgressStore, RowCosts
from engine.progress.redis import RedisProgress, url_without_secrets
from engine.progress.step_times import StepTimes
from engine.progress.ticker import Ticker

__all__ = [
    "MemoryProgress",
    "ProgressSnapshot",
    "ProgressStore",
    "RedisProgress",
    "RowCosts",
    "StepTimes",
    "Ticker",
    "url_without_secrets",
]
