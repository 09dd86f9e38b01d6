"""How changes of the cluster's state are written down before they are made. Pure: a port.

``state`` yields a ``Write`` after its checks and before it changes a row: what cannot be written
is refused and has not happened. ``storage`` keeps changes in SQLite; a cluster without a data
folder skips the writes (``make_now``).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from flamepy.local.state.rows import EventRow, SessionRow, TaskRow
from flamepy.types import Application, TaskState

T = TypeVar("T")


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
    """One method per kind of change, called within a transaction, which makes it all or nothing.

    Called on another thread than the state's: what a method reads of a row stays as it is until
    the change is made.
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


Write = Callable[[Journal], None]
"""Writes one change; may be called again after one that was undone."""

Steps = Generator[Write, None, T]
"""A change: checked up to its yield, made after it. Thrown there: why it could not be written."""

Settled = Callable[[Exception | None], None]
"""Called on the loop with None once a change is durable, else with why it could not be made so."""


class Committer(Protocol):
    """Who makes changes durable, in the order in which they come."""

    def commit(self, write: Write, settled: Settled) -> None:
        """Begin to write a change; ``settled`` is called later."""


def make_now(steps: Steps[T]) -> T:
    """Make a change without writing it down. Raises Refusal."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        value: T = end.value
        return value
