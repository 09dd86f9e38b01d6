"""Which tasks, in which order: filter, sort and page over all that are known. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flamepy.errors import InvalidArgumentError
from flamepy.texts import repr_of
from flamepy.types import Task, TaskState
from flamepy.view.rows import Page, TaskRow
from flamepy.view.session_query import check_choice, check_window, part_of

TEXT_LENGTH = 300  # characters of an error in a list
SORTS = ("id", "session", "state", "created", "ended", "took", "error")
_STATES = tuple(one.name.lower() for one in TaskState)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskQuery:
    """Which tasks, in which order.

    Attributes:
        session: id of their session.
        application: name of their application.
        states: names of states, such as ``("pending", "running")``; empty for all.
        text: part of the id or of the error, in any case.
        sort: a column of ``TaskRow``; ``-`` before it turns the order.
        offset, limit: which part of it.

    Raises:
        InvalidArgumentError: a column or a state has no such name, or a number is out of range.
    """

    session: str = ""
    application: str = ""
    states: tuple[str, ...] = ()
    text: str = ""
    sort: str = "-created"
    offset: int = 0
    limit: int = 50

    def __post_init__(self) -> None:
        check_choice("sort", self.sort.removeprefix("-"), SORTS)
        for state in self.states:
            check_choice("state", state, _STATES)
        check_window(self.offset, self.limit)

    def page(self, tasks: Iterable[Task], application_of: Callable[[str], str]) -> Page[TaskRow]:
        """Return the part asked for.

        Args:
            tasks: all that are known, or those of the session, application or state asked for.
            application_of: names the application of a session.
        """
        known = list(tasks)
        found = [task for task in known if self._matches(task)]
        part = part_of(
            found,
            _KEYS[self.sort.removeprefix("-")],
            descending=self.sort.startswith("-"),
            offset=self.offset,
            limit=self.limit,
        )
        return Page(
            rows=[task_row(task, application_of(task.session_id)) for task in part],
            matched=len(found),
            total=len(known),
            offset=self.offset,
        )

    def _matches(self, task: Task) -> bool:
        if self.states and task.state.name.lower() not in self.states:
            return False
        if self.session and task.session_id != self.session:
            return False
        if not self.text:
            return True
        text = self.text.lower()
        return text == task.id or text in task.session_id.lower() or text in _error(task).lower()


def task_row(task: Task, application: str) -> TaskRow:
    """Return what is shown of a task in a list."""
    return TaskRow(
        session=task.session_id,
        id=task.id,
        application=application,
        state=task.state.name.lower(),
        created=task.creation_time.timestamp(),
        ended=None if task.completion_time is None else task.completion_time.timestamp(),
        took=took(task),
        error=_error(task)[:TEXT_LENGTH],
    )


def took(task: Task) -> float | None:
    """Return the seconds from a task's creation to its end, by the engine's clock."""
    if task.completion_time is None or not task.state.is_terminal:
        return None
    return max(0.0, (task.completion_time - task.creation_time).total_seconds())


def number_of(text: str) -> int:
    """Return a task's id as a number.

    Raises:
        InvalidArgumentError: it is no task's id.
    """
    if not text.isascii() or not text.isdigit():
        raise InvalidArgumentError(f"a task's id is a number, got {repr_of(text)}")
    return int(text)


def _error(task: Task) -> str:
    return task.error or ""


def _moment(moment: datetime | None) -> float:
    return 0.0 if moment is None else moment.timestamp()


_KEYS: dict[str, Callable[[Task], Any]] = {  # Any: what can be compared
    "id": lambda task: int(task.id),
    "session": lambda task: (task.session_id, int(task.id)),
    "state": lambda task: (int(task.state), task.creation_time, int(task.id)),
    "created": lambda task: (task.creation_time, task.session_id, int(task.id)),
    "ended": lambda task: (_moment(task.completion_time), int(task.id)),
    "took": lambda task: (took(task) or 0.0, int(task.id)),
    "error": lambda task: (_error(task), int(task.id)),
}
