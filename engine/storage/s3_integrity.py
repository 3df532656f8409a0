"""Bodies on their way to S3: one that was changed is sent again, whoever notices it.

A server that checks signatures refuses it, since its SHA-256 is signed with the request. Of one that does not, the
ETag tells: it is the MD5 of what arrived. Over https nothing can be changed on the way, and no MD5 is made. Which of
the two kinds a server is, a process tries once; large bodies then get the one digest that is looked at, as each of
them takes a tenth of the time of a chunk.

What comes back is checked by whoever knows its checksum (`Part.crc32`, `Chunk.crc32`). Large parts do not come back:
the server copies them into the result file.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from engine.errors import StorageError
from engine.storage.s3_client import bodies_as
from engine.storage.s3_errors import CLIENT_ERRORS, S3Place, error_code
from engine.storage.s3_read import plain_etag

logger = logging.getLogger(__name__)

#: How often a body is sent until it has arrived as it is.
_SENDINGS = 4
#: Bytes from which on a digest is worth two small requests of each process.
_LARGE_BYTES = 1024 * 1024
#: How servers say that a body is not the one that was signed.
_REFUSALS = frozenset({"XAmzContentSHA256Mismatch", "BadDigest"})
#: The form of an MD5.
_MD5 = re.compile("[0-9a-f]{32}")

#: Endpoint and bucket → whether its ETags are MD5s, as far as that was in question.
_known: dict[S3Place, bool] = {}
#: Endpoint and bucket → whether it refuses a body that is not the signed one; None where it gave another answer.
_refusing: dict[S3Place, bool | None] = {}


def send_body(client: Any, place: S3Place, full_key: str, body: bytes, request: Callable[..., Any]) -> Any:
    """Send a body again while it arrives changed; returns the answer.

    Args:
        request: sends it as `Body`; raises ClientError.

    Raises:
        StorageError: it arrived changed each time; what arrived last may be there.
    """
    is_open = _is_open(place)
    is_refused = try_out(client, place, full_key, len(body))
    for _ in range(_SENDINGS):
        try:
            with bodies_as("unsigned" if is_refused is False else "signed"):
                answer = request(Body=body)
        except ClientError as error:
            if error_code(error) not in _REFUSALS:
                raise
        else:
            if not is_open or is_refused or _has_arrived(client, place, full_key, body, answer):
                return answer
        logger.warning("a body arrived changed", extra={"key": full_key})
    raise StorageError(
        f"{place.url_of(full_key)} was sent {_SENDINGS} times and never arrived as it was sent: the way to "
        f"{place.endpoint} changes what it carries. Use an https address.",
        key=full_key,
    )


def try_out(client: Any, place: S3Place, full_key: str, size_bytes: int) -> bool | None:
    """Whether the server refuses bodies that are not those that were signed; None where it does not say.

    Asked once a process and place, and only before a large body over http; None as well where it is not asked.
    """
    if size_bytes < _LARGE_BYTES or not _is_open(place):
        return None
    if place not in _refusing:
        probe = {"Bucket": place.bucket, "Key": f"{full_key}.signature-check"}
        try:
            with bodies_as("changed"):
                client.put_object(**probe, Body=b"signed")
            client.delete_object(**probe)
            _refusing[place] = False
        except ClientError as error:
            _refusing[place] = True if error_code(error) in _REFUSALS else None
        except CLIENT_ERRORS:  # the body itself will meet them, and tell
            return None
    return _refusing[place]


def _is_open(place: S3Place) -> bool:
    return place.endpoint.startswith("http://")


def _has_arrived(client: Any, place: S3Place, full_key: str, body: bytes, answer: Mapping[str, Any]) -> bool:
    """False only where the server says by its ETag that it has other bytes."""
    if "SSEKMSKeyId" in answer or "SSECustomerAlgorithm" in answer:
        return True
    etag = plain_etag(answer.get("ETag", ""))
    if not _MD5.fullmatch(etag) or etag == _md5(body):
        return True
    if place not in _known:
        _known[place] = _etags_are_md5(client, place, f"{full_key}.etag-check")
    return not _known[place]


def _etags_are_md5(client: Any, place: S3Place, probe_key: str) -> bool:
    """Asked of an object without bytes, which no way can change."""
    probe = {"Bucket": place.bucket, "Key": probe_key}
    try:
        etag = plain_etag(client.put_object(**probe, Body=b"")["ETag"])
        client.delete_object(**probe)
    except CLIENT_ERRORS:
        logger.warning("it is not known what ETags tell", extra={"endpoint": place.endpoint}, exc_info=True)
        return False
    return etag == _md5(b"")


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
