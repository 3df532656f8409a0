"""The flags that take a value, of every command."""

from __future__ import annotations

from dataclasses import replace

from engine.cli.flag import Flag
from engine.config import EngineConfig
from engine.options import ImportOptions
from engine.runs import DEFAULT_OUTPUT_DIR

_OPTIONS = ImportOptions()
_CONFIG = EngineConfig()

#: Flags that are import options under the same name: how a file is read.
READING_FLAGS = (
    Flag(
        name="--header-rows",
        value="NUMBER",
        phrase="records before the data; the last of them names the columns",
        unit="records",
        default=str(_OPTIONS.header_rows),
        is_number=True,
    ),
    Flag(
        name="--delimiter",
        value="CHARACTER",
        phrase=r"what separates the cells; \t for a tab",
        default="found by looking",
    ),
    Flag(
        name="--quote-char",
        value="CHARACTER",
        phrase="what encloses a cell; an empty text where quotes mean nothing",
        default="found by looking",
    ),
    Flag(
        name="--escape-char",
        value="CHARACTER",
        phrase="makes a quote, a delimiter or itself behind it part of the cell; an empty text where there is none",
        default="found by looking",
    ),
    Flag(
        name="--skip-initial-space",
        value="true|false",
        phrase="leave out blanks at the start of cells",
        default="only those before a quoted cell, where it has some",
        is_boolean=True,
    ),
    Flag(name="--encoding", value="NAME", phrase="such as utf-8, cp1252 or utf-16", default="found by looking"),
    Flag(name="--member", value="NAME", phrase="the file in a ZIP archive that is the table", default="the only one"),
    Flag(
        name="--skip-rows",
        value="NUMBER",
        phrase="above the header that are no part of the table",
        unit="lines",
        default="found by looking",
        is_number=True,
    ),
    Flag(
        name="--sheet",
        value="NAME",
        phrase="of a workbook, or its number counted from 1",
        default="the first visible one that has cells",
    ),
    Flag(
        name="--table",
        value="NAME",
        phrase="of a workbook: an Excel table, a named range, or a range such as A3:J500",
        default="all cells of the sheet",
    ),
    Flag(
        name="--decimal",
        value=".|,",
        phrase="decimal mark of the numbers, which stay as they are",
        default="found by looking",
    ),
    Flag(
        name="--added-columns",
        value="auto|ignore|keep",
        phrase="what to do with a last column import_error or import_result; auto ignores it below a positional header",
        default=_OPTIONS.added_columns,
    ),
    Flag(
        name="--chunk-size",
        value="NUMBER",
        phrase="the most rows that are dispatched, retried and counted together",
        unit="rows",
        default="chosen by the engine",
        environment="ROWMILL_CHUNK_SIZE",
        is_number=True,
    ),
)
#: Flags that are import options under the same name: how rows are run and results written.
RUNNING_FLAGS = (
    Flag(
        name="--batch-size",
        value="NUMBER",
        phrase="between two looks at progress and cancel",
        unit="rows",
        default=str(_OPTIONS.batch_size),
        environment="ROWMILL_BATCH_SIZE",
        is_number=True,
    ),
    Flag(
        name="--output-format",
        value="csv|xlsx",
        phrase="format of the two result files",
        default=_OPTIONS.output_format,
        environment="ROWMILL_OUTPUT_FORMAT",
    ),
    Flag(
        name="--max-errors",
        value="NUMBER",
        phrase="refused rows beyond which the job ends as failed",
        unit="rows",
        default="any number",
        environment="ROWMILL_MAX_ERRORS",
        is_number=True,
    ),
    Flag(
        name="--max-error-rate",
        value="SHARE",
        phrase="share of refused rows with the same end, judged after 1,000 rows or at the end of a shorter source",
        unit="0 to 1",
        default="any share",
        environment="ROWMILL_MAX_ERROR_RATE",
        is_number=True,
    ),
    Flag(
        name="--result-header",
        value="positional|source",
        phrase="name the columns of the result files col_0, col_1, … or as the source does",
        default=_OPTIONS.result_header,
        environment="ROWMILL_RESULT_HEADER",
    ),
)
OPTION = Flag(
    name="--option",
    value="KEY=VALUE",
    phrase="an import option, or any other name, which goes to the handler; VALUE is read as JSON where it is "
    "JSON, else as text; may be repeated",
    default="none",
    is_repeatable=True,
)
HANDLER = Flag(
    name="--handler",
    value="PATH",
    phrase="the function that decides over a row, as package.module.function; the current folder is searched first",
    default="none, this or --batch-handler must be given",
)
BATCH_HANDLER = Flag(
    name="--batch-handler",
    value="PATH",
    phrase="in its place, a function that decides over a polars frame of rows at once",
    default="none",
)
EXECUTOR = Flag(
    name="--executor",
    value="local|celery",
    phrase="run the rows in processes of this command, or on Celery workers that were started elsewhere",
    default="local",
    environment="ROWMILL_EXECUTOR",
)
JOBS_EXECUTOR = replace(EXECUTOR, default="as the job was begun")
WORKERS = Flag(
    name="--workers",
    value="NUMBER",
    phrase="how many the local executor starts",
    unit="processes",
    default="one per processor",
    environment="ROWMILL_WORKERS",
    is_number=True,
)
OUTPUT_DIR = Flag(
    name="--output-dir",
    value="PLACE",
    phrase="a folder or s3://bucket/prefix for the two result files",
    default=DEFAULT_OUTPUT_DIR,
    environment="ROWMILL_OUTPUT_DIR",
)
LEDGER = Flag(
    name="--ledger",
    value="PLACE",
    phrase="the SQLite file that knows jobs and chunks: a path or sqlite:///path",
    default=".rowmill/ledger.sqlite3 below --output-dir",
    environment="ROWMILL_LEDGER",
)
REDIS_URL = Flag(
    name="--redis-url",
    value="URL",
    phrase="broker and live counters of the celery executor",
    default=_CONFIG.redis_url,
    environment="REDIS_URL",
)
S3_ENDPOINT_URL = Flag(
    name="--s3-endpoint-url",
    value="URL",
    phrase="where S3 is, for s3:// addresses",
    default="Amazon's",
    environment="S3_ENDPOINT_URL",
)
