"""Two users, files and jobs of the Django project's tests, and a trap for whatever is logged."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.django_integration.conftest import api, client_of, manager, other_api, other_user, user
from tests.django_integration.files.conftest import folder, local_place
from tests.django_integration.imports.conftest import _own_parts, messages, run_to_end, stored_file


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """Every line that any logger would write at the lowest level, with its facts and its traceback."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            facts = {name: value for name, value in vars(record).items() if name not in _PLAIN}
            lines.append(f"{logging.Formatter().format(record)} {facts}")

    handler, root = Keep(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield lines
    root.removeHandler(handler)
    root.setLevel(level)


_PLAIN = frozenset(vars(logging.makeLogRecord({}))) - {"message"}

__all__ = [
    "_own_parts",
    "api",
    "client_of",
    "folder",
    "local_place",
    "logged",
    "manager",
    "messages",
    "other_api",
    "other_user",
    "run_to_end",
    "stored_file",
    "user",
]
