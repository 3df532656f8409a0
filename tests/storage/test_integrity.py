"""Bytes that are changed on the way to S3 and back are noticed: never is a wrong row in a result file."""

from __future__ import annotations

import csv
import hashlib
import io
import random
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import openpyxl
import pytest

import engine
from engine.chunk_runner import ChunkRunner
from engine.config import EngineConfig
from engine.coordinator import Coordinator
from engine.errors import ObjectMissingError, StorageError
from engine.ledger import SqliteLedger
from engine.model import Part
from engine.progress import MemoryProgress
from engine.storage import multipart, s3_integrity, s3_upload
from engine.storage.part_checks import read_part
from engine.storage.s3 import S3Storage
from tests.storage.faulty_proxy import Faults, faulty_proxy

DATA = random.Random(2).randbytes(300_000)  # noqa: S311
LARGE = DATA * 4
ROWS = 400
EVERY = range(1, 1_000)


@pytest.fixture(params=["moto", "juicefs"])
def endpoint(request: pytest.FixtureRequest) -> str:
    """Moto checks no signature: that a body has been changed says its ETag alone, where the gateway refuses it."""
    return str(request.getfixturevalue(f"{request.param}_endpoint"))


@pytest.fixture
def bucket(endpoint: str, s3_bucket: Callable[[str], str]) -> str:
    return s3_bucket(endpoint)


@pytest.fixture
def storage(endpoint: str, bucket: str) -> S3Storage:
    return S3Storage(bucket, config=EngineConfig(s3_endpoint_url=endpoint))


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def shaky_url(endpoint: str, faults: Faults) -> Iterator[str]:
    with faulty_proxy(endpoint, faults) as url:
        yield url


@pytest.fixture
def shaky(shaky_url: str, bucket: str) -> S3Storage:
    """The same objects, over a way that changes bytes."""
    return S3Storage(bucket, config=EngineConfig(s3_endpoint_url=shaky_url, s3_max_attempts=2))


@pytest.fixture
def tried(shaky: S3Storage, faults: Faults) -> S3Storage:
    """The same, once the process knows what kind of server it is: requests counted from here on are the test's."""
    shaky.write("first", LARGE)
    faults.carried.clear()
    return shaky


def part_of(key: str, data: bytes) -> Part:
    return Part(key=key, size_bytes=len(data), crc32=zlib.crc32(data))


@pytest.mark.parametrize("data", [DATA, LARGE], ids=["small", "large"])
def test_a_body_that_is_changed_on_the_way_is_sent_again(
    storage: S3Storage, tried: S3Storage, faults: Faults, data: bytes
) -> None:
    faults.changed = {"PUT": {1, 2}}
    tried.write("a", data)
    assert storage.read_range("a", 0, len(data)) == data
    assert faults.carried["PUT"] == 3


@pytest.mark.parametrize("data", [DATA, LARGE], ids=["small", "large"])
def test_a_body_that_is_always_changed_is_refused_and_leaves_no_object(
    storage: S3Storage, shaky: S3Storage, faults: Faults, data: bytes
) -> None:
    faults.changed = {"PUT": set(EVERY)}
    with pytest.raises(StorageError, match="never arrived as it was sent"):
        shaky.write("a", data)
    faults.changed = {}
    with pytest.raises(ObjectMissingError):
        storage.stat("a")


def test_a_large_body_gets_the_one_digest_that_its_server_looks_at(
    endpoint: str, storage: S3Storage, monkeypatch: pytest.MonkeyPatch, moto_endpoint: str
) -> None:
    made: list[int] = []
    signed: list[str] = []
    monkeypatch.setattr(s3_integrity, "_refusing", {})
    monkeypatch.setattr(s3_integrity, "_md5", lambda data: made.append(len(data)) or hashlib.md5(data).hexdigest())  # noqa: S324
    storage._client.meta.events.register(
        "before-send.s3.PutObject", lambda request, **_: signed.append(request.headers["X-Amz-Content-SHA256"].decode())
    )
    storage.write("a", LARGE)
    _, of_body = signed  # the first is that of the trial
    if endpoint == moto_endpoint:
        assert (made, of_body) == ([len(LARGE)], "UNSIGNED-PAYLOAD")
    else:
        assert (made, of_body) == ([], hashlib.sha256(LARGE).hexdigest())
    assert [info.key for info in storage.list("")] == ["a"]


