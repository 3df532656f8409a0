"""Reading S3 objects: their version, and byte ranges of one version across cut connections."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any

import urllib3.exceptions
from botocore.exceptions import BotoCoreError

from engine.errors import SourceChangedError, StorageError
from engine.storage.s3_errors import S3Place, translated, unavailable

#: Blocks under way while one is being worked on: hides the delay of a request at little memory.
READ_AHEAD_BLOCKS = 2
#: As many where a connection carries less than this. Amazon's carry 85 to 90 MB/s each, by its own guidelines for
#: performance, and a scan takes ten times that; a server that is near has enough of two.
MOST_READ_AHEAD_BLOCKS, _SLOW_BYTES_PER_SECOND = 4, 100_000_000

#: The first answer is read at once, without a copy of what has come (a third of the time of reading). Of the answers
#: that follow a cut one, a cut costs at most this much of what had already come.
_PIECE_BYTES = 256 * 1024

_FIRST_BACKOFF_SECONDS = 0.1
_MAXIMUM_BACKOFF_SECONDS = 10.0

#: What reading a body raises: botocore's own, and what it lets through from below.
_BODY_ERRORS = (BotoCoreError, urllib3.exceptions.HTTPError, OSError)


class ObjectReader:
    """HEADs and ranged GETs of one bucket. Safe for several threads."""

    def __init__(self, client: Any, place: S3Place, *, attempts: int) -> None:
        """Take a client; `attempts` counts the times that a body may be cut within one range."""
        self._client = client
        self._place = place
        self._attempts = attempts

    def read(
        self,
        full_key: str,
        start: int,
        end: int,
        *,
        etag: str | None = None,
        whole_bytes: int | None = None,
        stopped: Event | None = None,
    ) -> bytes:
        """Exactly [start, end), not empty, of one version; a cut body is resumed where it broke off.

        Args:
            full_key: key within the bucket.
            start: first byte.
            end: byte behind the last.
            etag: the only version that is accepted; None: any, but never a mixture.
            whole_bytes: the only size of the whole object that is accepted.
            stopped: ends waiting between two tries.

        Raises:
            ObjectMissingError: no such key.
            SourceChangedError: another version or size, or it ends before `end`.
            StorageUnavailableError: the connection was cut too often, or `stopped` was set.
        """
        stopped = stopped or Event()
        pieces: list[bytes] = []
        position = start
        found_etag = etag
        reason = "it was replaced again and again"
        for attempt in range(self._attempts):
            try:
                found_etag, body = self._get(full_key, position, end, found_etag, whole_bytes)
            except SourceChangedError:
                if etag is not None or found_etag is None:
                    raise
                # Replaced between two tries, and any version will do: the new one from its beginning.
                found_etag, position, pieces = None, start, []
                continue
            reason = "the answer ended early"
            try:
                while position < end and not stopped.is_set():
                    piece = body.read(end - position if attempt == 0 else min(_PIECE_BYTES, end - position))
                    if not piece:
                        break
                    pieces.append(piece)
                    position += len(piece)
            except _BODY_ERRORS as error:
                reason = f"the answer was cut ({type(error).__name__})"
            finally:
                # Gives a connection that was read to its end back to the pool, and closes others.
                body.close()
            if position == end:
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)
            last = attempt == self._attempts - 1
            if stopped.is_set() or (not last and stopped.wait(_backoff_seconds(attempt))):
                reason = "reading was stopped"
                break
        raise unavailable(self._place, full_key, reason)

    def blocks(self, full_key: str, start: int, end: int, *, block_bytes: int, etag: str) -> Iterator[bytes]:
        """[start, end) in order in blocks of `block_bytes`, the next ones already under way.

        Holds `MOST_READ_AHEAD_BLOCKS` + 1 blocks at most. Closing the generator ends its threads.
        """
        if end - start <= block_bytes:
            yield self.read(full_key, start, end, etag=etag)
            return
        stopped = Event()
        starts = iter(range(start, end, block_bytes))
        wanted = READ_AHEAD_BLOCKS

        def fetch(block_start: int) -> bytes:
            nonlocal wanted
            began = time.monotonic()
            block = self.read(full_key, block_start, min(end, block_start + block_bytes), etag=etag, stopped=stopped)
            is_slow = len(block) < _SLOW_BYTES_PER_SECOND * (time.monotonic() - began)
            wanted = MOST_READ_AHEAD_BLOCKS if is_slow else READ_AHEAD_BLOCKS
            return block

        with ThreadPoolExecutor(MOST_READ_AHEAD_BLOCKS, thread_name_prefix="s3-read-ahead") as threads:
            try:
                yield from _in_order(lambda block_start: threads.submit(fetch, block_start), starts, lambda: wanted)
            finally:
                stopped.set()

    def stat(self, full_key: str) -> tuple[int, str]:
        """Size and ETag. Raises ObjectMissingError."""

        def head() -> Any:
            with translated(self._place, full_key):
                return self._client.head_object(Bucket=self._place.bucket, Key=full_key)

        answer = self._with_etag(head, full_key)
        return int(answer["ContentLength"]), plain_etag(answer["ETag"])

    def _with_etag(self, request: Callable[[], Any], full_key: str) -> Any:
        """The answer once it names its version: gateways to file systems do not at the moment of a replacement."""
        for attempt in range(self._attempts):
            answer = request()
            if answer.get("ETag"):
                return answer
            if "Body" in answer:
                answer["Body"].close()
            time.sleep(_backoff_seconds(attempt))
        raise unavailable(self._place, full_key, "the answers have no ETag")

    def _get(self, full_key: str, start: int, end: int, etag: str | None, whole_bytes: int | None) -> tuple[str, Any]:
        """ETag and body of [start, end); the body has exactly this length unless it is cut."""
        condition = {} if etag is None else {"IfMatch": f'"{etag}"'}
        span = f"bytes={start}-{end - 1}"

        def get() -> Any:
            with translated(self._place, full_key):
                return self._client.get_object(Bucket=self._place.bucket, Key=full_key, Range=span, **condition)

        answer = self._with_etag(get, full_key)
        body = answer["Body"]
        try:
            self._check(answer, full_key, start, end, etag)
            # "bytes 0-99/12345"
            found_bytes = answer.get("ContentRange", "").rpartition("/")[2]
            if whole_bytes is not None and found_bytes.isdecimal() and int(found_bytes) != whole_bytes:
                raise SourceChangedError(
                    f"{self._place.url_of(full_key)} has {found_bytes} bytes, not {whole_bytes}.",
                    source=self._place.url_of(full_key),
                    size_bytes=int(found_bytes),
                )
        except BaseException:
            body.close()
            raise
        return plain_etag(answer["ETag"]), body

    def _check(self, answer: Any, full_key: str, start: int, end: int, etag: str | None) -> None:
        url = self._place.url_of(full_key)
        found = plain_etag(answer["ETag"])
        if etag is not None and found != etag:  # a server that ignores If-Match
            raise SourceChangedError(
                f"{url} is not the object that was planned: it was replaced. Start a new import.",
                source=url,
                etag=found,
                expected_etag=etag,
            )
        size_bytes = int(answer["ContentLength"])
        partial = answer["ResponseMetadata"]["HTTPStatusCode"] == 206
        if (not partial and start > 0) or size_bytes > end - start:
            raise StorageError(f"S3 at {self._place.endpoint} ignores byte ranges, which imports need.", source=url)
        if size_bytes < end - start:
            raise SourceChangedError(
                f"{url} ends at byte {start + size_bytes}, before byte {end}: it was cut. Start a new import.",
                source=url,
                size_bytes=start + size_bytes,
                end=end,
            )


def plain_etag(etag: str) -> str:
    """An ETag without its quotes."""
    return etag.strip('"')


def _in_order(
    submit: Callable[[int], Future[bytes]], starts: Iterator[int], wanted: Callable[[], int]
) -> Iterator[bytes]:
    under_way: deque[Future[bytes]] = deque()
    try:
        for block_start in starts:
            under_way.append(submit(block_start))
            while len(under_way) > wanted():
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        for future in under_way:
            future.cancel()


def _backoff_seconds(attempt: int) -> float:
    ceiling = min(_MAXIMUM_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2.0**attempt)
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - spreads clients, guards nothing
