"""The life of a job: create, plan, fan out, finish, merge, cancel, fail, recover.

Everything here may be called by any process, and again after any crash: each step is a
compare-and-set in the ledger or repeats harmlessly. Who runs the chunks is the executor's affair.
"""

from engine.coordinator.coordinator import WORKSPACE, Coordinator
from engine.coordinator.drafts import ResultDrafts
from engine.coordinator.parts import result_name
from engine.coordinator.protocols import Executor, JobListener
from engine.coordinator.refused_rows import check_refused_rows, retry_name, retry_options, write_refused_rows
from engine.coordinator.result_files import workspace_keys

__all__ = [
    "WORKSPACE",
    "Coordinator",
    "Executor",
    "JobListener",
    "ResultDrafts",
    "check_refused_rows",
    "result_name",
    "retry_name",
    "retry_options",
    "workspace_keys",
    "write_refused_rows",
]
