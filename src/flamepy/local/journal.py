"""Where changes of the cluster's state are written down before they are made. Pure: a port.

``state`` calls a ``Journal`` after its checks and before it changes a row: what cannot be written
is refused and has not happened. ``storage`` keeps them in SQLite; ``Unwritten`` keeps nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from flamepy.local.rows import EventRow, SessionRow, TaskRow
from flamepy.types import Application, TaskState


@dataclass(frozen=True, slots=True)
class Stored:
    """What an earlier process left: rows as they were at its last acknowledged change."""

    applications: Sequence[Application]
    sessions: Sequence[SessionRow]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a task ends: what ``task_ended`` writes and the row then shows."""

    state: TaskState
    completed: int
    output: bytes | None
    event: EventRow


class Journal(Protocol):
    """One method per kind of change; each is all or nothing.

    Every method raises ``StorageRefusal`` when the change could not be written; the state is then
    left as it was.
    """

    def application_put(self, application: Application) -> None:
        """Add or replace an application."""

    def application_gone(self, name: str, sessions: Sequence[SessionRow]) -> None:
        """Remove an application and these sessions of it, tasks included."""

    def session_created(self, row: SessionRow) -> None:
        """Add a session without tasks."""

    def session_closed(self, row: SessionRow, completed: int, cancelled: Sequence[TaskRow]) -> None:
        """Close a session and cancel these tasks, all at the same time (ms)."""

    def sessions_gone(self, rows: Sequence[SessionRow]) -> None:
        """Remove sessions with their tasks."""

    def session_events(self, row: SessionRow, events: Sequence[EventRow]) -> None:
        """Replace the events of a session."""

    def task_created(self, row: SessionRow, task: TaskRow) -> None:
        """Add a task with its first event."""

    def tasks_created(self, made: Sequence[tuple[SessionRow, TaskRow]]) -> None:
        """Add tasks, each with its first event; all of them or none."""

    def task_started(self, row: SessionRow, task: TaskRow, events: Sequence[EventRow]) -> None:
        """Note that a task runs, with all its events."""

    def task_ended(self, row: SessionRow, task: TaskRow, ending: Ending) -> None:
        """Note the end of a task."""

    def task_turned(
        self,
        row: SessionRow,
        task: TaskRow,
        ending: Ending,
        following: TaskRow,
        events: Sequence[EventRow],
    ) -> None:
        """Note the end of a task and that another one of its session runs, with all its events."""


class Unwritten:
    """The journal of a cluster that lives in memory only."""

    def application_put(self, application: Application) -> None:
        """Write nothing."""

    def application_gone(self, name: str, sessions: Sequence[SessionRow]) -> None:
        """Write nothing."""

    def session_created(self, row: SessionRow) -> None:
        """Write nothing."""

    def session_closed(self, row: SessionRow, completed: int, cancelled: Sequence[TaskRow]) -> None:
        """Write nothing."""

    def sessions_gone(self, rows: Sequence[SessionRow]) -> None:
        """Write nothing."""

    def session_events(self, row: SessionRow, events: Sequence[EventRow]) -> None:
        """Write nothing."""

    def task_created(self, row: SessionRow, task: TaskRow) -> None:
        """Write nothing."""

    def tasks_created(self, made: Sequence[tuple[SessionRow, TaskRow]]) -> None:
        """Write nothing."""

    def task_started(self, row: SessionRow, task: TaskRow, events: Sequence[EventRow]) -> None:
        """Write nothing."""

    def task_ended(self, row: SessionRow, task: TaskRow, ending: Ending) -> None:
        """Write nothing."""

    def task_turned(
        self,
        row: SessionRow,
        task: TaskRow,
        ending: Ending,
        following: TaskRow,
        events: Sequence[EventRow],
    ) -> None:
        """Write nothing."""
