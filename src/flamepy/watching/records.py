"""What is known of one session and of one task; what was known of one that is gone. Pure.

``store`` keeps the records and decides; ``cursor`` reads them to say what to ask next.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from flamepy.types import SessionInfo, Task, TaskCounts, TaskState
from flamepy.watching.events import EventSource, TaskEvent, Window


@dataclass(slots=True)
class TaskRecord:
    """One task: what is told of it (``task``) and what the engine last said (``state``).

    ``born`` and ``sequence`` are the sequence numbers of its first and its last event: what a
    reader who has everything up to some number still lacks.
    """

    number: int
    task: Task
    state: TaskState
    window: Window
    seen_at: float
    delivered: bool = False
    text_known: bool = False
    born: int = 0
    sequence: int = 0
    source: EventSource = EventSource.LIST

    @property
    def is_held(self) -> bool:
        """True for a failed task that waits for its text."""
        return self.state == TaskState.FAILED and not self.text_known

    def failed_task(self) -> Task:
        """Return the task as failed, for when its text cannot be had any more."""
        return replace(self.task, state=TaskState.FAILED)


@dataclass(slots=True)
class SessionRecord:
    """One session: its last counters and every task known of it."""

    id: str
    info: SessionInfo | None = None
    window_end: float = float("-inf")
    epoch: int = 0
    synced: bool = False
    tasks: dict[int, TaskRecord] = field(default_factory=dict)
    highest: int = 0
    _tally: Counter[TaskState] = field(default_factory=Counter)
    _open: list[int] = field(default_factory=list)  # ascending; ended ones leave lazily

    @property
    def application(self) -> str:
        """The application's name, or "" while no answer has shown the session itself."""
        return self.info.application if self.info else ""

    @property
    def counts(self) -> TaskCounts:
        """How many known tasks the engine last showed in each state."""
        tally = self._tally
        return TaskCounts(
            tally[TaskState.PENDING],
            tally[TaskState.RUNNING],
            tally[TaskState.SUCCEED],
            tally[TaskState.FAILED],
            tally[TaskState.CANCELLED],
        )

    @property
    def explained(self) -> bool:
        """True when the known tasks account for every counter of the engine."""
        return self.info is None or self.counts == self.info.counts

    def unfinished(self) -> Iterator[int]:
        """Yield the ids of the tasks that have not ended, lowest first."""
        for number in self._open:
            record = self.tasks.get(number)
            if record is not None and not record.state.is_terminal:
                yield number

    def _note(self, record: TaskRecord, state: TaskState, *, new: bool = False) -> None:
        if new:
            bisect.insort(self._open, record.number)
            self.highest = max(self.highest, record.number)
        else:
            self._tally[record.state] -= 1
        self._tally[state] += 1
        record.state = state
        ended = len(self.tasks) - self._tally[TaskState.PENDING] - self._tally[TaskState.RUNNING]
        if (
            len(self._open) > 64
            and ended * 2 > len(self.tasks)
            and len(self._open) > 2 * (len(self.tasks) - ended)
        ):
            self._open = list(self.unfinished())

    def _forget(self, number: int) -> None:
        record = self.tasks.pop(number)
        self._tally[record.state] -= 1


@dataclass(frozen=True, slots=True)
class Grave:
    """A task that is gone, for a reader that has not been told everything yet.

    ``born`` and ``changed`` are the sequence numbers of its first event and of its last one
    before the delete.
    """

    born: int
    changed: int
    event: TaskEvent
