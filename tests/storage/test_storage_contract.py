"""Every promise of `engine.storage.protocol.Storage`, on every storage.

Servers: a local folder; moto, exact on conditions; the JuiceFS gateway, which checks signatures
but neither the 5 MiB minimum of pieces nor keys below a key (`a` and `a/b` cannot both exist there).
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from engine.config import EngineConfig
from engine.errors import (
    ObjectMissingError,
    OutputNotWritableError,
    SourceChangedError,
    StorageAccessError,
    StorageError,
    StorageUnavailableError,
)
from engine.model import Part
from engine.storage import Storage, join_url, open_location, open_storage
from engine.storage.local_write import temporary_name
from tests.services import free_port

MIB = 1024 * 1024


@dataclass(frozen=True)
class Place:
    """A fresh, empty root on one kind of storage."""

    root_url: str
    config: EngineConfig
    missing_root_url: str
    """A root that refuses writes, because there is no such bucket, or a file stands in its place."""

    def open(self) -> Storage:
        return open_storage(self.root_url, self.config)


@pytest.fixture(params=["local", "moto", "juicefs"])
def place(request: pytest.FixtureRequest, tmp_path: Path, s3_bucket: Callable[[str], str]) -> Place:
    if request.param == "local":
        (tmp_path / "file").touch()
        return Place(str(tmp_path / "root"), EngineConfig(), str(tmp_path / "file" / "below"))
    endpoint = request.getfixturevalue(f"{request.param}_endpoint")
    config = EngineConfig(s3_endpoint_url=endpoint, s3_max_attempts=5)
    bucket = s3_bucket(endpoint)
    return Place(f"s3://{bucket}/some/prefix", config, f"s3://{bucket}-missing/prefix")


@pytest.fixture
def storage(place: Place) -> Storage:
    return place.open()


def some_bytes(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)  # noqa: S311


def read_all(storage: Storage, key: str) -> bytes:
    return storage.read_range(key, 0, storage.stat(key).size_bytes)


def put_part(storage: Storage, key: str, data: bytes) -> Part:
    return Part(key=key, size_bytes=storage.write(key, data).size_bytes)


def keys(storage: Storage, prefix: str = "") -> list[str]:
    return [found.key for found in storage.list(prefix)]


# Addresses


def test_the_root_and_its_objects_have_addresses_that_open_them_again(place: Place, storage: Storage) -> None:
    storage.write("a/b.csv", b"data")
    assert storage.url == place.root_url
    assert storage.url_of("a/b.csv") == f"{place.root_url}/a/b.csv" == join_url(place.root_url, "a", "b.csv")
    other, key = open_location(storage.url_of("a/b.csv"), place.config)
    assert read_all(other, key) == b"data"


def test_a_storage_is_opened_without_contacting_anything(place: Place) -> None:
    assert open_storage(place.missing_root_url, place.config).url == place.missing_root_url


@pytest.mark.parametrize("key", ["", "/a", "../a", "a/../../b", "a/./b", "..", "a\0b"])
def test_a_key_cannot_leave_the_root(storage: Storage, key: str) -> None:
    for action in (storage.stat, storage.url_of, lambda k: storage.write(k, b""), lambda k: storage.delete([k])):
        with pytest.raises(StorageAccessError):
            action(key)
    with pytest.raises(StorageAccessError):
        storage.read_range(key, 0, 1)
    with pytest.raises(StorageAccessError):
        storage.concatenate(key, [b"data"])
    with pytest.raises(StorageAccessError), storage.open_writer(key):
        pass


# Whole objects


def test_what_is_written_is_read_back_with_its_size_and_etag(storage: Storage) -> None:
    data = some_bytes(100_000)
    written = storage.write("a/b/part.csv", data)
    assert written == storage.stat("a/b/part.csv")
    assert (written.key, written.size_bytes) == ("a/b/part.csv", len(data))
    assert read_all(storage, "a/b/part.csv") == data


def test_etags_carry_no_quotes(storage: Storage) -> None:
    assert '"' not in storage.write("a", b"data").etag
    assert '"' not in next(storage.list("")).etag


def test_an_empty_object_is_an_object(storage: Storage) -> None:
    written = storage.write("empty", b"")
    assert storage.stat("empty") == written
    assert written.size_bytes == 0
    assert storage.read_range("empty", 0, 0, etag=written.etag) == b""
    assert list(storage.read_blocks("empty", 0, 0, block_bytes=10, etag=written.etag)) == []


@pytest.mark.parametrize("key", ["with space.csv", "Zürich/naïve — 数据.csv", "a+b&c=d%20?#.csv", "-- ;'\"$()"])
def test_any_ordinary_character_may_stand_in_a_key(storage: Storage, key: str) -> None:
    storage.write(key, b"data")
    assert keys(storage) == [key]
    assert read_all(storage, key) == b"data"
    storage.delete([key])
    assert keys(storage) == []


def test_writing_again_replaces_the_object_and_its_etag(storage: Storage) -> None:
    first = storage.write("a", b"one")
    second = storage.write("a", b"two")
    assert first.etag != second.etag
    assert read_all(storage, "a") == b"two"


def test_writing_the_same_again_is_harmless(storage: Storage) -> None:
    storage.write("a", b"one")
    storage.write("a", b"one")
    assert read_all(storage, "a") == b"one"
    assert keys(storage) == ["a"]


def test_readers_see_the_old_object_or_the_new_one_while_it_is_rewritten(storage: Storage) -> None:
    versions = [bytes([number]) * 300_000 for number in range(4)]
    storage.write("a", versions[0])
    stop = threading.Event()

    def rewrite() -> None:
        number = 0
        while not stop.is_set():
            number = (number + 1) % len(versions)
            storage.write("a", versions[number])

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for _ in range(30):
            assert storage.read_range("a", 0, 300_000) in versions
    finally:
        stop.set()
        writer.join()


# Ranges and versions


def test_a_range_is_half_open(storage: Storage) -> None:
    storage.write("a", b"0123456789")
    for start, end in [(0, 10), (0, 1), (9, 10), (3, 7), (4, 4), (10, 10)]:
        assert storage.read_range("a", start, end) == b"0123456789"[start:end]


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (5, 4)])
def test_a_range_that_is_none_is_a_mistake_of_the_caller(storage: Storage, start: int, end: int) -> None:
    storage.write("a", b"0123456789")
    with pytest.raises(ValueError, match="range"):
        storage.read_range("a", start, end)
    with pytest.raises(ValueError, match="range"):
        list(storage.read_blocks("a", start, end, block_bytes=3))


@pytest.mark.parametrize(("start", "end"), [(0, 11), (5, 12), (10, 11), (20, 30), (11, 11)])
def test_a_range_beyond_the_end_means_that_the_source_changed(storage: Storage, start: int, end: int) -> None:
    etag = storage.write("a", b"0123456789").etag
    for pinned in (etag, None):
        with pytest.raises(SourceChangedError):
            storage.read_range("a", start, end, etag=pinned)
        with pytest.raises(SourceChangedError):
            list(storage.read_blocks("a", start, end, block_bytes=100, etag=pinned))


def test_a_range_is_read_only_from_the_pinned_version(storage: Storage) -> None:
    old = storage.write("a", b"old data")
    assert storage.read_range("a", 0, 3, etag=old.etag) == b"old"
    new = storage.write("a", b"new data")
    for start, end in [(0, 3), (0, 0), (0, 8)]:
        with pytest.raises(SourceChangedError, match="planned"):
            storage.read_range("a", start, end, etag=old.etag)
    assert storage.read_range("a", 0, 3, etag=new.etag) == b"new"


def test_blocks_are_the_range_in_order(storage: Storage) -> None:
    data = some_bytes(1_000_003)
    etag = storage.write("a", data).etag
    for start, end, block_bytes in [(0, len(data), 100_000), (7, 900_001, 65_536), (5, 6, 10), (0, 10, 10)]:
        for pinned in (etag, None):
            blocks = list(storage.read_blocks("a", start, end, block_bytes=block_bytes, etag=pinned))
            assert b"".join(blocks) == data[start:end]
            assert all(0 < len(block) <= block_bytes for block in blocks)


def test_blocks_are_never_a_mixture_of_versions(storage: Storage) -> None:
    old, new = b"o" * 500_000, b"n" * 500_000
    etag = storage.write("a", old).etag
    for pinned in (etag, None):
        storage.write("a", old)
        blocks = storage.read_blocks("a", 0, len(old), block_bytes=50_000, etag=pinned and storage.stat("a").etag)
        read = next(blocks)
        storage.write("a", new)
        # A folder keeps the old file open; S3 notices. Neither goes on with the new bytes.
        try:
            read += b"".join(blocks)
        except SourceChangedError:
            continue
        assert read == old


def test_blocks_of_another_version_are_refused(storage: Storage) -> None:
    old = storage.write("a", b"o" * 1000)
    storage.write("a", b"n" * 1000)
    with pytest.raises(SourceChangedError):
        next(iter(storage.read_blocks("a", 0, 1000, block_bytes=100, etag=old.etag)))


def test_closing_the_blocks_early_leaves_no_thread_and_no_open_file(storage: Storage) -> None:
    storage.write("a", some_bytes(1_000_000))
    storage.stat("a")
    threads_before = set(threading.enumerate())
    files_before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    for _ in range(5):
        blocks = storage.read_blocks("a", 0, 1_000_000, block_bytes=100_000)
        next(blocks)
        blocks.close()  # type: ignore[attr-defined]
    assert set(threading.enumerate()) == threads_before
    if files_before is not None:
        # The client's pool keeps a few idle connections, which do not grow with the number of reads.
        assert len(os.listdir("/proc/self/fd")) <= files_before + 4


def test_what_is_missing_is_told_as_missing(storage: Storage) -> None:
    storage.write("folder/object", b"data")
    for key in ("missing", "folder/missing", "folder", "missing/deep/below"):
        with pytest.raises(ObjectMissingError, match=key):
            storage.stat(key)
        for end in (0, 1):
            with pytest.raises(ObjectMissingError):
                storage.read_range(key, 0, end)
            with pytest.raises(ObjectMissingError):
                list(storage.read_blocks(key, 0, end, block_bytes=10))
        with pytest.raises(ObjectMissingError):
            storage.read_range(key, 0, 1, etag="abc")


def test_what_is_missing_in_a_missing_root_is_missing(place: Place) -> None:
    storage = open_storage(place.missing_root_url, place.config)
    with pytest.raises(ObjectMissingError):
        storage.stat("a")
    with pytest.raises(ObjectMissingError):
        storage.read_range("a", 0, 1)


# Streaming


@pytest.mark.parametrize("size", [0, 1, 100_000, 8 * MIB, 8 * MIB + 1, 19 * MIB])
def test_a_written_stream_appears_whole_at_the_end(storage: Storage, size: int) -> None:
    data = some_bytes(size)
    with storage.open_writer("deep/er/file.bin") as writer:
        for start in range(0, size, 700_001):
            piece = data[start : start + 700_001]
            assert writer.write(piece) == len(piece)
        assert keys(storage) == []
        with pytest.raises(ObjectMissingError):
            storage.stat("deep/er/file.bin")
    assert read_all(storage, "deep/er/file.bin") == data
    assert keys(storage) == ["deep/er/file.bin"]


def test_one_large_write_to_a_stream_is_taken_whole(storage: Storage) -> None:
    data = some_bytes(17 * MIB)
    with storage.open_writer("a") as writer:
        assert writer.write(data) == len(data)
    assert read_all(storage, "a") == data


@pytest.mark.parametrize("size", [0, 1000, 17 * MIB])
def test_an_error_inside_a_stream_leaves_nothing(storage: Storage, size: int) -> None:
    def fail() -> None:
        with storage.open_writer("a") as writer:
            writer.write(bytes(size))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert keys(storage) == []


def test_an_error_inside_a_stream_keeps_the_old_object(storage: Storage) -> None:
    old = storage.write("a", b"old")

    def fail() -> None:
        with storage.open_writer("a") as writer:
            writer.write(b"new")
            raise OSError("the reader of the source failed")

    with pytest.raises(OSError, match="the reader"):
        fail()
    assert storage.stat("a") == old


def test_a_stream_replaces_the_old_object(storage: Storage) -> None:
    old = storage.write("a", b"old")
    with storage.open_writer("a") as writer:
        writer.write(b"new")
    assert read_all(storage, "a") == b"new"
    assert storage.stat("a").etag != old.etag


# Joining

Recipe = list[bytes | int]
"""Inline bytes, or the size of a stored part."""

RECIPES: dict[str, Recipe] = {
    "nothing": [],
    "empty bytes": [b"", b""],
    "inline bytes only": [b"head\r\n", b"row\r\n" * 10, b""],
    "one small part": [100],
    "header and small parts": [b"a,b\r\n", *range(1, 60)],
    "small parts above one piece": [b"a,b\r\n", *[900_001] * 11],
    "one large part": [6 * MIB],
    "header and large parts": [b"a,b\r\n", 6 * MIB, 12 * MIB, 11 * MIB],
    "large parts alone": [5 * MIB, 6 * MIB + 1],
    "mixture": [b"a,b\r\n", 1000, 12 * MIB, 2 * MIB, 3 * MIB, 6 * MIB, b"middle", 0, 10 * MIB + 7, 1],
    "much inline": [bytes(9 * MIB), 5 * MIB, b"tail"],
    "empty parts": [0, b"x", 0],
}


@pytest.mark.parametrize("name", RECIPES)
def test_joined_segments_equal_a_join_in_memory(storage: Storage, name: str) -> None:
    segments: list[bytes | Part] = []
    expected = b""
    for number, ingredient in enumerate(RECIPES[name]):
        if isinstance(ingredient, bytes):
            segments.append(ingredient)
            expected += ingredient
        else:
            data = some_bytes(ingredient, seed=number)
            segments.append(put_part(storage, f"parts/{number:03} ü+.csv", data))
            expected += data
    parts_before = list(storage.list("parts/"))
    joined = storage.concatenate("results/all.csv", segments)
    assert joined == storage.stat("results/all.csv")
    assert joined.size_bytes == len(expected)
    assert read_all(storage, "results/all.csv") == expected
    assert list(storage.list("parts/")) == parts_before


def test_joining_again_gives_the_same_bytes(storage: Storage) -> None:
    segments: list[bytes | Part] = [
        b"head",
        put_part(storage, "p1", some_bytes(6 * MIB)),
        put_part(storage, "p2", b"tail"),
    ]
    storage.concatenate("all", [b"an older one"])
    for _ in range(2):
        storage.concatenate("all", segments)
        assert read_all(storage, "all") == b"head" + some_bytes(6 * MIB) + b"tail"
    assert keys(storage) == ["all", "p1", "p2"]


MANY = [bytes([number % 256]) * number for number in range(2_500)]


@pytest.mark.parametrize("pieces", [[], [b""], [b"a"], [b"a", b"", b"bc"], MANY])
def test_an_object_may_come_in_pieces(storage: Storage, pieces: list[bytes]) -> None:
    written = storage.write("a", pieces)
    assert written.size_bytes == sum(map(len, pieces))
    assert storage.stat("a").etag == written.etag
    assert read_all(storage, "a") == b"".join(pieces)


def test_a_draft_grows_unseen_and_becomes_the_object(storage: Storage) -> None:
    draft = storage.draft("results/all.csv", "parts/all.draft")
    if draft is None:  # S3: nothing may be there of it
        assert keys(storage) == []
        return
    first, second = put_part(storage, "parts/1", some_bytes(6 * MIB)), put_part(storage, "parts/2", b"tail")
    for segment in (b"head", first, second):
        draft.append(segment)
        draft.start_writeback()
    assert draft.segments == [b"head", first, second]
    assert keys(storage) == ["parts/1", "parts/2", "parts/all.draft"], "a killed process would leave it to be deleted"
    assert draft.commit() == storage.stat("results/all.csv")
    draft.discard()
    assert read_all(storage, "results/all.csv") == b"head" + some_bytes(6 * MIB) + b"tail"
    assert keys(storage) == ["parts/1", "parts/2", "results/all.csv"]


def test_a_discarded_draft_leaves_nothing_and_refuses_a_part_of_another_size(storage: Storage) -> None:
    draft = storage.draft("all", "all.draft")
    if draft is None:
        return
    part = put_part(storage, "p", b"row")
    draft.append(part)
    with pytest.raises(StorageError, match="was written with 4"):
        draft.append(replace(part, size_bytes=4))
    assert draft.segments == [part]
    draft.discard()
    draft.discard()
    assert keys(storage) == ["p"]


def test_the_same_part_may_stand_in_a_join_twice(storage: Storage) -> None:
    part = put_part(storage, "p", b"row\r\n")
    storage.concatenate("all", [part, b"-", part])
    assert read_all(storage, "all") == b"row\r\n-row\r\n"


@pytest.mark.parametrize("size", [10, 6 * MIB])
def test_a_missing_part_leaves_no_joined_object(storage: Storage, size: int) -> None:
    present = put_part(storage, "parts/1", some_bytes(6 * MIB))
    with pytest.raises(ObjectMissingError, match="parts/2"):
        storage.concatenate("all", [present, Part(key="parts/2", size_bytes=size)])
    assert keys(storage) == ["parts/1"]


@pytest.mark.parametrize("size", [10, 6 * MIB])
@pytest.mark.parametrize("excess", [-1, 1])
@pytest.mark.parametrize("head", [b"", b"head"])
def test_a_part_of_another_size_than_recorded_is_never_joined(
    storage: Storage, size: int, excess: int, head: bytes
) -> None:
    part = put_part(storage, "parts/1", some_bytes(size))
    with pytest.raises(StorageError) as raised:
        storage.concatenate("all", [head, replace(part, size_bytes=size + excess)])
    assert not raised.value.transient
    assert keys(storage) == ["parts/1"]


# Listing and deleting


def test_a_listing_is_sorted_by_key_and_holds_what_begins_with_the_prefix(storage: Storage) -> None:
    names = ["b", "a/2", "a/10", "a/1", "a-1", "a.b/x", "ab", "é/1", "a/sub/1", "c/d/e/f", "B", "a0"]
    for name in names:
        storage.write(name, name.encode())
    assert keys(storage) == sorted(names)
    assert keys(storage, "a") == sorted(name for name in names if name.startswith("a"))
    assert keys(storage, "a/") == ["a/1", "a/10", "a/2", "a/sub/1"]
    assert keys(storage, "a/1") == ["a/1", "a/10"]
    assert keys(storage, "c/d/") == keys(storage, "c/d/e") == ["c/d/e/f"]
    assert keys(storage, "nothing/") == keys(storage, "a/1/") == keys(storage, "B/x") == []
    for found in storage.list(""):
        assert found == storage.stat(found.key)


def test_a_listing_of_an_empty_root_is_empty(storage: Storage) -> None:
    assert keys(storage) == []


def test_a_long_listing_and_a_long_delete_are_complete(storage: Storage) -> None:
    names = [f"parts/{number:05}" for number in range(1003)]
    for name in names:
        storage.write(name, b"")
    storage.write("other", b"")
    assert keys(storage, "parts/") == names
    storage.delete(iter([*names, "parts/never-there"]))
    assert keys(storage) == ["other"]


def test_deleting_what_is_gone_is_no_error(storage: Storage) -> None:
    storage.write("a/b", b"data")
    storage.delete([])
    storage.delete(["missing"])
    storage.delete(["missing", "a/b", "missing/too", "a/b"])
    storage.delete(["a/b"])
    assert keys(storage) == []
    storage.write("a/b", b"again")
    assert keys(storage) == ["a/b"]


# Refusals


def test_a_writable_root_is_proven_and_left_as_it_was(storage: Storage) -> None:
    storage.check_writable()
    assert keys(storage) == []


def test_a_root_that_refuses_writes_is_told_with_its_name(place: Place) -> None:
    storage = open_storage(place.missing_root_url, place.config)
    name = "file" if "://" not in place.missing_root_url else place.missing_root_url.split("/")[2]
    with pytest.raises(OutputNotWritableError, match=name):
        storage.check_writable()
    with pytest.raises(OutputNotWritableError, match=name):
        storage.write("a", b"data")
    with pytest.raises(OutputNotWritableError, match=name):
        storage.concatenate("a", [b"data"])
    with pytest.raises(OutputNotWritableError, match=name), storage.open_writer("a") as writer:
        writer.write(bytes(9 * MIB))


def test_an_endpoint_where_nobody_listens_is_told_within_seconds() -> None:
    config = EngineConfig(s3_endpoint_url=f"http://127.0.0.1:{free_port()}")
    storage, key = open_location("s3://some-bucket/a.csv", config, fail_fast=True)
    for action in (
        lambda: storage.stat(key),
        lambda: storage.check_writable(),
        lambda: storage.read_range(key, 0, 1),
        lambda: list(storage.list("")),
    ):
        with pytest.raises(StorageUnavailableError, match=r"127\.0\.0\.1.*some-bucket"):
            action()


# What killed writers leave


def leave_unfinished(place: Place, s3_client: Callable[[str], Any], key: str) -> None:
    """As a process does that is killed while it writes."""
    if not place.root_url.startswith("s3://"):
        folder = Path(place.root_url, key).parent
        folder.mkdir(parents=True, exist_ok=True)
        (folder / temporary_name()).write_bytes(b"half")
        return
    bucket, _, prefix = place.root_url.removeprefix("s3://").partition("/")
    client = s3_client(place.config.s3_endpoint_url or "")
    upload = client.create_multipart_upload(Bucket=bucket, Key=f"{prefix}/{key}")["UploadId"]
    client.upload_part(Bucket=bucket, Key=f"{prefix}/{key}", UploadId=upload, PartNumber=1, Body=b"half")


def test_what_killed_writers_left_is_found_and_removed(
    place: Place, storage: Storage, s3_client: Callable[[str], Any]
) -> None:
    storage.write("in/whole.csv", b"whole")
    for key in ("in/a.csv", "in/deep/b.csv", "out/c.csv"):
        leave_unfinished(place, s3_client, key)

    def remove(prefix: str, age_seconds: float = -3600, **more: Any) -> list[str]:
        found = storage.remove_unfinished(prefix, older_than_seconds=age_seconds, **more)
        return sorted({key.rpartition("/")[0] for key in found})

    hundred_years = 100 * 366 * 24 * 3600
    assert remove("in/", hundred_years) == []
    assert remove("in/", dry_run=True) == ["in", "in/deep"]
    assert remove("in/", keep=lambda key: key.startswith("in/deep/")) == ["in"]
    assert remove("in/") == ["in/deep"]
    assert remove("in/") == []
    assert remove("nothing/") == []
    assert remove("") == ["out"]
    assert [info.key for info in storage.list("")] == ["in/whole.csv"]
