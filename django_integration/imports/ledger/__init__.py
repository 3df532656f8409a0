"""The ledger on the Django database: the handlers' writes and the chunk's commit in one transaction.

On PostgreSQL the row lock of a chunk, held while its rows run, is the lease: a dead owner's lock is
gone at once, so that it needs no heartbeat, and no living owner is taken for a silent one. SQLite
has no row locks; there a dead process is told by its name (`engine.ledger.owner`), and as all
workers share one machine, an owner that lives for certain keeps its chunk however long it waits
for the one writer.
"""

from django_integration.imports.ledger.ledger import DjangoLedger

__all__ = ["DjangoLedger"]
