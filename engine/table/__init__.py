"""A source opened as a table: pin it, look at it, plan it, read its chunks.

This is where the rooms of reading, staging and planning are joined; the coordinator, the chunk
runner, `inspect` and `read_rows` all go through here, so that they all see the same rows.
"""

from engine.table.chunks import load_frames, read_chunk, read_chunk_columns, read_chunk_frame, read_chunk_slices
from engine.table.head_start import HeadStart
from engine.table.look import Look
from engine.table.pin import pin_source
from engine.table.planner import TablePlanner
from engine.table.text import TextPlanner

__all__ = [
    "HeadStart",
    "Look",
    "TablePlanner",
    "TextPlanner",
    "load_frames",
    "pin_source",
    "read_chunk",
    "read_chunk_columns",
    "read_chunk_frame",
    "read_chunk_slices",
]
