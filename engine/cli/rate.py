"""How fast rows come through, and how long the rest will take. Pure: the clock is handed in."""

from __future__ import annotations

from collections import deque

#: Seconds that a rate is taken over: long enough for a slow handler's batches to even out, short enough to follow a
#: change.
WINDOW_SECONDS = 30.0


class Rate:
    """Rows a second over the last seconds."""

    def __init__(self, *, window_seconds: float = WINDOW_SECONDS) -> None:
        self._window_seconds = window_seconds
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, now_seconds: float, rows: int) -> None:
        """Take in how many rows have an outcome by now."""
        self._samples.append((now_seconds, rows))
        while len(self._samples) > 2 and self._samples[1][0] < now_seconds - self._window_seconds:
            self._samples.popleft()

    @property
    def rows_per_second(self) -> float | None:
        """None until there are two moments to compare. Never negative: a retried chunk takes its counts back."""
        if len(self._samples) < 2:
            return None
        (start, before), (end, after) = self._samples[0], self._samples[-1]
        if end <= start:
            return None
        return max(0.0, (after - before) / (end - start))

    def seconds_left(self, total_rows: int | None) -> float | None:
        """None where nothing can be said: the number of rows or the rate is unknown, or nothing moves."""
        rate = self.rows_per_second
        if total_rows is None or not rate:
            return None
        return max(0, total_rows - self._samples[-1][1]) / rate


def clock_text(seconds: float) -> str:
    """`0:07`, `12:05`, `3:00:10`."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
