"""Events for tests."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from flamepy.core import Event, Task, TaskState
from flamepy.informers import (
    EventKind,
    OutboxEntry,
    OverdueEvent,
    SessionEvent,
    SessionEventKind,
    TaskEvent,
    expect,
)
from flamepy.types import SessionInfo, SessionState, TaskCounts

MADE = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=timezone.utc)
ENDED = MADE + timedelta(minutes=1)
WRITTEN = MADE + timedelta(hours=1)
ENDPOINT = "http://flame.example.org:8080"


def task(state: TaskState = TaskState.FAILED, task_id: str = "7", **more: Any) -> Task:
    ended = ENDED if state.is_terminal else None
    events = (Event(code=3, message="disk full", creation_time=ENDED),)
    given = {"completion_time": ended, "events": events, **more}
    return Task(id=task_id, session_id="s/1", state=state, creation_time=MADE, **given)


def task_event(state: TaskState = TaskState.FAILED, **more: Any) -> TaskEvent:
    given = {"kind": EventKind.UPDATED, "task": task(state), "application": "render", **more}
    return TaskEvent(**given, endpoint=ENDPOINT, sequence=9)


def session(**more: Any) -> SessionInfo:
    given = {"state": SessionState.OPEN, "counts": TaskCounts(1, 2, 3, 4, 5), **more}
    return SessionInfo(id="s/1", application="render", creation_time=MADE, **given)


def session_event(kind: SessionEventKind, **more: Any) -> SessionEvent:
    given = {"session": session(), **more}
    return SessionEvent(kind=kind, **given, endpoint=ENDPOINT)


def overdue(of: Task | None) -> OverdueEvent:
    rule = expect.end(within=60) if of else expect.drained(within=60)
    return OverdueEvent(
        rule=rule,
        application="render",
        session_id="s/1",
        task=of,
        session=None,
        age=61.5,
        key="the key",
    )


def entry(event: Any, number: int = 42, **more: Any) -> OutboxEntry:
    return OutboxEntry(id=number, key=event.key, event=event, created=WRITTEN, **more)
