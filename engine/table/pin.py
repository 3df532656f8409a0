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


def pin_source(url: str, config: EngineConfig) -> Source:
    """The object as it is now, so that a later change of it is noticed.

    Raises:
        SourceMissingError, SourceObjectMissingError, SourceIsDirectoryError: there is no such file or object.
        StorageError: the storage does not answer, or refuses.
    """
    is_remote = "://" in url
    if not is_remote:
        url = os.path.abspath(url)
        if os.path.isdir(url):
            raise SourceIsDirectoryError(f"{url} is a folder. Name a file in it.", source=url)
    storage, key = open_location(url, config, fail_fast=True)
    try:
        info = storage.stat(key)
    except ObjectMissingError as error:
        if is_remote:
            raise SourceObjectMissingError(
                f"There is no object {url}. Check the bucket, the key and the endpoint.", source=url
            ) from error
        raise SourceMissingError(f"There is no file {url}.", source=url) from error
    return Source(url=storage.url_of(key), size_bytes=info.size_bytes, etag=info.etag)
