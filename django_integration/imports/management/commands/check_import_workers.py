"""`manage.py check_import_workers`."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_integration.imports import health


class Command(BaseCommand):
    """Sends a probe to the import workers; fails when none answers."""

    help = "Prove that a worker takes import messages: database, Redis, broker and worker are asked in this order."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the flag."""
        parser.add_argument("--timeout", type=float, default=10.0, help="Seconds that a worker gets (default: 10).")

    def handle(self, *_: Any, **options: Any) -> None:
        """Ask, and say how long it took."""
        found = health.check(options["timeout"])
        if not found.is_well:
            raise CommandError(found.reason)
        self.stdout.write(f"A worker answered after {found.seconds} s.")
