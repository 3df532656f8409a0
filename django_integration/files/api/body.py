"""The body of a request, within bounds: JSON that is made to hurt is a bad request, not a server's error."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.request import Request


class BodyTooLargeError(APIException):
    """413: larger than DATA_UPLOAD_MAX_MEMORY_SIZE, which DRF's JSON parser does not look at."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = _("The body of the request is too large.")
    default_code = "too_large"


def body_of(request: Request) -> Any:
    """`request.data`, which is read here for the first time.

    Raises:
        BodyTooLargeError, ParseError: it is too large, or nested too deeply.
    """
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    # Servers give no more bytes than the header says.
    length = request.META.get("CONTENT_LENGTH") or "0"
    if limit is not None and length.isdecimal() and int(length) > limit:
        raise BodyTooLargeError
    try:
        return request.data
    except RecursionError as error:
        raise ParseError(_("The body of the request is nested too deeply.")) from error
