"""What may be uploaded: purposes, sizes, names and types, as the settings say. No I/O."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext_lazy as _

from django_integration.conf import GIB, MIB, FileSettings

#: The longest life of an upload link, whatever the settings say.
MAX_UPLOAD_SECONDS = 900

#: S3's limits for one PUT, and for the pieces of a multipart upload.
MAX_SINGLE_PUT_BYTES = 5 * GIB
MIN_PART_BYTES, MAX_PART_BYTES = 5 * MIB, 5 * GIB
MAX_PARTS = 10_000

#: What a purpose of FILES_PURPOSES may name.
LIMIT_NAMES = frozenset({"max_bytes", "extensions", "content_types"})

#: As long as the model's fields.
MAX_NAME_CHARACTERS = 255
MAX_PURPOSE_CHARACTERS = 100

#: A purpose is a folder of the storage.
PURPOSE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]*\Z"
#: What of an ending may stand in a key.
_SAFE_EXTENSION = re.compile(r"(?:\.[a-z0-9]{1,10}){1,2}")
_CONTENT_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+")
#: Control characters, and those that make a name read otherwise than it is.
_REFUSED_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")
_REFUSED_CHARACTERS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one purpose allows."""

    max_bytes: int
    extensions: tuple[str, ...]
    """In lower case, with the dot, the longest first."""
    content_types: tuple[str, ...] | None
    """In lower case; None: any."""

    def extension_of(self, file_name: str) -> str | None:
        """The allowed ending that the name has; None where it has none of them."""
        name = file_name.lower()
        return next((each for each in self.extensions if name.endswith(each) and len(name) > len(each)), None)


def limits_of(purpose: str, settings: FileSettings) -> Limits:
    """The limits of a purpose, the settings' general ones where it names none.

    Raises:
        ValidationError: there is no such purpose.
    """
    if not re.search(PURPOSE_PATTERN, purpose) or len(purpose) > MAX_PURPOSE_CHARACTERS:
        raise _invalid("purpose", _("Use letters, digits, hyphens and underscores."), "invalid")
    own = {} if settings.purposes is None else settings.purposes.get(purpose)
    if own is None:
        raise _invalid("purpose", _("There is no such purpose."), "unknown_purpose")
    content_types = _own(own, "content_types", settings.content_types)
    extensions = {f".{each.lower().removeprefix('.')}" for each in _own(own, "extensions", settings.extensions)}
    return Limits(
        max_bytes=_own(own, "max_bytes", settings.max_bytes),
        extensions=tuple(sorted(extensions, key=lambda each: (-len(each), each))),
        content_types=None if content_types is None else tuple(each.lower() for each in content_types),
    )


def clean_file_name(given: str, limits: Limits) -> tuple[str, str]:
    """The name without the folders that some clients send along, and the ending for the key.

    Raises:
        ValidationError: too long, empty, with control characters, or not of an allowed type.
    """
    name = re.split(r"[/\\]", given)[-1].strip()
    if len(given) > MAX_NAME_CHARACTERS:
        message = _("Use at most %(count)d characters.") % {"count": MAX_NAME_CHARACTERS}
        raise _invalid("file_name", message, "max_length")
    if not name or not name.strip("."):
        raise _invalid("file_name", _("This is not a name of a file."), "invalid")
    if any(unicodedata.category(each) in _REFUSED_CATEGORIES or each in _REFUSED_CHARACTERS for each in given):
        raise _invalid("file_name", _("The name holds characters that cannot be shown."), "invalid")
    extension = limits.extension_of(name)
    if extension is None:
        message = _("Files of this type are not allowed; allowed: %(list)s.") % {"list": _listed(limits.extensions)}
        raise _invalid("file_name", message, "wrong_extension")
    return name, extension if _SAFE_EXTENSION.fullmatch(extension) else ""


def clean_content_type(given: str | None, limits: Limits) -> str | None:
    """The announced content type, without its parameters; None where none was announced.

    Raises:
        ValidationError: it is none, or not an allowed one.
    """
    if not given:
        return None
    name = given.partition(";")[0].strip().lower()
    if not _CONTENT_TYPE.fullmatch(name) or len(name) > MAX_NAME_CHARACTERS:
        raise _invalid("content_type", _("This is not a content type."), "invalid")
    if limits.content_types is not None and name not in limits.content_types:
        message = _("This content type is not allowed; allowed: %(list)s.") % {"list": _listed(limits.content_types)}
        raise _invalid("content_type", message, "wrong_content_type")
    return name


def check_announced_size(size: int | None, limits: Limits) -> None:
    """Let an announced size pass. Raises ValidationError."""
    if size is None:
        return
    if size < 1:
        raise _invalid("size", _("The file is empty."), "empty")
    if size > limits.max_bytes:
        raise _invalid("size", too_large(limits), "too_large")


def too_large(limits: Limits) -> str:
    """The message for a file above the limit."""
    return str(_("The file is larger than %(limit)s.") % {"limit": filesizeformat(limits.max_bytes)})


def part_bytes(size: int, wished_bytes: int) -> int:
    """Size of the parts of a multipart upload, but the last: the wished one unless S3 does not take it."""
    least = -(-size // MAX_PARTS)
    return min(max(wished_bytes, least, MIN_PART_BYTES), MAX_PART_BYTES)


def _own(limits: Mapping[str, Any], name: str, general: Any) -> Any:
    value = limits.get(name)
    return general if value is None else value


def _listed(names: Sequence[str]) -> str:
    return ", ".join(sorted(names))


def _invalid(field: str, message: object, code: str) -> ValidationError:
    return ValidationError({field: ValidationError(str(message), code=code)})
