from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import sample_handlers
from tests.in_process import InProcess


@pytest.fixture
def here(tmp_path: Path) -> Iterator[InProcess]:
    made = InProcess(tmp_path)
    yield made
    made.close()


@pytest.fixture
def handle(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], str]:
    """`handle(function)` makes a function a handler that has a path, which it returns."""

    def name(handler: Callable[..., Any]) -> str:
        monkeypatch.setattr(sample_handlers, "of_this_test", handler, raising=False)
        return "of_this_test"

    return name
