"""Where the failpoint tests let processes fail: which ledger, storage and form of result files, and at which steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from engine import failpoints
from tests.mariadb_server import MARIADB

ROWS, CHUNK, BATCH = 60, 20, 5
REFUSED = [3, 20, 21, 60]
ACCEPTED = [row for row in range(1, ROWS + 1) if row not in REFUSED]
SOURCE = "n\n" + "".join(f"{row}\n" for row in range(1, ROWS + 1))

_ONLY_S3 = [point for point in failpoints.POINTS if point.startswith("multipart.")]
_ONLY_EXCEL = ["finish.fragment"]
_ONLY_FIRST_IMPORTS = ["chunks.enlarged"]
_ONLY_SMALL_PARTS = ["bundle.stored"]
#: Steps that every job comes to.
POINTS = [
    point
    for point in failpoints.POINTS
    if point not in (*_ONLY_S3, *_ONLY_EXCEL, *_ONLY_FIRST_IMPORTS, *_ONLY_SMALL_PARTS)
]
#: Hits of these come in plenty: one in the middle of the job is chosen.
NTH = {"chunk.batch": 6, "part.before_write": 2, "part.written": 4} | dict.fromkeys(
    (point for point in POINTS if point.startswith("chunk.") and point != "chunk.batch"), 2
)


#: Of the source of a group of chunks, for four chunks of ten rows.
GROUP_BYTES = 100
#: With so small pieces on S3, a part of a hundred bytes is a large object.
PIECE_BYTES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A set-up, and what is to fail there."""

    database: str = "postgresql"
    storage: str = "folder"
    output_format: str = "csv"
    is_first_import: bool = False
    """Nothing is known of the handler, so that chunks become larger on the way."""
    chunk_size: int = CHUNK
    pieces_are_small: bool = True
    """On S3; otherwise its own limits hold, and the parts are what is small."""
    points: Sequence[tuple[str, int]] = field(default_factory=lambda: [(point, NTH.get(point, 1)) for point in POINTS])
    """Names, and which hit of each."""
    actions: Sequence[str] = failpoints.ACTIONS

    @property
    def options(self) -> dict[str, Any]:
        """Of its jobs."""
        sizes = {} if self.is_first_import else {"chunk_size": self.chunk_size}
        return {**sizes, "batch_size": BATCH, "refused": REFUSED, "output_format": self.output_format}


SCENES = {
    "postgresql": Scene(),
    "s3": Scene(
        storage="s3",
        # The first three uploads are parts, each of them streamed; the fourth is the success file.
        points=[
            ("multipart.begun", 4),
            ("multipart.piece", 3),
            ("multipart.piece", 8),
            ("multipart.completing", 2),
            ("multipart.completing", 4),
            ("multipart.completed", 4),
            ("finish.success_file", 1),
        ],
        actions=("kill", "hang"),
    ),
    "xlsx": Scene(
        output_format="xlsx",
        points=[
            ("finish.fragment", 1),
            ("finish.fragment", 2),
            ("concatenate.completing", 1),
            ("concatenate.completing", 2),
            ("finish.files_made", 1),
        ],
        actions=("kill", "hang"),
    ),
    # Groups of four chunks; the last two are none.
    "bundles": Scene(
        storage="s3",
        chunk_size=10,
        pieces_are_small=False,
        points=[
            ("bundle.stored", 1),
            ("chunk.committed", 4),
            ("finish.begun", 1),
            ("finish.success_file", 1),
        ],
        actions=("kill", "hang"),
    ),
    "first-import": Scene(
        is_first_import=True,
        points=[("chunks.enlarged", 1), ("chunk.claimed", 2), ("chunk.batch", 6), ("chunk.committed", 2)],
    ),
    # A stopped process would keep the one writer's lock for ever: that is what PostgreSQL is for.
    "sqlite": Scene(
        database="sqlite",
        points=[(point, NTH.get(point, 1)) for point in POINTS if point.startswith(("chunk", "finish.e"))],
        actions=("raise", "kill"),
    ),
    **{vendor: Scene(database=vendor) for vendor in MARIADB},
}
