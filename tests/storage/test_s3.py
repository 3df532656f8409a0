"""What only S3 has: connections that break, servers that lie, credentials, multipart limits."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from threading import Lock
from typing import Any

import pytest

from engine.config import EngineConfig
from engine.errors import (
    OutputNotWritableError,
    RowmillError,
    SourceChangedError,
    StorageAccessError,
    StorageError,
    StorageUnavailableError,
)
from engine.model import Part
from engine.storage import join_url, open_location, open_storage, s3_read
from engine.storage.s3 import S3Storage
from engine.storage.s3_read import MOST_READ_AHEAD_BLOCKS, READ_AHEAD_BLOCKS, ObjectReader
from tests.services import DUMMY_SECRET_ACCESS_KEY, free_port
from tests.storage.faulty_proxy import Faults, faulty_proxy

MIB = 1024 * 1024
DATA = random.Random(1).randbytes(3 * MIB)  # noqa: S311


@pytest.fixture
def bucket(moto_endpoint: str, s3_bucket: Callable[[str], str]) -> str:
    return s3_bucket(moto_endpoint)


@pytest.fixture
def storage(moto_endpoint: str, bucket: str) -> S3Storage:
    return S3Storage(bucket, "p", config=EngineConfig(s3_endpoint_url=moto_endpoint))


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def shaky_storage(moto_endpoint: str, bucket: str, faults: Faults) -> Iterator[S3Storage]:
    """The same objects as `storage`, seen through the faulty proxy."""
    with faulty_proxy(moto_endpoint, faults) as endpoint:
        yield S3Storage(bucket, "p", config=EngineConfig(s3_endpoint_url=endpoint, s3_max_attempts=4))


def uploads(s3_client: Callable[[str], Any], endpoint: str, bucket: str) -> list[Any]:
    return list(s3_client(endpoint).list_multipart_uploads(Bucket=bucket).get("Uploads", []))


# Addresses


def test_an_object_of_a_bucket_is_opened_by_its_whole_key() -> None:
    storage, key = open_location("s3://bucket/a/b c.csv", EngineConfig())
    assert (storage.url, key) == ("s3://bucket", "a/b c.csv")
    assert storage.url_of(key) == "s3://bucket/a/b c.csv"
    assert open_storage("s3://bucket/", EngineConfig()).url == "s3://bucket"
    assert open_storage("s3://bucket/a/b/", EngineConfig()).url == "s3://bucket/a/b"
    assert join_url("s3://bucket/", "parts", "1") == "s3://bucket/parts/1"
    with pytest.raises(StorageAccessError, match="empty"):
        open_location("s3://bucket", EngineConfig())
    with pytest.raises(StorageAccessError, match=r"\.\."):
        open_storage("s3://bucket/a/../b", EngineConfig())


def test_without_boto3_the_message_names_the_extra() -> None:
    program = (
        "import sys; sys.modules['boto3'] = None\n"
        "from engine.config import EngineConfig\n"
        "from engine.storage import open_storage\n"
        "open_storage('/tmp', EngineConfig())\n"
        "try: open_storage('s3://bucket', EngineConfig())\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("StorageError")
    assert "rowmill[s3]" in done.stdout


def test_local_storage_does_not_load_boto3() -> None:
    program = (
        "import sys\n"
        "from engine.config import EngineConfig\n"
        "from engine.storage import open_storage\n"
        "open_storage('/tmp', EngineConfig()).url\n"
        "sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# Broken connections


def test_a_busy_server_is_asked_again(shaky_storage: S3Storage, faults: Faults) -> None:
    faults.refusals = 2
    shaky_storage.write("a", DATA)
    faults.refusals = 2
    assert shaky_storage.read_range("a", 0, len(DATA)) == DATA


def test_a_server_that_stays_busy_is_told_as_unavailable(shaky_storage: S3Storage, faults: Faults) -> None:
    faults.refusals = 1000
    with pytest.raises(StorageUnavailableError, match=shaky_storage.url.split("/")[2]) as raised:
        shaky_storage.stat("a")
    assert raised.value.transient
    assert len(faults.requests) == 4


def test_a_cut_answer_is_resumed_where_it_broke_off(
    storage: S3Storage, shaky_storage: S3Storage, faults: Faults
) -> None:
    etag = storage.write("a", DATA).etag
    faults.cuts, faults.cut_after_bytes = 3, 900_000
    assert shaky_storage.read_range("a", 0, len(DATA), etag=etag) == DATA
    assert faults.cuts == 0
    faults.cuts = 2
    assert b"".join(shaky_storage.read_blocks("a", 1, len(DATA), block_bytes=MIB, etag=etag)) == DATA[1:]


def test_answers_that_are_always_cut_are_told_as_unavailable(
    storage: S3Storage, shaky_storage: S3Storage, faults: Faults
) -> None:
    storage.write("a", DATA)
    faults.cuts, faults.cut_after_bytes = 1000, 10
    before = set(threading.enumerate())
    with pytest.raises(StorageUnavailableError, match="cut"):
        shaky_storage.read_range("a", 0, len(DATA))
    with pytest.raises(StorageUnavailableError, match="cut"):
        list(shaky_storage.read_blocks("a", 0, len(DATA), block_bytes=MIB))
    # Those of the proxy may be on their way to their end.
    assert not [each for each in set(threading.enumerate()) - before if each.name.startswith("s3-")]


@pytest.mark.parametrize("pinned", [True, False])
def test_a_resumed_answer_never_mixes_two_versions(
    storage: S3Storage, shaky_storage: S3Storage, faults: Faults, monkeypatch: pytest.MonkeyPatch, pinned: bool
) -> None:
    etag = storage.write("a", bytes(len(DATA))).etag
    faults.cuts, faults.cut_after_bytes = 1, MIB

    def replace_meanwhile(_attempt: int) -> float:
        storage.write("a", DATA)
        return 0.0

    monkeypatch.setattr("engine.storage.s3_read._backoff_seconds", replace_meanwhile)
    if pinned:
        with pytest.raises(SourceChangedError):
            shaky_storage.read_range("a", 0, len(DATA), etag=etag)
    else:
        assert shaky_storage.read_range("a", 0, len(DATA)) == DATA


def test_parts_are_joined_across_cut_connections_and_busy_answers(
    storage: S3Storage, shaky_storage: S3Storage, faults: Faults
) -> None:
    parts = [Part(key=f"{n}", size_bytes=storage.write(f"{n}", DATA).size_bytes) for n in range(4)]
    faults.refusals, faults.cuts, faults.cut_after_bytes = 2, 3, 1_000_000
    joined = shaky_storage.concatenate("all", [b"head", *parts])
    assert joined.size_bytes == 4 + 4 * len(DATA)
    assert storage.read_range("all", 0, joined.size_bytes) == b"head" + DATA * 4


def test_a_completion_whose_answer_was_lost_is_recognised(
    storage: S3Storage, shaky_storage: S3Storage, faults: Faults
) -> None:
    with shaky_storage.open_writer("a") as writer:
        writer.write(DATA * 3)
        # Two parts are numbered in their addresses; the POST with an upload id alone completes.
        faults.lost_answers = [f"POST /{shaky_storage.url.split('/')[2]}/p/a?uploadId".encode()]
    assert faults.lost_answers == []
    assert storage.read_range("a", 0, 3 * len(DATA)) == DATA * 3


_ERROR = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>Please try again.</Message></Error>"


@pytest.mark.parametrize("page", [b"", b"<html>Log in first</html>", _ERROR], ids=["nothing", "a page", "an error"])
@pytest.mark.parametrize(
    "request_line", ["POST /{}?uploads", "PUT /{}?uploadId", "POST /{}?uploadId", "PUT /{} "],
    ids=["begin", "piece", "complete", "whole"],
)  # fmt: skip
def test_a_success_that_is_none_is_not_taken_for_one(
    storage: S3Storage, shaky_storage: S3Storage, faults: Faults, page: bytes, request_line: str
) -> None:
    """What is there from before has the very size of what was to be written."""
    parts = [Part(key=f"{n}", size_bytes=storage.write(f"{n}", DATA * 2).size_bytes) for n in range(2)]
    small, large = [b"new "], [b"new ", *parts]
    segments = small if request_line == "PUT /{} " else large
    size = sum(len(segment) if isinstance(segment, bytes) else segment.size_bytes for segment in segments)
    storage.write("all", b"o" * size)
    bucket = storage.url.split("/")[2]
    faults.page, faults.paged = page, [request_line.format(f"{bucket}/p/all").encode()]
    if page == _ERROR:  # S3 says so while it is busy, and is asked again
        shaky_storage.concatenate("all", segments)
        assert storage.read_range("all", 0, 4).startswith(b"new")
    else:
        with pytest.raises(StorageUnavailableError, match="an answer without"):
            shaky_storage.concatenate("all", segments)
        assert storage.read_range("all", 0, 4).startswith(b"oooo")
    assert faults.paged == []
    assert storage.stat("all").size_bytes == size


def test_closing_blocks_early_does_not_wait_for_a_backoff(
    storage: S3Storage, shaky_storage: S3Storage, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.write("a", DATA)
    monkeypatch.setattr("engine.storage.s3_read._backoff_seconds", lambda _attempt: 60.0)
    faults.cuts, faults.cut_after_bytes, faults.spared = 1000, 10, b"bytes=0-"
    blocks = shaky_storage.read_blocks("a", 0, len(DATA), block_bytes=500_000)
    next(iter(blocks))
    while faults.cuts == 1000:
        time.sleep(0.01)
    started = time.monotonic()
    blocks.close()  # type: ignore[attr-defined]
    assert time.monotonic() - started < 50


def test_nobody_listening_is_told_within_seconds_and_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    config = EngineConfig(s3_endpoint_url=f"http://user:geheim@127.0.0.1:{free_port()}")
    storage = open_storage("s3://some-bucket", config, fail_fast=True)
    with pytest.raises(StorageUnavailableError) as raised:
        storage.check_writable()
    assert sum(slept) < 5
    shown = f"{raised.value} {raised.value.facts}"
    assert "geheim" not in shown
    assert "S3_ENDPOINT_URL" in shown
    assert pickle.loads(pickle.dumps(raised.value)).facts == raised.value.facts  # noqa: S301


def test_an_endpoint_that_is_no_address_is_told() -> None:
    storage = open_storage("s3://bucket", EngineConfig(s3_endpoint_url="nonsense"))
    with pytest.raises(StorageAccessError, match="S3_ENDPOINT_URL"):
        storage.stat("a")


def test_a_server_that_is_not_s3_is_told(faults: Faults, shaky_storage: S3Storage) -> None:
    faults.refusals, faults.refusal_status = 1000, "418 I am a teapot"
    with pytest.raises(StorageError):
        shaky_storage.stat("a")


# Refusals


@pytest.mark.parametrize(("name", "value"), [("AWS_ACCESS_KEY_ID", "somebody"), ("AWS_SECRET_ACCESS_KEY", "wrong")])
def test_wrong_credentials_are_told_without_showing_them(
    juicefs_endpoint: str,
    s3_bucket: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
) -> None:
    bucket = s3_bucket(juicefs_endpoint)
    monkeypatch.setenv(name, value)
    storage = open_storage(f"s3://{bucket}", EngineConfig(s3_endpoint_url=juicefs_endpoint))
    actions: list[Callable[[], object]] = [
        lambda: storage.stat("a"),
        lambda: storage.read_range("a", 0, 1),
        lambda: list(storage.list("")),
        lambda: storage.write("a", b""),
        lambda: storage.delete(["a"]),
        lambda: storage.concatenate("a", []),
    ]
    for action in actions:
        with pytest.raises(StorageAccessError) as raised:
            action()
        assert DUMMY_SECRET_ACCESS_KEY not in str(raised.value)
        assert "somebody" not in str(raised.value)


def test_missing_credentials_are_told(moto_endpoint: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    storage = open_storage(f"s3://{bucket}", EngineConfig(s3_endpoint_url=moto_endpoint))
    with pytest.raises(StorageAccessError, match="AWS_ACCESS_KEY_ID"):
        storage.stat("a")


@pytest.mark.parametrize("name", ["Not_A_Bucket", "a b"])
def test_a_name_that_no_bucket_can_have_is_told(moto_endpoint: str, name: str) -> None:
    storage = open_storage(f"s3://{name}", EngineConfig(s3_endpoint_url=moto_endpoint))
    with pytest.raises(RowmillError, match=name):
        storage.write("a", b"")


def test_a_bucket_that_forbids_writes_or_deletes_is_not_writable(
    storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The servers at hand have one user who may do everything, so the answer is made here.
    from botocore.exceptions import ClientError

    answer = {"Error": {"Code": "AccessDenied", "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 403}}

    def refuse(**_: object) -> None:
        raise ClientError(answer, "Operation")

    monkeypatch.setattr(storage._client, "delete_object", refuse)
    with pytest.raises(OutputNotWritableError, match="DeleteObject"):
        storage.check_writable()
    monkeypatch.setattr(storage._client, "put_object", refuse)
    with pytest.raises(OutputNotWritableError, match="PutObject"):
        storage.check_writable()
    monkeypatch.undo()
    storage.delete([found.key for found in storage.list("")])


# Servers that do less than S3


def test_a_server_that_ignores_if_match_is_caught_by_its_etag(
    storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = storage.write("a", b"old data").etag
    storage.write("a", b"new data")
    get_object = storage._client.get_object

    def ignore_condition(*, IfMatch: str, **request: Any) -> Any:
        return get_object(**request)

    monkeypatch.setattr(storage._client, "get_object", ignore_condition)
    with pytest.raises(SourceChangedError):
        storage.read_range("a", 0, 8, etag=old)


def test_a_server_that_ignores_ranges_is_caught(storage: S3Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write("a", b"0123456789")
    get_object = storage._client.get_object

    def ignore_range(*, Range: str, **request: Any) -> Any:
        return get_object(**request)

    monkeypatch.setattr(storage._client, "get_object", ignore_range)
    assert storage.read_range("a", 0, 10) == b"0123456789"
    for start, end in [(0, 5), (5, 10), (2, 12)]:
        with pytest.raises(StorageError, match="ranges"):
            storage.read_range("a", start, end)


def test_a_server_that_accepts_copies_and_stores_nothing_is_caught(
    storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = Part(key="part", size_bytes=storage.write("part", DATA * 2).size_bytes)

    def copy_nothing(*, CopySource: object, **request: Any) -> Any:
        etag = storage._client.upload_part(**request, Body=b"")["ETag"]
        return {"CopyPartResult": {"ETag": etag}}

    monkeypatch.setattr(storage._client, "upload_part_copy", copy_nothing)
    with pytest.raises(StorageError, match="UploadPartCopy"):
        storage.concatenate("all", [part])
    assert [found.key for found in storage.list("")] == ["part"]


def test_objects_are_deleted_one_by_one_where_the_server_has_no_batches(
    storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.exceptions import ClientError

    calls = []

    def refuse(**_: object) -> None:
        calls.append(1)
        answer = {"Error": {"Code": "NotImplemented"}, "ResponseMetadata": {"HTTPStatusCode": 501}}
        raise ClientError(answer, "DeleteObjects")

    monkeypatch.setattr(storage._client, "delete_objects", refuse)
    for _ in range(2):
        for name in "abc":
            storage.write(name, b"")
        storage.delete(["a", "b", "c", "d"])
        assert list(storage.list("")) == []
    assert len(calls) == 1


def test_folder_markers_of_consoles_are_not_listed(
    storage: S3Storage, s3_client: Callable[[str], Any], moto_endpoint: str, bucket: str
) -> None:
    for key in ("p/", "p/folder/", "p/folder/a", "pother"):
        s3_client(moto_endpoint).put_object(Bucket=bucket, Key=key, Body=b"")
    assert [found.key for found in storage.list("")] == ["folder/a"]


# Reading ahead


@pytest.mark.parametrize(
    ("slow_below", "most"),
    [pytest.param(0, READ_AHEAD_BLOCKS, id="near"), pytest.param(10**12, MOST_READ_AHEAD_BLOCKS, id="far")],
)
def test_more_blocks_are_under_way_where_a_connection_carries_little(
    slow_below: int, most: int, storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(range(256)) * 40
    etag = storage.write("a", data).etag
    monkeypatch.setattr(s3_read, "_SLOW_BYTES_PER_SECOND", slow_below)
    lock, begun, seen = Lock(), [0], [0]
    read = ObjectReader.read

    def counted(reader: ObjectReader, *where: Any, **more: Any) -> bytes:
        with lock:
            begun[0] += 1
        return read(reader, *where, **more)

    monkeypatch.setattr(ObjectReader, "read", counted)
    found = []
    for block in storage.read_blocks("a", 0, len(data), block_bytes=256, etag=etag):
        found.append(block)
        # Until all that is wanted has begun, once; and from then on for what would be more than that.
        deadline = time.monotonic() + (0.02 if seen[0] == most else 0.5)
        while begun[0] - len(found) <= most and time.monotonic() < deadline:
            time.sleep(0.002)
            seen[0] = max(seen[0], begun[0] - len(found))
            if begun[0] - len(found) == most:
                deadline = min(deadline, time.monotonic() + 0.02)
    assert b"".join(found) == data
    assert seen[0] == most


# Multipart


def test_an_aborted_stream_leaves_no_upload_behind(
    storage: S3Storage, s3_client: Callable[[str], Any], moto_endpoint: str, bucket: str
) -> None:
    def fail() -> None:
        with storage.open_writer("a") as writer:
            writer.write(DATA * 4)
            assert len(uploads(s3_client, moto_endpoint, bucket)) == 1
            raise RuntimeError("the caller failed")

    with pytest.raises(RuntimeError, match="the caller failed"):
        fail()
    assert uploads(s3_client, moto_endpoint, bucket) == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("s3-")]


def test_a_failed_join_leaves_no_upload_and_no_thread_behind(
    storage: S3Storage, s3_client: Callable[[str], Any], moto_endpoint: str, bucket: str
) -> None:
    present = Part(key="present", size_bytes=storage.write("present", DATA * 3).size_bytes)
    with pytest.raises(StorageError, match="missing"):
        storage.concatenate("all", [present, present, Part(key="missing", size_bytes=10 * MIB), present])
    assert uploads(s3_client, moto_endpoint, bucket) == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("s3-")]


def test_large_parts_are_copied_by_the_server_and_not_read(storage: S3Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    part = Part(key="part", size_bytes=storage.write("part", DATA * 4).size_bytes)
    read: list[str] = []
    get_object = storage._client.get_object

    def watch(**request: Any) -> Any:
        read.append(request["Range"])
        return get_object(**request)

    monkeypatch.setattr(storage._client, "get_object", watch)
    storage.concatenate("all", [part, part])
    assert read == []
    storage.concatenate("all", [b"head", part, part])
    assert read == [f"bytes=0-{5 * MIB - 4 - 1}"]
    monkeypatch.undo()
    assert storage.read_range("all", 0, 4 + 8 * len(DATA)) == b"head" + DATA * 8


def test_keys_with_any_character_are_copied(storage: S3Storage) -> None:
    key = "Zürich 数据/a+b&c=d%20?#.csv"
    part = Part(key=key, size_bytes=storage.write(key, DATA * 2).size_bytes)
    storage.concatenate("all", [part])
    assert storage.read_range("all", 0, part.size_bytes) == DATA * 2


# Processes and threads


def test_a_forked_process_makes_its_own_client(storage: S3Storage) -> None:
    storage.write("a", b"data")
    client = storage._client
    queue = multiprocessing.get_context("fork").SimpleQueue()
    child = os.fork()
    if child == 0:
        try:
            queue.put((storage.read_range("a", 0, 4), storage._client is client))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert queue.get() == (b"data", False)
    assert storage._client is client
    queue.close()


def test_one_storage_serves_several_threads(moto_endpoint: str, bucket: str) -> None:
    storage = open_storage(f"s3://{bucket}", EngineConfig(s3_endpoint_url=moto_endpoint))
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            data = bytes([number]) * 100_000
            storage.write(f"{number}", data)
            assert storage.read_range(f"{number}", 0, len(data)) == data
        except BaseException as error:  # noqa: BLE001 - carried to the main thread
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_objects_from_the_named_size_on_are_joined_without_being_read(
    storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    least, read = storage.least_copied_bytes, ObjectReader.read
    seen: list[str] = []

    def noted(reader: ObjectReader, full_key: str, *span: Any, **more: Any) -> bytes:
        seen.append(full_key)
        return read(reader, full_key, *span, **more)

    sizes = {"large": least, "small": least - 1, "last": 1}
    for key, size in sizes.items():
        storage.write(key, bytes(size))
    monkeypatch.setattr(ObjectReader, "read", noted)
    storage.concatenate("all", [Part(key=key, size_bytes=size) for key, size in sizes.items()])
    assert sorted(seen) == ["p/last", "p/small"]
