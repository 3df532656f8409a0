"""Bodies on their way to S3, whose SHA-256 is signed with the request: a server that checks signatures refuses others.

What comes back is checked by whoever knows its checksum (`Part.crc32`, `Chunk.crc32`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from engine.errors import StorageError
from engine.storage.s3_errors import S3Place, error_code

logger = logging.getLogger(__name__)

#: How often a body is sent until it has arrived as it is.
_SENDINGS = 4
#: How servers say that a body is not the one that was signed.
_REFUSALS = frozenset({"XAmzContentSHA256Mismatch", "BadDigest"})


def send_body(place: S3Place, full_key: str, request: Callable[[], Any]) -> Any:
    """Send a body again while it arrives changed; returns the answer.

    Args:
        request: sends it; raises ClientError.

    Raises:
        StorageError: it arrived changed each time.
    """
    for _ in range(_SENDINGS):
        try:
            return request()
        except ClientError as error:
            if error_code(error) not in _REFUSALS:
                raise
            logger.warning("a body arrived changed", extra={"key": full_key})
    raise StorageError(
        f"{place.url_of(full_key)} was sent {_SENDINGS} times and never arrived as it was sent: the way to "
        f"{place.endpoint} changes what it carries. Use an https address.",
        key=full_key,
    )
