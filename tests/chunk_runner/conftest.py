from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests import sample_handlers


@pytest.fixture
def handle(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], str]:
    """`handle(function)` makes a function a handler that has a path, which it returns."""

    def name(handler: Callable[..., Any]) -> str:
        monkeypatch.setattr(sample_handlers, "of_this_test", handler, raising=False)
        return "of_this_test"

    return name
