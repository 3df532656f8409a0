"""The fixtures that the usage guide's test names, and files to import."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from django_integration.files.models import FileModel
from django_integration.imports import bridge
from django_integration.imports.models import ImportJob


@pytest.fixture
def authenticated_user(user: User) -> User:
    return user


@pytest.fixture
def api_client(api: APIClient) -> APIClient:
    return api


@pytest.fixture(autouse=True)
def _own_parts(settings: Any, tmp_path: Path, valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A storage of the test's own, and the counters where the tests have theirs."""
    settings.MEDIA_ROOT = str(tmp_path / "media")
    settings.IMPORT_REDIS_URL = valkey_url
    # So that what is between the last chunk and the merge can be looked at.
    monkeypatch.setattr(bridge, "FINISH_HERE_ROWS", 0)
    bridge.forget_parts()
    yield
    bridge.forget_parts()


@pytest.fixture(autouse=True)
def messages(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What was sent to the broker: task and arguments."""
    sent: list[tuple[Any, ...]] = []
    monkeypatch.setattr(bridge, "_send", lambda task, *arguments, **_: sent.append((task, *arguments)))
    return sent


@pytest.fixture
def stored_file(tmp_path: Path, user: User) -> Callable[..., FileModel]:
    """`stored_file(text, …)`: a confirmed file of `user` with that content."""

    def make(text: str = "name,email\nAna,a@x\nBo,\n", **changes: Any) -> FileModel:
        values = {"purpose": "people_import", "file_name": "people.csv", "is_confirmed": True, "uploaded_by": user}
        count = FileModel.objects.count()
        file = FileModel(file_path=f"in/{count}/people.csv", **{**values, **changes})
        path = tmp_path / "media" / file.file_path
        path.parent.mkdir(parents=True)
        path.write_text(text, newline="")
        file.size = path.stat().st_size
        file.save()
        return file

    return make


@pytest.fixture
def run_to_end(messages: list[tuple[Any, ...]]) -> Callable[[ImportJob], ImportJob]:
    """Do here what the messages of a job order, until there are none left."""

    def run(job: ImportJob) -> ImportJob:
        steps = bridge.process_parts().steps
        steps.plan(str(job.pk))
        while messages:
            task, *arguments = messages.pop(0)
            step = {
                bridge.PLAN_TASK: steps.plan,
                bridge.CHUNK_TASK: steps.chunk,
                bridge.FINISH_TASK: steps.finish,
                bridge.HELP_TASK: steps.help,
            }[task]
            step(*arguments)
        job.refresh_from_db()
        return job

    return run
