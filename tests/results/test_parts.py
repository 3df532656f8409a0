import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

import engine.results.parts
from engine.handlers import RowAdapter
from engine.model import Part
from engine.native import RowTexts, loops
from engine.results.merge import merge_csv
from engine.results.parts import SLICE_LINES, PartKeys, PartWriter
from engine.storage.protocol import Writer
from tests.results.memory_storage import MemoryStorage

NAMES = st.from_regex(r"[A-Za-z0-9_-]+", fullmatch=True)
FENCE = "f00"
KEYS = PartKeys(job_id="job-1", chunk_index=7, attempt=2, token=FENCE)


@given(job_id=NAMES, chunk_index=st.integers(0, 10**12), attempt=st.integers(1, 10**6), token=NAMES)
def test_a_part_key_is_parsed_back_to_what_it_was_built_from(
    job_id: str, chunk_index: int, attempt: int, token: str
) -> None:
    keys = PartKeys(job_id=job_id, chunk_index=chunk_index, attempt=attempt, token=token)
    assert PartKeys.parse(keys.key("success")) == (keys, "success")
    assert PartKeys.parse(keys.key("failed")) == (keys, "failed")
    assert keys.key("failed").startswith(PartKeys.chunk_prefix(job_id, chunk_index))
    assert keys.key("failed").startswith(PartKeys.job_prefix(job_id))


def test_the_form_of_a_part_key_is_fixed() -> None:
    assert KEYS.key("success") == "parts/job-1/00000007/2-f00.success.csv"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "parts/job/7/1-f.success.csv",
        "parts/job/000000007/1-f.success.csv",
        "parts/job/00000007/0-f.success.csv",
        "parts/job/00000007/01-f.success.csv",
        "parts/job/00000007/1-f.other.csv",
        "parts/a/b/00000007/1-f.failed.csv",
        "parts/job/00000007/1-f.failed.csv\n",
        "parts/job/00000007/1-f.failed.csv.tmp",
    ],
)
def test_other_keys_are_no_part_keys(key: str) -> None:
    with pytest.raises(ValueError, match="is not the key of a part"):
        PartKeys.parse(key)


@pytest.mark.parametrize("name", ["", "a/b", "..", "a.b", "ä", "a\n"])
def test_names_that_could_leave_their_place_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be in the key"):
        PartKeys(job_id=name, chunk_index=0, attempt=1, token=FENCE)
    with pytest.raises(ValueError, match="cannot be in the key"):
        PartKeys(job_id="j", chunk_index=0, attempt=1, token=name)


def test_a_part_without_rows_is_none_and_no_object() -> None:
    storage = MemoryStorage()
    with PartWriter(storage, "k") as writer:
        writer.add_lines([])
        writer.add_bytes(b"")
        assert writer.finish() is None
    assert storage.objects == {}


def test_a_small_part_is_one_object_written_whole() -> None:
    storage = MemoryStorage()
    with PartWriter(storage, "k") as writer:
        writer.add("a,1")
        writer.add_lines(["b,é", "c,3"])
        writer.add("d,4")
        writer.add_bytes(b"e,5\r\n")
        part = writer.finish()
    assert storage.objects == {"k": "a,1\r\nb,é\r\nc,3\r\nd,4\r\ne,5\r\n".encode()}
    stored = storage.objects["k"]
    assert part == Part(key="k", size_bytes=len(stored), crc32=zlib.crc32(stored))
    assert storage.written_whole == ["k"]


@given(
    batches=st.lists(st.lists(st.text("ab,é", max_size=6), max_size=5), max_size=8),
    max_held_bytes=st.integers(0, 30),
    one_by_one=st.booleans(),
)
def test_the_bytes_do_not_depend_on_how_lines_were_added(
    batches: list[list[str]], max_held_bytes: int, one_by_one: bool
) -> None:
    storage = MemoryStorage()
    with PartWriter(storage, "k", max_held_bytes=max_held_bytes) as writer:
        for batch in batches:
            if one_by_one:
                for line in batch:
                    writer.add(line)
            else:
                writer.add_lines(batch)
        part = writer.finish()
    expected = "".join(line + "\r\n" for batch in batches for line in batch).encode()
    assert storage.objects.get("k", b"") == expected
    assert (part.size_bytes if part else 0) == len(expected)
    assert len(storage.written_whole) + len(storage.streamed) == bool(expected)


