"""rowmill's engine: huge CSV files into two exact result files, on a laptop or on Celery.

The public names are imported when they are first asked for: a process that needs one room of the
engine, as the workers and the parser of workbooks do, does not wait for all of them to load.
"""

import importlib
import types
import typing

import engine.status  # noqa: F401 - loaded before its name is given to the function

if typing.TYPE_CHECKING:
    from engine.config import EngineConfig
    from engine.errors import RowmillError
    from engine.handlers import batch_handler, idempotency_key, not_atomic
    from engine.inspection import Inspection, Preview, inspect, preview, read_rows
    from engine.options import ImportOptions
    from engine.report import JobReport
    from engine.runs import cancel, pause, resume, retry, run, status
else:
    # Loading a room sets its name in here to the module; a room that is loaded does not do so again.
    del status

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

#: Public name → the room that has it.
_ROOMS = types.MappingProxyType(
    {
        "EngineConfig": "config",
        "ImportOptions": "options",
        "Inspection": "inspection",
        "JobReport": "report",
        "Preview": "inspection",
        "RowmillError": "errors",
        "batch_handler": "handlers",
        "cancel": "runs",
        "idempotency_key": "handlers",
        "inspect": "inspection",
        "not_atomic": "handlers",
        "pause": "runs",
        "preview": "inspection",
        "read_rows": "inspection",
        "resume": "runs",
        "retry": "runs",
        "run": "runs",
        "status": "runs",
    }
)


def __getattr__(name: str) -> typing.Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__]
