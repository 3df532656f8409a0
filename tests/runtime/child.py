"""`engine.run` for tests that interrupt, stop or kill the process in which it runs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import engine
from engine.config import EngineConfig
from engine.errors import RowmillError
from engine.runtime import local_pool


def main() -> None:
    arguments = json.loads(sys.argv[1])
    local_pool._GRACE_SECONDS = arguments.pop("grace_seconds", local_pool._GRACE_SECONDS)
    config = EngineConfig(**arguments.pop("config"))
    told = arguments.pop("told_interrupt", os.devnull)
    try:
        report = engine.run(
            arguments.pop("source"),
            arguments.pop("handler"),
            config=config,
            on_interrupt=lambda: Path(told).touch(),
            **arguments,
        )
        print(json.dumps({"status": str(report.job.status), "processed": report.counts.processed_rows}))
    except RowmillError as error:
        print(json.dumps({"code": error.code, "message": error.message}))


if __name__ == "__main__":
    main()
