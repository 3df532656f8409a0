"""The Celery settings under which the engine's promises hold, and why.

Ship these for the import workers; a host project keeps its own app and takes over what it lacks.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from engine.config import EngineConfig

#: Scans and merges: few and short messages that must not wait behind chunks.
CONTROL_QUEUE = "rowmill.control"
#: Chunks of all jobs, and pieces of their Excel files.
CHUNK_QUEUE = "rowmill.chunks"


def recommended_settings(config: EngineConfig) -> dict[str, Any]:
    """Settings for `app.conf.update(...)`."""
    return {
        "broker_url": broker_url(config.redis_url),
        # A message is acknowledged after its chunk, and comes back when the process that ran it is gone.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        # Chunks wait in the broker, where any free process can take them, not in one busy worker.
        "worker_prefetch_multiplier": 1,
        # The ledger knows what became of a chunk; results in Redis would only pile up.
        "task_ignore_result": True,
        "result_backend": None,
        # A chunk that takes longer would be killed again and again; a soft limit is held off (`soft_limit`).
        "task_soft_time_limit": None,
        "task_time_limit": None,
        # A child forked from a process that has used polars hangs.
        "worker_pool_start_method": "spawn",
        # Seconds in which a new child must have imported the project. Celery's own 4 are too few on a busy machine: it
        # would kill every child before it is ready and begin the next, and a worker once hit would never work again.
        "worker_proc_alive_timeout": 120.0,
        "worker_max_memory_per_child": 600_000,  # KiB
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_publish_retry": True,
        "task_publish_retry_policy": {"max_retries": 3, "interval_start": 0.2, "interval_step": 0.3},
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            # Seconds. Lost chunks are found by the ledger long before; this only bounds copies of messages.
            "visibility_timeout": 1800,
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 25,
        },
        "task_routes": {
            "rowmill.run_chunk": {"queue": CHUNK_QUEUE},
            "rowmill.plan_job": {"queue": CONTROL_QUEUE},
            "rowmill.finish_job": {"queue": CONTROL_QUEUE},
            "rowmill.help_merge": {"queue": CHUNK_QUEUE},
        },
    }


def broker_url(redis_url: str) -> str:
    """The address of a Redis in Celery's form, which has a name of its own for sockets."""
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return redis_url
    database = next((pair[3:] for pair in parts.query.split("&") if pair.startswith("db=")), "0")
    return f"redis+socket://{parts.path}?virtual_host={database}"
