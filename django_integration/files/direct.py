"""The bridge to uploads that go straight to the storage: one PUT, or several of a multipart upload."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from django_integration.files.errors import ConfirmationError
from django_integration.files.limits import part_bytes
from engine.errors import RowmillError

if TYPE_CHECKING:
    from engine.storage import Storage
    from engine.storage.s3_presign import S3Presigner, UploadedPiece

_logger = logging.getLogger(__name__)

#: S3's words for parts that cannot be put together.
_WRONG_PARTS = frozenset({"InvalidPart", "InvalidPartOrder", "EntityTooSmall", "MalformedXML"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PartLink:
    """Where one part of a multipart upload goes."""

    part_number: int
    size: int
    """Bytes; another size is refused."""
    presigned_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MultipartUpload:
    """An upload in parts."""

    upload_id: str
    part_size: int
    """Bytes of every part but the last."""
    parts: tuple[PartLink, ...]


def presigner(storage: Storage) -> S3Presigner | None:
    """What signs links of the storage's own; None where it has none, and ours are used."""
    found: S3Presigner | None = getattr(storage, "presigner", None)
    return found


def start_parts(
    signing: S3Presigner, key: str, size: int, *, wished_part_bytes: int, content_type: str | None, expires_seconds: int
) -> MultipartUpload:
    """Begin an upload of exactly `size` bytes in parts, each with its link. Raises RowmillError."""
    part_size = part_bytes(size, wished_part_bytes)
    upload_id = signing.start_upload(key, content_type=content_type)
    parts = []
    for part_number, start in enumerate(range(0, size, part_size), start=1):
        size_bytes = min(part_size, size - start)
        url = signing.part_url(key, upload_id, part_number, expires_seconds=expires_seconds, size_bytes=size_bytes)
        parts.append(PartLink(part_number=part_number, size=size_bytes, presigned_url=url))
    return MultipartUpload(upload_id=upload_id, part_size=part_size, parts=tuple(parts))


def finish_parts(
    signing: S3Presigner, key: str, upload_id: str, size: int, given: Sequence[tuple[int, str]] | None
) -> None:
    """Let the object appear from its parts; when this was done before, nothing happens.

    Nothing is put together, so that missing parts can still be sent, where they are not those that
    the client names or do not add up to its size.

    Args:
        signing: of the storage.
        key: of the object.
        upload_id: of the upload.
        size: bytes of all parts.
        given: part numbers and ETags; None: whatever has arrived.

    Raises:
        ConfirmationError: `wrong_parts` or `size_mismatch`.
        RowmillError: the storage cannot be asked.
    """
    try:
        pieces = _chosen(signing.uploaded_pieces(key, upload_id), given)
        arrived = sum(piece.size_bytes for piece in pieces)
        if arrived != size:
            message = _("The parts have %(arrived)d bytes, not %(size)d.") % {"arrived": arrived, "size": size}
            raise ConfirmationError("size_mismatch", message)
        signing.complete_upload(key, upload_id, pieces)
    except RowmillError as error:
        reason = error.facts.get("s3_code")
        if reason in _WRONG_PARTS:
            raise ConfirmationError("wrong_parts", _("The storage refuses the parts; start a new upload.")) from error
        # Completed before, also by a request whose answer was lost: whether it is there is looked at next.
        if reason != "NoSuchUpload":
            raise


def abort_parts(signing: S3Presigner, key: str, upload_id: str) -> None:
    """Drop what has arrived of an upload; never raises what the storage says to that."""
    with suppress(RowmillError):
        signing.abort_upload(key, upload_id)


def _chosen(arrived: Sequence[UploadedPiece], given: Sequence[tuple[int, str]] | None) -> Sequence[UploadedPiece]:
    if given is None:
        return arrived
    by_number = {piece.part_number: piece for piece in arrived}
    chosen = []
    for part_number, etag in sorted(given):
        piece = by_number.pop(part_number, None)
        if piece is None or piece.etag != etag.strip().strip('"'):
            message = _("Part %(number)d has not arrived with this ETag.") % {"number": part_number}
            raise ConfirmationError("wrong_parts", message)
        chosen.append(piece)
    return chosen
