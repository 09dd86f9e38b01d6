"""What is true of every session of a cluster at any moment, whatever was done to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence

from flamepy.types import Executor, SessionInfo, SessionState, Task, TaskState


def check_session(session: SessionInfo, tasks: Sequence[Task]) -> None:
    """Counters equal states, ids are dense, and what has ended says when. One snapshot."""
    about = f"session {session.id!r}"
    states = Counter(task.state for task in tasks)
    counts = session.counts
    told = (counts.pending, counts.running, counts.succeed, counts.failed, counts.cancelled)
    assert told == tuple(states[TaskState(number)] for number in range(5)), about
    assert sorted(int(task.id) for task in tasks) == list(range(1, len(tasks) + 1)), about
    closed = session.state == SessionState.CLOSED
    assert (session.completion_time is not None) == closed, about
    if closed:
        assert counts.pending == counts.running == 0, about
    for task in tasks:
        ended = task.state.is_terminal
        assert (task.completion_time is not None) == ended, f"{about} task {task.id}"
        assert ended or task.output is None, f"{about} task {task.id}"


def check_executors(sessions: Iterable[SessionInfo], executors: Iterable[Executor]) -> None:
    """No session has more executors than its ``max_instances``."""
    held = Counter(one.session_id for one in executors if one.session_id)
    for session in sessions:
        if session.max_instances is not None:
            assert held[session.id] <= session.max_instances, f"executors of {session.id!r}"


def check_order(tasks: Iterable[Task]) -> None:
    """Tasks started in the order of their ids; needs tasks with their events."""
    starts = [
        event.creation_time
        for task in sorted(tasks, key=lambda one: int(one.id))
        for event in task.events[:2]
        if event.code == 1
    ]
    assert starts == sorted(starts, key=lambda moment: moment.timestamp() if moment else 0.0)


class Ends:
    """Ends that were seen; none may ever change."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, float, str], tuple[TaskState, bytes | None]] = {}

    def check(self, session: SessionInfo, tasks: Iterable[Task]) -> None:
        """Compare with what was seen before, and remember."""
        for task in tasks:
            key = (session.id, session.creation_time.timestamp(), task.id)
            end = (task.state, task.output)
            if task.state.is_terminal or key in self._seen:
                assert self._seen.setdefault(key, end) == end, f"{key} had ended"

    def forget_others(self, present: Container[str]) -> None:
        """Forget sessions that are gone: one of the same id may be made in the same second."""
        self._seen = {key: end for key, end in self._seen.items() if key[0] in present}
