"""Counts of tasks by state, kept by events: a byte a task, so that repeats change nothing. Pure."""

from __future__ import annotations

from flamepy.types import TaskCounts, TaskState
from flamepy.watching.state.events import EventKind, TaskEvent

GAP = 65_536  # numbers beyond the last one that are still stored densely
COLUMNS = 6  # the five states, and those that this release has no name for


class TaskStates:
    """The state of each task of one session, and how many are in each.

    Ids are dense, so a byte of an array holds a task. Numbers far from the others, which no engine
    makes, are in a dictionary.
    """

    __slots__ = ("_dense", "_far", "counts")

    def __init__(self) -> None:
        self._dense = bytearray()  # 0: not known, else the column + 1
        self._far: dict[int, int] = {}
        self.counts = [0] * COLUMNS

    def set(self, number: int, column: int | None) -> int | None:
        """Record the column of a task, None for one that is gone; return the one before."""
        before = self._swap(number, 0 if column is None else column + 1)
        if before:
            self.counts[before - 1] -= 1
        if column is not None:
            self.counts[column] += 1
        return before - 1 if before else None

    def _swap(self, number: int, code: int) -> int:
        dense = self._dense
        if 0 <= number < len(dense):
            before = dense[number]
            dense[number] = code
            return before
        if 0 <= number <= len(dense) + GAP and number not in self._far:
            if code:
                dense.extend(bytes(number + 1 - len(dense)))
                dense[number] = code
            return 0
        before = self._far.pop(number, 0)
        if code:
            self._far[number] = code
        return before

    def __bool__(self) -> bool:
        return any(self.counts)


class Tally:
    """The tasks of every session by state; incarnations of a session's id are kept apart."""

    def __init__(self) -> None:
        self._sessions: dict[tuple[str, int], TaskStates] = {}
        self._total = [0] * COLUMNS

    @property
    def counts(self) -> TaskCounts:
        """How many tasks are in each state."""
        return TaskCounts(*self._total[:5])

    @property
    def known(self) -> int:
        """How many tasks there are, those in states without a name included."""
        return sum(self._total)

    def observe(self, event: TaskEvent) -> TaskState | None:
        """Record an event; return the state that the task had before, None if it was not known."""
        key = event.task.session_id, event.epoch
        states = self._sessions.get(key)
        if states is None:
            states = self._sessions[key] = TaskStates()
        gone = event.kind is EventKind.DELETED
        column = None if gone else _column(event.task.state)
        before = states.set(int(event.task.id), column)
        if before is not None:
            self._total[before] -= 1
        if column is not None:
            self._total[column] += 1
        elif not states:
            del self._sessions[key]
        return None if before is None else TaskState(before)

    def drop(self, session_id: str, epoch: int) -> None:
        """Forget a session that is gone, with the tasks of which no delete is delivered."""
        states = self._sessions.pop((session_id, epoch), None)
        if states is not None:
            for column, count in enumerate(states.counts):
                self._total[column] -= count

    def of(self, session_id: str, epoch: int) -> TaskCounts:
        """Return the counts of one session."""
        states = self._sessions.get((session_id, epoch))
        return TaskCounts() if states is None else TaskCounts(*states.counts[:5])


def _column(state: TaskState) -> int:
    return int(state) if 0 <= state < 5 else 5
