"""`manage.py sweep_imports`."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from django_integration.imports.sweeping import sweep


class Command(BaseCommand):
    """Removes what nobody needs any more from the storage; see `sweeping`."""

    help = (
        "Remove parts of ended jobs, uploads that were given up, and result files past their retention. "
        "Safe at any time, also while jobs run and from several machines at once."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the flag."""
        parser.add_argument("--dry-run", action="store_true", help="Only say what would be removed.")

    def handle(self, *_: Any, **options: Any) -> None:
        """Sweep, and say what went."""
        swept = sweep(dry_run=options["dry_run"])
        verb = "would be removed" if options["dry_run"] else "removed"
        for name in swept.__slots__:
            self.stdout.write(f"{name.replace('_', ' ')} {verb}: {getattr(swept, name):,}")
