"""Copies of sources that cannot be entered midway, made once per job in a form that can.

`engine.staging.arrow` is not imported here: text needs no pyarrow, which takes its time to load.
"""

from engine.staging.keys import staged_key, staged_prefix
from engine.staging.utf8 import as_utf8, stage_blocks

__all__ = ["as_utf8", "stage_blocks", "staged_key", "staged_prefix"]
