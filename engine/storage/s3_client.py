"""boto3 clients, kept by the process: to make one takes 5 to 20 ms, and a new one has no connections."""

from __future__ import annotations

import base64
import hashlib
import os
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock, local
from typing import Any, Literal

import boto3
import botocore.handlers
import botocore.loaders
import botocore.session
from botocore.config import Config

from engine.config import EngineConfig

#: The first contact of a run: two tries of 1.5 s tell within about 3 s that nobody answers.
_FAIL_FAST_ATTEMPTS = 2
_FAIL_FAST_CONNECT_SECONDS = 1.5
_FAIL_FAST_READ_SECONDS = 10.0

#: Reading, joining and sending run at once, each with its own threads.
_POOL_CONNECTIONS = 16

#: A process uses one or two; more are those of tests, each with servers of its own.
_KEPT_CLIENTS = 8

_lock = Lock()
_kept: OrderedDict[Hashable, Any] = OrderedDict()
_bodies = local()


def _forget() -> None:
    """In a forked child: its connections are the parent's, and another thread of the parent may have held the lock."""
    global _lock
    _lock = Lock()
    _kept.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def attempts_of(config: EngineConfig, *, fail_fast: bool) -> int:
    """Tries of one request."""
    return _FAIL_FAST_ATTEMPTS if fail_fast else config.s3_max_attempts


def client_of_process(config: EngineConfig, *, fail_fast: bool) -> Any:
    """A client that may be used by any thread; a forked child gets one of its own.

    Raises:
        ValueError: the endpoint is no address.
        BotoCoreError: the environment names credentials or a profile that boto3 cannot make sense of.
    """
    # Whatever boto3 would read from the environment, too: a client goes on with the credentials it was made with.
    environment = tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
    connect_seconds, read_seconds = config.s3_connect_timeout_seconds, config.s3_read_timeout_seconds
    if fail_fast:
        connect_seconds = min(connect_seconds, _FAIL_FAST_CONNECT_SECONDS)
        read_seconds = min(read_seconds, _FAIL_FAST_READ_SECONDS)
    attempts = attempts_of(config, fail_fast=fail_fast)
    place = (config.s3_endpoint_url, config.s3_region)
    key = (environment, place, connect_seconds, read_seconds, attempts)
    with _lock:
        if key not in _kept:
            _kept[key] = _make_client(*place, connect_seconds, read_seconds, attempts)
            while len(_kept) > _KEPT_CLIENTS:
                _kept.popitem(last=False)
        _kept.move_to_end(key)
        return _kept[key]


def _make_client(endpoint: str | None, region: str, connect_seconds: float, read_seconds: float, attempts: int) -> Any:
    # A session of its own: boto3's default one is not made for several threads.
    session = botocore.session.Session()
    session.register_component("data_loader", _service_descriptions())
    client = boto3.session.Session(botocore_session=session).client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        config=Config(
            signature_version="s3v4",
            retries={"mode": "standard", "total_max_attempts": attempts},
            connect_timeout=connect_seconds,
            read_timeout=read_seconds,
            # Host names like bucket.127.0.0.1 do not exist.
            s3={"addressing_style": "path"} if endpoint else {},
            # Other servers than Amazon's reject the newer checksum headers.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=_POOL_CONNECTIONS,
        ),
    )
    client.meta.events.register("before-sign.s3.DeleteObjects", _add_content_md5)
    client.meta.events.register("before-sign.s3", _leave_unsigned)
    client.meta.events.register("before-send.s3", _change)
    for operation in ("PutObject", "UploadPart"):
        # botocore would make a file of each body, ask the server whether it may come, and send it by 16 KiB. That the
        # bucket takes bodies is known before (`Storage.check_writable`), and they are small enough to be sent in vain.
        event = f"before-parameter-build.s3.{operation}"
        client.meta.events.unregister(event, botocore.handlers.convert_body_to_file_like_object)
    return client


@contextmanager
def bodies_as(treatment: Literal["signed", "unsigned", "changed"]) -> Iterator[None]:
    """How bodies of this thread's requests go out.

    Args:
        treatment: with their SHA-256 signed with the head; without, so that none is made; or with that of other bytes.
    """
    _bodies.treatment = treatment
    try:
        yield
    finally:
        _bodies.treatment = "signed"


def _leave_unsigned(request: Any, **_: Any) -> None:
    if getattr(_bodies, "treatment", "signed") == "unsigned":
        # botocore knows this choice for a client only, and another client would have connections of its own.
        config = request.context["client_config"]
        request.context["client_config"] = config.merge(Config(s3={**config.s3, "payload_signing_enabled": False}))


def _change(request: Any, **_: Any) -> None:
    if getattr(_bodies, "treatment", "signed") == "changed":
        request.body = request.body[::-1]


@cache
def _service_descriptions() -> Any:
    """botocore's read-only JSON of S3, parsed once a process: a client then takes 5 ms, not 50."""
    return botocore.loaders.create_loader()


def _add_content_md5(request: Any, **_: Any) -> None:
    """DeleteObjects needs Content-MD5 on servers that do not know the newer checksum headers."""
    digest = hashlib.md5(request.data or b"", usedforsecurity=False).digest()
    request.headers["Content-MD5"] = base64.b64encode(digest).decode("ascii")
