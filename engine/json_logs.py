"""Log records as JSON, one object a line, for whatever gathers logs.

The engine logs a fixed message and its facts in `extra`: job_id, chunk_index, attempt, rows,
error_code and such; ids and counts, never the contents of cells. What fails says its job and the reason in the
message, too, for logs that leave `extra` out, as Celery's do. This formatter puts them beside
the message. It is set by whoever configures logging:

    LOGGING = {
        "version": 1,
        "formatters": {"json": {"()": "engine.json_logs.JsonFormatter"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "loggers": {name: {"handlers": ["stderr"], "level": "INFO"} for name in ("engine", "django_integration")},
    }
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

_ALWAYS_THERE = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """`{"time": …, "level": …, "logger": …, "message": …}` with the record's own facts; never more than one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Facts that JSON has no form for are told by their text; a fact never replaces one of the four."""
        facts = {name: value for name, value in vars(record).items() if name not in _ALWAYS_THERE}
        document: dict[str, Any] = {
            **facts,
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            document["traceback"] = self.formatException(record.exc_info)
        return json.dumps(document, default=str)
