"""What is known of one task and of one session. Pure.

``store`` changes these records and their tallies; ``sync_planner``, ``diff`` and
``stall_detector`` read them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from flamepy.types import Event, SessionInfo, Task, TaskCounts, TaskState
from flamepy.watching.state.events import EventSource, TaskEvent, Window
from flamepy.watching.state.memo import MemoHolder
from flamepy.watching.state.retired import Retired


@dataclass(slots=True, eq=False)
class TaskRecord(MemoHolder):
    """One task: what was delivered (``task``) and what the engine last showed (``state``).

    Attributes:
        number: its id.
        task: as it was delivered, or as first seen before any delivery.
        state: the engine's, for the counters; another than the task's after a drift.
        window: when the last applied observation was true.
        seen_at: when the first one had arrived.
        delivered: True once an event of it was delivered.
        held: True for a failed task that waits for its text.
        born, sequence: sequence numbers of its first and its last event; a subscriber that has
            received all events up to a number lacks what is newer.
        source: which reply showed the delivered state.
        drifted: the state that contradicts the delivered end, if any was seen.
    """

    number: int
    task: Task
    state: TaskState
    window: Window
    seen_at: float
    delivered: bool = False
    held: bool = False
    born: int = 0
    sequence: int = 0
    source: EventSource = EventSource.LIST
    drifted: TaskState | None = None

    @property
    def ended(self) -> bool:
        """True once a terminal state was observed, delivered or not."""
        return self.held or self.task.state.is_terminal

    @property
    def end_delivered(self) -> bool:
        """True once the terminal state was delivered."""
        return self.delivered and not self.held and self.task.state.is_terminal

    def shows(self, task: Task, *, payloads: bool) -> bool:
        """Return True if ``task`` is what was delivered, and has no ``payloads`` to add."""
        known = self.task
        return (
            self.delivered
            and not self.held
            and known.state == task.state == self.state
            and known.creation_time == task.creation_time
            and not (payloads and task.payloads_loaded and not known.payloads_loaded)
        )

    def failed_task(self) -> Task:
        """Return the task as failed, for when its text cannot be had any more."""
        return replace(self.task, state=TaskState.FAILED)


@dataclass(frozen=True, slots=True)
class DeletedTask:
    """A deleted task: the numbers of its first and last event, and its delete."""

    born: int
    changed: int
    event: TaskEvent


@dataclass(slots=True, eq=False)
class SessionRecord(MemoHolder):
    """One session: its last counters and every task known of it.

    Attributes:
        id: its id.
        info: as last shown; None while no answer has shown the session itself.
        window_start, window_end: when that was true.
        since: replies to requests before this moment may show the state before a reset.
        epoch: grows with each reset of the id.
        synced: True once all its tasks are known.
        tasks: by number, without the retired ones.
        retired: how those ended that left the store.
        newest: the latest creation time, by the engine's clock, of those that left.
        highest: the highest number seen.
        sequence: number of the last event of any of its tasks.
        drained: True while it was last reported as drained.
        events: what the engine recorded of it and was delivered.
        held: how many failed tasks wait for their text.
        overtaken: since when a pending task sees later ones finish; see ``stall_detector``.
        finished: the highest number that ended since ``stall_detector`` last looked.
    """

    id: str
    info: SessionInfo | None = None
    window_start: float = float("-inf")
    window_end: float = float("-inf")
    since: float = float("-inf")
    epoch: int = 0
    synced: bool = False
    tasks: dict[int, TaskRecord] = field(default_factory=dict)
    retired: Retired = field(default_factory=Retired)
    newest: datetime | None = None
    highest: int = 0
    sequence: int = 0
    drained: bool = False
    events: tuple[Event, ...] = ()
    held: int = 0
    overtaken: dict[int, float] = field(default_factory=dict)
    finished: int = 0
    _tally: list[int] = field(default_factory=lambda: [0] * 6)  # by state; 5: unknown ones
    _open: list[int] = field(default_factory=list)  # ended ones leave lazily
    _sorted: bool = True

    @property
    def application(self) -> str:
        """The application's name, or "" while no answer has shown the session itself."""
        return self.info.application if self.info else ""

    @property
    def creation_time(self) -> datetime | None:
        """When the session was made; None while no answer has shown the session itself."""
        return self.info.creation_time if self.info else None

    @property
    def counts(self) -> TaskCounts:
        """How many known tasks, retired ones included, the engine last showed in each state."""
        return TaskCounts(*self._tally[:5])

    @property
    def unended(self) -> int:
        """How many known tasks have not ended by the engine's last word."""
        tally = self._tally
        return tally[TaskState.PENDING] + tally[TaskState.RUNNING] + tally[5]

    def unfinished(self) -> Iterator[int]:
        """Yield the ids of the tasks that have not ended, lowest first."""
        if not self._sorted:
            self._open.sort()
            self._sorted = True
        last = 0
        for number in self._open:
            record = self.tasks.get(number)
            if record is not None and number != last and not record.state.is_terminal:
                last = number
                yield number

    # ------------------------------------------------------------------ changes

    def add(self, record: TaskRecord) -> None:
        """Record a new task."""
        self.tasks[record.number] = record
        self.highest = max(self.highest, record.number)
        self.held += record.held
        self._tally[_column(record.state)] += 1
        if not record.state.is_terminal:
            self._append_open(record.number)

    def move(self, record: TaskRecord, state: TaskState) -> None:
        """Record the engine's state of a known task."""
        before, record.state = record.state, state
        self._tally[_column(before)] -= 1
        self._tally[_column(state)] += 1
        if before.is_terminal and not state.is_terminal:
            self._append_open(record.number)
        elif len(self._open) > 64 and len(self._open) > 2 * self.unended:
            self._open = list(self.unfinished())

    def hold(self, record: TaskRecord, held: bool) -> None:
        """Record that a failed task waits for its text, or does so no longer."""
        self.held += held - record.held
        record.held = held

    def forget(self, number: int) -> TaskRecord:
        """Drop a task as if it had never been seen."""
        record = self.tasks.pop(number)
        self._tally[_column(record.state)] -= 1
        self.held -= record.held
        return record

    def retire(self, number: int) -> None:
        """Drop a finished task, but remember how it ended; it still counts."""
        record = self.tasks.pop(number)
        created = record.task.creation_time
        self.newest = created if self.newest is None else max(self.newest, created)
        self.retired.add(number, record.task.state, record.state, record.window.end)

    def forget_retired(self) -> None:
        """Drop the retired ones as if they had never been seen."""
        for state in self.retired.states():
            self._tally[_column(state)] -= 1
        self.retired = Retired()

    def show_retired(self, number: int, state: TaskState) -> None:
        """Record the engine's state of a retired task."""
        before = self.retired.shown(number)
        if before is not None and before != state:
            self._tally[_column(before)] -= 1
            self._tally[_column(state)] += 1
            self.retired.show(number, state)

    def _append_open(self, number: int) -> None:
        if self._open and number <= self._open[-1]:
            self._sorted = False
        self._open.append(number)


def _column(state: TaskState) -> int:
    return int(state) if 0 <= state < 5 else 5
