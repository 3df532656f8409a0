"""A process that writes a small table, or misbehaves in the way that its request names."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from typing import Any

import pyarrow as pa

from engine.arrow_form import batch_of
from engine.errors import SourceEmptyError
from engine.staging.limited_process import run_limited


def write(request: dict[str, Any]) -> None:
    """Two batches of a row each, what goes wrong between them."""
    batch = batch_of([pa.array([request["cell"]])])
    match request["before"]:
        case "tell":
            raise SourceEmptyError("There is nothing.", source="s", count=3)
        case "look for pandas":
            batch = batch_of([pa.array([str("pandas" in sys.modules)])])
        case "warn and tell":
            os.write(2, b"A number is odd.\n" * 10_000 + b"Another")
            raise SourceEmptyError("There is nothing.", source="s", count=3)
        case "read":
            batch = batch_of([pa.array([str(len(sys.stdin.buffer.read()))])])
        case "hang":
            time.sleep(600)
    with pa.ipc.new_stream(sys.stdout.buffer, batch.schema) as writer:
        writer.write_batch(batch)
        sys.stdout.buffer.flush()
        match request["between"]:
            case "tell":
                raise SourceEmptyError("There is nothing.", source="s", count=3)
            case "memory":
                kept = []
                while True:
                    kept.append(bytearray(2**20))
            case "abort":
                os.abort()
            case "crash":
                ctypes.string_at(0)
            case "exit":
                os._exit(0)
            case "hang":
                time.sleep(600)
        writer.write_batch(batch)


if __name__ == "__main__":
    run_limited(write)
