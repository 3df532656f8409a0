"""An object read as a file: what Python's own files give, at any place, of the pinned version only."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import EngineConfig
from engine.errors import SourceChangedError
from engine.storage import ObjectFile, open_location, open_object, open_storage
from tests.readers.strategies import examples

moves = st.one_of(
    st.tuples(st.just("seek"), st.integers(-20, 200), st.sampled_from([os.SEEK_SET, os.SEEK_CUR, os.SEEK_END])),
    st.tuples(st.just("read"), st.integers(-1, 100), st.just(0)),
)


@examples(200)
@given(st.binary(max_size=150), st.lists(moves, max_size=20), st.booleans())
def test_it_reads_as_a_file_in_memory_does(
    tmp_path: Path, data: bytes, moves: list[tuple[str, int, int]], is_buffered: bool
) -> None:
    path = tmp_path / "object"
    path.write_bytes(data)
    storage, key = open_location(str(path), EngineConfig())
    info = storage.stat(key)
    oracle = io.BytesIO(data)
    kind = open_object if is_buffered else ObjectFile
    with kind(storage, key, size_bytes=info.size_bytes, etag=info.etag) as file:
        for name, number, whence in moves:
            if name == "read":
                assert file.read(number) == oracle.read(number)
            elif whence == os.SEEK_SET and number < 0:
                with pytest.raises((OSError, ValueError)):
                    file.seek(number)
            else:
                base = {os.SEEK_SET: 0, os.SEEK_CUR: oracle.tell(), os.SEEK_END: len(data)}[whence]
                if base + number < 0:
                    continue  # BytesIO goes to the start, and a file refuses
                assert file.seek(number, whence) == oracle.seek(number, whence)
            assert file.tell() == oracle.tell()


def test_a_version_other_than_the_pinned_one_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "object"
    path.write_bytes(b"first")
    storage, key = open_location(str(path), EngineConfig())
    info = storage.stat(key)
    path.write_bytes(b"other, and longer")
    with (
        open_object(storage, key, size_bytes=info.size_bytes, etag=info.etag) as file,
        pytest.raises(SourceChangedError),
    ):
        file.read(1)


def test_it_reads_from_s3(moto_endpoint: str, s3_bucket: Callable[[str], str]) -> None:
    storage = open_storage(f"s3://{s3_bucket(moto_endpoint)}", EngineConfig(s3_endpoint_url=moto_endpoint))
    data = os.urandom(700_000)
    info = storage.write("a/object", data)
    with open_object(storage, "a/object", size_bytes=info.size_bytes, etag=info.etag) as file:
        file.seek(-1000, os.SEEK_END)
        assert file.read() == data[-1000:]
        file.seek(0)
        assert file.read() == data
