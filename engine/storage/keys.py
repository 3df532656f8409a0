"""Which names a key may have. A key is never able to leave the root that it is relative to."""

from __future__ import annotations

from engine.errors import StorageAccessError


def check_key(key: str) -> str:
    """Let a key pass that stays below its root; returns it.

    `.` and `..` are refused for S3 as well: there they are plain names, but HTTP clients and
    gateways fold them, and the request then reaches another object.

    Raises:
        StorageAccessError: the key is empty, absolute, or holds a NUL, `.` or `..` as a name.
    """
    if not key:
        raise StorageAccessError("The name of an object is empty; name a file or an object.", key=key)
    if key.startswith("/"):
        raise StorageAccessError(f"The key {key!r} is absolute; keys are relative to the storage's root.", key=key)
    if "\0" in key:
        raise StorageAccessError(f"The key {key!r} holds a NUL character.", key=key)
    if any(name in (".", "..") for name in key.split("/")):
        raise StorageAccessError(f"The key {key!r} holds '.' or '..' as a name and could leave its root.", key=key)
    return key


def check_range(start: int, end: int) -> None:
    """Let a half-open range pass.

    Raises:
        ValueError: it begins before 0 or ends before it begins.
    """
    if not 0 <= start <= end:
        raise ValueError(f"[{start}, {end}) is not a range of bytes.")
