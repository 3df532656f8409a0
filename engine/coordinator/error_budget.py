"""Whether so many rows of a job were refused that it is not worth going on. Pure."""

from __future__ import annotations

from engine.model import Counts, Job

#: Rows that must have an outcome before a share of them means something; a shorter source is judged whole.
MIN_ROWS_FOR_RATE = 1_000


def trouble(job: Job, counts: Counts) -> str | None:
    """What to say of a job that has used up its `max_errors` or `max_error_rate`; None while it has not.

    Rows of before the last resumption do not count.

    Args:
        counts: of this moment.
    """
    failures = counts.failure_count - job.forgiven.failure_count
    rows = counts.processed_rows - job.forgiven.processed_rows
    since = " since it was resumed" if job.forgiven.processed_rows else ""
    limit, rate = job.options.get("max_errors"), job.options.get("max_error_rate")
    advice = "See the failed file, correct the source or the options, or resume the job to go on with it all the same."
    if limit is not None and failures > limit:
        return f"{failures:,} rows were refused{since}, and max_errors is {limit:,}. {advice}"
    is_judged = rows >= MIN_ROWS_FOR_RATE or counts.processed_rows == job.total_rows
    if rate is not None and rows > 0 and is_judged and failures > rate * rows:
        return (
            f"{failures:,} of {rows:,} rows were refused{since}, {failures / rows:.1%}, and max_error_rate "
            f"is {rate:g}. {advice}"
        )
    return None
