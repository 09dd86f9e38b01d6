"""Events and entries as a reactor and its outbox make them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from flamepy_notify.facts import Fact, fact_of

from flamepy.informers import EventKind, OverdueEvent, TaskEvent, expect
from flamepy.types import Event, Task, TaskState

START = datetime(2026, 3, 4, 12, 0, tzinfo=timezone.utc)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def task_event(
    state: TaskState,
    task: str = "1",
    *,
    error: str | None = None,
    application: str = "render",
    session: str = "s1",
    initial: bool = False,
) -> TaskEvent:
    events = () if error is None else (Event(int(TaskState.FAILED), error, START),)
    return TaskEvent(
        kind=EventKind.UPDATED,
        task=Task(task, session, state, START, events=events),
        application=application,
        initial=initial,
    )


def failed(task: str, error: str = "disk full", **more: str) -> TaskEvent:
    return task_event(TaskState.FAILED, task, error=error, **more)  # type: ignore[arg-type]


def succeeded(task: str, **more: str) -> TaskEvent:
    return task_event(TaskState.SUCCEED, task, **more)  # type: ignore[arg-type]


def overdue(task: str, *, application: str = "render", session: str = "s1") -> OverdueEvent:
    return OverdueEvent(
        rule=expect.end(within=600),
        application=application,
        session_id=session,
        task=Task(task, session, TaskState.RUNNING, START),
        session=None,
        age=601.0,
        key=f"{session}/{task}/overdue",
    )


def facts(*events: TaskEvent | OverdueEvent, first: int = 1, seconds: float = 0.0) -> list[Fact]:
    """Return what events mean, with entries from ``first`` on."""
    made = [
        fact_of(event, entry=first + index, at=at(seconds), initial=False)
        for index, event in enumerate(events)
    ]
    return [one for one in made if one is not None]
