"""``transitions="complete"``: which states a task had between two that were seen. Pure.

The engine merges quick changes, so a task may be seen pending and then succeeded. Which states lie
between follows from the engine's rules: a task runs before it succeeds or fails, is pending before
it runs, and is cancelled only while it is pending.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from flamepy.types import Task, TaskState
from flamepy.watching.state.events import EventKind, SessionEvent, TaskEvent

_Key = tuple[str, str, datetime]  # of one incarnation of a task
_BEFORE = {
    TaskState.RUNNING: TaskState.PENDING,
    TaskState.SUCCEED: TaskState.RUNNING,
    TaskState.FAILED: TaskState.RUNNING,
    TaskState.CANCELLED: TaskState.PENDING,
}


def skipped(before: TaskState | None, now: TaskState) -> list[TaskState]:
    """Return the states between two, in order; shortest way, so that no requeue is guessed.

    Args:
        before: the state that was delivered last; None if the task was never seen.
        now: the one that was observed.
    """
    if before is not None and (before.is_terminal or not before.is_known or before == now):
        return []
    states: list[TaskState] = []
    state = _BEFORE.get(now)
    while state is not None and state != before:
        states.insert(0, state)
        state = _BEFORE.get(state)
    # Only a running task that was put back into the queue can be cancelled, and to be pending
    # again needs nothing in between.
    return states if now is not TaskState.PENDING else []


def expand(event: TaskEvent, before: TaskState | None) -> list[TaskEvent]:
    """Return an event after those of the states that it skips, which are marked ``inferred``.

    An inferred event has the observation's sequence, time and source, and the key of its state. Its
    task has neither an output nor an end. Each event has the one before as ``old``; a task that
    was never seen is added by the first.

    Args:
        event: an observation.
        before: the state that was delivered last; None if the task was never seen.
    """
    events: list[TaskEvent] = []
    old, kind = event.old, event.kind
    for state in skipped(before, event.task.state):
        task = _in_state(event.task, state)
        events.append(replace(event, kind=kind, task=task, old=old, coalesced=0, inferred=True))
        old, kind = task, EventKind.UPDATED
    return [*events, replace(event, kind=kind, old=old) if events else event]


def is_inferred(event: TaskEvent | SessionEvent) -> bool:
    """Return True for an event that is not stored by itself: the observation after it is."""
    return isinstance(event, TaskEvent) and event.inferred


def _in_state(task: Task, state: TaskState) -> Task:
    return replace(task, state=state, completion_time=None, output=None, events=())


class Transitions:
    """Expands the events of one informer by the state that it got last of each task.

    An event says what it follows in the store; where a full queue left something out, that is not
    what the informer got. Unfinished tasks are remembered, with their state. The events of one task
    come from one thread at a time.
    """

    def __init__(self) -> None:
        self._last: dict[_Key, TaskState] = {}

    def expand(self, event: TaskEvent) -> list[TaskEvent]:
        """Return an event after those that it skips; the present state at first skips nothing."""
        task = event.task
        key = (task.session_id, task.id, task.creation_time)
        if event.kind is EventKind.DELETED:
            self._last.pop(key, None)
            return [event]
        before = self._last.get(key, None if event.old is None else event.old.state)
        if task.state.is_terminal:
            self._last.pop(key, None)
        else:
            self._last[key] = task.state
        if before is None and (event.initial or event.kind is not EventKind.ADDED):
            return [event]
        return expand(event, before)
