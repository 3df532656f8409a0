"""All parts of the ledger in one object."""

from __future__ import annotations

from django_integration.imports.ledger.attempts import Attempts
from django_integration.imports.ledger.dispatch import Dispatch
from django_integration.imports.ledger.jobs import JobBooks
from django_integration.imports.ledger.leases import Leases
from django_integration.imports.ledger.outcomes import Outcomes


class DjangoLedger(JobBooks, Dispatch, Leases, Attempts, Outcomes):
    """See `engine.ledger.protocol.Ledger`."""
