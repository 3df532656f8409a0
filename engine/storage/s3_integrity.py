"""Bodies on their way to S3: sent with their MD5, which the server compares, and compared with the ETag it answers.

A server that heeds Content-MD5 refuses a body that was changed on the way; one that does not tells by its ETag what
it has stored. What comes back is checked by whoever knows its checksum (`Part.crc32`, `Chunk.crc32`).
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from engine.errors import StorageError
from engine.storage.s3_errors import S3Place, error_code
from engine.storage.s3_read import plain_etag

logger = logging.getLogger(__name__)

#: How often a body is sent until it has arrived as it is.
_SENDINGS = 4
#: How servers say that a body is not what its MD5 says.
_REFUSALS = frozenset({"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch"})


class BodySender:
    """Sends bodies to one bucket; remembers whether its server's ETags are MD5s. Safe for several threads."""

    def __init__(self, place: S3Place) -> None:
        self._place = place
        self._etags_are_digests = True

    def send(self, full_key: str, data: bytes, request: Callable[..., Any]) -> Any:
        """Send a body until it has arrived unchanged; returns the answer.

        Args:
            request: called with Body and ContentMD5; raises ClientError.

        Raises:
            StorageError: it arrived changed each time.
        """
        digest = hashlib.md5(data, usedforsecurity=False)
        content_md5 = base64.b64encode(digest.digest()).decode("ascii")
        seen: set[str] = set()
        for _ in range(_SENDINGS):
            try:
                answer = request(Body=data, ContentMD5=content_md5)
            except ClientError as error:
                if error_code(error) not in _REFUSALS:
                    raise
                logger.warning("a body arrived changed", extra={"key": full_key})
                continue
            etag = plain_etag(answer["ETag"])
            if etag == digest.hexdigest() or not self._etags_are_digests or not _is_digest(etag, answer):
                return answer
            if etag in seen:
                # Twice the same: not an accident, but a server whose ETags are something else.
                self._etags_are_digests = False
                return answer
            seen.add(etag)
            logger.warning("a body may have arrived changed", extra={"key": full_key})
        raise StorageError(
            f"{self._place.url_of(full_key)} was sent {_SENDINGS} times and never arrived as it was sent: the way to "
            f"{self._place.endpoint} changes what it carries. Use an https address.",
            key=full_key,
        )


def _is_digest(etag: str, answer: Mapping[str, Any]) -> bool:
    """Whether the ETag should be the body's MD5; those of objects encrypted with keys of KMS or of clients are not."""
    is_encrypted = answer.get("ServerSideEncryption", "AES256") != "AES256" or answer.get("SSECustomerAlgorithm")
    return not is_encrypted and re.fullmatch("[0-9a-f]{32}", etag) is not None
