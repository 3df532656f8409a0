"""The durable truth about jobs and chunks."""

from __future__ import annotations

from engine.errors import LedgerError
from engine.ledger.protocol import ChunkWork, Ledger
from engine.ledger.sqlite import SqliteLedger
from engine.model import ExecutorName

__all__ = ["ChunkWork", "Ledger", "SqliteLedger", "open_ledger"]

_SQLITE = "sqlite:///"


def open_ledger(url: str, *, executor: ExecutorName | None = None) -> SqliteLedger:
    """Open the ledger that a URL names: `sqlite:///` and an absolute path.

    Args:
        executor: see `SqliteLedger`.

    Raises:
        LedgerError: the URL has another form, or the file cannot be opened.
    """
    if url.startswith(_SQLITE):
        return SqliteLedger(url.removeprefix(_SQLITE), executor=executor)
    raise LedgerError(f"The ledger {url!r} must be given as sqlite:///absolute/path.", url=url)