def test_pieces_that_are_changed_on_the_way_are_sent_again(
    storage: S3Storage, tried: S3Storage, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 5 * 1024 * 1024
    monkeypatch.setattr(s3_upload, "next_piece_bytes", lambda _written: size)
    faults.changed = {"PUT": {1, 3}}
    data = DATA * 25
    with tried.open_writer("a") as writer:
        writer.write(data)
    assert storage.read_range("a", 0, len(data)) == data
    assert faults.carried["PUT"] == 4


def test_parts_that_the_server_copies_are_those_that_were_sent(
    storage: S3Storage, tried: S3Storage, faults: Faults
) -> None:
    """They are not read again, so that nothing would tell of them later."""
    data = DATA * 18
    assert len(data) > multipart.S3_LIMITS.minimum_piece_bytes
    faults.changed = {"PUT": {1}}
    tried.write("parts/0", data)
    tried.concatenate("all", [part_of("parts/0", data), part_of("parts/0", data)])
    assert "GET" not in faults.carried
    assert storage.read_range("all", 0, 2 * len(data)) == data * 2


def test_a_server_whose_etags_are_no_md5_is_believed(
    storage: S3Storage, shaky_url: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are such: what they keep of encrypted objects, for instance."""
    monkeypatch.setattr(s3_integrity, "_known", {})
    monkeypatch.setattr(s3_integrity, "_md5", lambda data: f"{zlib.crc32(data):032x}")  # and so they seem not to be
    storage.write("a", DATA)
    assert storage.read_range("a", 0, len(DATA)) == DATA
    assert [info.key for info in storage.list("")] == ["a"]


def test_parts_that_are_changed_on_the_way_back_are_read_again(
    storage: S3Storage, shaky: S3Storage, faults: Faults
) -> None:
    pieces = [DATA[:1_000], DATA[1_000:50_000], DATA[50_000:]]
    parts = [part_of(f"parts/{number}", data) for number, data in enumerate(pieces)]
    for part, data in zip(parts, pieces, strict=True):
        storage.write(part.key, data)
    faults.changed = {"GET": {1, 4}}
    shaky.concatenate("all", [b"header\n", *parts])
    assert storage.read_range("all", 0, len(DATA) + 7) == b"header\n" + DATA
    faults.changed = {"GET": set(EVERY)}
    with pytest.raises(StorageError, match="is not the one that was written"):
        shaky.concatenate("none", [b"header\n", *parts])
    with pytest.raises(ObjectMissingError):
        storage.stat("none")


def test_a_slice_of_a_part_is_read_until_two_readings_agree() -> None:
    readings = [b"right", b"wrong", b"other", b"right"]
    piece = multipart.Slice(segment_index=0, start=0, end=5)
    part = Part(key="p", size_bytes=10, crc32=1)
    assert read_part(lambda: readings.pop(0), part, piece) == b"right"
    assert readings == []
    with pytest.raises(StorageError):
        read_part(lambda: random.Random().randbytes(8), part, piece)  # noqa: S311


# Whole jobs


def table(count: int) -> bytes:
    rows = (b"row %d,%s\n" % (n, b"bad" if n % 9 == 0 else b"good") for n in range(1, count + 1))
    return b"name,value\n" + b"".join(rows)


def run(bucket: str, url: str, output_format: str) -> engine.JobReport:
    return engine.run(
        f"s3://{bucket}/in.csv",
        "tests.sample_handlers.by_cell",
        output_dir=f"s3://{bucket}/out",
        ledger=f"sqlite:///{Path.cwd()}/ledger.sqlite3",
        workers=1,
        chunk_size=50,
        output_format=output_format,
        config=EngineConfig(s3_endpoint_url=url, s3_max_attempts=3),
    )


def check_files(storage: S3Storage, output_format: str) -> None:
    """Every row is in its file, as it was in the source, by readers that are not ours."""
    expected = [line.split(",") for line in table(ROWS).decode().splitlines()[1:]]
    for kind, value in (("success", "good"), ("failed", "bad")):
        key = f"out/in.{kind}.{output_format}"
        data = storage.read_range(key, 0, storage.stat(key).size_bytes)
        if output_format == "csv":
            rows = list(csv.reader(data.decode().splitlines()))[1:]
        else:
            sheet = openpyxl.load_workbook(io.BytesIO(data), read_only=True).worksheets[0]
            rows = [[str(cell) for cell in row] for row in sheet.iter_rows(min_row=2, values_only=True)]
        assert [row[:2] for row in rows] == [row for row in expected if row[1] == value]


@pytest.mark.parametrize("output_format", ["csv", "xlsx"])
def test_a_job_whose_chunks_and_parts_are_changed_on_the_way_ends_with_the_right_rows(
    storage: S3Storage,
    bucket: str,
    shaky_url: str,
    faults: Faults,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    output_format: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    storage.write("in.csv", table(ROWS))
    # What is read for the look and the scan is right here, everything after it is wrong the first time.
    looks = count_of_looks(bucket, shaky_url, faults)
    faults.changed_once_after = {"GET": looks, "PUT": 0}
    faults.carried.clear()
    report = run(bucket, shaky_url, output_format)
    assert report.succeeded
    assert (report.counts.success_count, report.counts.failure_count) == (ROWS - ROWS // 9, ROWS // 9)
    check_files(storage, output_format)
    chunks, parts = 8 - 1, 16  # The run looks once less than `inspect` does, so that its first chunk is spared.
    assert len(faults.seen) >= chunks + 2 * parts
    assert faults.carried["GET"] >= looks + 2 * (chunks + parts)


def count_of_looks(bucket: str, url: str, faults: Faults) -> int:
    """How often the source is read before its first chunk is."""
    faults.carried.clear()
    engine.inspect(f"s3://{bucket}/in.csv", config=EngineConfig(s3_endpoint_url=url))
    return faults.carried["GET"]


@pytest.mark.parametrize("first", range(1, 5))
def test_a_source_that_is_read_wrong_once_runs_right_or_fails_and_is_in_no_file(
    storage: S3Storage,
    bucket: str,
    shaky_url: str,
    faults: Faults,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    first: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    storage.write("in.csv", table(ROWS))
    faults.changed = {"GET": {first}}
    try:
        report = run(bucket, shaky_url, "csv")
    except StorageError as error:
        assert "are not those that were scanned" in error.message  # noqa: PT017 - either end is right
    else:
        assert report.succeeded
        check_files(storage, "csv")


def test_a_chunk_that_is_always_read_wrong_fails_the_job_and_is_in_no_file(
    storage: S3Storage, bucket: str, shaky_url: str, faults: Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage.write("in.csv", table(ROWS))
    looks = count_of_looks(bucket, shaky_url, faults)
    faults.carried.clear()
    faults.changed = {"GET": set(range(looks + 1, 1_000))}
    with pytest.raises(StorageError, match="are not those that were scanned"):
        run(bucket, shaky_url, "csv")
    with pytest.raises(ObjectMissingError):
        storage.stat("out/in.success.csv")


def test_a_part_that_was_stored_wrong_fails_the_merge_and_is_in_no_file(
    storage: S3Storage, bucket: str, endpoint: str, tmp_path: Path
) -> None:
    """By a server that checks no bodies, or by a disk."""
    storage.write("in.csv", table(ROWS))
    config, ledger = EngineConfig(s3_endpoint_url=endpoint), SqliteLedger(tmp_path / "ledger.sqlite3")
    coordinator = Coordinator(ledger, MemoryProgress(), config, owner="here")
    options = engine.ImportOptions.from_mapping({"chunk_size": 100})
    job = coordinator.create(f"s3://{bucket}/in.csv", "tests.sample_handlers.by_cell", options, f"s3://{bucket}/out")
    coordinator.plan(job.job_id)
    for index in range(4):
        ChunkRunner(ledger, MemoryProgress(), config, owner="here").run(job.job_id, index)
    key = next(info.key for info in storage.list("out/.rowmill/parts/") if info.key.endswith(".success.csv"))
    data = storage.read_range(key, 0, storage.stat(key).size_bytes)
    storage.write(key, data.replace(b"good", b"evil", 1))
    with pytest.raises(StorageError, match="is not the one that was written"):
        coordinator.finish(job.job_id)
    with pytest.raises(ObjectMissingError):
        storage.stat("out/in.success.csv")
    # As it was written, the job can be resumed to its end.
    storage.write(key, data)
    coordinator.resume(job.job_id)
    assert coordinator.finish(job.job_id)
    ledger.close()
