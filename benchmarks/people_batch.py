"""The handler of `people` for frames of rows; apart from it, so that row handlers need not load polars."""

from __future__ import annotations

from typing import Any

import polars as pl


def check_emails(first_row_index: int, batch: pl.DataFrame, import_job_id: str, options: dict[str, Any]) -> Any:  # noqa: ARG001
    """The same as a batch handler."""
    is_wrong = ~batch["email"].str.contains("@", literal=True)
    return {
        "error": batch.select(pl.when(is_wrong).then(pl.lit("Invalid email format")).alias("error")).to_series(),
        "result": batch.select(id=pl.int_range(first_row_index, first_row_index + pl.len())),
    }
