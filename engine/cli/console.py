"""Writing to the two streams: never fails for the reader's sake, never passes on control characters of a file."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from typing import Any


def prepare_streams() -> None:
    """Make both streams take any character; a stream that is closed swallows what it is given."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            # print(file=None) would go to the other stream.
            setattr(sys, name, io.StringIO())
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def write(text: str) -> None:
    """A line of the answer, to stdout."""
    _write_line(text, "stdout")


def tell(text: str) -> None:
    """A line about the run, to stderr: the answer on stdout stays clean."""
    _write_line(text, "stderr")


def write_json(document: Any) -> None:
    """One JSON object on one line of stdout, in ASCII, so that no terminal setting can spoil it."""
    write(json.dumps(document, allow_nan=False, default=str))


def flush_streams() -> None:
    """Bring everything out now, where a reader that has gone can still be overlooked."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except (OSError, ValueError):
            _silence(name)


def visible(text: str) -> str:
    """The text with everything that a terminal would obey instead of show written as an escape."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _write_line(text: str, name: str) -> None:
    try:
        print(text, file=getattr(sys, name), flush=True)
    except (OSError, ValueError):
        # `rowmill … | head` has seen enough, or the terminal is gone: the job goes on all the same.
        _silence(name)


def _silence(name: str) -> None:
    """Send what a stream still holds nowhere, so that the interpreter does not stumble over it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(OSError, ValueError):
        os.dup2(nowhere, getattr(sys, name).fileno())
    os.close(nowhere)
