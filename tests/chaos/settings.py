"""The example project's settings, with recovery at another pace where CHAOS_LEASE_SECONDS asks for one."""

import os

from project.settings import *  # noqa: F403

if "CHAOS_LEASE_SECONDS" in os.environ:
    IMPORT_LEASE_SECONDS = IMPORT_RESEND_AFTER_SECONDS = float(os.environ["CHAOS_LEASE_SECONDS"])
    IMPORT_RECOVERY_INTERVAL_SECONDS = IMPORT_LEASE_SECONDS / 3

IMPORT_ALLOWED_HANDLERS = ["tests.chaos.handlers.note_flights"]
