"""`manage.py import_file PATH --handler …`: an import from the shell, on the project's database and storage."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser, BooleanOptionalAction, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from django_integration.imports import bridge, refusals, services
from django_integration.imports.file_intake import DEFAULT_PURPOSE, take_in
from django_integration.imports.local_run import LocalRun
from django_integration.imports.models import ImportJob
from engine.cli.progress_display import Display, make_display
from engine.cli.summary import summary
from engine.errors import (
    EXIT_JOB_CANCELLED,
    EXIT_JOB_FAILED,
    EXIT_SUCCEEDED,
    InterruptedJobError,
    OptionError,
    RowmillError,
)
from engine.handlers import HandlerMode, resolve_handler
from engine.report import JobReport
from engine.status import Status

_LOOK_SECONDS = 0.2
#: Seconds after which a job that no worker has taken is worth a word.
_PATIENCE_SECONDS = 10.0

_EXIT_CODES = {Status.SUCCEEDED: EXIT_SUCCEEDED, Status.CANCELLED: EXIT_JOB_CANCELLED, Status.FAILED: EXIT_JOB_FAILED}

_EXAMPLES = f"""\
examples:
  manage.py import_file people.csv --handler shop.handlers.save_person
  manage.py import_file people.csv --handler shop.handlers.save_person --user anna --option update_existing=true
  manage.py import_file people.csv --handler shop.handlers.save_person --local

Ctrl-C leaves a job that workers run to them, and says how to cancel it; with --local it cancels the job.

exit codes: 0 succeeded (refused rows included), {EXIT_JOB_FAILED} failed, {EXIT_JOB_CANCELLED} cancelled,
{InterruptedJobError.exit_code} no longer watched, others as of the rowmill command.
"""


class Command(BaseCommand):
    """Takes a file in, starts a job, watches it, and tells what came of it."""

    help = "Imports a CSV file of this machine, as an upload through the API would be."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        """With examples below the flags."""
        return super().create_parser(
            prog_name, subcommand, epilog=_EXAMPLES, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The flags."""
        parser.add_argument("path", type=Path, help="the file")
        handler = parser.add_mutually_exclusive_group(required=True)
        handler.add_argument("--handler", metavar="PATH", help="dotted path of the row handler")
        handler.add_argument("--batch-handler", metavar="PATH", help="in its place, that of a batch handler")
        parser.add_argument(
            "--user", metavar="NAME", help="whose file and job it becomes, and whose quotas hold; nobody's by default"
        )
        parser.add_argument(
            "--option",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="an import option, or any other name, which goes to the handler; VALUE is read as JSON where it is "
            "JSON, else as text; may be repeated",
        )
        parser.add_argument(
            "--purpose",
            help=f"a purpose of FILES_PURPOSES, whose limits then hold; without it {DEFAULT_PURPOSE}, which has none",
        )
        parser.add_argument(
            "--wait", action=BooleanOptionalAction, default=True, help="watch the job until it ends; --wait by default"
        )
        parser.add_argument(
            "--local",
            action="store_true",
            help="run the rows in this process, one chunk after the other: needs no worker, no broker and no Redis",
        )

    def handle(self, *args: Any, **given: Any) -> None:
        """Import. Raises CommandError, or SystemExit for a job that did not succeed."""
        if given["local"] and not given["wait"]:
            raise CommandError("--local runs the rows in this process, which --no-wait would not wait for.")
        started = time.monotonic()
        try:
            job = self._start(given)
            if not given["wait"]:
                self.stdout.write(str(job.pk))
                return
            with make_display() as display:
                report = LocalRun(display.show).run(str(job.pk)) if given["local"] else self._watch(job, display)
        except RowmillError as error:
            raise CommandError(error.message, returncode=error.exit_code) from error
        seconds = time.monotonic() - started
        display.end(report, seconds=seconds)
        self.stdout.write(summary(report, seconds=seconds, rows=report.counts.processed_rows))
        code = _EXIT_CODES[report.job.status]
        if code:
            raise SystemExit(code)

    def _start(self, given: dict[str, Any]) -> ImportJob:
        """Check what can be checked before the file is copied, then copy it and start."""
        options = _options(given["option"])
        path: Path = given["path"]
        handler_mode: HandlerMode = "batch" if given["batch_handler"] else "row"
        handler_path: str = given["batch_handler"] or given["handler"]
        resolve_handler(handler_path)
        user = _user(given["user"])
        try:
            services.checked_options(options, handler_mode)
            if not path.is_file():
                raise CommandError(_("There is no file %(path)s.") % {"path": path})
            file = take_in(path, purpose=given["purpose"], user=user)
            request = services.StartRequest(
                user=user or AnonymousUser(),
                file_id=file.pk,
                options=options,
                handler_path=handler_path,
                handler_mode=handler_mode,
            )
            job, _created = services.start(request, send=_send_nothing if given["local"] else None)
        except refusals.RequestRefusedError as error:
            raise CommandError(error.message, returncode=OptionError.exit_code) from error
        except ValidationError as error:
            raise CommandError(" ".join(error.messages), returncode=OptionError.exit_code) from error
        except OSError as error:
            raise CommandError(str(error)) from error
        return job

    def _watch(self, job: ImportJob, display: Display) -> JobReport:
        """Look at the job until it has ended; the workers need this process for nothing."""
        parts = bridge.process_parts()
        job_id = str(job.pk)
        patient_until: float | None = time.monotonic() + _PATIENCE_SECONDS
        try:
            while True:
                now = parts.ledger.job(job_id)
                report = JobReport(job=now, counts=parts.coordinator.counts(now))
                display.show(report)
                if now.status.is_final:
                    return report
                if patient_until is not None and time.monotonic() > patient_until:
                    patient_until = None
                    if now.status is Status.QUEUED:
                        display.say("rowmill: no worker has taken the job yet. Is one running? It waits for one.")
                time.sleep(_LOOK_SECONDS)
        except KeyboardInterrupt:
            raise InterruptedJobError(
                f"Import job {job_id} goes on without this command. To end it, cancel it in the admin, or by "
                f"POST /api/imports/{job_id}/cancel/.",
                job_id=job_id,
            ) from None


def _options(given: list[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise CommandError(f"--option must be of the form KEY=VALUE, not {text!r}.", returncode=2)
        if name in options:
            raise CommandError(f"The option {name} is given twice. Give it once.", returncode=2)
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return options


def _user(name: str | None) -> AbstractBaseUser | None:
    if name is None:
        return None
    users = get_user_model()
    try:
        user: AbstractBaseUser = users._default_manager.get_by_natural_key(name)
        return user
    except users.DoesNotExist:
        raise CommandError(f"There is no user {name}.", returncode=2) from None


def _send_nothing(_job_id: str, _task_id: str) -> None:
    """The first message of a job that this process runs itself."""
