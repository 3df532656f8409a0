"""Every exception the engine raises on purpose.

    RowmillError
    ├── OptionError               an import option or a flag has a wrong name, type or value
    ├── HandlerError              the handler does not import, or is not callable
    ├── SourceError
    │   ├── SourceMissingError        no such file
    │   │   └── SourceObjectMissingError  no such object, or no such bucket
    │   ├── SourceIsDirectoryError
    │   ├── SourceEmptyError          no bytes, or nothing but blank lines
    │   ├── SourceBinaryError         not text: a picture, an archive, a program
    │   ├── SourceFormatError         text, but not the table that the options describe
    │   ├── SourceTooLargeError       more rows, or more bytes once unpacked, than are allowed
    │   ├── SourceDamagedError        breaks off, or a checksum is wrong: compressed files and workbooks
    │   ├── SourceProtectedError      needs a password
    │   └── SourceChangedError        the source was replaced while the job ran
    ├── OutputNotWritableError    the folder or bucket for the result files refuses writes
    ├── ResultsExistError         result files of another source would be replaced
    ├── StorageError
    │   ├── ObjectMissingError        a key that should be there is not (a part, a staged file)
    │   ├── StorageAccessError        the storage answered, and refused (credentials, bucket)
    │   └── StorageUnavailableError   the storage does not answer                    (transient)
    ├── ServiceUnavailableError   Redis or the broker does not answer                (transient)
    ├── LedgerError
    │   ├── LedgerUnavailableError    its database does not answer                   (transient)
    │   ├── JobNotFoundError
    │   ├── StatusTransitionError     a move that the table in `status` does not have
    │   └── LeaseLostError            another attempt holds this chunk now
    ├── InconsistentJobError      the chunks do not add up to the plan
    ├── WorkerLostError           a process died too often on the same chunk
    ├── TooManyErrorsError        more rows were refused than the error budget allows
    └── InterruptedJobError       stopped by the user; the job can be resumed

An error carries a stable `code` for programs, the `exit_code` of the command line, and the facts
of its message as attributes. Only errors whose class says `transient` are worth another attempt.
"""

from __future__ import annotations

from typing import Any, ClassVar


class RowmillError(Exception):
    """Base of all errors of the engine: what happened, where, and what to do about it."""

    code: ClassVar[str] = "internal_error"
    exit_code: ClassVar[int] = 1
    transient: ClassVar[bool] = False

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts

    def __getattr__(self, name: str) -> Any:
        facts: dict[str, Any] = self.__dict__.get("facts", {})
        if name in facts:
            return facts[name]
        raise AttributeError(name)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.message, self.facts))


def _rebuild(kind: type[RowmillError], message: str, facts: dict[str, Any]) -> RowmillError:
    return kind(message, **facts)


class OptionError(RowmillError):
    """An option has a wrong name, type or value; the fact `option` names it."""

    code = "invalid_option"
    exit_code = 2


class HandlerError(RowmillError):
    """The handler cannot be loaded; the fact `handler_path` names it."""

    code = "handler_not_loadable"
    exit_code = 3


class SourceError(RowmillError):
    """The source cannot be read as a table; the fact `source` names it."""

    code = "source_error"
    exit_code = 10


class SourceMissingError(SourceError):
    """There is no such file."""

    code = "source_missing"
    exit_code = 11


class SourceIsDirectoryError(SourceError):
    """The source is a folder."""

    code = "source_is_directory"
    exit_code = 12


class SourceEmptyError(SourceError):
    """The source holds no bytes, or blank lines only."""

    code = "source_empty"
    exit_code = 13


class SourceBinaryError(SourceError):
    """The source is not text."""

    code = "source_binary"
    exit_code = 14


class SourceFormatError(SourceError):
    """The source is text but not the table that was described."""

    code = "source_format"
    exit_code = 15


class SourceChangedError(SourceError):
    """The source is no longer the object that was planned: its ETag or size differs."""

    code = "source_changed"
    exit_code = 16


class SourceTooLargeError(SourceError):
    """The source has more rows, or more bytes once unpacked, than `EngineConfig` allows."""

    code = "source_too_large"
    exit_code = 18


class SourceDamagedError(SourceError):
    """The source breaks off or is damaged: a compressed file, workbook or Parquet file that does not unpack."""

    code = "source_damaged"
    exit_code = 19


class SourceProtectedError(SourceError):
    """The source is encrypted or needs a password."""

    code = "source_protected"
    exit_code = 21


class SourceObjectMissingError(SourceMissingError):
    """There is no such object in the bucket, or no such bucket."""

    code = "source_object_missing"
    exit_code = 17


class OutputNotWritableError(RowmillError):
    """The place for the result files refuses writes; the fact `output` names it."""

    code = "output_not_writable"
    exit_code = 20


class ResultsExistError(RowmillError):
    """Result files of another source would be replaced; the fact `other_job_id` names it."""

    code = "results_exist"
    exit_code = 22


class StorageError(RowmillError):
    """Base of what goes wrong between the engine and a storage."""

    code = "storage_error"
    exit_code = 30


class ObjectMissingError(StorageError):
    """A key that should exist does not."""

    code = "object_missing"
    exit_code = 31


class StorageAccessError(StorageError):
    """The storage answered and refused."""

    code = "storage_access_denied"
    exit_code = 32


class StorageUnavailableError(StorageError):
    """The storage cannot be reached, or keeps failing."""

    code = "storage_unavailable"
    exit_code = 33
    transient = True


class ServiceUnavailableError(RowmillError):
    """Redis or the message broker cannot be reached."""

    code = "service_unavailable"
    exit_code = 34
    transient = True


class LedgerError(RowmillError):
    """Base of what goes wrong with the ledger."""

    code = "ledger_error"
    exit_code = 40


class LedgerUnavailableError(LedgerError):
    """The database of the ledger does not answer, or broke off."""

    code = "ledger_unavailable"
    exit_code = 44
    transient = True


class JobNotFoundError(LedgerError):
    """The ledger holds no such job."""

    code = "job_not_found"
    exit_code = 41


class StatusTransitionError(LedgerError):
    """A job cannot go from its present status to the one asked for."""

    code = "status_transition"
    exit_code = 42


class LeaseLostError(LedgerError):
    """The chunk belongs to another attempt by now; nothing of this one is kept."""

    code = "lease_lost"
    exit_code = 43


class InconsistentJobError(RowmillError):
    """The chunks do not add up to what was planned."""

    code = "inconsistent"
    exit_code = 50


class WorkerLostError(RowmillError):
    """Processes kept dying on one chunk although no single row is to blame."""

    code = "worker_lost"
    exit_code = 51


class TooManyErrorsError(RowmillError):
    """More rows were refused than max_errors or max_error_rate allow."""

    code = "too_many_errors"
    exit_code = 52


class InterruptedJobError(RowmillError):
    """The user stopped the run; the job is kept and can be resumed."""

    code = "interrupted"
    exit_code = 130


def error_of(code: str, message: str, **facts: Any) -> RowmillError:
    """An error again, from the code and the message that a ledger kept of it; RowmillError for an unknown code."""
    kinds = [RowmillError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    kind = next((kind for kind in kinds if kind.code == code), RowmillError)
    return kind(message, **facts)


#: Exit codes of the command line that stand for no exception: a job that ended other than well.
EXIT_SUCCEEDED = 0
EXIT_JOB_FAILED = 5
EXIT_JOB_CANCELLED = 6
