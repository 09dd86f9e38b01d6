"""Why a session or a task is where it is: each situation has words of its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from flamepy.cli.showing import reasons
from flamepy.types import (
    Application,
    ApplicationState,
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

NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)
APP = Application("1", "app", ApplicationState.ENABLED, NOW)
NONE = TaskCounts()
HOUR = NOW - timedelta(hours=3)


def session(counts: TaskCounts = NONE, *texts: tuple[int, str]) -> SessionInfo:
    events = tuple(Event(code, text, NOW) for code, text in texts)
    return SessionInfo("s", "app", SessionState.OPEN, HOUR, counts, events=events)


def executor(state: ExecutorState, session_id: str = "s") -> Executor:
    return Executor("e", state, "node", ResourceRequirement(), session_id=session_id)


def why(info: SessionInfo, *executors: Executor, application: Application | None = APP) -> str:
    return "; ".join(reasons.of_session(info, application, executors, NOW))


WAITS = TaskCounts(pending=4)


@pytest.mark.parametrize(
    ("info", "executors", "says"),
    [
        (session(), (), "open, idle: no task in the 3h since it was created"),
        (session(TaskCounts(succeed=2)), (), "open, idle: of 2 tasks none is left"),
        (session(TaskCounts(running=1)), (), "1 task running"),
        (session(WAITS), (), "waiting for an executor: none has been given yet"),
        (
            session(WAITS),
            (executor(ExecutorState.BINDING),),
            "waiting for an executor: one is starting its service",
        ),
        (
            session(WAITS),
            (executor(ExecutorState.BOUND, "other"),),
            "waiting for an executor: 1 executor at work for other sessions (a guess: none is "
            "free)",
        ),
        (
            session(WAITS),
            (executor(ExecutorState.BOUND),),
            "waiting: 4 tasks for 1 executor",
        ),
        (
            replace(session(WAITS), max_instances=1),
            (executor(ExecutorState.BOUND),),
            "waiting: 4 tasks for 1 executor, all that max_instances=1 allows",
        ),
        (
            session(WAITS, (1001, "no such file")),
            (),
            "waiting for an executor: none has been given yet; a service did not start: no such "
            "file",
        ),
        (
            session(WAITS, (1001, "no such file"), (1002, "limit reached after 5/5")),
            (),
            "no executor: bind limit reached, it gets none any more: no such file",
        ),
    ],
)
def test_a_session(info: SessionInfo, executors: tuple[Executor, ...], says: str) -> None:
    assert why(info, *executors) == says


def test_a_closed_session_says_since_when() -> None:
    closed = replace(session(), state=SessionState.CLOSED, completion_time=HOUR)
    assert why(closed) == "closed 3h ago"


def test_an_application_that_is_gone_is_said_first() -> None:
    said = why(session(WAITS), application=None)
    assert said.startswith("application app is not registered any more; ")


def task(state: TaskState, error: str | None = None, number: str = "1") -> Task:
    events = (Event(3, error, NOW),) if error else ()
    return Task(number, "s", state, NOW, events=events)


@pytest.mark.parametrize(
    ("one", "before", "says"),
    [
        (task(TaskState.PENDING), 3, "waiting, 3 tasks before it; session: so it is"),
        (task(TaskState.PENDING), 0, "waiting, it is the next one; session: so it is"),
        (task(TaskState.RUNNING), 0, "running"),
        (task(TaskState.SUCCEED), 0, "ended well"),
        (task(TaskState.FAILED, "boom"), 0, "failed: boom"),
        (task(TaskState.CANCELLED), 0, "cancelled: its session was closed before it started"),
    ],
)
def test_a_task(one: Task, before: int, says: str) -> None:
    assert reasons.of_task(one, session(), before, ["so it is"]) == says


def test_failures_are_grouped_by_text_the_most_frequent_first() -> None:
    texts = ["rare", "often", "often"]
    tasks = [task(TaskState.FAILED, text, str(number)) for number, text in enumerate(texts)]
    found = reasons.failures([*tasks, task(TaskState.SUCCEED)])
    assert found == [("often", 2, "1"), ("rare", 1, "0")]
