"""The outcomes of a chunk on their way into its two parts, and counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.failure_messages import FailureMessages
from engine.handlers import RowFailure
from engine.model import ChunkOutcome, Counts
from engine.native import Lines, RowTexts, loops
from engine.readers import BrokenRow, RowSlice, TextFrame
from engine.results import (
    PartWriter,
    accepted_lines,
    accepted_lines_of_texts,
    escape_row,
    extra_lines,
    format_record,
    frame_lines,
    frame_records,
    lines_of_texts,
    quote_cell,
    refused_lines_of_texts,
    result_json,
    success_lines,
    success_lines_of_texts,
)

if TYPE_CHECKING:
    from engine.handlers.frame_outcome import FrameOutcome


#: Messages up to which polars takes longer to begin than Python to count them.
_FEW_MESSAGES = 1_000


class OutcomeWriter:
    """Writes each row into the part that its outcome says, in order, and counts."""

    def __init__(
        self, success: PartWriter, failed: PartWriter, *, is_remote: bool, has_files: bool, escapes: bool
    ) -> None:
        """
        Args:
            is_remote: whether the parts take their time to be stored, and are stored both at once.
            has_files: False only counts.
            escapes: keep cells from being taken for formulae.
        """
        self._is_remote = is_remote
        self._success = success
        self._failed = failed
        self._has_files = has_files
        self._escapes = escapes
        self._success_count = 0
        self._failure_count = 0
        self._messages = FailureMessages()

    @property
    def counts(self) -> Counts:
        """Of the rows so far."""
        return Counts(success_count=self._success_count, failure_count=self._failure_count)

    def finish(self) -> ChunkOutcome:
        """Store the parts; nothing can be added afterwards. Raises as `PartWriter.finish`."""
        if self._is_remote and self._failure_count:
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(1, thread_name_prefix="rowmill-part") as other:
                failed = other.submit(self._failed.finish)
                success_part, failed_part = self._success.finish(), failed.result()
        else:
            success_part, failed_part = self._success.finish(), self._failed.finish()
        return ChunkOutcome(
            counts=self.counts, success_part=success_part, failed_part=failed_part, messages=self._messages.counts()
        )

    def records(self, piece: RowSlice) -> RowTexts | list[str]:
        """What the rows' lines begin with. To be asked for before the handler, which may change the rows.

        Returns:
            The rows' texts; as a list they go up to the comma of the extra cell, with it where a row has no cells.
        """
        if not self._has_files:
            return []
        rows: list[list[str]] = piece.rows  # type: ignore[assignment]
        if isinstance(piece.records, RowTexts):
            if not self._escapes:
                return piece.records
            piece = RowSlice(piece.rows)
        if isinstance(piece.records, list) and not self._escapes:
            records = piece.records
            for position in piece.odd:
                records[position] = format_record(rows[position])
        else:
            if BrokenRow in set(map(type, rows)):
                rows = [row.cells if isinstance(row, BrokenRow) else row for row in piece.rows]
            if self._escapes:
                rows = [escape_row(row) for row in rows]
            records = list(map(format_record, rows))
        if all(rows):
            return records
        return [record + "," if row else "" for record, row in zip(records, rows, strict=True)]

    def add_rows(self, records: RowTexts | list[str], outcomes: list[Any], *, has_blank: bool, are_json: bool) -> None:
        """Take rows with their outcomes; both lists are used up.

        Args:
            records: as `records` gave them.
            has_blank: whether there are rows without cells, which have no comma in their line.
            are_json: whether JSON has been made of the results.
        """
        refused = _positions_of_failures(outcomes)
        self._success_count += len(outcomes) - len(refused)
        self._failure_count += len(refused)
        messages = [outcomes[position].message for position in refused]
        self._messages.add(messages)
        if not self._has_files:
            return
        if self._escapes:
            messages = escape_row(messages)
        for position in reversed(refused):
            del outcomes[position]
        if isinstance(records, RowTexts):
            accepted = (
                lines_of_texts(records, refused, True, outcomes)
                if are_json
                else success_lines_of_texts(records, refused, outcomes)
            )
            self._success.add_bytes(accepted)
            self._failed.add_bytes(refused_lines_of_texts(records, refused, messages))
            return
        refused_records = [records[position] for position in refused]
        for position in reversed(refused):
            del records[position]
        if not has_blank:
            self._success.add_text(extra_lines(records, outcomes) if are_json else success_lines(records, outcomes))
            self._failed.add_text(extra_lines(refused_records, messages))
        else:
            texts = outcomes if are_json else [result_json(outcome) for outcome in outcomes]
            self._add_with_blank(records, texts, refused_records, messages)

    def _add_with_blank(
        self, records: Sequence[str], texts: Sequence[str], refused_records: Sequence[str], messages: Sequence[str]
    ) -> None:
        self._success.add_lines([start + quote_cell(text) for start, text in zip(records, texts, strict=True)])
        lines = [start + quote_cell(text) for start, text in zip(refused_records, messages, strict=True)]
        self._failed.add_lines([line or '""' for line in lines])

    def lines(self, expected_bytes: int) -> dict[str, Lines]:
        """Where lines of accepted and of refused rows are to be put, to be told of by `take_lines`.

        Args:
            expected_bytes: of all lines of the chunk.
        """
        return {"success": self._success.lines(expected_bytes), "failed": self._failed.lines(0)}

    def take_lines(self, row_count: int, messages: list[str]) -> None:
        """Take rows whose lines stand where `lines` said.

        Args:
            messages: of the refused ones among them.
        """
        self._success_count += row_count - len(messages)
        self._failure_count += len(messages)
        self._success.took_lines()
        if messages:
            self._messages.add(messages)
            self._failed.took_lines()

    def add_frame(self, chunk: TextFrame, begin: int, outcome: FrameOutcome) -> None:
        """Take the outcomes of consecutive rows of the frame, without a Python object for any row.

        Args:
            begin: position in the frame of the first of them.
        """
        end = begin + len(outcome.errors)
        accepted = outcome.errors.null_count()
        self._success_count += accepted
        self._failure_count += end - begin - accepted
        messages = outcome.errors.drop_nulls()
        if len(messages) <= _FEW_MESSAGES:
            self._messages.add(messages.to_list())
        else:
            # By the frame, in the order in which they come first.
            self._messages.add_counts(messages.to_frame("m").group_by("m", maintain_order=True).len().iter_rows())
        if not self._has_files:
            return
        known, is_accepted = chunk.records, outcome.errors.is_null()
        if isinstance(known, RowTexts):
            texts, refused = known.between(begin, end), (~is_accepted).arg_true().to_list()
            self._success.add_bytes(accepted_lines_of_texts(texts, outcome.results, is_accepted, refused))
            self._failed.add_bytes(refused_lines_of_texts(texts, refused, messages.to_list()))
            return
        records = known[begin:end] if known is not None else frame_records(chunk.frame[begin:end])
        self._success.add_bytes(accepted_lines(records, outcome.results, is_accepted))
        self._failed.add_bytes(frame_lines(records.filter(~is_accepted), messages))


def _positions_of_failures(outcomes: list[Any]) -> list[int]:
    if loops is not None:
        return loops.positions_of(outcomes, RowFailure)
    return [position for position, outcome in enumerate(outcomes) if outcome.__class__ is RowFailure]
