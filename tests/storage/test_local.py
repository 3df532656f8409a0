"""What only a folder has: paths, links, file modes, left-overs, and the errors of the file system."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.config import EngineConfig
from engine.errors import (
    ObjectMissingError,
    OptionError,
    OutputNotWritableError,
    SourceChangedError,
    StorageAccessError,
    StorageError,
)
from engine.model import Part
from engine.storage import join_url, open_location, open_storage
from engine.storage.local import LocalFolderStorage


@pytest.fixture
def storage(tmp_path: Path) -> LocalFolderStorage:
    return LocalFolderStorage(str(tmp_path / "root"))


def test_a_relative_path_counts_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_bytes(b"data")
    storage, key = open_location("a.csv", EngineConfig())
    monkeypatch.chdir("/")
    assert (storage.url, key) == (str(tmp_path), "a.csv")
    assert storage.read_range(key, 0, 4) == b"data"
    assert open_storage("/x//y/../z/", EngineConfig()).url == "/x/z"


def test_names_are_joined_to_paths_and_cannot_leave_them() -> None:
    assert join_url("/out", "parts", "a/b.csv") == "/out/parts/a/b.csv"
    assert join_url("/out/", "a") == "/out/a"
    assert join_url("/", "a") == "/a"
    assert join_url("/out") == "/out"
    for name in ("..", "/etc", "a/../..", ""):
        with pytest.raises(StorageAccessError):
            join_url("/out", name)


@pytest.mark.parametrize("url", ["ftp://host/a", "https://bucket.s3.amazonaws.com/a.csv", "s3://", "s3:///a"])
def test_an_address_of_another_kind_is_refused(url: str) -> None:
    for opened in (open_storage, open_location):
        with pytest.raises(OptionError, match="s3://"):
            opened(url, EngineConfig())


@pytest.mark.parametrize("key", ["a//b", "a/"])
def test_a_key_with_an_empty_name_is_refused(storage: LocalFolderStorage, key: str) -> None:
    with pytest.raises(StorageAccessError, match="empty name"):
        storage.write(key, b"")


def test_a_folder_is_told_apart_from_a_missing_file(tmp_path: Path) -> None:
    storage, key = open_location(f"{tmp_path}/", EngineConfig())
    for action in (lambda: storage.stat(key), lambda: storage.read_range(key, 0, 1)):
        with pytest.raises(ObjectMissingError, match="is a folder") as raised:
            action()
        assert raised.value.is_folder
    with pytest.raises(ObjectMissingError) as raised:
        storage.stat("missing")
    assert not raised.value.is_folder


def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    storage, key = open_location(str(tmp_path / "pipe"), EngineConfig())
    with pytest.raises(ObjectMissingError, match="regular file"):
        storage.read_range(key, 0, 1)


def test_a_link_to_a_file_is_read_through(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"data")
    (tmp_path / "link").symlink_to("real")
    storage = LocalFolderStorage(str(tmp_path))
    assert storage.stat("link").etag == storage.stat("real").etag
    assert storage.read_range("link", 0, 4) == b"data"
    assert [found.key for found in storage.list("")] == ["link", "real"]


def test_a_link_to_its_own_parent_does_not_make_the_listing_endless(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert [found.key for found in LocalFolderStorage(str(tmp_path)).list("")] == ["a"]


def test_a_change_in_place_is_noticed_between_two_blocks(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"o" * 100)
    storage = LocalFolderStorage(str(tmp_path))
    etag = storage.stat("a").etag
    blocks = storage.read_blocks("a", 0, 100, block_bytes=10, etag=etag)
    assert next(iter(blocks)) == b"o" * 10
    with (tmp_path / "a").open("ab") as file:
        file.write(b"more")
    with pytest.raises(SourceChangedError):
        next(iter(blocks))


def test_a_replacement_of_the_same_size_and_time_has_another_etag(tmp_path: Path) -> None:
    storage = LocalFolderStorage(str(tmp_path))
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"two")
    for name in "ab":
        os.utime(tmp_path / name, ns=(1, 1))
    first = storage.stat("a")
    os.replace(tmp_path / "b", tmp_path / "a")
    assert storage.stat("a").etag != first.etag


def test_files_follow_the_umask_like_any_other(storage: LocalFolderStorage) -> None:
    old = os.umask(0o027)
    try:
        storage.write("a", b"")
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(storage.url_of("a")).st_mode) == 0o640


def test_what_a_killed_process_left_is_recognised_and_never_listed(storage: LocalFolderStorage) -> None:
    storage.write("folder/a", b"data")
    left_over: list[str] = []

    def die() -> None:
        with storage.open_writer("folder/b") as writer:
            writer.write(b"half")
            left_over.extend(set(os.listdir(os.path.join(storage.url, "folder"))) - {"a"})
            assert [found.key for found in storage.list("")] == ["folder/a"]
            raise SystemExit

    with pytest.raises(SystemExit):
        die()
    (name,) = left_over
    assert name.startswith(".rowmill-")
    assert name.endswith(".partial")
    assert os.listdir(os.path.join(storage.url, "folder")) == ["a"]


def test_deleting_removes_emptied_folders_but_never_the_root(storage: LocalFolderStorage) -> None:
    storage.write("a/b/c", b"")
    storage.write("a/d", b"")
    storage.delete(["a/b/c"])
    assert sorted(os.listdir(os.path.join(storage.url, "a"))) == ["d"]
    storage.delete(["a/d"])
    assert os.listdir(storage.url) == []


def test_writers_and_deleters_of_one_folder_do_not_disturb_each_other(storage: LocalFolderStorage) -> None:
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(200):
                storage.write(f"folder/deep/{number}", b"data")
                storage.delete([f"folder/deep/{number}"])
        except BaseException as error:  # noqa: BLE001 - carried to the main thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (errno.ENOSPC, "no space left"),
        (errno.EDQUOT, "no space left"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "no write permission"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_refused_write_names_the_folder_the_reason_and_a_remedy(
    storage: LocalFolderStorage, monkeypatch: pytest.MonkeyPatch, code: int, says: str
) -> None:
    part = Part(key="part", size_bytes=storage.write("part", b"data").size_bytes)

    def refuse(*_: object, **__: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "write", refuse)
    monkeypatch.setattr(os, "writev", refuse)
    monkeypatch.setattr(os, "copy_file_range", refuse, raising=False)
    actions: list[Callable[[], object]] = [
        lambda: storage.write("a", b"data"),
        lambda: storage.concatenate("a", [b"data", part]),
        lambda: storage.concatenate("a", [part]),
    ]
    for action in actions:
        with pytest.raises(OutputNotWritableError, match=says) as raised:
            action()
        assert storage.url in str(raised.value)
        assert "another output folder" in str(raised.value)
    with pytest.raises(OutputNotWritableError, match=says), storage.open_writer("a") as writer:
        writer.write(b"data")
    monkeypatch.undo()
    assert os.listdir(storage.url) == ["part"]


def test_a_folder_where_the_file_should_go_is_told(storage: LocalFolderStorage) -> None:
    storage.write("a/b", b"")
    with pytest.raises(OutputNotWritableError, match="a is a folder there"):
        storage.write("a", b"data")
    assert [found.key for found in storage.list("")] == ["a/b"]


def test_a_file_that_may_not_be_read_is_told(storage: LocalFolderStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    # Simulated, since tests may run as root, whom no mode stops.
    storage.write("a", b"data")

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StorageAccessError, match="read permission"):
        storage.read_range("a", 0, 1)


def test_a_part_of_another_size_than_recorded_is_not_merged(storage: LocalFolderStorage) -> None:
    storage.write("part", b"12345")
    for recorded in (4, 6):
        with pytest.raises(StorageError, match="5 bytes"):
            storage.concatenate("all", [Part(key="part", size_bytes=recorded)])
    assert [found.key for found in storage.list("")] == ["part"]


@pytest.mark.parametrize("code", [errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP])
def test_parts_are_merged_where_the_kernel_cannot_copy(
    storage: LocalFolderStorage, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    data = os.urandom(2_500_000)
    part = Part(key="part", size_bytes=storage.write("part", data).size_bytes)

    def refuse(*_: object, **__: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "copy_file_range", refuse, raising=False)
    storage.concatenate("all", [b"head", part, part, b"tail"])
    assert storage.read_range("all", 0, 5_000_008) == b"head" + data + data + b"tail"


def test_a_copy_that_the_kernel_ends_early_is_finished_by_hand(
    storage: LocalFolderStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = os.urandom(1_000_000)
    part = Part(key="part", size_bytes=storage.write("part", data).size_bytes)
    answers = iter([100_000, 0])

    def copy_some(source: int, target: int, _count: int, *, offset_src: int) -> int:
        count = next(answers)
        return os.write(target, os.pread(source, count, offset_src))

    monkeypatch.setattr(os, "copy_file_range", copy_some, raising=False)
    storage.concatenate("all", [part])
    assert storage.read_range("all", 0, len(data)) == data


@pytest.mark.parametrize("taken", [0, 1, 3, 4, 5, 9])
def test_pieces_that_one_call_does_not_take_are_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    def few(descriptor: int, pieces: list[bytes]) -> int:
        return os.write(descriptor, b"".join(pieces)[:taken])

    monkeypatch.setattr(os, "writev", few)
    LocalFolderStorage(str(tmp_path)).write("a", [b"one", b"", b"two", b"three"])
    assert (tmp_path / "a").read_bytes() == b"onetwothree"


@pytest.mark.parametrize("taken", [1, 3, 64])
def test_no_call_gets_more_than_a_portion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int) -> None:
    """Neither in bytes nor in pieces; whatever a call takes of it."""

    def few(descriptor: int, pieces: list[bytes]) -> int:
        assert 0 < len(b"".join(pieces)) <= 7
        assert len(pieces) <= 3
        return os.write(descriptor, b"".join(pieces)[:taken])

    def all_of(descriptor: int, data: bytes) -> int:
        assert len(data) <= 7
        return write(descriptor, data)

    write = os.write
    monkeypatch.setattr("engine.storage.local_write._PORTION_BYTES", 7)
    monkeypatch.setattr("engine.storage.local_write._PIECES_AT_ONCE", 3)
    monkeypatch.setattr(os, "writev", few)
    monkeypatch.setattr(os, "write", all_of)
    pieces = [b"", b"abcdefghijklmnopqrstu", b"v", b"w", b"", b"x", b"y", b"z0123456", b""]
    storage = LocalFolderStorage(str(tmp_path))
    storage.write("pieces", pieces)
    storage.write("whole", b"".join(pieces))
    with storage.open_writer("stream") as stream:
        for piece in pieces:
            stream.write(piece)
    for name in ("pieces", "whole", "stream"):
        assert (tmp_path / name).read_bytes() == b"".join(pieces)
