"""Told when a job ends: `receiver(sender=ImportJob, job=<ImportJob>, **kwargs)`.

A signal is sent after the end was committed, by the process that ended the job: a Celery worker,
mostly. It is sent once, unless that process dies in between; then it is lost.
"""

from django.dispatch import Signal

import_finished = Signal()
"""Every row has an outcome and the result files are there."""
import_failed = Signal()
"""The job ended by an error that is not a row's."""
import_cancelled = Signal()
"""A user ended the job; what was done has its result files."""
