"""Signed links of our own, for storages that have none: a local folder.

The signature is the right: whoever holds a link may use it until it expires, for exactly what was
signed. Links are never logged here.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

from django.core import signing
from django.http import HttpRequest
from django.utils.translation import gettext as _

from django_integration.addresses import address_of
from django_integration.files.errors import LinkError


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLink:
    """The right to put the content of one file that is not confirmed."""

    salt: ClassVar[str] = "rowmill.files.upload"
    file_id: int

    @property
    def payload(self) -> dict[str, Any]:
        """What is signed."""
        return {"f": self.file_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadLink:
    """The right to read one object."""

    salt: ClassVar[str] = "rowmill.files.download"
    key: str
    file_name: str

    @property
    def payload(self) -> dict[str, Any]:
        """What is signed."""
        return {"k": self.key, "n": self.file_name}


def upload_url(link: UploadLink, *, expires_seconds: int, request: HttpRequest | None = None) -> str:
    """The address that takes the PUT; absolute where a request tells our host, else from the root."""
    token = _sign(link.salt, link.payload, expires_seconds)
    return address_of("rowmill_files:upload", {"token": token}, request)


def download_url(link: DownloadLink, *, expires_seconds: int, request: HttpRequest | None = None) -> str:
    """The address that answers with the content; absolute where a request tells our host, else from the root."""
    token = _sign(link.salt, link.payload, expires_seconds)
    return address_of("rowmill_files:download", {"token": token}, request)


def read_upload(token: str) -> UploadLink:
    """The link of a token. Raises LinkError."""
    return UploadLink(file_id=_read(UploadLink.salt, token)["f"])


def read_download(token: str) -> DownloadLink:
    """The link of a token. Raises LinkError."""
    payload = _read(DownloadLink.salt, token)
    return DownloadLink(key=payload["k"], file_name=payload["n"])


def _sign(salt: str, payload: dict[str, Any], expires_seconds: int) -> str:
    # The end is signed with the rest, so that a change of the settings shortens or lengthens no link.
    return signing.dumps({**payload, "e": int(time.time()) + expires_seconds}, salt=salt)


def _read(salt: str, token: str) -> dict[str, Any]:
    try:
        payload: dict[str, Any] = signing.loads(token, salt=salt)
    except signing.BadSignature as error:
        raise LinkError("invalid_link", _("This link is not valid.")) from error
    if payload["e"] <= time.time():
        raise LinkError("expired_link", _("This link has expired; ask for a new one."))
    return payload
