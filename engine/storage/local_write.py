"""Writing local files whole: beside their place first, then moved there."""

from __future__ import annotations

import ctypes
import errno
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from engine.errors import OutputNotWritableError, StorageError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

#: A file that is being written; one that stays behind belongs to a process that was killed.
_TEMPORARY_PREFIX, _TEMPORARY_SUFFIX = ".rowmill-", ".partial"

_COPY_BYTES = 1024 * 1024

#: Bytes given to the kernel at once. Of more it makes pages of 2 MiB, for which it takes memory that has lain idle: a
#: virtual machine may have given that back to its host, and then a part of 6 MB costs 10 ms of processor time, not 1.4.
_PORTION_BYTES = 512 * 1024
#: Linux and macOS take no more (IOV_MAX).
_PIECES_AT_ONCE = 1024

#: From linux/fs.h: begin to write, and do not wait.
_SYNC_FILE_RANGE_WRITE = 2

#: Each one fails only if another process removes the emptied folder in the same microseconds.
_CREATE_ATTEMPTS = 100

#: The kernel or the file system cannot copy between these two files: read and write instead.
_NO_KERNEL_COPY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF}


class PendingFile:
    """A file beside `path` that takes its place on `commit`, and until then is seen by nobody."""

    def __init__(self, path: str, *, temporary_path: str | None = None) -> None:
        """
        Args:
            temporary_path: where it stands until then, in place of a hidden name beside `path`.
        """
        self._path = path
        self._folder = os.path.dirname(path)
        self._temporary_path = temporary_path or os.path.join(self._folder, temporary_name())
        with _as_write_error(path):
            if temporary_path is not None:
                os.makedirs(self._folder, exist_ok=True)
            self._descriptor = self._create()

    def _create(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        for attempt in range(_CREATE_ATTEMPTS):
            try:
                return os.open(self._temporary_path, flags, 0o666)
            except FileNotFoundError:
                if attempt == _CREATE_ATTEMPTS - 1:
                    raise
                # Both mean that `delete` of another process removed a folder between two steps of this.
                with suppress(FileNotFoundError, FileExistsError):
                    os.makedirs(os.path.dirname(self._temporary_path), exist_ok=True)
        raise AssertionError("unreachable")

    def write_all(self, data: ReadableBuffer) -> None:
        """Append. Raises OutputNotWritableError, as all methods do."""
        with _as_write_error(self._path), memoryview(data).cast("B") as view:
            written = 0
            while written < len(view):
                written += os.write(self._descriptor, view[written : written + _PORTION_BYTES])

    def write_pieces(self, pieces: Sequence[bytes]) -> None:
        """Append one behind the other, several with each call of the kernel."""
        for some in _portions(pieces):
            with _as_write_error(self._path):
                written = os.writev(self._descriptor, some)
            for piece in some:  # what one call did not take, as on a disk that is nearly full
                if written < len(piece):
                    self.write_all(piece[written:])
                written = max(0, written - len(piece))

    def copy_all(self, source: int, size_bytes: int) -> None:
        """Append the first `size_bytes` of a file that is at its beginning and has them all."""
        with _as_write_error(self._path):
            copied = _copy_in_kernel(source, self._descriptor, size_bytes)
        while copied < size_bytes:
            block = os.pread(source, min(_COPY_BYTES, size_bytes - copied), copied)
            if not block:
                raise StorageError(f"A part shrank while it was merged into {self._path}.", output=self._folder)
            self.write_all(block)
            copied += len(block)

    def start_writeback(self) -> None:
        """Have what is there go to the disk meanwhile, so that a durable `commit` waits less; may take as long itself.

        Linux; elsewhere, and where the file system cannot, nothing happens.
        """
        with suppress(OSError, AttributeError):
            call = ctypes.CDLL(None).sync_file_range
            call(self._descriptor, ctypes.c_int64(0), ctypes.c_int64(0), _SYNC_FILE_RANGE_WRITE)

    def commit(self, *, durable: bool) -> os.stat_result:
        """Let the file appear; `durable` waits until a power cut can no longer take it."""
        with _as_write_error(self._path):
            if durable:
                os.fsync(self._descriptor)
            status = os.fstat(self._descriptor)
            # Closed first: a network file system may tell only now that the disk is full.
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)
            os.replace(self._temporary_path, self._path)
            if durable:
                folder = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
        return status

    def discard(self) -> None:
        """Close and remove what was not committed; after `commit` it does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        with suppress(OSError):
            os.unlink(self._temporary_path)


class FileWriter(io.RawIOBase):
    """Gathers small writes. A file object, so that writers of other libraries accept it."""

    def __init__(self, pending: PendingFile) -> None:
        self._pending = pending
        self._buffer = bytearray()
        self._position = 0

    def writable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Bytes written so far."""
        return self._position

    def write(self, data: ReadableBuffer, /) -> int:
        """See `Writer.write`."""
        if self.closed:
            raise ValueError("The writer is closed.")
        with memoryview(data) as view:
            size_bytes = view.nbytes
        self._buffer += data
        self._position += size_bytes
        if len(self._buffer) >= _COPY_BYTES:
            self.flush()
        return size_bytes

    def flush(self) -> None:
        """Hand what was gathered to the file."""
        if self._buffer:
            # Emptied first: after a failure `close` must not try to write the same bytes again.
            buffer, self._buffer = self._buffer, bytearray()
            self._pending.write_all(buffer)


