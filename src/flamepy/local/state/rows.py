"""The rows of the embedded cluster's state: sessions, tasks, executors. Pure data.

Times are whole milliseconds since the epoch; sessions and tasks keep whole seconds of them, as
an engine on ``fs`` storage does (docs/protocol.md#time). ``state`` changes the rows.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from flamepy.types import (
    Event,
    Executor,
    ExecutorState,
    ResourceRequirement,
    SessionInfo,
    SessionState,
    Task,
    TaskCounts,
    TaskState,
)
from flamepy.wire.times import from_millis

TASK_EVENTS = {
    0: "Task was created with state <Pending>",
    1: "Task state was updated to <Running>",
    2: "Task was completed with state <Succeed>",
}
"""Texts of task events, by code; a failure (3) has the service's own."""


def whole_seconds(millis: int) -> int:
    """Return a time as the storage keeps it: whole seconds, in milliseconds."""
    return millis // 1000 * 1000


class EventRow(NamedTuple):
    """Something that happened to a task or a session; ``millis`` are not cut to seconds."""

    code: int
    message: str
    millis: int

    def view(self) -> Event:
        """Return the event as an answer shows it."""
        return Event(self.code, self.message, from_millis(self.millis))


@dataclass(slots=True)
class TaskRow:
    """One task. ``shown`` are the events that GetTask left on it for lists and watches.

    ``affinity`` is kept in memory alone: nothing here is scheduled by it.
    """

    number: int
    session_id: str
    input: bytes | None
    created: int
    state: TaskState = TaskState.PENDING
    output: bytes | None = None
    completed: int | None = None
    events: list[EventRow] = field(default_factory=list)
    shown: tuple[EventRow, ...] = ()
    affinity: tuple[bytes, ...] = ()

    @property
    def id(self) -> str:
        """The number as text."""
        return str(self.number)

    def view(self) -> Task:
        """Return the task as an answer shows it."""
        return Task(
            id=self.id,
            session_id=self.session_id,
            state=self.state,
            creation_time=from_millis(self.created),
            input=self.input,
            output=self.output,
            completion_time=None if self.completed is None else from_millis(self.completed),
            events=tuple(one.view() for one in self.shown),
        )

    def running_view(self) -> Task:
        """Return the task as an answer showed it while it ran."""
        return replace(self.view(), state=TaskState.RUNNING, output=None, completion_time=None)


@dataclass(slots=True)
class SessionRow:
    """One session with its tasks; ``queue`` holds the pending numbers, lowest first."""

    id: str
    application: str
    created: int
    common_data: bytes | None
    min_instances: int
    max_instances: int | None
    priority: int
    resreq: ResourceRequirement
    order: int
    state: SessionState = SessionState.OPEN
    completed: int | None = None
    tasks: dict[int, TaskRow] = field(default_factory=dict)
    queue: list[int] = field(default_factory=list)
    tally: Counter[TaskState] = field(default_factory=Counter)
    events: list[EventRow] = field(default_factory=list)
    failures: int = 0

    @property
    def counts(self) -> TaskCounts:
        """The five counters."""
        tally = self.tally
        return TaskCounts(
            tally[TaskState.PENDING],
            tally[TaskState.RUNNING],
            tally[TaskState.SUCCEED],
            tally[TaskState.FAILED],
            tally[TaskState.CANCELLED],
        )

    def view(self, *, events: bool = False) -> SessionInfo:
        """Return the session as an answer shows it."""
        return SessionInfo(
            id=self.id,
            application=self.application,
            state=self.state,
            creation_time=from_millis(self.created),
            counts=self.counts,
            completion_time=None if self.completed is None else from_millis(self.completed),
            common_data=self.common_data,
            min_instances=self.min_instances,
            max_instances=self.max_instances,
            batch_size=1,
            priority=self.priority,
            resreq=self.resreq,
            events=tuple(one.view() for one in self.events) if events else (),
        )

    def add(self, task: TaskRow) -> None:
        """Put a new pending task into the session."""
        self.tasks[task.number] = task
        self.tally[task.state] += 1
        heapq.heappush(self.queue, task.number)

    def move(self, task: TaskRow, state: TaskState) -> None:
        """Change a task's state and the counters with it."""
        self.tally[task.state] -= 1
        self.tally[state] += 1
        task.state = state

    def take(self) -> TaskRow | None:
        """Take the lowest pending task out of the queue, or return None."""
        while self.queue:
            task = self.tasks[heapq.heappop(self.queue)]
            if task.state == TaskState.PENDING:
                return task
        return None

    def put_back(self, task: TaskRow) -> None:
        """Let a task that was taken wait again."""
        heapq.heappush(self.queue, task.number)

    def pending(self) -> list[TaskRow]:
        """Return the pending tasks, lowest number first."""
        waiting = (self.tasks[number] for number in sorted(self.queue))
        return [task for task in waiting if task.state == TaskState.PENDING]

    def restore(self) -> bool:
        """Rebuild the counters after a restart; return True if a task ran, and waits again."""
        running = [task for task in self.tasks.values() if task.state == TaskState.RUNNING]
        for task in running:
            task.state = TaskState.PENDING
        self.tally = Counter(task.state for task in self.tasks.values())
        self.queue = [
            task.number for task in self.tasks.values() if task.state == TaskState.PENDING
        ]
        heapq.heapify(self.queue)
        return bool(running)


@dataclass(slots=True)
class ExecutorRow:
    """One executor, bound to one session for its whole life."""

    id: str
    session_id: str
    node: str
    resreq: ResourceRequirement
    state: ExecutorState = ExecutorState.BINDING
    task: int | None = None

    def view(self) -> Executor:
        """Return the executor as ListExecutor shows it."""
        return Executor(
            id=self.id,
            state=self.state,
            node=self.node,
            resreq=self.resreq,
            session_id=self.session_id,
        )
