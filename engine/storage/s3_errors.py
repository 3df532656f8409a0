"""botocore's exceptions → ours. The messages name endpoint and bucket, never credentials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from botocore import exceptions as botocore_errors
from botocore.parsers import ResponseParserError

from engine.errors import (
    ObjectMissingError,
    OutputNotWritableError,
    RowmillError,
    SourceChangedError,
    StorageAccessError,
    StorageError,
    StorageUnavailableError,
)

#: What a call of the client can raise. ResponseParserError stands outside botocore's own tree.
CLIENT_ERRORS: tuple[type[Exception], ...] = (
    botocore_errors.ClientError,
    botocore_errors.BotoCoreError,
    ResponseParserError,
)

#: The server does not accept who we are, whatever is asked. Some of these come with status 400.
_CREDENTIAL_CODES = frozenset(
    [
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidToken",
        "TokenRefreshRequired",
        "InvalidSecurity",
        "AuthorizationHeaderMalformed",
        "RequestTimeTooSkewed",
        "AccountProblem",
        "NotSignedUp",
        "InvalidClientTokenId",
    ]
)
_FULL_CODES = frozenset(["XMinioStorageFull", "QuotaExceeded", "InsufficientStorage", "XMinioAdminBucketQuotaExceeded"])
_BUSY_CODES = frozenset(
    ["SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "Throttling", "OperationAborted"]
)
_WRONG_BUCKET_CODES = frozenset(["PermanentRedirect", "IllegalLocationConstraintException", "InvalidBucketName"])

_NO_CREDENTIALS = (
    botocore_errors.NoCredentialsError,
    botocore_errors.PartialCredentialsError,
    botocore_errors.CredentialRetrievalError,
    botocore_errors.ProfileNotFound,
    botocore_errors.TokenRetrievalError,
    botocore_errors.UnauthorizedSSOTokenError,
    botocore_errors.InvalidConfigError,
)

#: No or no whole answer: connection refused, timeouts, TLS, a proxy, a cut body.
_NO_ANSWER = (
    botocore_errors.HTTPClientError,
    botocore_errors.ConnectionError,
    botocore_errors.IncompleteReadError,
)

_MAXIMUM_SERVER_MESSAGE = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Place:
    """Where a request went, for messages."""

    endpoint: str
    bucket: str

    def url_of(self, full_key: str | None) -> str:
        """`s3://bucket/key`."""
        return f"s3://{self.bucket}/{full_key}" if full_key else f"s3://{self.bucket}"


def shown_endpoint(endpoint_url: str | None, region: str) -> str:
    """The endpoint as messages may show it: without user, password and query."""
    if endpoint_url is None:
        return f"Amazon S3 ({region})"
    try:
        parts = urlsplit(endpoint_url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    except ValueError:
        return "the given endpoint"


@contextmanager
def translated(place: S3Place, full_key: str | None = None, *, writing: bool = False) -> Iterator[None]:
    """Turn what the client raises inside into an error of the engine.

    Args:
        place: endpoint and bucket.
        full_key: the object that the request names, if any.
        writing: a refusal means OutputNotWritableError, not StorageAccessError.
    """
    try:
        yield
    except CLIENT_ERRORS as error:
        raise translate(error, place, full_key, writing=writing) from error


def translate(error: Exception, place: S3Place, full_key: str | None, *, writing: bool = False) -> RowmillError:
    """The engine's error for one of `CLIENT_ERRORS`."""
    if isinstance(error, botocore_errors.ClientError):
        return _from_answer(error, place, full_key, writing=writing)
    facts = _facts(place, full_key)
    where = f"S3 at {place.endpoint} (bucket {place.bucket})"
    if isinstance(error, _NO_CREDENTIALS):
        return StorageAccessError(
            f"No usable credentials for {where}: {type(error).__name__}. "
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile or role that boto3 finds.",
            **facts,
        )
    if isinstance(error, _NO_ANSWER):
        return unavailable(place, full_key, type(error).__name__)
    if isinstance(error, botocore_errors.ParamValidationError):
        return StorageAccessError(f"{place.url_of(full_key)} is not a valid S3 address.", **facts)
    return StorageError(
        f"{where} gave an answer that is not S3's: {type(error).__name__}. Check S3_ENDPOINT_URL.", **facts
    )