@given(
    pieces=st.lists(
        st.tuples(st.sampled_from(["add", "lines", "bytes", "loop"]), st.text("ab,é", max_size=6)), max_size=9
    ),
    max_held_bytes=st.integers(0, 30),
    most_grown_bytes=st.integers(1, 40),
)
def test_what_a_compiled_loop_puts_stands_where_it_was_put(
    pieces: list[tuple[str, str]], max_held_bytes: int, most_grown_bytes: int
) -> None:
    assert loops is not None
    storage = MemoryStorage()
    adapter = RowAdapter(lambda *_: {"ok": True}, "job", {}, result_json=lambda _: "{}")
    other = loops.new_lines(0)
    expected = b""
    with pytest.MonkeyPatch.context() as patch, PartWriter(storage, "k", max_held_bytes=max_held_bytes) as writer:
        patch.setattr(engine.results.parts, "_MOST_GROWN_BYTES", most_grown_bytes)
        for how, text in pieces:
            line = f"<{text}>".replace(",", ";")
            if how == "add":
                writer.add(line)
            elif how == "lines":
                writer.add_lines([line, line])
                expected += f"{line}\r\n".encode()
            elif how == "bytes":
                writer.add_bytes(f"{line}\r\n".encode())
            else:
                texts = RowTexts(line.encode(), struct.pack("n", len(line.encode())))
                adapter.run_to_lines(1, [[line]], texts, success=writer.lines(5), failed=other)
                writer.took_lines()
                line += ",{}"
            expected += f"{line}\r\n".encode()
        part = writer.finish()
    assert storage.objects.get("k", b"") == expected
    assert part == (Part(key="k", size_bytes=len(expected), crc32=zlib.crc32(expected)) if expected else None)


class _Nowhere:
    def write(self, data: bytes, /) -> int:
        return len(data)


def test_a_large_part_is_streamed_in_bounded_memory() -> None:
    class Discard(MemoryStorage):
        @contextmanager
        def open_writer(self, key: str) -> Iterator[Writer]:
            self.streamed.append(key)
            yield _Nowhere()

    storage = Discard()
    line = "x" * 100
    tracemalloc.start()
    with PartWriter(storage, "k", max_held_bytes=1_000_000) as writer:
        for _ in range(50):
            writer.add_lines([line] * SLICE_LINES)
        part = writer.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    crc32 = zlib.crc32((line.encode() + b"\r\n") * 50 * SLICE_LINES)
    assert part == Part(key="k", size_bytes=50 * SLICE_LINES * 102, crc32=crc32)
    assert storage.streamed == ["k"]
    assert peak < 3_000_000


@pytest.mark.parametrize("max_held_bytes", [0, 1_000])
def test_without_finish_nothing_appears(max_held_bytes: int) -> None:
    storage = MemoryStorage()
    with PartWriter(storage, "k", max_held_bytes=max_held_bytes) as writer:
        writer.add_lines(["a"])
    assert storage.objects == {}
    with suppress(KeyboardInterrupt), PartWriter(storage, "k", max_held_bytes=max_held_bytes) as writer:
        writer.add_lines(["a"])
        raise KeyboardInterrupt
    assert storage.objects == {}


def test_a_storage_that_fails_midway_leaves_nothing_and_its_error_is_seen() -> None:
    storage = MemoryStorage()
    storage.fail_writes_after_bytes = 2
    with pytest.raises(OSError, match="disk is full"), PartWriter(storage, "k", max_held_bytes=0) as writer:
        writer.add_lines(["abc"])
    assert storage.objects == {}


def test_writing_a_part_again_gives_the_same_object() -> None:
    storage = MemoryStorage()
    for _ in range(2):
        with PartWriter(storage, KEYS.key("failed")) as writer:
            writer.add("a,b")
            writer.finish()
    assert storage.objects == {KEYS.key("failed"): b"a,b\r\n"}


def test_merging_joins_the_header_and_the_parts_in_order() -> None:
    storage = MemoryStorage()
    parts = []
    for name in ("one", "two"):
        with PartWriter(storage, name) as writer:
            writer.add(name)
            parts.append(writer.finish())
    info = merge_csv(storage, "failed.csv", b"import_error\r\n", [part for part in parts if part])
    assert storage.objects["failed.csv"] == b"import_error\r\none\r\ntwo\r\n"
    assert info == storage.stat("failed.csv")
