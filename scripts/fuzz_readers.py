"""Feeds damaged files of every kind to the readers and tells of all that ends in anything but rows or a clear error.

    python scripts/fuzz_readers.py --minutes 3 [--seed 1] [--kinds xlsx,parquet]

Each file is read in a child process, so that a crash or a hang is found as well; what was found is
kept in --keep (default: fuzz-findings), named by kind and seed. At the end stands how much the
memory of the children grew behind their first files.

    python scripts/fuzz_readers.py --coverage --minutes 3 [--kinds csv,ndjson]

lets atheris (from PyPI, to be installed by hand) choose the damage, by which lines of the engine it comes to.
"""

from __future__ import annotations

import argparse
import faulthandler
import gzip
import io
import multiprocessing
import random
import resource
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

#: Seconds of processor that one file of some KiB may take, and MiB that a child may grow by.
MAX_SECONDS, MAX_GROWTH_MIB = 20, 500
#: Files that one child reads.
FILES_PER_CHILD = 200


def make_seeds() -> dict[str, list[bytes]]:
    """Whole files of every kind."""
    import openpyxl
    import pyarrow as pa
    import pyarrow.parquet as pq
    import xlsxwriter
    from backports import zstd

    from tests.staging.excel.xlsb import write_xlsb

    table = "id,name,note\r\n" + "".join(f'{n},"Ünal {n}","a ""b""\nc"\r\n' for n in range(40))
    objects = "".join(f'{{"id": {n}.50, "name": "Ünal", "deep": [1, {{"a": null}}]}}\n' for n in range(20))

    def workbook(write: Callable[[io.BytesIO], None]) -> bytes:
        target = io.BytesIO()
        write(target)
        return target.getvalue()

    def by_xlsxwriter(target: io.BytesIO) -> None:
        with xlsxwriter.Workbook(target, {"in_memory": True}) as book:
            sheet = book.add_worksheet("Data")
            for row in range(20):
                sheet.write_row(row, 0, [f"text {row}", row * 1.5, True])
            sheet.add_table(0, 0, 19, 2)

    def by_tests(target: io.BytesIO) -> None:
        write_xlsb(target, [[f"text {row}", row / 3, row % 2 == 0, "#N/A", None] for row in range(20)])

    def by_openpyxl(target: io.BytesIO) -> None:
        book = openpyxl.Workbook()
        for row in range(20):
            book.active.append([row, "text", None, row / 3])
        book.save(target)

    def by_pyarrow(target: io.BytesIO) -> None:
        columns = {"a": [1, None] * 50, "b": ["x", "yy"] * 50, "c": [[1.5], None] * 50, "d": [{"e": True}] * 100}
        pq.write_table(pa.table(columns), target, row_group_size=30)

    def zipped(target: io.BytesIO) -> None:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("table.csv", table)

    return {
        "csv": [
            table.encode(),
            table.encode("utf-16"),
            table.encode("utf-32-be"),
            table.replace(",", ";").encode("cp1252"),
        ],
        "ndjson": [objects.encode(), objects.encode("utf-16-le")],
        "gzip": [gzip.compress(table.encode()), gzip.compress(objects.encode()) * 2],
        "zstd": [zstd.compress(table.encode()), zstd.compress(table.encode("utf-16"))],
        "zip": [workbook(zipped)],
        "xlsx": [workbook(by_xlsxwriter), workbook(by_openpyxl)],
        "xlsx-parts": [workbook(by_xlsxwriter), workbook(by_openpyxl)],
        "parquet": [workbook(by_pyarrow)],
        **{path.suffix[1:]: [path.read_bytes()] for path in Path("tests").rglob("*.[ox][dl]s")},
        "xlsb": [workbook(by_tests)],
    }


def damaged(data: bytes, generator: random.Random) -> bytes:
    """The file with some of its bytes changed, gone, repeated or moved, or cut."""
    found = bytearray(data)
    for _ in range(generator.choice([1, 1, 2, 4, 16])):
        start = generator.randrange(len(found) + 1)
        size = generator.choice([1, 1, 2, 4, 8, 100])
        match generator.randrange(7):
            case 0:
                found[start : start + size] = generator.randbytes(size)
            case 1:
                found[start : start + 1] = bytes([generator.choice(b'\0\xff\x80{}[]",\n<>&')])
            case 2:
                del found[start : start + size]
            case 3:
                found[start:start] = found[start : start + size] * generator.choice([1, 2, 50])
            case 4:
                found[start : start + 4] = generator.choice([0, 1, 2**31 - 1, 2**32 - 1]).to_bytes(4, "little")
            case 5:
                other = generator.randrange(len(found) + 1)
                found[start : start + size] = found[other : other + size]
            case 6 if generator.randrange(4) == 0:
                del found[start:]
        if not found:
            return b""
    return bytes(found)


