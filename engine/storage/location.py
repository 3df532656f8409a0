"""From an address to a storage: the only place that knows which storages there are."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module

from engine.config import EngineConfig
from engine.errors import OptionError, StorageError
from engine.storage.keys import check_key
from engine.storage.local import LocalFolderStorage
from engine.storage.protocol import Storage

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def open_storage(root_url: str, config: EngineConfig, *, fail_fast: bool = False) -> Storage:
    """The storage of a folder or of `s3://bucket/prefix`; nothing is contacted or created yet.

    Args:
        root_url: a path (a relative one counts from the current folder) or `s3://bucket[/prefix]`.
        config: endpoint, attempts and timeouts of S3.
        fail_fast: for the first contact of a run: few tries and short timeouts, so that an
            unreachable S3 is told within seconds. Not for the work itself.

    Raises:
        OptionError: the address has no bucket, or a scheme that is not known.
        StorageError: the address is on S3 and boto3 is not installed.
    """
    if not _is_s3(root_url):
        return LocalFolderStorage(root_url)
    bucket, prefix = _bucket_and_key(root_url)
    return _s3_storage(bucket, prefix.rstrip("/"), config, fail_fast=fail_fast)


def open_location(url: str, config: EngineConfig, *, fail_fast: bool = False) -> tuple[Storage, str]:
    """The storage of one object, and its key there.

    A local path gives the storage of its folder; `s3://bucket/a/b.csv` gives the bucket and
    `a/b.csv`. Whether the object exists is not asked.

    Raises:
        OptionError, StorageError: as `open_storage`.
        StorageAccessError: the address names no object (`s3://bucket`, `/`).
    """
    if not _is_s3(url):
        folder, name = os.path.split(os.path.abspath(url))
        return LocalFolderStorage(folder), check_key(name)
    bucket, key = _bucket_and_key(url)
    return _s3_storage(bucket, "", config, fail_fast=fail_fast), check_key(key)


def load_for(urls: Iterable[str], config: EngineConfig) -> None:
    """Load what storages of these addresses need (for S3 a third of a second), before processes are forked.

    What is wrong with an address is told by whoever opens it.
    """
    with suppress(Exception):
        if any(map(_is_s3, urls)):
            import_module("engine.storage.s3")
            from engine.storage.s3_client import client_of_process

            client_of_process(config, fail_fast=True)


def join_url(root_url: str, *names: str) -> str:
    """The address of something below a root; `names` may hold `/` and cannot leave the root.

    Raises:
        StorageAccessError: a name is empty, absolute, or holds `.` or `..`.
    """
    key = "/".join(check_key(name) for name in names)
    if not key:
        return root_url
    if _is_s3(root_url):
        return f"{root_url.rstrip('/')}/{key}"
    return os.path.join(root_url, key)


def _is_s3(url: str) -> bool:
    scheme = _SCHEME.match(url)
    if scheme is None:
        return False
    if scheme[1].lower() != "s3":
        raise OptionError(f"{url!r} is neither a path nor an s3:// address.", option="url", value=url)
    return True


def _bucket_and_key(url: str) -> tuple[str, str]:
    bucket, _, key = url.split("://", 1)[1].partition("/")
    if not bucket:
        raise OptionError(f"{url!r} names no bucket; write s3://bucket/key.", option="url", value=url)
    return bucket, key


def _s3_storage(bucket: str, prefix: str, config: EngineConfig, *, fail_fast: bool) -> Storage:
    # Imported here so that the local way neither needs boto3 nor waits for it to load.
    try:
        from engine.storage.s3 import S3Storage
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("boto3", "botocore"):
            raise
        raise StorageError("s3:// addresses need boto3: pip install 'rowmill[s3]'.", extra="s3") from error
    return S3Storage(bucket, prefix, config=config, fail_fast=fail_fast)
