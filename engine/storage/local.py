"""A folder as storage. A key is the path of a file below the folder."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from engine import failpoints
from engine.errors import (
    ObjectMissingError,
    RowmillError,
    SourceChangedError,
    StorageAccessError,
    StorageError,
)
from engine.model import Part
from engine.storage.keys import check_key, check_range
from engine.storage.local_write import FileWriter, PendingFile, is_temporary, temporary_name
from engine.storage.protocol import Draft, ObjectInfo, Writer

#: Bytes of a block of a stream: few enough that its memory is used again for the next one, and is not new each time
#: (`engine.runtime.process_memory`).
_BLOCK_BYTES = 512 * 1024


class LocalFolderStorage:
    """Files below a folder, which is made on the first write. Meets `Storage`.

    The ETag is made of modification time, size and inode of the opened file, so it belongs to
    exactly the bytes that were read.
    """

    is_remote = False

    def __init__(self, root: str) -> None:
        self._root = os.path.abspath(root)

    @property
    def url(self) -> str:
        """The folder's absolute path."""
        return self._root

    def url_of(self, key: str) -> str:
        """The file's absolute path."""
        return self._path(key)

    def stat(self, key: str) -> ObjectInfo:
        """See `Storage.stat`."""
        path = self._path(key)
        try:
            status = os.stat(path)
        except OSError as error:
            raise _read_error(error, key, path) from error
        _check_is_file(status, key, path)
        return _info(key, status)

    def read_range(self, key: str, start: int, end: int, *, etag: str | None = None) -> bytes:
        """See `Storage.read_range`."""
        check_range(start, end)
        with self._opened(key) as (descriptor, path):
            return _read_block(descriptor, key, path, start, end, etag)

    def read_blocks(
        self, key: str, start: int, end: int, *, block_bytes: int, etag: str | None = None
    ) -> Iterator[bytes]:
        """See `Storage.read_blocks`. The file stays open, so a replacement in between is not seen."""
        check_range(start, end)
        step_bytes = min(block_bytes, _BLOCK_BYTES)
        with self._opened(key) as (descriptor, path):
            _read_block(descriptor, key, path, start, start, etag)
            wanted_end = start
            while start < end:
                block_end = min(end, start + step_bytes)
                if hasattr(os, "posix_fadvise") and wanted_end < min(
                    end, block_end + max(block_bytes // 2, step_bytes)
                ):
                    # Seldom, while half of what was asked for is still to come: each call walks through its pages.
                    os.posix_fadvise(descriptor, wanted_end, block_bytes, os.POSIX_FADV_WILLNEED)
                    wanted_end += block_bytes
                yield _read_block(descriptor, key, path, start, block_end, etag)
                start = block_end

    def write(self, key: str, data: bytes | Sequence[bytes]) -> ObjectInfo:
        """See `Storage.write`. Not synced: a part that a power cut takes is made again."""
        pending = PendingFile(self._path(key))
        try:
            pending.write_pieces([data] if isinstance(data, bytes) else data)
            return _info(key, pending.commit(durable=False))
        finally:
            pending.discard()

    @contextmanager
    def open_writer(self, key: str) -> Iterator[Writer]:
        """See `Storage.open_writer`. Synced to the disk before it appears."""
        pending = PendingFile(self._path(key))
        try:
            with FileWriter(pending) as writer:
                yield writer
            pending.commit(durable=True)
        finally:
            pending.discard()

    def concatenate(self, key: str, segments: Sequence[bytes | Part]) -> ObjectInfo:
        """See `Storage.concatenate`. The kernel copies, and shares the blocks where it can."""
        draft = _Draft(self, key, PendingFile(self._path(key)))
        try:
            for segment in segments:
                draft.append(segment)
            return draft.commit()
        finally:
            draft.discard()

    def draft(self, key: str, draft_key: str) -> Draft:
        """See `Storage.draft`. Both keys are to be in one file system, or `commit` raises."""
        return _Draft(self, key, PendingFile(self._path(key), temporary_path=self._path(draft_key)))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See `Storage.list`. Unfinished files are never shown; links to folders are not followed."""
        parent = prefix.rpartition("/")[0]
        folder = self._path(parent) if parent else self._root
        for key in sorted(self._keys_below(folder, f"{parent}/" if parent else "", prefix)):
            try:
                found = self.stat(key)
            except ObjectMissingError:  # deleted meanwhile
                continue
            yield found

    def remove_unfinished(
        self,
        prefix: str,
        *,
        older_than_seconds: float,
        keep: Callable[[str], bool] = lambda _key: False,
        dry_run: bool = False,
    ) -> Sequence[str]:
        """See `Storage.remove_unfinished`: temporary files beside their place, by the time of their last change."""
        parent = prefix.rpartition("/")[0]
        folder = self._path(parent) if parent else self._root
        removed = []
        for path, _, names in os.walk(folder):
            for name in filter(is_temporary, names):
                key = os.path.relpath(os.path.join(path, name), self._root).replace(os.sep, "/")
                try:
                    age_seconds = time.time() - os.stat(os.path.join(path, name)).st_mtime
                except FileNotFoundError:  # finished meanwhile
                    continue
                if age_seconds > older_than_seconds and key.startswith(prefix) and not keep(key):
                    removed.append(key)
        if not dry_run:
            self.delete(removed)
        return removed

    def delete(self, keys: Iterable[str]) -> None:
        """See `Storage.delete`. Folders below the root that this leaves empty go as well."""
        folders = set()
        for key in keys:
            path = self._path(key)
            try:
                os.unlink(path)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                continue
            except OSError as error:
                raise StorageAccessError(f"Cannot delete {path}: {error.strerror}.", key=key) from error
            folders.add(os.path.dirname(path))
        for folder in folders:
            with suppress(OSError):  # not empty, or gone already
                while folder != self._root:
                    os.rmdir(folder)
                    folder = os.path.dirname(folder)

    def check_writable(self) -> None:
        """See `Storage.check_writable`."""
        probe = temporary_name()
        self.write(probe, b"")
        self.delete([probe])

    def _path(self, key: str) -> str:
        names = check_key(key).split("/")
        if "" in names:
            # "a//b" and "a/b" would be one file under two keys.
            raise StorageAccessError(f"The key {key!r} holds an empty name.", key=key)
        return os.path.join(self._root, *names)

    @contextmanager
    def _opened(self, key: str) -> Iterator[tuple[int, str]]:
        path = self._path(key)
        try:
            # O_NONBLOCK does nothing to files, and keeps a pipe from hanging the engine.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise _read_error(error, key, path) from error
        try:
            _check_is_file(os.fstat(descriptor), key, path)
            yield descriptor, path
        finally:
            os.close(descriptor)

    def _keys_below(self, folder: str, base: str, prefix: str) -> Iterator[str]:
        try:
            entries = os.scandir(folder)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise _read_error(error, base, folder) from error
        with entries:
            for entry in entries:
                key = base + entry.name
                if entry.is_dir(follow_symlinks=False):
                    if key.startswith(prefix) or prefix.startswith(f"{key}/"):
                        yield from self._keys_below(entry.path, f"{key}/", prefix)
                elif key.startswith(prefix) and not is_temporary(entry.name) and entry.is_file():
                    yield key


class _Draft:
    """See `Draft`."""

    def __init__(self, storage: LocalFolderStorage, key: str, pending: PendingFile) -> None:
        self._storage = storage
        self._key = key
        self._pending = pending
        self.segments: list[bytes | Part] = []

    def append(self, segment: bytes | Part) -> None:
        if isinstance(segment, bytes):
            self._pending.write_all(segment)
        elif segment.size_bytes:
            with self._storage._opened(segment.key) as (descriptor, path):
                size_bytes = os.fstat(descriptor).st_size
                if size_bytes != segment.size_bytes:
                    raise StorageError(
                        f"The part {path} has {size_bytes} bytes and was written with {segment.size_bytes}.",
                        key=segment.key,
                        size_bytes=size_bytes,
                        expected_bytes=segment.size_bytes,
                    )
                self._pending.copy_all(descriptor, size_bytes)
        self.segments.append(segment)

    def start_writeback(self) -> None:
        self._pending.start_writeback()

    def commit(self) -> ObjectInfo:
        failpoints.hit("concatenate.completing")
        return _info(self._key, self._pending.commit(durable=True))

    def discard(self) -> None:
        self._pending.discard()


def _read_block(descriptor: int, key: str, path: str, start: int, end: int, etag: str | None) -> bytes:
    blocks = []
    position = start
    try:
        while position < end:
            block = os.pread(descriptor, end - position, position)
            if not block:
                break
            blocks.append(block)
            position += len(block)
        # After the bytes were read, so that a change in place just before it is noticed as well.
        found = _info(key, os.fstat(descriptor))
    except OSError as error:
        raise _read_error(error, key, path) from error
    if etag is not None and found.etag != etag:
        raise SourceChangedError(
            f"{path} is not the file that was planned: it was changed or replaced. Start a new import.",
            source=path,
            etag=found.etag,
            expected_etag=etag,
        )
    if position < end or found.size_bytes < end:
        raise SourceChangedError(
            f"{path} ends at byte {found.size_bytes}, before byte {end}: it was cut. Start a new import.",
            source=path,
            size_bytes=found.size_bytes,
            end=end,
        )
    return blocks[0] if len(blocks) == 1 else b"".join(blocks)


def _info(key: str, status: os.stat_result) -> ObjectInfo:
    etag = f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"
    written_at = datetime.fromtimestamp(status.st_mtime, UTC)
    return ObjectInfo(key=key, size_bytes=status.st_size, etag=etag, written_at=written_at)


def _check_is_file(status: os.stat_result, key: str, path: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise ObjectMissingError(f"{path} is a folder, not a file.", key=key, is_folder=True)
    if not stat.S_ISREG(status.st_mode):
        raise ObjectMissingError(f"{path} is not a regular file.", key=key, is_folder=False)


def _read_error(error: OSError, key: str, path: str) -> RowmillError:
    if isinstance(error, FileNotFoundError | NotADirectoryError) or error.errno == errno.ENAMETOOLONG:
        return ObjectMissingError(f"There is no file {path}.", key=key, is_folder=False)
    if isinstance(error, IsADirectoryError):
        return ObjectMissingError(f"{path} is a folder, not a file.", key=key, is_folder=True)
    if isinstance(error, PermissionError):
        return StorageAccessError(f"{path} may not be read by this user; give it read permission.", key=key)
    return StorageError(f"{path} cannot be read: {error.strerror}.", key=key, reason=error.strerror)