def _portions(pieces: Sequence[bytes]) -> Iterator[list[memoryview]]:
    """The same bytes, as much at a time as one call of the kernel gets."""
    portion: list[memoryview] = []
    room = _PORTION_BYTES
    for piece in pieces:
        view = memoryview(piece)
        while view:
            portion.append(view[:room])
            view = view[room:]
            room -= len(portion[-1])
            if not room or len(portion) == _PIECES_AT_ONCE:
                yield portion
                portion, room = [], _PORTION_BYTES
    if portion:
        yield portion


def _copy_in_kernel(source: int, target: int, size_bytes: int) -> int:
    """Bytes copied: all, or fewer where the kernel cannot."""
    copied = 0
    if not hasattr(os, "copy_file_range"):
        return copied
    try:
        while copied < size_bytes:
            count = os.copy_file_range(source, target, size_bytes - copied, offset_src=copied)
            if count == 0:
                break
            copied += count
    except OSError as error:
        if error.errno not in _NO_KERNEL_COPY:
            raise
    return copied


def temporary_name() -> str:
    """A name that nobody else has and that no listing shows."""
    return f"{_TEMPORARY_PREFIX}{os.urandom(8).hex()}{_TEMPORARY_SUFFIX}"


def is_temporary(name: str) -> bool:
    """Whether a file of this name is unfinished."""
    return name.startswith(_TEMPORARY_PREFIX) and name.endswith(_TEMPORARY_SUFFIX)


@contextmanager
def _as_write_error(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _write_error(error, path) from error


def _write_error(error: OSError, path: str) -> OutputNotWritableError:
    folder = os.path.dirname(path)
    remedy = "Choose another output folder."
    reason = error.strerror or str(error)
    if isinstance(error, NotADirectoryError | FileExistsError):
        while not os.path.lexists(folder):
            folder = os.path.dirname(folder)
        reason = "a file stands where a folder is needed"
    elif isinstance(error, IsADirectoryError):
        reason = f"{os.path.basename(path)} is a folder there"
        remedy = "Remove it, or choose another output folder."
    elif error.errno == errno.EROFS:
        reason = "the file system is read-only"
    elif isinstance(error, PermissionError):
        reason = "this user has no write permission there"
        remedy = "Give it, or choose another output folder."
    elif error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason = "there is no space left"
        remedy = "Free some, or choose another output folder."
    return OutputNotWritableError(
        f"Cannot write into {folder}: {reason}. {remedy}", output=folder, path=path, reason=reason
    )
