-- The SQLite ledger. Times are seconds since 1970 (UTC).
CREATE TABLE IF NOT EXISTS jobs (
    job_id           TEXT PRIMARY KEY,
    source_url       TEXT NOT NULL,
    source_bytes     INTEGER NOT NULL,
    source_etag      TEXT NOT NULL,
    handler_path     TEXT NOT NULL,
    handler_mode     TEXT NOT NULL,             -- row, batch
    options          TEXT NOT NULL,             -- JSON
    output_url       TEXT NOT NULL,
    workspace_url    TEXT NOT NULL,
    status           TEXT NOT NULL,
    phase            TEXT,
    plan             TEXT,                      -- JSON
    total_rows       INTEGER,
    created_at       REAL NOT NULL,
    started_at       REAL,
    finished_at      REAL,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    paused           INTEGER NOT NULL DEFAULT 0,
    success_count    INTEGER NOT NULL DEFAULT 0,
    failure_count    INTEGER NOT NULL DEFAULT 0,
    success_url      TEXT,
    failed_url       TEXT,
    unprocessed_url  TEXT,
    forgiven_success INTEGER NOT NULL DEFAULT 0,-- counts at the last resumption
    forgiven_failure INTEGER NOT NULL DEFAULT 0,
    error_code       TEXT,
    error_message    TEXT,
    retry_of         TEXT,
    executor         TEXT NOT NULL,             -- local, celery
    owner            TEXT,                      -- who scans or merges
    heartbeat_at     REAL NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE IF NOT EXISTS chunks (
    job_id            TEXT NOT NULL REFERENCES jobs (job_id) ON DELETE CASCADE,
    chunk_index       INTEGER NOT NULL,
    byte_start        INTEGER NOT NULL,
    byte_end          INTEGER NOT NULL,
    first_row_index   INTEGER NOT NULL,
    row_count         INTEGER NOT NULL,
    first_line_number INTEGER NOT NULL,
    irregular         INTEGER NOT NULL,
    crc32             INTEGER,                   -- of the chunk's bytes in the source
    status            TEXT NOT NULL DEFAULT 'planned',
    attempt           INTEGER NOT NULL DEFAULT 0,
    token             TEXT,
    owner             TEXT,
    changed_at        REAL NOT NULL DEFAULT 0,   -- last sending, claim or heartbeat
    sendings          INTEGER NOT NULL DEFAULT 0,
    deaths            INTEGER NOT NULL DEFAULT 0,
    watched_row       INTEGER,                   -- about to run in a watched attempt
    suspect_row       INTEGER,                   -- was watched when its process died once
    guilty_rows       TEXT NOT NULL DEFAULT '[]',-- JSON; died twice on each
    success_count     INTEGER NOT NULL DEFAULT 0,
    failure_count     INTEGER NOT NULL DEFAULT 0,
    success_key       TEXT,
    success_bytes     INTEGER,
    success_crc32     INTEGER,
    failed_key        TEXT,
    failed_bytes      INTEGER,
    failed_crc32      INTEGER,
    messages          TEXT NOT NULL DEFAULT '{}',-- JSON; why rows were refused, and how many
    PRIMARY KEY (job_id, chunk_index)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS chunks_by_status ON chunks (job_id, status, chunk_index);
