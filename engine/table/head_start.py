"""The scan of a plain text, begun by a process that has to wait for something else before it may plan."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import NoReturn, cast

from engine.config import EngineConfig
from engine.errors import RowmillError
from engine.model import Chunk, Plan, Source
from engine.options import ImportOptions
from engine.table.checkpoints import Checkpoint, no_checkpoint
from engine.table.known_ranges import KnownRanges
from engine.table.look import Look
from engine.table.staged import source_kind, stager_of
from engine.table.text import TextPlanner


class HeadStart:
    """What `TablePlanner` would find, some of it found already. Nothing was written for it."""

    def __init__(self, planner: TextPlanner, look: Look, rest: Generator[list[Chunk]]) -> None:
        self._planner = planner
        self._look = look
        self._found: list[list[Chunk]] = []
        self._rest = rest
        self._checkpoint: Checkpoint = no_checkpoint

    @classmethod
    def of(
        cls, source: Source, options: ImportOptions, config: EngineConfig, *, go_on: Callable[[], bool]
    ) -> HeadStart | None:
        """Look and scan until the scan ends or there is nothing to wait for any more.

        Args:
            source: as pinned.
            go_on: asked after each step of some milliseconds.

        Returns:
            None where the source has to be staged, or is in some trouble: whoever plans it meets that again, and tells.
        """
        start: HeadStart | None = None
        try:
            known = KnownRanges(source, config)
            kind = source_kind(known, options, config)
            if kind.is_packed or stager_of(kind, source, start_only=False) is not None:
                return None
            planner = TextPlanner(
                source, options, config, workspace=_no_workspace, job_id="", known=known,
                checkpoint=lambda: start._checkpoint() if start is not None else None,
            )  # fmt: skip
            look = planner.look()
            start = cls(planner, look, cast("Generator[list[Chunk]]", planner.chunks(look.plan)))
            while go_on() and (chunks := next(start._rest, None)) is not None:
                start._found.append(chunks)
        except (RowmillError, _StagingNeededError):
            if start is not None:
                start.close()
            return None
        return start

    def taken_over(self, checkpoint: Checkpoint) -> HeadStart:
        """This, with a checkpoint from now on, as `TablePlanner` has one."""
        self._checkpoint = checkpoint
        return self

    def close(self) -> None:
        """End a scan that nobody wants."""
        self._rest.close()

    def look(self) -> Look:
        """See `TablePlanner`."""
        return self._look

    def chunks(self, plan: Plan) -> Iterator[list[Chunk]]:
        """See `TablePlanner`; `plan` is the one of `look`, whatever was noted in it. To be called once."""
        del plan
        found, self._found = self._found, []
        yield from found
        yield from self._rest

    @property
    def total_rows(self) -> int:
        """See `TablePlanner`."""
        return self._planner.total_rows

    def settle_encoding(self, plan: Plan) -> Plan:
        """See `TablePlanner`."""
        return self._planner.settle_encoding(plan)


class _StagingNeededError(Exception):
    """A copy of the source would have to be written."""


def _no_workspace() -> NoReturn:
    raise _StagingNeededError
