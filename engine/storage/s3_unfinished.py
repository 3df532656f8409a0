"""Multipart uploads that nobody will complete: their pieces are seen by no listing of objects, and are paid for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from engine.errors import StorageError
from engine.storage.s3_errors import S3Place, error_code, translated


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedUpload:
    """One upload that is under way, or was given up."""

    full_key: str
    upload_id: str
    begun_at: datetime


def unfinished_uploads(client: Any, place: S3Place, full_prefix: str) -> Iterator[UnfinishedUpload]:
    """All uploads to keys with this prefix. Raises StorageError."""
    marker: dict[str, Any] = {}
    while True:
        with translated(place, full_prefix):
            answer = client.list_multipart_uploads(Bucket=place.bucket, Prefix=full_prefix, **marker)
        for entry in answer.get("Uploads", ()):
            yield UnfinishedUpload(full_key=entry["Key"], upload_id=entry["UploadId"], begun_at=entry["Initiated"])
        following = {
            "KeyMarker": answer.get("NextKeyMarker"),
            "UploadIdMarker": answer.get("NextUploadIdMarker"),
        }
        # Not every server that says "truncated" moves on.
        if not answer.get("IsTruncated") or not following["KeyMarker"] or following == marker:
            return
        marker = following


def abort_unfinished(client: Any, place: S3Place, upload: UnfinishedUpload) -> None:
    """Drop the pieces; an upload that was completed or aborted meanwhile is no error."""
    try:
        with translated(place, upload.full_key):
            client.abort_multipart_upload(Bucket=place.bucket, Key=upload.full_key, UploadId=upload.upload_id)
    except StorageError as error:
        cause = error.__cause__
        if not isinstance(cause, ClientError) or error_code(cause) != "NoSuchUpload":
            raise
