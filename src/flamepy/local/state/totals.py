"""What a cluster has in all: sessions, tasks by state, executors. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from flamepy.local.state.cluster_state import ClusterState
from flamepy.types import ExecutorState, SessionState, TaskCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterTotals:
    """What an embedded cluster has at one moment.

    Attributes:
        sessions: that are kept, closed ones included.
        open_sessions: of these, the open ones.
        tasks: of all kept sessions, by state.
        executors: that run.
        bound: of these, those that serve a session.
        limit: executors that may run at once.
    """

    sessions: int
    open_sessions: int
    tasks: TaskCounts
    executors: int
    bound: int
    limit: int


def totals_of(state: ClusterState, *, limit: int) -> ClusterTotals:
    """Return the totals of a state; it takes time in proportion to the sessions."""
    rows = list(state.sessions.values())
    counts = [row.counts for row in rows]
    runs = list(state.executors.values())
    return ClusterTotals(
        sessions=len(rows),
        open_sessions=sum(row.state == SessionState.OPEN for row in rows),
        tasks=TaskCounts(
            pending=sum(one.pending for one in counts),
            running=sum(one.running for one in counts),
            succeed=sum(one.succeed for one in counts),
            failed=sum(one.failed for one in counts),
            cancelled=sum(one.cancelled for one in counts),
        ),
        executors=len(runs),
        bound=sum(one.state == ExecutorState.BOUND for one in runs),
        limit=limit,
    )
