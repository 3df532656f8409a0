"""Links with which somebody else reads or writes one object directly, without our credentials.

A link is a right: whoever holds it may use it until it expires. Nothing here logs one, and nothing should.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from engine.storage.s3_errors import S3Place, translated
from engine.storage.s3_read import plain_etag


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedPiece:
    """One piece of a multipart upload, as the storage has it."""

    part_number: int
    etag: str
    size_bytes: int


class S3Presigner:
    """Signs requests for the objects of one storage. Signing contacts nobody; the other methods do.

    Every method raises StorageAccessError where there are no credentials, and what `Storage` says
    where the storage is contacted.
    """

    def __init__(self, client: Any, place: S3Place, full_key: Callable[[str], str]) -> None:
        """Take a client, its bucket, and what turns a key of the storage into one of the bucket."""
        self._client = client
        self._place = place
        self._full_key = full_key

    def put_url(
        self, key: str, *, expires_seconds: int, size_bytes: int | None = None, content_type: str | None = None
    ) -> str:
        """A link for one PUT. What is given of size and content type is signed: others are refused."""
        return self._signed("put_object", key, expires_seconds, ContentLength=size_bytes, ContentType=content_type)

    def get_url(
        self, key: str, *, expires_seconds: int, content_disposition: str | None = None, content_type: str | None = None
    ) -> str:
        """A link for GET, which makes the storage answer with these headers."""
        return self._signed(
            "get_object",
            key,
            expires_seconds,
            ResponseContentDisposition=content_disposition,
            ResponseContentType=content_type,
        )

    def part_url(self, key: str, upload_id: str, part_number: int, *, expires_seconds: int, size_bytes: int) -> str:
        """A link for the PUT of one piece of exactly this size."""
        return self._signed(
            "upload_part",
            key,
            expires_seconds,
            UploadId=upload_id,
            PartNumber=part_number,
            ContentLength=size_bytes,
        )

    def start_upload(self, key: str, *, content_type: str | None = None) -> str:
        """Begin a multipart upload; returns its id. A repeat begins another one."""
        given = {} if content_type is None else {"ContentType": content_type}
        answer = self._call("create_multipart_upload", key, writing=True, **given)
        return str(answer["UploadId"])

    def uploaded_pieces(self, key: str, upload_id: str) -> list[UploadedPiece]:
        """What has arrived so far, by part number.

        Raises:
            StorageUnavailableError: the upload was completed or aborted; its fact `s3_code` is NoSuchUpload.
        """
        pieces: list[UploadedPiece] = []
        marker: dict[str, Any] = {}
        while True:
            answer = self._call("list_parts", key, UploadId=upload_id, **marker)
            pieces += (
                UploadedPiece(
                    part_number=int(part["PartNumber"]), etag=plain_etag(part["ETag"]), size_bytes=int(part["Size"])
                )
                for part in answer.get("Parts", ())
            )
            following = answer.get("NextPartNumberMarker")
            # Not every server that says "truncated" moves on.
            if not answer.get("IsTruncated") or following in (None, marker.get("PartNumberMarker")):
                return sorted(pieces, key=lambda piece: piece.part_number)
            marker = {"PartNumberMarker": following}

    def complete_upload(self, key: str, upload_id: str, pieces: Iterable[UploadedPiece]) -> None:
        """Make the object appear. A repeat raises as `uploaded_pieces` does.

        Raises:
            StorageError: the storage refuses the pieces; the fact `s3_code` is its own word for why.
        """
        parts = [{"PartNumber": piece.part_number, "ETag": f'"{piece.etag}"'} for piece in pieces]
        self._call("complete_multipart_upload", key, writing=True, UploadId=upload_id, MultipartUpload={"Parts": parts})

    def abort_upload(self, key: str, upload_id: str) -> None:
        """Drop the pieces. A repeat raises as `uploaded_pieces` does."""
        self._call("abort_multipart_upload", key, writing=True, UploadId=upload_id)

    def _signed(self, operation: str, key: str, expires_seconds: int, **parameters: Any) -> str:
        full_key = self._full_key(key)
        given = {name: value for name, value in parameters.items() if value is not None}
        with translated(self._place, full_key):
            url: str = self._client.generate_presigned_url(
                operation, Params={"Bucket": self._place.bucket, "Key": full_key, **given}, ExpiresIn=expires_seconds
            )
        return url

    def _call(self, operation: str, key: str, *, writing: bool = False, **parameters: Any) -> Any:
        full_key = self._full_key(key)
        with translated(self._place, full_key, writing=writing):
            return getattr(self._client, operation)(Bucket=self._place.bucket, Key=full_key, **parameters)
