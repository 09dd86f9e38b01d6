"""Entries of an outbox, as a reactor would store them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import count

from flamepy.informers import (
    EventKind,
    OutboxEntry,
    OverdueEvent,
    SessionEvent,
    SessionEventKind,
    TaskEvent,
    expect,
)
from flamepy.types import Event, SessionInfo, SessionState, Task, TaskCounts, TaskState

START = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)
_numbers: Iterator[int] = count(1)

PENDING, RUNNING, SUCCEED = TaskState.PENDING, TaskState.RUNNING, TaskState.SUCCEED
FAILED, CANCELLED = TaskState.FAILED, TaskState.CANCELLED


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def task(
    state: TaskState,
    when: float,
    *,
    id: str = "1",
    session: str = "s",
    application: str = "render",
    created: float = 0.0,
    old: TaskState | None = None,
    error: str | None = None,
    kind: EventKind | None = None,
    initial: bool = False,
) -> OutboxEntry:
    """An entry of a task that was written ``when`` seconds after ``START``."""
    completed = at(when) if state.is_terminal else None
    events = (Event(3, error, completed),) if error is not None else ()
    made = Task(id, session, state, at(created), completion_time=completed, events=events)
    before = None if old is None else Task(id, session, old, at(created))
    event = TaskEvent(
        kind=kind or (EventKind.ADDED if old is None else EventKind.UPDATED),
        task=made,
        old=before,
        application=application,
        endpoint="http://127.0.0.1:8080",
        initial=initial,
    )
    return OutboxEntry(id=next(_numbers), key=event.key, event=event, created=at(when))


def session(
    kind: SessionEventKind,
    when: float,
    *,
    id: str = "s",
    application: str = "render",
    counts: TaskCounts | None = None,
    closed: bool = False,
    event: Event | None = None,
) -> OutboxEntry:
    """An entry of a session that was written ``when`` seconds after ``START``."""
    info = SessionInfo(
        id,
        application,
        SessionState.CLOSED if closed else SessionState.OPEN,
        START,
        counts or TaskCounts(),
        completion_time=at(when) if closed else None,
    )
    made = SessionEvent(kind=kind, session=info, event=event, endpoint="http://127.0.0.1:8080")
    return OutboxEntry(id=next(_numbers), key=made.key, event=made, created=at(when))


def overdue(when: float) -> OutboxEntry:
    """An entry of a task that did not end in time."""
    made = OverdueEvent(
        rule=expect.end(within=60.0),
        application="render",
        session_id="s",
        task=Task("1", "s", RUNNING, START),
        session=None,
        age=61.0,
        key="s/1/end",
    )
    return OutboxEntry(id=next(_numbers), key=made.key, event=made, created=at(when))


def history() -> list[OutboxEntry]:
    """A task that ran twice, as the engine was restarted, failed, and is gone."""
    return [
        task(PENDING, 1),
        task(RUNNING, 2, old=PENDING),
        task(PENDING, 3, old=RUNNING),
        task(RUNNING, 4, old=PENDING),
        task(FAILED, 5, old=RUNNING, error="disk full"),
        gone(6),
    ]


def gone(when: float) -> OutboxEntry:
    """The delete of that task as a checkpoint remembers it: without application and text."""
    made = Task("1", "s", FAILED, START, completion_time=at(5))
    event = TaskEvent(kind=EventKind.DELETED, task=made, old=made)
    return OutboxEntry(id=next(_numbers), key=event.key, event=event, created=at(when))