def unavailable(place: S3Place, full_key: str | None, reason: str) -> StorageUnavailableError:
    """The storage does not answer, or not to the end."""
    return StorageUnavailableError(
        f"S3 at {place.endpoint} does not answer properly (bucket {place.bucket}): {reason}. "
        "Check S3_ENDPOINT_URL, that the service runs, and the network or proxy in between.",
        **_facts(place, full_key),
        reason=reason,
    )


def named_in(answer: Mapping[str, Any], name: str, place: S3Place, full_key: str | None) -> str:
    """What an answer has to name, as it has no meaning without: a proxy's page comes with a status of success as well.

    Raises:
        StorageUnavailableError: it does not.
    """
    found = answer.get(name)
    if not found:
        raise unavailable(place, full_key, f"an answer without {name}")
    return str(found)


def error_code(error: botocore_errors.ClientError) -> str:
    """S3's code, such as `NoSuchKey`; the HTTP status as text where the answer had no body."""
    return str(error.response.get("Error", {}).get("Code", ""))


def http_status(error: botocore_errors.ClientError) -> int:
    """The HTTP status; 0 where unknown."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _facts(place: S3Place, full_key: str | None) -> dict[str, Any]:
    return {"endpoint": place.endpoint, "bucket": place.bucket, "key": full_key}


def _from_answer(
    error: botocore_errors.ClientError, place: S3Place, full_key: str | None, *, writing: bool
) -> RowmillError:
    code, status = error_code(error), http_status(error)
    facts = {**_facts(place, full_key), "s3_code": code, "http_status": status}
    url = place.url_of(full_key)
    said = _said(error, code)
    if status in (412, 416) and not writing:
        return SourceChangedError(
            f"{url} is not the object that was planned: it was replaced or cut. Start a new import.",
            source=url,
            **facts,
        )
    if code in _CREDENTIAL_CODES or status == 401:
        return StorageAccessError(
            f"S3 at {place.endpoint} refuses the credentials (bucket {place.bucket}): {said}. "
            "Check the access key, its secret, the region and this machine's clock.",
            **facts,
        )
    if code in _WRONG_BUCKET_CODES or status == 301:
        return StorageAccessError(
            f"The bucket {place.bucket} cannot be used at {place.endpoint}: {said}. "
            "Check its name and region (AWS_DEFAULT_REGION).",
            **facts,
        )
    if writing and code == "NoSuchBucket":
        return OutputNotWritableError(
            f"There is no bucket {place.bucket} at {place.endpoint}. Create it or choose another output.",
            output=place.url_of(None),
            **facts,
        )
    if writing and (code in _FULL_CODES or status == 507):
        return OutputNotWritableError(
            f"Cannot write {url}: the storage is full ({said}). Free some space or choose another output.",
            output=url,
            **facts,
        )
    if writing and status == 403:
        return OutputNotWritableError(
            f"Cannot write {url}: {said}. Allow s3:PutObject, s3:GetObject and s3:DeleteObject there, "
            "or choose another output.",
            output=url,
            **facts,
        )
    if code == "NoSuchUpload":
        return StorageUnavailableError(f"The upload of {url} was ended by somebody else. Try again.", **facts)
    if status == 404:
        return ObjectMissingError(f"There is no object {url} at {place.endpoint}, or no such bucket.", **facts)
    if status == 403:
        return StorageAccessError(
            f"S3 at {place.endpoint} refuses access to {url}: {said}. "
            "Allow s3:GetObject and s3:ListBucket; without the latter a missing object looks like this as well.",
            **facts,
        )
    if status >= 500 or status == 429 or code in _BUSY_CODES:
        return unavailable(place, full_key, said)
    return StorageError(f"S3 at {place.endpoint} refused a request for {url}: {said}.", **facts)


def _said(error: botocore_errors.ClientError, code: str) -> str:
    message = " ".join(str(error.response.get("Error", {}).get("Message", "")).split()).rstrip(".")
    return f"{code}, {message[:_MAXIMUM_SERVER_MESSAGE]}" if message else code
