"""The example project fits the engine it is an example of; nothing is started here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[2]
_EXAMPLE = _ROOT / "scripts" / "example"


def manage(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the example on data of its own."""
    variables = ("DATABASE_URL", "REDIS_URL", "S3_ENDPOINT_URL", "FILES_STORAGE_URL", "DJANGO_SETTINGS_MODULE")
    environment = {name: value for name, value in os.environ.items() if name not in variables}
    environment["SERVE_DATA_DIR"] = str(tmp_path / "data")
    return subprocess.run(
        [sys.executable, "-W", "error", str(_EXAMPLE / "manage.py"), *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def ask(tmp_path: Path, code: str) -> Any:
    """What a piece of Python says within the example, as JSON."""
    done = manage(tmp_path, "shell", "-c", f"import json\n{code}\nprint('answer', json.dumps(answer))")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.rpartition("answer ")[2])


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Command → what went wrong with it, if anything, and what it said; all in one process."""
    folder = tmp_path_factory.mktemp("example")
    commands = {
        "check": {"fail_level": "WARNING"},
        "makemigrations": {"check_changes": True, "dry_run": True},
        "spectacular": {"validate": True, "fail_on_warn": True, "file": str(folder / "schema.yml")},
    }
    answer: dict[str, list[str]] = ask(
        folder,
        "import io\n"
        "from django.core.management import call_command\n"
        "answer = {}\n"
        f"for name, options in {commands!r}.items():\n"
        "    said, trouble = io.StringIO(), ''\n"
        "    try:\n"
        "        call_command(name, stdout=said, stderr=said, **options)\n"
        "    except BaseException as error:\n"
        "        trouble = repr(error)\n"
        "    answer[name] = [trouble, said.getvalue()]",
    )
    return answer


def test_the_checks_have_nothing_to_say(told: dict[str, list[str]]) -> None:
    trouble, said = told["check"]
    assert trouble == "", said
    assert "no issues" in said


def test_the_migrations_are_complete(told: dict[str, list[str]]) -> None:
    assert told["makemigrations"][0] == "", told["makemigrations"]


def test_the_schema_is_valid(told: dict[str, list[str]]) -> None:
    assert told["spectacular"][0] == "", told["spectacular"]


def test_every_import_task_has_its_queue(tmp_path: Path) -> None:
    answer = ask(
        tmp_path,
        "from project.celery import app\n"
        "from django_integration.imports import bridge\n"
        "names = [bridge.PLAN_TASK, bridge.CHUNK_TASK, bridge.FINISH_TASK, bridge.HELP_TASK]\n"
        "answer = [app.amqp.router.route({}, name)['queue'].name for name in names]",
    )
    assert answer == ["rowmill.control", "rowmill.chunks", "rowmill.control", "rowmill.chunks"]


def test_preparing_is_repeatable(tmp_path: Path) -> None:
    answer = ask(
        tmp_path,
        "from django.core.management import call_command\n"
        "call_command('prepare_example')\ncall_command('prepare_example')\n"
        "from django.contrib.auth import authenticate\n"
        "users = [authenticate(username=name, password=name) for name in ('demo', 'other', 'admin')]\n"
        "answer = [[user.username, user.is_superuser] for user in users]",
    )
    assert answer == [["demo", False], ["other", False], ["admin", True]]


def test_a_bucket_is_made_once(tmp_path: Path, moto_endpoint: str, s3_client: Any) -> None:
    bucket = f"rowmill-prepared-{tmp_path.name.strip('_').replace('_', '-')[:40]}"
    code = (
        f"import os\nos.environ.update(S3_ENDPOINT_URL={moto_endpoint!r}, FILES_STORAGE_URL='s3://{bucket}/below')\n"
        "from django.conf import settings\n"
        f"settings.FILES_S3_ENDPOINT_URL, settings.FILES_STORAGE_URL = {moto_endpoint!r}, 's3://{bucket}/below'\n"
        "from django.core.management import call_command\n"
        "call_command('prepare_example')\ncall_command('prepare_example')\nanswer = 1"
    )
    assert ask(tmp_path, code) == 1
    client = s3_client(moto_endpoint)
    client.head_bucket(Bucket=bucket)
    client.delete_bucket(Bucket=bucket)


def test_airports_are_checked(tmp_path: Path) -> None:
    good: list[str | None] = ["EDDF", "FRA", "Frankfurt", "Frankfurt", "", "DE", "364", "50.03", "8.57", "CET", ""]
    changes: list[tuple[dict[int, str | None], str]] = [
        ({0: ""}, "An ICAO code has four letters or digits, not ''"),
        ({0: "_MLH"}, "An ICAO code has four letters or digits, not '_MLH'"),
        ({2: " "}, "Name is required"),
        ({3: ""}, "City is required"),
        ({7: ""}, "Latitude is required"),
        ({7: "north"}, "Latitude must be a number, not 'north'"),
        ({7: "90.5"}, "Latitude must be between -90 and 90, not 90.5"),
        ({8: "nan"}, "Longitude must be between -180 and 180, not nan"),
        ({6: "high"}, "Elevation must be a number, not 'high'"),
        ({10: None}, "An airport has 11 cells, this one 10"),
    ]
    rows = [[changed.get(column, cell) for column, cell in enumerate(good)] for changed, _ in changes]
    rows = [[cell for cell in row if cell is not None] for row in rows]
    refused, created, updated, kept = ask(
        tmp_path,
        "from django.core.management import call_command\n"
        "call_command('prepare_example')\n"
        "from travel.import_handlers import import_airport as handler\n"
        f"refused = [handler(1, row, 'job', {{}}) for row in {rows!r}]\n"
        f"good = {good!r}\n"
        "answer = refused, handler(1, good, 'job', {}), handler(1, good[:6] + [''] + good[7:], 'job', {}), "
        "handler(1, good, 'job', {'update_existing': False})",
    )
    assert [answer["error"] for answer in refused] == [error for _, error in changes]
    assert (created["ok"], created["result"]["created"]) == (True, True)
    assert (updated["ok"], updated["result"]["created"]) == (True, False)
    assert kept == {"ok": False, "error": "Airport EDDF exists already"}