def damaged_part(data: bytes, generator: random.Random) -> bytes:
    """An archive, whole, one part of which is damaged: checksums do not give it away."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        chosen = generator.choice(source.namelist())
        for name in source.namelist():
            content = source.read(name)
            archive.writestr(name, damaged(content, generator) if name == chosen else content)
    return target.getvalue()


def make_file(kind: str, seeds: dict[str, list[bytes]], seed: int) -> bytes:
    """The file of a kind and a seed, the same each time."""
    generator = random.Random(f"{kind} {seed}")  # noqa: S311 - data, no secrets
    change = damaged_part if kind == "xlsx-parts" else damaged
    return change(generator.choice(seeds[kind]), generator)


def read_many(kind: str, first_seed: int, keep: Path) -> None:
    """Read files one after the other; in a child process."""
    import engine
    from engine.errors import RowmillError

    seeds = make_seeds()
    faulthandler.enable()
    peak, memory = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        for seed in range(first_seed, first_seed + FILES_PER_CHILD):
            data = make_file(kind, seeds, seed)
            path.write_bytes(data)
            (keep / f"{kind}.running").write_text(str(seed))
            faulthandler.dump_traceback_later(3 * MAX_SECONDS, exit=True)
            started = time.process_time()
            why = ""
            try:
                found = engine.inspect(path)
                assert sum(1 for _ in engine.read_rows(path)) <= found.total_rows
            except RowmillError as error:
                if error.code == "internal_error" or len(error.message) > 2000:
                    why = f"{error.code}: {error.message}"
            except Exception:  # noqa: BLE001 - that is what is looked for
                why = traceback.format_exc(limit=-6)
            faulthandler.cancel_dump_traceback_later()
            seconds = time.process_time() - started
            before, peak = peak, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            if not why and seconds > MAX_SECONDS:
                why = f"{seconds:.1f} s of processor"
            if not why and before and peak - before > MAX_GROWTH_MIB:
                why = f"memory grew from {before} to {peak} MiB"
            if why:
                (keep / f"{kind}-{seed}").write_bytes(data)
                print(f"--- {kind} {seed}: {why}", flush=True)
            if seed == first_seed + FILES_PER_CHILD // 4:
                memory = memory_mib()
    with (keep / "memory").open("a", encoding="utf-8") as file:
        file.write(f"{kind} {memory} {memory_mib()}\n")


def memory_mib() -> int:
    """What this process holds at present."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 2**20


def print_growth(keep: Path) -> None:
    """How much the children of each kind held after a quarter of their files, and at their end."""
    lines = [line.split() for line in (keep / "memory").read_text(encoding="utf-8").splitlines()]
    for kind in sorted({line[0] for line in lines}):
        pairs = [(int(before), int(after)) for name, before, after in lines if name == kind]
        growth = [after - before for before, after in pairs]
        print(f"{kind}: {max(after for _, after in pairs)} MiB at most, grown by {min(growth)} to {max(growth)} MiB")
    (keep / "memory").unlink()


def read_by_coverage(kind: str, seconds: int, keep: Path) -> None:
    """Have atheris damage the whole files of a kind; in a child process, which ends with what it finds."""
    import atheris

    with atheris.instrument_imports(include=["engine"]):
        import engine
        from engine.errors import RowmillError

    folder = Path(tempfile.mkdtemp(prefix="rowmill-corpus-"))
    for number, data in enumerate(make_seeds()[kind]):
        (folder / str(number)).write_bytes(data)
    path = folder.with_suffix(".csv")

    def read(data: bytes) -> None:
        path.write_bytes(data)
        try:
            found = engine.inspect(path)
            assert sum(1 for _ in engine.read_rows(path)) <= found.total_rows
        except RowmillError as error:
            if error.code == "internal_error" or len(error.message) > 2000:
                raise

    settings = {"max_total_time": seconds, "timeout": 3 * MAX_SECONDS, "rss_limit_mb": 2048, "max_len": 200_000}
    flags = [f"-{name}={value}" for name, value in settings.items()]
    atheris.Setup([sys.argv[0], *flags, "-verbosity=0", f"-artifact_prefix={keep}/{kind}-", str(folder)], read)
    atheris.Fuzz()


def fuzz_by_coverage(kinds: list[str], minutes: float, keep: Path) -> int:
    """The kinds one after the other, a share of the time each; 1 when anything was found."""
    context = multiprocessing.get_context("spawn")
    for kind in kinds:
        child = context.Process(target=read_by_coverage, args=(kind, int(60 * minutes / len(kinds)), keep))
        child.start()
        child.join()
        print(f"{kind}: {'something was found' if child.exitcode else 'nothing'}", flush=True)
    found = sorted(path.name for path in keep.iterdir())
    print(f"kept: {', '.join(found) or 'nothing'}")
    return 1 if found else 0


def main() -> int:
    """Take the kinds in turn until the time is over; 1 when anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=0, help="of the first file of each kind")
    parser.add_argument("--kinds", default="", help="some of them, separated by commas (default: all)")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--coverage", action="store_true", help="by atheris, guided by the lines that are run")
    arguments = parser.parse_args()
    arguments.keep.mkdir(exist_ok=True)
    kinds = arguments.kinds.split(",") if arguments.kinds else list(make_seeds())
    if arguments.coverage:
        return fuzz_by_coverage(kinds, arguments.minutes, arguments.keep)
    end, seed, files, crashes = time.monotonic() + 60 * arguments.minutes, arguments.seed, 0, 0
    context = multiprocessing.get_context("spawn")
    while time.monotonic() < end:
        for kind in kinds:
            child = context.Process(target=read_many, args=(kind, seed, arguments.keep))
            child.start()
            child.join()
            running = arguments.keep / f"{kind}.running"
            if child.exitcode:
                crashes += 1
                at = running.read_text() if running.exists() else "none yet"
                print(f"--- {kind}: the child ended with {child.exitcode}, seed {at}", flush=True)
            files += FILES_PER_CHILD
            running.unlink(missing_ok=True)
            if time.monotonic() > end:
                break
        seed += FILES_PER_CHILD
    if (arguments.keep / "memory").exists():
        print_growth(arguments.keep)
    found = sorted(path.name for path in arguments.keep.iterdir())
    print(f"{files:,} files of {len(kinds)} kinds read; {crashes} crashes; kept: {', '.join(found) or 'nothing'}")
    return 1 if found or crashes else 0


if __name__ == "__main__":
    sys.exit(main())
