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
        (session(), (), "open, no task yet for 3 h"),
        (session(TaskCounts(succeed=2)), (), "open, idle"),
        (session(TaskCounts(running=1)), (), "the last 1 task running"),
        (session(WAITS), (), "waiting for an executor"),
        (
            session(WAITS),
            (executor(ExecutorState.BINDING),),
            "waiting for an executor; one starts its service",
        ),
        (
            session(WAITS),
            (executor(ExecutorState.BOUND, "other"),),
            "waiting for an executor; every executor serves another session",
        ),
        (
            session(WAITS),
            (executor(ExecutorState.BOUND),),
            "4 tasks going to executors",
        ),
        (
            replace(session(TaskCounts(pending=4, running=1)), max_instances=1),
            (executor(ExecutorState.BOUND),),
            "1 running on 1 executor, 4 waiting (max_instances is 1)",
        ),
        (
            session(WAITS, (1001, "no such file")),
            (),
            "no executor: no such file",
        ),
        (
            session(WAITS, (1001, "no such file"), (1002, "limit reached after 5/5")),
            (),
            "no executor: no such file (limit reached after 5/5)",
        ),
    ],
)
def test_a_session(info: SessionInfo, executors: tuple[Executor, ...], says: str) -> None:
    assert why(info, *executors) == says


def test_a_closed_session_says_since_when() -> None:
    closed = replace(session(), state=SessionState.CLOSED, completion_time=HOUR)
    assert why(closed) == "closed 3 h ago"


def test_the_idle_time_is_that_of_the_last_change_where_it_is_known() -> None:
    idle = session(TaskCounts(succeed=2))
    said = reasons.of_session(idle, APP, (), NOW, moved=NOW - timedelta(minutes=12))
    assert said == ["open, idle 12 min"]


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
