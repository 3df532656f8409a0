"""All parts of the ledger in one object."""

from __future__ import annotations

from engine.ledger.sqlite.dispatch import Dispatch
from engine.ledger.sqlite.jobs import JobBooks
from engine.ledger.sqlite.leases import Leases
from engine.ledger.sqlite.outcomes import Outcomes


class SqliteLedger(JobBooks, Dispatch, Leases, Outcomes):
    """See `engine.ledger.protocol.Ledger`; one instance may be used by several threads."""
