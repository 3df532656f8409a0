"""What a test has started itself, and leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil


@contextmanager
def none_is_left() -> Iterator[None]:
    """Fail where a child process lives that was not there before. Servers of other tests may start further ones."""
    others = set(psutil.Process().children(recursive=True))
    yield
    left = [child for child in psutil.Process().children(recursive=True) if not _belongs_to(child, others)]
    assert not left


def _belongs_to(child: psutil.Process, others: set[psutil.Process]) -> bool:
    with suppress(psutil.NoSuchProcess):  # it ends at this moment
        return child in others or not others.isdisjoint(child.parents())
    return True
