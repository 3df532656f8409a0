"""System checks: what would make imports fail, or lose their promises, named before the first one starts.

All but `check_redis` contact nobody, and run with every `manage.py` command; that one waits up to a
second for a server that a build machine does not have, so it runs with `check --deploy` only.
`manage.py check --tag rowmill` runs these alone.

E001 a view's handler cannot be imported     W020 there is no Celery app
E002 a view names no handler                 W021 chunks are acknowledged before they are done
E003 IMPORT_ALLOWED_HANDLERS                 W022 chunks of a killed process are not sent again
E004 another IMPORT_… setting                W023 workers keep chunks waiting in themselves
E005 IMPORT_DATABASE                         W024 a time limit kills chunks
E010 Redis does not answer                   W025 results of tasks are kept
W011 Redis may drop keys                     W026 messages may be pickled
W030 SQLite without IMMEDIATE                W027 the visibility timeout is short
W031 SQLite with a short timeout             W028 a lost connection ends running chunks
W032 a database without the locks            W029 workers fork
W034 PostgreSQL at SERIALIZABLE              W033 children are killed before they are ready
W035 addresses are not included              W037 a setting of a name that is none
W036 another action of a view has the address of the import
"""

from __future__ import annotations

from django_integration.imports.checks.carrying_out import TAG
from django_integration.imports.checks.project import check_addresses, check_names, check_settings, check_views
from django_integration.imports.checks.services import check_celery, check_database, check_redis

__all__ = [
    "TAG",
    "check_addresses",
    "check_celery",
    "check_database",
    "check_names",
    "check_redis",
    "check_settings",
    "check_views",
]
