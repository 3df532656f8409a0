"""The ledger in one SQLite file, for all processes of one machine.

Write-ahead logging with synchronous=NORMAL: a commit survives the death of any process; the last
ones may be lost with the machine's power, after which their chunks run again. Such a ledger cannot
hold the handler's own writes in its transaction, so handlers run at least once here.
"""

from engine.ledger.sqlite.ledger import SqliteLedger

__all__ = ["SqliteLedger"]
