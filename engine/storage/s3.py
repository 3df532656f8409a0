"""A bucket, or a prefix of one, as storage: Amazon S3 and what speaks its language.

It is imported when an `s3://` address is opened.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from threading import Lock
from typing import Any

from botocore.exceptions import ClientError

from engine import failpoints
from engine.config import EngineConfig
from engine.errors import OutputNotWritableError, SourceChangedError, StorageAccessError, StorageError
from engine.model import Part
from engine.storage.keys import check_key, check_range
from engine.storage.multipart import S3_LIMITS, Slice, UploadPiece, plan_pieces
from engine.storage.part_checks import read_part
from engine.storage.protocol import ObjectInfo, Writer
from engine.storage.s3_client import attempts_of, client_of_process
from engine.storage.s3_errors import (
    CLIENT_ERRORS,
    S3Place,
    error_code,
    http_status,
    named_in,
    shown_endpoint,
    translate,
    translated,
)
from engine.storage.s3_integrity import send_body
from engine.storage.s3_presign import S3Presigner
from engine.storage.s3_read import ObjectReader, plain_etag
from engine.storage.s3_unfinished import abort_unfinished, unfinished_uploads
from engine.storage.s3_upload import MultipartUpload, ObjectWriter, multipart_upload

#: Small parts fetched at once while a piece is joined.
_READ_THREADS = 8

#: S3's limit for one DeleteObjects.
_DELETE_BATCH = 1000

#: Objects deleted at once where the server has no DeleteObjects.
_DELETE_THREADS = 8

#: How servers say that they have no DeleteObjects, or not in this form.
_NO_BATCH_DELETE_STATUS = frozenset({400, 404, 405, 411, 501})


class S3Storage:
    """Objects below a prefix of a bucket. Meets `Storage`.

    The client is sought at the first request and again after a fork, so that a storage may be
    opened anywhere; storages of one configuration share it. One storage serves several threads.
    """

    is_remote = True

    def __init__(self, bucket: str, prefix: str = "", *, config: EngineConfig, fail_fast: bool = False) -> None:
        self._base = f"{check_key(prefix)}/" if prefix else ""
        self._config = config
        self._fail_fast = fail_fast
        self._place = S3Place(endpoint=shown_endpoint(config.s3_endpoint_url, config.s3_region), bucket=bucket)
        self._client_lock = Lock()
        self._made_client: tuple[int, Any] | None = None
        self._deletes_in_batches = True

    @property
    def url(self) -> str:
        """`s3://bucket/prefix`."""
        return self._place.url_of(self._base.rstrip("/"))

    @property
    def least_copied_bytes(self) -> int:
        """See `Storage.least_copied_bytes`."""
        return S3_LIMITS.minimum_piece_bytes

    def url_of(self, key: str) -> str:
        """`s3://bucket/prefix/key`."""
        return self._place.url_of(self._full_key(key))

    def stat(self, key: str) -> ObjectInfo:
        """See `Storage.stat`."""
        size_bytes, etag = self._reader.stat(self._full_key(key))
        return ObjectInfo(key=key, size_bytes=size_bytes, etag=etag)

    def read_range(self, key: str, start: int, end: int, *, etag: str | None = None) -> bytes:
        """See `Storage.read_range`."""
        check_range(start, end)
        if start == end:  # a range of no bytes cannot be asked for
            self._check_version(key, end, etag)
            return b""
        return self._reader.read(self._full_key(key), start, end, etag=etag)

    def read_blocks(
        self, key: str, start: int, end: int, *, block_bytes: int, etag: str | None = None
    ) -> Iterator[bytes]:
        """See `Storage.read_blocks`. One request a block, two of them ahead; the threads end with the generator."""
        check_range(start, end)
        if start == end or etag is None:
            # All blocks come from one version also where the caller does not say from which.
            etag = self._check_version(key, end, etag)
        if start < end:
            yield from self._reader.blocks(self._full_key(key), start, end, block_bytes=block_bytes, etag=etag)

    def write(self, key: str, data: bytes | Sequence[bytes]) -> ObjectInfo:
        """See `Storage.write`."""
        if not isinstance(data, bytes):
            data = b"".join(data)  # a body that may have to be sent again, and has one digest
        full_key = self._full_key(key)
        with translated(self._place, full_key, writing=True):
            client = self._client
            request = partial(client.put_object, Bucket=self._place.bucket, Key=full_key)
            try:
                answer = send_body(client, self._place, full_key, data, request)
            except StorageError:
                with suppress(StorageError):  # the first error is the one to tell
                    self._delete_one(full_key)  # what is there is not what was sent
                raise
        etag = named_in(answer, "ETag", self._place, full_key)
        return ObjectInfo(key=key, size_bytes=len(data), etag=plain_etag(etag))

    @contextmanager
    def open_writer(self, key: str) -> Iterator[Writer]:
        """See `Storage.open_writer`. Holds up to five pieces: 40 MiB below 10 GB, then slowly more."""
        full_key = self._full_key(key)
        writer = ObjectWriter(lambda: MultipartUpload(self._client, self._place, full_key))
        try:
            yield writer
            writer.finish(partial(self.write, key))
        except BaseException:
            writer.discard()
            raise
        self._check_size(key, writer.tell())

    def concatenate(self, key: str, segments: Sequence[bytes | Part]) -> ObjectInfo:
        """See `Storage.concatenate`. Holds about 80 MiB below 100 GB."""
        full_key = self._full_key(key)
        sizes = [len(segment) if isinstance(segment, bytes) else segment.size_bytes for segment in segments]
        pieces = plan_pieces(sizes, [isinstance(segment, Part) for segment in segments])
        with ThreadPoolExecutor(_READ_THREADS, thread_name_prefix="s3-join") as threads:

            def joined(piece: UploadPiece) -> bytes:
                return b"".join(threads.map(partial(self._fetch, segments), piece.slices))

            if not pieces:
                return self.write(key, b"")
            if len(pieces) == 1 and isinstance(pieces[0], UploadPiece):
                return self.write(key, joined(pieces[0]))
            with multipart_upload(self._client, self._place, full_key) as upload:
                for piece in pieces:
                    if isinstance(piece, UploadPiece):
                        upload.put(joined(piece))
                    else:
                        self._copy(upload, segments, piece.slice)
                failpoints.hit("concatenate.completing")
        return self._check_size(key, sum(sizes))

    def draft(self, key: str, draft_key: str) -> None:
        """See `Storage.draft`. S3 joins parts by itself, many at a time, when all are there."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See `Storage.list`. Sorted here, since not every server sorts; "folder" markers are left out."""
        found: dict[str, ObjectInfo] = {}
        with translated(self._place, self._base + prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._place.bucket, Prefix=self._base + prefix
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    key = entry["Key"].removeprefix(self._base)
                    if key and not key.endswith("/"):
                        etag = plain_etag(entry.get("ETag", ""))
                        found[key] = ObjectInfo(
                            key=key, size_bytes=int(entry["Size"]), etag=etag, written_at=entry.get("LastModified")
                        )
        yield from (found[key] for key in sorted(found))

    def delete(self, keys: Iterable[str]) -> None:
        """See `Storage.delete`. A thousand keys a request where the server can."""
        full_keys = (self._full_key(key) for key in keys)
        while batch := tuple(islice(full_keys, _DELETE_BATCH)):
            if len(batch) == 1 or not self._delete_batch(batch):
                self._delete_each(batch)

    def remove_unfinished(
        self,
        prefix: str,
        *,
        older_than_seconds: float,
        keep: Callable[[str], bool] = lambda _key: False,
        dry_run: bool = False,
    ) -> Sequence[str]:
        """See `Storage.remove_unfinished`: multipart uploads that were neither completed nor aborted."""
        removed = []
        begun_before = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
        for upload in unfinished_uploads(self._client, self._place, self._base + prefix):
            key = upload.full_key.removeprefix(self._base)
            if upload.begun_at > begun_before or keep(key):
                continue
            if not dry_run:
                abort_unfinished(self._client, self._place, upload)
            removed.append(key)
        return removed

    def check_writable(self) -> None:
        """See `Storage.check_writable`."""
        probe = f".rowmill-write-check-{os.urandom(8).hex()}"
        self.write(probe, b"")
        try:
            self.delete([probe])
        except StorageAccessError as error:
            raise OutputNotWritableError(
                f"Objects can be written to {self.url} but not deleted, so parts would stay. Allow s3:DeleteObject.",
                output=self.url,
            ) from error

    @property
    def presigner(self) -> S3Presigner:
        """Links for others to read and write objects of this storage directly."""
        return S3Presigner(self._client, self._place, self._full_key)

    @property
    def _attempts(self) -> int:
        return attempts_of(self._config, fail_fast=self._fail_fast)

    @property
    def _client(self) -> Any:
        with self._client_lock:
            if self._made_client is None or self._made_client[0] != os.getpid():
                with translated(self._place):
                    self._made_client = (os.getpid(), self._open_client())
            return self._made_client[1]

    @property
    def _reader(self) -> ObjectReader:
        return ObjectReader(self._client, self._place, attempts=self._attempts)

    def _open_client(self) -> Any:
        try:
            return client_of_process(self._config, fail_fast=self._fail_fast)
        except ValueError as error:
            raise StorageAccessError(
                f"{self._place.endpoint} is not an address of S3: {type(error).__name__}. Check S3_ENDPOINT_URL.",
                endpoint=self._place.endpoint,
            ) from error

    def _full_key(self, key: str) -> str:
        return self._base + check_key(key)

    def _check_version(self, key: str, end: int, etag: str | None) -> str:
        found = self.stat(key)
        if (etag is not None and found.etag != etag) or found.size_bytes < end:
            raise SourceChangedError(
                f"{self.url_of(key)} is not the object that was planned: it was replaced or cut. Start a new import.",
                source=self.url_of(key),
                etag=found.etag,
                expected_etag=etag,
                size_bytes=found.size_bytes,
            )
        return found.etag

    def _check_size(self, key: str, expected_bytes: int) -> ObjectInfo:
        """Some servers accept copies and store nothing: what cannot be right does not stay."""
        found = self.stat(key)
        if found.size_bytes != expected_bytes:
            self._delete_one(self._full_key(key))
            raise StorageError(
                f"S3 at {self._place.endpoint} stored {found.size_bytes} of {expected_bytes} bytes as "
                f"{self.url_of(key)}; the object was removed. Does this server have UploadPartCopy?",
                key=key,
                size_bytes=found.size_bytes,
                expected_bytes=expected_bytes,
            )
        return found

    def _fetch(self, segments: Sequence[bytes | Part], piece: Slice) -> bytes:
        segment = segments[piece.segment_index]
        if isinstance(segment, bytes):
            return segment[piece.start : piece.end]

        def read() -> bytes:
            full_key = self._full_key(segment.key)
            return self._reader.read(full_key, piece.start, piece.end, whole_bytes=segment.size_bytes)

        try:
            return read_part(read, segment, piece)
        except SourceChangedError as error:
            raise StorageError(
                f"The part {self.url_of(segment.key)} is not the one that was written: "
                f"it has not the recorded {segment.size_bytes} bytes.",
                key=segment.key,
                expected_bytes=segment.size_bytes,
            ) from error

    def _copy(self, upload: MultipartUpload, segments: Sequence[bytes | Part], piece: Slice) -> None:
        segment = segments[piece.segment_index]
        assert isinstance(segment, Part)
        # Without a range the whole object is copied, and a wrong size shows in the total.
        whole = piece.size_bytes == segment.size_bytes
        upload.copy(self._full_key(segment.key), piece.start, None if whole else piece.end)

    def _delete_batch(self, full_keys: Sequence[str]) -> bool:
        """Whether it was done; otherwise they are to be deleted one by one."""
        if not self._deletes_in_batches:
            return False
        objects = [{"Key": full_key} for full_key in full_keys]
        try:
            with translated(self._place):
                answer = self._client.delete_objects(
                    Bucket=self._place.bucket, Delete={"Objects": objects, "Quiet": True}
                )
        except StorageError as error:
            cause = error.__cause__
            if not isinstance(cause, ClientError) or error_code(cause) == "NoSuchBucket":
                raise
            if http_status(cause) not in _NO_BATCH_DELETE_STATUS:
                raise
            self._deletes_in_batches = False
            return False
        for refusal in answer.get("Errors", ()):
            if refusal.get("Code") != "NoSuchKey":
                # Alone it either succeeds or gives an error that says more.
                self._delete_one(refusal["Key"])
        return True

    def _delete_each(self, full_keys: Sequence[str]) -> None:
        with ThreadPoolExecutor(min(len(full_keys), _DELETE_THREADS), thread_name_prefix="s3-delete") as threads:
            for _ in threads.map(self._delete_one, full_keys):
                pass

    def _delete_one(self, full_key: str) -> None:
        try:
            self._client.delete_object(Bucket=self._place.bucket, Key=full_key)
        except CLIENT_ERRORS as error:
            gone = isinstance(error, ClientError) and error_code(error) == "NoSuchKey"
            if not gone:
                raise translate(error, self._place, full_key) from error
