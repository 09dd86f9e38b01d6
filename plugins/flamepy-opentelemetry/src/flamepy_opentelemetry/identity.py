"""``TaskTrace``: the trace of a task, computed from what every process knows of it. Pure.

Nothing is carried in payloads or metadata: a process that knows the engine, the session, the task
and the time of its creation has the same ids as any other, after restarts too. The ids are parts of
a hash, so samplers that decide by the trace id agree as well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from hashlib import blake2b

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MILLISECOND = timedelta(milliseconds=1)


@lru_cache(maxsize=64)
def cluster_of(endpoint: str) -> str:
    """Return the name that an engine has by its endpoint: host and port, without the scheme."""
    return endpoint.partition("://")[2].strip("/").lower() or endpoint.strip("/").lower()


@dataclass(frozen=True, slots=True)
class TaskTrace:
    """The ids of one incarnation of a task.

    Attributes:
        trace_id: 128 bits, never 0.
    """

    trace_id: int

    @classmethod
    def of(cls, cluster: str, session_id: str, task_id: str, creation_time: datetime) -> TaskTrace:
        """Return the trace of a task.

        Args:
            cluster: the engine: an endpoint, or a name that all processes agree on.
            session_id: the session's id.
            task_id: the task's number.
            creation_time: the task's, as the engine shows it; milliseconds count.
        """
        created = (creation_time - EPOCH) // MILLISECOND
        text = json.dumps([cluster_of(cluster), session_id, task_id, created])
        digest = blake2b(text.encode(), digest_size=16, person=b"flame.task").digest()
        return cls(int.from_bytes(digest, "big") or 1)

    def span_id(self, name: str) -> int:
        """Return the id of the task's span of that name: 64 bits, never 0."""
        seed = self.trace_id.to_bytes(16, "big") + name.encode()
        digest = blake2b(seed, digest_size=8, person=b"flame.span").digest()
        return int.from_bytes(digest, "big") or 1
