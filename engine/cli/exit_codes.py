"""What each exit code of the command line means, taken from `engine.errors` so that the two cannot differ."""

from __future__ import annotations

from collections.abc import Iterator

from engine.errors import (
    EXIT_JOB_CANCELLED,
    EXIT_JOB_FAILED,
    EXIT_SUCCEEDED,
    LedgerError,
    OptionError,
    RowmillError,
    SourceError,
    StorageError,
)

#: Classes that mostly stand for their subclasses, and whose docstring says so; here they stand for the rest.
_OF_BASES = {
    RowmillError.exit_code: "A defect of rowmill; --debug shows where.",
    OptionError.exit_code: "A flag or an option has a wrong name, type or value.",
    SourceError.exit_code: "The source cannot be read for another reason than the following.",
    StorageError.exit_code: "A storage cannot be used for another reason than the following.",
    LedgerError.exit_code: "The ledger cannot be used.",
}


def exit_codes() -> dict[int, str]:
    """Every exit code there is with a phrase for it, in ascending order."""
    table = {
        EXIT_SUCCEEDED: "The job succeeded, rows that the handler refused included.",
        EXIT_JOB_FAILED: "The job failed for a reason that has no exit code of its own.",
        EXIT_JOB_CANCELLED: "The job was cancelled.",
    }
    for kind in error_kinds():
        meaning = (kind.__doc__ or "").strip().partition("\n")[0]
        table[kind.exit_code] = _without_facts(meaning)
    table |= _OF_BASES
    return dict(sorted(table.items()))


def error_kinds() -> Iterator[type[RowmillError]]:
    """RowmillError and everything below it, each class once, parents first."""
    kinds = [RowmillError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    yield from dict.fromkeys(kinds)


def exit_code_of(error: RowmillError, *, has_job: bool) -> int:
    """The code that the command ends with; an error without a code of its own counts as its job's failure."""
    if has_job and error.exit_code == RowmillError.exit_code:
        return EXIT_JOB_FAILED
    return error.exit_code


def _without_facts(meaning: str) -> str:
    """A docstring's first sentence without what it says about attributes, which a shell has no use for."""
    return meaning.partition("; the fact ")[0].rstrip(".") + "."
