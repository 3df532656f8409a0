"""What the engine asks of a storage. Keys are relative to the storage's root, with `/` between the parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from engine.model import Part


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """One stored object."""

    key: str
    size_bytes: int
    etag: str
    """Differs whenever the content may differ."""
    written_at: datetime | None = field(default=None, compare=False)
    """By the storage's clock; None where it was not asked."""


class Writer(Protocol):
    """Bytes on their way to a key; the object appears only when the context ends without an error."""

    def write(self, data: bytes, /) -> int:
        """Append; returns the number of bytes taken (all of them)."""


class Draft(Protocol):
    """An object that grows, and appears only when it is committed. Raises as `Storage.concatenate` does."""

    segments: list[bytes | Part]
    """What it is made of so far; after an error its last one may be there by half, and it is of no use any more."""

    def append(self, segment: bytes | Part) -> None:
        """Add to its end; the storage copies a stored object itself."""

    def start_writeback(self) -> None:
        """Say that the end is near, so that what is there can be made durable while the rest is awaited."""

    def commit(self) -> ObjectInfo:
        """Let it appear under its key; nothing can be appended any more."""

    def discard(self) -> None:
        """Remove what was not committed; afterwards, and after `commit`, it does nothing."""


class Storage(Protocol):
    """Objects under one root: a folder, or a prefix of a bucket.

    Every method raises StorageUnavailableError when the storage does not answer (after its own
    retries), StorageAccessError when it refuses, and also for a key that could leave the root: one
    that is empty, absolute, or has `.` or `..` as a name.
    """

    is_remote: bool
    """Whether a request mostly waits, so that several at once pay."""

    @property
    def url(self) -> str:
        """The root: an absolute path or `s3://bucket/prefix`, without a trailing slash."""

    def url_of(self, key: str) -> str:
        """The address of one object."""

    def stat(self, key: str) -> ObjectInfo:
        """Size and ETag as they are now. Raises ObjectMissingError; a folder is not an object."""

    def read_range(self, key: str, start: int, end: int, *, etag: str | None = None) -> bytes:
        """Exactly the bytes [start, end) of one version: of `etag`, or else of whichever is there.

        Raises:
            ObjectMissingError: no such key.
            SourceChangedError: the object's ETag is not `etag`, or it ends before `end`.
        """

    def read_blocks(
        self, key: str, start: int, end: int, *, block_bytes: int, etag: str | None = None
    ) -> Iterator[bytes]:
        """The bytes [start, end) in order, in pieces of at most `block_bytes`; reads ahead where that pays.

        All come from one version. Closing the iterator early leaves no thread and no open file.
        Raises as `read_range` does, while it is iterated.
        """

    def write(self, key: str, data: bytes | Sequence[bytes]) -> ObjectInfo:
        """Put an object whole: readers see the old one or the new one, never a piece. Repeating it is harmless.

        Args:
            data: also as pieces, one behind the other.

        Raises:
            OutputNotWritableError: the root refuses writes, or is full.
        """

    def open_writer(self, key: str) -> AbstractContextManager[Writer]:
        """Stream an object of unknown size in bounded memory; an error inside the context leaves nothing.

        Raises:
            OutputNotWritableError: as `write`.
        """

    def concatenate(self, key: str, segments: Sequence[bytes | Part]) -> ObjectInfo:
        """Make one object of given bytes and stored objects, in order, all or nothing.

        Memory is bounded whatever the segments' size; large segments are copied by the storage
        itself. A repeat gives the same object. Segments are kept.

        Raises:
            ObjectMissingError: a Part is gone.
            StorageError: a Part has not its recorded size, or the storage did not keep all bytes.
            OutputNotWritableError: as `write`.
        """

    def draft(self, key: str, draft_key: str) -> Draft | None:
        """Begin what `concatenate` does at once, for segments that are still coming into being.

        Args:
            draft_key: where it stands until it is committed. What a killed process leaves there is listed, and
                deleted, as any object.

        Returns:
            None where that would gain nothing.
        """

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Objects whose key starts with `prefix`, sorted by key (code points); unfinished ones are not there."""

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are already gone are no error."""

    def remove_unfinished(
        self,
        prefix: str,
        *,
        older_than_seconds: float,
        keep: Callable[[str], bool] = lambda _key: False,
        dry_run: bool = False,
    ) -> Sequence[str]:
        """Remove what writers that were killed have left; such leftovers are no objects, and only cost room.

        Args:
            prefix: of the objects' keys; those of a folder's leftovers have names of their own there.
            older_than_seconds: leave what was begun later alone: it may be under way.
            keep: asked for each key; True leaves it alone.
            dry_run: only say what would be removed.

        Returns:
            The keys of what was removed.
        """

    def check_writable(self) -> None:
        """Prove that objects can be put here by putting and removing one.

        Raises:
            OutputNotWritableError: they cannot.
        """
