"""The form of a staged table: Arrow IPC messages whose batches hold text and, where a row is broken, why.

A staged object is an ordinary Arrow IPC stream: the schema, then record batches, then its end mark.
Chunks are byte ranges of whole record batch messages in it, so that a chunk is read without what
stands before it. Writers (`engine.staging.arrow`) and readers (`engine.readers.arrow_rows`) agree here.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

#: Rows of a stored batch, at most: Python lists of so many are cheap to make, and stay in the cache.
ROWS_PER_BATCH = 2_000
#: The last column: what is wrong with a row that no handler gets; null where nothing is.
ERROR_COLUMN = "error"
#: Behind the last batch.
END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


def schema_of(column_count: int) -> pa.Schema:
    """Columns `col_0` … of text without nulls (an empty cell is ""), then `ERROR_COLUMN`, text or null."""
    cells = [pa.field(f"col_{index}", pa.string(), nullable=False) for index in range(column_count)]
    return pa.schema([*cells, pa.field(ERROR_COLUMN, pa.string())])


def batch_of(columns: Sequence[pa.Array], errors: pa.Array | None = None) -> pa.RecordBatch:
    """Columns of text in the staged form.

    Args:
        columns: at least one, of any text type and one length; a null becomes an empty cell.
        errors: what is wrong with each row, null where nothing is; None: with no row anything.
    """
    texts = [column.cast(pa.string()) if column.type != pa.string() else column for column in columns]
    texts = [column.fill_null("") if column.null_count else column for column in texts]
    wrong = pa.nulls(len(texts[0]), pa.string()) if errors is None else errors.cast(pa.string())
    return pa.RecordBatch.from_arrays([*texts, wrong], schema=schema_of(len(texts)))
