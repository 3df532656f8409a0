"""Multipart uploads to S3: pieces sent by a few threads, and one moment at which the object appears."""

from __future__ import annotations

import hashlib
import io
import logging
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from engine import failpoints
from engine.errors import RowmillError
from engine.storage.multipart import next_piece_bytes
from engine.storage.s3_errors import S3Place, error_code, http_status, named_in, translated
from engine.storage.s3_integrity import send_body, try_out
from engine.storage.s3_read import plain_etag

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_logger = logging.getLogger(__name__)

#: Pieces under way at once; one request alone fills neither the network nor the server.
UPLOAD_THREADS = 4

#: Pieces under way that the server copies: here they take nothing but the wait for its answer. With twice as many a
#: server on the same two cores took a fifth longer.
COPY_THREADS = 8

#: Pieces under way take at most this much memory, unless a single one is larger.
_UPLOAD_MEMORY_BYTES = 64 * 1024 * 1024


@contextmanager
def multipart_upload(client: Any, place: S3Place, full_key: str) -> Iterator[MultipartUpload]:
    """An upload that completes when the context ends, and is aborted on an error inside.

    What a killed process leaves is invisible, and goes by the bucket's lifecycle rule
    (AbortIncompleteMultipartUpload).
    """
    upload = MultipartUpload(client, place, full_key)
    try:
        yield upload
        upload.complete()
    except BaseException:
        upload.abort()
        raise


class MultipartUpload:
    """One upload. Pieces are numbered in the order of the calls."""

    def __init__(self, client: Any, place: S3Place, full_key: str) -> None:
        self._client = client
        self._place = place
        self._full_key = full_key
        with translated(place, full_key, writing=True):
            answer = client.create_multipart_upload(Bucket=place.bucket, Key=full_key)
        upload_id = named_in(answer, "UploadId", place, full_key)
        self._names = {"Bucket": place.bucket, "Key": full_key, "UploadId": upload_id}
        self._threads = ThreadPoolExecutor(COPY_THREADS, thread_name_prefix="s3-upload")
        self._under_way: deque[tuple[Future[str], int]] = deque()
        self._puts, self._memory_bytes = 0, 0
        self._etags: list[str] = []
        self._count = 0
        failpoints.hit("multipart.begun")

    def put(self, data: bytes) -> None:
        """Send the next piece; waits while enough others are under way, and raises their errors."""
        try_out(self._client, self._place, self._full_key, len(data))  # before the threads, which all would
        self._submit(self._put, data, memory_bytes=len(data))

    def copy(self, source_key: str, start: int, end: int | None) -> None:
        """Let the server copy the bytes [start, end) of an object; all of it where `end` is None."""
        self._submit(self._copy, source_key, start, end)

    def complete(self) -> None:
        """Make the object appear. Returns without an error only if it did, with all pieces."""
        while self._under_way:
            self._collect()
        self._threads.shutdown()
        failpoints.hit("multipart.completing")
        pieces = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(self._etags, start=1)]
        with translated(self._place, self._full_key, writing=True):
            try:
                answer = self._client.complete_multipart_upload(**self._names, MultipartUpload={"Parts": pieces})
            except ClientError as error:
                # A repeated request, whose first answer was lost, finds no upload any more.
                if error_code(error) != "NoSuchUpload" or not self._is_completed():
                    raise
            else:
                # Whatever said so was not S3: the object that is there may be one that was there before.
                if not answer.get("ETag") and not self._is_completed():
                    named_in(answer, "ETag", self._place, self._full_key)
        failpoints.hit("multipart.completed")

    def abort(self) -> None:
        """Drop the pieces; never raises what the storage says to that."""
        self._threads.shutdown(cancel_futures=True)
        try:
            with translated(self._place, self._full_key, writing=True):
                self._client.abort_multipart_upload(**self._names)
        except RowmillError as error:
            _logger.warning("multipart upload not aborted", extra={"key": self._full_key, "reason": error.code})

    def _submit(self, send: Callable[..., str], *arguments: Any, memory_bytes: int = 0) -> None:
        while self._under_way and not self._has_room(memory_bytes):
            self._collect()
        self._count += 1
        self._puts += memory_bytes > 0
        self._memory_bytes += memory_bytes
        self._under_way.append((self._threads.submit(send, self._count, *arguments), memory_bytes))
        failpoints.hit("multipart.piece")

    def _has_room(self, memory_bytes: int) -> bool:
        if not memory_bytes:
            return len(self._under_way) < COPY_THREADS
        return self._puts < UPLOAD_THREADS and self._memory_bytes + memory_bytes <= _UPLOAD_MEMORY_BYTES

    def _collect(self) -> None:
        future, memory_bytes = self._under_way.popleft()
        self._etags.append(future.result())
        self._puts -= memory_bytes > 0
        self._memory_bytes -= memory_bytes

    def _put(self, number: int, data: bytes) -> str:
        with translated(self._place, self._full_key, writing=True):
            request = partial(self._client.upload_part, **self._names, PartNumber=number)
            answer = send_body(self._client, self._place, self._full_key, data, request)
        return named_in(answer, "ETag", self._place, self._full_key)

    def _copy(self, number: int, source_key: str, start: int, end: int | None) -> str:
        span = {} if end is None else {"CopySourceRange": f"bytes={start}-{end - 1}"}
        source = {"Bucket": self._place.bucket, "Key": source_key}
        with translated(self._place, source_key, writing=True):
            answer = self._client.upload_part_copy(**self._names, PartNumber=number, CopySource=source, **span)
        return named_in(answer.get("CopyPartResult", {}), "ETag", self._place, source_key)

    def _is_completed(self) -> bool:
        """Whether the object at the key is made of exactly our pieces."""
        try:
            digests = b"".join(bytes.fromhex(plain_etag(etag)) for etag in self._etags)
        except ValueError:  # encrypted objects have ETags of another form
            return False
        expected = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(self._etags)}"
        try:
            head = self._client.head_object(Bucket=self._place.bucket, Key=self._full_key)
        except ClientError as error:
            if http_status(error) != 404:
                raise
            return False
        return plain_etag(head.get("ETag", "")) == expected


class ObjectWriter(io.RawIOBase):
    """Gathers pieces and sends them while more is written. A file object, for writers of other libraries."""

    def __init__(self, start_upload: Callable[[], MultipartUpload]) -> None:
        """`start_upload` is called once, when the bytes no longer fit into one piece."""
        self._start_upload = start_upload
        self._upload: MultipartUpload | None = None
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
        while len(self._buffer) >= (piece_bytes := next_piece_bytes(self._position - len(self._buffer))):
            if self._upload is None:
                self._upload = self._start_upload()
            with memoryview(self._buffer) as buffer:
                piece = bytes(buffer[:piece_bytes])
            del self._buffer[:piece_bytes]
            self._upload.put(piece)
        return size_bytes

    def finish(self, put_whole: Callable[[bytes], object]) -> None:
        """Make the object appear; what is small is handed to `put_whole`."""
        self.close()
        if self._upload is None:
            put_whole(bytes(self._buffer))
            return
        if self._buffer:
            self._upload.put(bytes(self._buffer))
        self._upload.complete()

    def discard(self) -> None:
        """Leave nothing."""
        self.close()
        if self._upload is not None:
            self._upload.abort()
