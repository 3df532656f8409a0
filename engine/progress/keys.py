"""Everything this room keeps in Redis: key, type, fields and life time.

    rowmill:progress:{job_id}   hash, expires `EngineConfig.progress_ttl_seconds` after it was last touched
        success   rows, the sum over all chunks    ┐ the counters exist when these do
        failed    rows, the sum over all chunks    ┘
        total     rows of the source; absent until the scan knows
        cancel    "1" when a cancel was requested; may stand alone, before or after the counters
        <digits>  chunk_index → "attempt:success:failed:done", done being 0 or 1

    rowmill:ledgers             sorted set of ledger addresses by the time (seconds since 1970) they were
                                last in use, for the recovery loop; expires as above

    rowmill:note:{name}         string, expires as its keeper says: what an integration shows of a running job beside
                                the counters, under the job's id or another name; empty while none may be kept

    rowmill:cost:{handler}      hash, expires as above: what rows took with a handler
        rows, seconds               sums, of which older ones count for less

    rowmill:probe:{name}        list with an element while a worker's answer to a probe is not taken; expires after
                                a minute

    rowmill:sums:{name}         hash, expires as the progress of a job: what workers add up for whoever watches them;
                                the fields of `step_times` are "step outcome bucket" and "step outcome sum"

One progress key per job: the counters are there whole or not at all, whatever is evicted or expires. The
braces are part of the key; they are a hash tag, so that a job stays on one node of a cluster.
The scripts beside this file are the only writers of progress; after each of them the sums are right.
"""

from __future__ import annotations

TOTAL_FIELD = "total"
SUCCESS_FIELD = "success"
FAILED_FIELD = "failed"
CANCEL_FIELD = "cancel"
LEDGERS_KEY = "rowmill:ledgers"


def cost_key(handler: str) -> str:
    """Where the cost of a handler's rows is."""
    return f"rowmill:cost:{handler}"


def probe_key(name: str) -> str:
    """Where a worker answers a probe."""
    return f"rowmill:probe:{name}"


def progress_key(job_id: str) -> str:
    """The one key of a job."""
    return f"rowmill:progress:{{{job_id}}}"


def sums_key(name: str) -> str:
    """Where sums are kept."""
    return f"rowmill:sums:{name}"


def note_key(name: str) -> str:
    """Where a note lies: on the node of the job whose id the name is."""
    return f"rowmill:note:{{{name}}}"
