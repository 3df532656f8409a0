"""Which version of a source a job is about."""

from __future__ import annotations

import os

from engine.config import EngineConfig
from engine.errors import (
    ObjectMissingError,
    SourceIsDirectoryError,
    SourceMissingError,
    SourceObjectMissingError,
)
from engine.model import Source
from engine.storage import open_location


def pin_source(url: str, config: EngineConfig, *, fail_fast: bool = True) -> Source:
    """The object as it is now, so that a later change of it is noticed.

    Args:
        fail_fast: False where nobody waits for the answer, as in a worker: a busy S3 is asked as often as ever.

    Raises:
        SourceMissingError, SourceObjectMissingError, SourceIsDirectoryError: there is no such file or object.
        StorageError: the storage does not answer, or refuses.
    """
    is_remote = "://" in url
    if not is_remote:
        url = os.path.abspath(url)
        if os.path.isdir(url):
            raise SourceIsDirectoryError(f"{url} is a folder. Name a file in it.", source=url)
    storage, key = open_location(url, config, fail_fast=fail_fast)
    try:
        info = storage.stat(key)
    except ObjectMissingError as error:
        if is_remote:
            raise SourceObjectMissingError(
                f"There is no object {url}. Check the bucket, the key and the endpoint.", source=url
            ) from error
        raise SourceMissingError(f"There is no file {url}.", source=url) from error
    return Source(url=storage.url_of(key), size_bytes=info.size_bytes, etag=info.etag)
