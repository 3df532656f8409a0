"""Why rows were refused, counted by message: few messages, cut short, whatever the rows hold. Pure.

Messages beyond the limits are not kept by name: how many rows they stand for is the difference to
the count of failures. So is what a sum over chunks leaves out, whose counts are therefore "at least".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

#: Different messages kept of a chunk, and of a job.
MAX_MESSAGES = 20
#: Characters of a message; the rest is left out behind an ellipsis.
MAX_MESSAGE_CHARACTERS = 200


#: What broken rows say first. Without it those that are broken alike are counted together.
_PLACE = re.compile(r"Line [\d,]+: ")


class FailureMessages:
    """The messages of one attempt. The first `MAX_MESSAGES` different ones are counted."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def add(self, messages: Iterable[str]) -> None:
        """Count the messages of a batch's refused rows."""
        self.add_counts(Counter(messages).items())

    def add_counts(self, messages: Iterable[tuple[str, int]]) -> None:
        """As `add`, of messages that have been counted already."""
        counts = self._counts
        for message, count in messages:
            text = _short(message)
            if text in counts:
                counts[text] += count
            elif len(counts) < MAX_MESSAGES:
                counts[text] = count

    def counts(self) -> dict[str, int]:
        """Message → rows, the most frequent first."""
        return _most_frequent(self._counts)


def sum_messages(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The messages of a job from those of its chunks, the most frequent first.

    Memory is bounded: when far too many have come together, the rarest are forgotten.
    """
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
        if len(total) > 50 * MAX_MESSAGES:
            total = Counter(_most_frequent(total, 25 * MAX_MESSAGES))
    return _most_frequent(total)


def _most_frequent(counts: Mapping[str, int], limit: int = MAX_MESSAGES) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:limit])


def _short(message: str) -> str:
    """As every ledger can keep it: PostgreSQL takes neither NUL nor half a surrogate pair."""
    if message.startswith("Line "):
        message = _PLACE.sub("", message, count=1) or message
        message = message[0].upper() + message[1:]
    if len(message) > MAX_MESSAGE_CHARACTERS:
        message = message[: MAX_MESSAGE_CHARACTERS - 1] + "…"
    if message.isascii() and "\0" not in message:
        return message
    return message.replace("\0", "\\0").encode(errors="backslashreplace").decode()
