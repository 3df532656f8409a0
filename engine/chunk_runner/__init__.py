"""One chunk from claim to commit: the same code under every executor.

The order is the commit protocol: claim with a fresh token, run the rows inside the ledger's work,
store the parts, commit once, move the live counters. A process that dies anywhere in it leaves a
lease that is taken back, and parts that nobody names.
"""

from engine.chunk_runner.counters import rebuild_progress
from engine.chunk_runner.runner import MAX_UNEXPLAINED_DEATHS, ChunkRunner, Ran, load_batch_libraries

__all__ = ["MAX_UNEXPLAINED_DEATHS", "ChunkRunner", "Ran", "load_batch_libraries", "rebuild_progress"]
