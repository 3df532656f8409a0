"""Told when a job ends: `receiver(sender=ImportJob, job=<ImportJob>, **kwargs)`.

A signal is sent after the end was committed, by the process that ended the job: a Celery worker,
mostly. It is sent at least once: where that process dies before it has noted that all receivers
were called, the workers' recovery, or a sweep, calls them again, a minute after the end and for a
day. So a receiver should be repeatable, and one that takes longer than that minute may be called a
second time meanwhile. One that raises is logged, and is not called again.
"""

from django.dispatch import Signal

import_finished = Signal()
"""Every row has an outcome and the result files are there."""
import_failed = Signal()
"""The job ended by an error that is not a row's."""
import_cancelled = Signal()
"""A user ended the job; what was done has its result files."""
