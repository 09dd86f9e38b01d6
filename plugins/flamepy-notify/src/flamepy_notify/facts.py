"""What an event means for a notification: a failure, something overdue, a success, an end. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flamepy.enums import TextEnum
from flamepy.informers import (
    EventKind,
    OverdueEvent,
    SessionEvent,
    SessionEventKind,
    TaskEvent,
)
from flamepy.types import TaskState
from flamepy_notify.texts import clean, shown


class Kind(TextEnum):
    """What a fact is about; the first three are problems."""

    FAILED = "failed"
    OVERDUE = "overdue"
    EVENT = "event"
    SUCCESS = "success"
    END = "end"


PROBLEMS = frozenset({Kind.FAILED, Kind.OVERDUE, Kind.EVENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One entry of the outbox, as far as messages need it.

    Attributes:
        entry: the entry's id.
        kind: what it is.
        application, session, task: where; ``task`` is "" for a session's.
        text: the error on one line, or the rule.
        at: when the entry was written.
    """

    entry: int
    kind: Kind
    application: str
    session: str
    task: str = ""
    text: str = ""
    at: datetime

    @property
    def place(self) -> str:
        """``session/task``, or the session."""
        return f"{self.session}/{self.task}" if self.task else self.session


def fact_of(
    event: TaskEvent | SessionEvent | OverdueEvent, *, entry: int, at: datetime, initial: bool
) -> Fact | None:
    """Return what an event means; None if no message depends on it.

    Args:
        event: the event.
        entry: the id of its entry in the outbox.
        at: when that was written.
        initial: whether what was there before the first start counts.
    """
    if isinstance(event, OverdueEvent):
        kind, text = Kind.OVERDUE, event.rule.name
        task = event.task.id if event.task is not None else ""
    else:
        found = _of_task(event) if isinstance(event, TaskEvent) else _of_session(event)
        if found is None or (event.initial and not initial):
            return None
        kind, text = found
        task = event.task.id if isinstance(event, TaskEvent) else ""
    return Fact(
        entry=entry,
        kind=kind,
        application=clean(event.application) or "an unknown application",
        session=clean(event.session_id),
        task=task,
        text=text,
        at=at,
    )


def _of_task(event: TaskEvent) -> tuple[Kind, str] | None:
    if event.kind is EventKind.DELETED or event.task.state == TaskState.CANCELLED:
        return Kind.END, ""
    if event.task.state == TaskState.FAILED:
        return Kind.FAILED, shown(event.task.error)
    return (Kind.SUCCESS, "") if event.task.state == TaskState.SUCCEED else None


def _of_session(event: SessionEvent) -> tuple[Kind, str] | None:
    if event.kind is SessionEventKind.EVENT and event.event is not None:
        return Kind.EVENT, shown(event.event.message)
    ended = (SessionEventKind.DRAINED, SessionEventKind.CLOSED, SessionEventKind.DELETED)
    return (Kind.END, "") if event.kind in ended else None
